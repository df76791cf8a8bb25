/* SPDX-License-Identifier: Apache-2.0 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/futex.h"
#include "base/memory.h"
#include "fake_server.h"
#include "redis/client.h"
#include "redis/node.h"

#define LONG_US INT64_C(20000000) /* no test that passes waits for it */
#define SHORT_US INT64_C(20000)

static fake_server server;
static rlc__client *client;
static _Atomic uint32_t left; /* callers that left at their deadline */

static void start(fake_behaviour *serve, unsigned connections) {
  const rlc__log log = {NULL, NULL};
  rlc__client_config config = {.topology = RLC__SINGLE,
                               .servers = &server.endpoint,
                               .n = 1,
                               .connections = connections,
                               .timeout_us = 25000};

  atomic_store(&left, 0);
  fake_server_start(&server, 0, serve, NULL);
  assert_int_equal(rlc__client_new(&client, &config, rlc__memory_or_default(NULL), &log), 0);
}

static void stop(void) {
  rlc__client_del(client);
  fake_server_stop(&server);
}

static void leave(void) {
  atomic_fetch_add(&left, 1);
  rlc__futex_wake_all(&left);
}

/* Waits until |n| callers have left. Returns 0 if they have not in |time_us|. */
static int wait_left(uint32_t n, int64_t time_us) {
  int64_t deadline = rlc__clock_monotonic_us() + time_us;
  uint32_t now;

  while ((now = atomic_load(&left)) < n && rlc__clock_monotonic_us() < deadline) {
    rlc__futex_wait(&left, now, deadline);
  }
  return now >= n;
}

/* Runs GET |number|; without |waits| it is sent and forgotten. Returns the error, or 1 for the answer to
 * something else. */
static int get(int number, int64_t time_us, int waits) {
  char key[16];
  const rlc__bytes keys[] = {{key, (size_t)snprintf(key, sizeof key, "%d", number)}};
  rlc__request r = {.command = "GET",
                    .keys = keys,
                    .n_keys = 1,
                    .deadline_us = rlc__clock_monotonic_us() + time_us};
  int rv;

  if (rlc__client_begin(client, &r) == RLC_PENDING && waits) {
    rlc__client_wait(client, &r);
  }
  rv = r.error;
  if (rv == 0 && waits) {
    rv = r.reply->type != REDIS_REPLY_INTEGER || r.reply->integer != number;
  }
  rlc__client_end(client, &r);
  if (rv == RLC__ERR_TIMEOUT) {
    leave();
  }
  return rv;
}

/* Reads the next command of the test's own. INFO is what the helper asks for itself. */
static int read_own(fake_peer *peer) {
  while (fake_read(peer)) {
    if (strcmp(peer->word[0], "INFO") != 0) {
      return 1;
    }
    fake_say(peer, "$0\r\n\r\n");
  }
  return 0;
}

static void echo(fake_peer *peer) {
  char text[64];

  snprintf(text, sizeof text, ":%s\r\n", peer->word[1]);
  fake_say(peer, text);
}

/* --- leaving ------------------------------------------------------------------------------- */

typedef struct caller {
  pthread_t thread;
  int number;
  int64_t time_us;
  int rv;
} caller;

static void *call_once(void *user) {
  caller *c = user;

  c->rv = get(c->number, c->time_us, 1);
  return NULL;
}

/* Answers 1 only when its caller has left. */
static void answer_who_left(fake_peer *peer) {
  while (read_own(peer)) {
    if (strcmp(peer->word[1], "1") == 0) {
      (void)wait_left(1, LONG_US);
    }
    echo(peer);
  }
}

/* Who reads for all and leaves at its deadline hands the reading on: those who sleep get their own
 * replies, though nobody new comes, and the late one answers nobody. */
static void reader_leaves_test(void **state) {
  caller c[5];
  rlc__client_stats stats;

  (void)state;
  start(answer_who_left, 1);
  assert_int_equal(get(9, LONG_US, 1), 0);
  for (int i = 0; i < 5; ++i) {
    c[i] = (caller){.number = i + 1, .time_us = i == 0 ? 5 * SHORT_US : LONG_US, .rv = -1};
    pthread_create(&c[i].thread, NULL, call_once, &c[i]);
    while (i == 0 && atomic_load(&server.commands) < 4) { /* two INFO, 9 and 1 */
      sched_yield();
    }
  }
  for (int i = 0; i < 5; ++i) {
    pthread_join(c[i].thread, NULL);
    assert_int_equal(c[i].rv, i == 0 ? RLC__ERR_TIMEOUT : 0);
  }
  rlc__client_get_stats(client, &stats);
  assert_int_equal(stats.late, 1);
  assert_int_equal(stats.lost, 0);
  stop();
}

/* --- everything at once -------------------------------------------------------------------- */

enum { CALLERS = 64, CALLS = 40, HANG_UPS = 12 };

static _Atomic unsigned asked;
static _Atomic unsigned hung_up;
static _Atomic int over;

/* Echoes numbers, now whole, now byte by byte; at times it says nothing until somebody has left, and at
 * times it hangs up. */
