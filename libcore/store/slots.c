/* SPDX-License-Identifier: Apache-2.0 */
#include "store/slots.h"

#include <string.h>

#include "policy/level.h"
#include "store/blocks.h"
#include "store/slots_inside.h"

/* The low bits of a tag: one always set, so that no tag is 0, and one that says what the value of a
 * narrow slot is. The rest, 62 bits of the hash, tell keys apart. */
#define TAG_SET UINT64_C(1)
#define TAG_FIXED_WINDOW UINT64_C(2)

/* Swaps that may fail against charges of the slot's owner before it is evicted all the same. */
#define EVICTION_TRIES 8

/* --- places and counts --------------------------------------------------------------------- */

/* A stripe has a run of neighbouring sets, so that counting it touches no other's memory. */
static unsigned stripe_of(uint64_t set, uint64_t sets) {
  unsigned bits = (unsigned)__builtin_ctzll(sets);

  return (unsigned)(bits <= RLC__STRIPE_BITS ? set : set >> (bits - RLC__STRIPE_BITS));
}

rlc__place rlc__slots_place(const rlc__region *region, uint64_t hash, rlc_algorithm algorithm,
                            int wide) {
  uint64_t sets = (wide ? region->wide_slots : region->slots) / RLC__WAYS;
  rlc__place place;

  place.tag = (hash & ~(TAG_SET | TAG_FIXED_WINDOW)) | TAG_SET;
  if (algorithm == RLC_FIXED_WINDOW) {
    place.tag |= TAG_FIXED_WINDOW;
  }
  place.set = hash >> 2 & (sets - 1);
  place.stripe = stripe_of(place.set, sets);
  place.wide = wide;
  place.is_log = 0;
  return place;
}

static void recount(rlc__region *region, unsigned stripe) {
  uint64_t used = 0;
  uint64_t set;
  uint64_t end;

  end = sets_of(stripe, region->slots / RLC__WAYS, &set);
  for (; set < end; ++set) {
    for (unsigned i = 0; i < RLC__WAYS; ++i) {
      used += atomic_load_explicit(&region->narrow[set].slot[i].tag, memory_order_relaxed) != 0;
    }
  }
  end = sets_of(stripe, region->wide_slots / RLC__WAYS, &set);
  for (; set < end; ++set) {
    for (unsigned i = 0; i < RLC__WAYS; ++i) {
      used += atomic_load_explicit(&region->wide[set].tag[i], memory_order_relaxed) != 0;
    }
  }
  used += rlc__blocks_count(region, stripe);
  atomic_store_explicit(&region->header->counts[stripe].used, used, memory_order_relaxed);
}

void rlc__slots_recount(rlc__region *region) {
  for (unsigned stripe = 0; stripe < RLC__STRIPES; ++stripe) {
    recount(region, stripe);
  }
}

int rlc__slots_lock(rlc__region *region, unsigned stripe) {
  int state = rlc__region_lock(region, stripe);

  if (state > 0) {
    recount(region, stripe);
  }
  return state < 0 ? -1 : 0;
}

void rlc__slots_get_stats(const rlc__region *region, rlc_stats *stats) {
  stats->slots += region->slots + region->wide_slots + region->blocks;
  for (unsigned i = 0; i < RLC__STRIPES; ++i) {
    rlc__counts *counts = &region->header->counts[i];

    stats->slots_used += atomic_load_explicit(&counts->used, memory_order_relaxed);
    stats->evicted_live += atomic_load_explicit(&counts->evicted_live, memory_order_relaxed);
  }
}

/* --- narrow -------------------------------------------------------------------------------- */

static int64_t narrow_expiry(uint64_t tag, uint64_t value) {
  uint64_t us = tag & TAG_FIXED_WINDOW ? (value >> 32) * UINT64_C(1000000)
                                        : value >> RLC__LEVEL_BITS;

  return us > INT64_MAX ? INT64_MAX : (int64_t)us;
}

int rlc__narrow_swap(rlc__narrow *slot, uint64_t old, uint64_t value) {
  return atomic_compare_exchange_strong_explicit(&slot->value, &old, value, memory_order_acq_rel,
                                                 memory_order_relaxed);
}

/* Returns the slot of |place|'s set to give up, with the value that it is given up for and its
 * rank. */
static rlc__narrow *choose_narrow(const rlc__region *region, const rlc__place *place,
                                  int64_t now_us, const rlc__pins *pins, uint64_t *value,
                                  uint64_t *rank) {
  rlc__narrow *slots = region->narrow[place->set].slot;
  rlc__narrow *best = NULL;

  *value = RLC__MOVING;
  *rank = 0;
  for (unsigned i = 0; i < RLC__WAYS; ++i) {
    uint64_t tag = atomic_load_explicit(&slots[i].tag, memory_order_relaxed);
    uint64_t v = atomic_load_explicit(&slots[i].value, memory_order_relaxed);
    uint64_t r;

    if (tag == 0 || v == RLC__MOVING) {
      *value = RLC__MOVING;
      *rank = 0;
      return &slots[i];
    }
    r = rank_of(narrow_expiry(tag, v), now_us, is_pinned(pins, tag));
    if (best == NULL || r < *rank) {
      best = &slots[i];
      *value = v;
      *rank = r;
    }
  }
  return best;
}

