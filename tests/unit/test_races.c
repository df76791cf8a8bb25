/* SPDX-License-Identifier: Apache-2.0 */

/* The table under threads and processes. Times are passed in, so nothing refills meanwhile, except
 * where the clock itself is what is tested. */

#include "table_help.h"

#include <sched.h>
#include <time.h>

#define PROCESSES 8
#define THREADS 4
#define ROUNDS 150

static const char *const policies[] = {
    "5/h",
    "5/h algorithm=fixed-window",
    "5/h algorithm=sliding-window",
    "5/h,7/day",
};
#define POLICIES (sizeof policies / sizeof *policies)

/* What a thread does again and again with the key of the round; returns how much was admitted. */
typedef unsigned turn_fn(rlc__store *store, unsigned me, unsigned round);

typedef struct arena {
  _Atomic unsigned round;
  _Atomic unsigned arrived;
  _Atomic unsigned admitted[ROUNDS];
} arena;

typedef struct worker {
  arena *arena;
  rlc__store *store;
  turn_fn *turn;
  unsigned me;
} worker;

static rlc_policy *policy_of[POLICIES];

static void *work_rounds(void *arg) {
  worker *w = arg;
  arena *a = w->arena;

  for (unsigned round = 0; round < ROUNDS; ++round) {
    /* Nobody sees a key before all are here: it is fresh, and all insert it at once. */
    if (atomic_fetch_add(&a->arrived, 1) + 1 == PROCESSES * THREADS * (round + 1)) {
      atomic_store(&a->round, round + 1);
    }
    while (atomic_load(&a->round) <= round) {
      sched_yield();
    }
    atomic_fetch_add(&a->admitted[round], w->turn(w->store, w->me, round));
  }
  return NULL;
}

static void run_process(arena *a, rlc__store *store, turn_fn *turn, unsigned process) {
  pthread_t threads[THREADS];
  worker workers[THREADS];

  for (unsigned t = 0; t < THREADS; ++t) {
    workers[t] = (worker){a, store, turn, process * THREADS + t};
    if (pthread_create(&threads[t], NULL, work_rounds, &workers[t]) != 0) {
      abort();
    }
  }
  for (unsigned t = 0; t < THREADS; ++t) {
    pthread_join(threads[t], NULL);
  }
}

/* Runs |turn| in 8 processes of 4 threads on a fresh key a round, and returns what was admitted. */
static arena *race(rlc__store *store, turn_fn *turn) {
  arena *a = shared_memory(sizeof *a);

  for (unsigned p = 0; p < PROCESSES; ++p) {
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
      alarm(300);
      run_process(a, store, turn, p);
      _exit(0);
    }
  }
  for (unsigned p = 0; p < PROCESSES; ++p) {
    int status;

    assert_true(wait(&status) > 0);
    assert_int_equal(status, 0);
  }
  return a;
}

static size_t policy_index;

static const char *name_key(char *buf, size_t size, const char *what, unsigned round) {
  snprintf(buf, size, "%s-%zu-%u", what, policy_index, round);
  return buf;
}

static unsigned turn_single(rlc__store *store, unsigned me, unsigned round) {
  char key[32];
  unsigned admitted = 0;

  (void)me;
  name_key(key, sizeof key, "one", round);
  while (check(store, policy_of[policy_index], key, 1, DAY)) {
    ++admitted;
  }
  return admitted;
}

/* All threads charge one fresh key at once: what passes is the quota, to the last unit. */
static void test_exact_on_fresh_keys(void **state) {
  (void)state;
  for (policy_index = 0; policy_index < POLICIES; ++policy_index) {
    rlc__store *store = shared_table(8192);
    arena *a = race(store, turn_single);

    for (unsigned i = 0; i < ROUNDS; ++i) {
      assert_int_equal(a->admitted[i], 5);
    }
    assert_int_equal(stats_of(store).evicted_live, 0);
    assert_int_equal(stats_of(store).slots_used, ROUNDS);
    munmap(a, sizeof *a);
    store->ops->del(store);
  }
}

/* Checks the key of the round together with a roomier key of each policy, in an order of one's
 * own. */
