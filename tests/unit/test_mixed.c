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
#include "redis_server.h"
#include "rlcore/rlcore.h"

/* Random calls to memory: and redis: side by side, of one to three limits over few keys and groups,
 * with costs from none to too much, a clock that goes both ways, and policies that change under their
 * name. Both say the same, to the last microsecond. */

#define CALLS 15000

static const char *const texts[][3] = {
    {"10/min", "400/h burst=3", "7/13s burst=9"},
    {"20/min algorithm=fixed-window", "5/10s algorithm=fixed-window",
     "1000000000/h algorithm=fixed-window"},
    {"12/min algorithm=sliding-window", "5/min algorithm=sliding-window",
     "30/20s algorithm=sliding-window"},
    {"6/s,40/min", "9/min,70/h", "2/s,40/10min"},
    {"20/day algorithm=fixed-window align=calendar tz=Asia/Kathmandu",
     "9/month algorithm=fixed-window tz=America/New_York",
     "20/day algorithm=fixed-window align=calendar tz=Asia/Kolkata"},
    {"4/min,30/week algorithm=fixed-window align=calendar tz=Europe/Paris",
     "4/min,30/month algorithm=fixed-window anchor=21", "4/min,30/h algorithm=fixed-window"},
    {"12/min algorithm=sliding-log", "400/h algorithm=sliding-log", "5/10s algorithm=sliding-log"},
    {"6/s,40/min algorithm=sliding-log", "9/min,70/h algorithm=sliding-log",
     "90/10min,2/s algorithm=sliding-log"},
    {"12/min algorithm=concurrency", "5/7s algorithm=concurrency", "100/h algorithm=concurrency"},
};
#define FAMILIES (sizeof texts / sizeof texts[0])

static rlc_policy *policies[FAMILIES][3];

/* Up to three limits of different families, so that no state stands twice. */
static size_t draw_limits(rlc_limit *limits, const char **described) {
  static char text[400];
  static const char *const names[FAMILIES] = {"bucket", "fixed", "sliding", "stack",
                                               "calendar", "mixed", "log", "logs", "slots"};
  static const char *const keys[3] = {"a", "b", "c"};
  static const uint64_t costs[] = {0, 0, 1, 1, 1, 2, 3, 5, 12, 400000000, 1000000000};
  size_t n = 1 + draw(3);
  unsigned first = draw(FAMILIES);
  size_t len = 0;

  for (size_t i = 0; i < n; ++i) {
    unsigned family = (first + (unsigned)i) % FAMILIES;

    limits[i] = (rlc_limit)RLC_LIMIT_INIT;
    limits[i].policy = policies[family][draw(8) == 0 ? 1 + draw(2) : 0];
    limits[i].name = names[family];
    limits[i].key = keys[draw(3)];
    limits[i].key_len = 1;
    limits[i].group = "ab";
    limits[i].group_len = draw(6) / 3 * (1 + draw(2));
    limits[i].cost = costs[draw(sizeof costs / sizeof costs[0])];
    len += (size_t)snprintf(text + len, sizeof text - len, " [%s key %s group %.*s cost %llu]",
                            rlc_policy_get_text(limits[i].policy), (const char *)limits[i].key,
                            (int)limits[i].group_len, (const char *)limits[i].group,
                            (unsigned long long)limits[i].cost);
  }
  *described = text;
  return n;
}

static int call(rlc_limiter *limiter, unsigned op, const rlc_limit *limits, size_t n,
                rlc_result *results, rlc_decision *d) {
  switch (op) {
  case 0:
    return rlc_limiter_charge(limiter, limits, n, results, d);
  case 1:
    return rlc_limiter_refund(limiter, limits, n, results, d);
  case 2:
    return rlc_limiter_peek(limiter, limits, n, results, d);
  default:
    return rlc_limiter_check(limiter, limits, n, results, d);
  }
}

static void random_calls_test(void **state) {
  static const int64_t steps[] = {0, 0, 1, 999999, 1000000, 142857, 7000000, 61000000, -1,
                                  -5000000, -90000000, 7200000000};
  redis_server server;
  rlc_limiter *limiter[2];
  char url[200];
  unsigned denied = 0;

  (void)state;
  assert_int_equal(redis_server_start(&server), 0);
  snprintf(url, sizeof url, "%s?fail=closed&timeout=10s", server.url);
  limiter[0] = open_limiter("memory:");
  limiter[1] = open_limiter(url);
  for (int i = 0; i < CALLS; ++i) {
    rlc_limit limits[3];
    rlc_result results[2][3];
    rlc_decision d[2] = {RLC_DECISION_INIT, RLC_DECISION_INIT};
    const char *described;
    size_t n = draw_limits(limits, &described);
    unsigned op = draw(12);

    now += steps[draw(sizeof steps / sizeof steps[0])];
    for (int k = 0; k < 2; ++k) {
      for (size_t j = 0; j < n; ++j) {
        results[k][j] = (rlc_result)RLC_RESULT_INIT;
      }
      assert_int_equal(call(limiter[k], op, limits, n, results[k], &d[k]), 0);
    }
    denied += !d[0].allowed;
    if (memcmp(results[0], results[1], n * sizeof results[0][0]) != 0 ||
        d[0].allowed != d[1].allowed || d[0].index != d[1].index) {
      for (size_t j = 0; j < n; ++j) {
        print_error("limit %zu: allowed %d %d, left %llu %llu, retry %lld %lld, reset %lld %lld\n",
                    j, results[0][j].allowed, results[1][j].allowed,
                    (unsigned long long)results[0][j].remaining,
                    (unsigned long long)results[1][j].remaining,
                    (long long)results[0][j].retry_us, (long long)results[1][j].retry_us,
                    (long long)results[0][j].reset_us, (long long)results[1][j].reset_us);
      }
      fail_msg("call %d, op %u at %lld: memory and redis differ:%s", i, op, (long long)now,
               described);
    }
  }
  assert_true(denied > CALLS / 10 && denied < CALLS * 9 / 10);
  rlc_limiter_del(limiter[0]);
  rlc_limiter_del(limiter[1]);
  redis_server_stop(&server);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(random_calls_test),
  };
  char why[RLC_MESSAGE_SIZE];
  int failed;

  for (size_t f = 0; f < FAMILIES; ++f) {
    for (size_t i = 0; i < 3; ++i) {
      if (rlc_policy_new(&policies[f][i], NULL, texts[f][i], NULL, why, sizeof why) != 0) {
        fprintf(stderr, "%s\n", why);
        return 1;
      }
    }
  }
  failed = cmocka_run_group_tests_name("mixed", tests, NULL, NULL);
  for (size_t f = 0; f < FAMILIES; ++f) {
    for (size_t i = 0; i < 3; ++i) {
      rlc_policy_del(policies[f][i]);
    }
  }
  return failed;
}
