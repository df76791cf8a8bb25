/* SPDX-License-Identifier: Apache-2.0 */
#include "algorithm/token_bucket.h"

#include "policy/level.h"

__extension__ typedef unsigned __int128 uint128;

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

/* --- the word ------------------------------------------------------------------------------ */

static uint64_t word_of(uint64_t full_us, unsigned level) {
  return full_us << RLC__LEVEL_BITS | level;
}

static uint64_t full_of(uint64_t word) {
  return word >> RLC__LEVEL_BITS;
}

static unsigned level_of(uint64_t word) {
  return (unsigned)(word & ((1u << RLC__LEVEL_BITS) - 1));
}

/* The word of a state of |rate| itself that is full at |ticks|. */
static uint64_t own_word(const rlc__rate *rate, uint64_t ticks) {
  return word_of(us_of(rate, ticks), rate->level);
}

/* --- another rate's state ------------------------------------------------------------------ */

/* |us| in parts of a unit at |level|, of which there are its mantissa to a unit; rounded up. */
static uint64_t parts_of(const rlc__level *level, uint64_t us) {
  return us * level->part / level->times + (us * level->part % level->times != 0);
}

/* What is used in another rate's state, in ticks of |rate|: one more than the most that it may be where
 * there is more, and 0 for what is no state. Kept out of the way of the usual case. */
__attribute__((noinline)) static uint64_t foreign_ticks(const rlc__rate *rate, uint64_t word,
                                                        uint64_t now_us) {
  rlc__level level;
  uint64_t parts;
  uint64_t rest;
  uint64_t used;

  if (level_of(word) >= RLC__LEVELS) {
    return 0;
  }
  level = rlc__level_get(level_of(word));
  parts = parts_of(&level, full_of(word) - now_us);
  rest = parts % level.mantissa;
  if (parts / level.mantissa > rate->most) {
    return rate->most_ticks + 1;
  }
  used = parts / level.mantissa * rate->unit_ticks + rest * (rate->unit_ticks / level.mantissa) +
         (rest * (rate->unit_ticks % level.mantissa) + level.mantissa - 1) / level.mantissa;
  return used > rate->most_ticks ? rate->most_ticks + 1 : used;
}

/* The microsecond |us| before the end of which no more than |room| ticks of |rate| are used. */
static uint64_t foreign_us(const rlc__rate *rate, const rlc__level *level, uint64_t room) {
  uint128 parts = (uint128)room * level->mantissa / rate->unit_ticks;

  return (uint64_t)(parts * level->times / level->part);
}

/* A denial leaves another rate's state as it is; but where |rate| refills sooner, it goes on at the
 * level next above that of |rate|, which is not yet as soon. */
__attribute__((noinline)) static int lift(const rlc__rate *rate, uint64_t *word,
                                          uint64_t now_us) {
  rlc__level from = rlc__level_get(level_of(*word));
  unsigned above = rate->level + 1;
  uint64_t units = (parts_of(&from, full_of(*word) - now_us) + from.mantissa - 1) / from.mantissa;
  rlc__level to;
  uint128 wait;

  if (level_of(*word) <= above) {
    return 0;
  }
  to = rlc__level_get(above);
  units = units < RLC_MAX_QUOTA ? units : RLC_MAX_QUOTA;
  wait = ((uint128)units * to.mantissa * to.times + to.part - 1) / to.part;
  if (wait >= full_of(*word) - now_us) {
    return 0;
  }
  *word = word_of(now_us + (uint64_t)wait, above);
  return RLC__STEP_CHANGED;
}

/* Takes |cost| off another rate's state, which stays that. */
__attribute__((noinline)) static void refund_foreign(const rlc__rate *rate, uint64_t *word,
                                                     uint64_t now_us, uint64_t cost) {
  rlc__level level = rlc__level_get(level_of(*word));
  uint64_t units = cost <= rate->most ? cost : rate->most + 1;
  uint128 back = (uint128)units * level.mantissa * level.times / level.part;

  if (back >= full_of(*word) - now_us) {
    *word = 0;
  } else {
    *word = word_of(full_of(*word) - (uint64_t)back, level_of(*word));
  }
}

/* --- one step ------------------------------------------------------------------------------ */

/* A bucket at one instant, in ticks: full at |full|, never before |now|. In a state of the rate's own
 * it is never later than a whole capacity and its debt after |now|; another rate's may leave no room at
 * all, |left| neither. */
typedef struct view {
  uint64_t now;
  uint64_t full;
  uint64_t room; /* within the capacity: for what asks */
  uint64_t left; /* with the debt: for what does not */
  int clamped;
  int foreign;
} view;

