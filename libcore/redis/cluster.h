/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_CLUSTER_H
#define RLCORE_CLUSTER_H

#include <hiredis/hiredis.h>
#include <stddef.h>

#include "redis/endpoint.h"

/* What a Redis Cluster says of itself. Pure: no socket is touched here. */

#define RLC__SLOTS 16384u

/* The slot of |key|: CRC16 (XMODEM) of what lies between its first "{" and the next "}", or of all
 * of it where that is empty or missing, modulo RLC__SLOTS (Redis Cluster specification). */
unsigned rlc__cluster_slot(const char *key, size_t len);

/* Stores the server that |asked| speaks of as |host| of |len| bytes and |port|. Its own host stands
 * for one that is empty or "?" (cluster-preferred-endpoint-type). Returns 0 or
 * RLC__ERR_PROTOCOL. */
int rlc__cluster_endpoint(rlc__endpoint *out, const char *host, size_t len, long long port,
                          const rlc__endpoint *asked);

/* Is told of slots |first| to |last| and their master. Returns 0 to go on. */
typedef int rlc__cluster_range_fn(void *user, unsigned first, unsigned last,
                                  const rlc__endpoint *master);

/* Reads the reply to CLUSTER SLOTS of |asked|, whose own host stands where a master's is null,
 * empty or "?". Nothing is told of a reply that is wrong anywhere. Returns 0, what |each| returned,
 * or RLC__ERR_PROTOCOL: also for a range out of bounds, for a slot with two masters, and for a map
 * without one slot. */
int rlc__cluster_read_slots(const redisReply *reply, const rlc__endpoint *asked,
                            rlc__cluster_range_fn *each, void *user);

#endif
