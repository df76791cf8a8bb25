/* SPDX-License-Identifier: Apache-2.0 */

/* Two decisions in each other's way: one process is stopped after some number of instructions,
 * another decides meanwhile, the first goes on. For every such moment the outcome must be one that
 * the two decisions could have had one after the other. It is stopped after every write to the
 * table, and now and then between; with RLC_KILLS=500 after every instruction. */

#include "base/clock.h"
#include "step_help.h"

#define QUOTA 5u
#define UNIT (720 * SECOND) /* in which a unit of 5/h comes back */
#define MOST_KEYS 3

/* The keys of one set: eight that live there, of which the first expires soonest, and newcomers. */
enum { SOONEST, SECOND_KEY, OTHERS = 7, NEWCOMER, RIVAL, KEYS };

typedef struct action {
  rlc__op op;
  uint64_t cost;
  size_t n;
  int key[MOST_KEYS];
} action;

typedef struct scenario {
  const char *what;
  int64_t now_us;
  action first;     /* it is stopped on its way */
  action second[2]; /* meanwhile; n 0 means there is no second one */
  int every;        /* stop after every instruction: what was read, not written, matters */
} scenario;

/* At DAY all eight keys are live; a unit later the first has expired. */
static const scenario scenarios[] = {
    {"insert, and charge whom it evicts", DAY + UNIT + 1, {RLC__OP_CHECK, 1, 1, {NEWCOMER}},
     {{RLC__OP_CHECK, 1, 1, {SOONEST}}}, 0},
    {"charge, and insert in its place", DAY + UNIT + 1, {RLC__OP_CHECK, 1, 1, {SOONEST}},
     {{RLC__OP_CHECK, 1, 1, {NEWCOMER}}}, 1},
    {"charge a live key, and insert in its place", DAY, {RLC__OP_CHECK, 2, 1, {SOONEST}},
     {{RLC__OP_CHECK, 2, 1, {NEWCOMER}}}, 0},
    {"insert the same key twice", DAY + UNIT + 1, {RLC__OP_CHECK, 3, 1, {NEWCOMER}},
     {{RLC__OP_CHECK, 3, 1, {NEWCOMER}}}, 0},
    {"insert two keys", DAY + UNIT + 1, {RLC__OP_CHECK, 1, 1, {NEWCOMER}},
     {{RLC__OP_CHECK, 1, 1, {RIVAL}}}, 0},
    {"charge one key twice", DAY, {RLC__OP_CHECK, 1, 1, {SECOND_KEY}},
     {{RLC__OP_CHECK, 1, 1, {SECOND_KEY}}}, 0},
    {"refund all, and charge", DAY, {RLC__OP_REFUND, 1, 1, {SOONEST}},
     {{RLC__OP_CHECK, 1, 1, {SOONEST}}}, 0},
    {"charge, and refund all", DAY, {RLC__OP_CHECK, 1, 1, {SOONEST}},
     {{RLC__OP_REFUND, 1, 1, {SOONEST}}}, 0},
    {"charge, and refund all and insert there", DAY, {RLC__OP_CHECK, 2, 1, {SOONEST}},
     {{RLC__OP_REFUND, 1, 1, {SOONEST}}, {RLC__OP_CHECK, 2, 1, {NEWCOMER}}}, 0},
    {"charge several, and one of them", DAY, {RLC__OP_CHECK, 1, 3, {SOONEST, SECOND_KEY, OTHERS}},
     {{RLC__OP_CHECK, 2, 1, {SECOND_KEY}}}, 0},
    {"charge several, and use one up", DAY, {RLC__OP_CHECK, 2, 3, {SOONEST, SECOND_KEY, OTHERS}},
     {{RLC__OP_CHECK, 2, 1, {SECOND_KEY}}}, 0},
};

/* What both processes write down. */
typedef struct notes {
  unsigned allowed[3]; /* of the first, and of the second's actions */
} notes;

static rlc_policy *policy;
static rlc__region region;
static char keys[KEYS][16];
static unsigned char *full; /* the region with all eight keys in the set */

static int decide(const action *a, int64_t now_us) {
  rlc__item items[MOST_KEYS];
  rlc__call call = {a->op, items, a->n, 0, now_us, 0};
  int allowed = 1;

  for (size_t i = 0; i < a->n; ++i) {
    items[i] = item_of(policy, keys[a->key[i]], a->cost);
  }
  if (rlc__table_decide(&region, &call) != 0) {
    abort();
  }
  for (size_t i = 0; i < a->n; ++i) {
    allowed &= items[i].result.allowed;
  }
  return allowed;
}

static int used_of(int key, int64_t now_us) {
  rlc__item item = item_of(policy, keys[key], 1);
  rlc__call call = {RLC__OP_PEEK, &item, 1, 0, now_us, 0};

  assert_int_equal(rlc__table_decide(&region, &call), 0);
  return (int)(QUOTA - item.result.remaining);
}

