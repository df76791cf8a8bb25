/* SPDX-License-Identifier: Apache-2.0 */

/* The table by itself: one process, time passed in. */

#include "table_help.h"

static const char *const policies[] = {
    "10/min",
    "7/min burst=3",
    "10/min algorithm=fixed-window",
    "10/min algorithm=sliding-window",
    "10/min,30/h",
    "10/min,30/h,100/day algorithm=fixed-window",
    "10/min,30/h algorithm=sliding-window",
};
#define POLICIES (sizeof policies / sizeof *policies)

/* Returns how many slots have |tag|: more than one would let a key be charged in two places. */
static unsigned copies_of(const rlc__region *region, uint64_t tag) {
  unsigned found = 0;

  for (uint64_t set = 0; set < region->slots / RLC__WAYS; ++set) {
    for (unsigned i = 0; i < RLC__WAYS; ++i) {
      found += atomic_load(&region->narrow[set].slot[i].tag) == tag;
    }
  }
  return found;
}

/* Returns the |i|th key; it stays until eight more were asked for. */
static const char *key_of(unsigned i) {
  static char key[8][24];
  char *out = key[i % 8];

  snprintf(out, sizeof key[0], "key-%u", i);
  return out;
}

/* A table answers as the bare algorithm does, step by step, for every kind of state. */
static void test_answers_as_algorithm(void **state) {
  static const rlc__op ops[] = {RLC__OP_CHECK, RLC__OP_CHECK, RLC__OP_CHARGE, RLC__OP_PEEK,
                                RLC__OP_REFUND};
  rlc__store *store = shared_table(64);
  unsigned seed = 7;

  (void)state;
  for (size_t p = 0; p < POLICIES; ++p) {
    rlc_policy *policy = parse(policies[p]);
    uint64_t words[RLC__STATE_WORDS] = {0};
    int64_t now = DAY;

    for (int i = 0; i < 2000; ++i) {
      rlc__op op = ops[((seed = seed * 1103515245u + 12345u) >> 16) % 5];
      uint64_t cost = (seed >> 20) % 4;
      rlc_result got = run(store, op, policy, "k", cost, now);
      rlc_result want = RLC_RESULT_INIT;
      int step = rlc__algorithm_step(policy, words, op, now, cost);

      rlc__algorithm_describe(policy, words, now, cost, step & RLC__STEP_ALLOWED, &want);
      assert_int_equal(got.allowed, want.allowed);
      assert_int_equal(got.remaining, want.remaining);
      assert_int_equal(got.retry_us, want.retry_us);
      assert_int_equal(got.reset_us, want.reset_us);
      assert_int_equal(got.source, RLC_SOURCE_STORE);
      now += (seed >> 8) % 5000000;
    }
    run(store, RLC__OP_RESET, policy, "k", 0, now);
    rlc_policy_del(policy);
  }
  store->ops->del(store);
}

/* A denial consumes nothing, and neither does a peek; the state is the same word for word. */
static void test_denial_consumes_nothing(void **state) {
  rlc__store *store = shared_table(64);

  (void)state;
  for (size_t p = 0; p < POLICIES; ++p) {
    rlc_policy *policy = parse(policies[p]);
    uint64_t before;

    assert_true(check(store, policy, "k", 2, DAY));
    before = remaining(store, policy, "k", DAY);
    assert_int_not_equal(before, 0);
    assert_false(check(store, policy, "k", before + 1, DAY));
    assert_int_equal(remaining(store, policy, "k", DAY), before);
    assert_true(check(store, policy, "k", before, DAY));
    assert_false(check(store, policy, "k", 1, DAY));
    run(store, RLC__OP_RESET, policy, "k", 0, DAY);
    rlc_policy_del(policy);
  }
  store->ops->del(store);
}

