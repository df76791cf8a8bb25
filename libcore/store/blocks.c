/* SPDX-License-Identifier: Apache-2.0 */
#include "store/blocks.h"

#include "algorithm/log.h"
#include "store/slots_inside.h"

#define NUMBER_BITS 7u
#define NUMBER_MASK ((UINT64_C(1) << NUMBER_BITS) - 1)

/* The blocks of the longest log. */
#define MOST ((RLC__LOG_WORDS - 1 + RLC__BLOCK_WORDS - 1) / RLC__BLOCK_WORDS)

_Static_assert(MOST < NUMBER_MASK, "a tag tells every block's number");
/* The longest logs of a call may share a stripe: one has to have room in it. */
_Static_assert(MOST <= RLC__BLOCK_SETS * RLC__WAYS * 5 / 8, "a log fits into a stripe");

/* --- places -------------------------------------------------------------------------------- */

/* The sets of a stripe. A small region has fewer stripes with blocks. */
static uint64_t sets_each(const rlc__region *region) {
  uint64_t each = region->blocks / RLC__WAYS / RLC__STRIPES;

  return each < RLC__BLOCK_SETS ? RLC__BLOCK_SETS : each;
}

rlc__place rlc__blocks_place(const rlc__region *region, uint64_t hash) {
  rlc__place place;

  place.tag = hash & ~NUMBER_MASK;
  place.set = hash >> NUMBER_BITS & (region->blocks / RLC__WAYS - 1);
  place.stripe = (unsigned)(place.set / sets_each(region));
  place.wide = 1;
  place.is_log = 1;
  return place;
}

static rlc__block_set *set_of(const rlc__region *region, const rlc__place *place, unsigned number) {
  uint64_t each = sets_each(region); /* a power of two */

  return &region->block[(place->set & ~(each - 1)) | ((place->set + number) & (each - 1))];
}

/* Returns the way of |set| with |tag|, or RLC__WAYS. */
static unsigned find(const rlc__block_set *set, uint64_t tag) {
  unsigned way = 0;

  while (way < RLC__WAYS && atomic_load_explicit(&set->tag[way], memory_order_relaxed) != tag) {
    ++way;
  }
  return way;
}

static int64_t expiry_of(uint64_t head) {
  return (int64_t)(head >> NUMBER_BITS);
}

uint64_t rlc__blocks_count(const rlc__region *region, unsigned stripe) {
  uint64_t each = sets_each(region);
  uint64_t used = 0;

  for (uint64_t set = stripe * each;
       set < (stripe + 1) * each && set < region->blocks / RLC__WAYS; ++set) {
    for (unsigned way = 0; way < RLC__WAYS; ++way) {
      used += atomic_load_explicit(&region->block[set].tag[way], memory_order_relaxed) != 0;
    }
  }
  return used;
}

/* --- reading ------------------------------------------------------------------------------- */

/* Words of block |number| within a log of |words|. */
static unsigned words_in(unsigned number, uint64_t words) {
  uint64_t before = (uint64_t)number * RLC__BLOCK_WORDS;
  uint64_t left = words > before ? words - before : 0;

  return (unsigned)(left < RLC__BLOCK_WORDS ? left : RLC__BLOCK_WORDS);
}

unsigned rlc__blocks_read(const rlc__region *region, const rlc__place *place, uint64_t *state) {
  const rlc__block_set *set = set_of(region, place, 0);
  unsigned way = find(set, place->tag + 1);
  unsigned blocks;

  state[0] = 0;
  if (way == RLC__WAYS) {
    return 0;
  }
  blocks = (unsigned)(atomic_load_explicit(&set->head[way], memory_order_relaxed) & NUMBER_MASK);
  blocks = blocks < 1 ? 1 : blocks > MOST ? MOST : blocks;
  for (unsigned number = 0; number < blocks; ++number) {
    unsigned n = words_in(number, RLC__LOG_WORDS - 1);
    uint64_t *to = &state[1 + number * RLC__BLOCK_WORDS];

    if (number > 0) {
      set = set_of(region, place, number);
      way = find(set, place->tag + number + 1);
    }
    for (unsigned i = 0; i < n; ++i) {
      to[i] = way == RLC__WAYS ? 0 : atomic_load_explicit(&set->word[way][i], memory_order_relaxed);
    }
    state[0] += n;
  }
  return blocks;
}

