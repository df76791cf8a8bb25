/* SPDX-License-Identifier: Apache-2.0 */

/* How a table keeps logs, in blocks: room, eviction, several processes, and such that are killed. */

#include "step_help.h"

#include "store/blocks.h"

static const char *const table_texts[] = {"5/h algorithm=sliding-log", "50/h algorithm=sliding-log",
                                          "1000/h algorithm=sliding-log"};
#define TABLE_TEXTS (sizeof table_texts / sizeof *table_texts)

/* One word says for how long units are remembered. */
static unsigned blocks_of(uint64_t units) {
  return (unsigned)((1 + units + RLC__BLOCK_WORDS - 1) / RLC__BLOCK_WORDS);
}

/* A log has as many blocks as its units fill, and gives them back. */
static void test_blocks_come_and_go(void **state) {
  rlc__store *store = shared_table(64);
  rlc_policy *policy = parse(table_texts[2]);

  (void)state;
  assert_int_equal(remaining(store, policy, "k", DAY), 1000);
  assert_false(check(store, policy, "k", 1001, DAY));
  assert_int_equal(stats_of(store).slots_used, 0);
  for (unsigned i = 0; i < 10; ++i) {
    assert_true(check(store, policy, "k", 100, DAY + i));
    assert_int_equal(stats_of(store).slots_used, blocks_of(100 * (i + 1)));
  }
  assert_false(check(store, policy, "k", 1, DAY + 10));
  run(store, RLC__OP_REFUND, policy, "k", 700, DAY + 10);
  assert_int_equal(remaining(store, policy, "k", DAY + 10), 700);
  /* The oldest went, which stand in front: a block that is empty is nobody's, but for the first. */
  assert_in_range(stats_of(store).slots_used, blocks_of(300), blocks_of(300) + 2);
  assert_true(check(store, policy, "k", 50, DAY + 3600 * SECOND + 8)); /* all but the last have ended */
  assert_int_equal(remaining(store, policy, "k", DAY + 3600 * SECOND + 8), 1000 - 50 - 100);
  run(store, RLC__OP_RESET, policy, "k", 0, DAY);
  assert_int_equal(stats_of(store).slots_used, 0);
  assert_int_equal(remaining(store, policy, "k", DAY), 1000);
  assert_int_equal(stats_of(store).evicted_live, 0);
  rlc_policy_del(policy);
  store->ops->del(store);
}

/* What comes after a refund or an end stands in the words that are free. */
static void test_words_are_used_again(void **state) {
  rlc__store *store = shared_table(64);
  rlc_policy *policy = parse("13/h algorithm=sliding-log");

  (void)state;
  for (unsigned i = 0; i < 5000; ++i) {
    check(store, policy, "k", 1 + i % 3, DAY + (int64_t)i * 100 * SECOND);
    assert_int_equal(stats_of(store).slots_used, 1);
  }
  rlc_policy_del(policy);
  store->ops->del(store);
}

/* A full table refuses nobody, and every loss is counted; expired blocks go first. */
static void test_full_table_never_denies(void **state) {
  (void)state;
  for (size_t t = 0; t < TABLE_TEXTS; ++t) {
    rlc__store *store = shared_table(64);
    rlc_policy *policy = parse(table_texts[t]);
    uint64_t quota = policy->rate[0].quota;
    uint64_t blocks = blocks_of(quota);
    char key[24];
    rlc_stats stats;

    for (unsigned i = 0; i < 500; ++i) {
      snprintf(key, sizeof key, "key-%u", i);
      assert_true(check(store, policy, key, quota, DAY));
      assert_false(check(store, policy, key, 1, DAY)); /* its own has not pushed it out */
    }
    stats = stats_of(store);
    assert_in_range(stats.slots_used, 128 - blocks, 128);
    assert_int_equal(stats.evicted_live, 500 * blocks - stats.slots_used);
    for (unsigned i = 0; i < 128 / blocks / 4; ++i) {
      snprintf(key, sizeof key, "later-%u", i);
      assert_true(check(store, policy, key, quota, DAY + 3600 * SECOND));
    }
    assert_int_equal(stats_of(store).evicted_live, stats.evicted_live);
    rlc_policy_del(policy);
    store->ops->del(store);
  }
}

