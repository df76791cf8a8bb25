/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_TESTS_HISTOGRAM_H
#define RLCORE_TESTS_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

/*
 * How many times took how long, in buckets at most 1.6 % wide, counted by many threads and processes
 * at once. Octaves of HISTOGRAM_FINE equal buckets; below the first there is one a microsecond.
 */
#define HISTOGRAM_FINE 64u
#define HISTOGRAM_BUCKETS (HISTOGRAM_FINE * 26u) /* to half an hour */

typedef struct histogram {
  _Atomic uint64_t count[HISTOGRAM_BUCKETS];
  _Atomic uint64_t longest_us;
} histogram;

static inline void histogram_raise(_Atomic uint64_t *most, uint64_t value) {
  uint64_t old = atomic_load(most);

  while (value > old && !atomic_compare_exchange_weak(most, &old, value)) {
  }
}

static inline void histogram_add(histogram *h, uint64_t us) {
  unsigned octave = 0;
  uint64_t bucket;

  while (us >> octave >= 2 * HISTOGRAM_FINE) {
    ++octave;
  }
  bucket = octave * HISTOGRAM_FINE + (us >> octave);
  atomic_fetch_add(&h->count[bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1], 1);
  histogram_raise(&h->longest_us, us);
}

/* The time below which |share| of all stayed: the upper edge of its bucket. */
static inline uint64_t histogram_at(const histogram *h, double share) {
  unsigned octave;
  unsigned i = 0;
  uint64_t all = 0;
  uint64_t seen = 0;

  for (unsigned k = 0; k < HISTOGRAM_BUCKETS; ++k) {
    all += atomic_load(&h->count[k]);
  }
  for (; i < HISTOGRAM_BUCKETS - 1; ++i) {
    seen += atomic_load(&h->count[i]);
    if ((double)seen >= share * (double)all) {
      break;
    }
  }
  octave = i < 2 * HISTOGRAM_FINE ? 0 : i / HISTOGRAM_FINE - 1;
  return (uint64_t)(i - octave * HISTOGRAM_FINE + 1) << octave;
}

#endif
