/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs those four first */
#include <cmocka.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "failing_memory.h"
#include "fake_index.h"
#include "limiter/rules_inside.h"

#define SECOND INT64_C(1000000)

#if defined(__SANITIZE_THREAD__)
#define POLLS_AFTER_FORK 0 /* it takes a thread of the child's for its parent's of the same id */
#else
#define POLLS_AFTER_FORK 1
#endif

/* --- threads that do not start ------------------------------------------------------------- */

static _Atomic int threads_fail;
static _Atomic int threads_refused;

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *user);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *user);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *user) {
  if (atomic_load(&threads_fail)) {
    atomic_fetch_add(&threads_refused, 1);
    return EAGAIN;
  }
  return __real_pthread_create(thread, attr, run, user);
}

static _Atomic int64_t now;
static _Atomic int logged;
static char log_id[16];

static int64_t passed_in(void *user) {
  (void)user;
  return atomic_load(&now);
}

static void hear(rlc_log_level level, const char *id, const char *message, void *user) {
  (void)level;
  (void)message;
  (void)user;
  snprintf(log_id, sizeof log_id, "%s", id);
  atomic_fetch_add(&logged, 1);
}

/* On a test's clock, which is the store's too. */
static rlc_limiter *open_timed(int polls) {
  rlc_limiter *l = fake_open(polls, passed_in, hear, NULL);

  assert_non_null(l);
  atomic_store(&now, fake_of(l)->now_us);
  atomic_store(&logged, 0);
  return l;
}

static void pass(rlc_limiter *l, int64_t us) {
  atomic_fetch_add(&now, us);
  fake_of(l)->now_us += us;
}

static rlc_policy *policy_of(const char *name, const char *text) {
  rlc_policy *policy;
  char why[RLC_MESSAGE_SIZE] = "";

  if (rlc_policy_new(&policy, name, text, NULL, why, sizeof why) != 0) {
    fail_msg("%s: %s", text, why);
  }
  return policy;
}

static rlc_limit limit_of(const rlc_policy *policy, const char *key) {
  rlc_limit limit = RLC_LIMIT_INIT;

  limit.policy = policy;
  limit.key = key;
  limit.key_len = strlen(key);
  return limit;
}

static rlc_decision check(rlc_limiter *l, const rlc_policy *policy, const char *key) {
  rlc_limit limit = limit_of(policy, key);
  rlc_decision d = RLC_DECISION_INIT;

  assert_true(rlc_limiter_check(l, &limit, 1, NULL, &d) >= 0);
  return d;
}

static void put(rlc_limiter *l, rlc_entry_kind kind, const char *key, const char *name,
                const char *text) {
  rlc__entry e = fake_entry(kind, key, name, text);

  e.until_us = kind == RLC_ENTRY_BAN ? fake_of(l)->now_us + 10 * SECOND : 0;
  fake_put(fake_of(l), &e);
}

static void put_tier(rlc_limiter *l, const char *tier, const char *name, const char *text) {
  rlc__entry e = fake_entry(RLC_ENTRY_TIER, NULL, name, text);

  strcpy(e.tier, tier);
  fake_put(fake_of(l), &e);
}

static rlc_stats stats_of(rlc_limiter *l) {
  rlc_stats stats = RLC_STATS_INIT;

  assert_int_equal(rlc_limiter_get_stats(l, &stats), 0);
  return stats;
}

/* --- bans ---------------------------------------------------------------------------------- */

/* A key that is banned is refused without asking the store, until the ban's last microsecond. */
static void ban_test(void **state) {
  rlc_limiter *l = open_timed(0);
  rlc_policy *api = policy_of("api", "10/min burst=20");
  rlc_policy *web = policy_of("web", "10/min");
  rlc_decision d;

  (void)state;
  assert_int_equal(rlc_limiter_ban(l, "api", "mallory", 7, 10 * SECOND, NULL), 0);
  d = check(l, api, "mallory");
  assert_int_equal(fake_of(l)->calls, 0);
  assert_int_equal(d.allowed, 0);
  assert_int_equal(d.source, RLC_SOURCE_BAN);
  assert_int_equal(d.result.source, RLC_SOURCE_BAN);
  assert_int_equal(d.result.retry_us, 10 * SECOND);
  assert_int_equal(d.result.remaining, 0);
  assert_int_equal(d.result.limit, 20);
  assert_int_equal(d.result.window_us, 60 * SECOND);
  assert_int_equal(check(l, api, "alice").allowed, 1);
  assert_int_equal(check(l, web, "mallory").allowed, 1);
  assert_int_equal(stats_of(l).banned, 1);
  assert_int_equal(stats_of(l).denied, 1);
  assert_int_equal(stats_of(l).fail_closed, 0);
  assert_int_equal(stats_of(l).index_entries, 1);
  pass(l, 10 * SECOND - 1);
  d = check(l, api, "mallory");
  assert_int_equal(d.allowed, 0);
  assert_int_equal(d.result.retry_us, 1);
  pass(l, 1);
  assert_int_equal(check(l, api, "mallory").allowed, 1);
  rlc_policy_del(api);
  rlc_policy_del(web);
  rlc_limiter_del(l);
}