static unsigned turn_several(rlc__store *store, unsigned me, unsigned round) {
  rlc__item items[POLICIES];
  rlc__call call = {RLC__OP_CHECK, items, POLICIES, 0, DAY, 0};
  char keys[POLICIES][32];
  unsigned admitted = 0;
  int passed;

  do {
    passed = 1;
    for (unsigned i = 0; i < POLICIES; ++i) {
      size_t p = (i + me) % POLICIES;

      snprintf(keys[i], sizeof keys[i], "all-%zu-%u", p, round);
      items[i] = item_of(policy_of[p], keys[i], p == policy_index ? 2 : 1);
    }
    if (store->ops->decide(store, &call) != 0) {
      abort();
    }
    for (unsigned i = 0; i < POLICIES; ++i) {
      passed &= items[i].result.allowed;
    }
    admitted += (unsigned)passed;
  } while (passed);
  return admitted;
}

/* Several limits a call: as many calls pass as the tightest allows, and each limit is charged for
 * exactly those. */
static void test_exact_for_several(void **state) {
  (void)state;
  for (policy_index = 0; policy_index < POLICIES; ++policy_index) {
    rlc__store *store = shared_table(65536);
    arena *a = race(store, turn_several);

    for (unsigned i = 0; i < ROUNDS; ++i) {
      assert_int_equal(a->admitted[i], 2);
      for (size_t p = 0; p < POLICIES; ++p) {
        char key[32];

        snprintf(key, sizeof key, "all-%zu-%u", p, i);
        assert_int_equal(remaining(store, policy_of[p], key, DAY), p == policy_index ? 1 : 3);
      }
    }
    munmap(a, sizeof *a);
    store->ops->del(store);
  }
}

/* Every other thread checks the key alone, the rest with two more that refuse early. */
static unsigned turn_mixed(rlc__store *store, unsigned me, unsigned round) {
  char key[32];
  char second[32];
  char third[32];
  rlc__item items[3];
  rlc__call call = {RLC__OP_CHECK, items, 3, 0, DAY, 0};
  unsigned admitted = 0;

  name_key(key, sizeof key, "mix", round);
  if (me % 2 == 0) {
    return (unsigned)check(store, policy_of[policy_index], key, 1, DAY);
  }
  name_key(second, sizeof second, "second", round);
  name_key(third, sizeof third, "third", round);
  for (int i = 0; i < 2; ++i) {
    items[0] = item_of(policy_of[0], second, 2);
    items[1] = item_of(policy_of[policy_index], key, 1);
    items[2] = item_of(policy_of[1], third, 1);
    if (store->ops->decide(store, &call) != 0) {
      abort();
    }
    admitted += (unsigned)(items[0].result.allowed & items[1].result.allowed &
                           items[2].result.allowed);
  }
  return admitted;
}

/* Calls of one limit and of several on the same key: never more than the quota passes, and what is
 * left afterwards makes up the rest exactly. */
static void test_exact_for_mixed(void **state) {
  (void)state;
  for (policy_index = 0; policy_index < POLICIES; ++policy_index) {
    rlc__store *store = shared_table(8192);
    arena *a = race(store, turn_mixed);

    for (unsigned i = 0; i < ROUNDS; ++i) {
      char key[32];

      name_key(key, sizeof key, "mix", i);
      assert_int_equal(a->admitted[i] + remaining(store, policy_of[policy_index], key, DAY), 5);
    }
    munmap(a, sizeof *a);
    store->ops->del(store);
  }
}

static rlc_policy *roomy_policy;

/* Odd threads charge one hot key, even ones that key between two others. */
static unsigned turn_conflict(rlc__store *store, unsigned me, unsigned round) {
  rlc__item items[3] = {item_of(roomy_policy, "first", 1), item_of(roomy_policy, "hot", 1),
                        item_of(roomy_policy, "last", 1)};
  rlc__call call = {RLC__OP_CHECK, me % 2 ? &items[1] : items, me % 2 ? 1 : 3, 0, DAY, 0};

  (void)round;
  for (int i = 0; i < 100; ++i) {
    if (store->ops->decide(store, &call) != 0 || !call.items[0].result.allowed) {
      abort();
    }
  }
  return 100;
}

/* Where a charge without a lock comes between the items of a call, those charged already are given
 * back and the call begins anew: in the end each key holds exactly what was admitted. */
static void test_conflicts_are_undone(void **state) {
  static const uint64_t all = (uint64_t)PROCESSES * THREADS * ROUNDS * 100;
  rlc__store *store = shared_table(64);
  arena *a;

  (void)state;
  roomy_policy = parse("10000000/day");
  a = race(store, turn_conflict);
  assert_int_equal(remaining(store, roomy_policy, "hot", DAY), 10000000 - all);
  assert_int_equal(remaining(store, roomy_policy, "first", DAY), 10000000 - all / 2);
  assert_int_equal(remaining(store, roomy_policy, "last", DAY), 10000000 - all / 2);
  rlc_policy_del(roomy_policy);
  munmap(a, sizeof *a);
  store->ops->del(store);
}

