/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_BAN_H
#define RLCORE_BAN_H

#include <stddef.h>
#include <stdint.h>

/* What a policy's `ban=` says: see rlc_policy_new. */
typedef struct rlc__ban {
  uint32_t most;      /* banned at so many denials; 0: never */
  uint64_t within_s;  /* in a window of this length */
  uint64_t first_s;   /* the first ban's length */
  uint64_t longest_s; /* that of one after several */
} rlc__ban;

/* The longest canonical text of one, its NUL included: "1000000000/316224000s:..." */
#define RLC__BAN_TEXT 64

/* Writes `n/window:time[:longest]` in the one form that bans of this meaning have. */
void rlc__ban_format(const rlc__ban *ban, char buf[RLC__BAN_TEXT]);

#endif
