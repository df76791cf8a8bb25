/* SPDX-License-Identifier: Apache-2.0 */
#include "algorithm/algorithm.h"

#include <string.h>

#include "algorithm/fixed_window.h"
#include "algorithm/log.h"
#include "algorithm/sliding_window.h"
#include "algorithm/token_bucket.h"

/* One algorithm over one rate. */
typedef struct rate_algorithm {
  unsigned words;
  int (*step)(const rlc__rate *rate, uint64_t *words, rlc__op op, int64_t now_us, uint64_t cost);
  /* Where all rates together did not allow |cost|, the rate itself may have room for it. */
  void (*describe)(const rlc__rate *rate, const uint64_t *words, int64_t now_us, uint64_t cost,
                   int allowed, rlc_result *out);
  int64_t (*expiry)(const rlc__rate *rate, const uint64_t *words);
  int (*take_back)(const rlc__rate *rate, uint64_t *words, int64_t now_us, uint64_t cost,
                   int64_t charged_us);
  uint64_t (*left)(const rlc__rate *rate, const uint64_t *words, int64_t now_us); /* for a charge */
} rate_algorithm;

static const rate_algorithm algorithms[] = {
    [RLC_TOKEN_BUCKET] = {1, rlc__token_bucket_step, rlc__token_bucket_describe,
                          rlc__token_bucket_expiry, rlc__token_bucket_take_back,
                          rlc__token_bucket_left},
    [RLC_FIXED_WINDOW] = {1, rlc__fixed_window_step, rlc__fixed_window_describe,
                          rlc__fixed_window_expiry, rlc__fixed_window_take_back,
                          rlc__fixed_window_left},
    [RLC_SLIDING_WINDOW] = {2, rlc__sliding_window_step, rlc__sliding_window_describe,
                            rlc__sliding_window_expiry, rlc__sliding_window_take_back,
                            rlc__sliding_window_left},
};

unsigned rlc__state_words(const rlc_policy *policy) {
  if (rlc__is_log(policy->algorithm)) {
    return RLC__LOG_WORDS;
  }
  return algorithms[policy->algorithm].words * policy->rates;
}

/* Steps every rate of a stack on a copy. Returns the step flags of all together. */
static int step_rates(const rlc_policy *policy, uint64_t *copy, rlc__op op, int64_t now_us,
                      uint64_t cost) {
  const rate_algorithm *a = &algorithms[policy->algorithm];
  int allowed = RLC__STEP_ALLOWED;
  int changed = 0;

  for (unsigned i = 0; i < policy->rates; ++i) {
    int step = a->step(&policy->rate[i], copy + i * a->words, op, now_us, cost);

    allowed &= step;
    changed |= step & RLC__STEP_CHANGED;
  }
  return allowed | changed;
}

/* Checks every rate of a stack on a copy of |state|. Where one refuses, none is charged: from there on, and
 * again before it, a cost that never fits leaves nothing but clamps. */
static int check_rates(const rlc_policy *policy, const uint64_t *state, uint64_t *copy,
                       int64_t now_us, uint64_t cost) {
  const rate_algorithm *a = &algorithms[policy->algorithm];
  unsigned passed = 0;
  int changed = 0;

  for (; passed < policy->rates; ++passed) {
    int step = a->step(&policy->rate[passed], copy + passed * a->words, RLC__OP_CHECK, now_us, cost);

    if (!(step & RLC__STEP_ALLOWED)) {
      changed = step & RLC__STEP_CHANGED;
      break;
    }
    changed |= step & RLC__STEP_CHANGED;
  }
  if (passed == policy->rates) {
    return RLC__STEP_ALLOWED | changed;
  }
  memcpy(copy, state, passed * a->words * sizeof *copy);
  for (unsigned i = 0; i < policy->rates; ++i) {
    if (i != passed) {
      changed |= a->step(&policy->rate[i], copy + i * a->words, RLC__OP_CHECK, now_us, UINT64_MAX) &
                 RLC__STEP_CHANGED;
    }
  }
  return changed;
}