/* Of live blocks the one nearest its end goes, so that what is held the longest stays. */
static void test_nearest_end_goes(void **state) {
  rlc__store *store = shared_table(64);
  rlc_policy *policy = parse("5/h algorithm=sliding-log");
  char key[24];

  (void)state;
  assert_true(check(store, policy, "victim", 5, DAY + 1800 * SECOND));
  for (unsigned i = 0; i < 1000; ++i) {
    snprintf(key, sizeof key, "key-%u", i);
    assert_true(check(store, policy, key, 1, DAY));
  }
  assert_int_equal(remaining(store, policy, "victim", DAY + 1800 * SECOND), 0);
  rlc_policy_del(policy);
  store->ops->del(store);
}

/* Logs of one call do not push each other out of a full table where there is room for all. */
static void test_logs_of_a_call_stay(void **state) {
  rlc__store *store = shared_table(64);
  rlc_policy *policy = parse("50/h algorithm=sliding-log");
  char keys[8][24];

  (void)state;
  for (unsigned i = 0; i < 200; ++i) {
    snprintf(keys[0], sizeof keys[0], "key-%u", i);
    assert_true(check(store, policy, keys[0], 50, DAY));
  }
  for (unsigned round = 0; round < 200; ++round) {
    rlc__item items[8];
    rlc__call call = {RLC__OP_CHECK, items, 8, 0, DAY, 0};

    for (unsigned i = 0; i < 8; ++i) {
      snprintf(keys[i], sizeof keys[i], "%u-%u", round, i);
      items[i] = item_of(policy, keys[i], 13);
    }
    assert_int_equal(store->ops->decide(store, &call), 0);
    for (unsigned i = 0; i < 8; ++i) {
      assert_int_equal(items[i].result.remaining, 37);
      assert_int_equal(remaining(store, policy, keys[i], DAY), 37);
    }
  }
  rlc_policy_del(policy);
  store->ops->del(store);
}

/* Where the first block of a log was pushed out, a reset takes what it has left. */
static void test_reset_takes_orphans(void **state) {
  open_table *table = open_table_new(64);
  rlc_policy *policy = parse("1000/h algorithm=sliding-log");

  (void)state;
  assert_true(check(&table->base, policy, "k", 1000, DAY));
  for (uint64_t set = 0; set < table->region.blocks / RLC__WAYS; ++set) {
    for (unsigned way = 0; way < RLC__WAYS; ++way) {
      _Atomic uint64_t *tag = &table->region.block[set].tag[way];

      if ((atomic_load(tag) & 127) == 1) {
        atomic_store(tag, 0);
      }
    }
  }
  assert_int_equal(remaining(&table->base, policy, "k", DAY), 1000);
  run(&table->base, RLC__OP_RESET, policy, "k", 0, DAY);
  assert_int_equal(rlc__blocks_count(&table->region, 0), 0);
  rlc_policy_del(policy);
  open_table_del(table);
}

/* Whatever the size of the table, a log of the largest quota fits, and stripes are locks there are. */
static void test_every_size_has_room(void **state) {
  uint64_t hash = 0;

  (void)state;
  for (uint64_t size = 64; size <= 131072; size *= 2) {
    open_table *table = open_table_new(size);
    rlc_policy *policy = parse("1000/h algorithm=sliding-log");
    char key[24];

    for (unsigned i = 0; i < 20; ++i) {
      snprintf(key, sizeof key, "%u", i);
      assert_true(check(&table->base, policy, key, 1000, DAY));
      assert_false(check(&table->base, policy, key, 1, DAY));
      rlc__slots_recount(&table->region);
      assert_int_equal(stats_of(&table->base).slots_used, blocks_of(1000));
      run(&table->base, RLC__OP_RESET, policy, key, 0, DAY);
    }
    assert_int_equal(stats_of(&table->base).evicted_live, 0);
    for (unsigned i = 0; i < 1000; ++i) {
      rlc__place place = rlc__blocks_place(&table->region, (hash += 0x9e3779b97f4a7c15u));

      assert_true(place.stripe < RLC__STRIPES);
      assert_true(place.set < table->region.blocks / RLC__WAYS);
    }
    rlc_policy_del(policy);
    open_table_del(table);
  }
}

