/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "client_help.h"

/* --- scripts ------------------------------------------------------------------------------- */

typedef struct seen {
  char verbs[128];
  char *text;
  size_t len;
  const char *answer_eval;
} seen;

static void know_nothing(fake_peer *peer) {
  seen *s = peer->server->user;

  while (read_own(peer)) {
    strcat(strcat(s->verbs, peer->word[0]), " ");
    if (strcmp(peer->word[0], "EVAL") == 0 && s->text == NULL) {
      s->len = peer->len[1];
      s->text = calloc(1, s->len + 1);
      memcpy(s->text, peer->word[1], s->len);
    }
    fake_say(peer, strcmp(peer->word[0], "EVAL") == 0 ? s->answer_eval
                                                      : "-NOSCRIPT No matching script.\r\n");
  }
}

/* A server that does not know the script gets its text once, byte for byte. */
static void noscript_test(void **state) {
  seen s = {.answer_eval = ":7\r\n"};
  long long number;

  (void)state;
  start(0, know_nothing, &s, 1);
  assert_int_equal(run(&rlc__script_several, "k", LONG_US, &number, NULL), 0);
  assert_int_equal(number, 7);
  assert_string_equal(s.verbs, "EVALSHA EVAL ");
  assert_int_equal(s.len, rlc__script_several.len);
  assert_memory_equal(s.text, rlc__script_several.text, s.len);
  stop();
  free(s.text);
}

/* A server that says so again is not asked for ever. */
static void noscript_twice_test(void **state) {
  seen s = {.answer_eval = "-NOSCRIPT Still not.\r\n"};
  char why[RLC_MESSAGE_SIZE];

  (void)state;
  start(0, know_nothing, &s, 1);
  assert_int_equal(run(&rlc__script_several, "k", LONG_US, NULL, why), RLC__ERR_REFUSED);
  assert_non_null(strstr(why, "the server refused: NOSCRIPT Still not."));
  assert_string_equal(s.verbs, "EVALSHA EVAL ");
  stop();
  free(s.text);
}

static void check_words(fake_peer *peer) {
  while (read_own(peer)) {
    int right = peer->words == 5 && strcmp(peer->word[0], "EVALSHA") == 0 && peer->len[1] == 40 &&
                strcmp(peer->word[1], rlc__script_token_bucket.sha1) == 0 &&
                strcmp(peer->word[2], "1") == 0 && strcmp(peer->word[3], "k1") == 0 &&
                peer->len[4] == 3 && memcmp(peer->word[4], "a\0b", 3) == 0;

    fake_say(peer, right ? ":1\r\n" : ":0\r\n");
  }
}

/* The command is the hash, the number of keys, the key, and the argument with its NUL. */
static void words_test(void **state) {
  long long number;

  (void)state;
  start(0, check_words, NULL, 1);
  assert_int_equal(run(&rlc__script_token_bucket, "k1", LONG_US, &number, NULL), 0);
  assert_int_equal(number, 1);
  stop();
}

/* --- what is sent again, and what is not --------------------------------------------------- */

/* What the server refused for certain is sent again within the deadline: LOADING, READONLY, TRYAGAIN and
 * CLUSTERDOWN. */
static void again_test(void **state) {
  const char *const says[] = {"-LOADING Redis is loading\r\n", "-TRYAGAIN\r\n",
                              "-CLUSTERDOWN Hash slot not served\r\n",
                              "-READONLY You can't write against a read only replica.\r\n",
                              ":5\r\n", NULL};
  long long number;

  (void)state;
  assert_int_equal(try_says(says, &number, NULL), 0);
  assert_int_equal(number, 5);
  assert_int_equal(atomic_load(&turn), 5);
}

/* A server that goes on refusing is asked until the deadline, not for ever. */
static void loading_test(void **state) {
  const char *says[65];
  int64_t begun = rlc__clock_monotonic_us();

  (void)state;
  for (int i = 0; i < 64; ++i) {
    says[i] = "-LOADING Redis is loading\r\n";
  }
  says[64] = NULL;
  assert_true(try_says(says, NULL, NULL) < 0);
  assert_in_range(rlc__clock_monotonic_us() - begun, 0, SHORT_US + 1000000);
  assert_in_range(atomic_load(&turn), 2, 20);
}

/* A command that may have run is never sent again: the server hung up, or answered nonsense. */
static void once_test(void **state) {
  const char *const hangs_up[] = {"", ":1\r\n", NULL};
  const char *const nonsense[] = {"what?\r\n", ":1\r\n", NULL};
  const char *const too_much[] = {":1\r\n:2\r\n", ":1\r\n", NULL};

  (void)state;
  assert_int_equal(try_says(hangs_up, NULL, NULL), RLC__ERR_UNAVAILABLE);
  assert_int_equal(atomic_load(&turn), 1);
  assert_int_equal(try_says(nonsense, NULL, NULL), RLC__ERR_PROTOCOL);
  assert_int_equal(atomic_load(&turn), 1);
  (void)try_says(too_much, NULL, NULL);
  assert_int_equal(atomic_load(&turn), 1);
}

