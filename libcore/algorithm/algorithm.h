/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_ALGORITHM_H
#define RLCORE_ALGORITHM_H

#include "policy/policy.h"

/*
 * State transitions: (state, policy, now, cost) -> (state, decision). Pure integers; the clock is an
 * argument. spec.md beside this file is the specification that this code, the Lua scripts and the
 * oracle of the tests are written from.
 *
 * A state is one to RLC__STATE_WORDS words, all zero for a key that was never charged:
 *   token bucket     one word a rate: the microsecond at which the bucket is full again << 10 |
 *                    the level (policy/level.h) of the rate that it refills at
 *   fixed window     one word a rate: the window's end in seconds << 32 | count
 *   sliding window   two words a rate: the window's end in seconds << 32 | count; the count of the
 *                    window before
 * and for all rates together, up to RLC__LOG_WORDS:
 *   sliding log, concurrency   how many words follow; how long units are remembered; a time stamp for
 *                              each, or 0 (log.h)
 */
#define RLC__STATE_WORDS (2 * RLC_MAX_RATES)
#define RLC__LOG_WORDS (2 + RLC_MAX_LOG)

typedef enum rlc__op {
  RLC__OP_CHECK,  /* charge if there is room */
  RLC__OP_PEEK,   /* answer as check would, change nothing */
  RLC__OP_CHARGE, /* charge down to an empty capacity, or as far as the debt goes */
  RLC__OP_REFUND, /* give back */
  RLC__OP_RESET,  /* forget: the stores' own affair, no transition */
  RLC__OP_GRANT,  /* the stores': check with what all limits have room for */
  RLC__OP_TAKE_BACK, /* give back what was charged at a known time: rlc__algorithm_take_back */
  RLC__OP_RENEW   /* a lease of concurrency begins anew: rlc__algorithm_renew */
} rlc__op;

typedef enum rlc__step {
  RLC__STEP_DENIED = 0,
  RLC__STEP_ALLOWED = 1,
  RLC__STEP_CHANGED = 2 /* a flag: the state is to be written (also beside denied: clamped) */
} rlc__step;

/* Returns how many words the state of |policy| has. */
unsigned rlc__state_words(const rlc_policy *policy);

/* Applies |op| with |cost| at |now_us| to |state|. Returns RLC__STEP_ALLOWED or _DENIED, with
 * RLC__STEP_CHANGED where the words differ from before and must be kept. A peek and a cost of 0
 * change nothing; a denial nothing but a state beyond what the clock allows, which is clamped. */
int rlc__algorithm_step(const rlc_policy *policy, uint64_t *state, rlc__op op, int64_t now_us,
                        uint64_t cost);

/* Takes back of |state| what a check of |cost| has charged at |charged_us|, as far as that is certainly
 * still taken: "Taking back" in spec.md. Returns as step, always allowed. */
int rlc__algorithm_take_back(const rlc_policy *policy, uint64_t *state, int64_t now_us,
                             uint64_t cost, int64_t charged_us);

/* Makes |cost| slots of concurrency that were taken at |charged_us| begin now. Returns step flags;
 * RLC__STEP_DENIED where fewer are left, and nothing is changed. Of the other algorithms none is. */
int rlc__algorithm_renew(const rlc_policy *policy, uint64_t *state, int64_t now_us, uint64_t cost,
                         int64_t charged_us);

/* Returns how many units of |cost| a charge takes of |state|: of a stack, by the rate that takes most. Not of
 * logs, whose step tells. */
uint64_t rlc__algorithm_charged(const rlc_policy *policy, const uint64_t *state, int64_t now_us,
                                uint64_t cost);

/* Tells what |state|, as step left it, means at |now_us|: every member of |out| but size,
 * source and charged. |allowed| is step's answer. */
void rlc__algorithm_describe(const rlc_policy *policy, const uint64_t *state, int64_t now_us,
                             uint64_t cost, int allowed, rlc_result *out);

/* Whether |a| binds more than |b|: refused with the longer wait, or |allowed| with less left. */
int rlc__algorithm_binds(const rlc_result *a, const rlc_result *b, int allowed);

/* Returns the microsecond from which |state| means no more than an empty one. */
int64_t rlc__algorithm_expiry(const rlc_policy *policy, const uint64_t *state);

#endif
