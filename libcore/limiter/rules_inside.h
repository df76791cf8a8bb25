/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_RULES_INSIDE_H
#define RLCORE_RULES_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include "limiter/rules.h"

/* What rules.c and upkeep.c have in common. */

/* Hashes of keys asked for lately, by a hash that is cheaper. */
#define RLC__MEMOS 2048u

/* Three words that fit together, or the memo is none: writers do not wait for each other. */
typedef struct rlc__memo {
  _Atomic uint64_t check; /* id ^ hash[0] ^ hash[1] */
  _Atomic uint64_t hash[2];
} rlc__memo;

typedef struct rlc__upkeep {
  rlc__task task;
  rlc__rules *rules;
} rlc__upkeep;

/* Of this process alone: a forked child begins anew. */
typedef struct rlc__rules_page {
  _Atomic int used;           /* decisions were made since the task ran last */
  _Atomic uint64_t version;   /* of the copy */
  _Atomic uint64_t hopeless;  /* a version that could not be had; 0: none */
  _Atomic int64_t ahead_us;   /* the store's clock, of CLOCK_BOOTTIME */
  _Atomic int hurried;        /* the task was told to run soon, and has not yet */
  _Atomic uint64_t dropped_bans; /* for which the store had no room, since that was told */
  uint64_t told_denials;      /* that had no room here, when that was told; the task's own */
  int64_t told_us;
  _Atomic int running;        /* the task is the keeper's; changed under |planning| */
  _Atomic int idle;           /* runs of the task in a row without a decision */
  pthread_mutex_t changing;   /* held while the copy is changed */
  pthread_mutex_t planning;   /* over the task */
  int complained;             /* that it cannot run */
  int64_t retry_us;           /* then: not to be tried before */
  rlc__upkeep upkeep;
  rlc__memo memos[RLC__MEMOS];
} rlc__rules_page;

struct rlc__rules {
  rlc_memory memory;
  rlc__log log;
  rlc__store *store;
  rlc__keeper *keeper;
  rlc__catalog *catalog;
  rlc__denials_table *denials;
  rlc_clock_fn *clock;
  void *clock_user;
  int64_t timeout_us;
  uint8_t seed[16];
  int polls;                  /* only asking tells whether there is news */
  int display;
  rlc__rules_page *page;
};

/* The store's time, as far as is known here. */
int64_t rlc__rules_now(const rlc__rules *rules, const rlc__call *call);

/* Brings the copy of a table's index to |version|, unless another thread does. */
void rlc__rules_catch_up(rlc__rules *rules, uint64_t version);
/* Has the helper thread run soon, at the first decision since it ran last. */
void rlc__rules_wake(rlc__rules *rules);
/* Denials are there: of a key so many, if |enough|, that they make a ban. */
void rlc__rules_denied(rlc__rules *rules, int enough);

#endif
