/* SPDX-License-Identifier: Apache-2.0 */
#include "store/redis_codec.h"

#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

#define US INT64_C(1000000)

/* --- the argument -------------------------------------------------------------------------- */

/* A double as eight little-endian bytes. Every number here is a whole one below 2^53. */
static unsigned char *put(unsigned char *at, uint64_t value) {
  double number = (double)value;
  uint64_t bits;

  memcpy(&bits, &number, sizeof bits);
  for (int i = 0; i < 8; ++i) {
    *at++ = (unsigned char)(bits >> 8 * i);
  }
  return at;
}

/* A cost in ticks. One above the capacity is cut to the least that never fits. */
static uint64_t bucket_cost(const rlc__rate *rate, uint64_t cost) {
  return (cost > rate->capacity ? rate->capacity + 1 : cost) * rate->unit_ticks;
}

/* The four numbers of one rate. */
static unsigned char *put_rate(unsigned char *at, const rlc_policy *policy, const rlc__rate *rate,
                               uint64_t cost) {
  if (policy->algorithm == RLC_TOKEN_BUCKET) {
    at = put(at, bucket_cost(rate, cost));
    at = put(at, rate->capacity_ticks);
    at = put(at, rate->tick_num);
    return put(at, rate->tick_den);
  }
  at = put(at, cost);
  at = put(at, rate->quota);
  at = put(at, rate->window_s);
  return put(at, policy->algorithm == RLC_SLIDING_WINDOW ? rate->step_us : 0);
}

static const rlc__script *single_script(rlc_algorithm algorithm) {
  switch (algorithm) {
  case RLC_FIXED_WINDOW:
    return &rlc__script_fixed_window;
  case RLC_SLIDING_WINDOW:
    return &rlc__script_sliding_window;
  case RLC_TOKEN_BUCKET:
    break;
  }
  return &rlc__script_token_bucket;
}

static int is_single(const rlc__call *call) {
  return call->n == 1 && call->items[0].policy->rates == 1 &&
         (call->op == RLC__OP_CHECK || call->op == RLC__OP_PEEK);
}

static int is_stack(const rlc__call *call) {
  return call->n == 1 && call->items[0].policy->rates > 1 &&
         call->items[0].policy->algorithm == RLC_TOKEN_BUCKET &&
         (call->op == RLC__OP_CHECK || call->op == RLC__OP_PEEK);
}

/* The rates of |policy| as token-bucket-stack.lua reads them. */
static unsigned char *put_stack(unsigned char *at, const rlc_policy *policy, uint64_t cost) {
  int ticks = 0;

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
  return ticks ? put(at, 0) : at;
}

/* The limits of |call| as several.lua reads them. */
static unsigned char *put_items(unsigned char *at, const rlc__call *call, int asks) {
  for (size_t i = 0; i < call->n; ++i) {
    const rlc_policy *policy = call->items[i].policy;

    at = put(at, policy->algorithm);
    at = put(at, policy->rates);
    for (unsigned j = 0; j < policy->rates; ++j) {
      at = put_rate(at, policy, &policy->rate[j], asks ? 0 : call->items[i].cost);
    }
  }
  return at;
}

/* The rest of |command|, whose first argument is packed from |arg| up to |end|. */
static void finish(const rlc__call *call, const unsigned char *arg, const unsigned char *end,
                   rlc__command *command) {
  command->arg = arg;
  command->arg_len = (size_t)(end - arg);
  command->now_len = 0;
  if (call->now_us > 0) {
    command->now_len = (size_t)snprintf(command->now, sizeof command->now, "%" PRId64,
                                        call->now_us);
  }
}

void rlc__codec_encode(const rlc__call *call, int part, unsigned char *arg,
                       rlc__command *command) {
  unsigned char *at = arg;
  int asks = call->op == RLC__OP_PEEK;

  if (!part && is_single(call)) {
    const rlc_policy *policy = call->items[0].policy;

    command->script = single_script(policy->algorithm);
    at = put_rate(at, policy, &policy->rate[0], asks ? 0 : call->items[0].cost);
    if (policy->rate[0].tick_num == policy->rate[0].tick_den &&
        policy->algorithm == RLC_TOKEN_BUCKET) {
      at -= 16; /* a tick is a microsecond: the script is the cheaper for not being told */
    }
  } else if (!part && is_stack(call)) {
    command->script = &rlc__script_token_bucket_stack;
    at = put_stack(at, call->items[0].policy, asks ? 0 : call->items[0].cost);
  } else {
    command->script = &rlc__script_several;
    at = put(at, call->op == RLC__OP_REFUND ? 2 : call->op == RLC__OP_CHARGE);
    at = put_items(at, call, asks);
  }
  finish(call, arg, at, command);
}

