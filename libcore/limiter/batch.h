/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_BATCH_H
#define RLCORE_BATCH_H

#include "limiter/catalog.h"
#include "limiter/counters.h"
#include "store/store.h"

/* A caller's limits as a store takes them, and a store's results as the caller takes them. The same
 * limit twice is one item. */
typedef struct rlc__batch {
  rlc__item items[RLC_MAX_LIMITS];
  rlc__call call; /* of |items| */
  size_t n;       /* the caller's limits */
  unsigned char item_of[RLC_MAX_LIMITS]; /* for each of them the item that stands for it */
  rlc__op op;     /* what the caller asks for; the store may be asked for less */
  size_t total;   /* the items, also those behind call.n, which the store is not asked of */
  const char *tier[RLC_MAX_LIMITS];    /* of an item, from the caller; or NULL */
  unsigned char ruled[RLC_MAX_LIMITS]; /* the item's policy is the index's: see rules.h */
  rlc__reading reading;                /* ... and stays until then */
  int kept;                            /* ... or is kept */
} rlc__batch;

/* Checks what a verb was given, and reads |limits|, whose keys and names are pointed to, not copied. A
 * grant has costs, and no limit twice. |results| and |decision| may be NULL. Returns 0 or RLC_ERR_INVALID. */
int rlc__batch_read(rlc__batch *b, rlc__op op, const rlc_limit *limits, size_t n,
                    const rlc_result *results, const rlc_decision *decision);

/* Copies the keys, groups and names of |n| |items| to |to|, of rlc__items_size bytes, and has them point
 * there. */
size_t rlc__items_size(const rlc__item *items, size_t n);
void rlc__items_own(rlc__item *items, size_t n, char *to);

/* Whether |results| can take those of |b|. */
int rlc__batch_fits(const rlc__batch *b, const rlc_result *results);

/* Makes one item of those that have become the same state since their policies were replaced. */
void rlc__batch_merge(rlc__batch *b);
/* Has the items whose result says that they are banned stand behind those that the store is asked of. */
void rlc__batch_set_banned_aside(rlc__batch *b);

/* Counts the decision that the store has made, and gives it to the caller. Returns 0 or RLC_DEGRADED. */
int rlc__batch_give(const rlc__batch *b, rlc__counters *counters, rlc_result *results,
                    rlc_decision *decision);

#endif
