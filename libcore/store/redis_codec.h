/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_REDIS_CODEC_H
#define RLCORE_REDIS_CODEC_H

#include <stddef.h>

#include "redis/script.h"
#include "store/store.h"

struct redisReply;

/* The packed argument: doubles, which Lua counts in, little-endian whatever the machine. A header,
 * and for each limit its algorithm, rate count and cost, and four numbers a rate. */
#define RLC__CODEC_ARG_SIZE (8 * (1 + RLC_MAX_LIMITS * (3 + 4 * RLC_MAX_RATES)))

/* A call as the script takes it: EVALSHA <script> n key... <arg> [<now>]. */
typedef struct rlc__command {
  const rlc__script *script;
  unsigned char arg[RLC__CODEC_ARG_SIZE];
  size_t arg_len;
  char now[24];     /* a test's time in decimal microseconds */
  size_t now_len;   /* 0: the argument is left out and the server's clock decides */
} rlc__command;

/* Chooses the script for |call| (not a reset) and packs its argument. */
void rlc__codec_encode(const rlc__call *call, rlc__command *command);

/* Fills the results of |call| from |reply| to |command|. Returns 0, or RLC__ERR_PROTOCOL for a reply
 * that the script does not give; then the results are undefined. */
int rlc__codec_decode(const rlc__command *command, rlc__call *call, const struct redisReply *reply);

#endif
