/* SPDX-License-Identifier: Apache-2.0 */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "redis_server.h"
#include "rlcore/rlcore.h"

#define MANY 1000u
#define LONG_MS 20000

static redis_server server;
static rlc_limiter *limiter;
static rlc_queue *queue;
static rlc_policy *policy;

static void open_queue(const char *url, const char *text) {
  char why[RLC_MESSAGE_SIZE] = "";

  if (rlc_limiter_new(&limiter, url, NULL, why, sizeof why) != 0) {
    fail_msg("%s", why);
  }
  assert_int_equal(rlc_queue_new(&queue, limiter), 0);
  assert_int_equal(rlc_policy_new(&policy, "p", text, NULL, NULL, 0), 0);
}

/* On the real server; |options| is a URL's. */
static void open_redis(const char *options, const char *text) {
  char url[256];

  snprintf(url, sizeof url, "%s?%s", server.url, options);
  assert_int_equal(redis_server_allow(&server, url), 0);
  open_queue(url, text);
}

static int close_all(void **state) {
  (void)state;
  rlc_queue_del(queue);
  queue = NULL;
  rlc_limiter_del(limiter);
  limiter = NULL;
  rlc_policy_del(policy);
  policy = NULL;
  return 0;
}

static rlc_limit limit_of(const char *key) {
  rlc_limit limit = RLC_LIMIT_INIT;

  limit.policy = policy;
  limit.key = key;
  limit.key_len = strlen(key);
  return limit;
}

static int submit(const char *key, void *user, rlc_decision *d) {
  char own[32];
  rlc_limit limit;
  int rv;

  snprintf(own, sizeof own, "%s", key); /* the queue keeps a copy */
  limit = limit_of(own);
  rv = rlc_queue_submit(queue, RLC_OP_CHECK, &limit, 1, user, NULL, d);
  memset(own, 'x', sizeof own);
  return rv;
}

static int readable(int timeout_ms) {
  struct pollfd wanted = {rlc_queue_get_fd(queue), POLLIN, 0};

  return poll(&wanted, 1, timeout_ms);
}

/* Waits for one decision as an event loop does. */
static int complete(void **user, rlc_decision *d) {
  for (;;) {
    int rv = rlc_queue_complete(queue, user, NULL, d);

    if (rv != RLC_PENDING) {
      return rv;
    }
    assert_true(rlc_queue_get_pending(queue) > 0);
    assert_int_equal(readable(LONG_MS), 1);
  }
}

/* What needs no waiting is decided at once. */
static void at_once_test(void **state) {
  rlc_decision d = RLC_DECISION_INIT;
  void *user;

  (void)state;
  open_queue("memory:", "2/day");
  assert_int_equal(submit("k", NULL, &d), 0);
  assert_int_equal(d.result.remaining, 1);
  assert_int_equal(submit("k", NULL, &d), 0);
  assert_int_equal(submit("k", NULL, &d), 0);
  assert_int_equal(d.allowed, 0);
  assert_int_equal(rlc_queue_complete(queue, &user, NULL, &d), RLC_PENDING);
  assert_int_equal(rlc_queue_get_pending(queue), 0);
}

/* A thousand at once, by one thread, on few connections: each gets its own answer, once, and no more
 * pass than the quota. */
static void many_test(void **state) {
  static unsigned char seen[MANY];
  rlc_stats stats = RLC_STATS_INIT;
  unsigned allowed = 0;

  (void)state;
  memset(seen, 0, sizeof seen);
  open_redis("timeout=20s&prefix=many", "600/day");
  for (unsigned i = 0; i < MANY; ++i) {
    assert_int_equal(submit("k", &seen[i], NULL), RLC_PENDING);
  }
  assert_int_equal(rlc_queue_get_pending(queue), MANY);
  for (unsigned i = 0; i < MANY; ++i) {
    rlc_decision d = RLC_DECISION_INIT;
    void *user;

    assert_int_equal(complete(&user, &d), 0);
    assert_int_equal(d.source, RLC_SOURCE_STORE);
    allowed += d.allowed != 0;
    ++*(unsigned char *)user;
  }
  for (unsigned i = 0; i < MANY; ++i) {
    assert_int_equal(seen[i], 1);
  }
  assert_int_equal(allowed, 600);
  assert_int_equal(rlc_limiter_get_stats(limiter, &stats), 0);
  assert_int_equal(stats.allowed, 600);
  assert_in_range(stats.connects, 1, 2); /* the helper thread may have asked for news meanwhile */
}