/* Charges and refunds in equal number, with checks that are given back. */
static unsigned turn_refunds(rlc__store *store, unsigned me, unsigned round) {
  const rlc_policy *policy = policy_of[policy_index];
  char key[32];

  (void)me;
  name_key(key, sizeof key, "back", round);
  for (int i = 0; i < 4; ++i) {
    if (check(store, policy, key, 2, DAY)) {
      run(store, RLC__OP_REFUND, policy, key, 2, DAY);
    }
  }
  return 0;
}

/* What is charged and given back leaves nothing: not a unit, and not a slot. */
static void test_refunds_balance(void **state) {
  (void)state;
  for (policy_index = 0; policy_index < POLICIES; ++policy_index) {
    rlc__store *store = shared_table(64);
    arena *a = race(store, turn_refunds);

    assert_int_equal(stats_of(store).slots_used, 0);
    munmap(a, sizeof *a);
    store->ops->del(store);
  }
}

/* Many keys on a table far too small. */
static unsigned turn_crowded(rlc__store *store, unsigned me, unsigned round) {
  unsigned denied = 0;
  char key[32];

  for (unsigned i = 0; i < 20; ++i) {
    snprintf(key, sizeof key, "%u-%u-%u", me, round, i);
    denied += !check(store, policy_of[policy_index], key, 1, DAY);
  }
  return denied;
}

/* Everyone inserts and evicts at once: nobody is refused, every loss is counted, and no slot is
 * lost or counted twice. */
static void test_crowded_table(void **state) {
  (void)state;
  for (policy_index = 0; policy_index < POLICIES; ++policy_index) {
    rlc__store *store = shared_table(64);
    arena *a = race(store, turn_crowded);
    rlc_stats stats = stats_of(store);

    for (unsigned i = 0; i < ROUNDS; ++i) {
      assert_int_equal(a->admitted[i], 0);
    }
    assert_int_equal(stats.slots_used, 64);
    assert_int_equal(stats.evicted_live, PROCESSES * THREADS * ROUNDS * 20 - 64);
    munmap(a, sizeof *a);
    store->ops->del(store);
  }
}

/* --- the table's own clock ----------------------------------------------------------------- */

int64_t __wrap_rlc__clock_boottime_us(void);

static _Thread_local int64_t last_clock_us;
static _Thread_local unsigned clock_calls;

/* Replaces the clock: a thousand times as fast, so that a second's window lasts a millisecond, and
 * now and then the caller is held up when it has read it. */
