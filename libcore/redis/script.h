/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_SCRIPT_H
#define RLCORE_SCRIPT_H

#include <stddef.h>
#include <stdint.h>

#include "redis/transport.h"
#include "rlcore/rlcore.h"

/* A Lua script, embedded when the library was built. */
typedef struct rlc__script {
  const char *name;
  const unsigned char *text;
  size_t len;
  char sha1[41]; /* of the text, as the server computes it; hexadecimal with a NUL */
} rlc__script;

extern const rlc__script rlc__script_token_bucket;
extern const rlc__script rlc__script_fixed_window;
extern const rlc__script rlc__script_sliding_window;
extern const rlc__script rlc__script_several;

/* The most keys and arguments of one run. */
#define RLC__SCRIPT_KEYS RLC_MAX_LIMITS
#define RLC__SCRIPT_ARGS 2

/* Bytes that belong to somebody else. */
typedef struct rlc__bytes {
  const char *at;
  size_t len;
} rlc__bytes;

/*
 * Runs |script| on |server| over |c|, which is opened if need be. The server is told the hash; one
 * that does not know it (NOSCRIPT) has run nothing, and gets the text once on the same connection.
 * Returns 0 and a reply that is no error, the caller's to free with freeReplyObject; or an
 * rlc__error with a sentence in |c|->why, and |*reply| NULL.
 */
int rlc__script_run(rlc__connection *c, rlc__server *server, const rlc__script *script,
                    const rlc__bytes *keys, size_t n_keys, const rlc__bytes *args, size_t n_args,
                    int64_t deadline_us, struct redisReply **reply);

#endif