/* Every verb has the meaning that it has for one who waits, results and all. */
static void verbs_test(void **state) {
  rlc_result result = RLC_RESULT_INIT;
  rlc_decision d = RLC_DECISION_INIT;
  static const struct {
    rlc_op op;
    uint64_t cost, remaining;
  } steps[] = {{RLC_OP_CHECK, 3, 7}, {RLC_OP_PEEK, 1, 7},   {RLC_OP_CHARGE, 4, 3},
               {RLC_OP_REFUND, 2, 5}, {RLC_OP_RESET, 0, 10}, {RLC_OP_PEEK, 1, 10},
               {RLC_OP_GRANT, 8, 2}, {RLC_OP_GRANT, 8, 0},  {RLC_OP_GRANT, 8, 0}};
  rlc_limit limit;
  void *user;

  (void)state;
  open_redis("timeout=20s&prefix=verbs", "10/day");
  limit = limit_of("k");
  for (size_t i = 0; i < sizeof steps / sizeof *steps; ++i) {
    limit.cost = steps[i].cost;
    assert_int_equal(rlc_queue_submit(queue, steps[i].op, &limit, 1, &limit, NULL, NULL),
                     RLC_PENDING);
    while (rlc_queue_complete(queue, &user, &result, &d) == RLC_PENDING) {
      assert_int_equal(readable(LONG_MS), 1);
    }
    assert_ptr_equal(user, &limit);
    assert_int_equal(result.remaining, steps[i].remaining);
    assert_int_equal(d.result.remaining, steps[i].remaining);
  }
}

/* A limit's group is copied: it tells what the local fallback counts at the deadline. */
static void groups_test(void **state) {
  char group[] = "g\0h";
  rlc_limit limits[2];
  rlc_result results[2] = {RLC_RESULT_INIT, RLC_RESULT_INIT};
  void *user;

  (void)state;
  open_redis("timeout=30ms&fail=local&prefix=groups", "10/day");
  limits[0] = limits[1] = limit_of("k");
  limits[1].group = group;
  limits[1].group_len = 3;
  limits[1].cost = 2;
  kill(server.pid, SIGSTOP);
  for (unsigned i = 1; i <= 2; ++i) {
    memcpy(group, "g\0h", 3);
    assert_int_equal(rlc_queue_submit(queue, RLC_OP_CHECK, limits, 2, NULL, NULL, NULL),
                     RLC_PENDING);
    memset(group, 'x', i + 1);
    while (rlc_queue_complete(queue, &user, results, NULL) == RLC_PENDING) {
      assert_int_equal(readable(LONG_MS), 1);
    }
    assert_int_equal(results[1].source, RLC_SOURCE_FALLBACK);
    assert_int_equal(results[0].remaining, 10 - i);
    assert_int_equal(results[1].remaining, 10 - 2 * i);
  }
  kill(server.pid, SIGCONT);
}

/* A server that does not answer: the descriptor becomes readable at the deadline, and the fail policy
 * decides. Once the breaker is open that is at once. */
static void deadline_test(void **state) {
  rlc_decision d = RLC_DECISION_INIT;
  unsigned late = 0;
  void *user;

  (void)state;
  open_redis("timeout=30ms&fail=open&prefix=late", "10/day");
  do { /* connecting may take longer */
    d = (rlc_decision)RLC_DECISION_INIT;
    if (submit("k", NULL, &d) == RLC_PENDING) {
      assert_true(complete(&user, &d) >= 0);
    }
  } while (d.source != RLC_SOURCE_STORE);
  kill(server.pid, SIGSTOP);
  for (int i = 0; i < 50; ++i) {
    int64_t begun = rlc__clock_monotonic_us();

    d = (rlc_decision)RLC_DECISION_INIT;
    if (submit("k", &d, &d) == RLC_PENDING) {
      assert_int_equal(complete(&user, &d), RLC_DEGRADED);
      assert_true(rlc__clock_monotonic_us() - begun >= 30000);
      ++late;
    }
    assert_int_equal(d.source, RLC_SOURCE_FAIL_OPEN);
    assert_int_equal(d.allowed, 1);
  }
  kill(server.pid, SIGCONT);
  assert_in_range(late, 5, 10);
}

/* A server that nobody listens for: decided as soon as that is known. */
static void nobody_test(void **state) {
  rlc_decision d = RLC_DECISION_INIT;
  void *user = NULL;
  int rv;

  (void)state;
  open_queue("redis+unix:///nonexistent/socket?timeout=20s&fail=closed", "10/day");
  rv = submit("k", &d, &d);
  if (rv == RLC_PENDING) {
    rv = complete(&user, &d);
    assert_ptr_equal(user, &d);
  }
  assert_int_equal(rv, RLC_DEGRADED);
  assert_int_equal(d.source, RLC_SOURCE_FAIL_CLOSED);
}