int64_t __wrap_rlc__clock_boottime_us(void) {
  struct timespec ts;

  clock_gettime(CLOCK_BOOTTIME, &ts);
  if (++clock_calls % 61 == 0) {
    sched_yield();
  }
  last_clock_us = (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
  return last_clock_us;
}

#define WINDOWS 8192
#define CLOCKED 6
#define DECISIONS 60000

typedef struct clock_job {
  rlc__store *store;
  const rlc_policy *policy[2]; /* the second, if any, takes part in every other call */
  int64_t start_us;            /* the end of the window that the job began in */
  _Atomic unsigned admitted[WINDOWS];
} clock_job;

static void *work_by_the_clock(void *arg) {
  clock_job *job = arg;

  for (int i = 0; i < DECISIONS; ++i) {
    rlc__item items[2] = {item_of(job->policy[0], "k", 1), item_of(job->policy[1], "k", 1)};
    rlc__call call = {RLC__OP_CHECK, items, job->policy[1] != NULL && i % 2 ? 2 : 1, 0, 0, 0};

    if (job->store->ops->decide(job->store, &call) != 0) {
      abort();
    }
    if (items[0].result.allowed && (call.n == 1 || items[1].result.allowed)) {
      int64_t end_us = last_clock_us + items[0].result.reset_us;

      ++job->admitted[(end_us - job->start_us) / SECOND % WINDOWS];
    }
  }
  return NULL;
}

/* Runs threads on the table's clock. Returns how long, in the table's time. */
static int64_t run_by_the_clock(clock_job *job, const char *first, const char *second) {
  pthread_t threads[CLOCKED];
  int64_t start;

  memset(job, 0, sizeof *job);
  job->store = shared_table(64);
  job->policy[0] = parse(first);
  job->policy[1] = second != NULL ? parse(second) : NULL;
  start = run(job->store, RLC__OP_CHARGE, job->policy[0], "other", 1, 0).reset_us + last_clock_us;
  job->start_us = start;
  for (int i = 0; i < CLOCKED; ++i) {
    assert_int_equal(pthread_create(&threads[i], NULL, work_by_the_clock, job), 0);
  }
  for (int i = 0; i < CLOCKED; ++i) {
    pthread_join(threads[i], NULL);
  }
  __wrap_rlc__clock_boottime_us();
  rlc_policy_del((rlc_policy *)job->policy[0]);
  rlc_policy_del((rlc_policy *)job->policy[1]);
  job->store->ops->del(job->store);
  return last_clock_us - start;
}

/* Where windows change under load, a thread that read the clock just before must not undo what
 * others have charged since: no window admits more than its quota. */
static void test_windows_change_under_load(void **state) {
  static const char *const texts[][2] = {
      {"500/s algorithm=fixed-window", NULL},
      {"500/s algorithm=sliding-window", NULL},
      {"500/s algorithm=fixed-window", "1000000/s algorithm=sliding-window"},
  };

  (void)state;
  for (size_t i = 0; i < sizeof texts / sizeof *texts; ++i) {
    clock_job job;
    unsigned total = 0;

    run_by_the_clock(&job, texts[i][0], texts[i][1]);
    for (unsigned w = 0; w < WINDOWS; ++w) {
      assert_in_range(job.admitted[w], 0, 500);
      total += job.admitted[w];
    }
    assert_true(total > 1000);
  }
}

/* A bucket under load refills by the clock, and not by threads that read it late. */
static void test_bucket_refills_by_the_clock(void **state) {
  clock_job job;
  int64_t span = run_by_the_clock(&job, "500/s burst=10", NULL);
  unsigned total = 0;

  (void)state;
  for (unsigned w = 0; w < WINDOWS; ++w) {
    total += job.admitted[w];
  }
  assert_in_range(total, 100, 10 + 1 + (uint64_t)span * 500 / 1000000);
}

/* --- fork ---------------------------------------------------------------------------------- */

static _Atomic int stop_threads;

static void *work_wide(void *arg) {
  rlc__store *store = arg;

  while (!atomic_load(&stop_threads)) {
    check(store, policy_of[2], "busy", 1, DAY);
    check(store, policy_of[3], "busy", 1, DAY);
  }
  return NULL;
}

/* A child that is forked while threads of its parent are inside the private table is not held up by
 * locks that nobody will release, and has a copy of its own. */
static void test_fork_of_private_table(void **state) {
  rlc_options options = no_options();
  rlc__url url;
  rlc__store *store;
  pthread_t threads[2];

  (void)state;
  memset(&url, 0, sizeof url);
  url.slots = 64;
  assert_int_equal(rlc__memory_store_new(&store, &url, &options, NULL, 0), 0);
  atomic_store(&stop_threads, 0);
  for (int i = 0; i < 2; ++i) {
    assert_int_equal(pthread_create(&threads[i], NULL, work_wide, store), 0);
  }
  for (int i = 0; i < 100; ++i) {
    pid_t child = fork();
    int status;

    if (child == 0) {
      alarm(20);
      check(store, policy_of[2], "busy", 1, DAY);
      check(store, policy_of[3], "busy", 1, DAY);
      _exit(check(store, policy_of[2], "mine", 5, DAY) ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
  }
  atomic_store(&stop_threads, 1);
  for (int i = 0; i < 2; ++i) {
    pthread_join(threads[i], NULL);
  }
  assert_int_equal(remaining(store, policy_of[2], "mine", DAY), 5);
  store->ops->del(store);
}

static int parse_policies(void **state) {
  (void)state;
  for (size_t p = 0; p < POLICIES; ++p) {
    policy_of[p] = parse(policies[p]);
  }
  return 0;
}

static int delete_policies(void **state) {
  (void)state;
  for (size_t p = 0; p < POLICIES; ++p) {
    rlc_policy_del(policy_of[p]);
  }
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_exact_on_fresh_keys),
      cmocka_unit_test(test_exact_for_several),
      cmocka_unit_test(test_exact_for_mixed),
      cmocka_unit_test(test_conflicts_are_undone),
      cmocka_unit_test(test_refunds_balance),
      cmocka_unit_test(test_crowded_table),
      cmocka_unit_test(test_windows_change_under_load),
      cmocka_unit_test(test_bucket_refills_by_the_clock),
      cmocka_unit_test(test_fork_of_private_table),
  };

  return cmocka_run_group_tests(tests, parse_policies, delete_policies);
}
