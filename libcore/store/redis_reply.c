/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/error.h"
#include "policy/level.h"
#include "store/redis_codec.h"
#include "store/redis_codec_inside.h"
#include "store/redis_log.h"

#define US INT64_C(1000000)

/* Undoes the scripts' "if denied, minus that minus 1". Returns whether it was allowed. */
static int unsign(int64_t *value) {
  if (*value >= 0) {
    return 1;
  }
  *value = -(*value + 1);
  return 0;
}

#define MOST (INT64_C(1) << 53)

/* What a double that keeps a bucket's state has as its exponent at level 0. */
#define STATE_EXPONENT (1023u + 52u)

static uint64_t bits_of(const char *at) {
  uint64_t bits = 0;

  for (int i = 0; i < 8; ++i) {
    bits |= (uint64_t)(unsigned char)at[i] << 8 * i;
  }
  return bits;
}

/* The state of a bucket from its double, (2^52 + microsecond) * 2^level, or 0. Returns 0 for anything
 * else. */
static int get_word(const char *at, uint64_t *word) {
  uint64_t bits = bits_of(at);
  uint64_t level = (bits >> 52) - STATE_EXPONENT;

  if (bits == 0) {
    *word = 0;
    return 1;
  }
  if (level >= RLC__LEVELS) { /* so is what lies below it, and below 0 */
    return 0;
  }
  *word = (bits & ((UINT64_C(1) << 52) - 1)) << RLC__LEVEL_BITS | level;
  return 1;
}

static uint64_t own_word(const rlc__rate *rate, int64_t full_us) {
  return (uint64_t)full_us << RLC__LEVEL_BITS | rate->level;
}

int64_t rlc__codec_elsewhen(const rlc__command *command, const redisReply *reply) {
  int64_t now_us = 0;

  if (!command->is_calendar || !is_array(reply, 1) ||
      !get(reply->element[0], 0, MOST, &now_us)) {
    return 0;
  }
  return now_us;
}

