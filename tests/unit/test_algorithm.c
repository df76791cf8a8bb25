/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "algorithm/algorithm.h"

#define NOW INT64_C(1790000000000000)
#define S INT64_C(1000000)

static const char *const texts[] = {
    "5/min",
    "7/s",
    "10/s burst=20",
    "10/s burst=1",
    "333/17min",
    "1000000/day",
    "1000000000/30day",
    "123456/7day",
    "999983/s",
    "11/3s,40/min,999/h",
    "5/min algorithm=fixed-window",
    "1000000000/week algorithm=fixed-window",
    "3/s,8/min algorithm=fixed-window",
    "5/day algorithm=fixed-window align=calendar tz=Australia/Lord_Howe",
    "40/month algorithm=fixed-window anchor=31 tz=America/New_York",
    "3/h,8/week,40/month algorithm=fixed-window align=calendar tz=Asia/Kathmandu",
    "10/min algorithm=sliding-window",
    "1000000000/365day algorithm=sliding-window",
    "3/s,8/min,40/h algorithm=sliding-window",
};
#define TEXTS (sizeof texts / sizeof texts[0])

static uint64_t random_state = 88172645463325252u;

static uint64_t draw(uint64_t below) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state % below;
}

static rlc_policy *policy_of(const char *text) {
  rlc_policy *policy;
  char why[RLC_MESSAGE_SIZE];

  if (rlc_policy_new(&policy, NULL, text, NULL, why, sizeof why) != 0) {
    fail_msg("%s: %s", text, why);
  }
  return policy;
}

/* The smallest capacity of any rate: the largest cost that can ever pass. */
static uint64_t capacity_of(const rlc_policy *policy) {
  uint64_t least = RLC_MAX_QUOTA;

  for (unsigned i = 0; i < policy->rates; ++i) {
    least = policy->rate[i].capacity < least ? policy->rate[i].capacity : least;
  }
  return least;
}

/* Waiting exactly retry-after passes, and a microsecond less does not, from any state. */
static void honest_retry_test(void **state) {
  unsigned denials = 0;

  (void)state;
  for (size_t t = 0; t < TEXTS; ++t) {
    rlc_policy *policy = policy_of(texts[t]);
    uint64_t words[RLC__STATE_WORDS] = {0};
    int64_t now = NOW;

    for (int i = 0; i < 3000; ++i) {
      uint64_t cost = 1 + draw(capacity_of(policy));
      rlc_result r = RLC_RESULT_INIT;
      int step;

      now += (int64_t)draw(policy->rate[0].window_us / 2);
      step = rlc__algorithm_step(policy, words, RLC__OP_CHECK, now, cost);
      rlc__algorithm_describe(policy, words, now, cost, step & 1, &r);
      if (step & RLC__STEP_ALLOWED) {
        assert_int_equal(r.retry_us, 0);
        continue;
      }
      ++denials;
      assert_true(r.retry_us > 0);
      assert_true(rlc__algorithm_step(policy, words, RLC__OP_PEEK, now + r.retry_us, cost) & 1);
      assert_false(rlc__algorithm_step(policy, words, RLC__OP_PEEK, now + r.retry_us - 1, cost) &
                   1);
    }
    rlc_policy_del(policy);
  }
  assert_true(denials > 1000);
}

/* What is said to remain passes, one more does not; after reset the full capacity is there, and a
 * microsecond before it is not. */
static void honest_remaining_and_reset_test(void **state) {
  (void)state;
  for (size_t t = 0; t < TEXTS; ++t) {
    rlc_policy *policy = policy_of(texts[t]);
    uint64_t words[RLC__STATE_WORDS] = {0};
    int64_t now = NOW;

    for (int i = 0; i < 1000; ++i) {
      uint64_t cost = draw(capacity_of(policy)) / 3 + 1;
      rlc_result r = RLC_RESULT_INIT;
      uint64_t full;

      now += (int64_t)draw(policy->rate[0].window_us / 5);
      rlc__algorithm_step(policy, words, RLC__OP_CHECK, now, cost);
      rlc__algorithm_describe(policy, words, now, 0, 1, &r);
      assert_true(rlc__algorithm_step(policy, words, RLC__OP_PEEK, now, r.remaining) & 1);
      assert_false(rlc__algorithm_step(policy, words, RLC__OP_PEEK, now, r.remaining + 1) & 1);
      if (policy->rates == 1 && r.reset_us > 0) {
        full = policy->rate[0].capacity;
        assert_true(rlc__algorithm_step(policy, words, RLC__OP_PEEK, now + r.reset_us, full) & 1);
        assert_false(
            rlc__algorithm_step(policy, words, RLC__OP_PEEK, now + r.reset_us - 1, full) & 1);
      }
    }
    rlc_policy_del(policy);
  }
}

