/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "failing_memory.h"
#include "redis_server.h"
#include "rlcore/rlcore.h"

#define NOW INT64_C(1790000000000000)
#define S INT64_C(1000000)
#define STORES 3

static redis_server server;
static _Atomic int64_t now;
static _Atomic int asked; /* how often a store asked for the time */
static unsigned lines;
static char last_line[RLC_MESSAGE_SIZE];

static int64_t passed_in(void *user) {
  (void)user;
  atomic_fetch_add(&asked, 1);
  return atomic_load(&now);
}

static void keep_line(rlc_log_level level, const char *id, const char *message, void *user) {
  (void)user;
  if (level <= RLC_LOG_WARNING) {
    ++lines;
    snprintf(last_line, sizeof last_line, "%s %s", id, message);
  }
}

static rlc_limiter *open_url(const char *url, const rlc_memory *memory) {
  rlc_limiter *limiter;
  rlc_options *options;
  char why[RLC_MESSAGE_SIZE];

  atomic_store(&now, NOW);
  assert_int_equal(rlc_options_new(&options, memory), 0);
  rlc_options_set_test_clock(options, passed_in, NULL);
  rlc_options_set_log(options, keep_line, NULL);
  if (rlc_limiter_new(&limiter, url, options, why, sizeof why) != 0) {
    fail_msg("%s: %s", url, why);
  }
  rlc_options_del(options);
  return limiter;
}

/* Each kind of store by turns, a new one each time. */
static rlc_limiter *open_store(unsigned i) {
  static const char *const urls[] = {"memory:", "shm:"};
  static unsigned opened;
  char url[256];

  if (i < 2) {
    return open_url(urls[i], NULL);
  }
  snprintf(url, sizeof url, "%s?timeout=20s&fail=closed&prefix=lease%u", server.url, ++opened);
  assert_int_equal(redis_server_allow(&server, url), 0);
  return open_url(url, NULL);
}

static rlc_policy *policy_of(const char *text) {
  rlc_policy *policy;
  char why[RLC_MESSAGE_SIZE];

  if (rlc_policy_new(&policy, NULL, text, NULL, why, sizeof why) != 0) {
    fail_msg("%s: %s", text, why);
  }
  return policy;
}

static rlc_limit limit_of(const rlc_policy *policy, const char *key, uint64_t cost) {
  rlc_limit limit = RLC_LIMIT_INIT;

  limit.policy = policy;
  limit.key = key;
  limit.key_len = strlen(key);
  limit.cost = cost;
  return limit;
}

static uint64_t left(rlc_limiter *l, const rlc_policy *policy, const char *key) {
  rlc_limit limit = limit_of(policy, key, 0);
  rlc_decision d = RLC_DECISION_INIT;

  assert_int_equal(rlc_limiter_peek(l, &limit, 1, NULL, &d), 0);
  return d.result.remaining;
}

static rlc_lease *acquire(rlc_limiter *l, const rlc_policy *policy, const char *key,
                          uint64_t cost) {
  rlc_limit limit = limit_of(policy, key, cost);
  rlc_decision d = RLC_DECISION_INIT;
  rlc_lease *lease;

  assert_int_equal(rlc_limiter_acquire(l, &limit, 1, &lease, NULL, &d), 0);
  assert_int_equal(lease != NULL, d.allowed);
  assert_int_equal(d.result.charged, d.allowed ? cost : 0);
  return lease;
}

static void spend(rlc_limiter *l, const rlc_policy *policy, const char *key, uint64_t cost) {
  rlc_limit limit = limit_of(policy, key, cost);
  rlc_decision d = RLC_DECISION_INIT;

  assert_int_equal(rlc_limiter_check(l, &limit, 1, NULL, &d), 0);
  assert_int_equal(d.allowed, 1);
}

static uint64_t lost(rlc_limiter *l) {
  rlc_stats stats = RLC_STATS_INIT;

  assert_int_equal(rlc_limiter_get_stats(l, &stats), 0);
  return stats.leases_lost;
}

/* 500 are reserved and 312 used: 188 come back, not one more or less, by every algorithm in every store;
 * with other charges in between, and with stacks. */
