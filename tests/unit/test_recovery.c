/* SPDX-License-Identifier: Apache-2.0 */

/* What processes that end without warning leave of a table: SIGKILL at any instruction, a reboot,
 * and locks that nobody will ever release. RLC_KILLS=500 runs the long way. */

#include "step_help.h"

#include <fcntl.h>
#include <time.h>

static const char *const policies[] = {
    "5/h",
    "5/h algorithm=fixed-window",
    "5/h algorithm=sliding-window",
    "5/h,7/day",
};
#define POLICIES (sizeof policies / sizeof *policies)

static rlc_policy *policy_of[POLICIES];

/* --- SIGKILL ------------------------------------------------------------------------------- */

#define KILL_KEYS 8u
#define KILL_QUOTA 100000u

typedef struct ledger {
  _Atomic uint64_t admitted[POLICIES + 1][KILL_KEYS];
} ledger;

static const char *kill_key(unsigned i) {
  static const char *const keys[KILL_KEYS] = {"a", "b", "c", "d", "e", "f", "g", "h"};

  return keys[i];
}

/* Works without end; writes down what was admitted only afterwards. */
static void work_until_killed(rlc__store *store, ledger *l, rlc_policy *const *roomy,
                              unsigned seed) {
  for (;;) {
    unsigned k = (seed = seed * 1103515245u + 12345u) >> 16 & (KILL_KEYS - 1);
    unsigned p = (seed >> 20) % (POLICIES + 1);

    if (p < POLICIES) {
      if (check(store, roomy[p], kill_key(k), 1, DAY)) {
        atomic_fetch_add(&l->admitted[p][k], 1);
      }
    } else {
      rlc__item items[POLICIES];
      rlc__call call = {RLC__OP_CHECK, items, POLICIES, 0, DAY, 0};

      for (size_t i = 0; i < POLICIES; ++i) {
        items[i] = item_of(roomy[i], kill_key(k), 1);
      }
      if (store->ops->decide(store, &call) != 0) {
        abort();
      }
      if (items[0].result.allowed && items[1].result.allowed && items[2].result.allowed &&
          items[3].result.allowed) {
        atomic_fetch_add(&l->admitted[POLICIES][k], 1);
      }
    }
    /* Keys that come and go beside them, so that insertion and removal are cut short too. */
    check(store, roomy[p % POLICIES], p == 0 ? "x" : "y", 1, DAY);
    run(store, RLC__OP_RESET, roomy[p % POLICIES], p == 0 ? "x" : "y", 0, DAY);
  }
}

/* Two processes at work, one of them killed after a moment, again and again: every key stays
 * usable, and each holds what was admitted, and at most one call more for each that was killed. */
static void test_killed_under_load(void **state) {
  unsigned long kills = setting("RLC_KILLS", 50);
  rlc__store *store = shared_table(1024); /* none of the keys is evicted */
  ledger *l = shared_memory(sizeof *l);
  static const char *const texts[POLICIES] = {
      "100000/day", "100000/day algorithm=fixed-window", "100000/day algorithm=sliding-window",
      "100000/day,100000/week"};
  rlc_policy *roomy[POLICIES];
  pid_t children[2];

  (void)state;
  for (size_t p = 0; p < POLICIES; ++p) {
    roomy[p] = parse(texts[p]);
  }
  for (unsigned long i = 0; i < kills + 2; ++i) {
    struct timespec moment = {0, 2000000 + (long)(i * 7919 % 1000) * 1000};
    pid_t *child = &children[i % 2];

    if (i >= 2) {
      kill(*child, SIGKILL);
      assert_int_equal(waitpid(*child, NULL, 0), *child);
    }
    if (i < kills) {
      *child = fork();
      if (*child == 0) {
        work_until_killed(store, l, roomy, (unsigned)i);
      }
      nanosleep(&moment, NULL);
    }
  }
  alarm(60); /* a lock left behind would hold this process for ever */
  for (size_t p = 0; p < POLICIES; ++p) {
    for (unsigned k = 0; k < KILL_KEYS; ++k) {
      uint64_t known = l->admitted[p][k] + l->admitted[POLICIES][k];
      uint64_t used = KILL_QUOTA - remaining(store, roomy[p], kill_key(k), DAY);

      if (known < KILL_QUOTA) {
        assert_in_range(used, known, known + kills);
      } else {
        assert_in_range(known, 0, KILL_QUOTA);
      }
      run(store, RLC__OP_CHARGE, roomy[p], kill_key(k), KILL_QUOTA, DAY);
      assert_false(check(store, roomy[p], kill_key(k), 1, DAY));
    }
    rlc_policy_del(roomy[p]);
  }
  alarm(0);
  munmap(l, sizeof *l);
  store->ops->del(store);
}

