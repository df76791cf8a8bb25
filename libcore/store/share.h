/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_SHARE_H
#define RLCORE_SHARE_H

#include "policy/policy.h"

/* Remembers which policy is a machine's share of which, so that a decision need not make it anew.
 * Keyed by canonical text: the caller's policies come and go. */
typedef struct rlc__shares rlc__shares;

/* Returns NULL when memory runs out. Shares are 1/|parts| of the whole. */
rlc__shares *rlc__shares_new(const rlc_memory *memory, uint64_t parts);
void rlc__shares_del(rlc__shares *shares);

/* Returns the share of |whole|, which is |whole| itself where there is one part. Where the table has no
 * place for it, it is made for this once: stores it in |*own|, else NULL, for the caller to delete. NULL where
 * there is none or memory runs out. */
const rlc_policy *rlc__shares_get(rlc__shares *shares, const rlc_policy *whole, rlc_policy **own);

#endif
