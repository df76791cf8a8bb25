/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_SLOTS_H
#define RLCORE_SLOTS_H

#include "store/region.h"

/*
 * Finding, taking over and giving back slots.
 *
 * A narrow slot is two words, a tag that says whose it is and the value, its state. A decision
 * finds the tag, reads the value, and changes the value with one compare-and-swap, without a lock.
 * These rules make that safe:
 *
 *  1. Tags change only under the lock of the set's stripe. Who inserts has looked through the whole
 *     set under that lock, so no key is ever in a set twice.
 *  2. Before a tag changes, the value is set to RLC__MOVING by compare-and-swap, from the very
 *     value on whose account the slot was given up; after it has changed, the new owner's first
 *     state replaces RLC__MOVING. A charge of the old owner comes before that swap, which then
 *     fails and is thought over again, or after it, and then fails itself. Nobody swaps from
 *     RLC__MOVING without the lock.
 *  3. A reader reads the tag again after the value. If it has not changed, the value is that of the
 *     tag's owner: another owner's was stored after that owner's tag (release; acquire).
 *  4. A value without the lock only ever grows. What lowers it (refund, reset, a clamp, a bucket that
 *     a faster policy takes over) takes the lock, under which the owner cannot change. A bucket's
 *     value is ordered by its time first and its level then (algorithm.h), so that equal values
 *     expire at the same moment, and a later time is a larger value whatever the levels. A state that is empty is not kept: the slot is
 *     given back.
 *
 * What is left is a thread that read a value by rule 3, was held up while the slot went to another
 * key, and whose swap succeeds since that key's value has become the same number. It needs the old
 * owner's value to have been live when it lost the slot: every value the new owner has expires
 * after that moment, and one that had expired cannot equal it. So the old owner was evicted live
 * (counted, and its history gone with it) or reset or refunded meanwhile, and the late charge is as
 * one that came just before. To the new owner it is a charge too much (rule 4): it may be refused
 * once too often, never be let through.
 *
 * Rule 3 has one gap, left open knowingly: a slot that goes from a key to another and back between
 * two loads of one thread shows it the other's value under its own tag. The swap then still needs
 * the slot to hold that very number. If the owner is the thread's key, the number is its state and
 * the charge is right. If it is a third key, the charge is lost; that takes three changes of owner
 * while one thread is held up, and two states equal to the microsecond.
 *
 * Killed at any instruction, a process leaves in the slot either the old owner's state; or
 * RLC__MOVING with a tag, which says nothing more than "empty", and which the next to take the lock
 * uses for whomever it needs it; or the new state. A killed holder's lock goes to the next who
 * asks, which counts the stripe's slots anew.
 *
 * Under the lock the clock is read after the value. So whoever sees a value reads a time not before
 * its writer's, and no state lies "in the future" merely because a thread was slow: else it would
 * be clamped, and what another had charged in a new window be lost in the old one. Without the lock
 * the clock may be older than the value: a clamp lowers the value, and so is left to the lock (rule
 * 4); a charge that is no clamp counts as one that came when its clock was read.
 *
 * Wide slots are read and written under the lock only. A new state is written beside the old one
 * and then made active by one store, so that half of it is never seen.
 */
#define RLC__MOVING UINT64_MAX

/* Where a key's state belongs. */
typedef struct rlc__place {
  uint64_t tag;
  uint64_t set;
  unsigned stripe;
  int wide;
  int is_log; /* wide, too: what lies in blocks.h's way */
} rlc__place;

/* Tags of all states in one call, which are not to evict each other. */
typedef struct rlc__pins {
  uint64_t tag[RLC_MAX_LIMITS];
  size_t n;
} rlc__pins;

/* Returns the place of the state that |hash| stands for. */
rlc__place rlc__slots_place(const rlc__region *region, uint64_t hash, rlc_algorithm algorithm,
                            int wide);

/* Locks |stripe| and puts right what a killed holder left. Returns 0, or -1 without the lock. */
int rlc__slots_lock(rlc__region *region, unsigned stripe);
/* Counts the used slots of every stripe anew. Only while nobody else has the region. */
void rlc__slots_recount(rlc__region *region);
/* Adds the counts of all stripes to |stats|. */
void rlc__slots_get_stats(const rlc__region *region, rlc_stats *stats);

/* --- narrow -------------------------------------------------------------------------------- */

/* The set is two cache lines; the clock and the hash take as long as fetching them. */
static inline void rlc__narrow_prefetch(const rlc__region *region, const rlc__place *place) {
  const rlc__narrow *slot = region->narrow[place->set].slot;

  __builtin_prefetch(&slot[0], 1);
  __builtin_prefetch(&slot[RLC__WAYS / 2], 1);
}

/* Returns the slot with this tag, or NULL. Without the lock the answer may be out of date. */
static inline rlc__narrow *rlc__narrow_find(const rlc__region *region, const rlc__place *place) {
  rlc__narrow *slot = region->narrow[place->set].slot;

  for (unsigned i = 0; i < RLC__WAYS; ++i) {
    if (atomic_load_explicit(&slot[i].tag, memory_order_acquire) == place->tag) {
      return &slot[i];
    }
  }
  return NULL;
}

/* The rest is done under the stripe's lock. */

/* Replaces |*old| in |slot| by |value|, not 0. Returns 0 where the slot holds another value by
 * now. */
int rlc__narrow_swap(rlc__narrow *slot, uint64_t old, uint64_t value);
/* Inserts a state that the set does not hold. It finds room: an empty slot, else an expired one,
 * else the one nearest its expiry. */
void rlc__narrow_insert(rlc__region *region, const rlc__place *place, uint64_t value,
                        int64_t now_us, const rlc__pins *pins);
/* Empties |slot| if it still holds |old|. Returns 0 where it does not. */
int rlc__narrow_remove(rlc__region *region, const rlc__place *place, rlc__narrow *slot,
                       uint64_t old);

/* --- wide ---------------------------------------------------------------------------------- */

/* Fills |words| (RLC__STATE_WORDS of them) from the state at |place|; zeroes where there is
 * none. */
void rlc__wide_read(const rlc__region *region, const rlc__place *place, uint64_t *words);
/* Stores |words|, inserting as rlc__narrow_insert does. All zeroes empty the slot. */
void rlc__wide_write(rlc__region *region, const rlc__place *place, const uint64_t *words,
                     int64_t expiry_us, int64_t now_us, const rlc__pins *pins);

#endif