/* Peeks and denials write nothing at all. */
static void test_denials_write_nothing(void **state) {
  open_table *table = open_table_new(64);
  unsigned char *before = malloc(table->region.size);
  rlc_policy *policy = parse("50/h algorithm=sliding-log");
  rlc__item items[2] = {item_of(policy, "k", 1), item_of(policy, "full", 1)};
  rlc__call call = {RLC__OP_CHECK, items, 2, 0, DAY + 5, 0};

  (void)state;
  assert_non_null(before);
  check(&table->base, policy, "full", 50, DAY);
  check(&table->base, policy, "k", 20, DAY);
  memcpy(before, table->region.header, table->region.size);
  assert_false(check(&table->base, policy, "full", 1, DAY + 5));
  assert_int_equal(remaining(&table->base, policy, "k", DAY + 3600 * SECOND), 50);
  assert_int_equal(table->base.ops->decide(&table->base, &call), 0);
  assert_true(items[0].result.allowed && !items[1].result.allowed);
  assert_int_equal(items[0].result.remaining, 30);
  /* Where nobody else was: a lock that was held leaves traces of its own. */
  memcpy((void *)((unsigned char *)table->region.header + 4096), before + 4096, 4096);
  assert_memory_equal(before, table->region.header, table->region.size);
  free(before);
  rlc_policy_del(policy);
  open_table_del(table);
}

/* --- several processes, and such that end -------------------------------------------------- */

/* Four processes at one log get its quota, to the last unit; with mixed kinds in a call too. */
static void test_exact_for_processes(void **state) {
  rlc__store *store = shared_table(1024);
  _Atomic uint64_t *admitted = shared_memory(sizeof *admitted);
  rlc_policy *policy = parse("1000/h algorithm=sliding-log");
  rlc_policy *roomy = parse("100000/h");

  (void)state;
  for (int child = 0; child < 4; ++child) {
    if (fork() == 0) {
      for (unsigned i = 0; i < 600; ++i) {
        rlc__item items[2] = {item_of(roomy, "k", 1), item_of(policy, "k", 1)};
        rlc__call call = {RLC__OP_CHECK, child % 2 == 0 ? items : items + 1,
                          child % 2 == 0 ? 2 : 1, 0, DAY + i, 0};

        if (store->ops->decide(store, &call) != 0) {
          abort();
        }
        atomic_fetch_add(admitted, items[1].result.allowed != 0);
      }
      _exit(0);
    }
  }
  for (int child = 0; child < 4; ++child) {
    int status;

    assert_true(wait(&status) > 0);
    assert_int_equal(status, 0);
  }
  assert_int_equal(atomic_load(admitted), 1000);
  assert_int_equal(remaining(store, policy, "k", DAY), 0);
  munmap(admitted, sizeof *admitted);
  rlc_policy_del(policy);
  rlc_policy_del(roomy);
  store->ops->del(store);
}

/* Holders are killed while they hold: each slot is back at the end of its lease, and none before. */
static void test_killed_holders(void **state) {
  rlc__store *store = shared_table(64);
  rlc_policy *policy = parse("8/30s algorithm=concurrency");

  (void)state;
  for (int i = 0; i < 8; ++i) {
    pid_t child = fork();

    if (child == 0) {
      if (check(store, policy, "k", 1, DAY + i * SECOND)) {
        kill(getpid(), SIGKILL);
      }
      _exit(1);
    }
    assert_int_equal(waitpid(child, NULL, 0), child);
  }
  assert_false(check(store, policy, "k", 1, DAY + 8 * SECOND));
  for (uint64_t i = 0; i < 8; ++i) {
    int64_t end = DAY + (30 + (int64_t)i) * SECOND;

    assert_int_equal(remaining(store, policy, "k", end - 1), i);
    assert_int_equal(remaining(store, policy, "k", end), i + 1);
  }
  rlc_policy_del(policy);
  store->ops->del(store);
}

/* What is cut short, of a log of 60 units in a full table. */
static const struct {
  const char *what;
  rlc__op op;
  uint64_t before;
  uint64_t cost;
  uint64_t receipt;
  int64_t later; /* seconds */
} cuts[] = {
    {"insert", RLC__OP_CHECK, 0, 30, 0, 0},
    {"charge one", RLC__OP_CHECK, 10, 1, 0, 1},
    {"charge into a new block", RLC__OP_CHECK, 10, 20, 0, 1},
    {"charge where others have ended", RLC__OP_CHECK, 60, 40, 0, 3600},
    {"refund some", RLC__OP_REFUND, 60, 20, 0, 1},
    {"refund all", RLC__OP_REFUND, 60, 60, 0, 1},
    {"take back", RLC__OP_TAKE_BACK, 40, 20, 1, 1},
    {"reset", RLC__OP_RESET, 60, 60, 0, 1},
};

