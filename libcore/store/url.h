/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_URL_H
#define RLCORE_URL_H

#include <stddef.h>
#include <stdint.h>

#include "base/options.h"
#include "redis/endpoint.h"
#include "rlcore/rlcore.h"

typedef enum rlc__scheme {
  RLC__SCHEME_SHM,
  RLC__SCHEME_MEMORY,
  RLC__SCHEME_REDIS,
  RLC__SCHEME_REDIS_UNIX,
  RLC__SCHEME_REDIS_SENTINEL,
  RLC__SCHEME_REDIS_CLUSTER
} rlc__scheme;

/* A parsed store URL. Strings are the url's own, percent-decoded, NULL where not given. */
typedef struct rlc__url {
  rlc_memory memory;
  rlc__scheme scheme;
  /* redis: the server, the sentinels, or some of a cluster; none twice. A socket has port 0. */
  rlc__endpoint server[RLC__MAX_SERVERS];
  size_t servers;
  char *path;          /* shm:/path */
  char *master;        /* redis+sentinel: the name that sentinels know the master by */
  char *user;
  char *password;
  unsigned db;
  char *sentinel_user;     /* sentinel-user= */
  char *sentinel_password; /* sentinel-password= */
  int tls;             /* rediss:, rediss+sentinel:, rediss+cluster: */
  char *ca;            /* ca=, cert=, key=, sni=: see redis/tls.h */
  char *cert;
  char *key;
  char *sni;
  unsigned connections; /* connections=; 0: not given */
  uint64_t slots;      /* size=; 0: the store's default */
  int64_t timeout_us;  /* timeout=; 0: not given */
  char *prefix;        /* prefix=; [A-Za-z0-9_.-]{1,32}, default "rl" */
  rlc_fail fail;       /* fail= */
  uint64_t share;      /* share=1/n: n; 1 where not given */
  unsigned mode;       /* shm:/path?mode=0660; default 0600 */
  char *group;         /* shm:/path?group=name */
} rlc__url;

/* Parses |text| (NULL: "shm:"). Returns 0, RLC_ERR_URL or RLC_ERR_NOMEM, with a sentence in |why|
 * that says what is wrong, at which column, and what to write. No byte of a user or password is
 * repeated in |why|, wherever in a URL that is wrong it stands. */
int rlc__url_new(rlc__url **out, const char *text, const rlc_memory *memory, char *why,
                 size_t why_size);
void rlc__url_del(rlc__url *url);

/* How long a decision may take: as the URL says, else |options|, else the default. 0: the store
 * never waits. */
int64_t rlc__url_timeout_us(const rlc__url *url, const rlc_options *options);

#endif
