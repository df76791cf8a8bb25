/* SPDX-License-Identifier: Apache-2.0 */
#include "store/redis_codec.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "policy/level.h"
#include "store/redis_codec_inside.h"
#include "store/redis_log.h"

#define US INT64_C(1000000)

/* --- the argument -------------------------------------------------------------------------- */

/* A cost in ticks. One above the capacity and its debt is cut to the least that never fits. */
static uint64_t bucket_cost(const rlc__rate *rate, uint64_t cost) {
  return (cost > rate->most ? rate->most + 1 : cost) * rate->unit_ticks;
}

/* Four seconds: the window, where the one before begins, and where the one after ends. */
static unsigned char *put_window(unsigned char *at, const rlc__rate *rate, int64_t about_us) {
  static const int order[4] = {1, 2, 0, 3};
  int64_t bounds[4];

  rlc__calendar_around(&rate->calendar, about_us / US, bounds);
  for (int i = 0; i < 4; ++i) {
    at = put_double(at, (double)bounds[order[i]]);
  }
  return at;
}

/* 2^-level, exact: a double that is nothing but its exponent. */
static unsigned char *put_scale(unsigned char *at, const rlc__rate *rate) {
  double number;
  uint64_t bits = (uint64_t)(1023 - rate->level) << 52;

  memcpy(&number, &bits, sizeof number);
  return put_double(at, number);
}

/* The four numbers of one rate, or six. */
static unsigned char *put_rate(unsigned char *at, const rlc_policy *policy, const rlc__rate *rate,
                               uint64_t cost, int64_t about_us) {
  if (policy->algorithm == RLC_TOKEN_BUCKET) {
    at = put(at, bucket_cost(rate, cost));
    at = put(at, rate->capacity_ticks);
    at = put_scale(at, rate);
    at = put(at, rate->unit_ticks);
    at = put(at, rate->tick_num);
    return put(at, rate->tick_den);
  }
  at = put(at, cost);
  at = put(at, rate->quota);
  if (rate->calendar.span != RLC__SPAN_SECONDS) {
    return put_window(at, rate, about_us);
  }
  at = put(at, rate->window_s);
  return put(at, policy->algorithm == RLC_SLIDING_WINDOW ? rate->step_us : 0);
}

static const rlc__script *single_script(const rlc_policy *policy) {
  switch (policy->algorithm) {
  case RLC_FIXED_WINDOW:
    return policy->is_calendar ? &rlc__script_calendar_window : &rlc__script_fixed_window;
  case RLC_SLIDING_WINDOW:
    return &rlc__script_sliding_window;
  case RLC_SLIDING_LOG:
  case RLC_CONCURRENCY:
    return &rlc__script_log;
  case RLC_TOKEN_BUCKET:
    break;
  }
  return &rlc__script_token_bucket;
}

/* Whether a script for one limit can do it: they know of no debts, but for that of logs, and not all tell
 * the time. */
static int is_one(const rlc__call *call) {
  const rlc_policy *policy = call->items[0].policy;

  return call->n == 1 && !call->receipts &&
         (policy->rate[0].debt == 0 || rlc__is_log(policy->algorithm)) &&
         (call->op == RLC__OP_CHECK || call->op == RLC__OP_PEEK);
}

static int is_single(const rlc__call *call) {
  return call->items[0].policy->rates == 1 && is_one(call);
}

static int is_stack(const rlc__call *call) {
  return call->items[0].policy->rates > 1 &&
         call->items[0].policy->algorithm == RLC_TOKEN_BUCKET && is_one(call);
}

static unsigned char *put_levels(unsigned char *at, const rlc_policy *policy) {
  uint64_t bits = UINT64_C(1) << 62;
  double number;

  for (unsigned i = 0; i < policy->rates; ++i) {
    bits |= (uint64_t)policy->rate[i].level << level_place(i);
  }
  memcpy(&number, &bits, sizeof number);
  return put_double(at, number);
}

/* The rates of |policy| as token-bucket-stack.lua reads them. */
static unsigned char *put_stack(unsigned char *at, const rlc_policy *policy, uint64_t cost) {
  int ticks = 0;

  at = put_levels(at, policy);
  for (unsigned i = 0; i < policy->rates; ++i) {
    at = put(at, bucket_cost(&policy->rate[i], cost));
    ticks |= policy->rate[i].tick_num != policy->rate[i].tick_den;
  }
  for (unsigned i = 0; i < policy->rates; ++i) {
    at = put(at, policy->rate[i].capacity_ticks);
  }
  for (unsigned i = 0; ticks && i < policy->rates; ++i) {
    at = put(at, policy->rate[i].tick_num);
  }
  for (unsigned i = 0; ticks && i < policy->rates; ++i) {
    at = put(at, policy->rate[i].tick_den);
  }
  for (unsigned i = 0; i < policy->rates; ++i) {
    at = put(at, policy->rate[i].unit_ticks);
  }
  if (ticks) {
    *at++ = 0;
  }
  return at;
}

