/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_REDIS_INDEX_H
#define RLCORE_REDIS_INDEX_H

#include "redis/client.h"
#include "redis/keyname.h"
#include "store/index.h"

/* Runs |call| on the servers of |client|; see rlc__store_ops. Where an rlc__error is returned, |why| (of
 * RLC_MESSAGE_SIZE) has a sentence. */
int rlc__redis_index(rlc__client *client, const rlc__keyname *names, const rlc_memory *memory,
                     rlc__index_call *call, char *why);

#endif
