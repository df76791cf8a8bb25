/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_REGION_H
#define RLCORE_REGION_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "algorithm/algorithm.h"
#include "rlcore/rlcore.h"

/*
 * The memory that a table lies in: a header, the locks, the narrow slots, the wide slots, the blocks, the
 * index. Its size is fixed when it is made. Programs that share a region trust each other: one that scribbles over
 * it, or cuts a file while others have it mapped, harms them.
 */

#if ATOMIC_LLONG_LOCK_FREE != 2
#error "a table shared by processes needs 64-bit atomics without hidden locks"
#endif

/* Slots in a set. A key belongs to one set and may lie in any slot of it. */
#define RLC__WAYS 8u
#define RLC__STRIPE_BITS 6u
#define RLC__STRIPES (1u << RLC__STRIPE_BITS)
#define RLC__SLOTS_DEFAULT UINT64_C(131072)
#define RLC__SLOTS_LEAST UINT64_C(64)
#define RLC__SLOTS_MOST (UINT64_C(1) << 28)

/* A state of one word. slots.h says which rules its two words obey. */
typedef struct rlc__narrow {
  _Atomic uint64_t tag; /* 0: empty */
  _Atomic uint64_t value;
} rlc__narrow;

typedef struct rlc__narrow_set {
  rlc__narrow slot[RLC__WAYS];
} rlc__narrow_set;

typedef struct rlc__wide_state {
  int64_t expiry_us;
  uint64_t words[RLC__STATE_WORDS];
} rlc__wide_state;

/* States of several words, each twice: the active one holds, the other is written next. */
typedef struct rlc__wide_set {
  _Atomic uint64_t tag[RLC__WAYS]; /* 0: empty */
  _Atomic uint8_t active[RLC__WAYS];
  uint8_t unused[64 - RLC__WAYS];
  rlc__wide_state state[RLC__WAYS][2];
} rlc__wide_set;

/* Words in a block. */
#define RLC__BLOCK_WORDS 14u
/* So many sets of blocks has a stripe at least: the blocks of the longest log then fill hardly more than half of
 * each. */
#define RLC__BLOCK_SETS 16u

/* Pieces of logs. blocks.h says how they make one up. */
typedef struct rlc__block_set {
  _Atomic uint64_t tag[RLC__WAYS]; /* 0: empty */
  _Atomic uint64_t head[RLC__WAYS];
  _Atomic uint64_t word[RLC__WAYS][RLC__BLOCK_WORDS];
} rlc__block_set;

/* A lock has a cache line of its own. */
typedef union rlc__lock {
  pthread_mutex_t mutex;
  unsigned char line[64];
} rlc__lock;

/* Counts of one stripe, changed under its lock, read without. */
typedef struct rlc__counts {
  _Atomic uint64_t used;
  _Atomic uint64_t evicted_live;
} rlc__counts;

/* What does not change once the region is made, and is checked when it is opened. */
typedef struct rlc__layout {
  char magic[8];
  uint32_t byte_order;
  uint32_t version;
  uint64_t size; /* of the whole region, in bytes */
  uint64_t slots;
  uint64_t wide_slots;
  uint64_t blocks;
  uint32_t lock_size; /* of this C library's mutex */
  uint32_t state_words;
  uint8_t hash_key[16]; /* random, so that nobody outside can choose keys that share a set */
  uint64_t check;       /* a keyed hash of all before it */
} rlc__layout;

struct rlc__index_area;

typedef struct rlc__header {
  rlc__layout layout;
  char boot_id[40];  /* of the boot that |offset_us| was taken in */
  int64_t offset_us; /* wall clock minus time since boot, when the table was made */
  rlc__counts counts[RLC__STRIPES];
} rlc__header;

/* A mapped region. What the hot path reads is copied out of the header. */
typedef struct rlc__region {
  rlc__header *header; /* NULL: none */
  rlc__lock *locks;
  rlc__narrow_set *narrow;
  rlc__wide_set *wide;
  rlc__block_set *block;
  struct rlc__index_area *index; /* see table_index.h */
  rlc__lock *index_lock;
  size_t size;
  uint64_t slots;
  uint64_t wide_slots;
  uint64_t blocks;
  int64_t offset_us;
  uint8_t hash_key[16];
  int own_locks; /* the locks are not in the region but in this process alone */
} rlc__region;

/* Returns |slots| (0: the default) as a table has them: a power of two within the bounds. */
uint64_t rlc__region_slots(uint64_t slots);
/* Returns the bytes of a region of |slots|, which rlc__region_slots returned. */
size_t rlc__region_size(uint64_t slots);

/* All that follow return 0, or a public rlc_error with a sentence in |why| and an empty
 * |region|. */

/* Memory of this process; a child goes on with a copy. */
int rlc__region_new_private(rlc__region *region, uint64_t slots, char *why, size_t why_size);
/* Memory shared with the processes forked later. */
int rlc__region_new_anonymous(rlc__region *region, uint64_t slots, char *why, size_t why_size);
/* Makes a region in |fd|, which has rlc__region_size(|slots|) bytes, all zero. */
int rlc__region_new_file(rlc__region *region, int fd, uint64_t slots, char *why, size_t why_size);
/* Maps the region that is in |fd|. |slots|: as rlc__region_slots returned, or 0 for as many as
 * there are. |what| names it in messages ("the file /a/b"). */
int rlc__region_open(rlc__region *region, int fd, uint64_t slots, const char *what, char *why,
                     size_t why_size);
/* Puts right what an end without warning may have left: locks held by nobody who lives, and a clock
 * of another boot. Only while no other process has the region. */
int rlc__region_renew(rlc__region *region, char *why, size_t why_size);
void rlc__region_del(rlc__region *region);

/* The table's clock: it goes on while the machine sleeps, and nobody sets it. */
int64_t rlc__region_now_us(const rlc__region *region);

/* Locks a stripe. Returns 0; 1 where the last holder died inside, what it did half being for the
 * caller to put right; or -1 where the lock itself is destroyed. */
int rlc__region_lock(rlc__region *region, unsigned stripe);
/* The same with any of the region's locks. */
int rlc__region_lock_at(rlc__lock *lock);
void rlc__region_unlock(rlc__region *region, unsigned stripe);

#endif
