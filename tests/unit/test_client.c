/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <poll.h>
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

#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"
#include "fake_server.h"
#include "redis/client.h"
#include "redis/cluster.h"
#include "redis/lane.h"
#include "redis/socket.h"

#define LONG_US INT64_C(20000000) /* no test that passes waits for it */
#define SHORT_US INT64_C(150000)

static fake_server server;
static rlc__client *client;

static void open_client(rlc__topology topology, unsigned connections) {
  const rlc__log log = {NULL, NULL};
  rlc__client_config config = {.topology = topology,
                               .servers = &server.endpoint,
                               .n = 1,
                               .master = topology == RLC__SENTINEL ? "main" : NULL,
                               .connections = connections,
                               .timeout_us = 25000};

  assert_int_equal(rlc__client_new(&client, &config, rlc__memory_or_default(NULL), &log), 0);
}

static void start(int tcp, fake_behaviour *serve, void *user, unsigned connections) {
  fake_server_start(&server, tcp, serve, user);
  open_client(RLC__SINGLE, connections);
}

static void stop(void) {
  rlc__client_del(client);
  client = NULL;
  fake_server_stop(&server);
}

/* Runs GET |key|, or with |script| that. Returns the error; the integer, or 0, goes to |*number|. */
static int run(const rlc__script *script, const char *key, int64_t time_us, long long *number,
               char why[RLC_MESSAGE_SIZE]) {
  const rlc__bytes keys[] = {{key, strlen(key)}};
  const rlc__bytes args[] = {{"a\0b", 3}};
  rlc__request r = {.script = script,
                    .command = "GET",
                    .keys = keys,
                    .n_keys = 1,
                    .args = args,
                    .n_args = script != NULL,
                    .deadline_us = rlc__clock_monotonic_us() + time_us};
  int error;

  if (rlc__client_begin(client, &r) == RLC_PENDING) {
    rlc__client_wait(client, &r);
  }
  error = r.error;
  if (number != NULL) {
    *number = r.reply != NULL && r.reply->type == REDIS_REPLY_INTEGER ? r.reply->integer : 0;
  }
  if (why != NULL) {
    memcpy(why, r.why, RLC_MESSAGE_SIZE);
  }
  rlc__client_end(client, &r);
  return error;
}

/* INFO and ROLE are what the helper asks for itself. Reads the next command of the test's own. */
static int read_own(fake_peer *peer) {
  while (fake_read(peer)) {
    if (strcmp(peer->word[0], "INFO") == 0) {
      fake_say(peer, "$0\r\n\r\n");
    } else if (strcmp(peer->word[0], "ROLE") == 0) {
      fake_say(peer, "*1\r\n$6\r\nmaster\r\n");
    } else {
      return 1;
    }
  }
  return 0;
}

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

/* Answers the commands of the test in turn with the strings of an array that NULL ends; NULL there is
 * silence for ever. */
static _Atomic unsigned turn;

static void say_in_turn(fake_peer *peer) {
  const char *const *says = peer->server->user;

  while (read_own(peer)) {
    const char *text = says[atomic_fetch_add(&turn, 1)];

    if (text == NULL) {
      fake_wait_stop(peer);
      return;
    }
    if (text[0] == '\0') {
      return; /* hangs up */
    }
    fake_say(peer, text);
  }
}

static int try_says(const char *const *says, long long *number, char *why) {
  int rv;

  atomic_store(&turn, 0);
  start(0, say_in_turn, (void *)(uintptr_t)says, 1);
  rv = run(NULL, "k", SHORT_US, number, why);
  stop();
  return rv;
}

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

/* --- sharing ------------------------------------------------------------------------------- */

/* Answers GET n with :n, one byte at a time. */
static void echo_drops(fake_peer *peer) {
  while (read_own(peer)) {
    char text[64];
    int len = snprintf(text, sizeof text, ":%s\r\n", peer->word[1]);

    for (int i = 0; i < len; ++i) {
      fake_write(peer, text + i, 1);
    }
  }
}

typedef struct caller {
  pthread_t thread;
  int number;
  int wrong;
  int failed;
} caller;

