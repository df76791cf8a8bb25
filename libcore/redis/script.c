/* SPDX-License-Identifier: Apache-2.0 */
#include "redis/script.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <string.h>

#define HEAD 3 /* EVALSHA, the hash, how many keys */

static int is_noscript(const redisReply *reply) {
  static const char code[] = "NOSCRIPT";

  return reply->type == REDIS_REPLY_ERROR && reply->len >= sizeof code - 1 &&
         memcmp(reply->str, code, sizeof code - 1) == 0;
}

int rlc__script_run(rlc__connection *c, rlc__server *server, const rlc__script *script,
                    const rlc__bytes *keys, size_t n_keys, const rlc__bytes *args, size_t n_args,
                    int64_t deadline_us, redisReply **reply) {
  const char *argv[HEAD + RLC__SCRIPT_KEYS + RLC__SCRIPT_ARGS];
  size_t len[HEAD + RLC__SCRIPT_KEYS + RLC__SCRIPT_ARGS];
  char count[8];
  int argc = 0;
  int rv;

  argv[argc] = "EVALSHA";
  len[argc++] = 7;
  argv[argc] = script->sha1;
  len[argc++] = sizeof script->sha1 - 1;
  argv[argc] = count;
  len[argc++] = (size_t)snprintf(count, sizeof count, "%zu", n_keys);
  for (size_t i = 0; i < n_keys; ++i) {
    argv[argc] = keys[i].at;
    len[argc++] = keys[i].len;
  }
  for (size_t i = 0; i < n_args; ++i) {
    argv[argc] = args[i].at;
    len[argc++] = args[i].len;
  }
  rv = rlc__connection_ask(c, server, argc, argv, len, deadline_us, reply);
  if (rv == 0 && is_noscript(*reply)) {
    freeReplyObject(*reply);
    *reply = NULL;
    argv[0] = "EVAL";
    len[0] = 4;
    argv[1] = (const char *)script->text;
    len[1] = script->len;
    rv = rlc__connection_call(c, argc, argv, len, deadline_us, reply);
  }
  return rv == 0 ? rlc__connection_check(c, reply) : rv;
}
