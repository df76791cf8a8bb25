/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "redis_server.h"
#include "rlcore/rlcore.h"

/* Real traffic, 10,000 requests of 1,753 clients in the order of a web server's log (which is not
 * quite that of time), decided by each store: the same decisions, to the last microsecond. */

#define REQUESTS 10000

static struct {
  int64_t second;
  unsigned client;
} traffic[REQUESTS];

static rlc_decision told[REQUESTS]; /* by memory: */
static int64_t now;

static int64_t passed_in(void *user) {
  (void)user;
  return now;
}

static int read_traffic(void **state) {
  const char *folder = getenv("RLC_VECTORS") != NULL ? getenv("RLC_VECTORS") : "tests/vectors";
  char file[512];
  char line[64];
  FILE *in;
  int n = 0;

  (void)state;
  snprintf(file, sizeof file, "%s/traffic.tsv", folder);
  in = fopen(file, "r");
  if (in == NULL) {
    print_error("%s: %s\n", file, strerror(errno));
    return -1;
  }
  while (fgets(line, sizeof line, in) != NULL && n < REQUESTS) {
    long long second;

    n += sscanf(line, "%lld\t%u", &second, &traffic[n].client) == 2;
    if (n > 0) {
      traffic[n - 1].second = second;
    }
  }
  fclose(in);
  return n == REQUESTS ? 0 : -1;
}

/* Decides all requests; each but memory: is held against what memory: said. Returns how many were
 * denied. */
static int replay(const char *url, const char *text) {
  rlc_limiter *limiter;
  rlc_options *options;
  rlc_policy *policy;
  char why[RLC_MESSAGE_SIZE] = "";
  int denied = 0;

  assert_int_equal(rlc_options_new(&options, NULL), 0);
  rlc_options_set_test_clock(options, passed_in, NULL);
  if (rlc_limiter_new(&limiter, url, options, why, sizeof why) != 0 ||
      rlc_policy_new(&policy, NULL, text, NULL, why, sizeof why) != 0) {
    fail_msg("%s", why);
  }
  for (int i = 0; i < REQUESTS; ++i) {
    rlc_limit limit = RLC_LIMIT_INIT;
    rlc_decision d = RLC_DECISION_INIT;

    now = traffic[i].second * 1000000 + i % 1000 * 997;
    limit.policy = policy;
    limit.key = &traffic[i].client;
    limit.key_len = sizeof traffic[i].client;
    assert_int_equal(rlc_limiter_check(limiter, &limit, 1, NULL, &d), 0);
    denied += !d.allowed;
    if (strcmp(url, "memory:") == 0) {
      told[i] = d;
    } else if (memcmp(&told[i], &d, sizeof d) != 0) {
      fail_msg("%s %s: request %d of client %u: another decision than memory's", url, text, i,
               traffic[i].client);
    }
  }
  rlc_policy_del(policy);
  rlc_limiter_del(limiter);
  rlc_options_del(options);
  return denied;
}

static void replay_all(const char *redis, const char *text) {
  int denied = replay("memory:", text);

  assert_true(denied > 100 && denied < REQUESTS - 1000); /* else it would show little */
  assert_int_equal(replay("shm:", text), denied);
  assert_int_equal(replay(redis, text), denied);
}

/* Every algorithm, and a stack, says the same in memory, shared memory and Redis. */
static void same_decisions_test(void **state) {
  static const char *const texts[] = {
      "20/min",
      "7/13s burst=9",
      "20/min algorithm=fixed-window",
      "20/min algorithm=sliding-window",
      "5/10s,40/h",
  };
  redis_server server;
  char url[200];

  (void)state;
  assert_int_equal(redis_server_start(&server), 0);
  snprintf(url, sizeof url, "%s?fail=closed&timeout=10s", server.url);
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; ++i) {
    replay_all(url, texts[i]);
  }
  redis_server_stop(&server);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(same_decisions_test),
  };
  return cmocka_run_group_tests_name("replay", tests, read_traffic, NULL);
}