static void commit_test(void **state) {
  static const char *const texts[] = {
      "1000/day", "1000/day,2000/week", "7001/day burst=1000", "1000/h algorithm=fixed-window",
      "1000/month algorithm=fixed-window", "1000/h algorithm=sliding-window",
      "900/min,1000/h algorithm=sliding-window", "1000/day algorithm=sliding-log", "1000/day debt=70"};

  (void)state;
  for (unsigned i = 0; i < STORES; ++i) {
    rlc_limiter *l = open_store(i);

    for (size_t t = 0; t < sizeof texts / sizeof *texts; ++t) {
      rlc_policy *policy = policy_of(texts[t]);
      uint64_t all = left(l, policy, "k");
      const uint64_t used = 312;
      rlc_lease *lease = acquire(l, policy, "k", 500);

      rlc_lease_del(acquire(l, policy, "k", 0)); /* holds nothing */
      assert_int_equal(left(l, policy, "k"), all - 500);
      rlc_lease_del(acquire(l, policy, "k", 100)); /* released by its end */
      assert_int_equal(left(l, policy, "k"), all - 500);
      assert_int_equal(rlc_lease_commit(lease, &used), 0);
      assert_int_equal(left(l, policy, "k"), all - 312);
      assert_int_equal(rlc_lease_commit(lease, &used), RLC_ERR_INVALID);
      assert_int_equal(rlc_lease_release(lease), RLC_ERR_INVALID);
      rlc_lease_del(lease);
      assert_int_equal(left(l, policy, "k"), all - 312);
      rlc_policy_del(policy);
    }
    rlc_limiter_del(l);
  }
}

/* Released is as if it had never been; NULL costs say that all was used; and a reservation that nobody
 * settles is the charge that it is. */
static void release_test(void **state) {
  (void)state;
  for (unsigned i = 0; i < STORES; ++i) {
    rlc_limiter *l = open_store(i);
    rlc_policy *policy = policy_of("10/h algorithm=fixed-window");
    rlc_lease *lease = acquire(l, policy, "k", 10);

    assert_null(acquire(l, policy, "k", 1));
    assert_int_equal(rlc_lease_release(lease), 0);
    assert_int_equal(left(l, policy, "k"), 10);
    rlc_lease_del(lease);
    lease = acquire(l, policy, "k", 4);
    assert_int_equal(rlc_lease_commit(lease, NULL), 0);
    rlc_lease_del(lease);
    assert_int_equal(left(l, policy, "k"), 6);
    lease = acquire(l, policy, "k", 6);
    atomic_fetch_add(&now, 2800 * S); /* the hour is over: nothing is left to give back of it */
    assert_int_equal(left(l, policy, "k"), 10);
    spend(l, policy, "k", 9);
    assert_int_equal(rlc_lease_release(lease), 0);
    assert_int_equal(left(l, policy, "k"), 1);
    rlc_lease_del(lease);
    rlc_policy_del(policy);
    rlc_limiter_del(l);
  }
}

/* What a bucket has refilled meanwhile is not given back once more. */
static void refill_test(void **state) {
  (void)state;
  for (unsigned i = 0; i < STORES; ++i) {
    rlc_limiter *l = open_store(i);
    rlc_policy *policy = policy_of("10/10s");
    rlc_lease *lease = acquire(l, policy, "k", 10);

    atomic_fetch_add(&now, 4 * S);
    assert_int_equal(left(l, policy, "k"), 4);
    assert_int_equal(rlc_lease_release(lease), 0);
    assert_int_equal(left(l, policy, "k"), 10);
    rlc_lease_del(lease);
    lease = acquire(l, policy, "k", 10);
    atomic_fetch_add(&now, 4 * S);
    rlc_lease_del(acquire(l, policy, "k", 4)); /* and so it is for whoever came since */
    spend(l, policy, "k", 4);
    assert_int_equal(rlc_lease_release(lease), 0);
    assert_int_equal(left(l, policy, "k"), 6);
    rlc_lease_del(lease);
    rlc_policy_del(policy);
    rlc_limiter_del(l);
  }
}

