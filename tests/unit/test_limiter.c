/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rlcore/rlcore.h"

#define NOW INT64_C(1790000000000000)

static int64_t now;

static int64_t passed_in(void *user) {
  (void)user;
  return now;
}

static rlc_limiter *open_limiter(const char *url) {
  rlc_limiter *limiter;
  rlc_options *options;
  char why[RLC_MESSAGE_SIZE];

  now = NOW;
  assert_int_equal(rlc_options_new(&options, NULL), 0);
  rlc_options_set_test_clock(options, passed_in, NULL);
  if (rlc_limiter_new(&limiter, url, options, why, sizeof why) != 0) {
    fail_msg("%s: %s", url, why);
  }
  rlc_options_del(options);
  return limiter;
}

static rlc_policy *policy_of(const char *name, const char *text) {
  rlc_policy *policy;
  char why[RLC_MESSAGE_SIZE];

  assert_int_equal(rlc_policy_new(&policy, name, text, NULL, why, sizeof why), 0);
  return policy;
}

static rlc_limit limit_of(const rlc_policy *policy, const char *key) {
  rlc_limit limit = RLC_LIMIT_INIT;

  limit.policy = policy;
  limit.key = key;
  limit.key_len = strlen(key);
  return limit;
}

/* Two limits are charged together, and the decision names the one that binds. */
static void all_or_nothing_test(void **state) {
  rlc_limiter *l = open_limiter("memory:");
  rlc_policy *wide = policy_of("wide", "10/min");
  rlc_policy *narrow = policy_of("narrow", "2/min algorithm=sliding-window");
  rlc_limit limits[2] = {limit_of(wide, "a"), limit_of(narrow, "b")};
  rlc_result results[2] = {RLC_RESULT_INIT, RLC_RESULT_INIT};
  rlc_decision d = RLC_DECISION_INIT;

  (void)state;
  for (int i = 0; i < 5; ++i) {
    assert_int_equal(rlc_limiter_check(l, limits, 2, results, &d), 0);
    assert_int_equal(d.allowed, i < 2);
    assert_int_equal(d.index, 1);
  }
  assert_int_equal(results[0].allowed, 1); /* it alone would have let the request pass */
  assert_int_equal(results[0].remaining, 8);
  assert_int_equal(results[1].allowed, 0);
  assert_int_equal(d.source, RLC_SOURCE_STORE);
  rlc_policy_del(wide);
  rlc_policy_del(narrow);
  rlc_limiter_del(l);
}

/* The same limit twice in a call is one limit at the sum of the costs. */
static void same_limit_twice_test(void **state) {
  rlc_limiter *l = open_limiter("memory:");
  rlc_policy *p = policy_of("p", "3/min");
  rlc_limit limits[2] = {limit_of(p, "k"), limit_of(p, "k")};
  rlc_result results[2] = {RLC_RESULT_INIT, RLC_RESULT_INIT};
  rlc_decision d = RLC_DECISION_INIT;

  (void)state;
  assert_int_equal(rlc_limiter_check(l, limits, 2, results, &d), 0);
  assert_int_equal(d.allowed, 1);
  assert_int_equal(results[1].remaining, 1);
  assert_int_equal(rlc_limiter_check(l, limits, 2, results, &d), 0);
  assert_int_equal(d.allowed, 0);
  assert_int_equal(results[0].remaining, 1);
  rlc_policy_del(p);
  rlc_limiter_del(l);
}

/* One name with two policies in a call has no meaning, and is refused before anything is charged. */
static void name_with_two_policies_test(void **state) {
  rlc_limiter *l = open_limiter("memory:");
  rlc_policy *p = policy_of("p", "3/min");
  rlc_policy *q = policy_of("p", "4/min");
  rlc_limit limits[2] = {limit_of(p, "k"), limit_of(q, "k")};
  rlc_decision d = RLC_DECISION_INIT;

  (void)state;
  assert_int_equal(rlc_limiter_check(l, limits, 2, NULL, &d), RLC_ERR_INVALID);
  assert_int_equal(rlc_limiter_peek(l, limits, 1, NULL, &d), 0);
  assert_int_equal(d.result.remaining, 3);
  limits[1].key = "another";
  limits[1].key_len = 7;
  assert_int_equal(rlc_limiter_check(l, limits, 2, NULL, &d), 0);
  rlc_policy_del(p);
  rlc_policy_del(q);
  rlc_limiter_del(l);
}

