/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_REFUSAL_H
#define RLCORE_REFUSAL_H

#include <hiredis/hiredis.h>
#include <stddef.h>

#include "redis/endpoint.h"

/* What an error reply means for the command that it answers. The kinds before RLC__REFUSED say for
 * certain that the command has not run, or has written nothing: it may be sent again, within the
 * deadline. Those from RLC__REFUSED on say nothing of what was written: a script may have got so
 * far. */
typedef enum rlc__refusal {
  RLC__ANSWERED,     /* no error */
  RLC__NOSCRIPT,     /* again, with the script's text */
  RLC__MOVED,        /* again, to another server, which owns the slot from now on */
  RLC__ASK,          /* again, this once, to another server, after ASKING */
  RLC__TRYAGAIN,     /* again, a little later */
  RLC__CLUSTERDOWN,  /* the same */
  RLC__LOADING,      /* the same: it has just started */
  RLC__READONLY,     /* again, to whoever is master now (READONLY, MASTERDOWN; UNBLOCKED is none) */
  RLC__LOGIN,        /* NOAUTH, WRONGPASS: no command of ours is taken */
  RLC__REFUSED,      /* NOPERM, OOM, BUSY, MISCONF, and whatever else stops every command */
  RLC__BAD_STATE     /* WRONGTYPE, an error in a script: one key holds what is no state of ours */
} rlc__refusal;

rlc__refusal rlc__refusal_of(const redisReply *reply);

/* Reads "MOVED 3999 127.0.0.1:6381" or "ASK ...". An empty host ("MOVED 3999 :6381") is |asked|'s.
 * IPv6 addresses stand without brackets: the last colon ends the host. Returns 0 or
 * RLC__ERR_PROTOCOL. */
int rlc__refusal_redirect(const redisReply *reply, const rlc__endpoint *asked, unsigned *slot,
                          rlc__endpoint *to);

#endif
