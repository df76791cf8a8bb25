/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_LEVEL_H
#define RLCORE_LEVEL_H

#include <stdint.h>

/*
 * How long a rate takes to refill a unit, roughly: one of RLC__LEVELS lengths of time from a
 * microsecond up, each at most 5.3 % longer than the one before, and those of usual rates among them.
 * A token bucket's state carries the level of the rate that it refills at.
 *
 * Level m lasts mantissa * 10^power microseconds, power from -2 up.
 */
#define RLC__LEVEL_BITS 10
#define RLC__LEVELS 960u

typedef struct rlc__level {
  uint64_t mantissa; /* 100 .. 999 */
  uint64_t times;    /* 10^power, or 1 */
  uint64_t part;     /* 10^-power, or 1 */
} rlc__level;

/* Returns the highest level that lasts no longer than |window_us| / |quota|, at least 1. */
unsigned rlc__level_of(uint64_t quota, uint64_t window_us);
/* |m| is below RLC__LEVELS. */
rlc__level rlc__level_get(unsigned m);

#endif
