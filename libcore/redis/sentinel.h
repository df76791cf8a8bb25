/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_SENTINEL_H
#define RLCORE_SENTINEL_H

#include <hiredis/hiredis.h>
#include <stddef.h>

#include "redis/endpoint.h"

/* What sentinels and servers say of who is master. Pure: no socket is touched here. */

/* Reads the reply to SENTINEL GET-MASTER-ADDR-BY-NAME. Returns 0; RLC__ERR_REFUSED where the
 * sentinel knows no such master (a nil) or answers an error; RLC__ERR_PROTOCOL. A sentence in
 * |why|. */
int rlc__sentinel_read_master(const redisReply *reply, rlc__endpoint *out, char *why,
                              size_t why_size);

/* Reads the reply to ROLE. Returns 1 for a master, 0 for a replica or a sentinel, RLC__ERR_REFUSED
 * for an error (an access list may forbid ROLE), or RLC__ERR_PROTOCOL. */
int rlc__role_is_master(const redisReply *reply);

#endif
