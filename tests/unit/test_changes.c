/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drawn_help.h"
#include "policy/level.h"
#include "policy/policy.h"
#include "redis_server.h"
#include "rlcore/rlcore.h"

/* Token buckets whose policy changes under their name, through each store by the public API. The time
 * is passed in. */

#define S INT64_C(1000000)
#define CALLS 6000
#define MOST_POLICIES 12

__extension__ typedef __int128 int128;

static char redis_url[200];

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
  limit.name = "api";
  limit.key = key;
  limit.key_len = strlen(key);
  limit.cost = cost;
  return limit;
}

static rlc_decision ask(rlc_limiter *limiter, const rlc_policy *policy, const char *key,
                        uint64_t cost) {
  rlc_limit limit = limit_of(policy, key, cost);
  rlc_decision d = RLC_DECISION_INIT;

  assert_int_equal(rlc_limiter_peek(limiter, &limit, 1, NULL, &d), 0);
  return d;
}

/* Checks, alone or beside a limit that always passes: the two take different ways. */
static rlc_decision check(rlc_limiter *limiter, const rlc_policy *policy, const char *key,
                          uint64_t cost) {
  static rlc_policy *roomy;
  rlc_limit limits[2] = {limit_of(policy, key, cost), RLC_LIMIT_INIT};
  rlc_result results[2] = {RLC_RESULT_INIT, RLC_RESULT_INIT};
  rlc_decision d = RLC_DECISION_INIT;

  if (roomy == NULL) {
    roomy = policy_of("1000000000/s algorithm=fixed-window");
  }
  limits[1] = limit_of(roomy, key, 1);
  assert_int_equal(rlc_limiter_check(limiter, limits, 1 + draw(2), results, &d), 0);
  d.result = results[0];
  return d;
}

/* --- the law, from the whole history ------------------------------------------------------- */

/* What one rate would count as used, had it seen all charges: exactly, and with no bottom to its
 * bucket, in microseconds times its quota until it is full again. */
typedef struct history {
  const rlc__rate *rate;
  int128 full;
} history;

static int128 used_of(const history *h) {
  int128 at = (int128)now * (int64_t)h->rate->quota;

  return h->full > at ? h->full - at : 0;
}

static void add(history *h, uint64_t cost) {
  h->full = used_of(h) + (int128)now * (int64_t)h->rate->quota + (int128)cost * h->rate->window_us;
}

/* One key: each rate's history, and the fastest of those that it has been under. */
typedef struct track {
  history of[MOST_POLICIES][RLC_MAX_RATES];
  size_t fastest[RLC_MAX_RATES];
  int begun;
} track;

static int is_same(const rlc__rate *a, const rlc__rate *b) {
  return a->quota == b->quota && a->window_us == b->window_us && a->capacity == b->capacity;
}

static int is_faster(const rlc__rate *a, const rlc__rate *b) {
  return (int128)a->quota * b->window_us > (int128)b->quota * a->window_us;
}

/* Whether |cost| is more than the capacity of |rate| leaves after what |h| counts as used. Two ticks of
 * the rate in force, each a microsecond or two, are the integers'. */
static int is_too_much(const rlc__rate *rate, const history *h, uint64_t cost) {
  int128 unit = (int128)h->rate->window_us;

  return (int128)cost * unit + used_of(h) >
         (int128)rate->capacity * unit + 4 * (int128)h->rate->quota;
}

/*
 * Random checks under random policies of one name. At every moment there is no more room than the
 * capacity in force less what the fastest of all policies so far would count as used from the whole
 * history. Where one of two policies is the looser, with the faster refill and the larger burst, that
 * is: no more than this one alone would have admitted, before the change, after it and back again. A
 * policy stays for |turns| checks on average; 1 is a rolling restart, with all of them in force at once.
 */