/* Of several limits one that is banned refuses all; what the others say comes from a peek, and only where
 * somebody wants to know it. */
static void several_test(void **state) {
  rlc_limiter *l = open_timed(0);
  rlc_policy *api = policy_of("api", "10/min");
  rlc_policy *web = policy_of("web", "10/min");
  rlc_limit limits[3] = {limit_of(api, "mallory"), limit_of(web, "mallory"), limit_of(web, "x")};
  rlc_result results[3] = {RLC_RESULT_INIT, RLC_RESULT_INIT, RLC_RESULT_INIT};
  rlc_decision d = RLC_DECISION_INIT;

  (void)state;
  put(l, RLC_ENTRY_BAN, "mallory", "api", "");
  assert_int_equal(rlc_limiter_check(l, limits, 3, results, &d), 0);
  assert_int_equal(fake_of(l)->op, RLC__OP_PEEK);
  assert_int_equal(fake_of(l)->n, 2);
  assert_int_equal(d.allowed, 0);
  assert_int_equal(d.index, 0);
  assert_int_equal(d.source, RLC_SOURCE_BAN);
  assert_int_equal(results[0].source, RLC_SOURCE_BAN);
  assert_int_equal(results[1].source, RLC_SOURCE_STORE);
  assert_int_equal(results[1].allowed, 1);
  assert_int_equal(results[2].remaining, 3);
  limits[0] = limit_of(web, "x");
  limits[2] = limit_of(api, "mallory");
  assert_int_equal(rlc_limiter_check(l, limits, 3, NULL, &d), 0);
  assert_int_equal(fake_of(l)->calls, 1);
  assert_int_equal(d.index, 2);
  assert_int_equal(d.result.retry_us, 10 * SECOND);
  fake_of(l)->denies = -1;
  assert_int_equal(rlc_limiter_check(l, limits, 3, results, &d), 0);
  assert_int_equal(d.index, 0); /* the longest wait binds: never */
  assert_int_equal(results[2].source, RLC_SOURCE_BAN);
  assert_int_equal(stats_of(l).banned, 3);
  rlc_policy_del(api);
  rlc_policy_del(web);
  rlc_limiter_del(l);
}

/* A peek tells of the ban; what changes the state goes to the store as ever. */
static void verbs_test(void **state) {
  rlc_limiter *l = open_timed(0);
  rlc_policy *api = policy_of("api", "10/min");
  rlc_limit limit = limit_of(api, "mallory");
  rlc_decision d = RLC_DECISION_INIT;

  (void)state;
  put(l, RLC_ENTRY_BAN, "mallory", "api", "");
  assert_int_equal(rlc_limiter_peek(l, &limit, 1, NULL, &d), 0);
  assert_int_equal(d.source, RLC_SOURCE_BAN);
  assert_int_equal(fake_of(l)->calls, 0);
  assert_int_equal(stats_of(l).banned, 0); /* a peek is no decision */
  assert_int_equal(rlc_limiter_charge(l, &limit, 1, NULL, &d), 0);
  assert_int_equal(d.source, RLC_SOURCE_STORE);
  assert_int_equal(rlc_limiter_refund(l, &limit, 1, NULL, &d), 0);
  assert_int_equal(rlc_limiter_reset(l, &limit, 1), 0);
  assert_int_equal(fake_of(l)->calls, 3);
  assert_int_equal(fake_of(l)->op, RLC__OP_RESET);
  assert_int_equal(rlc_limiter_unban(l, "api", "mallory", 7), 0);
  assert_int_equal(check(l, api, "mallory").allowed, 1);
  assert_int_equal(rlc_limiter_unban(l, "api", "mallory", 7), RLC_ERR_LOST);
  rlc_policy_del(api);
  rlc_limiter_del(l);
}

/* While the store is away, bans and overrides that were known hold. */
static void away_test(void **state) {
  rlc_limiter *l = open_timed(1);
  rlc_policy *api = policy_of("api", "10/min");

  (void)state;
  put(l, RLC_ENTRY_BAN, "mallory", "api", "");
  put(l, RLC_ENTRY_OVERRIDE, "alice", "api", "99/s");
  assert_int_equal(check(l, api, "mallory").allowed, 1); /* no news yet */
  assert_int_equal(rlc_limiter_refresh(l), 0);
  fake_of(l)->fails = RLC__ERR_UNAVAILABLE;
  fake_of(l)->source = RLC_SOURCE_FALLBACK;
  assert_int_equal(rlc_limiter_refresh(l), RLC_ERR_STORE);
  assert_int_equal(check(l, api, "mallory").source, RLC_SOURCE_BAN);
  (void)check(l, api, "alice");
  assert_string_equal(fake_of(l)->policy, "99/s");
  assert_int_equal(rlc_limiter_ban(l, "api", "x", 1, SECOND, NULL), RLC_ERR_STORE);
  rlc_policy_del(api);
  rlc_limiter_del(l);
}

/* --- denials ------------------------------------------------------------------------------- */