/* Clears a slot for |place| and returns it: its value is RLC__MOVING, its tag still the old one. */
static rlc__narrow *clear_narrow(rlc__region *region, const rlc__place *place, int64_t now_us,
                                 const rlc__pins *pins) {
  _Atomic uint64_t *evicted = &counts_of(region, place)->evicted_live;

  for (int tries = 0;; ++tries) {
    uint64_t value;
    uint64_t rank;
    rlc__narrow *slot = choose_narrow(region, place, now_us, pins, &value, &rank);

    if (value == RLC__MOVING) {
      /* Empty or half moved: nobody swaps it, and an empty slot's value may be anything. */
      atomic_store_explicit(&slot->value, RLC__MOVING, memory_order_relaxed);
      return slot;
    }
    /* Counted first: a kill may count one that stayed, and never misses one that went. */
    count(evicted, is_live(rank) || tries == EVICTION_TRIES);
    if (tries == EVICTION_TRIES) {
      atomic_exchange_explicit(&slot->value, RLC__MOVING, memory_order_acq_rel);
      return slot;
    }
    if (rlc__narrow_swap(slot, value, RLC__MOVING)) {
      return slot;
    }
    count(evicted, is_live(rank) ? -1 : 0);
  }
}

void rlc__narrow_insert(rlc__region *region, const rlc__place *place, uint64_t value,
                        int64_t now_us, const rlc__pins *pins) {
  rlc__narrow *slot = clear_narrow(region, place, now_us, pins);
  int was_empty = atomic_load_explicit(&slot->tag, memory_order_relaxed) == 0;

  atomic_store_explicit(&slot->tag, place->tag, memory_order_release);
  atomic_store_explicit(&slot->value, value, memory_order_release);
  count(&counts_of(region, place)->used, was_empty);
}

int rlc__narrow_remove(rlc__region *region, const rlc__place *place, rlc__narrow *slot,
                       uint64_t old) {
  if (!rlc__narrow_swap(slot, old, RLC__MOVING)) {
    return 0;
  }
  atomic_store_explicit(&slot->tag, 0, memory_order_release);
  count(&counts_of(region, place)->used, -1);
  return 1;
}

/* --- wide ---------------------------------------------------------------------------------- */

static unsigned find_wide(const rlc__wide_set *set, uint64_t tag) {
  unsigned way = 0;

  while (way < RLC__WAYS && atomic_load_explicit(&set->tag[way], memory_order_relaxed) != tag) {
    ++way;
  }
  return way;
}

static unsigned active_of(const rlc__wide_set *set, unsigned way) {
  return atomic_load_explicit(&set->active[way], memory_order_relaxed) & 1u;
}

void rlc__wide_read(const rlc__region *region, const rlc__place *place, uint64_t *words) {
  const rlc__wide_set *set = &region->wide[place->set];
  unsigned way = find_wide(set, place->tag);

  if (way == RLC__WAYS) {
    memset(words, 0, RLC__STATE_WORDS * sizeof *words);
  } else {
    memcpy(words, set->state[way][active_of(set, way)].words, RLC__STATE_WORDS * sizeof *words);
  }
}

/* Empties the slot that is given up most willingly and returns which. */
static unsigned clear_wide(rlc__region *region, const rlc__place *place, int64_t now_us,
                           const rlc__pins *pins) {
  rlc__wide_set *set = &region->wide[place->set];
  rlc__counts *counts = counts_of(region, place);
  unsigned best = find_wide(set, 0);
  uint64_t least = 0;

  if (best < RLC__WAYS) {
    return best;
  }
  for (unsigned way = 0; way < RLC__WAYS; ++way) {
    uint64_t tag = atomic_load_explicit(&set->tag[way], memory_order_relaxed);
    uint64_t rank = rank_of(set->state[way][active_of(set, way)].expiry_us, now_us,
                            is_pinned(pins, tag));

    if (way == 0 || rank < least) {
      best = way;
      least = rank;
    }
  }
  count(&counts->evicted_live, is_live(least));
  atomic_store_explicit(&set->tag[best], 0, memory_order_release);
  count(&counts->used, -1);
  return best;
}

void rlc__wide_write(rlc__region *region, const rlc__place *place, const uint64_t *words,
                     int64_t expiry_us, int64_t now_us, const rlc__pins *pins) {
  static const uint64_t empty[RLC__STATE_WORDS];
  rlc__wide_set *set = &region->wide[place->set];
  unsigned way = find_wide(set, place->tag);
  int is_new = way == RLC__WAYS;
  int is_empty = memcmp(words, empty, sizeof empty) == 0;
  rlc__wide_state *next;
  unsigned side;

  if (is_empty) {
    if (!is_new) {
      atomic_store_explicit(&set->tag[way], 0, memory_order_release);
      count(&counts_of(region, place)->used, -1);
    }
    return;
  }
  if (is_new) {
    way = clear_wide(region, place, now_us, pins);
  }
  side = active_of(set, way) ^ 1u;
  next = &set->state[way][side];
  next->expiry_us = expiry_us;
  memcpy(next->words, words, sizeof next->words);
  atomic_store_explicit(&set->active[way], (uint8_t)side, memory_order_release);
  if (is_new) {
    atomic_store_explicit(&set->tag[way], place->tag, memory_order_release);
    count(&counts_of(region, place)->used, 1);
  }
}
