/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "policy/policy.h"
#include "redis_server.h"
#include "rlcore/rlcore.h"

/* Whose clock chooses a window of the calendar: in Redis the server's, whatever this machine's says;
 * in an embedded table the wall clock, which the other limits do not follow. */

#define S INT64_C(1000000)
#define DAY (86400 * S)
#define MONTH "5/month algorithm=fixed-window tz=Australia/Lord_Howe anchor=31"

int64_t __real_rlc__clock_wall_us(void);
int64_t __wrap_rlc__clock_wall_us(void);

static int64_t wrong_us; /* this machine's clock is ahead by so much */

int64_t __wrap_rlc__clock_wall_us(void) {
  return __real_rlc__clock_wall_us() + wrong_us;
}

static redis_server server;

static rlc_limiter *open_limiter(const char *url) {
  rlc_limiter *limiter;
  char why[RLC_MESSAGE_SIZE];

  if (rlc_limiter_new(&limiter, url, NULL, why, sizeof why) != 0) {
    fail_msg("%s: %s", url, why);
  }
  return limiter;
}

static rlc_limiter *open_redis(void) {
  char url[200];

  snprintf(url, sizeof url, "%s?fail=closed&timeout=10s", server.url);
  return open_limiter(url);
}

static rlc_policy *policy_of(const char *text) {
  rlc_policy *policy;
  char why[RLC_MESSAGE_SIZE];

  if (rlc_policy_new(&policy, NULL, text, NULL, why, sizeof why) != 0) {
    fail_msg("%s: %s", text, why);
  }
  return policy;
}

static rlc_limit limit_of(const rlc_policy *policy, const char *name) {
  rlc_limit limit = RLC_LIMIT_INIT;

  limit.policy = policy;
  limit.key = "k";
  limit.key_len = 1;
  limit.name = name;
  return limit;
}

/* Clients whose clocks are years apart count in one month, the server's. */
static void redis_test(void **state) {
  static const int64_t wrong_days[] = {0, 1000, -1000, 20, -20, 3};
  rlc_policy *policy = policy_of(MONTH);
  rlc_limit limit = limit_of(policy, "month");
  int64_t end_us = rlc__calendar_window(&policy->rate[0].calendar,
                                        __real_rlc__clock_wall_us() / S).end_s * S;

  (void)state;
  for (size_t i = 0; i < sizeof wrong_days / sizeof *wrong_days; ++i) {
    rlc_limiter *limiter = open_redis(); /* one that has not met the server */
    rlc_decision d = RLC_DECISION_INIT;
    int64_t left_us;

    wrong_us = wrong_days[i] * DAY;
    assert_int_equal(rlc_limiter_check(limiter, &limit, 1, NULL, &d), 0);
    left_us = end_us - __real_rlc__clock_wall_us();
    assert_int_equal(d.source, RLC_SOURCE_STORE);
    assert_int_equal(d.allowed, i < 5);
    assert_int_equal(d.result.remaining, i < 5 ? 4 - i : 0);
    assert_true(d.result.reset_us >= left_us && d.result.reset_us < left_us + 60 * S);
    rlc_limiter_del(limiter);
  }
  wrong_us = 0;
  rlc_policy_del(policy);
}

/* The same for several limits at once, which another script decides: all or nothing. */
static void several_test(void **state) {
  rlc_policy *month = policy_of(MONTH), *minutes = policy_of("3/h,100/year algorithm=fixed-window");
  rlc_limit limits[2] = {limit_of(month, "a"), limit_of(minutes, "b")};
  rlc_result results[2] = {RLC_RESULT_INIT, RLC_RESULT_INIT};
  int denied = 0;

  (void)state;
  limits[0].cost = 2;
  for (int i = 0; i < 6; ++i) {
    rlc_limiter *limiter = open_redis();
    rlc_decision d = RLC_DECISION_INIT;

    wrong_us = (i - 3) * 700 * DAY;
    assert_int_equal(rlc_limiter_check(limiter, limits, 2, results, &d), 0);
    denied += !d.allowed;
    rlc_limiter_del(limiter);
  }
  wrong_us = 0;
  assert_int_equal(denied, 4);
  assert_int_equal(results[0].remaining, 1);
  assert_int_equal(results[1].remaining, 1);
  rlc_policy_del(month);
  rlc_policy_del(minutes);
}

/* An embedded table's calendar goes by the wall clock, its other limits by one that nobody sets. */
static void table_test(void **state) {
  rlc_limiter *limiter = open_limiter("memory:");
  rlc_policy *month = policy_of(MONTH), *hour = policy_of("5/999day algorithm=fixed-window");
  rlc_limit limits[2] = {limit_of(month, "a"), limit_of(hour, "b")};
  rlc_result results[2] = {RLC_RESULT_INIT, RLC_RESULT_INIT};

  (void)state;
  for (int i = 0; i < 5; ++i) {
    assert_int_equal(rlc_limiter_check(limiter, limits, 2, results, NULL), 0);
  }
  assert_int_equal(results[0].remaining, 0);
  assert_int_equal(rlc_limiter_check(limiter, limits, 2, results, NULL), 0);
  assert_false(results[0].allowed || results[1].allowed);
  wrong_us = 33 * DAY;
  assert_int_equal(rlc_limiter_check(limiter, limits, 2, results, NULL), 0);
  assert_true(results[0].allowed);
  assert_false(results[1].allowed);
  assert_int_equal(rlc_limiter_check(limiter, limits, 1, results, NULL), 0);
  assert_int_equal(results[0].remaining, 4);
  wrong_us = 0; /* set back: what the month ahead has counted holds for this one */
  assert_int_equal(rlc_limiter_check(limiter, limits, 1, results, NULL), 0);
  assert_int_equal(results[0].remaining, 3);
  rlc_limiter_del(limiter);
  rlc_policy_del(month);
  rlc_policy_del(hour);
}

static int start_server(void **state) {
  (void)state;
  return redis_server_start(&server);
}

static int stop_server(void **state) {
  (void)state;
  redis_server_stop(&server);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(redis_test),
      cmocka_unit_test(several_test),
      cmocka_unit_test(table_test),
  };

  return cmocka_run_group_tests_name("clocks", tests, start_server, stop_server);
}
