/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_PARSE_H
#define RLCORE_PARSE_H

#include "policy/policy.h"

/* The parts of rlc_policy_new. */

/* Fills algorithm, rates and rate of |policy| from |text|. Returns 0, or RLC_ERR_POLICY with a
 * sentence in |why|. */
int rlc__policy_parse(rlc_policy *policy, const char *text, char *why, size_t why_size);

/* The name an algorithm has in a policy. */
const char *rlc__algorithm_name(rlc_algorithm algorithm);

/* Divides |n| |rates| by |parts| and prepares them anew. Returns 0, or -1 where one cannot be. */
int rlc__rates_share(rlc__rate *rates, unsigned n, rlc_algorithm algorithm, uint64_t parts);

#endif