/* BUSY is told at once, escaped for people's eyes, and a key of another kind is its own trouble. */
static void refusal_test(void **state) {
  const char *const busy[] = {"-BUSY Redis is \x1b[31mbusy\r\n", NULL};
  const char *const wrong[] = {"-WRONGTYPE Operation against a key\r\n", NULL};
  char why[RLC_MESSAGE_SIZE];

  (void)state;
  assert_int_equal(try_says(busy, NULL, why), RLC__ERR_REFUSED);
  assert_non_null(strstr(why, "the server refused: BUSY Redis is \\x1b[31mbusy"));
  assert_int_equal(try_says(wrong, NULL, why), RLC__ERR_STATE);
}

/* --- no connection ------------------------------------------------------------------------- */

/* Where nobody listens a decision is told at once, not at its deadline. */
static void refused_test(void **state) {
  int64_t begun;
  char why[RLC_MESSAGE_SIZE];

  (void)state;
  fake_server_start(&server, 0, ignore, NULL);
  fake_server_stop(&server);
  open_client(RLC__SINGLE, 1);
  begun = rlc__clock_monotonic_us();
  assert_int_equal(run(NULL, "k", LONG_US, NULL, why), RLC__ERR_UNAVAILABLE);
  assert_in_range(rlc__clock_monotonic_us() - begun, 0, LONG_US / 4);
  assert_non_null(strstr(why, server.endpoint.host));
  rlc__client_del(client);
}

static void hang_up_on_commands(fake_peer *peer) {
  (void)read_own(peer);
}

/* A server that ends the connection at each command is not dialed as fast as it does so. */
static void ending_test(void **state) {
  int64_t end = rlc__clock_monotonic_us() + 500000;

  (void)state;
  start(0, hang_up_on_commands, NULL, 1);
  while (rlc__clock_monotonic_us() < end && atomic_load(&server.connections) < 40) {
    assert_int_not_equal(run(NULL, "k", 5000, NULL, NULL), 0);
  }
  assert_in_range(atomic_load(&server.connections), 5, 20);
  stop();
}

/* The probe tells of a server that answers, and of one that does not. */
static void probe_test(void **state) {
  int answer = 0;

  (void)state;
  start(0, echo_drops, NULL, 1);
  while ((answer = rlc__client_probe(client)) == 0) {
    sched_yield();
  }
  assert_int_equal(answer, 1);
  fake_server_stop(&server);
  while ((answer = rlc__client_probe(client)) == 0) {
    sched_yield();
  }
  assert_int_equal(answer, -1);
  rlc__client_del(client);
}

static _Atomic int may_greet, may_answer;

/* Lets the second connection in when told so, and answers the second command when told so. */
static void take_time(fake_peer *peer) {
  for (int commands = 0; read_own(peer);) {
    int greeting = strcmp(peer->word[0], "CLIENT") == 0;

    while (greeting ? peer->number == 1 && !atomic_load(&may_greet)
                    : commands == 1 && !atomic_load(&may_answer)) {
      usleep(1000);
    }
    commands += !greeting;
    fake_say(peer, ":1\r\n");
  }
}

/* A probe that comes to its end when decisions are made again leaves theirs alone. */
static void late_probe_test(void **state) {
  unsigned commands;
  pthread_t thread;
  int error = -1;
  int answer;

  (void)state;
  atomic_store(&may_greet, 0);
  atomic_store(&may_answer, 0);
  start(0, take_time, NULL, 2);
  server.greets = 0;
  assert_int_equal(run(NULL, "k", LONG_US, NULL, NULL), 0);
  answer = rlc__client_probe(client);
  while (atomic_load(&server.connections) < 2) {
    usleep(1000);
  }
  usleep(10000);
  commands = atomic_load(&server.commands);
  pthread_create(&thread, NULL, call_once, &error);
  while (atomic_load(&server.commands) == commands) {
    usleep(1000);
  }
  atomic_store(&may_greet, 1);
  while (answer == 0) {
    usleep(1000);
    answer = rlc__client_probe(client);
  }
  atomic_store(&may_answer, 1);
  pthread_join(thread, NULL);
  assert_int_equal(answer, 1);
  assert_int_equal(error, 0);
  stop();
}

/* --- fork ---------------------------------------------------------------------------------- */