/* What is cut short, on a table of 8 narrow and 8 wide sets that is full of other keys. */
typedef struct cut {
  const char *what;
  rlc__op op;
  unsigned first;  /* of the policies */
  unsigned n;
  uint64_t before; /* charged beforehand; 0: the keys are absent and are inserted */
  uint64_t cost;
  int64_t later; /* seconds from what was charged beforehand to the decision */
} cut;

static const cut cuts[] = {
    {"insert a narrow key", RLC__OP_CHECK, 0, 1, 0, 2, 0},
    {"insert a wide key", RLC__OP_CHECK, 2, 1, 0, 2, 0},
    {"charge a narrow key", RLC__OP_CHECK, 1, 1, 2, 1, 0},
    {"charge a wide key", RLC__OP_CHECK, 2, 1, 2, 1, 0},
    {"charge a wide key in the next window", RLC__OP_CHECK, 2, 1, 3, 1, 3600},
    {"charge a stack", RLC__OP_CHECK, 3, 1, 2, 1, 0},
    {"refund part", RLC__OP_REFUND, 0, 1, 3, 1, 0},
    {"refund all of a narrow key", RLC__OP_REFUND, 0, 1, 2, 2, 0},
    {"refund all of a wide key", RLC__OP_REFUND, 2, 1, 2, 2, 0},
    {"reset", RLC__OP_RESET, 0, 1, 2, 2, 0},
    {"charge four", RLC__OP_CHECK, 0, 4, 2, 1, 0},
    {"insert four", RLC__OP_CHECK, 0, 4, 0, 2, 0},
};

static void do_cut(rlc__store *store, const cut *c, rlc__op op, uint64_t cost, int64_t now_us) {
  rlc__item items[POLICIES];
  rlc__call call = {op, items, c->n, 0, now_us, 0};

  for (unsigned i = 0; i < c->n; ++i) {
    items[i] = item_of(policy_of[c->first + i], "key", cost);
  }
  if (store->ops->decide(store, &call) != 0) {
    abort();
  }
}

static void fill_table(rlc__store *store, const cut *c) {
  char key[32];

  for (unsigned i = 0; i < 400; ++i) {
    snprintf(key, sizeof key, "other-%u", i);
    check(store, policy_of[0], key, 1, DAY);
    check(store, policy_of[2], key, 1, DAY);
  }
  do_cut(store, c, RLC__OP_CHARGE, c->before, DAY); /* in one call, so that none evicts another */
}

/* Starts |c| in a child that waits to be stepped. */
static pid_t start_cut(rlc__store *store, const cut *c) {
  pid_t child = fork();

  assert_true(child >= 0);
  if (child == 0) {
    wait_for_steps();
    do_cut(store, c, c->op, c->cost, DAY + c->later * SECOND);
    raise(SIGSTOP);
    _exit(0);
  }
  return child;
}

/* Runs |c| for |steps| instructions and kills it there. */
static void cut_after(rlc__store *store, const cut *c, unsigned long steps) {
  pid_t child = start_cut(store, c);

  expect_steps(child);
  for (unsigned long i = 0; i < steps; ++i) {
    assert_true(step(child));
  }
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
}

/* What is in the table after the cut is the state before or the state after, for each key. */
static void verify_cut(rlc__store *store, const cut *c, unsigned long at) {
  int64_t now_us = DAY + c->later * SECOND;

  for (unsigned p = c->first; p < c->first + c->n; ++p) {
    uint64_t before = 5 - c->before;
    uint64_t after = c->op == RLC__OP_CHECK ? before - c->cost : before + c->cost;
    uint64_t left = remaining(store, policy_of[p], "key", now_us);
    unsigned admitted = 0;

    if (left != before && left != after) {
      fail_msg("%s, cut after %lu instructions: %llu left", c->what, at, (unsigned long long)left);
    }
    while (check(store, policy_of[p], "key", 1, now_us)) {
      ++admitted;
    }
    assert_int_equal(admitted, left);
  }
}

/* The other keys are as they were, but for those that had to make room: none has another's
 * state. */