static void *call_often(void *user) {
  caller *c = user;

  for (int i = 0; i < 300; ++i) {
    char key[16];
    long long number;

    snprintf(key, sizeof key, "%d", c->number * 1000 + i);
    if (run(NULL, key, LONG_US, &number, NULL) != 0) {
      ++c->failed;
    } else if (number != c->number * 1000 + i) {
      ++c->wrong;
    }
  }
  return NULL;
}

static void call_from_threads(unsigned threads) {
  caller c[16];

  for (unsigned i = 0; i < threads; ++i) {
    c[i] = (caller){.number = (int)i + 1};
    assert_int_equal(pthread_create(&c[i].thread, NULL, call_often, &c[i]), 0);
  }
  for (unsigned i = 0; i < threads; ++i) {
    pthread_join(c[i].thread, NULL);
    assert_int_equal(c[i].wrong, 0);
    assert_int_equal(c[i].failed, 0);
  }
}

/* Threads that share one connection each get their own replies, even those that come byte by byte. */
static void sharing_test(void **state) {
  (void)state;
  start(0, echo_drops, NULL, 1);
  call_from_threads(12);
  assert_int_equal(atomic_load(&server.connections), 1);
  stop();
}

/* With several lanes there are no more connections than that. */
static void lanes_test(void **state) {
  (void)state;
  start(1, echo_drops, NULL, 4);
  call_from_threads(12);
  assert_in_range(atomic_load(&server.connections), 1, 4);
  stop();
}

/* Answers "late" only together with the command after it. */
static void answer_late(fake_peer *peer) {
  int owed = 0;

  while (read_own(peer)) {
    char text[64];

    if (strcmp(peer->word[1], "late") == 0) {
      owed = 1;
      continue;
    }
    if (owed) {
      fake_say(peer, ":666\r\n");
      owed = 0;
    }
    snprintf(text, sizeof text, ":%s\r\n", peer->word[1]);
    fake_say(peer, text);
  }
}

/* A reply that comes after its caller has left answers nobody, and the connection stays. */
static void late_test(void **state) {
  rlc__client_stats stats;
  long long number;

  (void)state;
  start(0, answer_late, NULL, 1);
  assert_int_equal(run(NULL, "1", LONG_US, &number, NULL), 0);
  assert_int_equal(run(NULL, "late", 20000, NULL, NULL), RLC__ERR_TIMEOUT);
  for (int i = 10; i < 30; ++i) {
    char key[8];

    snprintf(key, sizeof key, "%d", i);
    /* Held back behind the one that is under way, the first may be late itself. */
    if (run(NULL, key, 50000, &number, NULL) == 0) {
      assert_int_equal(number, i);
    }
  }
  rlc__client_get_stats(client, &stats);
  assert_int_equal(atomic_load(&server.connections), 1 + (unsigned)stats.lost);
  stop();
}

/* Past the deadline nothing is sent, and a good connection stays. */
static void past_test(void **state) {
  long long number;

  (void)state;
  start(0, echo_drops, NULL, 1);
  assert_int_equal(run(NULL, "1", LONG_US, &number, NULL), 0);
  assert_int_equal(run(NULL, "2", 0, NULL, NULL), RLC__ERR_TIMEOUT);
  assert_int_equal(run(NULL, "3", LONG_US, &number, NULL), 0);
  assert_int_equal(number, 3);
  assert_int_equal(atomic_load(&server.connections), 1);
  stop();
}

static _Atomic int has_left;

/* Answers GET n with :n once, then leaves. */
static void answer_once(fake_peer *peer) {
  char text[64];

  if (read_own(peer)) {
    snprintf(text, sizeof text, ":%s\r\n", peer->word[1]);
    fake_say(peer, text);
    if (peer->server->endpoint.port == 0) {
      fake_wait_taken(peer);
    }
    fake_hang_up(peer);
    atomic_store(&has_left, 1);
  }
}

static void wait_left(void) {
  while (!atomic_exchange(&has_left, 0)) {
    sched_yield();
  }
}