/* A child has connections and a thread of its own, and the parent's go on. */
static void fork_test(void **state) {
  long long number;
  pid_t child;
  int status;

  (void)state;
  start(0, echo_drops, NULL, 1);
  assert_int_equal(run(NULL, "1", LONG_US, &number, NULL), 0);
  child = fork();
  if (child == 0) {
    int worked = run(NULL, "2", LONG_US, &number, NULL) == 0 && number == 2;

    _exit(worked ? 0 : 1);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  assert_int_equal(run(NULL, "3", LONG_US, &number, NULL), 0);
  assert_int_equal(number, 3);
  assert_int_equal(atomic_load(&server.connections), 2);
  stop();
}

static int count_descriptors(void) {
  DIR *dir = opendir("/proc/self/fd");
  int n = 0;

  while (readdir(dir) != NULL) {
    ++n;
  }
  closedir(dir);
  return n;
}

/* In a line of forks each child decides over a connection of its own, and none of its ancestors'
 * stays open in it. */
static void generations_test(void **state) {
  long long number;
  int descriptors;
  int status = 0;
  pid_t child = 0;
  pid_t first = getpid();

  (void)state;
  start(0, echo_drops, NULL, 1);
  assert_int_equal(run(NULL, "1", LONG_US, &number, NULL), 0);
  descriptors = count_descriptors();
  for (int i = 2; i <= 51 && child == 0; ++i) {
    char key[16];

    snprintf(key, sizeof key, "%d", i);
    child = fork();
    if (child == 0 && (run(NULL, key, LONG_US, &number, NULL) != 0 || number != i ||
                       count_descriptors() != descriptors)) {
      _exit(1);
    }
  }
  if (child != 0) {
    status = waitpid(child, &status, 0) == child ? status : -1;
  }
  if (getpid() != first) {
    _exit(status == 0 ? 0 : 1);
  }
  assert_int_equal(status, 0);
  assert_int_equal(run(NULL, "7", LONG_US, &number, NULL), 0);
  assert_int_equal(atomic_load(&server.connections), 51);
  stop();
}

/* Does not even greet the first who connects. */
static void echo_but_first(fake_peer *peer) {
  if (peer->number == 0) {
    fake_wait_stop(peer);
  } else {
    echo_drops(peer);
  }
}

/* A child that is forked while the helper thread is connecting closes what that had open, and
 * decides. */
static void fork_mid_dial_test(void **state) {
  long long number;
  pid_t child;
  int before;
  int status;

  (void)state;
  start(0, echo_but_first, NULL, 1);
  before = count_descriptors();
  assert_true(run(NULL, "1", 1000, NULL, NULL) < 0);
  while (atomic_load(&server.connections) == 0) {
    sched_yield();
  }
  child = fork();
  if (child == 0) {
    int worked = run(NULL, "2", LONG_US, &number, NULL) == 0 && number == 2;

    /* The server's side of the first, and our own connection. */
    _exit(worked && count_descriptors() <= before + 3 ? 0 : 1);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  while (run(NULL, "3", LONG_US, &number, NULL) != 0) {
  }
  assert_int_equal(number, 3);
  stop();
}

/* A child that only ends what it inherited leaves the parent's connection alone. */
static void del_in_child_test(void **state) {
  long long number;
  pid_t child;
  int status;

  (void)state;
  start(0, echo_drops, NULL, 1);
  assert_int_equal(run(NULL, "1", LONG_US, &number, NULL), 0);
  child = fork();
  if (child == 0) {
    rlc__client_del(client);
    _exit(0);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  assert_int_equal(run(NULL, "2", LONG_US, &number, NULL), 0);
  assert_int_equal(number, 2);
  assert_int_equal(atomic_load(&server.connections), 1);
  stop();
}

/* ASan's allocator keeps the lock that another thread held at the fork: there a child hangs in
 * malloc, whoever calls it. TSan does not follow a process forked from several threads. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
/* Processes forked in the middle of other threads' calls, with locks held, can decide; and those
 * calls go on. */
static void fork_mid_call_test(void **state) {
  caller c[4];
  long long number;
  int wrong = 0;

  (void)state;
  start(0, echo_drops, NULL, 2);
  for (int i = 0; i < 4; ++i) {
    c[i] = (caller){.number = i + 1};
    assert_int_equal(pthread_create(&c[i].thread, NULL, call_often, &c[i]), 0);
  }
  for (int i = 0; i < 20; ++i) {
    pid_t child = fork();
    int status = -1;

    if (child == 0) {
      _exit(run(NULL, "5", LONG_US, &number, NULL) == 0 && number == 5 ? 0 : 1);
    }
    wrong += waitpid(child, &status, 0) != child || status != 0;
  }
  for (int i = 0; i < 4; ++i) {
    pthread_join(c[i].thread, NULL);
    assert_int_equal(c[i].wrong + c[i].failed, 0);
  }
  assert_int_equal(wrong, 0);
  assert_in_range(atomic_load(&server.connections), 21, 22);
  stop();
}
#endif

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(noscript_test),
      cmocka_unit_test(noscript_twice_test),
      cmocka_unit_test(words_test),
      cmocka_unit_test(again_test),
      cmocka_unit_test(loading_test),
      cmocka_unit_test(once_test),
      cmocka_unit_test(refusal_test),
      cmocka_unit_test(refused_test),
      cmocka_unit_test(ending_test),
      cmocka_unit_test(probe_test),
      cmocka_unit_test(late_probe_test),
      cmocka_unit_test(fork_test),
      cmocka_unit_test(generations_test),
      cmocka_unit_test(fork_mid_dial_test),
      cmocka_unit_test(del_in_child_test),
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
      cmocka_unit_test(fork_mid_call_test),
#endif
  };

  return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}
