/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_STORE_H
#define RLCORE_STORE_H

#include "algorithm/algorithm.h"
#include "base/log.h"
#include "base/options.h"
#include "rlcore/rlcore.h"
#include "store/url.h"

/*
 * Where state lives. A store is a struct of functions with one contract; the limiter and the
 * stores that wrap a store know nothing else of it, and one contract test runs against all.
 */
typedef struct rlc__store rlc__store;

/* One limit of a call, checked and named by the limiter. No two items of a call have the same
 * policy state (key, name and algorithm): the limiter has added their costs up. */
typedef struct rlc__item {
  const rlc_policy *policy;
  const void *key;
  size_t key_len;
  const char *name;     /* the limit's name, or the policy's id */
  size_t name_len;
  uint64_t cost;
  rlc_fail fail;        /* the guard's affair */
  rlc_result result;    /* out */
} rlc__item;

typedef struct rlc__call {
  rlc__op op;
  rlc__item *items;     /* all or nothing */
  size_t n;             /* 1 .. RLC_MAX_LIMITS */
  int64_t deadline_us;  /* CLOCK_MONOTONIC; only stores that can wait read it */
  int64_t now_us;       /* a test's time, or 0: the store's own clock */
} rlc__call;

typedef struct rlc__store_ops {
  /* Decides all items and fills their results: source RLC_SOURCE_STORE, `allowed` of each item
   * alone. Where op is check and any item denies, nothing is charged and each result tells of the
   * state as it was. Returns 0, or an rlc__error: then nothing is said, the results are undefined,
   * and a command may have been charged only after RLC__ERR_TIMEOUT or _UNAVAILABLE. Never
   * returns later than the deadline by more than a scheduling delay. */
  int (*decide)(rlc__store *store, rlc__call *call);
  /* Adds what this store knows to |stats|; never resets a member. May be NULL. */
  void (*get_stats)(rlc__store *store, rlc_stats *stats);
  /* Returns the descriptor of a shared table, or -1. May be NULL. */
  int (*get_fd)(const rlc__store *store);
  void (*del)(rlc__store *store);
} rlc__store_ops;

/* Every store begins with this. */
struct rlc__store {
  const rlc__store_ops *ops;
};

/* The constructors. |url| is parsed; |options| never NULL. All return 0, or a public rlc_error with
 * a sentence in |why|. */

/* `memory:`: the table in memory of this process. */
int rlc__memory_store_new(rlc__store **out, const rlc__url *url, const rlc_options *options,
                          char *why, size_t why_size);
/* `shm:` and `shm:/path`. */
int rlc__shm_store_new(rlc__store **out, const rlc__url *url, const rlc_options *options, char *why,
                       size_t why_size);
/* `redis:` and `redis+unix:`. No connection is made here; addresses are resolved here. */
int rlc__redis_store_new(rlc__store **out, const rlc__url *url, const rlc_options *options,
                         char *why, size_t why_size);
/* Wraps |inner|, which it owns from then on (also on failure): breaker and fail policy. Its local
 * fallback is a table in memory shared with the processes forked later. */
int rlc__guard_store_new(rlc__store **out, rlc__store *inner, const rlc__url *url,
                         const rlc_options *options, char *why, size_t why_size);

#endif