int rlc__algorithm_step(const rlc_policy *policy, uint64_t *state, rlc__op op, int64_t now_us,
                        uint64_t cost) {
  uint64_t copy[RLC__STATE_WORDS];
  uint64_t charged;
  size_t bytes;
  int step;

  if (rlc__is_log(policy->algorithm)) {
    return rlc__log_step(policy, state, op, now_us, cost, &charged);
  }
  if (cost == 0 && (op == RLC__OP_CHARGE || op == RLC__OP_REFUND)) {
    op = RLC__OP_CHECK; /* which at no cost changes nothing */
  }
  if (policy->rates == 1) {
    return algorithms[policy->algorithm].step(&policy->rate[0], state, op, now_us, cost);
  }
  bytes = rlc__state_words(policy) * sizeof *state;
  memcpy(copy, state, bytes);
  step = op == RLC__OP_CHECK ? check_rates(policy, state, copy, now_us, cost)
                             : step_rates(policy, copy, op, now_us, cost);
  if (step & RLC__STEP_CHANGED) {
    memcpy(state, copy, bytes);
  }
  return step;
}

int rlc__algorithm_take_back(const rlc_policy *policy, uint64_t *state, int64_t now_us,
                             uint64_t cost, int64_t charged_us) {
  const rate_algorithm *a;
  int step = RLC__STEP_ALLOWED;

  if (rlc__is_log(policy->algorithm)) {
    return rlc__log_take_back(policy, state, now_us, cost, charged_us);
  }
  a = &algorithms[policy->algorithm];
  for (unsigned i = 0; cost > 0 && i < policy->rates; ++i) {
    step |= a->take_back(&policy->rate[i], state + i * a->words, now_us, cost, charged_us);
  }
  if (step & RLC__STEP_CHANGED && rlc__algorithm_expiry(policy, state) <= now_us) {
    memset(state, 0, rlc__state_words(policy) * sizeof *state); /* as a script does, which deletes it */
  }
  return step;
}

uint64_t rlc__algorithm_charged(const rlc_policy *policy, const uint64_t *state, int64_t now_us,
                                uint64_t cost) {
  const rate_algorithm *a = &algorithms[policy->algorithm];
  uint64_t most = 0;

  for (unsigned i = 0; i < policy->rates; ++i) {
    uint64_t left = a->left(&policy->rate[i], state + i * a->words, now_us);

    most = left > most ? left : most;
  }
  return cost < most ? cost : most;
}

int rlc__algorithm_renew(const rlc_policy *policy, uint64_t *state, int64_t now_us, uint64_t cost,
                         int64_t charged_us) {
  if (policy->algorithm == RLC_CONCURRENCY) {
    return rlc__log_renew(policy, state, now_us, cost, charged_us);
  }
  return RLC__STEP_DENIED;
}

int rlc__algorithm_binds(const rlc_result *a, const rlc_result *b, int allowed) {
  if (allowed) {
    return a->remaining < b->remaining;
  }
  if (a->retry_us == RLC_NEVER || b->retry_us == RLC_NEVER) {
    return a->retry_us == RLC_NEVER && b->retry_us != RLC_NEVER;
  }
  return a->retry_us > b->retry_us;
}

void rlc__algorithm_describe(const rlc_policy *policy, const uint64_t *state, int64_t now_us,
                             uint64_t cost, int allowed, rlc_result *out) {
  const rate_algorithm *a;
  int found = 0;

  if (rlc__is_log(policy->algorithm)) {
    rlc__log_view view[RLC_MAX_RATES];

    rlc__log_look(policy, state, now_us, cost, view);
    rlc__log_tell(policy, view, cost, allowed, out);
    return;
  }
  a = &algorithms[policy->algorithm];
  out->allowed = allowed & 1;
  if (policy->rates == 1) {
    out->rate_index = 0;
    a->describe(&policy->rate[0], state, now_us, cost, allowed & 1, out);
    return;
  }
  for (unsigned i = 0; i < policy->rates; ++i) {
    rlc_result one = RLC_RESULT_INIT;

    a->describe(&policy->rate[i], state + i * a->words, now_us, cost, allowed & 1, &one);
    if (!found || rlc__algorithm_binds(&one, out, allowed & 1)) {
      out->rate_index = i;
      out->limit = one.limit;
      out->remaining = one.remaining;
      out->window_us = one.window_us;
      out->retry_us = one.retry_us;
      out->reset_us = one.reset_us;
      found = 1;
    }
  }
}

int64_t rlc__algorithm_expiry(const rlc_policy *policy, const uint64_t *state) {
  const rate_algorithm *a;
  int64_t latest = 0;

  if (rlc__is_log(policy->algorithm)) {
    return rlc__log_expiry(policy, state);
  }
  a = &algorithms[policy->algorithm];
  for (unsigned i = 0; i < policy->rates; ++i) {
    int64_t expiry = a->expiry(&policy->rate[i], state + i * a->words);

    latest = expiry > latest ? expiry : latest;
  }
  return latest;
}