typedef struct look {
  size_t cut;
  const rlc__region *region;
  open_table *copy;
} look;

static rlc_policy *cut_policy;

/* However far it came: what is used lies between before and after, the log goes on, and blocks add
 * up. */
static void look_at(unsigned long at, void *arg) {
  look *l = arg;
  rlc__region *copy = &l->copy->region;
  int64_t now = DAY + cuts[l->cut].later * SECOND;
  int charges = cuts[l->cut].op == RLC__OP_CHECK;
  uint64_t before = cuts[l->cut].later < 3600 ? cuts[l->cut].before : 0;
  uint64_t after = charges ? before + cuts[l->cut].cost : before - cuts[l->cut].cost;
  uint64_t left, used, counted = 0;

  memcpy(copy->header, l->region->header, copy->size);
  assert_int_equal(rlc__region_renew(copy, NULL, 0), 0);
  rlc__slots_recount(copy);
  used = 60 - remaining(&l->copy->base, cut_policy, "key", now);
  if (used < (charges ? before : after) || used > (charges ? after : before)) {
    fail_msg("%s, cut after %lu instructions: %llu are used", cuts[l->cut].what, at,
             (unsigned long long)used);
  }
  for (left = 60 - used; left > 0; --left) {
    assert_true(check(&l->copy->base, cut_policy, "key", 1, now));
  }
  assert_false(check(&l->copy->base, cut_policy, "key", 1, now));
  run(&l->copy->base, RLC__OP_RESET, cut_policy, "key", 0, now);
  assert_int_equal(remaining(&l->copy->base, cut_policy, "key", now), 60);
  for (unsigned stripe = 0; stripe < RLC__STRIPES; ++stripe) {
    counted += rlc__blocks_count(copy, stripe);
  }
  assert_int_equal(stats_of(&l->copy->base).slots_used, counted);
}

/* A process that ends after any instruction of a decision leaves a log that lies between what was and
 * what would have been. */
static void test_killed_at_any_instruction(void **state) {
  open_table *table = open_table_new(64);
  open_table *copy = open_table_new(64);
  points *p = malloc(sizeof *p);
  unsigned char *empty = malloc(table->region.size);
  cpu_set_t all = stay_on_processor();

  (void)state;
  assert_true(p != NULL && empty != NULL);
  cut_policy = parse("60/h algorithm=concurrency");
  memcpy(empty, table->region.header, table->region.size);
  memcpy(copy->region.hash_key, table->region.hash_key, sizeof copy->region.hash_key);
  alarm(600); /* a lock left behind would hold this process for ever */
  for (size_t i = 0; i < sizeof cuts / sizeof *cuts; ++i) {
    look l = {i, &table->region, copy};
    char key[24];
    pid_t child;

    memcpy(table->region.header, empty, table->region.size);
    for (unsigned k = 0; k < 300; ++k) {
      snprintf(key, sizeof key, "other-%u", k);
      check(&table->base, cut_policy, key, 1, DAY - 1);
    }
    check(&table->base, cut_policy, "key", cuts[i].before, DAY);
    child = fork();
    if (child == 0) {
      rlc__item item = item_of(cut_policy, "key", cuts[i].cost);
      rlc__call call = {cuts[i].op, &item, 1, 0, DAY + cuts[i].later * SECOND, 0};

      item.charged_us = DAY;
      wait_for_steps();
      if (table->base.ops->decide(&table->base, &call) != 0) {
        abort();
      }
      raise(SIGSTOP);
      _exit(0);
    }
    find_points(p, child, &table->region, ULONG_MAX, look_at, &l);
  }
  alarm(0);
  leave_processor(all);
  rlc_policy_del(cut_policy);
  free(empty);
  free(p);
  open_table_del(copy);
  open_table_del(table);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_blocks_come_and_go),
      cmocka_unit_test(test_words_are_used_again),
      cmocka_unit_test(test_full_table_never_denies),
      cmocka_unit_test(test_nearest_end_goes),
      cmocka_unit_test(test_logs_of_a_call_stay),
      cmocka_unit_test(test_reset_takes_orphans),
      cmocka_unit_test(test_every_size_has_room),
      cmocka_unit_test(test_denials_write_nothing),
      cmocka_unit_test(test_exact_for_processes),
      cmocka_unit_test(test_killed_holders),
      cmocka_unit_test(test_killed_at_any_instruction),
  };

  return cmocka_run_group_tests_name("blocks", tests, NULL, NULL);
}
