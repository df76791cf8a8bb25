/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RATELIMIT_SKETCH_H
#define RATELIMIT_SKETCH_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Who is refused most, in bounded memory that processes share. Keys fall into sets by their hash,
 * and each set is a summary of its own after Metwally, Agrawal and El Abbadi ("Space-Saving",
 * 2005): a key that is not among the set's RATELIMIT_SKETCH_WAYS takes the place and the count of
 * the least.
 * So of a set that has counted n:
 *
 *     count - error <= truth <= count    for a key that is in it, and error <= n / WAYS
 *     truth <= n / WAYS                  for one that is not
 *
 * A key is counted with a search of one set and one atomic addition. There is no lock: of a process
 * that is killed on its way, one count is missing. Two threads that take a place at the same moment
 * may each be counted for the other, once.
 *
 * Counts are of a window of time, the epoch; the one before stays to be read. The hash chooses the
 * set, so let it be one that clients cannot choose.
 */

enum {
  RATELIMIT_SKETCH_SETS = 64,
  RATELIMIT_SKETCH_WAYS = 8,
  RATELIMIT_SKETCH_WINDOWS = 2,
  RATELIMIT_SKETCH_TEXT = 62, /* the most bytes that are kept of a key */
  RATELIMIT_SKETCH_ROWS = 256 /* rows fit into the low byte of an id */
};

/* What a key may be shown as. */
enum { RATELIMIT_KEY_IS_ADDRESS = 1, RATELIMIT_KEY_IS_CUT = 2, RATELIMIT_KEY_IS_HASH = 4 };

typedef _Atomic uint64_t ratelimit_word;

typedef struct ratelimit_sketch_set {
  ratelimit_word id[RATELIMIT_SKETCH_WAYS];    /* 0: free */
  ratelimit_word count[RATELIMIT_SKETCH_WAYS]; /* with the epoch, as ratelimit_word_add has it */
  ratelimit_word error[RATELIMIT_SKETCH_WAYS];
} ratelimit_sketch_set;

/* Text goes with a check over it and the id: half of one text and half of another are none. */
typedef struct ratelimit_sketch_text {
  ratelimit_word check;
  ratelimit_word words[8]; /* length, flags, and the bytes */
} ratelimit_sketch_text;

/* Zeros are an empty one. */
typedef struct ratelimit_sketch {
  ratelimit_sketch_set sets[RATELIMIT_SKETCH_WINDOWS][RATELIMIT_SKETCH_SETS];
  ratelimit_sketch_text texts[RATELIMIT_SKETCH_WINDOWS][RATELIMIT_SKETCH_SETS]
                             [RATELIMIT_SKETCH_WAYS];
  ratelimit_word missed; /* not counted: others were faster, several times in a row */
} ratelimit_sketch;

typedef struct ratelimit_offender {
  uint64_t id;
  uint64_t count; /* at least so often */
  uint64_t error; /* and at most so much more */
  unsigned flags;
  size_t len; /* 0: no text is known */
  char text[RATELIMIT_SKETCH_TEXT];
} ratelimit_offender;

/* An id of a hash of the key, and the row that its limit has. */
uint64_t ratelimit_sketch_id(uint64_t hash, unsigned row);
unsigned ratelimit_sketch_row(uint64_t id);

/* Counts |id| once. |text| of |len| bytes is kept if it is not NULL. */
void ratelimit_sketch_add(ratelimit_sketch *sketch, uint64_t epoch, uint64_t id, const char *text,
                          size_t len, unsigned flags);

/* Gives the |max| with the most that is sure, of this epoch and the one before together, in order.
 * Returns how many there are. */
size_t ratelimit_sketch_top(const ratelimit_sketch *sketch, uint64_t epoch, ratelimit_offender *top,
                            size_t max);

/* --- words that carry their epoch ---------------------------------------------------------- */

/* A count of 40 bits below 24 bits of the epoch it belongs to: what an older epoch left is worth 0,
 * and nobody has to clear it. */
void ratelimit_word_add(ratelimit_word *word, uint64_t epoch, uint64_t n);
uint64_t ratelimit_word_get(const ratelimit_word *word, uint64_t epoch);

#endif
