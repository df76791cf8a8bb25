/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_ENDPOINT_H
#define RLCORE_ENDPOINT_H

#include <stddef.h>
#include <stdint.h>

/* Where a server listens, as people and servers write it. A value: copied, compared, never freed. */
#define RLC__HOST_SIZE 256
/* The most servers that a URL names. */
#define RLC__MAX_SERVERS 16
/* The most connections of a process to one of them. */
#define RLC__MAX_CONNECTIONS 64u

typedef struct rlc__endpoint {
  char host[RLC__HOST_SIZE]; /* a name, an address without brackets, or with port 0 a socket's path */
  uint16_t port;             /* 0: a unix socket */
} rlc__endpoint;

#define RLC__ENDPOINT_TEXT 320

/* Stores |host| of |len| bytes and |port| in |out|. Returns 0, or RLC_ERR_INVALID for an empty or too
 * long host, or one with a byte that is in no name or address (a control character, a space). */
int rlc__endpoint_set(rlc__endpoint *out, const char *host, size_t len, uint16_t port);
int rlc__endpoint_equal(const rlc__endpoint *a, const rlc__endpoint *b);
/* Writes "redis.example:6379", "[::1]:6379" or "/run/redis.sock", printable. Returns |buf|. */
const char *rlc__endpoint_format(const rlc__endpoint *endpoint, char buf[RLC__ENDPOINT_TEXT]);

#endif