/* In any span no more passes than the published bound: a greedy client at random moments. */
static void bound_test(void **state) {
  (void)state;
  for (size_t t = 0; t < TEXTS; ++t) {
    rlc_policy *policy = policy_of(texts[t]);
    const rlc__rate *rate = &policy->rate[0];
    uint64_t words[RLC__STATE_WORDS] = {0};
    uint64_t passed[64];
    int64_t at[64];
    int64_t now = NOW + (int64_t)draw(1000000);
    /* A calendar's window is no shorter than nine tenths of the longest of its kind. */
    int64_t span = (int64_t)(policy->is_calendar ? rate->window_us / 10 * 9 : rate->window_us);
    size_t n = 0;

    while (n < 64) {
      uint64_t cost = 1 + draw(capacity_of(policy));

      now += (int64_t)draw(rate->window_us / 8 + 1);
      if (rlc__algorithm_step(policy, words, RLC__OP_CHECK, now, cost) & RLC__STEP_ALLOWED) {
        passed[n] = cost;
        at[n++] = now;
      }
    }
    for (size_t i = 0; i < n; ++i) {
      uint64_t sum = 0;

      for (size_t j = i; j < n && at[j] - at[i] < span; ++j) {
        sum += passed[j];
      }
      assert_true(sum <= rate->capacity + rate->quota);
    }
    rlc_policy_del(policy);
  }
}

/* A denial, a peek and a cost of 0 leave the state as it was. */
static void nothing_changes_test(void **state) {
  rlc_policy *policy = policy_of("5/min,9/h");
  uint64_t words[RLC__STATE_WORDS] = {0};
  uint64_t before[RLC__STATE_WORDS];

  (void)state;
  assert_int_equal(rlc__algorithm_step(policy, words, RLC__OP_CHECK, NOW, 5),
                   RLC__STEP_ALLOWED | RLC__STEP_CHANGED);
  memcpy(before, words, sizeof words);
  assert_int_equal(rlc__algorithm_step(policy, words, RLC__OP_CHECK, NOW, 1), RLC__STEP_DENIED);
  assert_int_equal(rlc__algorithm_step(policy, words, RLC__OP_CHECK, NOW, 0), RLC__STEP_ALLOWED);
  assert_int_equal(rlc__algorithm_step(policy, words, RLC__OP_CHARGE, NOW, 0), RLC__STEP_ALLOWED);
  assert_int_equal(rlc__algorithm_step(policy, words, RLC__OP_REFUND, NOW, 0), RLC__STEP_ALLOWED);
  assert_int_equal(rlc__algorithm_step(policy, words, RLC__OP_PEEK, NOW, 1), RLC__STEP_DENIED);
  assert_memory_equal(before, words, sizeof words);
  rlc_policy_del(policy);
}

/* A clock set back by a year denies for one capacity's time, writes the clamp once, and recovers. */
static void clock_set_back_test(void **state) {
  const int64_t year = 365 * 86400 * S;

  (void)state;
  for (size_t t = 0; t < TEXTS; ++t) {
    rlc_policy *policy = policy_of(texts[t]);
    uint64_t words[RLC__STATE_WORDS] = {0};
    uint64_t all = capacity_of(policy);
    int64_t now = NOW;
    rlc_result r = RLC_RESULT_INIT;
    int step;

    assert_true(rlc__algorithm_step(policy, words, RLC__OP_CHECK, now, all) & 1);
    now -= year + 12345;
    step = rlc__algorithm_step(policy, words, RLC__OP_CHECK, now, all);
    assert_false(step & RLC__STEP_ALLOWED);
    rlc__algorithm_describe(policy, words, now, all, 0, &r);
    assert_true(r.retry_us > 0 && r.retry_us <= 2 * (int64_t)r.window_us + S);
    assert_int_equal(rlc__algorithm_step(policy, words, RLC__OP_CHECK, now, all),
                     RLC__STEP_DENIED); /* clamped already: nothing to write */
    assert_true(rlc__algorithm_step(policy, words, RLC__OP_CHECK, now + r.retry_us, all) & 1);
    rlc_policy_del(policy);
  }
}

