/* SPDX-License-Identifier: Apache-2.0 */
#include "base/siphash.h"

#include <string.h>

/* The four words of SipHash (Aumasson and Bernstein, 2012), with one round a block and three at the
 * end. Everything here is inlined: a decision hashes some thirty bytes and has 100 ns in all. */
typedef struct sip {
  uint64_t v0, v1, v2, v3;
} sip;

static inline uint64_t little_endian(uint64_t word) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  return __builtin_bswap64(word);
#else
  return word;
#endif
}

static inline uint64_t load64(const uint8_t *p) {
  uint64_t word;

  memcpy(&word, p, sizeof word);
  return little_endian(word);
}

static inline uint64_t load32(const uint8_t *p) {
  return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24;
}

/* The last |n| < 8 bytes as a word. Two overlapping loads read the middle twice, to the same place,
 * and spare the loop. */
static inline uint64_t load_tail(const uint8_t *p, size_t n) {
  if (n >= 4) {
    return load32(p) | load32(p + n - 4) << (8 * (n - 4));
  }
  if (n == 0) {
    return 0;
  }
  return (uint64_t)p[0] | (uint64_t)p[n / 2] << (8 * (n / 2)) |
         (uint64_t)p[n - 1] << (8 * (n - 1));
}

static inline uint64_t rotate(uint64_t word, unsigned bits) {
  return word << bits | word >> (64 - bits);
}

static inline void sip_round(sip *s) {
  s->v0 += s->v1;
  s->v2 += s->v3;
  s->v1 = rotate(s->v1, 13) ^ s->v0;
  s->v3 = rotate(s->v3, 16) ^ s->v2;
  s->v0 = rotate(s->v0, 32);
  s->v2 += s->v1;
  s->v0 += s->v3;
  s->v1 = rotate(s->v1, 17) ^ s->v2;
  s->v3 = rotate(s->v3, 21) ^ s->v0;
  s->v2 = rotate(s->v2, 32);
}

static inline sip sip_start(const uint8_t key[16]) {
  uint64_t k0 = load64(key);
  uint64_t k1 = load64(key + 8);
  sip s = {k0 ^ UINT64_C(0x736f6d6570736575), k1 ^ UINT64_C(0x646f72616e646f6d),
           k0 ^ UINT64_C(0x6c7967656e657261), k1 ^ UINT64_C(0x7465646279746573)};

  return s;
}

static inline void sip_block(sip *s, uint64_t word) {
  s->v3 ^= word;
  sip_round(s);
  s->v0 ^= word;
}

/* Takes the whole blocks of |len| bytes and returns where the rest begins. */
static inline const uint8_t *sip_blocks(sip *s, const uint8_t *p, size_t len) {
  for (; len >= 8; len -= 8, p += 8) {
    sip_block(s, load64(p));
  }
  return p;
}

/* |total| is the length of all that was hashed; its lowest byte ends the last block. */
static inline uint64_t sip_end(sip *s, uint64_t tail, uint64_t total) {
  sip_block(s, tail | total << 56);
  s->v2 ^= 0xff;
  sip_round(s);
  sip_round(s);
  sip_round(s);
  return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

uint64_t rlc__siphash(const uint8_t key[16], const void *data, size_t len) {
  sip s = sip_start(key);
  const uint8_t *rest;

  if (len == 0) {
    return sip_end(&s, 0, 0);
  }
  rest = sip_blocks(&s, data, len);
  return sip_end(&s, load_tail(rest, len % 8), len);
}

uint64_t rlc__siphash2(const uint8_t key[16], const void *a, size_t alen, const void *b,
                       size_t blen, uint64_t salt) {
  sip s = sip_start(key);
  uint64_t total = 16 + ((uint64_t)alen + 7) / 8 * 8 + blen;
  const uint8_t *rest;

  sip_block(&s, salt);
  sip_block(&s, alen);
  if (alen > 0) {
    rest = sip_blocks(&s, a, alen);
    if (alen % 8 != 0) {
      sip_block(&s, load_tail(rest, alen % 8));
    }
  }
  if (blen == 0) {
    return sip_end(&s, 0, total);
  }
  rest = sip_blocks(&s, b, blen);
  return sip_end(&s, load_tail(rest, blen % 8), total);
}
