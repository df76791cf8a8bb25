/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DRAWN_HELP_H
#define DRAWN_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs those four first */
#include <cmocka.h>

#include "rlcore/rlcore.h"

/* For tests that draw calls, the same ones each time, to stores whose time they pass in. */

static int64_t now = INT64_C(1790000000000000);
static uint64_t state_of_random = 88172645463325252u;

static inline int64_t passed_in(void *user) {
  (void)user;
  return now;
}

static inline unsigned draw(unsigned below) {
  state_of_random ^= state_of_random << 13;
  state_of_random ^= state_of_random >> 7;
  state_of_random ^= state_of_random << 17;
  return (unsigned)(state_of_random % below);
}

static inline rlc_limiter *open_limiter(const char *url) {
  rlc_limiter *limiter;
  rlc_options *options;
  char why[RLC_MESSAGE_SIZE];

  assert_int_equal(rlc_options_new(&options, NULL), 0);
  rlc_options_set_test_clock(options, passed_in, NULL);
  if (rlc_limiter_new(&limiter, url, options, why, sizeof why) != 0) {
    fail_msg("%s: %s", url, why);
  }
  rlc_options_del(options);
  return limiter;
}

#endif