/* calendar-window.lua's reply: the state words, the verdict, and the time. */
static int get_calendar(const rlc_policy *policy, const redisReply *reply, uint64_t *state,
                        int64_t *now_us, int *allowed) {
  int64_t value = 0;
  rlc__window w;

  if (!is_array(reply, 2) || !get(reply->element[0], -MOST, MOST, &value) ||
      !get(reply->element[1], 0, MOST, now_us)) {
    return RLC__ERR_PROTOCOL;
  }
  *allowed = unsign(&value);
  if (value > (int64_t)UINT32_MAX) {
    return RLC__ERR_PROTOCOL;
  }
  w = rlc__calendar_window(&policy->rate[0].calendar, *now_us / US);
  state[0] = value == 0 ? 0 : (uint64_t)w.end_s << 32 | (uint64_t)value;
  return 0;
}

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
    } else if (is_array(reply, 2) && reply->element[0]->type == REDIS_REPLY_STRING &&
               reply->element[0]->len == 8 && get(reply->element[1], 0, MOST, now_us) &&
               get_word(reply->element[0]->str, state)) {
      *allowed = 0; /* or it was only asked: the state says */
      return 0;
    } else if (is_array(reply, 2) && get(reply->element[0], -MOST, MOST, &value) &&
               get(reply->element[1], 0, MOST, now_us)) {
      *allowed = unsign(&value);
    } else {
      return RLC__ERR_PROTOCOL;
    }
    state[0] = own_word(rate, value);
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
  case RLC_SLIDING_LOG:
  case RLC_CONCURRENCY:
    return RLC__ERR_PROTOCOL; /* told otherwise */
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
  uint64_t bits = bits_of(at);
  double number;

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
  uint64_t levels;

  if (reply->type != REDIS_REPLY_STRING || (size_t)reply->len != (policy->rates + 2) * 8u ||
      !get_double(reply->str + (policy->rates + 1) * 8u, MOST, now_us)) {
    return RLC__ERR_PROTOCOL;
  }
  levels = bits_of(reply->str);
  for (unsigned i = 0; i < policy->rates; ++i) {
    int64_t full_us;

    if (!get_double(reply->str + (i + 1) * 8u, MOST, &full_us)) {
      return RLC__ERR_PROTOCOL;
    }
    state[i] = full_us <= 0 ? 0
                            : (uint64_t)full_us << RLC__LEVEL_BITS |
                                  (levels >> level_place(i) & ((1u << RLC__LEVEL_BITS) - 1));
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

    if (numbers == 1 && *at < reply->elements &&
        reply->element[*at]->type == REDIS_REPLY_STRING) {
      if (reply->element[*at]->len != 8 || !get_word(reply->element[*at]->str, state++)) {
        return RLC__ERR_PROTOCOL;
      }
      ++*at;
      continue;
    }
    for (size_t k = 0; k < numbers; ++k, ++*at) {
      if (*at >= reply->elements ||
          !get(reply->element[*at], 0, numbers == 1 ? MOST : UINT32_MAX, &value[k])) {
        return RLC__ERR_PROTOCOL;
      }
    }
    if (numbers == 1) {
      *state++ = value[0] == 0 ? 0 : own_word(&policy->rate[i], value[0]);
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
                     uint64_t cost, int allowed) {
  uint64_t copy[RLC__STATE_WORDS] = {0};

  if (call->op == RLC__OP_PEEK || !allowed) {
    /* The script answered for the whole call, or was asked about nothing: what this limit alone
     * says follows from its state. */
    memcpy(copy, state, sizeof copy);
    allowed = rlc__algorithm_step(item->policy, copy, RLC__OP_PEEK, now_us, cost) &
              RLC__STEP_ALLOWED;
  }
  rlc__algorithm_describe(item->policy, state, now_us, cost, allowed, &item->result);
  item->result.source = RLC_SOURCE_STORE;
}

/* What was charged, and the receipt. */
static void tell_charged(const rlc__call *call, rlc__item *item, uint64_t units, int64_t now_us) {
  item->result.charged = units;
  if (call->op != RLC__OP_TAKE_BACK && call->op != RLC__OP_RENEW) {
    item->charged_us = units > 0 ? now_us : 0;
  }
}

int rlc__codec_decode(const rlc__command *command, rlc__call *call, const redisReply *reply) {
  int64_t now_us;
  int64_t verdict;
  int charges;
  int all = 1;
  size_t at = 2;

  if (command->script != &rlc__script_several) {
    uint64_t state[RLC__STATE_WORDS] = {0};
    int allowed = 0;
    const rlc_policy *policy = call->items[0].policy;
    int rv;

    if (command->script == &rlc__script_log) {
      return rlc__codec_get_one_log(call, reply);
    }
    if (command->script == &rlc__script_token_bucket_stack) {
      rv = get_stack(policy, reply, state, &now_us, &allowed);
    } else if (command->script == &rlc__script_calendar_window) {
      rv = get_calendar(policy, reply, state, &now_us, &allowed);
    } else {
      rv = get_single(policy, reply, state, &now_us, &allowed);
    }

    if (rv == 0) {
      rlc__item *item = &call->items[0];

      describe(call, item, state, now_us, item->cost, allowed);
      tell_charged(call, item, call->op == RLC__OP_CHECK && allowed ? item->cost : 0, 0);
    }
    return rv;
  }
  if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 2 ||
      !get(reply->element[0], 0, call->op == RLC__OP_GRANT ? RLC_MAX_QUOTA : 1, &verdict) ||
      !get(reply->element[1], 0, MOST, &now_us)) {
    return RLC__ERR_PROTOCOL;
  }
  charges = call->op == RLC__OP_CHECK || call->op == RLC__OP_GRANT;
  for (size_t i = 0; i < call->n; ++i) {
    uint64_t state[RLC__STATE_WORDS] = {0};
    rlc__item *item = &call->items[i];
    uint64_t cost = item->cost;

    if (call->op == RLC__OP_GRANT) {
      cost = verdict > 0 ? (uint64_t)verdict : 1; /* one unit did not fit */
      if (cost > item->cost) {
        return RLC__ERR_PROTOCOL; /* nobody asked for as much */
      }
    }
    if (rlc__is_log(item->policy->algorithm)) {
      if (rlc__codec_get_log(call, item, reply, &at, verdict != 0, cost, now_us) != 0) {
        return RLC__ERR_PROTOCOL;
      }
      all &= item->result.allowed;
      continue;
    }
    if (get_words(item->policy, reply, &at, state) != 0) {
      return RLC__ERR_PROTOCOL;
    }
    describe(call, item, state, now_us, cost, verdict != 0);
    tell_charged(call, item, charges && verdict != 0 ? cost : 0, now_us);
    all &= item->result.allowed;
  }
  for (size_t i = 0; call->op == RLC__OP_CHARGE && i < call->n; ++i, ++at) {
    int64_t units;

    if (at >= reply->elements ||
        !get(reply->element[at], 0, (int64_t)call->items[i].cost, &units)) {
      return RLC__ERR_PROTOCOL;
    }
    tell_charged(call, &call->items[i], (uint64_t)units, now_us);
  }
  /* What was not charged must not pass, nor the other way round. */
  if (at != reply->elements || (charges && all != (verdict != 0))) {
    return RLC__ERR_PROTOCOL;
  }
  return 0;
}

int64_t rlc__codec_undo(rlc__call *call, const redisReply *reply, uint64_t left) {
  int64_t now_us = reply->element[1]->integer;
  size_t at = 2;

  for (size_t i = 0; i < call->n; ++i) {
    rlc__item *item = &call->items[i];
    uint64_t state[RLC__STATE_WORDS] = {0};
    uint64_t goes = item->result.charged - left;
    uint64_t cost = call->op == RLC__OP_CHECK ? item->cost : left > 0 ? left : 1;

    if (rlc__is_log(item->policy->algorithm)) {
      rlc__codec_undo_log(item, reply, &at, goes, cost, left > 0);
      tell_charged(call, item, left, now_us);
      item->cost = goes;
      continue;
    }
    (void)get_words(item->policy, reply, &at, state); /* it has been decoded once */
    (void)rlc__algorithm_step(item->policy, state, RLC__OP_REFUND, now_us, goes);
    describe(call, item, state, now_us, cost, left > 0);
    tell_charged(call, item, left, now_us);
    item->cost = goes;
  }
  return now_us;
}
