/* SPDX-License-Identifier: Apache-2.0 */
#include "redis/cluster.h"

#include <limits.h>
#include <string.h>

#include "base/error.h"

/* --- keys ---------------------------------------------------------------------------------- */

/* CRC16 with polynomial 0x1021, beginning with 0, nothing reflected; four bits at a time, since
 * what is hashed here has some sixteen bytes. */
static unsigned crc16(const char *bytes, size_t len) {
  static const unsigned short table[16] = {0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5,
                                           0x60c6, 0x70e7, 0x8108, 0x9129, 0xa14a, 0xb16b,
                                           0xc18c, 0xd1ad, 0xe1ce, 0xf1ef};
  unsigned crc = 0;

  for (size_t i = 0; i < len; ++i) {
    unsigned byte = (unsigned char)bytes[i];

    crc = (crc << 4 & 0xffff) ^ table[crc >> 12 ^ byte >> 4];
    crc = (crc << 4 & 0xffff) ^ table[crc >> 12 ^ (byte & 15)];
  }
  return crc;
}

unsigned rlc__cluster_slot(const char *key, size_t len) {
  const char *open = len > 0 ? memchr(key, '{', len) : NULL;

  if (open != NULL) {
    size_t rest = (size_t)(key + len - ++open);
    const char *close = rest > 0 ? memchr(open, '}', rest) : NULL;

    /* Only the first "{" counts: after "{}" a later pair makes no tag. */
    if (close != NULL && close != open) {
      key = open;
      len = (size_t)(close - open);
    }
  }
  return crc16(key, len) % RLC__SLOTS;
}

/* --- servers ------------------------------------------------------------------------------- */

int rlc__cluster_endpoint(rlc__endpoint *out, const char *host, size_t len, long long port,
                          const rlc__endpoint *asked) {
  if (port < 1 || port > UINT16_MAX) {
    return RLC__ERR_PROTOCOL;
  }
  if (len == 0 || (len == 1 && host[0] == '?')) {
    if (asked->port == 0) {
      return RLC__ERR_PROTOCOL; /* a socket's path is no host */
    }
    *out = *asked;
    out->port = (uint16_t)port;
    return 0;
  }
  return rlc__endpoint_set(out, host, len, (uint16_t)port) == 0 ? 0 : RLC__ERR_PROTOCOL;
}

/* --- CLUSTER SLOTS ------------------------------------------------------------------------- */

typedef struct range {
  unsigned first;
  unsigned last;
  rlc__endpoint master;
} range;

static int is_array(const redisReply *reply, size_t least) {
  return reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements >= least &&
         (reply->elements == 0 || reply->element != NULL);
}

static int get_integer(const redisReply *reply, long long most, unsigned *out) {
  if (reply == NULL || reply->type != REDIS_REPLY_INTEGER || reply->integer < 0 ||
      reply->integer > most) {
    return RLC__ERR_PROTOCOL;
  }
  *out = (unsigned)reply->integer;
  return 0;
}

/* [host, port, ...]: servers add an id from 4.0 on, metadata from 7.0 on. */
static int get_master(const redisReply *reply, const rlc__endpoint *asked, rlc__endpoint *out) {
  const char *host = NULL;
  size_t len = 0;
  unsigned port;

  if (!is_array(reply, 2) || reply->element[0] == NULL ||
      get_integer(reply->element[1], UINT16_MAX, &port) != 0) {
    return RLC__ERR_PROTOCOL;
  }
  if (reply->element[0]->type == REDIS_REPLY_STRING) {
    host = reply->element[0]->str;
    len = host != NULL ? reply->element[0]->len : 0;
  } else if (reply->element[0]->type != REDIS_REPLY_NIL) {
    return RLC__ERR_PROTOCOL;
  }
  return rlc__cluster_endpoint(out, host, len, port, asked);
}

/* [first, last, master, replica...]. */
static int get_range(const redisReply *reply, const rlc__endpoint *asked, range *out) {
  if (!is_array(reply, 3) || get_integer(reply->element[0], RLC__SLOTS - 1, &out->first) != 0 ||
      get_integer(reply->element[1], RLC__SLOTS - 1, &out->last) != 0 || out->first > out->last) {
    return RLC__ERR_PROTOCOL;
  }
  return get_master(reply->element[2], asked, &out->master);
}

/* Marks the slots of |r|. Returns RLC__ERR_PROTOCOL where one is marked already, which also bounds
 * the work that a map of many ranges makes: no slot is looked at thrice. */
static int mark(unsigned char marked[RLC__SLOTS / CHAR_BIT], const range *r) {
  for (unsigned slot = r->first; slot <= r->last; ++slot) {
    unsigned char bit = (unsigned char)(1u << slot % CHAR_BIT);

    if (marked[slot / CHAR_BIT] & bit) {
      return RLC__ERR_PROTOCOL;
    }
    marked[slot / CHAR_BIT] |= bit;
  }
  return 0;
}

int rlc__cluster_read_slots(const redisReply *reply, const rlc__endpoint *asked,
                            rlc__cluster_range_fn *each, void *user) {
  unsigned char marked[RLC__SLOTS / CHAR_BIT] = {0};
  range r;
  int rv = 0;

  if (!is_array(reply, 1)) {
    return RLC__ERR_PROTOCOL;
  }
  for (size_t i = 0; i < reply->elements && rv == 0; ++i) {
    rv = get_range(reply->element[i], asked, &r);
    if (rv == 0) {
      rv = mark(marked, &r);
    }
  }
  /* Read twice rather than kept: all ranges with their hosts would be megabytes. */
  for (size_t i = 0; i < reply->elements && rv == 0; ++i) {
    rv = get_range(reply->element[i], asked, &r);
    if (rv == 0) {
      rv = each(user, r.first, r.last, &r.master);
    }
  }
  return rv;
}