/* As many denials as the policy says ban the key, at once where the store is a table. */
static void denials_test(void **state) {
  for (int polls = 0; polls < 2; ++polls) {
    rlc_limiter *l = open_timed(polls);
    rlc_policy *api = policy_of("api", "10/min ban=3/min:10s:1h");

    fake_of(l)->denies = 0;
    for (int i = 0; i < 3; ++i) {
      assert_int_equal(check(l, api, "mallory").source, RLC_SOURCE_STORE);
      (void)check(l, api, "other");
      assert_int_equal(fake_of(l)->batches, i < 2 ? 0 : 1); /* counted here until then */
    }
    assert_int_equal(fake_of(l)->last.most, 3);
    assert_int_equal(fake_of(l)->last.within_us, 60 * SECOND);
    assert_int_equal(fake_of(l)->last.first_us, 10 * SECOND);
    assert_int_equal(fake_of(l)->last.longest_us, 3600 * SECOND);
    assert_int_equal(fake_of(l)->last.display_len, 0);
    assert_int_equal(polls ? rlc_limiter_refresh(l) : 0, 0);
    assert_int_equal(check(l, api, "mallory").source, RLC_SOURCE_BAN);
    assert_int_equal(check(l, api, "mallory").result.retry_us, 10 * SECOND);
    rlc_policy_del(api);
    rlc_limiter_del(l);
  }
  (void)state;
}

/* What is counted: a request that this limit itself refused for want of room, and nothing else. */
static void counted_test(void **state) {
  rlc_limiter *l = open_timed(0);
  rlc_policy *api = policy_of("api", "10/min ban=1/min:10s");
  rlc_policy *other = policy_of("other", "10/min ban=1/min:10s");
  rlc_policy *plain = policy_of("plain", "10/min");
  rlc_limit limits[2] = {limit_of(api, "a"), limit_of(other, "a")};
  rlc_decision d = RLC_DECISION_INIT;

  (void)state;
  fake_of(l)->denies = 0;
  (void)check(l, plain, "a");
  assert_int_equal(rlc_limiter_peek(l, limits, 1, NULL, &d), 0);
  assert_int_equal(rlc_limiter_charge(l, limits, 1, NULL, &d), 0);
  fake_of(l)->denies = -1; /* never */
  (void)check(l, api, "a");
  fake_of(l)->denies = 0;
  fake_of(l)->source = RLC_SOURCE_FAIL_CLOSED;
  (void)check(l, api, "a");
  fake_of(l)->source = RLC_SOURCE_FALLBACK;
  assert_int_equal(fake_of(l)->batches, 0);
  limits[0].cost = 0;
  assert_int_equal(rlc_limiter_check(l, limits, 2, NULL, &d), RLC_DEGRADED);
  assert_int_equal(fake_of(l)->batches, 1);
  assert_int_equal(fake_of(l)->denials, 1);
  assert_string_equal(fake_of(l)->last.name, "other");
  rlc_policy_del(api);
  rlc_policy_del(other);
  rlc_policy_del(plain);
  rlc_limiter_del(l);
}

/* Denials wait for a store that answers; those that it may have counted are not sent again. */
static void unanswered_test(void **state) {
  rlc_limiter *l = open_timed(1);
  rlc_policy *api = policy_of("api", "10/min ban=3/min:10s");

  (void)state;
  fake_of(l)->denies = 0;
  (void)check(l, api, "a");
  fake_of(l)->fails = RLC__ERR_UNAVAILABLE;
  assert_int_equal(rlc_limiter_refresh(l), RLC_ERR_STORE);
  assert_int_equal(rlc__denials_keys(l->rules->denials), 1);
  fake_of(l)->fails = 0;
  fake_of(l)->fails_denied = RLC__ERR_TIMEOUT;
  assert_int_equal(rlc_limiter_refresh(l), RLC_ERR_STORE);
  assert_int_equal(fake_of(l)->batches, 1);
  fake_of(l)->fails_denied = 0;
  assert_int_equal(rlc_limiter_refresh(l), 0);
  assert_int_equal(fake_of(l)->batches, 1);
  assert_int_equal(fake_of(l)->denials, 0);
  rlc_policy_del(api);
  rlc_limiter_del(l);
}

/* Unban forgets what this process has counted. What it has when it goes is handed on. */
static void forget_test(void **state) {
  rlc_limiter *l = open_timed(1);
  rlc_policy *api = policy_of("api", "10/min ban=3/min:10s");

  (void)state;
  fake_of(l)->denies = 0;
  (void)check(l, api, "a");
  (void)check(l, api, "b");
  (void)check(l, api, "b");
  assert_int_equal(rlc_limiter_unban(l, "api", "a", 1), RLC_ERR_LOST);
  assert_int_equal(rlc_limiter_refresh(l), 0);
  assert_int_equal(fake_of(l)->denials, 2);
  rlc_policy_del(api);
  rlc_limiter_del(l);
}