/* Keys, names and unnamed policies are kept apart; equal ones are the same wherever they come from. */
static void names_and_keys_test(void **state) {
  rlc_limiter *l = open_limiter("memory:");
  rlc_policy *unnamed = policy_of(NULL, "5/min");
  rlc_policy *again = policy_of(NULL, "5/60s");
  rlc_policy *other = policy_of(NULL, "6/min");
  rlc_limit limit = limit_of(unnamed, "k");
  rlc_decision d = RLC_DECISION_INIT;

  (void)state;
  rlc_limiter_check(l, &limit, 1, NULL, &d);
  assert_int_equal(d.result.remaining, 4);
  limit.policy = again;
  rlc_limiter_check(l, &limit, 1, NULL, &d);
  assert_int_equal(d.result.remaining, 3);
  limit.policy = other;
  rlc_limiter_check(l, &limit, 1, NULL, &d);
  assert_int_equal(d.result.remaining, 5);
  limit.name = "own";
  rlc_limiter_check(l, &limit, 1, NULL, &d);
  assert_int_equal(d.result.remaining, 5);
  limit.key = "k\0k";
  limit.key_len = 3;
  rlc_limiter_check(l, &limit, 1, NULL, &d);
  assert_int_equal(d.result.remaining, 5);
  limit.key = NULL;
  limit.key_len = 0;
  rlc_limiter_check(l, &limit, 1, NULL, &d);
  assert_int_equal(d.result.remaining, 5);
  rlc_policy_del(unnamed);
  rlc_policy_del(again);
  rlc_policy_del(other);
  rlc_limiter_del(l);
}

static uint64_t left(rlc_limiter *l, const rlc_limit *limit) {
  rlc_decision d = RLC_DECISION_INIT;

  assert_int_equal(rlc_limiter_check(l, limit, 1, NULL, &d), 0);
  return d.result.remaining;
}

/* A key has a quota in each group and one without; a group of no bytes is none. */
static void groups_test(void **state) {
  rlc_limiter *l = open_limiter("memory:");
  rlc_policy *p = policy_of("p", "5/min");
  rlc_limit limit = limit_of(p, "k");

  (void)state;
  assert_int_equal(left(l, &limit), 4);
  limit.group = "g\0h";
  limit.group_len = 3;
  assert_int_equal(left(l, &limit), 4);
  limit.group_len = 1;
  assert_int_equal(left(l, &limit), 4);
  assert_int_equal(left(l, &limit), 3);
  limit.group_len = 0;
  assert_int_equal(left(l, &limit), 3);
  limit.group = NULL;
  assert_int_equal(left(l, &limit), 2);
  rlc_policy_del(p);
  rlc_limiter_del(l);
}

/* The same limit twice has one group; in two groups it is two, even of two policies. */
static void same_group_twice_test(void **state) {
  rlc_limiter *l = open_limiter("memory:");
  rlc_policy *p = policy_of("p", "5/min");
  rlc_policy *q = policy_of("p", "6/min");
  rlc_limit limits[3] = {limit_of(p, "k"), limit_of(p, "k"), limit_of(q, "k")};
  rlc_result results[3] = {RLC_RESULT_INIT, RLC_RESULT_INIT, RLC_RESULT_INIT};
  char again[] = "g";

  (void)state;
  limits[0].group = "g";
  limits[1].group = again;
  limits[0].group_len = limits[1].group_len = 1;
  assert_int_equal(rlc_limiter_check(l, limits, 3, results, NULL), 0);
  assert_int_equal(results[0].remaining, 3);
  assert_int_equal(results[1].remaining, 3);
  assert_int_equal(results[2].remaining, 5);
  rlc_policy_del(p);
  rlc_policy_del(q);
  rlc_limiter_del(l);
}

/* What no caller may give is told apart from a decision. */
static void misuse_test(void **state) {
  rlc_limiter *l = open_limiter("memory:");
  rlc_policy *p = policy_of("p", "5/min");
  rlc_limit good = limit_of(p, "k");
  rlc_limit bad[9] = {good, good, good, good, good, good, good, good, good};
  rlc_limit many[RLC_MAX_LIMITS + 1];
  rlc_decision d = RLC_DECISION_INIT;

  (void)state;
  bad[0].policy = NULL;
  bad[1].key = NULL;
  bad[2].key_len = RLC_MAX_KEY + 1;
  bad[3].cost = (uint64_t)RLC_MAX_QUOTA + 1;
  bad[4].name = "not a name";
  bad[5].fail = (rlc_fail)9;
  bad[6].size = 3;
  bad[7].group_len = 1;
  bad[8].group = "g";
  bad[8].group_len = RLC_MAX_KEY + 1;
  for (int i = 0; i < 9; ++i) {
    assert_int_equal(rlc_limiter_check(l, &bad[i], 1, NULL, &d), RLC_ERR_INVALID);
  }
  for (int i = 0; i <= RLC_MAX_LIMITS; ++i) {
    many[i] = good;
  }
  assert_int_equal(rlc_limiter_check(l, many, RLC_MAX_LIMITS + 1, NULL, &d), RLC_ERR_INVALID);
  assert_int_equal(rlc_limiter_check(l, many, 0, NULL, &d), RLC_ERR_INVALID);
  assert_int_equal(rlc_limiter_check(l, NULL, 1, NULL, &d), RLC_ERR_INVALID);
  assert_int_equal(rlc_limiter_check(NULL, &good, 1, NULL, &d), RLC_ERR_INVALID);
  d.size = 0;
  assert_int_equal(rlc_limiter_check(l, &good, 1, NULL, &d), RLC_ERR_INVALID);
  rlc_policy_del(p);
  rlc_limiter_del(l);
}