/* Once that is known the loop is woken for it, and not at the deadline. */
static void nobody_again_test(void **state) {
  rlc_decision d = RLC_DECISION_INIT;
  void *user;

  (void)state;
  open_queue("redis+unix:///nonexistent/socket?timeout=20s&fail=closed", "10/day");
  for (int i = 0; i < 5; ++i) { /* later ones would wait for one more attempt, each after a longer pause */
    assert_int_equal(submit("k", NULL, NULL), RLC_PENDING);
    assert_int_equal(readable(i == 0 ? LONG_MS : 50), 1);
    assert_int_equal(complete(&user, &d), RLC_DEGRADED);
  }
}

static void *wait_for_many(void *user) {
  unsigned *allowed = user;

  for (unsigned i = 0; i < MANY; ++i) {
    rlc_limit limit = limit_of("k");
    rlc_decision d = RLC_DECISION_INIT;

    if (rlc_limiter_check(limiter, &limit, 1, NULL, &d) == 0 && d.allowed) {
      ++*allowed;
    }
  }
  return NULL;
}

/* Threads that wait share the queue's connections: whoever reads hands out to the others. */
static void threads_test(void **state) {
  pthread_t threads[4];
  unsigned allowed[5] = {0};
  unsigned sent = 0, done = 0;

  (void)state;
  open_redis("timeout=20s&prefix=threads&connections=1", "3000/day");
  for (int i = 0; i < 4; ++i) {
    assert_int_equal(pthread_create(&threads[i], NULL, wait_for_many, &allowed[i]), 0);
  }
  while (done < MANY) {
    rlc_decision d = RLC_DECISION_INIT;
    void *user;

    while (sent < MANY && sent - done < 20) {
      assert_int_equal(submit("k", NULL, NULL), RLC_PENDING);
      ++sent;
    }
    assert_int_equal(complete(&user, &d), 0);
    allowed[4] += d.allowed != 0;
    ++done;
  }
  for (int i = 0; i < 4; ++i) {
    pthread_join(threads[i], NULL);
  }
  assert_int_equal(allowed[0] + allowed[1] + allowed[2] + allowed[3] + allowed[4], 3000);
}

/* A script that the server forgets is sent again without the queue's doing. */
static void forgotten_test(void **state) {
  rlc_decision d = RLC_DECISION_INIT;
  void *user;

  (void)state;
  open_redis("timeout=20s&prefix=forgot", "10/day");
  for (int i = 0; i < 3; ++i) {
    redis_server_command(&server, "SCRIPT FLUSH");
    assert_int_equal(submit("k", NULL, NULL), RLC_PENDING);
    assert_int_equal(complete(&user, &d), 0);
    assert_int_equal(d.result.remaining, 9 - i);
  }
}

/* What is pending at the end is forgotten; a queue leaves nothing behind that a later one meets. */
static void forget_test(void **state) {
  (void)state;
  open_redis("timeout=20s&prefix=forget", "1000/day");
  for (int i = 0; i < 20; ++i) {
    rlc_decision d = RLC_DECISION_INIT;
    void *user;

    assert_int_equal(submit("k", NULL, NULL), RLC_PENDING);
    assert_int_equal(complete(&user, &d), 0);
    for (int k = 0; k < 10; ++k) {
      assert_int_equal(submit("k", NULL, NULL), RLC_PENDING);
    }
    rlc_queue_del(queue);
    assert_int_equal(rlc_queue_new(&queue, limiter), 0);
  }
}

/* Misuse is refused. */
static void misuse_test(void **state) {
  rlc_decision d = RLC_DECISION_INIT;
  rlc_queue *other;
  rlc_limit limit;
  void *user;

  (void)state;
  open_queue("memory:", "10/day");
  limit = limit_of("k");
  assert_int_equal(rlc_queue_new(&other, NULL), RLC_ERR_INVALID);
  assert_null(other);
  assert_int_equal(rlc_queue_submit(NULL, RLC_OP_CHECK, &limit, 1, NULL, NULL, &d),
                   RLC_ERR_INVALID);
  assert_int_equal(rlc_queue_submit(queue, (rlc_op)0, &limit, 1, NULL, NULL, &d), RLC_ERR_INVALID);
  assert_int_equal(rlc_queue_submit(queue, (rlc_op)7, &limit, 1, NULL, NULL, &d), RLC_ERR_INVALID);
  assert_int_equal(rlc_queue_submit(queue, RLC_OP_CHECK, &limit, 0, NULL, NULL, &d),
                   RLC_ERR_INVALID);
  assert_int_equal(rlc_queue_complete(NULL, &user, NULL, &d), RLC_ERR_INVALID);
  assert_int_equal(rlc_queue_complete(queue, NULL, NULL, &d), RLC_ERR_INVALID);
  assert_int_equal(rlc_queue_get_fd(NULL), -1);
  rlc_queue_del(NULL);
}

