/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_RULES_H
#define RLCORE_RULES_H

#include "limiter/batch.h"
#include "limiter/catalog.h"
#include "limiter/denials.h"
#include "limiter/keeper.h"
#include "store/store.h"

/*
 * What a limiter does with its store's index. rules.c stands around each decision: it puts the policies of
 * overrides and tiers in place, refuses who is banned without asking the store, and counts denials.
 * upkeep.c brings this process's copy of the index up to date and hands the denials on.
 *
 * A table's version is read from memory, and a decision that finds another brings the copy up to date
 * itself. Of Redis a task of the helper thread asks for news each second, from the first decision on; after
 * a minute without any it stops until the next.
 */
typedef struct rlc__rules rlc__rules;

/* |store|, |keeper| and |options|' clock are used for as long as the rules live. Returns 0 or
 * RLC_ERR_NOMEM. */
int rlc__rules_new(rlc__rules **out, rlc__store *store, rlc__keeper *keeper, int64_t timeout_us,
                   const rlc_options *options);
/* Hands on what was counted, as far as the store answers. No decision is under way. */
void rlc__rules_del(rlc__rules *rules);

/* --- around a decision ----------------------------------------------------------------------- */

/* Changes |b|, whose times are set, to what the index says. |tells|: the results of all limits are wanted.
 * Returns whether the store is to be asked; results that it does not give are there. */
int rlc__rules_before(rlc__rules *rules, rlc__batch *b, int tells);
/* Lets |b| live on after the caller's return: what the index gave it stays until rlc__rules_end. */
void rlc__rules_keep(rlc__batch *b);
/* Once, when |b| was decided: counts denials. */
static inline void rlc__rules_after(rlc__rules *rules, const rlc__batch *b);
/* Once for each rlc__rules_before, last: the index's policies may go. */
static inline void rlc__rules_end(rlc__batch *b);

/* The parts of these two that most decisions do not need. */
void rlc__rules_count(rlc__rules *rules, const rlc__batch *b);
void rlc__rules_let_go(rlc__batch *b);

static inline void rlc__rules_after(rlc__rules *rules, const rlc__batch *b) {
  for (size_t i = 0; i < b->call.n; ++i) {
    if (!b->items[i].result.allowed && b->items[i].policy->ban.most > 0) {
      rlc__rules_count(rules, b);
      break;
    }
  }
}

static inline void rlc__rules_end(rlc__batch *b) {
  if (b->reading.inside != NULL || b->kept) {
    rlc__rules_let_go(b);
  }
}

/* --- upkeep ---------------------------------------------------------------------------------- */

/* Hands on denials and asks for news, now. Returns 0, RLC_ERR_NOMEM, or an rlc__error. */
int rlc__rules_refresh(rlc__rules *rules);
/* The store's index, for what is no decision: sets the deadline and a test's time. Returns as the store. */
int rlc__rules_index(rlc__rules *rules, rlc__index_call *call);
/* Fills |hash| for |key|, from memory where it was asked for lately. Returns 0 or RLC_ERR_NOMEM. */
int rlc__rules_identify(rlc__rules *rules, const void *key, size_t key_len,
                        char hash[RLC__ENTRY_HASH]);
/* Forgets the denials of |key| that were counted here under |name| and not handed on. */
void rlc__rules_forget(rlc__rules *rules, const void *key, size_t key_len, const char *name);
uint32_t rlc__rules_entries(const rlc__rules *rules);

/* How many bytes of |text| a display name takes: no character of UTF-8 is cut in two. */
size_t rlc__display_cut(const void *text, size_t len);

#endif