/* The limits of |call| as several.lua reads them. */
static unsigned char *put_items(unsigned char *at, const rlc__call *call, int asks,
                                int64_t about_us) {
  for (size_t i = 0; i < call->n; ++i) {
    const rlc_policy *policy = call->items[i].policy;
    int owes = policy->rate[0].debt > 0 && !rlc__is_log(policy->algorithm);

    at = put(at, policy->algorithm + (owes ? 8u : 0u));
    at = put(at, policy->rates);
    if (rlc__is_log(policy->algorithm)) {
      at = rlc__codec_put_log(at, &call->items[i], asks, call->items[i].charged_us);
      continue;
    }
    for (unsigned j = 0; j < policy->rates; ++j) {
      if (owes) {
        at = put(at, policy->algorithm == RLC_TOKEN_BUCKET ? policy->rate[j].most_ticks
                                                           : policy->rate[j].most);
      }
      at = put_rate(at, policy, &policy->rate[j],
                    asks || call->op == RLC__OP_RENEW ? 0 : call->items[i].cost, about_us);
    }
  }
  return at;
}

static int is_calendar(const rlc__call *call) {
  for (size_t i = 0; i < call->n; ++i) {
    if (call->items[i].policy->is_calendar) {
      return 1;
    }
  }
  return 0;
}

/* What several.lua is to do; with windows of the calendar, and when all of them are known. */
static unsigned char *put_head(unsigned char *at, const rlc__call *call, unsigned what,
                               int64_t about_us) {
  int64_t from_s = INT64_MIN;
  int64_t to_s = INT64_MAX;

  for (size_t i = 0; i < call->n; ++i) {
    const rlc_policy *policy = call->items[i].policy;

    for (unsigned j = 0; policy->is_calendar && j < policy->rates; ++j) {
      int64_t bounds[4];

      if (policy->rate[j].calendar.span != RLC__SPAN_SECONDS) {
        rlc__calendar_around(&policy->rate[j].calendar, about_us / US, bounds);
        from_s = bounds[0] > from_s ? bounds[0] : from_s;
        to_s = bounds[3] < to_s ? bounds[3] : to_s;
      }
    }
  }
  if (to_s == INT64_MAX) {
    return put(at, what);
  }
  at = put(at, what + 4);
  at = put_double(at, (double)from_s);
  return put_double(at, (double)to_s);
}

/* The rest of |command|, whose first argument is packed from |arg| up to |end|. */
static void finish(const rlc__call *call, const unsigned char *arg, const unsigned char *end,
                   rlc__command *command) {
  command->arg = arg;
  command->arg_len = (size_t)(end - arg);
  command->now_len = 0;
  command->is_calendar = is_calendar(call);
  if (call->now_us > 0) {
    command->now_len = (size_t)snprintf(command->now, sizeof command->now, "%" PRId64,
                                        call->now_us);
  }
}

/* How several.lua calls what is to be done. */
static unsigned number_of(rlc__op op) {
  switch (op) {
  case RLC__OP_CHARGE:
    return 1;
  case RLC__OP_REFUND:
    return 2;
  case RLC__OP_TAKE_BACK:
    return 3;
  case RLC__OP_RENEW:
    return 9;
  case RLC__OP_GRANT:
    return 16;
  case RLC__OP_CHECK:
  case RLC__OP_PEEK:
  case RLC__OP_RESET:
    break;
  }
  return 0;
}

void rlc__codec_encode(const rlc__call *call, int part, int64_t about_us, unsigned char *arg,
                       rlc__command *command) {
  unsigned char *at = arg;
  int asks = call->op == RLC__OP_PEEK;

  if (!part && is_single(call)) {
    const rlc_policy *policy = call->items[0].policy;

    command->script = single_script(policy);
    if (rlc__is_log(policy->algorithm)) {
      finish(call, arg, rlc__codec_put_one_log(at, &call->items[0], asks), command);
      return;
    }
    at = put_rate(at, policy, &policy->rate[0], asks ? 0 : call->items[0].cost, about_us);
    if (policy->rate[0].tick_num == policy->rate[0].tick_den &&
        policy->algorithm == RLC_TOKEN_BUCKET) {
      at -= 16; /* a tick is a microsecond: the script is the cheaper for not being told */
    }
  } else if (!part && is_stack(call)) {
    command->script = &rlc__script_token_bucket_stack;
    at = put_stack(at, call->items[0].policy, asks ? 0 : call->items[0].cost);
  } else {
    command->script = &rlc__script_several;
    at = put_head(at, call, number_of(call->op), about_us);
    if (call->op == RLC__OP_TAKE_BACK) { /* logs read each item's own */
      at = put(at, (uint64_t)call->items[0].charged_us);
    }
    at = put_items(at, call, asks, about_us);
  }
  finish(call, arg, at, command);
}

void rlc__codec_encode_take_back(const rlc__call *call, int64_t charged_us, unsigned char *arg,
                                 rlc__command *command) {
  unsigned char *at = put_head(arg, call, 3, charged_us);
  int64_t left_us[RLC_MAX_LIMITS];

  command->script = &rlc__script_several;
  at = put(at, (uint64_t)charged_us);
  for (size_t i = 0; i < call->n; ++i) {
    left_us[i] = call->items[i].charged_us; /* that of what stays */
    call->items[i].charged_us = charged_us;
  }
  at = put_items(at, call, 0, charged_us);
  for (size_t i = 0; i < call->n; ++i) {
    call->items[i].charged_us = left_us[i];
  }
  finish(call, arg, at, command);
}