/* What was used above is charged, into debt if need be, and what a limit may not owe is cut. */
static void above_test(void **state) {
  (void)state;
  for (unsigned i = 0; i < STORES; ++i) {
    rlc_limiter *l = open_store(i);
    rlc_policy *policy = policy_of("100/day debt=50");
    rlc_limit limit = limit_of(policy, "k", 1);
    rlc_decision d = RLC_DECISION_INIT;
    const uint64_t used = 130;
    rlc_lease *lease = acquire(l, policy, "k", 80);

    assert_int_equal(rlc_lease_commit(lease, &used), 0);
    rlc_lease_del(lease);
    assert_int_equal(rlc_limiter_check(l, &limit, 1, NULL, &d), 0);
    assert_int_equal(d.allowed, 0);
    assert_int_equal(d.result.remaining, 0);
    assert_int_equal(d.result.retry_us, 31 * 864 * S); /* 30 owed, and one */
    limit.cost = 1000;
    assert_int_equal(rlc_limiter_charge(l, &limit, 1, NULL, &d), 0);
    assert_int_equal(d.result.charged, 20);
    limit.cost = 1;
    assert_int_equal(rlc_limiter_check(l, &limit, 1, NULL, &d), 0);
    assert_int_equal(d.result.retry_us, 51 * 864 * S);
    atomic_fetch_add(&now, 51 * 864 * S - 1);
    assert_int_equal(rlc_limiter_check(l, &limit, 1, NULL, &d), 0);
    assert_int_equal(d.allowed, 0);
    atomic_fetch_add(&now, 1);
    assert_int_equal(rlc_limiter_check(l, &limit, 1, NULL, &d), 0);
    assert_int_equal(d.allowed, 1);
    rlc_policy_del(policy);
    rlc_limiter_del(l);
  }
}

/* Several limits are settled each by its own cost; one that stands twice by both. */
static void several_test(void **state) {
  (void)state;
  for (unsigned i = 0; i < STORES; ++i) {
    rlc_limiter *l = open_store(i);
    rlc_policy *a = policy_of("100/day");
    rlc_policy *b = policy_of("100/day algorithm=fixed-window");
    rlc_policy *slots = policy_of("3/30s algorithm=concurrency");
    rlc_limit limits[] = {limit_of(a, "k", 10), limit_of(b, "k", 20), limit_of(slots, "k", 2),
                          limit_of(a, "k", 30)};
    const uint64_t used[] = {1, 50, 2, 4};
    rlc_result results[] = {RLC_RESULT_INIT, RLC_RESULT_INIT, RLC_RESULT_INIT, RLC_RESULT_INIT};
    rlc_lease *lease;

    assert_int_equal(rlc_limiter_acquire(l, limits, 4, &lease, results, NULL), 0);
    assert_non_null(lease);
    assert_int_equal(results[0].charged, 40);
    assert_int_equal(results[1].charged, 20);
    assert_int_equal(results[2].charged, 2);
    assert_int_equal(left(l, slots, "k"), 1);
    assert_int_equal(rlc_lease_commit(lease, used), 0);
    rlc_lease_del(lease);
    assert_int_equal(left(l, a, "k"), 95);
    assert_int_equal(left(l, b, "k"), 50);
    assert_int_equal(left(l, slots, "k"), 3);
    limits[1].cost = 51; /* one denies: nothing is taken of any */
    assert_int_equal(rlc_limiter_acquire(l, limits, 4, &lease, results, NULL), 0);
    assert_null(lease);
    assert_int_equal(results[0].charged, 0);
    assert_int_equal(left(l, a, "k"), 95);
    assert_int_equal(left(l, slots, "k"), 3);
    rlc_policy_del(a);
    rlc_policy_del(b);
    rlc_policy_del(slots);
    rlc_limiter_del(l);
  }
}

/* A slot that is renewed is held past its window; one that is not, until then and not a moment less; and
 * who renews it after that is told, and gives back nothing of another's. */
static void slots_test(void **state) {
  (void)state;
  for (unsigned i = 0; i < STORES; ++i) {
    rlc_limiter *l = open_store(i);
    rlc_policy *slots = policy_of("2/30s algorithm=concurrency");
    rlc_lease *kept = acquire(l, slots, "k", 1);
    rlc_lease *left_alone = acquire(l, slots, "k", 1);
    rlc_lease *third;

    assert_null(acquire(l, slots, "k", 1));
    atomic_fetch_add(&now, 20 * S);
    assert_int_equal(rlc_lease_renew(kept), 0);
    atomic_fetch_add(&now, 10 * S - 1);
    assert_null(acquire(l, slots, "k", 1));
    atomic_fetch_add(&now, 1);
    third = acquire(l, slots, "k", 1);
    assert_non_null(third);
    assert_null(acquire(l, slots, "k", 1));
    assert_int_equal(lost(l), 0);
    assert_int_equal(rlc_lease_renew(left_alone), RLC_ERR_LOST);
    assert_int_equal(rlc_lease_renew(left_alone), RLC_ERR_LOST);
    assert_int_equal(lost(l), 1);
    rlc_lease_del(left_alone);
    assert_int_equal(left(l, slots, "k"), 0);
    assert_int_equal(rlc_lease_commit(kept, NULL), 0);
    assert_int_equal(left(l, slots, "k"), 1);
    assert_int_equal(rlc_lease_release(third), 0);
    assert_int_equal(left(l, slots, "k"), 2);
    assert_int_equal(rlc_lease_renew(third), RLC_ERR_INVALID);
    rlc_lease_del(kept);
    rlc_lease_del(third);
    rlc_policy_del(slots);
    rlc_limiter_del(l);
  }
}