/* A caller built against a later header has larger structs: they are read by their own size. */
static void larger_structs_test(void **state) {
  rlc_limiter *l = open_limiter("memory:");
  rlc_policy *p = policy_of("p", "5/min");
  struct {
    rlc_limit limit;
    char more[24];
  } limits[2];
  struct {
    rlc_result result;
    char more[24];
  } results[2];

  (void)state;
  memset(limits, 0x55, sizeof limits);
  memset(results, 0x55, sizeof results);
  for (int i = 0; i < 2; ++i) {
    limits[i].limit = limit_of(p, i == 0 ? "a" : "b");
    limits[i].limit.size = sizeof limits[0];
    results[i].result.size = sizeof results[0];
  }
  assert_int_equal(rlc_limiter_check(l, &limits[0].limit, 2, &results[0].result, NULL), 0);
  assert_int_equal(results[1].result.remaining, 4);
  assert_int_equal(results[1].more[0], 0x55);
  rlc_policy_del(p);
  rlc_limiter_del(l);
}

/* A caller built against the first header has smaller limits: what came later is not read from behind
 * them, and is unset. */
static void smaller_limits_test(void **state) {
  struct {
    size_t size;
    const rlc_policy *policy;
    const void *key;
    size_t key_len;
    uint64_t cost;
    const char *name;
    rlc_fail fail;
  } first[2];
  struct {
    _Alignas(rlc_limit) char limits[sizeof first];
    char more[64];
  } room;
  rlc_limiter *l = open_limiter("memory:");
  rlc_policy *p = policy_of("p", "5/min");
  rlc_limit limit = limit_of(p, "b");
  rlc_result results[2] = {RLC_RESULT_INIT, RLC_RESULT_INIT};
  void *limits = &room;

  (void)state;
  memset(&room, 0x55, sizeof room);
  memset(first, 0x55, sizeof first);
  for (size_t i = 0; i < 2; ++i) {
    first[i].size = sizeof *first;
    first[i].policy = p;
    first[i].key = i == 0 ? "a" : "b";
    first[i].key_len = 1;
    first[i].cost = 1 + i;
    first[i].name = NULL;
    first[i].fail = RLC_FAIL_DEFAULT;
  }
  memcpy(limits, first, sizeof first);
  assert_int_equal(rlc_limiter_check(l, limits, 2, results, NULL), 0);
  assert_int_equal(results[0].remaining, 4);
  assert_int_equal(results[1].remaining, 3);
  assert_int_equal(left(l, &limit), 2);
  first[0].size = sizeof *first - 1;
  memcpy(limits, first, sizeof first);
  assert_int_equal(rlc_limiter_check(l, limits, 1, results, NULL), RLC_ERR_INVALID);
  rlc_policy_del(p);
  rlc_limiter_del(l);
}

/* Counts what was decided, and by whom. */
static void stats_test(void **state) {
  rlc_limiter *l = open_limiter("shm:?size=1024");
  rlc_policy *p = policy_of("p", "2/min");
  rlc_limit limit = limit_of(p, "k");
  rlc_stats stats = RLC_STATS_INIT;

  (void)state;
  for (int i = 0; i < 5; ++i) {
    rlc_limiter_check(l, &limit, 1, NULL, NULL);
    rlc_limiter_peek(l, &limit, 1, NULL, NULL);
  }
  assert_int_equal(rlc_limiter_get_stats(l, &stats), 0);
  assert_int_equal(stats.allowed, 2);
  assert_int_equal(stats.denied, 3);
  assert_int_equal(stats.fallback, 0);
  assert_int_equal(stats.breaker, RLC_BREAKER_NONE);
  assert_true(stats.slots >= 1024);
  assert_int_equal(stats.slots_used, 1);
  rlc_policy_del(p);
  rlc_limiter_del(l);
}

