/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_STORE_H
#define RLCORE_STORE_H

#include "algorithm/algorithm.h"
#include "base/log.h"
#include "base/options.h"
#include "base/waiter.h"
#include "rlcore/rlcore.h"
#include "store/index.h"
#include "store/url.h"

/*
 * Where state lives. A store is a struct of functions with one contract; the limiter and the
 * stores that wrap a store know nothing else of it, and one contract test runs against all.
 */
typedef struct rlc__store rlc__store;

/* One limit of a call, checked and named by the limiter. No two items of a call have the same
 * policy state (group, key, name and algorithm): the limiter has added their costs up. */
typedef struct rlc__item {
  const rlc_policy *policy;
  const void *key;
  size_t key_len;
  const void *group;    /* part of the state's identity; redis: what chooses its slot */
  size_t group_len;     /* 0: none */
  const char *name;     /* the limit's name, or the policy's id */
  size_t name_len;
  uint64_t cost;
  rlc_fail fail;        /* the guard's affair */
  int64_t charged_us;   /* a receipt: the store's time of the charge. Out of a check, charge or grant
                           where call->receipts is set, 0 where nothing was charged; in for take-back
                           and renew, and renew gives the new one, 0 where it was lost */
  rlc_result result;    /* out; its source is in for take-back and renew: who gave the receipt */
  int64_t mirrored_us;  /* the guard's own receipt, beside |charged_us| where the store gave that: when */
  uint64_t mirrored;    /* so many units were charged in this machine's table too. In for take-back: so
                           many of them go */
} rlc__item;

typedef struct rlc__call {
  rlc__op op;
  rlc__item *items;     /* all or nothing */
  size_t n;             /* 1 .. RLC_MAX_LIMITS */
  int64_t deadline_us;  /* CLOCK_MONOTONIC; only stores that can wait read it */
  int64_t now_us;       /* a test's time, or 0: the store's own clock */
  int receipts;         /* charged_us of the items is wanted */
} rlc__call;

typedef struct rlc__store_ops {
  /* Decides all items and fills their results: source RLC_SOURCE_STORE, `allowed` of each item alone,
   * `charged` what was. Where op is check or grant and any item denies, nothing is charged and each result
   * tells of the state as it was. A take-back and a renewal leave the results alone, but for what an item's
   * receipt says: of a renewal that failed, also where it is a new one. Returns 0, or an rlc__error: then
   * nothing is said, the results are undefined, and a command may have been charged only after
   * RLC__ERR_TIMEOUT or _UNAVAILABLE. Never returns later than the deadline by more than a scheduling
   * delay. */
  int (*decide)(rlc__store *store, rlc__call *call);
  /* For event loops; NULL where `decide` never waits. Not for take-back and renew. Starts a decision
   * without waiting. Returns as `decide` where it is decided at once; else RLC_PENDING and |*out|, and
   * |call|, its items, what they name and |waiter| stay until `advance` has answered or `abandon` was
   * called. */
  int (*submit)(rlc__store *store, rlc__call *call, rlc__waiter *waiter, void **out);
  /* Goes on with |pending|. Returns RLC_PENDING, or as `decide`: then it is gone. */
  int (*advance)(rlc__store *store, void *pending);
  /* Forgets |pending|, whose command may still be charged. */
  void (*abandon)(rlc__store *store, void *pending);
  /* |waiter| goes; nothing of it is pending. NULL where `submit` is. */
  void (*unwatch)(rlc__store *store, const rlc__waiter *waiter);
  /* Asks in the background whether the store answers. Returns 1 if it has since the probe was begun, -1
   * if it has not, 0 while that is being found out. Never waits. NULL: only a decision tells. */
  int (*probe)(rlc__store *store);
  /* A number that changes when a store that had failed may answer again, which is then worth a probe.
   * Never waits. NULL: nobody knows. */
  uint32_t (*news)(rlc__store *store);
  /* Fills |hash| for |key| as the index of this store knows it. Returns 0 or RLC_ERR_NOMEM. */
  int (*identify)(rlc__store *store, const void *key, size_t key_len,
                  char hash[RLC__ENTRY_HASH]);
  /* Does what |call| says with the index. Returns 0, RLC_ERR_FULL, RLC_ERR_LOST, RLC_ERR_NOMEM,
   * RLC_ERR_INVALID (an entry or a denial that no reader would take for one; nothing was done), or an
   * rlc__error: the store did not answer. */
  int (*index)(rlc__store *store, rlc__index_call *call);
  /* The index's version, read from memory at no cost. NULL where only `index` tells. */
  uint64_t (*index_version)(rlc__store *store);
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
/* `redis:` and all that begin with "redis". No connection is made and no name looked up here. */
int rlc__redis_store_new(rlc__store **out, const rlc__url *url, const rlc_options *options,
                         char *why, size_t why_size);
/* Wraps |inner|, which it owns from then on (also on failure): breaker and fail policy. Its local
 * fallback is a table in memory shared with the processes forked later. */
int rlc__guard_store_new(rlc__store **out, rlc__store *inner, const rlc__url *url,
                         const rlc_options *options, char *why, size_t why_size);

#endif
