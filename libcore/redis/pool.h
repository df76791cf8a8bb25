/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_POOL_H
#define RLCORE_POOL_H

#include <openssl/evp.h>

#include "redis/transport.h"

/*
 * The connections of a store that no decision is using. The one used last goes out first, so that a
 * process has in effect one for each thread that decides at the same time, and the rest stay idle.
 *
 * After fork, the first call in the child closes the connections it inherited without sending a
 * word on them (they are the parent's) and starts an empty pool. What another thread was using at
 * the fork costs the child its memory, about a kilobyte each. A thread does not fork between its
 * own get and put.
 */
typedef struct rlc__pool rlc__pool;

/* A connection, and what else a decision needs for itself. */
typedef struct rlc__link {
  rlc__connection connection;
  EVP_MD_CTX *hash; /* for rlc__keyname_hash */
  int in_use;
  struct rlc__link *next_idle;
  struct rlc__link *next; /* all of the pool's */
  struct rlc__link *previous;
} rlc__link;

/* Keeps at most |idle_most| connections. Returns 0, RLC_ERR_NOMEM or RLC_ERR_SYSTEM. */
int rlc__pool_new(rlc__pool **out, size_t idle_most, const rlc_memory *memory);
/* No link may be out. */
void rlc__pool_del(rlc__pool *pool);

/* Returns a link whose connection is open, or closed where none is idle; NULL when memory runs out.
 * It is the caller's alone until it is put back. */
rlc__link *rlc__pool_get(rlc__pool *pool);
/* Takes |link| back. A closed connection is dropped. */
void rlc__pool_put(rlc__pool *pool, rlc__link *link);

#endif
