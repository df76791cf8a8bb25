/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_DENIALS_H
#define RLCORE_DENIALS_H

#include "store/index.h"

/*
 * The denials that policies with `ban=` have made in this process and not handed on yet: so many keys at
 * most; what has no room is dropped, and counted. Safe from every thread; a forked child begins with none.
 */
typedef struct rlc__denials_table rlc__denials_table;

/* The most keys. */
#define RLC__DENIALS_KEYS 1024u

/* Returns 0 or RLC_ERR_NOMEM. */
int rlc__denials_new(rlc__denials_table **out, const rlc_memory *memory);
void rlc__denials_del(rlc__denials_table *table);

/* Counts one denial of whom |id| stands for at |now_us| (CLOCK_MONOTONIC). Returns how many there are by
 * now, or 0: this is the first, and whoever counts says by rlc__denials_open whose it is. */
uint32_t rlc__denials_add(rlc__denials_table *table, uint64_t id, int64_t now_us);
/* Begins to count |first|, whose count is 1. Returns how many there are, or 0 where there is no room. */
uint32_t rlc__denials_open(rlc__denials_table *table, uint64_t id, const rlc__denials *first,
                           int64_t now_us);

/* Forgets what was counted of |id|. */
void rlc__denials_forget(rlc__denials_table *table, uint64_t id);

/* Takes up to |n| away into |out|; those whose first denial is longer ago than their window are forgotten.
 * Returns how many. */
size_t rlc__denials_take(rlc__denials_table *table, rlc__denials *out, size_t n, int64_t now_us);

/* How many keys are counted, and how many denials had no room since the table was made. */
uint32_t rlc__denials_keys(const rlc__denials_table *table);
uint64_t rlc__denials_dropped(const rlc__denials_table *table);

#endif