/* A peek, a denied check, a check of no cost and a refund of nothing take no slot. */
static void test_takes_no_slot_for_nothing(void **state) {
  rlc__store *store = shared_table(64);

  (void)state;
  for (size_t p = 0; p < POLICIES; ++p) {
    rlc_policy *policy = parse(policies[p]);

    assert_int_equal(remaining(store, policy, "k", DAY), policy->rate[0].capacity);
    assert_false(check(store, policy, "k", 1000, DAY));
    assert_true(check(store, policy, "k", 0, DAY));
    run(store, RLC__OP_REFUND, policy, "k", 1, DAY);
    run(store, RLC__OP_RESET, policy, "k", 1, DAY);
    assert_int_equal(stats_of(store).slots_used, 0);
    rlc_policy_del(policy);
  }
  store->ops->del(store);
}

/* A refund of everything, and a reset, give the slot back. */
static void test_gives_slots_back(void **state) {
  rlc__store *store = shared_table(64);

  (void)state;
  for (size_t p = 0; p < POLICIES; ++p) {
    rlc_policy *policy = parse(policies[p]);

    assert_true(check(store, policy, "k", 2, DAY));
    assert_int_equal(stats_of(store).slots_used, 1);
    run(store, RLC__OP_REFUND, policy, "k", 2, DAY);
    assert_int_equal(stats_of(store).slots_used, 0);
    assert_true(check(store, policy, "k", 3, DAY));
    run(store, RLC__OP_RESET, policy, "k", 0, DAY);
    assert_int_equal(stats_of(store).slots_used, 0);
    assert_int_equal(remaining(store, policy, "k", DAY), policy->rate[0].capacity);
    rlc_policy_del(policy);
  }
  store->ops->del(store);
}

/* Keys differ by every byte, NUL too, by the limit's name, by the algorithm, and by every byte of the
 * group, wherever that ends and the key begins. */
static void test_keys_are_apart(void **state) {
  rlc__store *store = shared_table(1024);
  rlc_policy *bucket = parse("1/h");
  rlc_policy *window = parse("1/h algorithm=fixed-window");
  rlc__item items[] = {item_of(bucket, "a", 1), item_of(bucket, "a", 1), item_of(bucket, "a", 1),
                       item_of(bucket, "", 1), item_of(window, "a", 1), item_of(bucket, "a", 1),
                       item_of(bucket, "a", 1), item_of(bucket, "", 1), item_of(window, "a", 1)};

  (void)state;
  items[1].key = "a\0";
  items[1].key_len = 2;
  items[2].name = "other";
  items[2].name_len = 5;
  for (size_t i = 5; i < 9; ++i) {
    items[i].group = i == 6 ? "a\0" : "aa";
    items[i].group_len = i == 5 ? 1 : 2;
  }
  for (size_t i = 0; i < sizeof items / sizeof *items; ++i) {
    rlc__call call = {RLC__OP_CHECK, &items[i], 1, 0, DAY, 0};

    assert_int_equal(store->ops->decide(store, &call), 0);
    assert_true(items[i].result.allowed);
    assert_int_equal(store->ops->decide(store, &call), 0);
    assert_false(items[i].result.allowed);
  }
  rlc_policy_del(bucket);
  rlc_policy_del(window);
  store->ops->del(store);
}

/* Several items are charged together or not at all, whichever of them refuses. */
static void test_all_or_nothing(void **state) {
  (void)state;
  for (size_t refuser = 0; refuser < POLICIES; ++refuser) {
    rlc__store *store = shared_table(64);
    rlc__item items[POLICIES];
    rlc__call call = {RLC__OP_CHECK, items, POLICIES, 0, DAY, 0};

    for (size_t i = 0; i < POLICIES; ++i) {
      items[i] = item_of(parse(policies[i]), key_of((unsigned)i), 1);
    }
    run(store, RLC__OP_CHARGE, items[refuser].policy, items[refuser].key, 10, DAY);
    assert_int_equal(store->ops->decide(store, &call), 0);
    for (size_t i = 0; i < POLICIES; ++i) {
      uint64_t capacity = items[i].policy->rate[0].capacity;

      assert_int_equal(items[i].result.allowed, i != refuser);
      assert_int_equal(items[i].result.remaining, i != refuser ? capacity : 0);
      assert_int_equal(remaining(store, items[i].policy, items[i].key, DAY),
                       i != refuser ? capacity : 0);
    }
    run(store, RLC__OP_RESET, items[refuser].policy, items[refuser].key, 0, DAY);
    assert_int_equal(store->ops->decide(store, &call), 0);
    for (size_t i = 0; i < POLICIES; ++i) {
      assert_true(items[i].result.allowed);
      assert_int_equal(items[i].result.remaining, items[i].policy->rate[0].capacity - 1);
      rlc_policy_del((rlc_policy *)items[i].policy);
    }
    store->ops->del(store);
  }
}