void rlc__codec_encode_take_back(const rlc__call *call, int64_t charged_us, unsigned char *arg,
                                 rlc__command *command) {
  unsigned char *at = put(arg, 3);

  command->script = &rlc__script_several;
  at = put(at, (uint64_t)charged_us);
  finish(call, arg, put_items(at, call, 0), command);
}

/* --- the reply ----------------------------------------------------------------------------- */

/* A reply's integer of |lowest| to |highest|. Returns 0 for anything else. */
static int get(const redisReply *reply, int64_t lowest, int64_t highest, int64_t *out) {
  if (reply == NULL || reply->type != REDIS_REPLY_INTEGER || reply->integer < lowest ||
      reply->integer > highest) {
    return 0;
  }
  *out = reply->integer;
  return 1;
}

static int is_array(const redisReply *reply, size_t n) {
  return reply->type == REDIS_REPLY_ARRAY && reply->elements == n;
}

/* Undoes the scripts' "if denied, minus that minus 1". Returns whether it was allowed. */
static int unsign(int64_t *value) {
  if (*value >= 0) {
    return 1;
  }
  *value = -(*value + 1);
  return 0;
}

#define MOST (INT64_C(1) << 53)

/* A single script's reply: the state words, the verdict, and a time at which they stand so. Where
 * the reply tells only of differences, a time is made up that has them. */
static int get_single(const rlc_policy *policy, const redisReply *reply, uint64_t *state,
                      int64_t *now_us, int *allowed) {
  const rlc__rate *rate = &policy->rate[0];
  int64_t window_us = (int64_t)rate->window_us;
  int64_t value = 0;
  int64_t before = 0;
  int64_t left = 1;

  switch (policy->algorithm) {
  case RLC_TOKEN_BUCKET:
    if (get(reply, -MOST, MOST, &value)) {
      *allowed = unsign(&value);
      *now_us = 1;
      value += *now_us;
    } else if (is_array(reply, 2) && get(reply->element[0], -MOST, MOST, &value) &&
               get(reply->element[1], 0, MOST, now_us)) {
      *allowed = unsign(&value);
    } else {
      return RLC__ERR_PROTOCOL;
    }
    state[0] = (uint64_t)value;
    return 0;
  case RLC_FIXED_WINDOW:
    if (get(reply, -MOST, MOST, &value)) {
      *allowed = unsign(&value);
      left = value % window_us + 1;
      value /= window_us;
    } else if (is_array(reply, 2) && get(reply->element[0], -MOST, MOST, &value) &&
               get(reply->element[1], 1, window_us, &left)) {
      *allowed = unsign(&value);
    } else {
      return RLC__ERR_PROTOCOL;
    }
    break;
  case RLC_SLIDING_WINDOW:
    if (!is_array(reply, 3) || !get(reply->element[0], -MOST, MOST, &value) ||
        !get(reply->element[1], 0, UINT32_MAX, &before) ||
        !get(reply->element[2], 1, window_us, &left)) {
      return RLC__ERR_PROTOCOL;
    }
    *allowed = unsign(&value);
    break;
  }
  if (value > (int64_t)UINT32_MAX) {
    return RLC__ERR_PROTOCOL;
  }
  state[0] = value == 0 && before == 0 ? 0 : rate->window_s << 32 | (uint64_t)value;
  state[1] = (uint64_t)before;
  *now_us = window_us - left;
  return 0;
}

/* A little-endian double that is a whole number within |most| of 0. Returns 0 for anything else. */
static int get_double(const char *at, int64_t most, int64_t *out) {
  uint64_t bits = 0;
  double number;

  for (int i = 0; i < 8; ++i) {
    bits |= (uint64_t)(unsigned char)at[i] << 8 * i;
  }
  memcpy(&number, &bits, sizeof number);
  if (!(number >= (double)-most && number <= (double)most)) {
    return 0;
  }
  *out = (int64_t)number;
  return (double)*out == number;
}

