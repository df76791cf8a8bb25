/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_URL_H
#define RLCORE_URL_H

#include <stddef.h>
#include <stdint.h>

#include "rlcore/rlcore.h"

typedef enum rlc__scheme {
  RLC__SCHEME_SHM,
  RLC__SCHEME_MEMORY,
  RLC__SCHEME_REDIS,
  RLC__SCHEME_REDIS_UNIX
} rlc__scheme;

/* A parsed store URL. Strings are the url's own, percent-decoded, NULL where not given. */
typedef struct rlc__url {
  rlc_memory memory;
  rlc__scheme scheme;
  char *host;          /* redis: name or address, without brackets */
  uint16_t port;       /* 6379 where not given */
  char *path;          /* shm:/path, redis+unix:///path */
  char *user;
  char *password;
  unsigned db;
  uint64_t slots;      /* size=; 0: the store's default */
  int64_t timeout_us;  /* timeout=; 0: not given */
  char *prefix;        /* prefix=; [A-Za-z0-9_.-]{1,32}, default "rl" */
  rlc_fail fail;       /* fail= */
  uint64_t share;      /* share=1/n: n; 1 where not given */
  unsigned mode;       /* shm:/path?mode=0660; default 0600 */
  char *group;         /* shm:/path?group=name */
} rlc__url;

/* Parses |text| (NULL: "shm:"). Returns 0, or RLC_ERR_URL, RLC_ERR_UNSUPPORTED or RLC_ERR_NOMEM with
 * a sentence in |why| that says what is wrong, at which column, and what to write. No password is
 * repeated in |why|. */
int rlc__url_new(rlc__url **out, const char *text, const rlc_memory *memory, char *why,
                 size_t why_size);
void rlc__url_del(rlc__url *url);

#endif