/* A hundred thousand keys in one second: as much memory as for a thousand, and no store call for each. */
static void flood_test(void **state) {
  rlc_limiter *l = open_timed(1);
  rlc_policy *api = policy_of("api", "10/min ban=3/min:10s");

  (void)state;
  fake_of(l)->denies = 0;
  for (int i = 0; i < 100000; ++i) {
    char key[16];

    snprintf(key, sizeof key, "%d", i);
    (void)check(l, api, key);
  }
  assert_int_equal(rlc__denials_keys(l->rules->denials), RLC__DENIALS_KEYS);
  assert_int_equal(fake_of(l)->batches, 0);
  assert_int_equal(rlc_limiter_refresh(l), 0);
  assert_int_equal(fake_of(l)->batches, RLC__DENIALS_KEYS / RLC__INDEX_BATCH);
  rlc_policy_del(api);
  rlc_limiter_del(l);
}

/* With rlc_options_set_display a ban made by denials says whose it is, in whole characters. */
static void display_test(void **state) {
  static const char sharp[] = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\xc3\x9f";

  (void)state;
  assert_int_equal(sizeof sharp - 1, 64);
  assert_int_equal(rlc__display_cut(sharp, 64), 62);
  assert_int_equal(rlc__display_cut("abc", 3), 3);
  assert_int_equal(rlc__display_cut("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80"
                                    "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80"
                                    "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80"
                                    "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80",
                                    64), 63);
}

/* --- overrides and tiers ------------------------------------------------------------------- */

static const char *in_force(rlc_limiter *l, const rlc_policy *policy, const char *key,
                            const char *tier) {
  rlc_limit limit = limit_of(policy, key);
  rlc_decision d = RLC_DECISION_INIT;

  limit.tier = tier;
  assert_int_equal(rlc_limiter_check(l, &limit, 1, NULL, &d), 0);
  return fake_of(l)->policy;
}

/* The key's override goes before its tier, the index's tier before the limit's own, and that before the
 * limit's policy. */
static void order_test(void **state) {
  rlc_limiter *l = open_timed(0);
  rlc_policy *api = policy_of("api", "10/min");

  (void)state;
  assert_string_equal(in_force(l, api, "alice", "pro"), "10/min");
  put_tier(l, "pro", "api", "100/min");
  put_tier(l, "free", "api", "5/min");
  put_tier(l, "free", "other", "6/min");
  assert_string_equal(in_force(l, api, "alice", NULL), "10/min");
  assert_string_equal(in_force(l, api, "alice", "pro"), "100/min");
  assert_string_equal(in_force(l, api, "alice", "nobody"), "10/min");
  put(l, RLC_ENTRY_MEMBER, "alice", "", "free");
  assert_string_equal(in_force(l, api, "alice", "pro"), "5/min");
  assert_string_equal(in_force(l, api, "bob", "pro"), "100/min");
  put(l, RLC_ENTRY_MEMBER, "alice", "", "nobody");
  assert_string_equal(in_force(l, api, "alice", "pro"), "10/min");
  put(l, RLC_ENTRY_OVERRIDE, "alice", "api", "1000/min");
  assert_string_equal(in_force(l, api, "alice", "pro"), "1000/min");
  assert_int_equal(rlc_limiter_override(l, "api", "alice", 5, NULL, NULL, NULL, 0), 0);
  assert_string_equal(in_force(l, api, "alice", "pro"), "10/min");
  rlc_policy_del(api);
  rlc_limiter_del(l);
}

/* The result tells of the policy in force, for every verb. */
static void result_test(void **state) {
  rlc_limiter *l = open_timed(0);
  rlc_policy *api = policy_of("api", "10/min");
  rlc_limit limit = limit_of(api, "alice");
  rlc_decision d = RLC_DECISION_INIT;

  (void)state;
  put(l, RLC_ENTRY_OVERRIDE, "alice", "api", "1000/min");
  assert_int_equal(check(l, api, "alice").result.limit, 1000);
  assert_int_equal(rlc_limiter_charge(l, &limit, 1, NULL, &d), 0);
  assert_int_equal(d.result.limit, 1000);
  put(l, RLC_ENTRY_BAN, "alice", "api", "");
  assert_int_equal(check(l, api, "alice").result.limit, 1000);
  limit.tier = "no name";
  assert_int_equal(rlc_limiter_check(l, &limit, 1, NULL, &d), RLC_ERR_INVALID);
  limit.tier = NULL;
  rlc_policy_del(api);
  rlc_limiter_del(l);
}

/* Limits that an override makes the same state are one item, at the sum of their costs. */
static void same_state_test(void **state) {
  rlc_limiter *l = open_timed(0);
  rlc_policy *bucket = policy_of("api", "10/min");
  rlc_policy *window = policy_of("api", "10/min algorithm=fixed-window");
  rlc_policy *web = policy_of("web", "7/min");
  rlc_limit limits[4] = {limit_of(bucket, "alice"), limit_of(web, "x"), limit_of(window, "alice"),
                         limit_of(web, "y")};
  rlc_result results[4] = {RLC_RESULT_INIT, RLC_RESULT_INIT, RLC_RESULT_INIT, RLC_RESULT_INIT};
  rlc_decision d = RLC_DECISION_INIT;

  (void)state;
  limits[0].cost = 2;
  limits[2].cost = 3;
  assert_int_equal(rlc_limiter_check(l, limits, 4, results, &d), 0);
  assert_int_equal(fake_of(l)->n, 4);
  put(l, RLC_ENTRY_OVERRIDE, "alice", "api", "20/min");
  fake_of(l)->denies = 1;
  assert_int_equal(rlc_limiter_check(l, limits, 4, results, &d), 0);
  assert_int_equal(fake_of(l)->n, 3);
  assert_int_equal(fake_of(l)->cost, 5);
  assert_int_equal(results[0].limit, 20);
  assert_int_equal(results[1].limit, 7);
  assert_int_equal(results[2].limit, 20);
  assert_int_equal(results[3].limit, 7);
  assert_int_equal(results[0].allowed, 0);
  assert_int_equal(results[2].allowed, 0);
  assert_int_equal(results[3].allowed, 1);
  put(l, RLC_ENTRY_BAN, "alice", "api", "");
  assert_int_equal(rlc_limiter_check(l, limits, 4, results, &d), 0);
  assert_int_equal(fake_of(l)->n, 2);
  assert_int_equal(results[2].source, RLC_SOURCE_BAN);
  assert_int_equal(results[3].source, RLC_SOURCE_STORE);
  rlc_policy_del(bucket);
  rlc_policy_del(window);
  rlc_policy_del(web);
  rlc_limiter_del(l);
}