/* Of several slots one is lost: the others are given back, since the lease holds none any more. */
static void one_of_several_lost_test(void **state) {
  (void)state;
  for (unsigned i = 0; i < STORES; ++i) {
    rlc_limiter *l = open_store(i);
    rlc_policy *brief = policy_of("1/10s algorithm=concurrency");
    rlc_policy *lasting = policy_of("1/60s algorithm=concurrency");
    rlc_policy *plain = policy_of("5/day");
    rlc_limit limits[] = {limit_of(brief, "k", 1), limit_of(lasting, "k", 1), limit_of(plain, "k", 3)};
    const uint64_t used[] = {0, 0, 1};
    rlc_lease *lease;

    assert_int_equal(rlc_limiter_acquire(l, limits, 3, &lease, NULL, NULL), 0);
    atomic_fetch_add(&now, 10 * S);
    assert_int_equal(rlc_lease_renew(lease), RLC_ERR_LOST);
    assert_int_equal(left(l, lasting, "k"), 1);
    assert_int_equal(left(l, brief, "k"), 1);
    assert_int_equal(rlc_lease_commit(lease, used), 0); /* the reservation is there still */
    assert_int_equal(left(l, plain, "k"), 4);
    rlc_lease_del(lease);
    rlc_policy_del(brief);
    rlc_policy_del(lasting);
    rlc_policy_del(plain);
    rlc_limiter_del(l);
  }
}

static void wait_for_more(int more) {
  int seen = atomic_load(&asked);
  int64_t until = rlc__clock_monotonic_us() + 20 * S;

  while (atomic_load(&asked) < seen + more) {
    assert_true(rlc__clock_monotonic_us() < until);
    usleep(1000);
  }
}

/* The helper thread renews what is kept, until it is settled; the program does nothing for it. */
static void keep_test(void **state) {
  (void)state;
  for (unsigned i = 0; i < STORES; ++i) {
    rlc_limiter *l = open_store(i);
    rlc_policy *slots = policy_of("1/1s algorithm=concurrency");
    rlc_policy *plain = policy_of("1/s");
    rlc_lease *lease = acquire(l, slots, "k", 1);
    rlc_lease *reserved = acquire(l, plain, "k", 1);

    assert_int_equal(rlc_lease_keep(reserved), 0); /* there is nothing to renew */
    rlc_lease_del(reserved);
    assert_int_equal(rlc_lease_keep(lease), 0);
    assert_int_equal(rlc_lease_keep(lease), 0);
    for (int turn = 0; turn < 2; ++turn) {
      atomic_fetch_add(&now, S / 2);
      wait_for_more(1);
    }
    usleep(50000); /* that one may be under way still */
    assert_int_equal(left(l, slots, "k"), 0); /* a second after it was taken */
    assert_int_equal(lost(l), 0);
    assert_int_equal(rlc_lease_renew(lease), 0); /* by hand too, and it is kept all the same */
    assert_int_equal(rlc_lease_release(lease), 0);
    assert_int_equal(left(l, slots, "k"), 1);
    rlc_lease_del(lease);
    rlc_policy_del(slots);
    rlc_policy_del(plain);
    rlc_limiter_del(l);
  }
}