static view look(const rlc__rate *rate, uint64_t word, int64_t now_us) {
  view v = {ticks_of(rate, (uint64_t)now_us), ticks_of(rate, full_of(word)),
            rate->capacity_ticks, rate->most_ticks, 0, 0};
  uint64_t used = 0;

  if (level_of(word) != rate->level && full_of(word) > (uint64_t)now_us) {
    used = foreign_ticks(rate, word, (uint64_t)now_us);
    v.foreign = used > 0;
    v.full = v.now + used;
  } else if (v.full <= v.now) {
    v.full = v.now;
    return v;
  } else if (v.full - v.now > rate->most_ticks) {
    used = rate->most_ticks;
    v.full = v.now + used;
    v.clamped = 1;
  } else {
    used = v.full - v.now;
  }
  v.room = used < rate->capacity_ticks ? rate->capacity_ticks - used : 0;
  v.left = used < rate->most_ticks ? rate->most_ticks - used : 0;
  return v;
}

int rlc__token_bucket_step(const rlc__rate *rate, uint64_t *word, rlc__op op, int64_t now_us,
                           uint64_t cost) {
  view v = look(rate, *word, now_us);
  /* A cost above the capacity, or what it is with the debt, would overflow the product; it never fits. */
  int fits = cost == 0 || (cost <= rate->capacity && cost * rate->unit_ticks <= v.room);

  switch (op) {
  case RLC__OP_CHECK:
    if (!fits) {
      break;
    }
    if (cost == 0) {
      return RLC__STEP_ALLOWED;
    }
    *word = own_word(rate, v.full + cost * rate->unit_ticks);
    return RLC__STEP_ALLOWED | RLC__STEP_CHANGED;
  case RLC__OP_CHARGE:
    if (v.foreign && v.left == 0) {
      return RLC__STEP_ALLOWED | lift(rate, word, (uint64_t)now_us);
    }
    fits = cost <= rate->most && cost * rate->unit_ticks <= v.left;
    *word = own_word(rate, v.full + (fits ? cost * rate->unit_ticks : v.left));
    return RLC__STEP_ALLOWED | RLC__STEP_CHANGED;
  case RLC__OP_REFUND:
    if (v.foreign) {
      refund_foreign(rate, word, (uint64_t)now_us, cost);
    } else if (cost > rate->most || cost * rate->unit_ticks >= v.full - v.now) {
      *word = 0;
    } else {
      *word = own_word(rate, v.full - cost * rate->unit_ticks);
    }
    return RLC__STEP_ALLOWED | RLC__STEP_CHANGED;
  case RLC__OP_PEEK:
  case RLC__OP_RESET:
  case RLC__OP_GRANT:
  case RLC__OP_TAKE_BACK:
  case RLC__OP_RENEW:
    return fits;
  }
  if (v.foreign) {
    return fits | lift(rate, word, (uint64_t)now_us);
  }
  if (v.clamped) {
    *word = own_word(rate, v.full);
    return fits | RLC__STEP_CHANGED;
  }
  return fits;
}

/* The refill since the charge cannot have given back already what is given here: spec.md derives it. */
int rlc__token_bucket_take_back(const rlc__rate *rate, uint64_t *word, int64_t now_us, uint64_t cost,
                                int64_t charged_us) {
  view v = look(rate, *word, now_us);
  uint64_t since;
  uint64_t back;

  if (v.foreign || v.clamped || charged_us > now_us) {
    return RLC__STEP_ALLOWED;
  }
  since = v.now - ticks_of(rate, (uint64_t)charged_us);
  back = (cost <= rate->most ? cost : rate->most + 1) * rate->unit_ticks;
  if (back <= since) {
    return RLC__STEP_ALLOWED;
  }
  back -= since;
  *word = back < v.full - v.now ? own_word(rate, v.full - back) : 0;
  return RLC__STEP_ALLOWED | RLC__STEP_CHANGED;
}

uint64_t rlc__token_bucket_left(const rlc__rate *rate, const uint64_t *word, int64_t now_us) {
  return look(rate, *word, now_us).left / rate->unit_ticks;
}

void rlc__token_bucket_describe(const rlc__rate *rate, const uint64_t *word, int64_t now_us,
                                uint64_t cost, int allowed, rlc_result *out) {
  view v = look(rate, *word, now_us);

  out->limit = rate->capacity;
  out->remaining = v.room / rate->unit_ticks;
  out->window_us = rate->window_us;
  if (v.foreign) {
    out->reset_us = (int64_t)full_of(*word) - now_us;
  } else {
    out->reset_us = v.full > v.now ? (int64_t)us_of(rate, v.full) - now_us : 0;
  }
  if (allowed || cost <= out->remaining) {
    out->retry_us = 0;
  } else if (cost > rate->capacity) {
    out->retry_us = RLC_NEVER;
  } else if (v.foreign) {
    rlc__level level = rlc__level_get(level_of(*word));

    out->retry_us = out->reset_us - (int64_t)foreign_us(rate, &level, rate->capacity_ticks -
                                                                          cost * rate->unit_ticks);
  } else {
    out->retry_us =
        (int64_t)us_of(rate, v.full + cost * rate->unit_ticks - rate->capacity_ticks) - now_us;
  }
}

int64_t rlc__token_bucket_expiry(const rlc__rate *rate, const uint64_t *word) {
  (void)rate;
  return (int64_t)full_of(*word);
}