/* A server that left meanwhile took nothing of a command: it goes over a new connection. By TCP it
 * leaves us before the server's end is seen, so it may have run: it is not sent again. */
static void left_test(void **state) {
  rlc__client_stats stats;
  long long number;

  (void)state;
  start(0, answer_once, NULL, 1);
  for (int i = 1; i <= 2; ++i) {
    char key[8];

    snprintf(key, sizeof key, "%d", i);
    assert_int_equal(run(NULL, key, LONG_US, &number, NULL), 0);
    assert_int_equal(number, i);
    wait_left();
  }
  rlc__client_get_stats(client, &stats);
  assert_int_equal(stats.connects, 2);
  assert_int_equal(stats.resent, 1);
  stop();
  start(1, answer_once, NULL, 1);
  assert_int_equal(run(NULL, "1", LONG_US, &number, NULL), 0);
  wait_left();
  assert_int_equal(run(NULL, "2", LONG_US, NULL, NULL), RLC__ERR_UNAVAILABLE);
  assert_int_equal(run(NULL, "3", LONG_US, &number, NULL), 0);
  assert_int_equal(number, 3);
  stop();
}

/* --- a lane that was idle ------------------------------------------------------------------ */

static rlc__lane lane;
static _Atomic uint64_t late, lost;

static void open_lane(void) {
  rlc__connection *c = calloc(1, sizeof *c);
  const rlc__login login = {NULL, NULL, 0, NULL, NULL};

  rlc__connection_init(c);
  assert_int_equal(rlc__connection_open(c, &login, &server.addresses.at[0],
                                        rlc__clock_monotonic_us() + LONG_US),
                   0);
  assert_int_equal(rlc__lane_init(&lane, LONG_US, &late, &lost), 0);
  assert_int_equal(rlc__lane_install(&lane, c), 0);
}

/* Returns what the lane answers to GET |key|, or an error. */
static long long ask_lane(const char *key) {
  char why[RLC_MESSAGE_SIZE];
  char *bytes = NULL;
  rlc__frame *frame;
  redisReply *reply;
  int unsent;
  const char *words[] = {"GET", key};
  long long size = redisFormatSdsCommandArgv(&bytes, 2, words, NULL);
  int rv = rlc__lane_post(&lane, 0, NULL, bytes, (size_t)size, &frame);
  long long number;

  if (rv == 0) {
    rv = rlc__lane_wait(&lane, frame, rlc__clock_monotonic_us() + LONG_US, &reply, &unsent, why);
  }
  if (rv != 0) {
    return rv;
  }
  number = reply->integer;
  freeReplyObject(reply);
  return number;
}

static void speak_unasked(fake_peer *peer) {
  if (read_own(peer)) {
    fake_say(peer, ":1\r\n");
    usleep(2000);
    fake_say(peer, ":99\r\n");
    atomic_store(&has_left, 1);
    fake_wait_left(peer);
  }
}

/* After an idle time a connection is looked at before it is used: where the server has left, or
 * said something unasked, nothing is sent over it. */
static void idle_test(void **state) {
  fake_behaviour *const serve[] = {answer_once, speak_unasked};

  (void)state;
  for (int i = 0; i < 4; ++i) {
    fake_server_start(&server, i % 2, serve[i / 2], NULL);
    open_lane();
    assert_int_equal(ask_lane("1"), 1);
    wait_left();
    assert_int_equal(rlc__socket_wait(lane.connection->stream.fd, POLLIN,
                                      rlc__clock_monotonic_us() + LONG_US),
                     0);
    lane.progress_us -= 2000000;
    assert_int_equal(ask_lane("2"), RLC__ERR_UNAVAILABLE);
    assert_int_equal(atomic_load(&server.commands), 1);
    assert_non_null(strstr(lane.why, "closed the idle connection"));
    rlc__lane_destroy(&lane);
    fake_server_stop(&server);
  }
}