/* One that is lost while it is kept is counted, and told of once. */
static void lost_while_kept_test(void **state) {
  (void)state;
  for (unsigned i = 0; i < STORES; ++i) {
    rlc_limiter *l = open_store(i);
    rlc_policy *slots = policy_of("3/1s algorithm=concurrency");
    rlc_lease *leases[3];
    int64_t until = rlc__clock_monotonic_us() + 20 * S;

    lines = 0;
    for (int j = 0; j < 3; ++j) {
      leases[j] = acquire(l, slots, "k", 1);
    }
    atomic_fetch_add(&now, S); /* as if the machine had slept */
    for (int j = 0; j < 3; ++j) {
      assert_int_equal(rlc_lease_keep(leases[j]), 0);
    }
    while (lost(l) < 3) {
      assert_true(rlc__clock_monotonic_us() < until);
      usleep(1000);
    }
    usleep(1000);
    for (int j = 0; j < 3; ++j) {
      assert_int_equal(rlc_lease_renew(leases[j]), RLC_ERR_LOST);
      rlc_lease_del(leases[j]);
    }
    assert_int_equal(lines, 1);
    assert_memory_equal(last_line, "RLC0401 ", 8);
    assert_int_equal(lost(l), 3);
    rlc_policy_del(slots);
    rlc_limiter_del(l);
  }
}

/* A forked child has a copy of the lease, and what is held is held once: it neither renews it nor gives it
 * back where it deletes the copy. Explicitly it may, instead of its parent. */
static void fork_test(void **state) {
  (void)state;
  for (unsigned i = 1; i < STORES; ++i) { /* what is shared with a child */
    rlc_limiter *l = open_store(i);
    rlc_policy *slots = policy_of("1/30s algorithm=concurrency");
    rlc_lease *lease = acquire(l, slots, "k", 1);

    assert_int_equal(rlc_lease_keep(lease), 0);
    for (int explicitly = 0; explicitly < 2; ++explicitly) {
      int status;
      pid_t pid = fork();

      if (pid == 0) {
        int failed = rlc_lease_renew(lease) != RLC_ERR_INVALID ||
                     rlc_lease_keep(lease) != RLC_ERR_INVALID ||
                     (explicitly && rlc_lease_release(lease) != 0);

        rlc_lease_del(lease);
        _exit(failed);
      }
      assert_int_equal(waitpid(pid, &status, 0), pid);
      assert_int_equal(status, 0);
      assert_int_equal(left(l, slots, "k"), explicitly);
    }
    rlc_lease_del(lease);
    rlc_policy_del(slots);
    rlc_limiter_del(l);
  }
}

/* Without memory for the lease nothing is taken. */
static void no_memory_test(void **state) {
  failing_memory failing = {-1, 0};
  rlc_memory memory = failing_functions(&failing);
  rlc_limiter *l = open_url("memory:", &memory);
  rlc_policy *policy = policy_of("5/day");
  rlc_limit limit = limit_of(policy, "k", 2);
  rlc_lease *lease = (rlc_lease *)&failing;
  int held = failing.held;

  (void)state;
  failing.left = 0;
  assert_int_equal(rlc_limiter_acquire(l, &limit, 1, &lease, NULL, NULL), RLC_ERR_NOMEM);
  assert_null(lease);
  assert_int_equal(left(l, policy, "k"), 5);
  lease = acquire(l, policy, "k", 2);
  rlc_policy_del(policy); /* the lease has it still */
  rlc_lease_del(lease);
  assert_int_equal(failing.held, held);
  rlc_limiter_del(l);
  assert_int_equal(failing.held, 0);
}

static void misuse_test(void **state) {
  rlc_limiter *l = open_url("memory:", NULL);
  rlc_policy *policy = policy_of("5/day");
  rlc_limit limit = limit_of(policy, "k", 1);
  const uint64_t too_much = RLC_MAX_QUOTA + UINT64_C(1);
  rlc_lease *lease = (rlc_lease *)&limit;

  (void)state;
  assert_int_equal(rlc_limiter_acquire(NULL, &limit, 1, &lease, NULL, NULL), RLC_ERR_INVALID);
  assert_null(lease);
  assert_int_equal(rlc_limiter_acquire(l, &limit, 1, NULL, NULL, NULL), RLC_ERR_INVALID);
  assert_int_equal(rlc_limiter_acquire(l, &limit, 0, &lease, NULL, NULL), RLC_ERR_INVALID);
  assert_int_equal(rlc_lease_keep(NULL), RLC_ERR_INVALID);
  assert_int_equal(rlc_lease_renew(NULL), RLC_ERR_INVALID);
  assert_int_equal(rlc_lease_commit(NULL, NULL), RLC_ERR_INVALID);
  assert_int_equal(rlc_lease_release(NULL), RLC_ERR_INVALID);
  rlc_lease_del(NULL);
  lease = acquire(l, policy, "k", 1);
  assert_int_equal(rlc_lease_renew(lease), 0); /* a reservation has no end to put off */
  assert_int_equal(rlc_lease_commit(lease, &too_much), RLC_ERR_INVALID);
  assert_int_equal(rlc_lease_release(lease), 0); /* so that was not its end */
  assert_int_equal(rlc_lease_keep(lease), RLC_ERR_INVALID);
  rlc_lease_del(lease);
  rlc_policy_del(policy);
  rlc_limiter_del(l);
}

