/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_REDIS_CODEC_INSIDE_H
#define RLCORE_REDIS_CODEC_INSIDE_H

#include <hiredis/hiredis.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "policy/level.h"

/* How the codec's parts pack numbers and read replies. */

/* A double as eight little-endian bytes. Every number here is a whole one below 2^53. */
static inline unsigned char *put_double(unsigned char *at, double number) {
  uint64_t bits;

  memcpy(&bits, &number, sizeof bits);
  for (int i = 0; i < 8; ++i) {
    *at++ = (unsigned char)(bits >> 8 * i);
  }
  return at;
}

static inline unsigned char *put(unsigned char *at, uint64_t value) {
  return put_double(at, (double)value);
}

/* A reply's integer of |lowest| to |highest|. Returns 0 for anything else. */
static inline int get(const redisReply *reply, int64_t lowest, int64_t highest, int64_t *out) {
  if (reply == NULL || reply->type != REDIS_REPLY_INTEGER || reply->integer < lowest ||
      reply->integer > highest) {
    return 0;
  }
  *out = reply->integer;
  return 1;
}

/* Where the level of rate |i| lies in the levels of a stack, of which 2^62 makes a plain double. */
static inline unsigned level_place(unsigned i) {
  return i / 3 * 32 + i % 3 * RLC__LEVEL_BITS;
}

static inline int is_array(const redisReply *reply, size_t n) {
  return reply->type == REDIS_REPLY_ARRAY && reply->elements == n;
}

#endif