/* Items of one call do not push each other out of a full table, as long as a set has slots for all
 * of them: eight always fit. */
static void test_many_items_in_a_set(void **state) {
  static const char *const texts[] = {"5/h", "5/h algorithm=sliding-window"};

  (void)state;
  for (size_t t = 0; t < 2; ++t) {
    rlc__store *store = shared_table(64);
    rlc_policy *policy = parse(texts[t]);
    char keys[RLC__WAYS][24];

    for (unsigned i = 0; i < 2000; ++i) {
      assert_true(check(store, policy, key_of(i), 1, DAY));
    }
    for (unsigned round = 0; round < 50; ++round) {
      rlc__item items[RLC__WAYS];
      rlc__call call = {RLC__OP_CHECK, items, RLC__WAYS, 0, DAY, 0};

      for (unsigned i = 0; i < RLC__WAYS; ++i) {
        snprintf(keys[i], sizeof keys[i], "%u-%u", round, i);
        items[i] = item_of(policy, keys[i], 2);
      }
      assert_int_equal(store->ops->decide(store, &call), 0);
      for (unsigned i = 0; i < RLC__WAYS; ++i) {
        assert_int_equal(items[i].result.remaining, 3);
        assert_int_equal(remaining(store, policy, keys[i], DAY), 3);
      }
    }
    rlc_policy_del(policy);
    store->ops->del(store);
  }
}

/* A full table refuses nobody; every live key that gives way is counted. */
static void test_full_table_never_denies(void **state) {
  (void)state;
  for (size_t p = 0; p < POLICIES; ++p) {
    rlc__store *store = shared_table(64);
    rlc_policy *policy = parse(policies[p]);
    rlc_stats stats;

    for (unsigned i = 0; i < 5000; ++i) {
      assert_true(check(store, policy, key_of(i), 1, DAY));
    }
    stats = stats_of(store);
    assert_int_equal(stats.slots_used, 64);
    assert_int_equal(stats.slots, 64 + 64 + 128);
    assert_int_equal(stats.evicted_live, 5000 - 64);
    rlc_policy_del(policy);
    store->ops->del(store);
  }
}

/* Expired keys give way first: as long as there are such, no live one does. */
static void test_expired_goes_first(void **state) {
  (void)state;
  for (size_t p = 0; p < POLICIES; ++p) {
    rlc__store *store = shared_table(64);
    rlc_policy *policy = parse(policies[p]);
    int64_t later = DAY + 2 * 86400 * SECOND;
    unsigned live = 0;

    for (unsigned i = 0; i < 5000; ++i) {
      check(store, policy, key_of(i), 1, DAY);
    }
    while (stats_of(store).evicted_live == 5000 - 64) {
      assert_true(check(store, policy, key_of(10000 + live++), 1, later));
    }
    /* The first set is full of new keys once nine have come to it. */
    assert_in_range(live, RLC__WAYS + 1, 65);
    rlc_policy_del(policy);
    store->ops->del(store);
  }
}

/* Among live keys the one nearest its expiry goes: one that is used up stays. */
static void test_nearest_expiry_goes(void **state) {
  (void)state;
  for (size_t p = 0; p < POLICIES; ++p) {
    rlc__store *store = shared_table(64);
    rlc_policy *policy = parse(policies[p]);

    /* A window away, so that windows too differ in their end. */
    run(store, RLC__OP_CHARGE, policy, "victim", 1000, DAY + 86400 * SECOND);
    for (unsigned i = 0; i < 5000; ++i) {
      assert_true(check(store, policy, key_of(i), 1, DAY + (86400 - 3600) * SECOND));
    }
    assert_int_equal(remaining(store, policy, "victim", DAY + 86400 * SECOND), 0);
    rlc_policy_del(policy);
    store->ops->del(store);
  }
}

