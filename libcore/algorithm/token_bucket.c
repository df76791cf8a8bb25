/* SPDX-License-Identifier: Apache-2.0 */
#include "algorithm/token_bucket.h"

/* Rounds |value| * |num| / |den| down. Exact: num <= den <= 2^26 and value < 2^53 keep both terms
 * below 2^53, so the scripts do the same in doubles. */
static uint64_t scale_down(uint64_t value, uint64_t num, uint64_t den) {
  return value / den * num + value % den * num / den;
}

/* Rounds |value| * |den| / |num| up: the first microsecond at which |value| ticks have passed. */
static uint64_t scale_up(uint64_t value, uint64_t num, uint64_t den) {
  return value / num * den + (value % num * den + num - 1) / num;
}

static uint64_t ticks_of(const rlc__rate *rate, uint64_t us) {
  return rate->tick_num == rate->tick_den ? us : scale_down(us, rate->tick_num, rate->tick_den);
}

static uint64_t us_of(const rlc__rate *rate, uint64_t ticks) {
  return rate->tick_num == rate->tick_den ? ticks
                                          : scale_up(ticks, rate->tick_num, rate->tick_den);
}

/* A bucket at one instant, in ticks: full at |full|, never before |now| and never later than a whole
 * capacity after it. */
typedef struct view {
  uint64_t now;
  uint64_t full;
  int clamped;
} view;

static view look(const rlc__rate *rate, uint64_t word, int64_t now_us) {
  view v = {ticks_of(rate, (uint64_t)now_us), ticks_of(rate, word), 0};

  if (v.full < v.now) {
    v.full = v.now;
  } else if (v.full - v.now > rate->capacity_ticks) {
    v.full = v.now + rate->capacity_ticks;
    v.clamped = 1;
  }
  return v;
}

int rlc__token_bucket_step(const rlc__rate *rate, uint64_t *word, rlc__op op, int64_t now_us,
                           uint64_t cost) {
  view v = look(rate, *word, now_us);
  uint64_t used = v.full - v.now;
  uint64_t room = rate->capacity_ticks - used;
  /* A cost above the capacity would overflow the product, and never fits. */
  int fits = cost <= rate->capacity && cost * rate->unit_ticks <= room;

  switch (op) {
  case RLC__OP_CHECK:
    if (!fits) {
      break;
    }
    if (cost == 0) {
      return RLC__STEP_ALLOWED;
    }
    *word = us_of(rate, v.full + cost * rate->unit_ticks);
    return RLC__STEP_ALLOWED | RLC__STEP_CHANGED;
  case RLC__OP_CHARGE:
    *word = us_of(rate, v.full + (fits ? cost * rate->unit_ticks : room));
    return RLC__STEP_ALLOWED | RLC__STEP_CHANGED;
  case RLC__OP_REFUND:
    if (cost > rate->capacity || cost * rate->unit_ticks >= used) {
      *word = 0;
    } else {
      *word = us_of(rate, v.full - cost * rate->unit_ticks);
    }
    return RLC__STEP_ALLOWED | RLC__STEP_CHANGED;
  case RLC__OP_PEEK:
  case RLC__OP_RESET:
    return fits;
  }
  if (v.clamped) {
    *word = us_of(rate, v.full);
    return fits | RLC__STEP_CHANGED;
  }
  return fits;
}

void rlc__token_bucket_describe(const rlc__rate *rate, const uint64_t *word, int64_t now_us,
                                uint64_t cost, int allowed, rlc_result *out) {
  view v = look(rate, *word, now_us);
  uint64_t room = rate->capacity_ticks - (v.full - v.now);

  out->limit = rate->capacity;
  out->remaining = room / rate->unit_ticks;
  out->window_us = rate->window_us;
  out->reset_us = v.full > v.now ? (int64_t)us_of(rate, v.full) - now_us : 0;
  if (allowed) {
    out->retry_us = 0;
  } else if (cost > rate->capacity) {
    out->retry_us = RLC_NEVER;
  } else {
    out->retry_us =
        (int64_t)us_of(rate, v.now + (cost * rate->unit_ticks - room)) - now_us;
  }
}

int64_t rlc__token_bucket_expiry(const rlc__rate *rate, const uint64_t *word) {
  (void)rate;
  return (int64_t)*word;
}
