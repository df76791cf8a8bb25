/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/level.h"

__extension__ typedef unsigned __int128 uint128;

#define MANTISSAS 64u

/* What a minute, an hour or a day leaves for each of 1, 2, 3, 4, 5, 6, 8, 10, 12, 15 ... is here. */
static const uint16_t mantissas[MANTISSAS] = {
    100, 104, 108, 111, 114, 120, 125, 129, 134, 139, 144, 150, 157, 164, 172, 180,
    185, 190, 195, 200, 208, 216, 225, 232, 240, 250, 259, 268, 278, 288, 300, 314,
    329, 344, 360, 375, 387, 400, 416, 432, 450, 465, 480, 500, 504, 521, 539, 557,
    576, 600, 628, 657, 688, 720, 750, 756, 778, 800, 831, 864, 900, 924, 949, 974,
};

rlc__level rlc__level_get(unsigned m) {
  rlc__level level = {mantissas[m % MANTISSAS], 1, 1};
  unsigned tens = m / MANTISSAS;

  for (; tens < 2; ++tens) {
    level.part *= 10;
  }
  for (; tens > 2; --tens) {
    level.times *= 10;
  }
  return level;
}

static int lasts_longer(unsigned m, uint64_t quota, uint64_t window_us) {
  rlc__level level = rlc__level_get(m);

  return (uint128)quota * level.mantissa * level.times > (uint128)window_us * level.part;
}

unsigned rlc__level_of(uint64_t quota, uint64_t window_us) {
  unsigned low = 0;
  unsigned high = RLC__LEVELS;

  while (high - low > 1) {
    unsigned middle = low + (high - low) / 2;

    if (lasts_longer(middle, quota, window_us)) {
      high = middle;
    } else {
      low = middle;
    }
  }
  return low;
}