/* A grant's costs do not add up: what is asked for is what both may have at most. */
static void same_state_grant_test(void **state) {
  rlc_limiter *l = open_timed(0);
  rlc_policy *bucket = policy_of("api", "10/min");
  rlc_policy *window = policy_of("api", "10/min algorithm=fixed-window");
  rlc_limit limits[2] = {limit_of(bucket, "alice"), limit_of(window, "alice")};
  rlc_decision d = RLC_DECISION_INIT;

  (void)state;
  limits[0].cost = 5;
  limits[1].cost = 4;
  put(l, RLC_ENTRY_OVERRIDE, "alice", "api", "20/min");
  assert_int_equal(rlc_limiter_grant(l, limits, 2, NULL, &d), 0);
  assert_int_equal(fake_of(l)->op, RLC__OP_GRANT);
  assert_int_equal(fake_of(l)->n, 1);
  assert_int_equal(fake_of(l)->cost, 4);
  rlc_policy_del(bucket);
  rlc_policy_del(window);
  rlc_limiter_del(l);
}

/* A policy that this version cannot read is passed over, and told of once. */
static void garbage_test(void **state) {
  rlc_limiter *l = open_timed(1);
  rlc_policy *api = policy_of("api", "10/min");

  (void)state;
  put(l, RLC_ENTRY_OVERRIDE, "alice", "api", "10/min algorithm=of-tomorrow");
  put(l, RLC_ENTRY_OVERRIDE, "bob", "api", "11/min");
  for (int i = 0; i < 3; ++i) {
    assert_int_equal(rlc_limiter_refresh(l), 0);
    assert_string_equal(in_force(l, api, "alice", NULL), "10/min");
    assert_string_equal(in_force(l, api, "bob", NULL), "11/min");
  }
  assert_int_equal(atomic_load(&logged), 1);
  assert_string_equal(log_id, "RLC0501");
  rlc_policy_del(api);
  rlc_limiter_del(l);
}

/* Where the index has nothing for a limit's name, its key is not hashed; else once for many decisions. */
static void hashed_test(void **state) {
  rlc_limiter *l = open_timed(0);
  rlc_policy *api = policy_of("api", "10/min");
  rlc_policy *web = policy_of("web", "10/min");

  (void)state;
  put(l, RLC_ENTRY_OVERRIDE, "alice", "api", "11/min");
  put_tier(l, "pro", "web", "11/min");
  for (int i = 0; i < 9; ++i) {
    (void)check(l, web, "carol");
    (void)in_force(l, web, "carol", "pro");
  }
  assert_int_equal(fake_of(l)->identified, 0);
  for (int i = 0; i < 9; ++i) {
    (void)check(l, api, "carol");
  }
  assert_int_equal(fake_of(l)->identified, 1);
  rlc_policy_del(api);
  rlc_policy_del(web);
  rlc_limiter_del(l);
}

/* --- the public verbs ---------------------------------------------------------------------- */

