/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_POLICY_H
#define RLCORE_POLICY_H

#include <stdint.h>

#include "policy/ban.h"
#include "policy/calendar.h"
#include "rlcore/rlcore.h"

/*
 * One rate with all constants that the algorithms need, computed once. Times in microseconds.
 *
 * A token bucket counts in ticks. A unit of cost is `unit_ticks` ticks, a whole number, and
 * `tick_num` ticks pass in `tick_den` microseconds, with tick_num <= tick_den <= 2^26 and
 * 2 * tick_num > tick_den, so a tick lasts from one to under two microseconds, and
 *     quota * unit_ticks * tick_den == window_us * tick_num     exactly.
 * Where the window is a whole multiple of the quota, tick_num == tick_den == 1.
 *
 * A sliding window weighs its older counter in `steps` steps of `step_us`, steps <= 2^23,
 * steps = window_us / step_us rounded down, step_us = window_us / 2^23 rounded up.
 *
 * A window of the calendar has no one length: window_s is the longest, clock changes aside.
 */
typedef struct rlc__rate {
  uint64_t quota;          /* 1 .. RLC_MAX_QUOTA */
  uint64_t capacity;       /* burst, or quota */
  uint64_t debt;           /* how far charges may go beyond the capacity */
  uint64_t most;           /* capacity + debt, at most RLC_MAX_QUOTA where there is a debt */
  uint64_t window_us;      /* whole seconds */
  uint64_t window_s;
  uint64_t unit_ticks;     /* token bucket */
  uint64_t tick_num;
  uint64_t tick_den;
  uint64_t capacity_ticks; /* capacity * unit_ticks */
  uint64_t most_ticks;     /* most * unit_ticks, < 2^49 */
  unsigned level;          /* level.h */
  uint64_t step_us;        /* sliding window */
  uint64_t steps;
  rlc__calendar calendar;  /* fixed window; of the span RLC__SPAN_SECONDS unless it has one */
} rlc__rate;

/* The windows a policy may have, in seconds: ten years keep every product below 2^53. */
#define RLC__MAX_WINDOW_S (UINT64_C(3660) * 86400)
/* "10/s,1000/h ..." of RLC_MAX_RATES rates, canonical. */
#define RLC__POLICY_TEXT_SIZE 256
/* base64url characters of the hash that names a limit without a name. */
#define RLC__POLICY_ID_SIZE 8

struct rlc_policy {
  rlc_memory memory;
  _Atomic unsigned held;                /* by how many beside whom it was made for */
  rlc_algorithm algorithm;
  unsigned rates;
  rlc__rate rate[RLC_MAX_RATES];
  rlc__ban ban;
  int is_calendar;                      /* a rate at least has windows of the calendar */
  rlc__zone *zone;                      /* theirs; NULL: UTC */
  char zone_name[RLC__ZONE_NAME + 1];   /* "" for UTC */
  char name[RLC_MAX_NAME + 1];          /* "" without one */
  char text[RLC__POLICY_TEXT_SIZE];     /* canonical */
  char id[RLC__POLICY_ID_SIZE];         /* 7 base64url characters of SHA-256(text) */
};

/* Whether the states of |algorithm| are logs: a time stamp for each unit. */
static inline int rlc__is_log(rlc_algorithm algorithm) {
  return algorithm >= RLC_SLIDING_LOG;
}

/* Fills the computed members of |rate| from quota, capacity, debt and window_s. Returns 0, or -1 where no
 * tick of at least one microsecond divides the unit of cost; then |*nearest| is a quota a little
 * below that can be counted; it is 0 where instead the capacity, or what it is with the debt, is too large
 * for 2^49 ticks. */
int rlc__rate_prepare(rlc__rate *rate, rlc_algorithm algorithm, uint64_t *nearest);

/* Has |policy| live until it was dropped as well as deleted. Returns |policy|. */
const rlc_policy *rlc__policy_keep(const rlc_policy *policy);
void rlc__policy_drop(const rlc_policy *policy);

/* Makes |out| this machine's share 1/|parts| of |whole|: quotas, bursts and debts divided, rounded down,
 * the first two at least 1. Returns 0, RLC_ERR_POLICY if the share cannot be counted, or RLC_ERR_NOMEM. */
int rlc__policy_share(rlc_policy **out, const rlc_policy *whole, uint64_t parts);

#endif
