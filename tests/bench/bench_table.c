/* SPDX-License-Identifier: Apache-2.0 */

/* Measures the embedded stores: nanoseconds a decision, and each as a ratio to a bare atomic
 * compare-and-swap increment in shared memory in the same run. */

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "store/breaker.h"
#include "store/store.h"

#define KEYS 100000u
#define ROUNDS 5

typedef struct shared {
  _Atomic unsigned ready;
  _Alignas(64) _Atomic uint64_t counter;
  _Alignas(64) double ns[4];
} shared;

typedef struct job {
  rlc__store *store; /* NULL: the bare swap */
  const rlc_policy *policy;
  unsigned keys;
  unsigned repeats;
  int two; /* a second policy on each key, all or nothing */
  int64_t step_us; /* between decisions; 0: by the clock */
} job;

static shared *memory;

static double now_ns(void) {
  struct timespec ts;

  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void swap_bare(unsigned repeats) {
  for (unsigned i = 0; i < repeats; ++i) {
    uint64_t old = atomic_load_explicit(&memory->counter, memory_order_relaxed);

    while (!atomic_compare_exchange_weak(&memory->counter, &old, old + 1)) {
    }
  }
}

static void decide(const job *j) {
  rlc__item items[2];
  rlc__call call = {RLC__OP_CHECK, items, j->two ? 2 : 1, 0, 0, 0};
  uint64_t random = 88172645463325252u;
  static int64_t passed;
  char key[32];

  memset(items, 0, sizeof items);
  for (unsigned i = 0; i < 2; ++i) {
    items[i].policy = j->policy;
    items[i].name = i == 0 ? "bench" : "other";
    items[i].name_len = 5;
    items[i].cost = 1;
    items[i].key = key;
  }
  for (unsigned i = 0; i < j->repeats; ++i) {
    uint64_t n;

    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    n = (random >> 32) * j->keys >> 32; /* as a division would, without its cost */
    memcpy(key, "203.0.113.0/24:", 15);
    memcpy(key + 15, &n, 4);
    items[0].key_len = items[1].key_len = 19;
    if (j->step_us > 0) {
      call.now_us = INT64_C(1790000000000000) + passed;
      passed += j->step_us;
    }
    if (j->store->ops->decide(j->store, &call) != 0) {
      abort();
    }
  }
}

static void run_one(const job *j, unsigned me, unsigned processes) {
  double start;

  atomic_fetch_add(&memory->ready, 1);
  while (atomic_load(&memory->ready) < processes) {
  }
  start = now_ns();
  if (j->store == NULL) {
    swap_bare(j->repeats);
  } else {
    decide(j);
  }
  memory->ns[me] = (now_ns() - start) / j->repeats;
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a;
  double y = *(const double *)b;

  return (x > y) - (x < y);
}

/* Returns the median over rounds of what a decision takes in each of |processes|, in ns. */
static double measure(const job *j, unsigned processes) {
  double rounds[ROUNDS];

  for (unsigned r = 0; r < ROUNDS; ++r) {
    rounds[r] = 0;
    atomic_store(&memory->ready, 0);
    for (unsigned p = 1; p < processes; ++p) {
      pid_t child = fork();

      if (child == 0) {
        run_one(j, p, processes);
        _exit(0);
      }
      if (child < 0) {
        abort();
      }
    }
    run_one(j, 0, processes);
    for (unsigned p = 1; p < processes; ++p) {
      wait(NULL);
    }
    for (unsigned p = 0; p < processes; ++p) {
      rounds[r] += memory->ns[p] / processes;
    }
  }
  qsort(rounds, ROUNDS, sizeof *rounds, ascending);
  return rounds[ROUNDS / 2];
}

static void row(const char *what, const job *j, unsigned processes, double baseline) {
  job warm = *j;
  double ns;

  warm.repeats = j->keys * 8 < j->repeats ? j->keys * 8 : j->repeats;
  decide(&warm);
  ns = measure(j, processes);
  printf("%-52s %8.1f %8.2f\n", what, ns, ns / baseline);
}

static rlc__store *open_store(rlc__scheme scheme, const rlc_options *options) {
  rlc__url url;
  rlc__store *store;
  char why[RLC_MESSAGE_SIZE] = "";
  int rv;

  memset(&url, 0, sizeof url);
  url.memory = options->memory;
  url.scheme = scheme;
  rv = scheme == RLC__SCHEME_SHM ? rlc__shm_store_new(&store, &url, options, why, sizeof why)
                                 : rlc__memory_store_new(&store, &url, options, why, sizeof why);
  if (rv != 0) {
    fprintf(stderr, "%s\n", why);
    exit(1);
  }
  return store;
}

static int away(rlc__store *store, rlc__call *call) {
  (void)store;
  (void)call;
  return RLC__ERR_UNAVAILABLE;
}

static int still_away(rlc__store *store) {
  (void)store;
  return 0;
}

static void keep(rlc__store *store) {
  (void)store;
}

/* What a decision costs while redis is away: the guard's part, its breaker open. */
static void measure_open_breaker(const rlc_options *options, rlc_fail fail, const char *what,
                                 const rlc_policy *policy, unsigned repeats, double baseline) {
  static const rlc__store_ops ops = {.decide = away, .probe = still_away, .del = keep};
  static rlc__store inner = {&ops};
  job j = {NULL, policy, 1, repeats, 0, 0};
  job opening = {NULL, policy, 1, RLC__BREAKER_FAILURES, 0, 0};
  rlc__url url;

  memset(&url, 0, sizeof url);
  url.memory = options->memory;
  url.share = 1;
  url.fail = fail;
  if (rlc__guard_store_new(&j.store, &inner, &url, options, NULL, 0) != 0) {
    exit(1);
  }
  opening.store = j.store;
  decide(&opening);
  row(what, &j, 1, baseline);
  j.store->ops->del(j.store);
}

static rlc_policy *parse(const char *text) {
  rlc_policy *policy;
  char why[RLC_MESSAGE_SIZE] = "";

  if (rlc_policy_new(&policy, NULL, text, NULL, why, sizeof why) != 0) {
    fprintf(stderr, "%s\n", why);
    exit(1);
  }
  return policy;
}

int main(int argc, char **argv) {
  unsigned repeats = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1000000;
  rlc_policy *bucket = parse("100000000/day");
  rlc_policy *uneven = parse("70000000/day");
  rlc_policy *fixed = parse("1000000000/day algorithm=fixed-window");
  rlc_policy *sliding = parse("1000000000/day algorithm=sliding-window");
  rlc_policy *empty = parse("1/week");
  rlc_policy *logs[3] = {parse("10/day algorithm=sliding-log"), parse("100/day algorithm=sliding-log"),
                         parse("1000/day algorithm=sliding-log")};
  job j = {NULL, NULL, 1, repeats, 0, 0};
  rlc_options *options;
  double baseline[3];
  rlc_stats stats = RLC_STATS_INIT;

  memory = mmap(NULL, sizeof *memory, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED || repeats == 0 || rlc_options_new(&options, NULL) != 0) {
    return 1;
  }
  printf("%-52s %8s %8s\n", "a decision (median of 5 runs)", "ns", "ratio");
  for (unsigned p = 1; p <= 2; ++p) {
    baseline[p] = measure(&j, p);
    printf("%-48s %2u p %8.1f %8.2f\n", "bare compare-and-swap, one counter", p, baseline[p], 1.0);
  }
  for (int s = 0; s < 2; ++s) {
    const char *name = s == 0 ? "memory:" : "shm:";
    rlc__scheme scheme = s == 0 ? RLC__SCHEME_MEMORY : RLC__SCHEME_SHM;
    const struct {
      const char *what;
      const rlc_policy *policy;
      unsigned keys;
      unsigned processes;
      int two;
      int64_t step_us;
    } rows[] = {
        {"token bucket, one hot key", bucket, 1, 1, 0, 0},
        {"token bucket, one hot key, denied", empty, 1, 1, 0, 0},
        {"token bucket, ticks of no whole microsecond", uneven, 1, 1, 0, 0},
        {"token bucket, 1,000 keys", bucket, 1000, 1, 0, 0},
        {"token bucket, 100,000 keys", bucket, KEYS, 1, 0, 0},
        {"fixed window, one hot key", fixed, 1, 1, 0, 0},
        {"sliding window, one hot key", sliding, 1, 1, 0, 0},
        {"sliding window, 30,000 keys", sliding, 30000, 1, 0, 0},
        {"log of 10 units, one hot key", logs[0], 1, 1, 0, 8640000000},
        {"log of 10 units, one hot key, denied", logs[0], 1, 1, 0, 1},
        {"log of 10 units, 10,000 keys, denied", logs[0], 10000, 1, 0, 1},
        {"log of 100 units, one hot key", logs[1], 1, 1, 0, 864000000},
        {"log of 100 units, one hot key, denied", logs[1], 1, 1, 0, 1},
        {"log of 1,000 units, one hot key", logs[2], 1, 1, 0, 86400000},
        {"log of 1,000 units, one hot key, denied", logs[2], 1, 1, 0, 1},
        {"two token buckets, all or nothing, one hot key", bucket, 1, 1, 1, 0},
        {"token bucket, one hot key, 2 processes (each)", bucket, 1, 2, 0, 0},
        {"token bucket, 100,000 keys, 2 processes (each)", bucket, KEYS, 2, 0, 0},
        {"sliding window, one hot key, 2 processes (each)", sliding, 1, 2, 0, 0},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) {
      char what[80];

      if (s == 0 && rows[i].processes > 1) {
        continue; /* each would have a copy */
      }
      j.store = open_store(scheme, options);
      j.policy = rows[i].policy;
      j.keys = rows[i].keys;
      j.two = rows[i].two;
      j.step_us = rows[i].step_us;
      snprintf(what, sizeof what, "%s %s", name, rows[i].what);
      row(what, &j, rows[i].processes, baseline[rows[i].processes]);
      if (rows[i].keys == KEYS && rows[i].processes == 1) {
        stats = (rlc_stats)RLC_STATS_INIT;
        j.store->ops->get_stats(j.store, &stats);
        printf("  slots %" PRIu64 ", used %" PRIu64 ", evicted live %" PRIu64 "\n", stats.slots,
               stats.slots_used, stats.evicted_live);
      }
      j.store->ops->del(j.store);
    }
  }
  measure_open_breaker(options, RLC_FAIL_OPEN, "redis: breaker open, fail=open", bucket, repeats,
                       baseline[1]);
  measure_open_breaker(options, RLC_FAIL_LOCAL, "redis: breaker open, fail=local", bucket, repeats,
                       baseline[1]);
  rlc_options_del(options);
  rlc_policy_del(bucket);
  rlc_policy_del(uneven);
  rlc_policy_del(fixed);
  rlc_policy_del(sliding);
  rlc_policy_del(empty);
  for (size_t i = 0; i < 3; ++i) {
    rlc_policy_del(logs[i]);
  }
  return 0;
}
