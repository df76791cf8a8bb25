/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_REDIS_LOG_H
#define RLCORE_REDIS_LOG_H

#include "store/store.h"

struct redisReply;

/* The codec's part of logs: a script tells of one what its rates say, and not its time stamps. */

/* Packs |item| for log.lua, and its part for several.lua behind the algorithm and rate count. |asks|: it is
 * not to be charged. |charged_us|: of what is taken back or renewed. Return where they end. */
unsigned char *rlc__codec_put_one_log(unsigned char *at, const rlc__item *item, int asks);
unsigned char *rlc__codec_put_log(unsigned char *at, const rlc__item *item, int asks,
                                  int64_t charged_us);

/* Fills the result of the only item of |call| from log.lua's reply. Returns 0 or RLC__ERR_PROTOCOL. */
int rlc__codec_get_one_log(rlc__call *call, const struct redisReply *reply);
/* Fills the result of |item|, whose cost is |cost|, and what its receipt is, from several.lua's flat reply,
 * beginning at |*at|. Returns 0 or RLC__ERR_PROTOCOL. */
int rlc__codec_get_log(const rlc__call *call, rlc__item *item, const struct redisReply *reply,
                       size_t *at, int verdict, uint64_t cost, int64_t now_us);
/* Makes the result of |item|, a part of a check or grant that was allowed, tell of the log without the |goes|
 * units last added, of a call of |cost|. |stays|: others of them are left. */
void rlc__codec_undo_log(rlc__item *item, const struct redisReply *reply, size_t *at, uint64_t goes,
                         uint64_t cost, int stays);

#endif