/* Another zone, anchor or span neither forgets what is counted nor gives any of it a second time. */
static void change_of_calendar_test(void **state) {
  static const char *const calendars[] = {
      "5/day algorithm=fixed-window align=calendar tz=Asia/Kathmandu",
      "5/day algorithm=fixed-window align=calendar tz=America/New_York",
      "5/day algorithm=fixed-window", "5/month algorithm=fixed-window anchor=31",
      "5/week algorithm=fixed-window align=calendar anchor=sun", "5/h algorithm=fixed-window"};
  const size_t n = sizeof calendars / sizeof calendars[0];

  (void)state;
  for (size_t i = 0; i < n * n; ++i) {
    rlc_policy *before = policy_of(calendars[i / n]), *after = policy_of(calendars[i % n]);
    uint64_t words[RLC__STATE_WORDS] = {0};
    rlc_result r = RLC_RESULT_INIT;
    int64_t now = NOW;

    assert_true(rlc__algorithm_step(before, words, RLC__OP_CHECK, now, 3) & 1);
    rlc__algorithm_describe(after, words, now, 0, 1, &r);
    assert_int_equal(r.remaining, 2);
    assert_false(rlc__algorithm_step(after, words, RLC__OP_CHECK, now, 3) & 1);
    assert_true(rlc__algorithm_step(after, words, RLC__OP_CHECK, now, 2) & 1);
    assert_false(rlc__algorithm_step(before, words, RLC__OP_CHECK, now, 1) & 1);
    assert_false(rlc__algorithm_step(after, words, RLC__OP_CHECK, now, 1) & 1);
    rlc_policy_del(before);
    rlc_policy_del(after);
  }
}

/* A state is worth nothing from its expiry on, and something the microsecond before. */
static void expiry_test(void **state) {
  (void)state;
  for (size_t t = 0; t < TEXTS; ++t) {
    rlc_policy *policy = policy_of(texts[t]);
    uint64_t words[RLC__STATE_WORDS] = {0};
    rlc_result r = RLC_RESULT_INIT;
    int64_t expiry;
    unsigned used = 0;

    rlc__algorithm_step(policy, words, RLC__OP_CHECK, NOW, 1 + draw(capacity_of(policy)));
    expiry = rlc__algorithm_expiry(policy, words);
    for (unsigned i = 0; i < policy->rates; ++i) {
      rlc_policy one = *policy;
      unsigned size = rlc__state_words(policy) / policy->rates;

      one.rates = 1;
      one.rate[0] = policy->rate[i];
      rlc__algorithm_describe(&one, words + i * size, expiry, 0, 1, &r);
      assert_int_equal(r.remaining, r.limit);
      rlc__algorithm_describe(&one, words + i * size, expiry - 1, 0, 1, &r);
      used += r.remaining < r.limit;
    }
    assert_true(used > 0);
    rlc_policy_del(policy);
  }
}

/* The integers never admit what the exact bucket, in 128 bits, refuses by more than a tick. */
static void epsilon_test(void **state) {
  static const char *const buckets[] = {"7/s", "333/17min", "999983/s", "123456/7day", "10/s"};

  (void)state;
  for (size_t t = 0; t < sizeof buckets / sizeof buckets[0]; ++t) {
    rlc_policy *policy = policy_of(buckets[t]);
    const rlc__rate *rate = &policy->rate[0];
    uint64_t words[RLC__STATE_WORDS] = {0};
    unsigned __int128 full = 0; /* microseconds times quota */
    int64_t now = NOW;

    for (int i = 0; i < 20000; ++i) {
      uint64_t cost = 1 + draw(rate->capacity);
      unsigned __int128 at;

      now += (int64_t)draw(rate->window_us / 3);
      at = (unsigned __int128)(uint64_t)now * rate->quota;
      if (rlc__algorithm_step(policy, words, RLC__OP_CHECK, now, cost) & RLC__STEP_ALLOWED) {
        full = (full > at ? full : at) + (unsigned __int128)cost * rate->window_us;
        assert_true(full <= at + (unsigned __int128)rate->capacity * rate->window_us +
                                2 * rate->quota);
      }
    }
    rlc_policy_del(policy);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(honest_retry_test),
      cmocka_unit_test(honest_remaining_and_reset_test),
      cmocka_unit_test(bound_test),
      cmocka_unit_test(nothing_changes_test),
      cmocka_unit_test(clock_set_back_test),
      cmocka_unit_test(change_of_calendar_test),
      cmocka_unit_test(expiry_test),
      cmocka_unit_test(epsilon_test),
  };
  return cmocka_run_group_tests_name("algorithm", tests, NULL, NULL);
}
