/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The checks that check_cost.py has callgrind count: bench_check STORE CHARGED POLICY...
 *
 * Each policy's limit is charged so many units first; then it is checked again and again, and what a check
 * has charged is given back. Only rlc_limiter_check is counted.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rlcore/rlcore.h"

#define CALLS 200

static void die(const char *why) {
  fprintf(stderr, "bench_check: %s\n", why);
  exit(2);
}

int main(int argc, char **argv) {
  rlc_limit limits[RLC_MAX_LIMITS];
  rlc_limiter *limiter;
  rlc_decision decision = RLC_DECISION_INIT;
  char why[RLC_MESSAGE_SIZE];
  size_t n = argc > 3 ? (size_t)argc - 3 : 0;
  uint64_t charged = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
  int allowed = -1;

  if (n < 1 || n > RLC_MAX_LIMITS) {
    die("usage: bench_check STORE CHARGED POLICY...");
  }
  if (rlc_limiter_new(&limiter, argv[1], NULL, why, sizeof why) != 0) {
    die(why);
  }
  for (size_t i = 0; i < n; ++i) {
    rlc_policy *policy;

    if (rlc_policy_new(&policy, NULL, argv[3 + i], NULL, why, sizeof why) != 0) {
      die(why);
    }
    limits[i] = (rlc_limit)RLC_LIMIT_INIT;
    limits[i].policy = policy;
    limits[i].key = "203.0.113.195";
    limits[i].key_len = strlen("203.0.113.195");
    limits[i].cost = charged;
  }
  if (rlc_limiter_charge(limiter, limits, n, NULL, &decision) < 0) {
    die("the charge failed");
  }
  for (size_t i = 0; i < n; ++i) {
    limits[i].cost = 1;
  }
  (void)rlc_limiter_peek(limiter, limits, n, NULL, &decision); /* nothing is done for the first time below */
  for (int call = 0; call < CALLS; ++call) {
    if (rlc_limiter_check(limiter, limits, n, NULL, &decision) != 0 ||
        (allowed >= 0 && decision.allowed != allowed)) {
      die("not every check was answered alike");
    }
    allowed = decision.allowed;
    if (allowed && rlc_limiter_refund(limiter, limits, n, NULL, &decision) != 0) {
      die("the refund failed");
    }
  }
  printf("%d %d\n", CALLS, allowed);
  for (size_t i = 0; i < n; ++i) {
    rlc_policy_del((rlc_policy *)limits[i].policy);
  }
  rlc_limiter_del(limiter);
  return 0;
}