/* While the store is away a lease is of this machine's share, and given back there; one that the store gave
 * cannot be settled: that is said at once, as soon as the breaker knows. */
static void away_test(void **state) {
  redis_server mortal;
  rlc_policy *policy = policy_of("10/day");
  rlc_policy *slots = policy_of("1/30s algorithm=concurrency");
  const uint64_t used = 4;
  rlc_decision d = RLC_DECISION_INIT;
  rlc_limit limit = limit_of(policy, "k", 6);
  rlc_limit slot = limit_of(slots, "k", 1);
  rlc_lease *stored;
  rlc_lease *stored_slot;
  rlc_lease *local;
  char url[256];
  rlc_limiter *l;
  int64_t before;

  (void)state;
  assert_int_equal(redis_server_start(&mortal), 0);
  snprintf(url, sizeof url, "%s?timeout=200ms&fail=local", mortal.url);
  assert_int_equal(redis_server_allow(&mortal, url), 0);
  l = open_url(url, NULL);
  assert_int_equal(rlc_limiter_acquire(l, &limit, 1, &stored, NULL, &d), 0);
  assert_int_equal(d.source, RLC_SOURCE_STORE);
  assert_int_equal(rlc_limiter_acquire(l, &slot, 1, &stored_slot, NULL, &d), 0);
  redis_server_stop(&mortal);
  limit.cost = 4;
  assert_int_equal(rlc_limiter_acquire(l, &limit, 1, &local, NULL, &d), RLC_DEGRADED);
  assert_non_null(local);
  assert_int_equal(d.source, RLC_SOURCE_FALLBACK);
  assert_int_equal(d.result.remaining, 0); /* the six were mirrored */
  assert_int_equal(rlc_lease_release(local), 0);
  rlc_lease_del(local);
  assert_int_equal(rlc_limiter_peek(l, &limit, 1, NULL, &d), RLC_DEGRADED);
  assert_int_equal(d.result.remaining, 4);
  for (int i = 0; i < 9; ++i) { /* the breaker opens */
    (void)rlc_limiter_peek(l, &limit, 1, NULL, &d);
  }
  before = rlc__clock_monotonic_us();
  assert_int_equal(rlc_lease_renew(stored_slot), RLC_ERR_STORE);
  assert_int_equal(rlc_lease_commit(stored, &used), RLC_ERR_STORE);
  assert_true(rlc__clock_monotonic_us() - before < 100000);
  assert_int_equal(rlc_lease_commit(stored, &used), RLC_ERR_INVALID); /* settled it is */
  assert_int_equal(rlc_limiter_peek(l, &limit, 1, NULL, &d), RLC_DEGRADED);
  assert_int_equal(d.result.remaining, 4); /* the store has the charge still, for all that is known */
  rlc_lease_del(stored);
  rlc_lease_del(stored_slot);
  rlc_policy_del(policy);
  rlc_policy_del(slots);
  rlc_limiter_del(l);
}

/* What comes back in the store is taken out of this machine's mirror too, whose clock is another than the
 * store's: each has a receipt of its own. */
