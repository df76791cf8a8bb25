/* SPDX-License-Identifier: Apache-2.0 */
#include <sched.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "client_help.h"
#include "redis/lane.h"
#include "redis/socket.h"

/* --- sharing ------------------------------------------------------------------------------- */

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

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(sharing_test),
      cmocka_unit_test(lanes_test),
      cmocka_unit_test(late_test),
      cmocka_unit_test(past_test),
      cmocka_unit_test(left_test),
      cmocka_unit_test(idle_test),
      cmocka_unit_test(unasked_test),
      cmocka_unit_test(all_left_test),
      cmocka_unit_test(silent_test),
  };

  return cmocka_run_group_tests_name("client_sharing", tests, NULL, NULL);
}
