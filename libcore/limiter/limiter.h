/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_LIMITER_H
#define RLCORE_LIMITER_H

#include "limiter/counters.h"
#include "store/store.h"

struct rlc_limiter {
  rlc_memory memory;
  rlc__store *store;
  rlc__counters *counters;
  int64_t timeout_us; /* 0: the store never waits, and no deadline is needed */
  rlc_clock_fn *clock;
  void *clock_user;
};

/* Sets the deadline, and a test's time, of a call that begins now. */
void rlc__limiter_set_times(rlc_limiter *limiter, rlc__call *call);

#endif