static void mirror_test(void **state) {
  static const char *const texts[] = {"10/day", "10/day,20/week", "10/day algorithm=fixed-window",
                                      "10/day algorithm=sliding-window", "10/day algorithm=sliding-log",
                                      "10/day algorithm=concurrency"};
  redis_server mortal;
  rlc_policy *policies[6];
  rlc_lease *lease;
  char url[256];
  char why[RLC_MESSAGE_SIZE] = "";
  rlc_limiter *l;

  (void)state;
  assert_int_equal(redis_server_start(&mortal), 0);
  snprintf(url, sizeof url, "%s?timeout=5s&fail=local", mortal.url);
  assert_int_equal(redis_server_allow(&mortal, url), 0);
  assert_int_equal(rlc_limiter_new(&l, url, NULL, why, sizeof why), 0);
  for (size_t t = 0; t < 6; ++t) {
    rlc_decision d = RLC_DECISION_INIT;
    rlc_limit limit;

    policies[t] = policy_of(texts[t]);
    limit = limit_of(policies[t], "k", 6);
    assert_int_equal(rlc_limiter_acquire(l, &limit, 1, &lease, NULL, &d), 0);
    assert_int_equal(d.source, RLC_SOURCE_STORE);
    assert_int_equal(rlc_lease_renew(lease), 0);
    assert_int_equal(rlc_lease_release(lease), 0);
    rlc_lease_del(lease);
    limit.cost = 1;
    assert_int_equal(rlc_limiter_acquire(l, &limit, 1, &lease, NULL, &d), 0);
    assert_int_equal(rlc_lease_commit(lease, NULL), 0);
    rlc_lease_del(lease);
    assert_int_equal(left(l, policies[t], "k"), t < 5 ? 9 : 10);
  }
  redis_server_stop(&mortal);
  for (size_t t = 0; t < 6; ++t) {
    rlc_limit limit = limit_of(policies[t], "k", 0);
    rlc_decision d = RLC_DECISION_INIT;

    assert_int_equal(rlc_limiter_peek(l, &limit, 1, NULL, &d), RLC_DEGRADED);
    if (d.result.remaining != (t < 5 ? 9 : 10)) {
      fail_msg("%s: %d remain", texts[t], (int)d.result.remaining);
    }
    rlc_policy_del(policies[t]);
  }
  rlc_limiter_del(l);
}

/* --- grants -------------------------------------------------------------------------------- */

/* All limits are charged the same: the least of what was asked for and of what they have. */
static void grant_test(void **state) {
  static const char *const texts[] = {"10/day", "10/h algorithm=fixed-window", "10/day,15/week",
                                      "10/h algorithm=sliding-window", "10/month algorithm=fixed-window",
                                      "10/day algorithm=sliding-log", "10/30s algorithm=concurrency",
                                      "10/day debt=5"};

  (void)state;
  for (unsigned i = 0; i < STORES; ++i) {
    rlc_limiter *l = open_store(i);

    for (size_t t = 0; t < sizeof texts / sizeof *texts; ++t) {
      rlc_policy *policy = policy_of(texts[t]);
      rlc_policy *wide = policy_of("1000/day algorithm=fixed-window");
      rlc_limit limits[] = {limit_of(policy, "k", 7), limit_of(wide, texts[t], 20)};
      rlc_result r[] = {RLC_RESULT_INIT, RLC_RESULT_INIT};
      rlc_decision d = RLC_DECISION_INIT;

      assert_int_equal(rlc_limiter_grant(l, limits, 1, r, &d), 0);
      assert_int_equal(r[0].charged, 7);
      assert_int_equal(r[0].remaining, 3);
      assert_int_equal(rlc_limiter_grant(l, limits, 2, r, &d), 0);
      assert_int_equal(d.allowed, 1);
      assert_int_equal(r[0].charged, 3);
      assert_int_equal(r[1].charged, 3);
      assert_int_equal(r[1].remaining, 997);
      assert_int_equal(rlc_limiter_grant(l, limits, 2, r, &d), 0);
      assert_int_equal(d.allowed, 0);
      assert_int_equal(d.index, 0);
      assert_int_equal(r[0].charged, 0);
      assert_int_equal(r[1].allowed, 1);
      assert_int_equal(r[1].charged, 0);
      assert_int_equal(r[1].remaining, 997);
      assert_true(r[0].retry_us > 0); /* as of one unit: there are ten */
      limits[1].cost = 0;
      assert_int_equal(rlc_limiter_grant(l, limits, 2, r, &d), RLC_ERR_INVALID);
      limits[1] = limits[0];
      assert_int_equal(rlc_limiter_grant(l, limits, 2, r, &d), RLC_ERR_INVALID);
      rlc_policy_del(policy);
      rlc_policy_del(wide);
    }
    rlc_limiter_del(l);
  }
}

