/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_SLOTS_INSIDE_H
#define RLCORE_SLOTS_INSIDE_H

#include "store/slots.h"

/* What slots and blocks have in common: counting, and whom to evict. All under the stripe's lock. */

/* The longest any policy keeps a state live: 2^49 ticks of under two microseconds. What lies
 * further ahead comes from a clock that was set back by years, or from damage; it must not hold a
 * slot for ever. */
#define LONGEST_LIFE_US (INT64_C(1) << 50)

#define RANK_PINNED (UINT64_C(1) << 63)

static inline rlc__counts *counts_of(const rlc__region *region, const rlc__place *place) {
  return &region->header->counts[place->stripe];
}

/* Changed under the lock only, so that no read-modify-write is needed. */
static inline void count(_Atomic uint64_t *counter, int by) {
  uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);

  atomic_store_explicit(counter, now + (uint64_t)(int64_t)by, memory_order_relaxed);
}

/* The sets of |stripe| among |sets|: from |*first| to before the returned one. */
static inline uint64_t sets_of(unsigned stripe, uint64_t sets, uint64_t *first) {
  uint64_t each = sets <= RLC__STRIPES ? 1 : sets / RLC__STRIPES;

  *first = stripe * each < sets ? stripe * each : sets;
  return *first + each <= sets ? *first + each : sets;
}

static inline int is_pinned(const rlc__pins *pins, uint64_t tag) {
  for (size_t i = 0; i < pins->n; ++i) {
    if (pins->tag[i] == tag) {
      return 1;
    }
  }
  return 0;
}

/* How willingly a slot is given up, the least first: expired ones before all others, the call's own
 * last of all. */
static inline uint64_t rank_of(int64_t expiry_us, int64_t now_us, int pinned) {
  uint64_t rank;

  if (expiry_us <= now_us || expiry_us - now_us > LONGEST_LIFE_US) {
    rank = 0;
  } else {
    rank = (uint64_t)(expiry_us - now_us);
  }
  return pinned ? rank | RANK_PINNED : rank;
}

static inline int is_live(uint64_t rank) {
  return (rank & ~RANK_PINNED) > 0;
}

#endif