static void walk(const char *url, const char *const *texts, size_t n, unsigned turns) {
  static const int64_t steps[] = {0, 0, 0, 0, 1, 999, 142857, 600000, S, 7 * S, 36 * S, 61 * S, 600 * S};
  static const char *const keys[] = {"a", "b", "c"};
  rlc_limiter *limiter = open_limiter(url);
  rlc_policy *policies[MOST_POLICIES];
  track tracks[3];
  unsigned admitted = 0, denied = 0;
  size_t current = 0;

  memset(tracks, 0, sizeof tracks);
  for (size_t p = 0; p < n; ++p) {
    policies[p] = policy_of(texts[p]);
    for (unsigned r = 0; r < policies[p]->rates; ++r) {
      for (size_t k = 0; k < 3; ++k) {
        tracks[k].of[p][r].rate = &policies[p]->rate[r];
      }
    }
  }
  for (size_t p = 0; p < n * n; ++p) { /* rates of one level cannot be told apart */
    for (unsigned r = 0; p / n != p % n && r < policies[0]->rates; ++r) {
      const rlc__rate *a = &policies[p / n]->rate[r], *b = &policies[p % n]->rate[r];

      assert_true(is_same(a, b) || (a->level != b->level && a->level + 1 != b->level));
    }
  }
  for (int i = 0; i < CALLS; ++i) {
    unsigned k = draw(3);
    track *t = &tracks[k];
    uint64_t cost;
    rlc_decision d;

    current = draw(turns) == 0 ? draw((unsigned)n) : current;
    now += steps[draw(sizeof steps / sizeof steps[0])];
    cost = draw(4) == 0 ? ask(limiter, policies[current], keys[k], 0).result.remaining : 1 + draw(3);
    for (unsigned r = 0; r < policies[current]->rates; ++r) {
      const rlc__rate *rate = &policies[current]->rate[r];

      if (!t->begun || is_faster(rate, t->of[t->fastest[r]][r].rate)) {
        t->fastest[r] = current;
      }
    }
    t->begun = 1;
    d = check(limiter, policies[current], keys[k], cost);
    denied += !d.allowed;
    if (!d.allowed && d.result.retry_us != RLC_NEVER) { /* retry-after is kept to the microsecond */
      assert_true(d.result.retry_us > 0);
      now += d.result.retry_us - 1;
      assert_false(ask(limiter, policies[current], keys[k], cost).allowed);
      ++now;
      assert_true(ask(limiter, policies[current], keys[k], cost).allowed);
    }
    if (!d.allowed) {
      continue;
    }
    admitted += cost > 0;
    for (unsigned r = 0; r < policies[current]->rates; ++r) {
      const history *h = &t->of[t->fastest[r]][r];

      if (cost > 0 && is_too_much(&policies[current]->rate[r], h, cost)) {
        fail_msg("%s: call %d: %s admits %llu of %s, more than %s leaves", url, i, texts[current],
                 (unsigned long long)cost, keys[k], texts[t->fastest[r]]);
      }
    }
    for (size_t p = 0; p < n; ++p) {
      for (unsigned r = 0; r < policies[p]->rates; ++r) {
        add(&t->of[p][r], cost);
      }
    }
  }
  assert_true(admitted > CALLS / 20 && denied > CALLS / 20);
  for (size_t p = 0; p < n; ++p) {
    rlc_policy_del(policies[p]);
  }
  rlc_limiter_del(limiter);
}

static void walks(const char *url) {
  /* Each looser than the one before. */
  static const char *const ordered[] = {"2/h", "7/h", "20/h", "50/20min", "5/s burst=50", "100/s"};
  /* Whatever; one of a level each. */
  static const char *const any[] = {"100/min",        "100/h",         "1000/day",         "7/s",
                                    "10/s burst=3",   "333/17min",     "3/min burst=200",  "1/min",
                                    "900000/7day",    "5/10s burst=1", "97/97s burst=500", "30/h"};
  static const char *const stacks[] = {"10/s,60/min", "3/s,100/h", "20/min,60/h", "5/2s,500/day",
                                       "7/s,11/13s"};

  /* Of which one rate changes. */
  static const char *const one_rate[] = {"10/s,60/min,500/h,9000/day", "10/s,60/min,500/h,2000/day",
                                         "10/s,20/min,500/h,9000/day", "3/s,60/min,500/h,9000/day"};
  static const char *const six[] = {"9/s,80/min,200/6min,300/h,1000/6h,3000/day",
                                    "9/s,80/min,200/6min,300/h,1000/6h,500/day",
                                    "9/s,80/min,200/6min,50/h,1000/6h,3000/day"};

  for (unsigned turns = 1; turns <= 36; turns *= 6) {
    walk(url, ordered, 6, turns);
    walk(url, ordered, 2, turns);
    walk(url, any, 12, turns);
    walk(url, stacks, 5, turns);
    walk(url, one_rate, 4, turns);
    walk(url, six, 3, turns);
  }
}