/* By fail policy: open grants what is asked for, closed nothing, local what this machine's share has. */
static void grant_degraded_test(void **state) {
  rlc_limiter *l = open_url("redis://127.0.0.1:1?timeout=1ms", NULL);
  rlc_policy *policy = policy_of("10/day");
  rlc_limit limits[] = {limit_of(policy, "open", 9), limit_of(policy, "local", 30),
                        limit_of(policy, "closed", 30)};
  rlc_result r[] = {RLC_RESULT_INIT, RLC_RESULT_INIT, RLC_RESULT_INIT};
  rlc_decision d = RLC_DECISION_INIT;

  (void)state;
  limits[0].fail = RLC_FAIL_OPEN;
  limits[1].fail = RLC_FAIL_LOCAL;
  limits[2].fail = RLC_FAIL_CLOSED;
  assert_int_equal(rlc_limiter_grant(l, limits, 1, r, &d), RLC_DEGRADED);
  assert_int_equal(r[0].charged, 9);
  assert_int_equal(rlc_limiter_grant(l, limits, 3, r, &d), RLC_DEGRADED);
  assert_int_equal(d.allowed, 0);
  assert_int_equal(r[0].charged + r[1].charged + r[2].charged, 0);
  assert_int_equal(r[1].remaining, 10);
  assert_int_equal(rlc_limiter_grant(l, limits, 2, r, &d), RLC_DEGRADED);
  assert_int_equal(d.allowed, 1);
  assert_int_equal(r[0].charged, 9);
  assert_int_equal(r[1].charged, 9);
  assert_int_equal(rlc_limiter_grant(l, limits, 2, r, &d), RLC_DEGRADED);
  assert_int_equal(r[0].charged, 1);
  assert_int_equal(r[1].charged, 1);
  assert_int_equal(rlc_limiter_grant(l, limits, 2, r, &d), RLC_DEGRADED);
  assert_int_equal(d.allowed, 0);
  assert_int_equal(r[0].charged + r[1].charged, 0);
  rlc_policy_del(policy);
  rlc_limiter_del(l);
}

/* What was charged is told by every verb. */
static void charged_test(void **state) {
  (void)state;
  for (unsigned i = 0; i < STORES; ++i) {
    rlc_limiter *l = open_store(i);
    rlc_policy *policy = policy_of("5/h,8/day algorithm=fixed-window debt=2");
    rlc_limit limit = limit_of(policy, "k", 4);
    rlc_result r = RLC_RESULT_INIT;

    assert_int_equal(rlc_limiter_peek(l, &limit, 1, &r, NULL), 0);
    assert_int_equal(r.charged, 0);
    assert_int_equal(rlc_limiter_check(l, &limit, 1, &r, NULL), 0);
    assert_int_equal(r.charged, 4);
    assert_int_equal(rlc_limiter_check(l, &limit, 1, &r, NULL), 0);
    assert_int_equal(r.charged, 0);
    assert_int_equal(rlc_limiter_refund(l, &limit, 1, &r, NULL), 0);
    assert_int_equal(r.charged, 0);
    limit.cost = 9; /* the hour takes seven of them, the day all */
    assert_int_equal(rlc_limiter_charge(l, &limit, 1, &r, NULL), 0);
    assert_int_equal(r.charged, 9);
    assert_int_equal(rlc_limiter_charge(l, &limit, 1, &r, NULL), 0);
    assert_int_equal(r.charged, 1);
    rlc_policy_del(policy);
    rlc_limiter_del(l);
  }
}

static int start(void **state) {
  (void)state;
  return redis_server_start(&server);
}

static int stop(void **state) {
  (void)state;
  redis_server_stop(&server);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(commit_test),
      cmocka_unit_test(release_test),
      cmocka_unit_test(refill_test),
      cmocka_unit_test(above_test),
      cmocka_unit_test(several_test),
      cmocka_unit_test(slots_test),
      cmocka_unit_test(one_of_several_lost_test),
      cmocka_unit_test(keep_test),
      cmocka_unit_test(lost_while_kept_test),
      cmocka_unit_test(fork_test),
      cmocka_unit_test(no_memory_test),
      cmocka_unit_test(misuse_test),
      cmocka_unit_test(away_test),
      cmocka_unit_test(mirror_test),
      cmocka_unit_test(grant_test),
      cmocka_unit_test(grant_degraded_test),
      cmocka_unit_test(charged_test),
  };

  return cmocka_run_group_tests(tests, start, stop);
}