/* What a slower policy has left lives until that would be full again, whatever is asked of it since. */
static void test_another_rates_state_stays(void **state) {
  rlc__store *store = shared_table(64);
  rlc_policy *slow = parse("10/day"), *fast = parse("10/min");

  (void)state;
  assert_true(check(store, slow, "k", 10, DAY));
  assert_int_equal(remaining(store, fast, "k", DAY + 3600 * SECOND), 0);
  for (unsigned i = 0; i < 5000; ++i) {
    assert_true(check(store, fast, key_of(i), 1, DAY + 3600 * SECOND));
  }
  assert_int_equal(remaining(store, slow, "k", DAY + 3600 * SECOND), 0);
  assert_false(check(store, fast, "k", 1, DAY + 3600 * SECOND));
  assert_int_equal(remaining(store, slow, "k", DAY + 3600 * SECOND), 0);
  rlc_policy_del(slow);
  rlc_policy_del(fast);
  store->ops->del(store);
}

/* A clock that goes back costs one capacity's time and no more, and admits nothing extra. */
static void test_clock_goes_back(void **state) {
  rlc__store *store = shared_table(64);
  int64_t back = DAY - 86400 * 365 * SECOND;

  (void)state;
  for (size_t p = 0; p < POLICIES; ++p) {
    rlc_policy *policy = parse(policies[p]);

    run(store, RLC__OP_CHARGE, policy, "k", 1000, DAY);
    assert_false(check(store, policy, "k", 1, DAY));
    assert_false(check(store, policy, "k", 1, back));
    assert_false(check(store, policy, "k", 1, back + SECOND / 2));
    assert_true(check(store, policy, "k", 1, back + 2 * 86400 * SECOND));
    run(store, RLC__OP_RESET, policy, "k", 0, back);
    rlc_policy_del(policy);
  }
  store->ops->del(store);
}

/* Keys whose states lie decades ahead, as after a clock set back, give way like expired ones. */
static void test_states_far_ahead_give_way(void **state) {
  rlc__store *store = shared_table(64);
  rlc_policy *policy = parse("10/min");
  int64_t back = DAY - INT64_C(86400) * 366 * 40 * SECOND;
  uint64_t evicted;

  (void)state;
  for (unsigned i = 0; i < 64; ++i) {
    check(store, policy, key_of(i), 1, DAY);
  }
  evicted = stats_of(store).evicted_live;
  for (unsigned i = 0; i < 8; ++i) {
    assert_true(check(store, policy, key_of(100 + i), 1, back));
  }
  assert_int_equal(stats_of(store).evicted_live, evicted);
  for (unsigned i = 0; i < 8; ++i) {
    assert_int_equal(remaining(store, policy, key_of(100 + i), back), 9);
  }
  rlc_policy_del(policy);
  store->ops->del(store);
}

/* Another quota or window for the same limit neither resets nor forgives what was used. */
static void test_policy_changes(void **state) {
  rlc__store *store = shared_table(64);
  rlc_policy *before = parse("10/min");
  rlc_policy *after = parse("20/min burst=10");

  (void)state;
  run(store, RLC__OP_CHARGE, before, "k", 10, DAY);
  assert_false(check(store, after, "k", 1, DAY));
  assert_int_equal(stats_of(store).slots_used, 1);
  rlc_policy_del(before);
  rlc_policy_del(after);
  store->ops->del(store);
}

static rlc__place place_in(const rlc__region *region, uint64_t hash) {
  return rlc__slots_place(region, hash, RLC_TOKEN_BUCKET, 0);
}

/* A slot that a killed process left half moved is found empty by its owner, and used again by
 * whoever comes first; the other keys of the set are not touched. */