/* --- no reset, no lock-out ----------------------------------------------------------------- */

/* Whatever the change, what has just been used is still used: by no more than a twentieth and a unit
 * more than it is, and by nothing less. */
static void keeps(const char *url) {
  static const char *const texts[] = {"100/min",  "100/h",        "1000/day", "10/s",
                                      "7/13s",    "60/s burst=20", "1/s",     "3/min burst=1000",
                                      "5/15min", "1000000/30day"};
  const size_t n = sizeof texts / sizeof texts[0];
  rlc_limiter *limiter = open_limiter(url);

  for (size_t i = 0; i < n * n; ++i) {
    rlc_policy *before = policy_of(texts[i / n]), *after = policy_of(texts[i % n]);
    uint64_t used = before->rate[0].capacity;
    uint64_t left = after->rate[0].capacity > used ? after->rate[0].capacity - used : 0;
    uint64_t less = used / 18 + 1;
    uint64_t told;

    now += 40 * 86400 * S;
    assert_true(check(limiter, before, "k", used).allowed);
    told = ask(limiter, after, "k", 1).result.remaining;
    if (told > left || told + less < left) {
      fail_msg("%s: from %s to %s: %llu are left", url, texts[i / n], texts[i % n],
               (unsigned long long)told);
    }
    assert_false(check(limiter, after, "k", left + 1).allowed);
    assert_int_equal(ask(limiter, before, "k", 1).result.remaining, 0);
    rlc_policy_del(before);
    rlc_policy_del(after);
  }
  rlc_limiter_del(limiter);
}

/* A key that a slow policy holds empty is set free at a faster one's pace, if only by being asked. */
static void frees(const char *url) {
  rlc_limiter *limiter = open_limiter(url);
  rlc_policy *slow = policy_of("100/day"), *fast = policy_of("10/s");
  rlc_decision d;

  now += 40 * 86400 * S;
  assert_true(check(limiter, slow, "k", 100).allowed);
  d = check(limiter, fast, "k", 1);
  assert_false(d.allowed);
  assert_in_range(d.result.retry_us, 91 * S / 10, 100 * S / 10);
  now += d.result.retry_us;
  assert_true(check(limiter, fast, "k", 1).allowed);
  now += S / 10;
  assert_true(check(limiter, fast, "k", 1).allowed);
  assert_false(check(limiter, fast, "k", 1).allowed);
  rlc_policy_del(slow);
  rlc_policy_del(fast);
  rlc_limiter_del(limiter);
}

/* A larger burst relieves a blocked key at once, by what it is larger; a slower rate refills nothing. */
static void relieves(const char *url) {
  rlc_limiter *limiter = open_limiter(url);
  rlc_policy *slow = policy_of("100/day"), *fast = policy_of("10/s burst=150"), *minute = policy_of("100/min");
  rlc_policy *stack = policy_of("5/s,100/h"), *looser = policy_of("5/s,150/h");

  now += 40 * 86400 * S;
  assert_true(check(limiter, slow, "k", 100).allowed);
  assert_false(check(limiter, slow, "k", 1).allowed);
  assert_int_equal(ask(limiter, fast, "k", 1).result.remaining, 50);
  assert_true(check(limiter, fast, "k", 50).allowed);
  assert_false(check(limiter, fast, "k", 1).allowed);
  assert_true(check(limiter, minute, "m", 100).allowed);
  for (int i = 0; i < 3; ++i) {
    assert_false(check(limiter, slow, "m", 1).allowed);
    assert_int_equal(ask(limiter, slow, "m", 1).result.remaining, 0);
    assert_false(check(limiter, minute, "m", 1).allowed);
  }
  for (int i = 0; i < 20; ++i) {
    now += S;
    assert_true(check(limiter, stack, "k", 5).allowed);
  }
  now += S;
  assert_false(check(limiter, stack, "k", 1).allowed);
  assert_true(check(limiter, looser, "k", 5).allowed); /* the first rate as before */
  assert_false(check(limiter, looser, "k", 1).allowed);
  assert_int_equal(ask(limiter, stack, "k", 1).result.remaining, 0);
  rlc_policy_del(slow);
  rlc_policy_del(fast);
  rlc_policy_del(minute);
  rlc_policy_del(stack);
  rlc_policy_del(looser);
  rlc_limiter_del(limiter);
}