/* A redis that is not there: the call works, the decision says who made it. */
static void no_redis_test(void **state) {
  rlc_limiter *l = open_limiter("redis+unix:///nonexistent/socket?fail=local");
  rlc_policy *p = policy_of("p", "2/min");
  rlc_limit limit = limit_of(p, "k");
  rlc_decision d = RLC_DECISION_INIT;
  rlc_stats stats = RLC_STATS_INIT;

  (void)state;
  for (int i = 0; i < 4; ++i) {
    assert_int_equal(rlc_limiter_check(l, &limit, 1, NULL, &d), RLC_DEGRADED);
    assert_int_equal(d.allowed, i < 2);
    assert_int_equal(d.source, RLC_SOURCE_FALLBACK);
  }
  assert_int_equal(rlc_limiter_get_shm_fd(l), -1);
  rlc_limiter_get_stats(l, &stats);
  assert_int_equal(stats.fallback, 4);
  assert_int_equal(stats.store_errors, 4);
  rlc_policy_del(p);
  rlc_limiter_del(l);
}

/* Of the same limit twice the stricter fail policy holds, in either order. */
static void stricter_fail_policy_test(void **state) {
  rlc_limiter *l = open_limiter("redis+unix:///nonexistent/socket?fail=local");
  rlc_policy *p = policy_of("p", "20/min");
  rlc_decision d = RLC_DECISION_INIT;

  (void)state;
  for (int i = 0; i < 2; ++i) {
    rlc_limit limits[2] = {limit_of(p, "k"), limit_of(p, "k")};

    limits[i].fail = RLC_FAIL_OPEN;
    limits[1 - i].fail = RLC_FAIL_CLOSED;
    assert_int_equal(rlc_limiter_check(l, limits, 2, NULL, &d), RLC_DEGRADED);
    assert_int_equal(d.source, RLC_SOURCE_FAIL_CLOSED);
    limits[1 - i].fail = RLC_FAIL_LOCAL;
    assert_int_equal(rlc_limiter_check(l, limits, 2, NULL, &d), RLC_DEGRADED);
    assert_int_equal(d.source, RLC_SOURCE_FALLBACK);
  }
  rlc_policy_del(p);
  rlc_limiter_del(l);
}

/* Memory that runs out at any allocation is an error code, and nothing is lost or half-made. */
typedef struct budget {
  int left;
  int live;
} budget;

static void *budget_malloc(size_t size, void *user) {
  budget *b = user;

  if (b->left-- <= 0) {
    return NULL;
  }
  ++b->live;
  return malloc(size);
}

static void *budget_realloc(void *ptr, size_t size, void *user) {
  budget *b = user;

  if (b->left-- <= 0) {
    return NULL;
  }
  b->live += ptr == NULL;
  return realloc(ptr, size);
}

static void budget_free(void *ptr, void *user) {
  ((budget *)user)->live -= ptr != NULL;
  free(ptr);
}

static void out_of_memory_test(void **state) {
  static const char *const urls[] = {"memory:", "shm:", "redis+unix:///nonexistent/socket",
                                     "redis://u:p@127.0.0.1:1/2?share=1/3"};

  (void)state;
  for (size_t u = 0; u < sizeof urls / sizeof urls[0]; ++u) {
    int rv = RLC_ERR_NOMEM;

    for (int n = 0; rv != 0; ++n) {
      budget b = {n, 0};
      rlc_memory memory = {&b, budget_malloc, budget_realloc, budget_free};
      rlc_options *options;
      rlc_limiter *l = NULL;
      char why[RLC_MESSAGE_SIZE];

      assert_true(n < 200);
      rv = rlc_options_new(&options, &memory);
      if (rv == 0) {
        rv = rlc_limiter_new(&l, urls[u], options, why, sizeof why);
      }
      assert_true(rv == 0 || rv == RLC_ERR_NOMEM);
      assert_true((rv == 0) == (l != NULL));
      rlc_limiter_del(l);
      rlc_options_del(options);
      assert_int_equal(b.live, 0);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(all_or_nothing_test),
      cmocka_unit_test(same_limit_twice_test),
      cmocka_unit_test(name_with_two_policies_test),
      cmocka_unit_test(names_and_keys_test),
      cmocka_unit_test(groups_test),
      cmocka_unit_test(same_group_twice_test),
      cmocka_unit_test(misuse_test),
      cmocka_unit_test(larger_structs_test),
      cmocka_unit_test(smaller_limits_test),
      cmocka_unit_test(stats_test),
      cmocka_unit_test(no_redis_test),
      cmocka_unit_test(stricter_fail_policy_test),
      cmocka_unit_test(out_of_memory_test),
  };
  return cmocka_run_group_tests_name("limiter", tests, NULL, NULL);
}
