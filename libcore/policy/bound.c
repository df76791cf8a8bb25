/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/policy.h"

__extension__ typedef unsigned __int128 uint128;

/* spec.md beside the algorithms derives each of these. All count what passes from one moment to
 * another at most |span| microseconds later, both included. */

/* What the bucket holds, and what refills in the ticks that so long a span touches at most. */
static uint128 most_of_bucket(const rlc__rate *rate, uint64_t span) {
  uint128 ticks = ((uint128)span * rate->tick_num + rate->tick_den - 1) / rate->tick_den;

  return rate->capacity + ticks / rate->unit_ticks;
}

/* The shortest window of the rate, in microseconds. */
static uint64_t shortest_window(const rlc__rate *rate) {
  /* A day less two hours is what the widest clock change of any zone leaves; and a third, for one to
   * come. */
  const uint64_t hours = 3;
  uint64_t days = 1;

  switch (rate->calendar.span) {
  case RLC__SPAN_SECONDS:
    return rate->window_us;
  case RLC__SPAN_DAY:
    break;
  case RLC__SPAN_WEEK:
    days = 7;
    break;
  case RLC__SPAN_MONTHS:
    days = rlc__months_fewest_days(rate->calendar.months);
    break;
  }
  return (days * 24 - hours) * UINT64_C(3600000000);
}

/* A quota in each window that so long a span touches at most. */
static uint128 most_of_windows(const rlc__rate *rate, uint64_t span) {
  uint64_t shortest = shortest_window(rate);
  uint64_t windows = span / shortest + (span % shortest != 0) + 1;

  return (uint128)windows * rate->quota;
}

/* What a window has room for when |steps| of the one before, which took |before|, still weigh. */
static uint64_t room(const rlc__rate *rate, uint64_t before, uint64_t steps) {
  return rate->quota - (before * steps + rate->steps - 1) / rate->steps;
}

/* The quota in the last microsecond of a window; in the last of each that follows what then has
 * room; and so at the end of the span. What one window takes more, the next takes less by no more,
 * so that to take all is best. From the second on, the windows between take two numbers at most by
 * turns. */
static uint128 most_of_sliding(const rlc__rate *rate, uint64_t span) {
  uint128 sum = rate->quota;
  uint64_t last = rate->quota;
  uint64_t whole, left, pair[2];

  if (span == 0) {
    return sum;
  }
  whole = (span - 1) / rate->window_us;
  for (int i = 0; i < 3 && whole > 0; ++i, --whole) {
    last = room(rate, last, 1);
    sum += last;
  }
  if (whole > 0) {
    pair[1] = room(rate, last, 1);
    pair[0] = room(rate, pair[1], 1);
    sum += (uint128)(whole - whole / 2) * pair[1] + (uint128)(whole / 2) * pair[0];
    last = pair[whole % 2];
  }
  left = (rate->window_us - (span - 1) % rate->window_us + rate->step_us - 1) / rate->step_us;
  return sum + room(rate, last, left < rate->steps ? left : rate->steps);
}

/* A quota at each of the moments that lie a window apart. */
static uint128 most_of_log(const rlc__rate *rate, uint64_t span) {
  return ((uint128)(span / rate->window_us) + 1) * rate->quota;
}

int rlc_policy_get_bound(const rlc_policy *policy, unsigned index, uint64_t span_us,
                         uint64_t *most) {
  uint128 bound = 0;

  if (index >= policy->rates) {
    return RLC_ERR_INVALID;
  }
  switch (policy->algorithm) {
  case RLC_TOKEN_BUCKET:
    bound = most_of_bucket(&policy->rate[index], span_us);
    break;
  case RLC_FIXED_WINDOW:
    bound = most_of_windows(&policy->rate[index], span_us);
    break;
  case RLC_SLIDING_WINDOW:
    bound = most_of_sliding(&policy->rate[index], span_us);
    break;
  case RLC_SLIDING_LOG:
    bound = most_of_log(&policy->rate[index], span_us);
    break;
  case RLC_CONCURRENCY: /* slots that are given back are taken again, as often as that goes */
    bound = span_us == 0 ? policy->rate[index].quota : UINT64_MAX;
    break;
  }
  *most = bound < UINT64_MAX ? (uint64_t)bound : UINT64_MAX;
  return 0;
}