/* What a server says unasked answers no command that comes soon after, either. */
static void unasked_test(void **state) {
  (void)state;
  fake_server_start(&server, 0, speak_unasked, NULL);
  open_lane();
  assert_int_equal(ask_lane("1"), 1);
  wait_left();
  (void)ask_lane("2");
  (void)ask_lane("3");
  rlc__lane_destroy(&lane);
  fake_server_stop(&server);
}

/* Answers once there are two connections. */
static void answer_pairs(fake_peer *peer) {
  while (read_own(peer)) {
    while (atomic_load(&peer->server->connections) < 2) {
      usleep(1000);
    }
    fake_say(peer, ":1\r\n");
  }
}

static void *call_once(void *user) {
  *(int *)user = run(NULL, "k", LONG_US, NULL, NULL);
  return NULL;
}

/* Also where the server has left all of several idle connections, who comes next gets a new one. */
static void all_left_test(void **state) {
  rlc__client_stats stats;
  pthread_t threads[2];
  int error[2] = {-1, -1};

  (void)state;
  start(0, answer_pairs, NULL, 2);
  for (int i = 0; i < 2; ++i) {
    pthread_create(&threads[i], NULL, call_once, &error[i]);
  }
  for (int i = 0; i < 2; ++i) {
    pthread_join(threads[i], NULL);
    assert_int_equal(error[i], 0);
  }
  while (rlc__client_get_stats(client, &stats), stats.connects < 2) {
    usleep(1000);
  }
  fake_hang_up(&server.peer[0]);
  fake_hang_up(&server.peer[1]);
  usleep(1100000); /* from then on a connection is looked at */
  assert_int_equal(run(NULL, "k", 2000000, NULL, NULL), 0);
  stop();
}

static void ignore(fake_peer *peer) {
  if (read_own(peer)) {
    fake_wait_stop(peer);
  }
}

