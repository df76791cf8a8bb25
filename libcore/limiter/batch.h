/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_BATCH_H
#define RLCORE_BATCH_H

#include "limiter/counters.h"
#include "store/store.h"

/* A caller's limits as a store takes them, and a store's results as the caller takes them. The same
 * limit twice is one item. */
typedef struct rlc__batch {
  rlc__item items[RLC_MAX_LIMITS];
  rlc__call call; /* of |items| */
  size_t n;       /* the caller's limits */
  unsigned char item_of[RLC_MAX_LIMITS]; /* for each of them the item that stands for it */
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

/* Counts the decision that the store has made, and gives it to the caller. Returns 0 or RLC_DEGRADED. */
int rlc__batch_give(const rlc__batch *b, rlc__counters *counters, rlc_result *results,
                    rlc_decision *decision);

#endif
