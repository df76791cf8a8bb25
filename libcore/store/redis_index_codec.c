/* SPDX-License-Identifier: Apache-2.0 */
#include "store/redis_index_codec.h"

#include <hiredis/hiredis.h>
#include <string.h>

#include "base/error.h"

/* What a double holds exactly. */
#define MOST (UINT64_C(1) << 53)
#define HEAD (3 * 8 + 1)
#define ALL 1
#define MORE 2

/* --- the argument -------------------------------------------------------------------------- */

static unsigned char *put_double(unsigned char *at, double number) {
  uint64_t bits;

  memcpy(&bits, &number, sizeof bits);
  for (int i = 0; i < 8; ++i) {
    *at++ = (unsigned char)(bits >> 8 * i);
  }
  return at;
}

static unsigned char *put_u32(unsigned char *at, uint32_t number) {
  for (int i = 0; i < 4; ++i) {
    *at++ = (unsigned char)(number >> 8 * i);
  }
  return at;
}

static unsigned char *put_bytes(unsigned char *at, const char *bytes, size_t len) {
  memcpy(at, bytes, len);
  return at + len;
}

/* Bytes behind their length. */
static unsigned char *put_text(unsigned char *at, const char *text, size_t len) {
  *at++ = (unsigned char)len;
  return put_bytes(at, text, len);
}

/* The field that |e| is. */
static unsigned char *put_field(unsigned char *at, const rlc__entry *e) {
  *at++ = (unsigned char)('0' + e->kind);
  if (e->kind == RLC_ENTRY_TIER) {
    at = put_bytes(at, e->tier, strlen(e->tier));
    *at++ = ':';
  } else {
    at = put_bytes(at, e->hash, sizeof e->hash);
  }
  return put_bytes(at, e->name, strlen(e->name));
}

static unsigned char *put_entry(unsigned char *at, const rlc__entry *e) {
  unsigned char *field = at + 1;

  at = put_field(field, e);
  field[-1] = (unsigned char)(at - field);
  at = put_double(at, (double)e->until_us);
  at = put_u32(at, e->level);
  at = put_text(at, e->policy, strlen(e->policy));
  at = e->kind == RLC_ENTRY_MEMBER ? put_text(at, e->tier, strlen(e->tier)) : put_text(at, "", 0);
  return put_text(at, e->display, e->display_len);
}

static unsigned char *put_denials(unsigned char *at, const rlc__denials *d) {
  at = put_u32(at, d->count);
  at = put_u32(at, d->most);
  at = put_double(at, (double)d->within_us);
  at = put_double(at, (double)d->first_us);
  at = put_double(at, (double)d->longest_us);
  return put_text(at, d->display, d->display_len);
}

size_t rlc__index_encode(const rlc__index_call *call, uint64_t seen, uint64_t cursor,
                         unsigned char arg[RLC__INDEX_ARG_SIZE]) {
  static const char letter[] = {
      [RLC__INDEX_PUT] = 'P', [RLC__INDEX_DROP] = 'D', [RLC__INDEX_NEWS] = 'N',
      [RLC__INDEX_DENIED] = 'C'};
  unsigned char *at = arg;

  *at++ = (unsigned char)letter[call->op];
  switch (call->op) {
  case RLC__INDEX_PUT:
    at = put_entry(at, call->entry);
    break;
  case RLC__INDEX_DROP:
    at = put_field(at, call->entry);
    break;
  case RLC__INDEX_NEWS:
    at = put_double(at, (double)seen);
    at = put_double(at, (double)cursor);
    break;
  case RLC__INDEX_DENIED:
    for (size_t i = 0; i < call->n; ++i) {
      at = put_denials(at, &call->denials[i]);
    }
    break;
  }
  return (size_t)(at - arg);
}

/* --- the reply ----------------------------------------------------------------------------- */

/* A little-endian double that is a whole number of 0 to MOST. Returns 0 for anything else. */
static int get_double(const char *at, uint64_t *out) {
  uint64_t bits = 0;
  double number;

  for (int i = 0; i < 8; ++i) {
    bits |= (uint64_t)(unsigned char)at[i] << 8 * i;
  }
  memcpy(&number, &bits, sizeof number);
  if (!(number >= 0 && number <= (double)MOST)) {
    return 0;
  }
  *out = (uint64_t)number;
  return (double)*out == number;
}

/* Takes bytes behind their length out of |*at|, into |to|, which is zeroed and holds |most|. */
static int get_text(const char **at, size_t *left, char *to, size_t most, unsigned char *len) {
  *len = *left > 0 ? (unsigned char)**at : 0;
  if (*left == 0 || *len > most || *len >= *left) {
    return 0;
  }
  memcpy(to, *at + 1, *len);
  *at += 1u + *len;
  *left -= 1u + *len;
  return 1;
}

