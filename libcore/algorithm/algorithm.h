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
 */
#define RLC__STATE_WORDS (2 * RLC_MAX_RATES)

typedef enum rlc__op {
  RLC__OP_CHECK,  /* charge if there is room */
  RLC__OP_PEEK,   /* answer as check would, change nothing */
  RLC__OP_CHARGE, /* charge down to an empty capacity */
  RLC__OP_REFUND, /* give back */
  RLC__OP_RESET   /* forget: the stores' own affair, no transition */
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

/* Tells what |state|, as step left it, means at |now_us|: every member of |out| but size and
 * source. |allowed| is step's answer. */
void rlc__algorithm_describe(const rlc_policy *policy, const uint64_t *state, int64_t now_us,
                             uint64_t cost, int allowed, rlc_result *out);

/* Returns the microsecond from which |state| means no more than an empty one. */
int64_t rlc__algorithm_expiry(const rlc_policy *policy, const uint64_t *state);

#endif