/* A machine's share of each, while the store is away: the same of what both policies leave. */
static void share_test(void **state) {
  rlc_limiter *limiter = open_limiter("redis+unix:///nonexistent/s?fail=local&share=1/4");
  rlc_policy *less = policy_of("96/day"), *more = policy_of("192/h");
  rlc_limit limit = limit_of(less, "k", 24);
  rlc_decision d = RLC_DECISION_INIT;

  (void)state;
  assert_int_equal(rlc_limiter_check(limiter, &limit, 1, NULL, &d), RLC_DEGRADED);
  assert_true(d.allowed);
  limit = limit_of(less, "k", 1);
  assert_int_equal(rlc_limiter_check(limiter, &limit, 1, NULL, &d), RLC_DEGRADED);
  assert_false(d.allowed);
  limit = limit_of(more, "k", 24);
  assert_int_equal(rlc_limiter_check(limiter, &limit, 1, NULL, &d), RLC_DEGRADED);
  assert_true(d.allowed);
  limit = limit_of(more, "k", 1);
  assert_int_equal(rlc_limiter_check(limiter, &limit, 1, NULL, &d), RLC_DEGRADED);
  assert_false(d.allowed);
  assert_int_equal(d.source, RLC_SOURCE_FALLBACK);
  limit = limit_of(less, "k", 1);
  assert_int_equal(rlc_limiter_check(limiter, &limit, 1, NULL, &d), RLC_DEGRADED);
  assert_false(d.allowed);
  rlc_policy_del(less);
  rlc_policy_del(more);
  rlc_limiter_del(limiter);
}

/* Levels rise by no more than a nineteenth, and each rate's is the highest that it reaches. */
static void level_test(void **state) {
  (void)state;
  for (unsigned m = 1; m < RLC__LEVELS; ++m) {
    rlc__level a = rlc__level_get(m - 1), b = rlc__level_get(m);
    long double ratio = (long double)b.mantissa * (long double)b.times / (long double)b.part *
                        (long double)a.part / (long double)a.times / (long double)a.mantissa;

    assert_true(ratio > 1 && ratio < 1 + 1.0L / 18.9L);
    if (b.part == 1) {
      uint64_t us = b.mantissa * b.times;

      assert_int_equal(rlc__level_of(1, us), m);
      assert_int_equal(rlc__level_of(1, us - 1), m - 1);
    }
  }
  assert_int_equal(rlc__level_of(1000000, S), 0);
  assert_in_range(rlc__level_of(1, RLC__MAX_WINDOW_S * 1000000), 900, RLC__LEVELS - 2);
}

/* The C algorithms in memory of the process. */
static void memory_test(void **state) {
  (void)state;
  walks("memory:");
  keeps("memory:");
  frees("memory:");
  relieves("memory:");
}

/* The same in shared memory. */
static void shm_test(void **state) {
  (void)state;
  walks("shm:");
  keeps("shm:");
  frees("shm:");
  relieves("shm:");
}

/* The Lua in a real server, with no fail policy to hide behind. */
static void redis_test(void **state) {
  redis_server server;

  (void)state;
  assert_int_equal(redis_server_start(&server), 0);
  snprintf(redis_url, sizeof redis_url, "%s?fail=closed&timeout=10s", server.url);
  walks(redis_url);
  keeps(redis_url);
  frees(redis_url);
  relieves(redis_url);
  redis_server_stop(&server);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(level_test),
      cmocka_unit_test(share_test),
      cmocka_unit_test(memory_test),
      cmocka_unit_test(shm_test),
      cmocka_unit_test(redis_test),
  };
  return cmocka_run_group_tests_name("changes", tests, NULL, NULL);
}
