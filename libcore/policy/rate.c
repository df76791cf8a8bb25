/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/level.h"
#include "policy/parse.h"

#define US UINT64_C(1000000)
#define MAX_TICK_DEN (UINT64_C(1) << 26)
#define MAX_CAPACITY_TICKS ((UINT64_C(1) << 49) - 1)
#define MAX_STEPS (UINT64_C(1) << 23)

__extension__ typedef unsigned __int128 uint128;

typedef struct ticks {
  uint64_t unit;
  uint64_t num;
  uint64_t den;
} ticks;

static uint64_t gcd(uint64_t a, uint64_t b) {
  while (b != 0) {
    uint64_t rest = a % b;

    a = b;
    b = rest;
  }
  return a;
}

/* Takes the smallest prime factors off |n| until what is left is a denominator. Returns that, or 0
 * where a prime too large for one is left. */
static uint64_t denominator_of(uint64_t n) {
  uint64_t factor = 2;

  while (n > MAX_TICK_DEN) {
    while (n % factor != 0) {
      ++factor;
      if (factor * factor > n) {
        return 0;
      }
    }
    n /= factor;
  }
  return n;
}

/* Finds the ticks of a token bucket of |quota| per |window_us|. Returns 0, or -1 if it has none. */
static int find_ticks(uint64_t quota, uint64_t window_us, ticks *out) {
  uint64_t common, units, span, den, times;

  if (quota > window_us) {
    return -1; /* finer than the clock: a unit would take less than a microsecond */
  }
  common = gcd(quota, window_us);
  units = quota / common;
  span = window_us / common;
  if (units == 1) {
    *out = (ticks){span, 1, 1};
    return 0;
  }
  den = denominator_of(span);
  if (den < units) {
    return -1;
  }
  times = den / units;
  out->unit = times * (span / den);
  out->num = units * times;
  out->den = den;
  common = gcd(out->num, out->den);
  out->num /= common;
  out->den /= common;
  /* The whole design rests on this being exact; a rate that fails it is refused, not rounded. */
  return (uint128)quota * out->unit * out->den == (uint128)window_us * out->num ? 0 : -1;
}

/* Returns the largest quota below |quota| that find_ticks takes, among those that people write:
 * |quota| with its last digits replaced by zeros, then round numbers. 1 always works. */
static uint64_t nearest_below(uint64_t quota, uint64_t window_us) {
  uint64_t unit = 1;
  ticks unused;

  if (quota > window_us) {
    return window_us;
  }
  for (; unit <= quota / 10; unit *= 10) {
    uint64_t rounded = quota - quota % (unit * 10);

    if (rounded < quota && find_ticks(rounded, window_us, &unused) == 0) {
      return rounded;
    }
  }
  for (; unit > 0; unit /= 10) {
    for (uint64_t digit = 9; digit > 0; --digit) {
      if (digit * unit < quota && find_ticks(digit * unit, window_us, &unused) == 0) {
        return digit * unit;
      }
    }
  }
  return 1;
}

int rlc__rate_prepare(rlc__rate *rate, rlc_algorithm algorithm, uint64_t *nearest) {
  ticks t = {0, 1, 1};

  *nearest = rate->quota;
  rate->window_us = rate->window_s * US;
  rate->step_us = (rate->window_us + MAX_STEPS - 1) / MAX_STEPS;
  rate->steps = rate->window_us / rate->step_us;
  rate->most = rate->capacity + rate->debt;
  rate->capacity_ticks = 0;
  rate->most_ticks = 0;
  rate->level = rlc__level_of(rate->quota, rate->window_us);
  if (algorithm == RLC_TOKEN_BUCKET && find_ticks(rate->quota, rate->window_us, &t) != 0) {
    *nearest = nearest_below(rate->quota, rate->window_us);
    t.unit = 0;
  }
  rate->unit_ticks = t.unit;
  rate->tick_num = t.num;
  rate->tick_den = t.den;
  if (algorithm != RLC_TOKEN_BUCKET) {
    return 0;
  }
  if (t.unit == 0) {
    return -1;
  }
  if (rate->most > MAX_CAPACITY_TICKS / t.unit) {
    *nearest = 0;
    return -1;
  }
  rate->capacity_ticks = rate->capacity * t.unit;
  rate->most_ticks = rate->most * t.unit;
  return 0;
}

/* Divides |rate| by |parts|. A share that cannot be counted becomes the nearest smaller one that
 * can; its burst never exceeds the quota where the whole had none of its own. */
static int share_rate(rlc__rate *rate, rlc_algorithm algorithm, uint64_t parts) {
  int plain = rate->capacity == rate->quota;
  uint64_t nearest;
  uint64_t most;

  rate->quota = rate->quota / parts > 0 ? rate->quota / parts : 1;
  rate->capacity = rate->capacity / parts > 0 ? rate->capacity / parts : 1;
  rate->debt /= parts;
  if (rlc__rate_prepare(rate, algorithm, &nearest) == 0) {
    return 0;
  }
  if (nearest > 0) {
    rate->quota = nearest;
    rate->capacity = plain ? nearest : rate->capacity;
    if (rlc__rate_prepare(rate, algorithm, &nearest) == 0) {
      return 0;
    }
  }
  /* Only burst and debt are too large now: a small quota's rounding has made the units long. */
  if (nearest != 0 || rate->unit_ticks == 0) {
    return -1;
  }
  most = MAX_CAPACITY_TICKS / rate->unit_ticks;
  rate->capacity = rate->capacity < most ? rate->capacity : most;
  rate->debt = most - rate->capacity;
  return rlc__rate_prepare(rate, algorithm, &nearest);
}

int rlc__rates_share(rlc__rate *rates, unsigned n, rlc_algorithm algorithm, uint64_t parts) {
  for (unsigned i = 0; i < n; ++i) {
    if (share_rate(&rates[i], algorithm, parts) != 0) {
      return -1;
    }
  }
  return 0;
}
