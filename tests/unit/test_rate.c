/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs those four first */
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "policy/policy.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define US UINT64_C(1000000)

__extension__ typedef unsigned __int128 uint128;

static rlc_policy *policy_of(const char *text) {
  rlc_policy *policy;
  char why[RLC_MESSAGE_SIZE] = "";

  if (rlc_policy_new(&policy, NULL, text, NULL, why, sizeof why) != 0) {
    fail_msg("%s: %s", text, why);
  }
  return policy;
}

/* Ten billion pairs cannot all be tried: a generator picks some, the same in each run. */
static uint64_t next_random(uint64_t *seed) {
  *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return *seed >> 24;
}

/* What policy.h promises of a token bucket's ticks. */
static void assert_identity(const rlc__rate *r) {
  assert_true((uint128)r->quota * r->unit_ticks * r->tick_den ==
              (uint128)r->window_us * r->tick_num);
  assert_true(r->tick_num >= 1 && r->tick_num <= r->tick_den && r->tick_den <= 1u << 26);
  assert_true(2 * r->tick_num > r->tick_den);
  assert_true(r->capacity_ticks == r->capacity * r->unit_ticks);
  assert_true(r->capacity_ticks < UINT64_C(1) << 49);
  if (r->window_us % r->quota == 0) {
    assert_true(r->tick_num == 1 && r->tick_den == 1);
  }
}

/* Prepares a rate; where it is refused, the quota named in its place must do, and be smaller. */
static int prepares(uint64_t quota, uint64_t window_s) {
  rlc__rate r = {.quota = quota, .capacity = quota, .window_s = window_s};
  uint64_t nearest;

  if (rlc__rate_prepare(&r, RLC_TOKEN_BUCKET, &nearest) == 0) {
    assert_identity(&r);
    return 1;
  }
  assert_true(nearest > 0 && nearest < quota);
  r.quota = r.capacity = nearest;
  assert_int_equal(rlc__rate_prepare(&r, RLC_TOKEN_BUCKET, &nearest), 0);
  assert_identity(&r);
  return 0;
}

/* The identity holds exactly for every rate that is taken, over all sizes of quota and window. */
static void test_ticks_random(void **state) {
  uint64_t seed = 20260921;
  unsigned taken = 0;

  (void)state;
  for (unsigned i = 0; i < 20000; ++i) {
    uint64_t quota = next_random(&seed) % (UINT64_C(1) << (1 + next_random(&seed) % 30)) + 1;
    uint64_t window_s = next_random(&seed) % (UINT64_C(1) << (1 + next_random(&seed) % 28)) + 1;

    quota = quota > RLC_MAX_QUOTA ? RLC_MAX_QUOTA : quota;
    taken += (unsigned)prepares(quota, window_s);
  }
  assert_in_range(taken, 10000, 19999);
}

/* Primes leave nothing to reduce, and the largest numbers nothing to spare. */
static void test_ticks_primes(void **state) {
  static const uint64_t numbers[] = {1,      2,      3,       7,        97,        7919,     65537,
                                     999983, 1000003, 15485863, 67108859, 67108879, 316223989};

  (void)state;
  for (size_t i = 0; i < COUNT(numbers); ++i) {
    for (size_t j = 0; j < COUNT(numbers); ++j) {
      prepares(numbers[i], numbers[j]);
    }
  }
  assert_true(prepares(97, 97));
  assert_true(prepares(7, 1));
  assert_true(prepares(RLC_MAX_QUOTA, 30 * 86400));
  assert_true(prepares(1, RLC__MAX_WINDOW_S));
  assert_true(prepares(999983, 86400));
  assert_false(prepares(7, 67108879)); /* a prime too large for a denominator */
  assert_false(prepares(1000001, 1));  /* finer than a microsecond */
}

/* A known decomposition, worked out by hand: 7 a second is 7 units of k ticks in 10^6 us, with
 * k = floor(10^6 / 7) = 142857, so 999999 ticks in 1000000 us. */
static void test_ticks_known(void **state) {
  rlc_policy *policy = policy_of("7/s");
  const rlc__rate *r = &policy->rate[0];

  (void)state;
  assert_true(r->unit_ticks == 142857 && r->tick_num == 999999 && r->tick_den == 1000000);
  assert_true(r->capacity_ticks == 999999);
  rlc_policy_del(policy);
}