static void invalid_test(void **state) {
  rlc_limiter *l = open_timed(0);
  char why[RLC_MESSAGE_SIZE] = "";
  char hash[17];

  (void)state;
  assert_int_equal(rlc_limiter_ban(l, "a b", "k", 1, SECOND, NULL), RLC_ERR_INVALID);
  assert_int_equal(rlc_limiter_ban(l, "", "k", 1, SECOND, NULL), RLC_ERR_INVALID);
  assert_int_equal(rlc_limiter_ban(l, NULL, "k", 1, SECOND, NULL), RLC_ERR_INVALID);
  assert_int_equal(rlc_limiter_ban(l, "api", NULL, 1, SECOND, NULL), RLC_ERR_INVALID);
  assert_int_equal(rlc_limiter_ban(l, "api", "k", RLC_MAX_KEY + 1, SECOND, NULL), RLC_ERR_INVALID);
  assert_int_equal(rlc_limiter_ban(l, "api", "k", 1, SECOND - 1, NULL), RLC_ERR_INVALID);
  assert_int_equal(rlc_limiter_ban(l, "api", "k", 1, INT64_MAX, NULL), RLC_ERR_INVALID);
  assert_int_equal(rlc_limiter_ban(NULL, "api", "k", 1, SECOND, NULL), RLC_ERR_INVALID);
  assert_int_equal(rlc_limiter_ban(l, "-_3456x", "k", 1, SECOND, NULL), 0); /* of a limit unnamed */
  assert_int_equal(rlc_limiter_ban(l, "api", NULL, 0, SECOND, NULL), 0);
  assert_int_equal(rlc_limiter_set_member(l, "k", 1, "a b", NULL), RLC_ERR_INVALID);
  assert_int_equal(rlc_limiter_set_tier(l, "", "api", "1/s", why, sizeof why), RLC_ERR_INVALID);
  assert_int_equal(rlc_limiter_hash(l, "k", 1, NULL), RLC_ERR_INVALID);
  assert_int_equal(rlc_limiter_hash(l, "k", 1, hash), 0);
  assert_string_equal(hash, "k...............");
  assert_int_equal(rlc_limiter_override(l, "api", "k", 1, "10/fortnight", NULL, why, sizeof why),
                   RLC_ERR_POLICY);
  assert_non_null(strstr(why, "column 4"));
  assert_int_equal(rlc_limiter_override(l, "api", "k", 1,
                                        "1000000000/315359999s,1000000000/315359998s,"
                                        "1000000000/315359997s,1000000000/315359996s,"
                                        "1000000000/315359995s,1000000000/315359994s "
                                        "algorithm=fixed-window ban=1000000000/315359999s:999999s:99day",
                                        NULL, why, sizeof why), RLC_ERR_POLICY);
  assert_non_null(strstr(why, "the index has room for 191"));
  rlc_limiter_del(l);
}

static int note(const rlc_entry *entry, void *user) {
  static const char kinds[] = "?botm"; /* by kind */
  char *to = user;
  size_t len = strlen(to);

  snprintf(to + len, 512 - len, "%c|%.3s|%s|%s|%s|%s|%lld ", kinds[entry->kind], entry->key,
           entry->name, entry->tier, entry->policy, entry->display, (long long)entry->left_us);
  return 0;
}

static int stop(const rlc_entry *entry, void *user) {
  (void)entry;
  ++*(int *)user;
  return 42;
}

/* What stands behind a NUL of a display name is shown: it is not another's who has what stands before. */
static void nul_test(void **state) {
  rlc_limiter *l = open_timed(0);
  rlc__entry e = fake_entry(RLC_ENTRY_BAN, "k", "api", "");
  char noted[512] = "";

  (void)state;
  e.until_us = fake_of(l)->now_us + 10 * SECOND;
  memcpy(e.display, "alice\0b", 7);
  e.display_len = 7;
  fake_put(fake_of(l), &e);
  assert_int_equal(rlc_limiter_list(l, note, noted), 0);
  assert_string_equal(noted, "b|k..|api|||alice?b|10000000 ");
  rlc_limiter_del(l);
}

/* The list is the store's own, in order, of what has not ended. */
static void list_test(void **state) {
  rlc_limiter *l = open_timed(0);
  char told[512] = "";
  int n = 0;

  (void)state;
  assert_int_equal(rlc_limiter_ban(l, "api", "mallory", 7, 5 * SECOND, "Mallory"), 0);
  assert_int_equal(rlc_limiter_ban(l, "api", "eve", 3, SECOND, NULL), 0);
  assert_int_equal(rlc_limiter_override(l, "api", "bob", 3, "90/60s", "Bob", NULL, 0), 0);
  assert_int_equal(rlc_limiter_set_member(l, "bob", 3, "pro", NULL), 0);
  assert_int_equal(rlc_limiter_set_tier(l, "pro", "api", "5/s", NULL, 0), 0);
  pass(l, SECOND);
  assert_int_equal(rlc_limiter_list(l, note, told), 0);
  assert_string_equal(told, "t||api|pro|5/s||-1 m|bob||pro|||-1 o|bob|api||90/min|Bob|-1 "
                            "b|mal|api|||Mallory|4000000 ");
  assert_int_equal(rlc_limiter_list(l, stop, &n), 42);
  assert_int_equal(n, 1);
  assert_int_equal(rlc_limiter_set_tier(l, "pro", "api", NULL, NULL, 0), 0);
  assert_int_equal(rlc_limiter_set_tier(l, "pro", "api", NULL, NULL, 0), RLC_ERR_LOST);
  assert_int_equal(rlc_limiter_set_member(l, "bob", 3, NULL, NULL), 0);
  assert_int_equal(rlc_limiter_set_member(l, "bob", 3, NULL, NULL), RLC_ERR_LOST);
  rlc_limiter_del(l);
}

/* --- queues -------------------------------------------------------------------------------- */

