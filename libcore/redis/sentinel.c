/* SPDX-License-Identifier: Apache-2.0 */
#include "redis/sentinel.h"

#include <string.h>

#include "base/error.h"

#define SHOWN 160

static int is_string(const redisReply *reply) {
  return reply != NULL && reply->type == REDIS_REPLY_STRING && reply->str != NULL;
}

static int is_text(const redisReply *reply, const char *text) {
  return is_string(reply) && reply->len == strlen(text) &&
         memcmp(reply->str, text, reply->len) == 0;
}

/* Sentinels write ports as text. Returns 0 for what is none. */
static uint16_t port_of(const redisReply *reply) {
  unsigned port = 0;

  if (reply->len == 0 || reply->len > 5) {
    return 0;
  }
  for (size_t i = 0; i < reply->len; ++i) {
    if (reply->str[i] < '0' || reply->str[i] > '9') {
      return 0;
    }
    port = port * 10 + (unsigned)(reply->str[i] - '0');
  }
  return port <= UINT16_MAX ? (uint16_t)port : 0;
}

int rlc__sentinel_read_master(const redisReply *reply, rlc__endpoint *out, char *why,
                              size_t why_size) {
  char shown[SHOWN];

  if (reply != NULL && reply->type == REDIS_REPLY_ERROR) {
    rlc__printable(shown, sizeof shown, reply->str != NULL ? reply->str : "",
                   reply->str != NULL ? (size_t)reply->len : 0);
    return rlc__fail(RLC__ERR_REFUSED, why, why_size,
                     "it does not tell who is master, and may be no sentinel: %s", shown);
  }
  if (reply != NULL && reply->type == REDIS_REPLY_NIL) {
    return rlc__fail(RLC__ERR_REFUSED, why, why_size,
                     "it knows no master of that name: write in the URL the name that stands after "
                     "\"sentinel monitor\" in its settings");
  }
  if (reply == NULL || reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
      reply->element == NULL || !is_string(reply->element[0]) || !is_string(reply->element[1])) {
    return rlc__fail(RLC__ERR_PROTOCOL, why, why_size,
                     "it answered with something else than a master's host and port");
  }
  if (port_of(reply->element[1]) == 0) {
    return rlc__fail(RLC__ERR_PROTOCOL, why, why_size, "it names a master with the port \"%s\"",
                     rlc__printable(shown, sizeof shown, reply->element[1]->str,
                                    (size_t)reply->element[1]->len));
  }
  if (rlc__endpoint_set(out, reply->element[0]->str, (size_t)reply->element[0]->len,
                        port_of(reply->element[1])) != 0) {
    return rlc__fail(RLC__ERR_PROTOCOL, why, why_size, "it names a master with the host \"%s\"",
                     rlc__printable(shown, sizeof shown, reply->element[0]->str,
                                    (size_t)reply->element[0]->len));
  }
  return 0;
}

int rlc__role_is_master(const redisReply *reply) {
  const redisReply *role;

  if (reply != NULL && reply->type == REDIS_REPLY_ERROR) {
    return RLC__ERR_REFUSED;
  }
  if (reply == NULL || reply->type != REDIS_REPLY_ARRAY || reply->elements == 0 ||
      reply->element == NULL) {
    return RLC__ERR_PROTOCOL;
  }
  role = reply->element[0];
  if (is_text(role, "master")) {
    return 1;
  }
  return is_text(role, "slave") || is_text(role, "replica") || is_text(role, "sentinel")
             ? 0
             : RLC__ERR_PROTOCOL;
}
