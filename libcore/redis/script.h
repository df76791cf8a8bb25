/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_SCRIPT_H
#define RLCORE_SCRIPT_H

#include <stddef.h>
#include <stdint.h>

#include "rlcore/rlcore.h"

/* A Lua script, embedded when the library was built. */
typedef struct rlc__script {
  const char *name;
  const unsigned char *text;
  size_t len;
  char sha1[41]; /* of the text, as the server computes it; hexadecimal with a NUL */
} rlc__script;

extern const rlc__script rlc__script_token_bucket;
extern const rlc__script rlc__script_token_bucket_stack;
extern const rlc__script rlc__script_fixed_window;
extern const rlc__script rlc__script_calendar_window;
extern const rlc__script rlc__script_sliding_window;
extern const rlc__script rlc__script_log;
extern const rlc__script rlc__script_several;
extern const rlc__script rlc__script_index;

/* The most keys and arguments of one run: index.lua has four, and one for each of a batch. */
#define RLC__SCRIPT_KEYS (4 + 64)
#define RLC__SCRIPT_ARGS 2

/* Bytes that belong to somebody else. */
typedef struct rlc__bytes {
  const char *at;
  size_t len;
} rlc__bytes;

#endif