/* How often an event loop that has nothing pending is woken within 200 ms. */
static unsigned idle_wakes(void) {
  int64_t end = rlc__clock_monotonic_us() + 200000;
  unsigned wakes = 0;

  while (rlc__clock_monotonic_us() < end && wakes < 1000) {
    rlc_decision d = RLC_DECISION_INIT;
    void *user;

    assert_int_equal(rlc_queue_complete(queue, &user, NULL, &d), RLC_PENDING);
    wakes += readable(20) == 1;
  }
  return wakes;
}

/* One decision by the store. */
static void decide_once(void) {
  rlc_decision d = RLC_DECISION_INIT;
  void *user;

  do { /* connecting may take longer than the deadline */
    d = (rlc_decision)RLC_DECISION_INIT;
    if (submit("k", NULL, &d) == RLC_PENDING) {
      assert_true(complete(&user, &d) >= 0);
    }
  } while (d.source != RLC_SOURCE_STORE);
}

/* A reply that comes when nobody waits for it any more does not keep the loop awake, and what is asked
 * after it is answered. */
static void late_reply_test(void **state) {
  rlc_decision d = RLC_DECISION_INIT;
  void *user;

  (void)state;
  open_redis("timeout=60ms&fail=open&prefix=latereply", "1000/day");
  for (int i = 0; i < 3; ++i) {
    decide_once();
    kill(server.pid, SIGSTOP);
    assert_int_equal(submit("k", NULL, NULL), RLC_PENDING);
    assert_int_equal(complete(&user, &d), RLC_DEGRADED);
    kill(server.pid, SIGCONT);
    assert_in_range(idle_wakes(), 0, 10);
  }
}

/* Nor does a server that hangs up on an idle connection, whether or not a forked process has it as well;
 * the next decision finds another. */
static void hang_up_test(void **state) {
  rlc_decision d = RLC_DECISION_INIT;
  pid_t child;
  void *user;

  (void)state;
  open_redis("timeout=5s&fail=open&prefix=hangup", "1000/day");
  for (int forked = 0; forked <= 1; ++forked) {
    decide_once();
    child = forked ? fork() : -1;
    if (child == 0) {
      pause();
    }
    redis_server_command(&server, "CLIENT KILL TYPE normal");
    assert_in_range(idle_wakes(), 0, 10);
    sleep(1); /* from then on a connection is looked at before it is used */
    assert_int_equal(submit("k", NULL, NULL), RLC_PENDING);
    assert_int_equal(readable(1000), 1);
    assert_int_equal(complete(&user, &d), 0);
    assert_in_range(idle_wakes(), 0, 10);
    if (forked) {
      kill(child, SIGKILL);
      waitpid(child, NULL, 0);
    }
  }
}

static int64_t own_time_us(void) {
  struct timespec t;

  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Ten thousand that a silent server has not answered: to forget one takes no longer the more there are
 * (else it took fifty times as long as to submit them). */
static void many_forgotten_test(void **state) {
  int64_t begun, submitted;

  (void)state;
  open_redis("timeout=5s&fail=open&prefix=manyforgot", "10/day");
  decide_once();
  kill(server.pid, SIGSTOP);
  begun = own_time_us();
  for (unsigned i = 0; i < 10 * MANY; ++i) {
    assert_int_equal(submit("k", NULL, NULL), RLC_PENDING);
  }
  submitted = own_time_us();
  rlc_queue_del(queue);
  queue = NULL;
  kill(server.pid, SIGCONT);
  assert_in_range(own_time_us() - submitted, 0, 5 * (submitted - begun));
}

static int start_server(void **state) {
  (void)state;
  return redis_server_start(&server);
}

static int stop_server(void **state) {
  (void)state;
  redis_server_stop(&server);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(at_once_test, close_all),
      cmocka_unit_test_teardown(many_test, close_all),
      cmocka_unit_test_teardown(verbs_test, close_all),
      cmocka_unit_test_teardown(groups_test, close_all),
      cmocka_unit_test_teardown(deadline_test, close_all),
      cmocka_unit_test_teardown(nobody_test, close_all),
      cmocka_unit_test_teardown(nobody_again_test, close_all),
      cmocka_unit_test_teardown(threads_test, close_all),
      cmocka_unit_test_teardown(forgotten_test, close_all),
      cmocka_unit_test_teardown(forget_test, close_all),
      cmocka_unit_test_teardown(late_reply_test, close_all),
      cmocka_unit_test_teardown(hang_up_test, close_all),
      cmocka_unit_test_teardown(many_forgotten_test, close_all),
      cmocka_unit_test_teardown(misuse_test, close_all),
  };
  return cmocka_run_group_tests_name("queue", tests, start_server, stop_server);
}