/* A sliding window has at most 2^23 steps, which do not outlast it. */
static void test_steps(void **state) {
  static const uint64_t windows[] = {1, 8, 9, 60, 86400, 316223989, RLC__MAX_WINDOW_S};
  uint64_t nearest;

  (void)state;
  for (size_t i = 0; i < COUNT(windows); ++i) {
    rlc__rate r = {.quota = 999999937, .capacity = 999999937, .window_s = windows[i]};

    assert_int_equal(rlc__rate_prepare(&r, RLC_SLIDING_WINDOW, &nearest), 0);
    assert_true(r.window_us == windows[i] * US);
    assert_true(r.steps >= 1 && r.steps <= 1u << 23);
    assert_true(r.steps == r.window_us / r.step_us);
    assert_true((r.step_us - 1) << 23 < r.window_us && r.step_us << 23 >= r.window_us);
  }
}

/* A share is the whole divided, rounded down, at least 1; it keeps name and id. */
static void test_share(void **state) {
  static const struct {
    const char *whole;
    uint64_t parts;
    const char *share;
  } cases[] = {
      {"100/min", 1, "100/min"},
      {"100/min", 3, "33/min"},
      {"100/min", 10000, "1/min"},
      {"10/s,1000/h burst=25", 4, "2/s,250/h burst=6"},
      {"5/s burst=1", 5, "1/s"},
      {"10/min algorithm=fixed-window", 3, "3/min algorithm=fixed-window"},
      {"10/min algorithm=sliding-window", 3, "3/min algorithm=sliding-window"},
      {"10/min,100/h algorithm=sliding-log", 3, "3/min,33/h algorithm=sliding-log"},
      {"20/30s algorithm=concurrency", 40, "1/30s algorithm=concurrency"},
      {"10/month algorithm=fixed-window tz=Europe/Paris", 3,
       "3/month algorithm=fixed-window tz=Europe/Paris"},
      /* a quota that can be counted, while its sixth, 166666666, cannot */
      {"1000000000/day,1/s", 6, "166666660/day,1/s"},
      /* the quota rounds down so far that the burst would outlast the ticks */
      {"3/10week burst=260", 2, "1/10week burst=93"},
  };

  (void)state;
  for (size_t i = 0; i < COUNT(cases); ++i) {
    rlc_policy *whole = policy_of(cases[i].whole);
    rlc_policy *share;

    assert_int_equal(rlc__policy_share(&share, whole, cases[i].parts), 0);
    assert_string_equal(rlc_policy_get_text(share), cases[i].share);
    assert_string_equal(share->id, whole->id);
    for (unsigned r = 0; r < share->rates && share->algorithm == RLC_TOKEN_BUCKET; ++r) {
      assert_identity(&share->rate[r]);
      assert_true(share->rate[r].capacity <= whole->rate[r].capacity);
    }
    rlc_policy_del(whole);
    if (share->is_calendar) { /* its zone stays */
      assert_true(rlc__calendar_window(&share->rate[0].calendar, 1690000000).start_s ==
                  1688162400);
    }
    rlc_policy_del(share);
  }
}

/* Every policy that can be counted has shares that can. */
static void test_share_random(void **state) {
  uint64_t seed = 7;

  (void)state;
  for (unsigned i = 0; i < 5000; ++i) {
    char text[64];
    rlc_policy *whole, *share;

    snprintf(text, sizeof text, "%llu/%llus burst=%llu",
             (unsigned long long)(next_random(&seed) % RLC_MAX_QUOTA + 1),
             (unsigned long long)(next_random(&seed) % RLC__MAX_WINDOW_S + 1),
             (unsigned long long)(next_random(&seed) % RLC_MAX_QUOTA + 1));
    if (rlc_policy_new(&whole, "n", text, NULL, NULL, 0) != 0) {
      continue;
    }
    assert_int_equal(rlc__policy_share(&share, whole, next_random(&seed) % 10000 + 1), 0);
    assert_identity(&share->rate[0]);
    assert_string_equal(share->name, "n");
    rlc_policy_del(share);
    rlc_policy_del(whole);
  }
}

/* A share of no parts is refused. */
static void test_share_of_none(void **state) {
  rlc_policy *whole = policy_of("100/min");
  rlc_policy *share = whole;

  (void)state;
  assert_int_equal(rlc__policy_share(&share, whole, 0), RLC_ERR_POLICY);
  assert_null(share);
  rlc_policy_del(whole);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_ticks_random),
      cmocka_unit_test(test_ticks_primes),
      cmocka_unit_test(test_ticks_known),
      cmocka_unit_test(test_steps),
      cmocka_unit_test(test_share),
      cmocka_unit_test(test_share_random),
      cmocka_unit_test(test_share_of_none),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