static void verify_others(rlc__store *store, const cut *c, unsigned long at) {
  unsigned gone = 0;
  char key[32];

  for (unsigned i = 0; i < 400; ++i) {
    snprintf(key, sizeof key, "other-%u", i);
    for (unsigned p = 0; p <= 2; p += 2) {
      uint64_t left = remaining(store, policy_of[p], key, DAY);

      if (left != 4 && left != 5) {
        fail_msg("%s, cut after %lu instructions: another key has %llu left", c->what, at,
                 (unsigned long long)left);
      }
      gone += left == 5;
    }
  }
  assert_in_range(gone, 800 - 128, 800 - 128 + 2 * c->n);
}

/* New keys still find room, and the slots add up. */
static void verify_room(rlc__store *store, rlc_stats then) {
  rlc_stats now;
  char key[32];

  for (unsigned i = 0; i < 400; ++i) {
    snprintf(key, sizeof key, "new-%u", i);
    assert_true(check(store, policy_of[0], key, 1, DAY));
    assert_true(check(store, policy_of[2], key, 1, DAY));
  }
  now = stats_of(store);
  assert_int_equal(now.slots_used, 128);
  assert_true(now.evicted_live > then.evicted_live);
}

static void verify_all(rlc__store *store, const cut *c, rlc_stats then, unsigned long at) {
  verify_others(store, c, at); /* first, since the others insert and evict */
  verify_cut(store, c, at);
  verify_room(store, then);
}

/* What a look at a half-done decision needs. */
typedef struct look {
  const cut *what;
  const rlc__region *region; /* of the decision */
  open_table *copy;          /* with the same hash key */
  rlc_stats then;
} look;

/* Looks at the table as it would be if the decision ended here, in a copy with fresh locks. */
static void look_at(unsigned long at, void *arg) {
  look *l = arg;
  rlc__region *copy = &l->copy->region;

  memcpy(copy->header, l->region->header, copy->size);
  assert_int_equal(rlc__region_renew(copy, NULL, 0), 0);
  rlc__slots_recount(copy);
  verify_all(&l->copy->base, l->what, l->then, at);
}

/* A process that ends after any number of instructions of a decision leaves each key as it was
 * before or as it is after, and no slot lost: looked at after every write to the table. Then it
 * really is killed at some of these points, at all with RLC_KILLS=500, and leaves no lock held
 * either. */
static void test_killed_at_any_instruction(void **state) {
  unsigned long kills = setting("RLC_KILLS", 50);
  open_table *table = open_table_new(64);
  open_table *copy = open_table_new(64);
  rlc__store *store = &table->base;
  rlc__region *region = &table->region;
  unsigned char *empty = malloc(region->size);
  unsigned char *full = malloc(region->size);
  points *p = malloc(sizeof *p);
  cpu_set_t all = stay_on_processor();

  (void)state;
  assert_true(empty != NULL && full != NULL && p != NULL);
  memcpy(empty, region->header, region->size);
  memcpy(copy->region.hash_key, region->hash_key, sizeof region->hash_key);
  alarm(1200); /* a lock left behind would hold this process for ever */
  for (size_t i = 0; i < sizeof cuts / sizeof *cuts; ++i) {
    look l = {&cuts[i], region, copy, RLC_STATS_INIT};

    memcpy(region->header, empty, region->size);
    fill_table(store, &cuts[i]);
    memcpy(full, region->header, region->size);
    l.then = stats_of(store);
    find_points(p, start_cut(store, &cuts[i]), region, ULONG_MAX, look_at, &l);
    for (size_t at = i % 3; at < p->n; at += kills >= 500 ? 1 : 200 / kills + 1) {
      memcpy(region->header, full, region->size);
      cut_after(store, &cuts[i], p->at[at]);
      verify_all(store, &cuts[i], l.then, p->at[at]);
    }
  }
  alarm(0);
  leave_processor(all);
  free(p);
  free(full);
  free(empty);
  open_table_del(copy);
  open_table_del(table);
}

/* --- files: reboots and stale locks ---------------------------------------------------- */

/* Changes the header of the closed file at |path|. */
static void edit(const char *path, void (*change)(rlc__header *header, rlc__lock *locks)) {
  int fd = open(path, O_RDWR);
  unsigned char *base = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

  assert_true(base != MAP_FAILED);
  change((rlc__header *)(void *)base, (rlc__lock *)(void *)(base + 4096));
  munmap(base, 8192);
  close(fd);
}

static void reboot_behind(rlc__header *header, rlc__lock *locks) {
  (void)locks;
  memset(header->boot_id, 'x', 36);
  /* As though the machine had been up for 100 days longer. */
  header->offset_us -= INT64_C(100) * 86400 * SECOND;
}