static void misbehave(fake_peer *peer) {
  while (read_own(peer)) {
    unsigned n = atomic_fetch_add(&asked, 1);

    if (n % 97 == 50 && !atomic_load(&over) && atomic_fetch_add(&hung_up, 1) < HANG_UPS) {
      return;
    }
    if (n % 61 == 30 && !atomic_load(&over)) {
      (void)wait_left(atomic_load(&left) + 1, 5 * SHORT_US);
    }
    if (n % 3 == 0) {
      char text[64];
      int len = snprintf(text, sizeof text, ":%s\r\n", peer->word[1]);

      for (int i = 0; i < len; ++i) {
        fake_write(peer, text + i, 1);
      }
    } else {
      echo(peer);
    }
  }
}

typedef struct crowd_member {
  pthread_t thread;
  int number;
  int answered;
  int wrong;
  int64_t longest_us; /* past the deadline */
} crowd_member;

static void *call_often(void *user) {
  crowd_member *m = user;

  for (int i = 0; i < CALLS; ++i) {
    int number = m->number * 1000 + i;
    int64_t time_us = SHORT_US / 8 * (1 + number % 8);
    int64_t begun = rlc__clock_monotonic_us();
    int waits = number % 7 != 0;
    int rv = get(number, time_us, waits);
    int64_t past_us = rlc__clock_monotonic_us() - begun - time_us;

    m->wrong += rv > 0 || rv == RLC__ERR_PROTOCOL;
    m->answered += rv == 0 && waits;
    m->longest_us = past_us > m->longest_us ? past_us : m->longest_us;
  }
  return NULL;
}

static void crowd(unsigned connections) {
  crowd_member m[CALLERS];
  int answered = 0;

  atomic_store(&asked, 0);
  atomic_store(&hung_up, 0);
  atomic_store(&over, 0);
  start(misbehave, connections);
  for (int i = 0; i < CALLERS; ++i) {
    m[i] = (crowd_member){.number = i + 1};
    assert_int_equal(pthread_create(&m[i].thread, NULL, call_often, &m[i]), 0);
  }
  for (int i = 0; i < CALLERS; ++i) {
    pthread_join(m[i].thread, NULL);
    answered += m[i].answered;
    assert_int_equal(m[i].wrong, 0);
    assert_true(m[i].longest_us < 2000000);
  }
  assert_true(answered > 0);
  assert_true(atomic_load(&left) > 0);
  assert_true(atomic_load(&hung_up) > 0);
  atomic_store(&over, 1);
  leave();
  assert_int_equal(get(7, LONG_US, 1), 0); /* it has got over it */
  stop();
}

/* Threads that leave early or at once, a server that stalls and hangs up: each call returns at its
 * deadline, and no reply goes to anyone but who asked; on one lane and on several. */
static void crowd_test(void **state) {
  (void)state;
  crowd(1);
  crowd(8);
}

/* --- picking ------------------------------------------------------------------------------- */

/* Which of |open| lanes, with |first| callers on the first and |others| on each other, one more chooses: its
 * number from 1, or 0 for none. */
static unsigned pick(unsigned open, unsigned first, unsigned others, int *more) {
  static _Atomic uint64_t late;
  static _Atomic uint64_t lost;
  rlc__endpoint endpoint;
  rlc__lane *lane;
  rlc__node *node;
  unsigned number;

  memset(&endpoint, 0, sizeof endpoint);
  assert_int_equal(rlc__node_new(&node, &endpoint, 8, 1000000, &late, &lost), 0);
  for (unsigned i = 0; i < open; ++i) {
    atomic_store(&node->lane[i].is_open, 1);
    atomic_store(&node->lane[i].users, i == 0 ? first : others);
  }
  lane = rlc__node_pick(node, more);
  number = lane == NULL ? 0 : (unsigned)(lane - node->lane) + 1;
  for (unsigned i = 0; i < open; ++i) {
    atomic_store(&node->lane[i].is_open, 0);
  }
  rlc__node_del(node);
  return number;
}

/* A few callers have a lane each; many share two; a crowd has more. A lane that would not be used is not
 * asked for. */
static void pick_test(void **state) {
  int more;

  (void)state;
  assert_int_equal(pick(0, 0, 0, &more), 0);
  assert_int_equal(more, 1);
  assert_int_equal(pick(1, 0, 0, &more), 1); /* idle */
  assert_int_equal(more, 0);
  assert_int_equal(pick(1, 1, 0, &more), 1); /* the second caller would have a second lane */
  assert_int_equal(more, 1);
  assert_int_equal(pick(3, 1, 1, &more), 1); /* and the fourth a fourth */
  assert_int_equal(more, 1);
  assert_int_equal(pick(4, 3, 0, &more), 2);
  assert_int_equal(more, 0);
  assert_int_equal(pick(8, 8, 1, &more), 2); /* sixteen gather on two */
  assert_int_equal(more, 0);
  assert_int_equal(pick(2, 4, 5, &more), 1); /* ten need no third */
  assert_int_equal(more, 0);
  assert_int_equal(pick(2, 16, 16, &more), 1); /* 33 do */
  assert_int_equal(more, 1);
  assert_int_equal(pick(3, 16, 14, &more), 2); /* 45: the least used of three */
  assert_int_equal(more, 0);
  assert_int_equal(pick(8, 99, 98, &more), 2);
  assert_int_equal(more, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(reader_leaves_test),
      cmocka_unit_test(crowd_test),
      cmocka_unit_test(pick_test),
  };
  return cmocka_run_group_tests_name("lane", tests, NULL, NULL);
}
