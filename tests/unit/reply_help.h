/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REPLY_HELP_H
#define REPLY_HELP_H

#include <hiredis/hiredis.h>
#include <string.h>

/* Makes a reply of its text in the Redis protocol, "\r\n" and all; NULL of what is none. The
 * caller's to free. */
static inline redisReply *reply_of(const char *text) {
  redisReader *reader = redisReaderCreate();
  void *reply = NULL;

  if (redisReaderFeed(reader, text, strlen(text)) != REDIS_OK ||
      redisReaderGetReply(reader, &reply) != REDIS_OK) {
    reply = NULL;
  }
  redisReaderFree(reader);
  return reply;
}

#endif
