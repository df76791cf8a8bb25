/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_ALGORITHM_LOG_H
#define RLCORE_ALGORITHM_LOG_H

#include "algorithm/algorithm.h"

/*
 * "Logs" of spec.md: sliding-log and concurrency. A state is |state[0]|, how many words follow that are to
 * be looked at, or 0: none; one word that says for how long units are remembered; and a time stamp for each
 * unit, in no order, 0 where a word is free. Stepping may use RLC__LOG_WORDS.
 */

/* What a rate of a log says at a time. */
typedef struct rlc__log_view {
  uint64_t used;
  int64_t retry_us; /* until the cost fits; 0 where it does, or never will */
  int64_t reset_us; /* until nothing counts any more */
} rlc__log_view;

/* As rlc__algorithm_step. |*charged| is the units that were added. */
int rlc__log_step(const rlc_policy *policy, uint64_t *state, rlc__op op, int64_t now_us,
                  uint64_t cost, uint64_t *charged);
/* Removes up to |cost| units of the stamp |charged_us| that still count. Returns step flags. */
int rlc__log_take_back(const rlc_policy *policy, uint64_t *state, int64_t now_us, uint64_t cost,
                       int64_t charged_us);
/* Makes |cost| units of the stamp |charged_us| begin now; if fewer still count it is denied, and
 * nothing is changed. */
int rlc__log_renew(const rlc_policy *policy, uint64_t *state, int64_t now_us, uint64_t cost,
                   int64_t charged_us);

/* Fills |view|, of as many entries as |policy| has rates. */
void rlc__log_look(const rlc_policy *policy, const uint64_t *state, int64_t now_us, uint64_t cost,
                   rlc__log_view *view);
/* Whether |cost| fits the rates that were looked at. */
int rlc__log_fits(const rlc_policy *policy, const rlc__log_view *view, uint64_t cost);
/* As rlc__algorithm_describe, from what was looked at. */
void rlc__log_tell(const rlc_policy *policy, const rlc__log_view *view, uint64_t cost, int allowed,
                   rlc_result *out);
/* The longest window of |policy|: units older than that are forgotten. */
uint64_t rlc__log_longest(const rlc_policy *policy);
/* For how long units are remembered in |state| at most: the longest window of a policy that they may still
 * mean something to. */
uint64_t rlc__log_held(const uint64_t *state);
int64_t rlc__log_expiry(const rlc_policy *policy, const uint64_t *state);

/* How many units |rate| may count in the end: where checks stop, or charges. */
static inline uint64_t rlc__log_most(const rlc__rate *rate) {
  return rate->most;
}

#endif
