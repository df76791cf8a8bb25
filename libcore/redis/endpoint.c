/* SPDX-License-Identifier: Apache-2.0 */
#include "redis/endpoint.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"

int rlc__endpoint_set(rlc__endpoint *out, const char *host, size_t len, uint16_t port) {
  memset(out, 0, sizeof *out);
  if (len == 0 || len >= sizeof out->host) {
    return RLC_ERR_INVALID;
  }
  for (size_t i = 0; i < len; ++i) {
    unsigned char byte = (unsigned char)host[i];

    if (byte < ' ' || byte == 127 || (byte == ' ' && port != 0)) {
      return RLC_ERR_INVALID;
    }
  }
  memcpy(out->host, host, len);
  out->port = port;
  return 0;
}

int rlc__endpoint_equal(const rlc__endpoint *a, const rlc__endpoint *b) {
  if (a->port != b->port) {
    return 0;
  }
  /* Names of hosts know no case, those of files do. */
  return (a->port == 0 ? strcmp(a->host, b->host) : strcasecmp(a->host, b->host)) == 0;
}

const char *rlc__endpoint_format(const rlc__endpoint *endpoint, char buf[RLC__ENDPOINT_TEXT]) {
  char shown[RLC__ENDPOINT_TEXT - 16];

  rlc__printable(shown, sizeof shown, endpoint->host, strlen(endpoint->host));
  if (endpoint->port == 0) {
    snprintf(buf, RLC__ENDPOINT_TEXT, "%s", shown);
  } else {
    snprintf(buf, RLC__ENDPOINT_TEXT, strchr(shown, ':') != NULL ? "[%s]:%u" : "%s:%u", shown,
             (unsigned)endpoint->port);
  }
  return buf;
}
