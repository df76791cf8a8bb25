/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_TOKEN_BUCKET_H
#define RLCORE_TOKEN_BUCKET_H

#include "algorithm/algorithm.h"

/* The three algorithms share one shape, each over one rate and its words; algorithm.h says what the
 * functions do, algorithm.c puts the rates of a stack together. */
int rlc__token_bucket_step(const rlc__rate *rate, uint64_t *word, rlc__op op, int64_t now_us,
                           uint64_t cost);
int rlc__token_bucket_take_back(const rlc__rate *rate, uint64_t *word, int64_t now_us, uint64_t cost,
                                int64_t charged_us);
uint64_t rlc__token_bucket_left(const rlc__rate *rate, const uint64_t *word, int64_t now_us);
void rlc__token_bucket_describe(const rlc__rate *rate, const uint64_t *word, int64_t now_us,
                                uint64_t cost, int allowed, rlc_result *out);
int64_t rlc__token_bucket_expiry(const rlc__rate *rate, const uint64_t *word);

#endif