/* --- writing ------------------------------------------------------------------------------- */

static void empty(rlc__region *region, const rlc__place *place, rlc__block_set *set, unsigned way) {
  atomic_store_explicit(&set->tag[way], 0, memory_order_release);
  count(&counts_of(region, place)->used, -1);
}

static void empty_number(rlc__region *region, const rlc__place *place, unsigned number) {
  rlc__block_set *set = set_of(region, place, number);
  unsigned way = find(set, place->tag + number + 1);

  if (way < RLC__WAYS) {
    empty(region, place, set, way);
  }
}

/* Empties the block that is given up most willingly and returns which. */
static unsigned make_room(rlc__region *region, const rlc__place *place, rlc__block_set *set,
                          int64_t now_us, const rlc__pins *pins) {
  unsigned best = find(set, 0);
  uint64_t least = 0;

  if (best < RLC__WAYS) {
    return best;
  }
  for (unsigned way = 0; way < RLC__WAYS; ++way) {
    uint64_t tag = atomic_load_explicit(&set->tag[way], memory_order_relaxed);
    uint64_t head = atomic_load_explicit(&set->head[way], memory_order_relaxed);
    uint64_t rank = rank_of(expiry_of(head), now_us, is_pinned(pins, tag & ~NUMBER_MASK));

    if (way == 0 || rank < least) {
      best = way;
      least = rank;
    }
  }
  count(&counts_of(region, place)->evicted_live, is_live(least));
  empty(region, place, set, best);
  return best;
}

static void store(_Atomic uint64_t *to, uint64_t value) {
  if (atomic_load_explicit(to, memory_order_relaxed) != value) {
    atomic_store_explicit(to, value, memory_order_release);
  }
}

/* Stores |n| words and the head of block |number|, which is inserted where it does not exist. */
static void write_block(rlc__region *region, const rlc__place *place, unsigned number,
                        const uint64_t *words, unsigned n, uint64_t head, int64_t now_us,
                        const rlc__pins *pins) {
  rlc__block_set *set = set_of(region, place, number);
  uint64_t tag = place->tag + number + 1;
  unsigned way = find(set, tag);
  int is_new = way == RLC__WAYS;

  if (is_new) {
    way = make_room(region, place, set, now_us, pins);
  }
  store(&set->head[way], head);
  for (unsigned i = 0; i < RLC__BLOCK_WORDS; ++i) {
    store(&set->word[way][i], i < n ? words[i] : 0);
  }
  if (is_new) {
    atomic_store_explicit(&set->tag[way], tag, memory_order_release);
    count(&counts_of(region, place)->used, 1);
  }
}

static uint64_t newest_of(const uint64_t *words, uint64_t n) {
  uint64_t newest = 0;

  for (uint64_t i = 0; i < n; ++i) {
    newest = words[i] > newest ? words[i] : newest;
  }
  return newest;
}

void rlc__blocks_write(rlc__region *region, const rlc__place *place, const uint64_t *state,
                       unsigned had, int64_t now_us, const rlc__pins *pins) {
  uint64_t held_us = rlc__log_held(state);
  unsigned has = (unsigned)((state[0] + RLC__BLOCK_WORDS - 1) / RLC__BLOCK_WORDS);
  uint64_t head = 0;

  if (has > 0) {
    head = (newest_of(state + 2, state[0] - 1) + held_us) << NUMBER_BITS; /* no stamp is the first word */
    write_block(region, place, 0, state + 1, words_in(0, state[0]), head | (has > had ? has : had),
                now_us, pins);
  }
  for (unsigned number = 1; number < has; ++number) {
    const uint64_t *words = &state[1 + number * RLC__BLOCK_WORDS];
    unsigned n = words_in(number, state[0]);
    uint64_t newest = newest_of(words, n);

    if (newest == 0) {
      empty_number(region, place, number);
    } else {
      write_block(region, place, number, words, n, (newest + held_us) << NUMBER_BITS, now_us,
                  pins);
    }
  }
  for (unsigned number = had; number > has; --number) {
    empty_number(region, place, number - 1);
  }
  if (has > 0 && has < had) {
    write_block(region, place, 0, state + 1, words_in(0, state[0]), head | has, now_us, pins);
  }
}

void rlc__blocks_clear(rlc__region *region, const rlc__place *place) {
  for (unsigned number = MOST; number > 0; --number) {
    empty_number(region, place, number - 1);
  }
}
