/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_TABLE_H
#define RLCORE_TABLE_H

#include "store/region.h"
#include "store/store.h"

/* The store whose states lie in a region: `memory:`, `shm:`, and the guard's local fallback. */

/* Decides |call| on the table in |region|; see rlc__store_ops. Returns 0, or RLC__ERR_UNAVAILABLE
 * where a lock of the region was destroyed. */
int rlc__table_decide(rlc__region *region, rlc__call *call);

/* Makes a store of |region|, which it owns from then on (also on failure), as it does |fd| (-1:
 * none). |offered|: rlc_limiter_get_shm_fd tells the descriptor. Returns 0 or RLC_ERR_NOMEM. */
int rlc__table_store_new(rlc__store **out, rlc__region *region, int fd, int offered,
                         const rlc_options *options, char *why, size_t why_size);

/* A table of |slots| (0: the default) in memory that this process shares with the children it forks
 * later. Returns 0, or a public rlc_error with a sentence in |why|. */
int rlc__anonymous_store_new(rlc__store **out, uint64_t slots, const rlc_options *options,
                             char *why, size_t why_size);

#endif