/* Finds keys that belong to set 0, and fills it. */
static int set_up(void **state) {
  int found = 0;

  (void)state;
  policy = parse("5/h");
  assert_int_equal(rlc__region_new_anonymous(&region, 64, NULL, 0), 0);
  full = malloc(region.size);
  assert_non_null(full);
  memcpy(full, region.header, region.size);
  for (unsigned i = 0; found < KEYS; ++i) {
    action a = {RLC__OP_CHECK, 1, 1, {found}};

    snprintf(keys[found], sizeof keys[found], "key-%u", i);
    decide(&a, DAY);
    found += atomic_load(&region.narrow[0].slot[0].tag) != 0;
    memcpy(region.header, full, region.size);
  }
  for (int i = 0; i <= OTHERS; ++i) {
    action a = {RLC__OP_CHARGE, i == SOONEST ? 1 : 2, 1, {i}};

    decide(&a, DAY);
  }
  memcpy(full, region.header, region.size);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  free(full);
  rlc__region_del(&region);
  rlc_policy_del(policy);
  return 0;
}

/* Starts the first action in a child that waits to be stepped. */
static pid_t start_first(const scenario *s, notes *n) {
  pid_t child = fork();

  assert_true(child >= 0);
  if (child == 0) {
    alarm(60);
    wait_for_steps();
    n->allowed[0] = (unsigned)decide(&s->first, s->now_us);
    raise(SIGSTOP);
    _exit(0);
  }
  return child;
}

/* Returns whether |child| sleeps, which it does for a lock only. */
static int sleeps(pid_t child) {
  char path[40];
  char mark = '?';
  FILE *stat;

  snprintf(path, sizeof path, "/proc/%d/stat", (int)child);
  stat = fopen(path, "r");
  assert_non_null(stat);
  assert_int_equal(fscanf(stat, "%*d (%*[^)]) %c", &mark), 1);
  fclose(stat);
  return mark == 'S';
}

/* Lets both come to their end, the second before the first goes on, unless it waits for a lock that
 * the first holds. */
static void finish(const scenario *s, notes *n, pid_t first) {
  pid_t second = fork();
  int status = 0;
  int ended = 0;

  assert_true(second >= 0);
  if (second == 0) {
    alarm(60);
    for (int i = 0; i < 2 && s->second[i].n > 0; ++i) {
      n->allowed[i + 1] = (unsigned)decide(&s->second[i], s->now_us);
    }
    _exit(0);
  }
  while (!ended && !sleeps(second)) {
    sched_yield();
    ended = waitpid(second, &status, WNOHANG) == second;
  }
  assert_int_equal(ptrace(PTRACE_DETACH, first, NULL, NULL), 0);
  if (!ended) {
    assert_int_equal(waitpid(second, &status, 0), second);
  }
  assert_int_equal(status, 0);
  kill(first, SIGCONT); /* it stops once more at its end */
  while (waitpid(first, &status, WNOHANG) == 0) {
    kill(first, SIGCONT);
    sched_yield();
  }
  assert_int_equal(status, 0);
}

static void add_up(int *used, const action *a, int allowed) {
  for (size_t i = 0; i < a->n; ++i) {
    if (a->op == RLC__OP_REFUND) {
      used[a->key[i]] -= (int)a->cost;
    } else if (allowed) {
      used[a->key[i]] += (int)a->cost;
    }
  }
}

static uint64_t evicted(void) {
  rlc_stats stats = RLC_STATS_INIT;

  rlc__slots_get_stats(&region, &stats);
  return stats.evicted_live;
}

/* Each key holds what was admitted, except live ones that were evicted, which are counted; nobody
 * holds more, and none is in two slots. */
static void verify(const scenario *s, const notes *n, const int *before, uint64_t evicted_before,
                   unsigned long at) {
  int used[KEYS];
  uint64_t lost = 0;

  memcpy(used, before, sizeof used);
  add_up(used, &s->first, (int)n->allowed[0]);
  for (int i = 0; i < 2; ++i) {
    add_up(used, &s->second[i], (int)n->allowed[i + 1]);
  }
  for (int key = 0; key < KEYS; ++key) {
    int got = used_of(key, s->now_us);

    lost += got < used[key];
    if (got > used[key]) {
      fail_msg("%s, stopped after %lu instructions: key %d was charged %d instead of %d", s->what,
               at, key, got, used[key]);
    }
  }
  if (lost > evicted() - evicted_before) {
    fail_msg("%s, stopped after %lu instructions: %d keys lost charges, %d were counted", s->what,
             at, (int)lost, (int)(evicted() - evicted_before));
  }
  for (unsigned i = 0; i < RLC__WAYS; ++i) {
    for (unsigned j = 0; j < i; ++j) {
      assert_true(atomic_load(&region.narrow[0].slot[i].tag) == 0 ||
                  atomic_load(&region.narrow[0].slot[i].tag) !=
                      atomic_load(&region.narrow[0].slot[j].tag));
    }
  }
}

