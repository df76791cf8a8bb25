/* SPDX-License-Identifier: Apache-2.0 */
#include "redis/resolve.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "base/error.h"

/* Turns getaddrinfo's answer |code| into ours. */
static int refuse(int code, int error, const char *host, char *why, size_t why_size) {
  char shown[160];

  rlc__printable(shown, sizeof shown, host, strlen(host));
  switch (code) {
  case EAI_NONAME:
  case EAI_NODATA:
  case EAI_ADDRFAMILY:
    return rlc__fail(RLC_ERR_URL, why, why_size,
                     "the host \"%s\" has no address: write the name or address of a redis server "
                     "that this machine can look up",
                     shown);
  case EAI_AGAIN:
    return rlc__fail(RLC_ERR_SYSTEM, why, why_size,
                     "the host \"%s\" cannot be looked up for now: see that name service works and "
                     "try again, or write the server's address",
                     shown);
  case EAI_MEMORY:
    return rlc__fail(RLC_ERR_NOMEM, why, why_size, "out of memory");
  default:
    return rlc__fail(RLC_ERR_SYSTEM, why, why_size,
                     "the host \"%s\" cannot be looked up (%s): write the server's address, or see "
                     "to this machine's name service",
                     shown, code == EAI_SYSTEM ? strerror(error) : gai_strerror(code));
  }
}

int rlc__resolve_host(rlc__addresses *out, const char *host, uint16_t port, char *why,
                      size_t why_size) {
  struct addrinfo hints;
  struct addrinfo *found = NULL;
  char shown[112];
  char service[8];
  int code;

  memset(out, 0, sizeof *out);
  memset(&hints, 0, sizeof hints);
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  /* Without AI_ADDRCONFIG, which finds no loopback address on a machine without a network. */
  hints.ai_flags = AI_NUMERICSERV;
  snprintf(service, sizeof service, "%u", (unsigned)port);
  code = getaddrinfo(host, service, &hints, &found);
  if (code != 0) {
    return refuse(code, errno, host, why, why_size);
  }
  for (struct addrinfo *i = found; i != NULL && out->n < RLC__MAX_ADDRESSES; i = i->ai_next) {
    if (i->ai_addrlen <= sizeof out->at[0].socket) {
      memcpy(&out->at[out->n].socket, i->ai_addr, i->ai_addrlen);
      out->at[out->n++].len = i->ai_addrlen;
    }
  }
  freeaddrinfo(found);
  if (out->n == 0) {
    return refuse(EAI_NONAME, 0, host, why, why_size);
  }
  rlc__printable(shown, sizeof shown, host, strlen(host));
  snprintf(out->name, sizeof out->name, strchr(shown, ':') != NULL ? "[%s]:%s" : "%s:%s", shown,
           service);
  return 0;
}

int rlc__resolve_path(rlc__addresses *out, const char *path, char *why, size_t why_size) {
  struct sockaddr_un address;
  size_t len = strlen(path);

  memset(out, 0, sizeof *out);
  if (len == 0 || len >= sizeof address.sun_path) {
    return rlc__fail(RLC_ERR_URL, why, why_size,
                     "the socket's path has %zu bytes: write one of 1 to %zu bytes", len,
                     sizeof address.sun_path - 1);
  }
  memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path, path, len);
  memcpy(&out->at[0].socket, &address, sizeof address);
  out->at[0].len = sizeof address;
  out->n = 1;
  rlc__printable(out->name, sizeof out->name, path, len);
  return 0;
}