static int get_name(const char *at, size_t len, char name[RLC_MAX_NAME + 1]) {
  if (len > RLC_MAX_NAME) {
    return 0;
  }
  memcpy(name, at, len);
  return strlen(name) == len;
}

/* Fills what |e| is known by, of which all else is zero. */
static int get_field(const char *at, size_t len, rlc__entry *e) {
  const char *end = at + len;
  const char *colon;

  if (len < 1 || *at < '0' + RLC_ENTRY_BAN || *at > '0' + RLC_ENTRY_MEMBER) {
    return 0;
  }
  e->kind = (rlc_entry_kind)(*at++ - '0');
  if (e->kind == RLC_ENTRY_TIER) {
    colon = memchr(at, ':', (size_t)(end - at));
    if (colon == NULL || !get_name(at, (size_t)(colon - at), e->tier)) {
      return 0;
    }
    at = colon + 1;
  } else if ((size_t)(end - at) < sizeof e->hash) {
    return 0;
  } else {
    memcpy(e->hash, at, sizeof e->hash);
    at += sizeof e->hash;
  }
  return get_name(at, (size_t)(end - at), e->name);
}

static int get_value(const char *at, size_t left, rlc__entry *e) {
  uint64_t until_us;
  unsigned char len;

  if (left < 12 || !get_double(at, &until_us)) {
    return 0;
  }
  e->until_us = (int64_t)until_us;
  for (int i = 3; i >= 0; --i) {
    e->level = e->level << 8 | (unsigned char)at[8 + i];
  }
  at += 12;
  left -= 12;
  if (!get_text(&at, &left, e->policy, sizeof e->policy - 1, &len) || strlen(e->policy) != len) {
    return 0;
  }
  if (e->kind != RLC_ENTRY_TIER) {
    if (!get_text(&at, &left, e->tier, RLC_MAX_NAME, &len) || strlen(e->tier) != len) {
      return 0;
    }
  } else if (left-- == 0 || *at++ != 0) { /* a tier's is in its field */
    return 0;
  }
  return get_text(&at, &left, e->display, RLC_MAX_DISPLAY, &e->display_len) && left == 0;
}

/* Takes an entry out of |page|. Returns 1; 0 where there is none; or -1 where it is none. */
static int get_entry(rlc__index_page *page, rlc__entry *e) {
  const char *at = page->at;
  size_t field;
  size_t value;

  memset(e, 0, sizeof *e);
  if (page->left == 0) {
    return 0;
  }
  field = (unsigned char)at[0];
  if (page->left < field + 3) {
    return -1;
  }
  value = (size_t)(unsigned char)at[field + 1] | (size_t)(unsigned char)at[field + 2] << 8;
  if (page->left < field + 3 + value || !get_field(at + 1, field, e)) {
    return -1;
  }
  e->gone = value == 0;
  page->at += field + 3 + value;
  page->left -= field + 3 + value;
  if (value > 0 && !get_value(at + field + 3, value, e)) {
    return -1;
  }
  return rlc__entry_ok(e) ? 1 : -1;
}

int rlc__index_next(rlc__index_page *page, rlc__entry *entry) {
  int rv = get_entry(page, entry);

  if (rv == 1 && entry->kind == RLC_ENTRY_BAN && entry->until_us <= page->now_us) {
    entry->gone = 1;
  }
  return rv == 1;
}

int rlc__index_decode(const redisReply *reply, rlc__index_page *page) {
  rlc__index_page rest;
  rlc__entry entry;
  uint64_t now_us;
  int rv;

  memset(page, 0, sizeof *page);
  if (reply->type != REDIS_REPLY_STRING || reply->len < HEAD ||
      !get_double(reply->str, &page->version) || !get_double(reply->str + 8, &now_us) ||
      !get_double(reply->str + 16, &page->cursor) || reply->str[24] < 0 ||
      reply->str[24] > (ALL | MORE) || page->cursor > page->version) {
    return RLC__ERR_PROTOCOL;
  }
  page->now_us = (int64_t)now_us;
  page->all = reply->str[24] & ALL;
  page->more = (reply->str[24] & MORE) != 0;
  page->at = reply->str + HEAD;
  page->left = (size_t)reply->len - HEAD;
  rest = *page;
  do {
    rv = get_entry(&rest, &entry);
  } while (rv == 1);
  return rv == 0 ? 0 : RLC__ERR_PROTOCOL;
}

int rlc__index_answer(const redisReply *reply, int most) {
  return reply->type == REDIS_REPLY_INTEGER && reply->integer >= 0 && reply->integer <= most
             ? (int)reply->integer
             : -1;
}