/* Stops the first decision after |at| instructions for the second, and looks at the outcome. */
static void interrupt_at(const scenario *s, notes *n, unsigned long at) {
  uint64_t evicted_before;
  int before[KEYS];
  pid_t first;

  memcpy(region.header, full, region.size);
  memset(n, 0, sizeof *n);
  evicted_before = evicted();
  for (int key = 0; key < KEYS; ++key) {
    before[key] = used_of(key, s->now_us);
  }
  first = start_first(s, n);
  expect_steps(first);
  for (unsigned long i = 0; i < at; ++i) {
    assert_true(step(first));
  }
  finish(s, n, first);
  verify(s, n, before, evicted_before, at);
}

/* Whenever one decision is interrupted by another, each charge is kept and no key is doubled. */
static void test_interrupted_anywhere(void **state) {
  unsigned long stride = 10000 / setting("RLC_KILLS", 50);
  notes *n = shared_memory(sizeof *n);
  points *p = malloc(sizeof *p);
  cpu_set_t all = stay_on_processor();

  (void)state;
  assert_non_null(p);
  for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; ++i) {
    const scenario *s = &scenarios[i];

    memcpy(region.header, full, region.size);
    find_points(p, start_first(s, n), &region, s->every || stride <= 20 ? 1 : stride, NULL, NULL);
    /* Sanitizers make many instructions of one; then some of them will do. */
    for (size_t at = 0; at < p->n; at += stride > 20 ? p->n / 500 + 1 : 1) {
      interrupt_at(s, n, p->at[at]);
    }
  }
  leave_processor(all);
  free(p);
  munmap(n, sizeof *n);
}

/* --- while a window ends ------------------------------------------------------------------- */

static void check_both(rlc_policy *windows, size_t n) {
  rlc__item items[] = {item_of(windows, "a", 1), item_of(windows, "b", 1)};
  rlc__call call = {RLC__OP_CHECK, items, n, 0, 0, 0};

  assert_int_equal(rlc__table_decide(&region, &call), 0);
  assert_true(items[0].result.allowed && items[n - 1].result.allowed);
}

static uint64_t count_of(rlc_policy *windows, const char *key) {
  rlc__item item = item_of(windows, key, 1);
  rlc__call call = {RLC__OP_PEEK, &item, 1, 0, 0, 0};

  assert_int_equal(rlc__table_decide(&region, &call), 0);
  return QUOTA - item.result.remaining;
}

static pid_t start_both(rlc_policy *windows) {
  pid_t child = fork();

  assert_true(child >= 0);
  if (child == 0) {
    alarm(60);
    wait_for_steps();
    check_both(windows, 2);
    raise(SIGSTOP);
    _exit(0);
  }
  return child;
}

/* A check of two limits is stopped after each of its writes, their window ends, and both are charged in the
 * next. Where the check then begins again, what it gives back is its own, and not what others have charged
 * since. */
static void test_window_ends_meanwhile(void **state) {
  rlc_policy *windows = parse("5/h algorithm=fixed-window");
  points *p = malloc(sizeof *p);
  cpu_set_t all = stay_on_processor();
  int64_t offset_us;

  (void)state;
  assert_non_null(p);
  memcpy(region.header, full, region.size);
  region.offset_us = offset_us = DAY + 600 * SECOND - rlc__clock_boottime_us();
  check_both(windows, 2);
  memcpy(full, region.header, region.size);
  find_points(p, start_both(windows), &region, 10000, NULL, NULL);
  for (size_t i = 0; i < p->n; ++i) {
    int64_t later_us = offset_us + 3600 * SECOND;
    pid_t child;
    int status;

    memcpy(region.header, full, region.size);
    region.offset_us = offset_us;
    child = start_both(windows);
    expect_steps(child);
    for (unsigned long at = 0; at < p->at[i]; ++at) {
      assert_true(step(child));
    }
    region.offset_us = later_us;
    assert_int_equal(ptrace(PTRACE_POKEDATA, child, &region.offset_us, (void *)(intptr_t)later_us), 0);
    for (int times = 0; times < 3; ++times) {
      rlc__item items[] = {item_of(windows, "a", 1), item_of(windows, "b", 1)};

      for (int key = 0; key < 2; ++key) { /* each alone, which needs no lock */
        rlc__call call = {RLC__OP_CHECK, &items[key], 1, 0, 0, 0};

        assert_int_equal(rlc__table_decide(&region, &call), 0);
        assert_int_equal(items[key].result.allowed, 1);
      }
    }
    assert_int_equal(ptrace(PTRACE_DETACH, child, NULL, NULL), 0);
    while (waitpid(child, &status, WNOHANG) == 0) {
      kill(child, SIGCONT);
      sched_yield();
    }
    assert_int_equal(status, 0);
    if (count_of(windows, "a") < 3 || count_of(windows, "a") != count_of(windows, "b")) {
      fail_msg("stopped after %lu instructions: %d and %d were charged of 3 or more", p->at[i],
               (int)count_of(windows, "a"), (int)count_of(windows, "b"));
    }
  }
  leave_processor(all);
  free(p);
  rlc_policy_del(windows);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_window_ends_meanwhile, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_interrupted_anywhere, set_up, tear_down),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