/* A server that never answers costs each caller its deadline and no more. */
static void silent_test(void **state) {
  int64_t begun;

  (void)state;
  start(0, ignore, NULL, 1);
  begun = rlc__clock_monotonic_us();
  assert_int_equal(run(NULL, "k", SHORT_US, NULL, NULL), RLC__ERR_TIMEOUT);
  assert_in_range(rlc__clock_monotonic_us() - begun, SHORT_US, SHORT_US + 1000000);
  stop();
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
 * malloc, whoever calls it. */
#ifndef __SANITIZE_ADDRESS__
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

/* --- who is master ------------------------------------------------------------------------- */

static fake_server other;

/* Takes what a server of a cluster is asked: the slots, which all are |peer|'s own, where |named| by an
 * address, else by an empty host. Returns 0 for any other command. */
static int tell_slots(fake_peer *peer, int named) {
  char text[128];

  if (strcmp(peer->word[0], "CLUSTER") != 0) {
    return 0;
  }
  snprintf(text, sizeof text, "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n%s\r\n:%u\r\n",
           named ? "$9\r\n127.0.0.1" : "$0\r\n", (unsigned)peer->server->endpoint.port);
  fake_say(peer, text);
  return 1;
}

/* Says "-WORD slot host:port" of |to|. */
static void say_redirect(fake_peer *peer, const char *word, unsigned slot, const fake_server *to) {
  char text[128];

  snprintf(text, sizeof text, "-%s %u 127.0.0.1:%u\r\n", word, slot, (unsigned)to->endpoint.port);
  fake_say(peer, text);
}

static unsigned slot_of(const fake_peer *peer) {
  return rlc__cluster_slot(peer->word[1], peer->len[1]);
}

/* Counts what it is asked in |user|, and answers. */
static void lead_here(fake_peer *peer) {
  char *verbs = peer->server->user;

  while (read_own(peer)) {
    if (verbs != NULL) {
      strcat(strcat(verbs, peer->word[0]), " ");
    }
    fake_say(peer, strcmp(peer->word[0], "ASKING") == 0 ? "+OK\r\n" : ":42\r\n");
  }
}

/* Says that all slots are its own, then redirects each command with |user|'s word. */
static void redirect(fake_peer *peer) {
  while (read_own(peer)) {
    if (!tell_slots(peer, 1)) {
      say_redirect(peer, peer->server->user, slot_of(peer), &other);
    }
  }
}

static void start_cluster(fake_behaviour *serve, const char *word, char *verbs) {
  fake_server_start(&other, 1, lead_here, verbs);
  fake_server_start(&server, 1, serve, (void *)(uintptr_t)word);
  open_client(RLC__CLUSTER, 1);
}

static void stop_cluster(void) {
  stop();
  fake_server_stop(&other);
}

static void get_42(void) {
  long long number = 0;

  assert_int_equal(run(NULL, "k", LONG_US, &number, NULL), 0);
  assert_int_equal(number, 42);
}

/* MOVED leads to the server that it names, from then on. */
static void moved_test(void **state) {
  char verbs[256] = "";
  unsigned before;

  (void)state;
  start_cluster(redirect, "MOVED", verbs);
  get_42();
  assert_string_equal(verbs, "GET ");
  before = atomic_load(&server.commands);
  get_42(); /* but for a look at the slots, which the first one knows wrong */
  assert_in_range(atomic_load(&server.commands) - before, 0, 2);
  stop_cluster();
}

/* Answers the first GET, and redirects the others. */
static void answer_then_redirect(fake_peer *peer) {
  for (int commands = 0; read_own(peer);) {
    if (tell_slots(peer, 1)) {
      continue;
    }
    if (commands++ == 0) {
      fake_say(peer, ":7\r\n");
    } else {
      say_redirect(peer, peer->server->user, slot_of(peer), &other);
    }
  }
}

/* What undoes a command is for the server that ran it: no redirection takes it to another. */
static void only_test(void **state) {
  static const char *const words[] = {"MOVED", "ASK"};
  const rlc__bytes keys[] = {{"k", 1}};

  (void)state;
  for (int i = 0; i < 2; ++i) {
    char verbs[256] = "";
    rlc__request r;
    struct rlc__node *node = NULL;

    start_cluster(answer_then_redirect, words[i], verbs);
    for (int undo = 0; undo <= 1; ++undo) {
      r = (rlc__request){.command = "GET", .keys = keys, .n_keys = 1, .only = node};
      r.deadline_us = rlc__clock_monotonic_us() + LONG_US;
      if (rlc__client_begin(client, &r) == RLC_PENDING) {
        rlc__client_wait(client, &r);
      }
      assert_int_equal(r.error, undo ? RLC__ERR_REFUSED : 0);
      node = r.node;
      rlc__client_end(client, &r);
    }
    assert_string_equal(verbs, "");
    stop_cluster();
  }
}

/* ASK leads there this once, after ASKING. */
static void ask_test(void **state) {
  char verbs[256] = "";

  (void)state;
  start_cluster(redirect, "ASK", verbs);
  get_42();
  get_42();
  assert_string_equal(verbs, "ASKING GET ASKING GET ");
  stop_cluster();
}

static void redirect_falsely(fake_peer *peer) {
  while (read_own(peer)) {
    if (!tell_slots(peer, 1)) {
      say_redirect(peer, "MOVED", slot_of(peer) ^ 1, &other);
    }
  }
}

/* A server that speaks of another slot than it was asked for leads nowhere. */
static void other_slot_test(void **state) {
  char why[RLC_MESSAGE_SIZE];

  (void)state;
  start_cluster(redirect_falsely, NULL, NULL);
  assert_int_equal(run(NULL, "k", LONG_US, NULL, why), RLC__ERR_REFUSED);
  assert_non_null(strstr(why, "the server refused: MOVED "));
  assert_int_equal(atomic_load(&other.commands), 0);
  stop_cluster();
}

static void redirect_back(fake_peer *peer) {
  while (read_own(peer)) {
    if (!tell_slots(peer, 1)) {
      say_redirect(peer, "MOVED", slot_of(peer), peer->server == &server ? &other : &server);
    }
  }
}

/* Servers that send a command to each other for ever are left after some tries, or at the deadline. */
static void moved_storm_test(void **state) {
  char why[RLC_MESSAGE_SIZE];
  int64_t begun;

  (void)state;
  fake_server_start(&other, 1, redirect_back, NULL);
  fake_server_start(&server, 1, redirect_back, NULL);
  open_client(RLC__CLUSTER, 1);
  assert_int_equal(run(NULL, "k", LONG_US, NULL, why), RLC__ERR_REFUSED);
  assert_non_null(strstr(why, "MOVED"));
  assert_in_range(atomic_load(&server.commands) + atomic_load(&other.commands), 2, 40);
  begun = rlc__clock_monotonic_us();
  assert_true(run(NULL, "k", 25000, NULL, NULL) < 0);
  assert_in_range(rlc__clock_monotonic_us() - begun, 0, 1000000);
  stop_cluster();
}

/* A redirection to a server that never answers ends at the deadline. */
static void moved_nowhere_test(void **state) {
  int64_t begun;

  (void)state;
  fake_server_start(&other, 1, ignore, NULL);
  fake_server_start(&server, 1, redirect, (void *)(uintptr_t)"MOVED");
  open_client(RLC__CLUSTER, 1);
  begun = rlc__clock_monotonic_us();
  assert_true(run(NULL, "k", SHORT_US, NULL, NULL) < 0);
  assert_in_range(rlc__clock_monotonic_us() - begun, 0, SHORT_US + 1000000);
  stop_cluster();
}

/* Tells its slots without a host, then says what |user| says. */
static void refuse_in_turn(fake_peer *peer) {
  const char *const *says = peer->server->user;

  while (read_own(peer)) {
    if (!tell_slots(peer, 0)) {
      fake_say(peer, says[atomic_fetch_add(&turn, 1)]);
    }
  }
}

/* A server whose host is empty in the slots is the one that was asked. TRYAGAIN and CLUSTERDOWN pass. */
static void cluster_again_test(void **state) {
  const char *const says[] = {"-CLUSTERDOWN The cluster is down\r\n",
                              "-TRYAGAIN Multiple keys request during rehashing of slot\r\n",
                              "-CLUSTERDOWN Hash slot not served\r\n", ":42\r\n"};

  (void)state;
  atomic_store(&turn, 0);
  fake_server_start(&server, 1, refuse_in_turn, (void *)(uintptr_t)says);
  open_client(RLC__CLUSTER, 1);
  get_42();
  assert_int_equal(atomic_load(&turn), 4);
  stop();
}

/* What a server went on to refuse until the deadline is told. */
static void refused_to_the_end_test(void **state) {
  const char *says[64];
  char why[RLC_MESSAGE_SIZE];

  (void)state;
  for (int i = 0; i < 64; ++i) {
    says[i] = "-TRYAGAIN Multiple keys request during rehashing of slot\r\n";
  }
  atomic_store(&turn, 0);
  fake_server_start(&server, 1, refuse_in_turn, (void *)(uintptr_t)says);
  open_client(RLC__CLUSTER, 1);
  assert_int_equal(run(NULL, "k", SHORT_US, NULL, why), RLC__ERR_TIMEOUT);
  assert_non_null(strstr(why, "until the deadline the server refused: TRYAGAIN"));
  assert_in_range(atomic_load(&turn), 2, 12); /* with growing pauses */
  stop();
}

/* A cluster's server behind a plain URL is no store: the message says what to write. */
static void no_cluster_test(void **state) {
  const char *const says[] = {"-MOVED 1 127.0.0.1:1\r\n", NULL};
  char why[RLC_MESSAGE_SIZE];

  (void)state;
  assert_int_equal(try_says(says, NULL, why), RLC__ERR_REFUSED);
  assert_non_null(strstr(why, "redis+cluster://"));
  assert_int_equal(atomic_load(&turn), 1);
}

/* --- a server that is master no more ------------------------------------------------------- */

/* The first connection leads to what is a replica by now, the next ones, as through a balancer, to a
 * master. With |user| they lead to the replica too. */
static void demote(fake_peer *peer) {
  int is_master = peer->number > 0 && peer->server->user == NULL;

  while (fake_read(peer)) {
    if (strcmp(peer->word[0], "ROLE") == 0) {
      fake_say(peer, is_master ? "*1\r\n$6\r\nmaster\r\n" : "*1\r\n$5\r\nslave\r\n");
    } else if (strcmp(peer->word[0], "INFO") == 0) {
      fake_say(peer, "$0\r\n\r\n");
    } else {
      fake_say(peer, is_master ? ":42\r\n"
                               : "-READONLY You can't write against a read only replica.\r\n");
    }
  }
}

/* READONLY behind one name: it is looked up and connected anew, and the command goes there. */
static void demoted_test(void **state) {
  rlc__client_stats stats;

  (void)state;
  start(1, demote, NULL, 1);
  while (run(NULL, "k", LONG_US, NULL, NULL) == RLC__ERR_UNAVAILABLE) {
    /* It was asked once more when its connection gave way, and may have run. */
  }
  get_42();
  rlc__client_get_stats(client, &stats);
  assert_int_equal(stats.lost, 1);
  stop();
}

/* Where that is the same replica, nothing is gained: connections stay, looks are seldom. */
static void still_demoted_test(void **state) {
  rlc__client_stats stats;
  char why[RLC_MESSAGE_SIZE];

  (void)state;
  start(1, demote, &server, 1);
  assert_int_equal(run(NULL, "k", 500000, NULL, why), RLC__ERR_TIMEOUT);
  assert_non_null(strstr(why, "READONLY"));
  rlc__client_get_stats(client, &stats);
  assert_int_equal(stats.lost, 0);
  assert_in_range(atomic_load(&server.connections), 2, 8);
  stop();
}

/* --- sentinels ----------------------------------------------------------------------------- */

static void be_sentinel(fake_peer *peer) {
  char text[128];

  while (fake_read(peer)) {
    snprintf(text, sizeof text, "*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%u\r\n",
             snprintf(NULL, 0, "%u", (unsigned)other.endpoint.port),
             (unsigned)other.endpoint.port);
    fake_say(peer, text);
  }
}

/* Decisions go to the master that a sentinel names. */
static void sentinel_test(void **state) {
  (void)state;
  fake_server_start(&other, 1, lead_here, NULL);
  fake_server_start(&server, 1, be_sentinel, NULL);
  open_client(RLC__SENTINEL, 1);
  get_42();
  assert_int_equal(atomic_load(&server.connections), 1); /* which is kept */
  stop_cluster();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(noscript_test),  cmocka_unit_test(noscript_twice_test),
      cmocka_unit_test(words_test),     cmocka_unit_test(again_test),
      cmocka_unit_test(loading_test),   cmocka_unit_test(once_test),
      cmocka_unit_test(refusal_test),   cmocka_unit_test(sharing_test),
      cmocka_unit_test(lanes_test),     cmocka_unit_test(late_test),
      cmocka_unit_test(silent_test),    cmocka_unit_test(refused_test),
      cmocka_unit_test(past_test),      cmocka_unit_test(left_test),
      cmocka_unit_test(idle_test),      cmocka_unit_test(unasked_test),
      cmocka_unit_test(all_left_test),  cmocka_unit_test(ending_test),
      cmocka_unit_test(late_probe_test), cmocka_unit_test(only_test),
      cmocka_unit_test(probe_test),     cmocka_unit_test(fork_test),
      cmocka_unit_test(moved_test),     cmocka_unit_test(ask_test),
      cmocka_unit_test(other_slot_test), cmocka_unit_test(moved_storm_test),
      cmocka_unit_test(moved_nowhere_test), cmocka_unit_test(cluster_again_test),
      cmocka_unit_test(refused_to_the_end_test), cmocka_unit_test(no_cluster_test),
      cmocka_unit_test(demoted_test),   cmocka_unit_test(still_demoted_test),
      cmocka_unit_test(generations_test), cmocka_unit_test(fork_mid_dial_test),
      cmocka_unit_test(del_in_child_test),
#ifndef __SANITIZE_ADDRESS__
      cmocka_unit_test(fork_mid_call_test),
#endif
      cmocka_unit_test(sentinel_test),
  };
  return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}
