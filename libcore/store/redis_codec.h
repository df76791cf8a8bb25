/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_REDIS_CODEC_H
#define RLCORE_REDIS_CODEC_H

#include <stddef.h>

#include "redis/script.h"
#include "store/store.h"

struct redisReply;

/* The packed arguments of all commands of a call: doubles, which Lua counts in, little-endian whatever
 * the machine. A command has a header of up to four; each limit its algorithm and rate count, and up to
 * seven numbers a rate. */
#define RLC__CODEC_ARG_SIZE (8 * RLC_MAX_LIMITS * (6 + 7 * RLC_MAX_RATES))

/* A call, or a part of one, as the script takes it: EVALSHA <script> n key... <arg> [<now>]. */
typedef struct rlc__command {
  const rlc__script *script;
  const unsigned char *arg;
  size_t arg_len;
  char now[24];     /* a test's time in decimal microseconds */
  size_t now_len;   /* 0: the argument is left out and the server's clock decides */
  int is_calendar;  /* the argument holds windows of the calendar, and so only for a time */
} rlc__command;

/* Chooses the script for |call| (not a reset) and packs its argument at |arg|. A |part| of a larger
 * check, and a call that wants receipts, is always run by the script whose reply tells the time; those of a
 * take-back are one. Windows of the calendar are packed for
 * about |about_us|, what the server's clock is thought to say: the script chooses by what it does say.
 * With another time the argument is as long. */
void rlc__codec_encode(const rlc__call *call, int part, int64_t about_us, unsigned char *arg,
                       rlc__command *command);

/* The time by the server where |reply| says that it is in none of the windows of |command|, and that
 * nothing has been done. Returns 0 for every other reply. */
int64_t rlc__codec_elsewhen(const rlc__command *command, const struct redisReply *reply);

/* As encode, for taking back the costs of |call|, a part of a check or grant, charged at |charged_us|. */
void rlc__codec_encode_take_back(const rlc__call *call, int64_t charged_us, unsigned char *arg,
                                 rlc__command *command);

/* Fills the results of |call| from |reply| to |command|. Returns 0, or RLC__ERR_PROTOCOL for a reply
 * that the script does not give; then the results are undefined. */
int rlc__codec_decode(const rlc__command *command, rlc__call *call, const struct redisReply *reply);

/* Makes the results of |call|, a part of a check or grant that has been allowed, tell of what it is when
 * no more than |left| units of each stay charged, and each item's cost what goes. |reply| is what they
 * were decoded from. Returns the time at which the part was charged. */
int64_t rlc__codec_undo(rlc__call *call, const struct redisReply *reply, uint64_t left);

#endif
