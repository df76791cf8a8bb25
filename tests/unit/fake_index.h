/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKE_INDEX_H
#define FAKE_INDEX_H

#include <pthread.h>

#include "limiter/limiter.h"

/* A store over an array, which does what a test says and counts what it was asked. */
typedef struct fake_store {
  rlc__store base; /* first */
  pthread_mutex_t mutex;
  /* decisions */
  int denies;              /* a limit denies where its cost is above this; -1: as never */
  rlc_source source;       /* of its answers */
  unsigned calls;
  rlc__op op;              /* of the last call */
  size_t n;                /* its items */
  uint64_t cost;           /* of its first */
  char policy[RLC__POLICY_TEXT_SIZE]; /* the same */
  /* the index */
  rlc__entry entries[64];
  uint64_t versions[64];
  size_t used;
  uint64_t version;
  int64_t now_us;
  int fails;               /* an rlc__error that index calls return, or 0 */
  int fails_denied;        /* one of denials alone */
  unsigned asked;          /* for news */
  unsigned batches;        /* of denials */
  unsigned identified;
  uint64_t denials;        /* in them, all counts together */
  rlc__denials last;       /* the last of the last batch */
} fake_store;

/* A limiter on a fake store of its own. |polls|: only asking tells of news. |clock| may be NULL. */
rlc_limiter *fake_open(int polls, rlc_clock_fn *clock, rlc_log_fn *log, const rlc_memory *memory);
/* The store behind it, which rlc_limiter_del ends. */
fake_store *fake_of(rlc_limiter *limiter);
/* What another program does: puts |entry|, or takes it away where it is gone. */
void fake_put(fake_store *store, const rlc__entry *entry);
/* An entry of |key|, NULL for a tier. */
rlc__entry fake_entry(rlc_entry_kind kind, const char *key, const char *name, const char *text);

#endif