static void test_half_moved_slot_heals(void **state) {
  static const rlc__pins none = {{0}, 0};
  rlc__region region;
  rlc__place mine;
  rlc__place other;

  (void)state;
  assert_int_equal(rlc__region_new_anonymous(&region, 64, NULL, 0), 0);
  mine = place_in(&region, UINT64_C(0x1000));
  other = place_in(&region, UINT64_C(0x2000));
  assert_int_equal(mine.set, other.set);
  rlc__narrow_insert(&region, &mine, (uint64_t)DAY + 5, DAY, &none);
  atomic_store(&rlc__narrow_find(&region, &mine)->value, RLC__MOVING);
  rlc__narrow_insert(&region, &other, (uint64_t)DAY + 7, DAY, &none);
  assert_null(rlc__narrow_find(&region, &mine));
  assert_int_equal(atomic_load(&rlc__narrow_find(&region, &other)->value), DAY + 7);
  assert_int_equal(copies_of(&region, other.tag), 1);
  rlc__region_del(&region);
}

/* A half-moved slot counts as a fresh key to decisions of its owner. */
static void test_half_moved_key_is_fresh(void **state) {
  rlc__region region;
  rlc_policy *policy = parse("10/min");
  rlc__item item = item_of(policy, "k", 1);
  rlc__call call = {RLC__OP_CHECK, &item, 1, 0, DAY, 0};
  static const rlc__op ops[] = {RLC__OP_CHECK, RLC__OP_PEEK, RLC__OP_REFUND, RLC__OP_RESET};

  (void)state;
  assert_int_equal(rlc__region_new_anonymous(&region, 64, NULL, 0), 0);
  for (size_t i = 0; i < 4; ++i) {
    call.op = RLC__OP_CHECK;
    assert_int_equal(rlc__table_decide(&region, &call), 0);
    for (unsigned slot = 0; slot < 64; ++slot) {
      rlc__narrow *n = &region.narrow[slot / RLC__WAYS].slot[slot % RLC__WAYS];

      atomic_store(&n->value, atomic_load(&n->tag) != 0 ? RLC__MOVING : 0);
    }
    call.op = ops[i];
    assert_int_equal(rlc__table_decide(&region, &call), 0);
    assert_int_equal(item.result.remaining, ops[i] == RLC__OP_CHECK ? 9 : 10);
  }
  rlc__region_del(&region);
  rlc_policy_del(policy);
}

/* The other buffer of a wide slot may hold anything: only the active one is read. */
static void test_unfinished_wide_commit_is_not_seen(void **state) {
  static const rlc__pins none = {{0}, 0};
  rlc__region region;
  rlc__place place;
  uint64_t words[RLC__STATE_WORDS] = {1, 2, 3};

  (void)state;
  assert_int_equal(rlc__region_new_anonymous(&region, 64, NULL, 0), 0);
  place = rlc__slots_place(&region, 99, RLC_SLIDING_WINDOW, 1);
  rlc__wide_write(&region, &place, words, DAY + 1, DAY, &none);
  for (unsigned way = 0; way < RLC__WAYS; ++way) {
    rlc__wide_set *set = &region.wide[place.set];

    memset(&set->state[way][!(atomic_load(&set->active[way]) & 1)], 0x5a, sizeof set->state[0][0]);
  }
  memset(words, 0, sizeof words);
  rlc__wide_read(&region, &place, words);
  assert_int_equal(words[0] + words[1] + words[2] + words[3], 6);
  rlc__region_del(&region);
}

/* A new wide state is written beside the old one, which stays whole until the new one is. */
static void test_wide_state_is_kept_until_the_next_is_whole(void **state) {
  static const rlc__pins none = {{0}, 0};
  static const uint64_t first[RLC__STATE_WORDS] = {1, 2, 3};
  static const uint64_t second[RLC__STATE_WORDS] = {4, 5, 6};
  rlc__region region;
  rlc__place place;
  rlc__wide_set *set;
  unsigned way = 0;
  unsigned active;

  (void)state;
  assert_int_equal(rlc__region_new_anonymous(&region, 64, NULL, 0), 0);
  place = rlc__slots_place(&region, 99, RLC_SLIDING_WINDOW, 1);
  set = &region.wide[place.set];
  rlc__wide_write(&region, &place, first, DAY + 1, DAY, &none);
  while (atomic_load(&set->tag[way]) != place.tag) {
    ++way;
  }
  active = atomic_load(&set->active[way]);
  rlc__wide_write(&region, &place, second, DAY + 2, DAY, &none);
  assert_memory_equal(set->state[way][active].words, first, sizeof first);
  assert_int_equal(set->state[way][active].expiry_us, DAY + 1);
  assert_int_equal(atomic_load(&set->active[way]), !active);
  assert_memory_equal(set->state[way][!active].words, second, sizeof second);
  rlc__region_del(&region);
}

