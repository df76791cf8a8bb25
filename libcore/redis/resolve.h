/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_RESOLVE_H
#define RLCORE_RESOLVE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/*
 * Where a server is, as socket addresses. Looking a name up blocks for as long as it likes, and no
 * decision may wait for it: see lookup.h.
 */

/* A name may have more addresses than these: the others are never tried. */
#define RLC__MAX_ADDRESSES 8

typedef struct rlc__address {
  struct sockaddr_storage socket;
  socklen_t len;
} rlc__address;

typedef struct rlc__addresses {
  rlc__address at[RLC__MAX_ADDRESSES];
  size_t n;
  char name[128]; /* for messages: "redis.example:6379", "/run/redis.sock"; printable */
} rlc__addresses;

/* Looks |host| (a name, or an address without brackets) up. Returns 0; RLC_ERR_URL where there is
 * no such host; RLC_ERR_SYSTEM where nobody could say; RLC_ERR_NOMEM. A sentence in |why|. */
int rlc__resolve_host(rlc__addresses *out, const char *host, uint16_t port, char *why,
                      size_t why_size);
/* The unix socket |path|, which need not exist yet. Returns 0, or RLC_ERR_URL for one that is
 * longer than a socket's name may be. */
int rlc__resolve_path(rlc__addresses *out, const char *path, char *why, size_t why_size);

#endif
