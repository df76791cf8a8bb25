/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_LIMITER_H
#define RLCORE_LIMITER_H

#include "limiter/batch.h"
#include "limiter/counters.h"
#include "limiter/keeper.h"
#include "limiter/rules.h"
#include "store/store.h"

struct rlc_limiter {
  rlc_memory memory;
  rlc__store *store;
  rlc__counters *counters;
  rlc__keeper *keeper;
  rlc__rules *rules;
  rlc__log log;
  _Atomic int64_t quiet_until_us; /* one lost lease in a while is a warning, the others are not */
  int64_t timeout_us; /* 0: the store never waits, and no deadline is needed */
  rlc_clock_fn *clock;
  void *clock_user;
};

/* Sets the deadline, and a test's time, of a call that begins now. */
void rlc__limiter_set_times(rlc_limiter *limiter, rlc__call *call);

/* Has the store decide |b|, and gives the decision to the caller. Returns as the verbs do. In any case
 * rlc__rules_end follows, when nobody reads the policies of |b| any more. */
int rlc__limiter_decide(rlc_limiter *limiter, rlc__batch *b, rlc_result *results,
                        rlc_decision *decision);

#endif