/* A ban is told at once; a policy of the index lives until the decision, though it is replaced. */
static void queue_test(void **state) {
  rlc_limiter *l = open_timed(1);
  rlc_policy *api = policy_of("api", "10/min");
  rlc_limit limit = limit_of(api, "alice");
  rlc_decision d = RLC_DECISION_INIT;
  rlc_queue *queue;
  void *user;

  (void)state;
  assert_int_equal(rlc_queue_new(&queue, l), 0);
  put(l, RLC_ENTRY_OVERRIDE, "alice", "api", "1/s ban=1/s:10s");
  put(l, RLC_ENTRY_BAN, "mallory", "api", "");
  assert_int_equal(rlc_limiter_refresh(l), 0);
  assert_int_equal(rlc_queue_submit(queue, RLC_OP_CHECK, &limit, 1, &limit, NULL, &d), RLC_PENDING);
  assert_int_equal(rlc_queue_submit(queue, RLC_OP_CHECK, &limit, 1, NULL, NULL, &d), RLC_PENDING);
  for (int i = 0; i < 300; ++i) {
    char text[16];

    snprintf(text, sizeof text, "%d/s", 2 + i);
    put(l, RLC_ENTRY_OVERRIDE, "alice", "api", text);
    assert_int_equal(rlc_limiter_refresh(l), 0);
  }
  fake_of(l)->denies = 0;
  assert_int_equal(rlc_queue_complete(queue, &user, NULL, &d), 0);
  assert_ptr_equal(user, &limit);
  assert_int_equal(d.result.limit, 1);
  assert_int_equal(fake_of(l)->batches, 1); /* one denial made its ban, though it is replaced */
  limit = limit_of(api, "mallory");
  assert_int_equal(rlc_queue_submit(queue, RLC_OP_CHECK, &limit, 1, NULL, NULL, &d), 0);
  assert_int_equal(d.source, RLC_SOURCE_BAN);
  assert_int_equal(rlc_queue_get_pending(queue), 1);
  rlc_queue_del(queue);
  rlc_policy_del(api);
  rlc_limiter_del(l);
}

/* --- the helper thread --------------------------------------------------------------------- */

/* Asks until |key| is answered by |source|, for 2 s at most. */
static int comes(rlc_limiter *l, const rlc_policy *policy, const char *key, rlc_source source) {
  int64_t until = rlc__clock_monotonic_us() + 2 * SECOND;

  while (rlc__clock_monotonic_us() < until) {
    if (check(l, policy, key).source == source) {
      return 1;
    }
    usleep(1000);
  }
  return 0;
}

/* What another program sets comes within 2 s, and denials that make a ban do not wait that long. */
static void thread_test(void **state) {
  rlc_limiter *l = fake_open(1, NULL, hear, NULL);
  rlc_policy *api = policy_of("api", "10/min ban=3/min:10s");
  int64_t begun;

  (void)state;
  (void)check(l, api, "alice");
  put(l, RLC_ENTRY_BAN, "mallory", "api", "");
  assert_true(comes(l, api, "mallory", RLC_SOURCE_BAN));
  usleep(100000); /* the thread has run, and sleeps for most of a second */
  fake_of(l)->denies = 0;
  begun = rlc__clock_monotonic_us();
  assert_true(comes(l, api, "eve", RLC_SOURCE_BAN));
  assert_true(rlc__clock_monotonic_us() - begun < SECOND / 2);
  rlc_policy_del(api);
  rlc_limiter_del(l);
}

/* Denials that make no ban alone are handed on within 2 s, from a table too, without a further decision. */
static void each_second_test(void **state) {
  for (int polls = 0; polls < 2; ++polls) {
    rlc_limiter *l = fake_open(polls, NULL, hear, NULL);
    rlc_policy *api = policy_of("api", "10/min ban=3/min:10s");
    int64_t until = rlc__clock_monotonic_us() + 2 * SECOND;
    uint64_t denials = 0;

    fake_of(l)->denies = 0;
    (void)check(l, api, "eve");
    (void)check(l, api, "eve");
    while (denials == 0 && rlc__clock_monotonic_us() < until) {
      usleep(1000);
      pthread_mutex_lock(&fake_of(l)->mutex);
      denials = fake_of(l)->denials;
      pthread_mutex_unlock(&fake_of(l)->mutex);
    }
    assert_int_equal(denials, 2);
    rlc_policy_del(api);
    rlc_limiter_del(l);
  }
  (void)state;
}

/* Where no thread could be started once, one is later. */
static void no_thread_test(void **state) {
  rlc_limiter *l = fake_open(1, NULL, hear, NULL);
  rlc_policy *api = policy_of("api", "10/min");

  (void)state;
  atomic_store(&logged, 0);
  put(l, RLC_ENTRY_BAN, "mallory", "api", "");
  atomic_store(&threads_fail, 1);
  for (int i = 0; i < 100; ++i) {
    assert_int_equal(check(l, api, "mallory").allowed, 1);
  }
  assert_int_equal(atomic_load(&logged), 1);
  assert_in_range(atomic_load(&threads_refused), 1, 3); /* it is not tried with each decision */
  atomic_store(&threads_fail, 0);
  assert_true(comes(l, api, "mallory", RLC_SOURCE_BAN));
  rlc_policy_del(api);
  rlc_limiter_del(l);
}