/* After a reboot the table's clock, which counts from boot, is set anew by the wall clock: what was
 * used up is forgiven when its time has come, not 100 days later. */
static void test_boot_changes(void **state) {
  own_folder *p = *state;
  rlc__store *store = open_path(p->path, 64);
  rlc_result before = run(store, RLC__OP_CHARGE, policy_of[0], "k", 5, 0);
  rlc_result after;

  store->ops->del(store);
  edit(p->path, reboot_behind);
  store = open_path(p->path, 64);
  after = run(store, RLC__OP_PEEK, policy_of[0], "k", 1, 0);
  assert_int_equal(after.remaining, 0);
  assert_in_range(before.reset_us - after.reset_us, 0, 60 * SECOND);
  store->ops->del(store);
}

static void wind_back(rlc__header *header, rlc__lock *locks) {
  (void)locks;
  header->offset_us -= 1800 * SECOND;
}

/* In the same boot the offset stays as it was, whatever the wall clock says by now. */
static void test_wall_clock_does_not_matter(void **state) {
  own_folder *p = *state;
  rlc__store *store = open_path(p->path, 64);
  rlc_result after;

  run(store, RLC__OP_CHARGE, policy_of[0], "k", 1, 0);
  store->ops->del(store);
  edit(p->path, wind_back);
  store = open_path(p->path, 64);
  after = run(store, RLC__OP_PEEK, policy_of[0], "k", 1, 0);
  assert_true(after.reset_us > 2400 * SECOND);
  store->ops->del(store);
}

static void lock_for_ever(rlc__header *header, rlc__lock *locks) {
  for (unsigned i = 0; i < RLC__STRIPES; ++i) {
    pthread_mutex_lock(&locks[i].mutex);
  }
  atomic_store(&header->counts[3].used, 77);
}

/* Locks that a file was saved with, held by nobody who lives, are made anew by whoever opens it
 * alone, and its counts put right. */
static void test_stale_locks_are_renewed(void **state) {
  own_folder *p = *state;
  rlc__store *store = open_path(p->path, 64);

  assert_true(check(store, policy_of[0], "k", 1, DAY));
  store->ops->del(store);
  if (fork() == 0) {
    edit(p->path, lock_for_ever); /* unmaps them, so that the kernel cannot release them */
    _exit(0);
  }
  assert_true(wait(NULL) > 0);
  alarm(20);
  store = open_path(p->path, 64);
  assert_int_equal(stats_of(store).slots_used, 1);
  assert_true(check(store, policy_of[0], "other", 1, DAY));
  assert_int_equal(remaining(store, policy_of[0], "k", DAY), 4);
  alarm(0);
  store->ops->del(store);
}

/* While another process has the table, its locks are left alone: one that it died with is taken
 * over by the next who asks, and the slots of its stripe are counted anew. */
static void test_lock_of_a_dead_process(void **state) {
  own_folder *p = *state;
  rlc__store *store = open_path(p->path, 64);
  rlc__region region;
  int fd = open(p->path, O_RDWR);
  int status;

  assert_int_equal(rlc__region_open(&region, fd, 64, "it", NULL, 0), 0);
  check(store, policy_of[0], "k", 1, DAY);
  if (fork() == 0) {
    for (unsigned i = 0; i < RLC__STRIPES; ++i) {
      rlc__region_lock(&region, i);
      atomic_store(&region.header->counts[i].used, 1000);
    }
    kill(getpid(), SIGKILL);
  }
  assert_true(wait(&status) > 0);
  assert_true(WIFSIGNALED(status));
  alarm(20);
  for (unsigned i = 0; i < RLC__STRIPES; ++i) {
    assert_int_equal(rlc__slots_lock(&region, i), 0);
    rlc__region_unlock(&region, i);
  }
  alarm(0);
  assert_int_equal(stats_of(store).slots_used, 1);
  assert_int_equal(remaining(store, policy_of[0], "k", DAY), 4);
  rlc__region_del(&region);
  close(fd);
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
      cmocka_unit_test(test_killed_under_load),
      cmocka_unit_test(test_killed_at_any_instruction),
      FILE_TEST(test_boot_changes),
      FILE_TEST(test_wall_clock_does_not_matter),
      FILE_TEST(test_stale_locks_are_renewed),
      FILE_TEST(test_lock_of_a_dead_process),
  };

  return cmocka_run_group_tests(tests, parse_policies, delete_policies);
}
