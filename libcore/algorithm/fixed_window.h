/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_FIXED_WINDOW_H
#define RLCORE_FIXED_WINDOW_H

#include "algorithm/algorithm.h"

/* As token_bucket.h. */
int rlc__fixed_window_step(const rlc__rate *rate, uint64_t *word, rlc__op op, int64_t now_us,
                           uint64_t cost);
int rlc__fixed_window_take_back(const rlc__rate *rate, uint64_t *word, int64_t now_us, uint64_t cost,
                                int64_t charged_us);
uint64_t rlc__fixed_window_left(const rlc__rate *rate, const uint64_t *word, int64_t now_us);
void rlc__fixed_window_describe(const rlc__rate *rate, const uint64_t *word, int64_t now_us,
                                uint64_t cost, int allowed, rlc_result *out);
int64_t rlc__fixed_window_expiry(const rlc__rate *rate, const uint64_t *word);

#endif
