/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_REDIS_INDEX_CODEC_H
#define RLCORE_REDIS_INDEX_CODEC_H

#include <stddef.h>

#include "store/index.h"

/* The index's calls as lua/index.lua takes them, and what it answers. Pure. */

struct redisReply;

/* The most bytes of an argument: a whole batch of denials. */
#define RLC__INDEX_DENIAL (2 * 4 + 3 * 8 + 1 + RLC_MAX_DISPLAY)
#define RLC__INDEX_ARG_SIZE (1 + RLC__INDEX_BATCH * RLC__INDEX_DENIAL)

/* Packs |call| into |arg|; of news what |cursor| has behind it. Returns the length. */
size_t rlc__index_encode(const rlc__index_call *call, uint64_t seen, uint64_t cursor,
                         unsigned char arg[RLC__INDEX_ARG_SIZE]);

/* A reply to "news", whole or one of several. */
typedef struct rlc__index_page {
  uint64_t version;
  uint64_t cursor; /* how far it goes */
  int64_t now_us;
  int all;         /* it begins anew: what was told before does not hold */
  int more;        /* there is more behind |cursor| */
  const char *at;  /* entries not read yet; the reply's own bytes */
  size_t left;
} rlc__index_page;

/* Reads the head of |reply|, and checks all entries behind it. Returns 0 or RLC__ERR_PROTOCOL. */
int rlc__index_decode(const struct redisReply *reply, rlc__index_page *page);
/* Takes the next entry out of a page that `decode` has checked. Returns 0 where there is none. */
int rlc__index_next(rlc__index_page *page, rlc__entry *entry);

/* Reads the answer to any other call: an integer of 0 to |most|, or -1 for anything else. */
int rlc__index_answer(const struct redisReply *reply, int most);

#endif