/* The reply of token-bucket-stack.lua: the state words, the verdict, and the time. */
static int get_stack(const rlc_policy *policy, const redisReply *reply, uint64_t *state,
                     int64_t *now_us, int *allowed) {
  int64_t value;

  if (reply->type != REDIS_REPLY_STRING || (size_t)reply->len != (policy->rates + 1) * 8u ||
      !get_double(reply->str + policy->rates * 8u, MOST, now_us)) {
    return RLC__ERR_PROTOCOL;
  }
  for (unsigned i = 0; i < policy->rates; ++i) {
    if (!get_double(reply->str + i * 8u, MOST, &value) || value < 0) {
      return RLC__ERR_PROTOCOL;
    }
    state[i] = (uint64_t)value;
  }
  *allowed = *now_us > 0;
  *now_us = *now_us < 0 ? -*now_us : *now_us;
  return 0;
}

/* The words of one limit from several.lua's flat reply, beginning at |*at|. */
static int get_words(const rlc_policy *policy, const redisReply *reply, size_t *at,
                     uint64_t *state) {
  size_t numbers = policy->algorithm == RLC_TOKEN_BUCKET ? 1u : (size_t)policy->algorithm;

  for (unsigned i = 0; i < policy->rates; ++i) {
    int64_t value[3] = {0};

    for (size_t k = 0; k < numbers; ++k, ++*at) {
      if (*at >= reply->elements ||
          !get(reply->element[*at], 0, numbers == 1 ? MOST : UINT32_MAX, &value[k])) {
        return RLC__ERR_PROTOCOL;
      }
    }
    if (numbers == 1) {
      *state++ = (uint64_t)value[0];
    } else {
      *state++ = (uint64_t)value[0] << 32 | (uint64_t)value[1];
    }
    if (numbers == 3) {
      *state++ = (uint64_t)value[2];
    }
  }
  return 0;
}

static void describe(const rlc__call *call, rlc__item *item, const uint64_t *state, int64_t now_us,
                     int allowed) {
  uint64_t copy[RLC__STATE_WORDS] = {0};

  if (call->op == RLC__OP_PEEK || !allowed) {
    /* The script answered for the whole call, or was asked about nothing: what this limit alone
     * says follows from its state. */
    memcpy(copy, state, sizeof copy);
    allowed = rlc__algorithm_step(item->policy, copy, RLC__OP_PEEK, now_us, item->cost) &
              RLC__STEP_ALLOWED;
  }
  rlc__algorithm_describe(item->policy, state, now_us, item->cost, allowed, &item->result);
  item->result.source = RLC_SOURCE_STORE;
}

int rlc__codec_decode(const rlc__command *command, rlc__call *call, const redisReply *reply) {
  int64_t now_us;
  int64_t verdict;
  int64_t all = 1;
  size_t at = 2;

  if (command->script != &rlc__script_several) {
    uint64_t state[RLC__STATE_WORDS] = {0};
    int allowed = 0;
    int rv = command->script == &rlc__script_token_bucket_stack
                 ? get_stack(call->items[0].policy, reply, state, &now_us, &allowed)
                 : get_single(call->items[0].policy, reply, state, &now_us, &allowed);

    if (rv == 0) {
      describe(call, &call->items[0], state, now_us, allowed);
    }
    return rv;
  }
  if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 2 ||
      !get(reply->element[0], 0, 1, &verdict) || !get(reply->element[1], 0, MOST, &now_us)) {
    return RLC__ERR_PROTOCOL;
  }
  for (size_t i = 0; i < call->n; ++i) {
    uint64_t state[RLC__STATE_WORDS] = {0};

    if (get_words(call->items[i].policy, reply, &at, state) != 0) {
      return RLC__ERR_PROTOCOL;
    }
    describe(call, &call->items[i], state, now_us, verdict != 0);
    all &= call->items[i].result.allowed;
  }
  /* What was not charged must not pass, nor the other way round. */
  if (at != reply->elements || (call->op == RLC__OP_CHECK && all != verdict)) {
    return RLC__ERR_PROTOCOL;
  }
  return 0;
}

int64_t rlc__codec_undo(rlc__call *call, const redisReply *reply) {
  int64_t now_us = reply->element[1]->integer;
  size_t at = 2;

  for (size_t i = 0; i < call->n; ++i) {
    rlc__item *item = &call->items[i];
    uint64_t state[RLC__STATE_WORDS] = {0};

    (void)get_words(item->policy, reply, &at, state); /* it has been decoded once */
    (void)rlc__algorithm_step(item->policy, state, RLC__OP_REFUND, now_us, item->cost);
    describe(call, item, state, now_us, 0);
  }
  return now_us;
}