/* Without decisions the thread's task stops, and starts again with the next one. */
static void idle_test(void **state) {
  rlc_limiter *l = fake_open(1, NULL, hear, NULL);
  rlc_policy *api = policy_of("api", "10/min");
  rlc__rules_page *p = l->rules->page;
  int64_t until = rlc__clock_monotonic_us() + 5 * SECOND;

  (void)state;
  assert_int_equal(atomic_load(&p->running), 0);
  (void)check(l, api, "alice");
  assert_int_equal(atomic_load(&p->running), 1);
  while (atomic_load(&p->used) && rlc__clock_monotonic_us() < until) {
    usleep(1000);
  }
  usleep(50000); /* between two runs */
  atomic_store(&p->idle, 59);
  while (atomic_load(&p->running) && rlc__clock_monotonic_us() < until) {
    usleep(1000);
  }
  assert_int_equal(atomic_load(&p->running), 0);
  put(l, RLC_ENTRY_BAN, "mallory", "api", "");
  assert_true(comes(l, api, "mallory", RLC_SOURCE_BAN));
  assert_int_equal(atomic_load(&p->running), 1);
  rlc_policy_del(api);
  rlc_limiter_del(l);
}

/* A child has a copy of its own, with its first decision. */
static void fork_test(void **state) {
  for (int polls = 0; polls < 1 + POLLS_AFTER_FORK; ++polls) {
    rlc_limiter *l = fake_open(polls, NULL, hear, NULL);
    rlc_policy *api = policy_of("api", "10/min");
    pid_t child;
    int status;

    put(l, RLC_ENTRY_BAN, "mallory", "api", "");
    assert_true(comes(l, api, "mallory", RLC_SOURCE_BAN));
    usleep(50000);
    child = fork();
    if (child == 0) {
      int good = atomic_load(&l->rules->page->version) == 0;

      put(l, RLC_ENTRY_BAN, "eve", "api", "");
      good &= comes(l, api, "mallory", RLC_SOURCE_BAN) && comes(l, api, "eve", RLC_SOURCE_BAN);
      _exit(!good);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    rlc_policy_del(api);
    rlc_limiter_del(l);
  }
  (void)state;
}

static void *decide_on(void *user) {
  rlc_limiter *l = user;
  rlc_policy *api = policy_of("api", "10/min ban=1000/min:10s");
  uintptr_t bad = 0;

  for (int i = 0; i < 10000; ++i) {
    rlc_decision d = check(l, api, i % 2 == 0 ? "alice" : "mallory");

    bad += d.result.limit != 10 && d.result.limit > 9;
  }
  rlc_policy_del(api);
  return (void *)bad;
}

/* Decisions of several threads while bans and overrides come and go. */
static void race_test(void **state) {
  for (int polls = 0; polls < 2; ++polls) {
    rlc_limiter *l = fake_open(polls, NULL, hear, NULL);
    pthread_t threads[3];

    fake_of(l)->denies = 0;
    for (int i = 0; i < 3; ++i) {
      assert_int_equal(pthread_create(&threads[i], NULL, decide_on, l), 0);
    }
    for (int i = 0; i < 1000; ++i) {
      char text[8];

      snprintf(text, sizeof text, "%d/s", 1 + i % 9);
      assert_int_equal(rlc_limiter_override(l, "api", "alice", 5, text, NULL, NULL, 0), 0);
      assert_int_equal(rlc_limiter_ban(l, "api", "mallory", 7, SECOND, NULL), 0);
      assert_int_equal(rlc_limiter_unban(l, "api", "mallory", 7), 0);
    }
    for (int i = 0; i < 3; ++i) {
      void *bad;

      pthread_join(threads[i], &bad);
      assert_null(bad);
    }
    rlc_limiter_del(l);
  }
  (void)state;
}

/* Without memory there are no rules, or all of them. */
static void nomem_test(void **state) {
  rlc_limiter *l = NULL;

  (void)state;
  for (int left = 0; l == NULL; ++left) {
    failing_memory memory = {left, 0};
    rlc_memory functions = failing_functions(&memory);

    assert_true(left < 20);
    l = fake_open(0, passed_in, NULL, &functions);
    memory.left = -1;
    if (l != NULL) {
      rlc_limiter_del(l);
      l = (rlc_limiter *)1;
    }
    assert_int_equal(memory.held, 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(ban_test),        cmocka_unit_test(several_test),
      cmocka_unit_test(verbs_test),      cmocka_unit_test(away_test),
      cmocka_unit_test(denials_test),    cmocka_unit_test(counted_test),
      cmocka_unit_test(unanswered_test), cmocka_unit_test(forget_test),
      cmocka_unit_test(flood_test),      cmocka_unit_test(display_test),
      cmocka_unit_test(order_test),      cmocka_unit_test(result_test),
      cmocka_unit_test(same_state_test), cmocka_unit_test(same_state_grant_test),
      cmocka_unit_test(no_thread_test),  cmocka_unit_test(nul_test),
      cmocka_unit_test(garbage_test),
      cmocka_unit_test(hashed_test),     cmocka_unit_test(invalid_test),
      cmocka_unit_test(list_test),       cmocka_unit_test(queue_test),
      cmocka_unit_test(thread_test),     cmocka_unit_test(idle_test),
      cmocka_unit_test(each_second_test),
      cmocka_unit_test(fork_test),       cmocka_unit_test(race_test),
      cmocka_unit_test(nomem_test),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
