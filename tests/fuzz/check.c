/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "redis/advice.h"
#include "redis/cluster.h"
#include "redis/refusal.h"
#include "redis/sentinel.h"

_Noreturn void check_failed(const char *what, const char *file, int line) {
  fprintf(stderr, "%s:%d: this does not hold: %s\n", file, line, what);
  abort();
}

void check_printable(const char *text, size_t size) {
  size_t len = strnlen(text, size);

  CHECK(len < size);
  for (size_t i = 0; i < len; ++i) {
    CHECK(text[i] >= ' ' && text[i] <= '~');
  }
}

/* --- servers ------------------------------------------------------------------------------- */

/* A server that somebody will connect to. */
static void check_endpoint(const rlc__endpoint *endpoint) {
  size_t len = strnlen(endpoint->host, sizeof endpoint->host);
  char text[RLC__ENDPOINT_TEXT];

  CHECK(len > 0 && len < sizeof endpoint->host);
  CHECK(endpoint->port != 0);
  for (size_t i = 0; i < len; ++i) {
    CHECK((unsigned char)endpoint->host[i] > ' ' && endpoint->host[i] != 127);
  }
  CHECK(rlc__endpoint_equal(endpoint, endpoint));
  check_printable(rlc__endpoint_format(endpoint, text), sizeof text);
}

typedef struct slots {
  unsigned char seen[RLC__SLOTS];
  unsigned ranges;
  unsigned stop; /* the range that ends it */
} slots;

static int take_range(void *user, unsigned first, unsigned last, const rlc__endpoint *master) {
  slots *s = user;

  check_endpoint(master);
  CHECK(first <= last && last < RLC__SLOTS);
  for (unsigned slot = first; slot <= last; ++slot) {
    CHECK(!s->seen[slot]);
    s->seen[slot] = 1;
  }
  return ++s->ranges == s->stop ? 7 : 0;
}

static void check_slots(const redisReply *reply, const rlc__endpoint *asked) {
  static slots s; /* too large for some stacks */
  unsigned ranges;
  int rv;

  memset(&s, 0, sizeof s);
  rv = rlc__cluster_read_slots(reply, asked, take_range, &s);
  CHECK(rv == RLC__ERR_PROTOCOL ? s.ranges == 0 : rv == 0 && s.ranges == reply->elements);
  ranges = s.ranges;
  if (ranges > 0) {
    memset(&s, 0, sizeof s);
    s.stop = (ranges + 1) / 2;
    CHECK(rlc__cluster_read_slots(reply, asked, take_range, &s) == 7 && s.ranges == s.stop);
  }
}

static void check_refusal(const redisReply *reply, const rlc__endpoint *asked) {
  rlc__refusal kind = rlc__refusal_of(reply);
  unsigned slot = RLC__SLOTS;
  rlc__endpoint to;
  int rv = rlc__refusal_redirect(reply, asked, &slot, &to);

  CHECK((kind == RLC__ANSWERED) == (reply->type != REDIS_REPLY_ERROR));
  CHECK(kind <= RLC__BAD_STATE);
  if (rv == 0) {
    CHECK(kind == RLC__MOVED || kind == RLC__ASK);
    CHECK(slot < RLC__SLOTS);
    check_endpoint(&to);
  } else {
    CHECK(rv == RLC__ERR_PROTOCOL);
  }
}

static void check_sentinel(const redisReply *reply) {
  char why[RLC_MESSAGE_SIZE] = "";
  char small[8] = "";
  rlc__endpoint master;
  int rv = rlc__sentinel_read_master(reply, &master, why, sizeof why);

  CHECK(rlc__sentinel_read_master(reply, &master, small, sizeof small) == rv);
  check_printable(why, sizeof why);
  check_printable(small, sizeof small);
  if (rv == 0) {
    check_endpoint(&master);
  } else {
    CHECK(rv == RLC__ERR_REFUSED || rv == RLC__ERR_PROTOCOL);
    CHECK(why[0] != '\0');
  }
}

void check_topology(const redisReply *reply) {
  static const rlc__endpoint at_host = {"seed.example", 7000};
  static const rlc__endpoint at_socket = {"/run/redis.sock", 0};
  int role = rlc__role_is_master(reply);

  CHECK(role == 0 || role == 1 || role == RLC__ERR_PROTOCOL ||
        (role == RLC__ERR_REFUSED && reply->type == REDIS_REPLY_ERROR));
  check_sentinel(reply);
  check_refusal(reply, &at_host);
  check_refusal(reply, &at_socket);
  check_slots(reply, &at_host);
  check_slots(reply, &at_socket);
  if (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS) {
    check_advice(reply->str, (size_t)reply->len);
  }
}

/* --- advice -------------------------------------------------------------------------------- */

typedef size_t advice_fn(const char *info, size_t len, char *buf, size_t size);

void check_advice(const char *info, size_t len) {
  static advice_fn *const advices[] = {rlc__advice_eviction, rlc__advice_persistence};

  for (int i = 0; i < 2; ++i) {
    char text[RLC_MESSAGE_SIZE] = "";
    char small[8] = "";
    size_t said = advices[i](info, len, text, sizeof text);

    check_printable(text, sizeof text);
    CHECK(said == strlen(text));
    CHECK(advices[i](info, len, small, sizeof small) == strlen(small));
    CHECK((said == 0) == (small[0] == '\0'));
    CHECK(advices[i](info, len, NULL, 0) == 0);
  }
}