/* Every stripe has sets, neighbouring sets share one, and no set is outside of the table. */
static void test_places_are_inside(void **state) {
  static const uint64_t sizes[] = {64, 512, 1024, 131072};

  (void)state;
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; ++s) {
    rlc__region region;
    uint64_t hash = 1;
    uint64_t seen = 0;

    assert_int_equal(rlc__region_new_private(&region, sizes[s], NULL, 0), 0);
    for (int i = 0; i < 20000; ++i) {
      rlc__place place = rlc__slots_place(&region, hash *= 6364136223846793005u, RLC_FIXED_WINDOW,
                                          i & 1);

      hash += 1442695040888963407u;
      assert_true(place.set < (place.wide ? region.wide_slots : region.slots) / RLC__WAYS);
      assert_true(place.stripe < RLC__STRIPES);
      assert_true(place.tag != 0);
      seen |= UINT64_C(1) << place.stripe;
    }
    assert_int_equal(seen, sizes[s] >= 512 ? UINT64_MAX : 0xff);
    rlc__region_del(&region);
  }
}

/* Sizes are rounded up to a power of two and kept within bounds. */
static void test_slots_are_rounded(void **state) {
  (void)state;
  assert_int_equal(rlc__region_slots(0), RLC__SLOTS_DEFAULT);
  assert_int_equal(rlc__region_slots(1), 64);
  assert_int_equal(rlc__region_slots(65), 128);
  assert_int_equal(rlc__region_slots(1000), 1024);
  assert_int_equal(rlc__region_slots(UINT64_MAX), RLC__SLOTS_MOST);
}

static void *fail_alloc(size_t size, void *user) {
  (void)size;
  (void)user;
  return NULL;
}

/* Without memory for the store object there is an error, and nothing leaks. */
static void test_out_of_memory(void **state) {
  rlc_options options = no_options();
  rlc__store *store = (rlc__store *)&options;

  (void)state;
  options.memory.malloc_fn = fail_alloc;
  assert_int_equal(rlc__anonymous_store_new(&store, 64, &options, why, sizeof why), RLC_ERR_NOMEM);
  assert_null(store);
  assert_string_equal(why, "out of memory");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_answers_as_algorithm),
      cmocka_unit_test(test_denial_consumes_nothing),
      cmocka_unit_test(test_takes_no_slot_for_nothing),
      cmocka_unit_test(test_gives_slots_back),
      cmocka_unit_test(test_keys_are_apart),
      cmocka_unit_test(test_all_or_nothing),
      cmocka_unit_test(test_many_items_in_a_set),
      cmocka_unit_test(test_full_table_never_denies),
      cmocka_unit_test(test_expired_goes_first),
      cmocka_unit_test(test_nearest_expiry_goes),
      cmocka_unit_test(test_another_rates_state_stays),
      cmocka_unit_test(test_clock_goes_back),
      cmocka_unit_test(test_states_far_ahead_give_way),
      cmocka_unit_test(test_policy_changes),
      cmocka_unit_test(test_half_moved_slot_heals),
      cmocka_unit_test(test_half_moved_key_is_fresh),
      cmocka_unit_test(test_unfinished_wide_commit_is_not_seen),
      cmocka_unit_test(test_wide_state_is_kept_until_the_next_is_whole),
      cmocka_unit_test(test_places_are_inside),
      cmocka_unit_test(test_slots_are_rounded),
      cmocka_unit_test(test_out_of_memory),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
