/* SPDX-License-Identifier: Apache-2.0 */
#include "redis/keyname.h"

#include <stdint.h>
#include <string.h>

#include "base/memory.h"

#define DIGEST_SIZE 32
#define BLOCK_SIZE 64

struct rlc__keyname {
  rlc_memory memory;
  const EVP_MD *sha256; /* fetched once: a look-up by name costs more than the hash */
  EVP_MD_CTX *inner; /* has taken secret ^ ipad (RFC 2104); NULL without a secret */
  EVP_MD_CTX *outer; /* has taken secret ^ opad */
  size_t prefix_len;
  char prefix[RLC__KEYNAME_PREFIX];
};

/* OpenSSL 1.1.1 has one for ever, and nothing to fetch. */
static const EVP_MD *new_sha256(void) {
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
  return EVP_MD_fetch(NULL, "SHA256", NULL);
#else
  return EVP_sha256();
#endif
}

static void del_sha256(const EVP_MD *sha256) {
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
  EVP_MD_free((EVP_MD *)(uintptr_t)sha256);
#else
  (void)sha256;
#endif
}

/* Returns a context that has taken |block| with each byte ^ |pad|, or NULL. */
static EVP_MD_CTX *padded(const EVP_MD *sha256, const unsigned char *block, unsigned char pad) {
  EVP_MD_CTX *made = EVP_MD_CTX_new();
  unsigned char bytes[BLOCK_SIZE];

  for (size_t i = 0; i < sizeof bytes; ++i) {
    bytes[i] = block[i] ^ pad;
  }
  if (made != NULL && (EVP_DigestInit_ex(made, sha256, NULL) != 1 ||
                       EVP_DigestUpdate(made, bytes, sizeof bytes) != 1)) {
    EVP_MD_CTX_free(made);
    made = NULL;
  }
  rlc__wipe(bytes, sizeof bytes);
  return made;
}

/* Prepares HMAC's two halves, so that a decision hashes the partition key and nothing else. */
static int take_secret(rlc__keyname *names, const void *secret, size_t size) {
  unsigned char block[BLOCK_SIZE] = {0};
  int worked = 1;

  if (size > sizeof block) {
    worked = EVP_Digest(secret, size, block, NULL, names->sha256, NULL);
  } else if (size > 0) {
    memcpy(block, secret, size);
  }
  if (worked == 1) {
    names->inner = padded(names->sha256, block, 0x36);
    names->outer = padded(names->sha256, block, 0x5c);
  }
  rlc__wipe(block, sizeof block);
  return names->inner != NULL && names->outer != NULL ? 0 : RLC_ERR_NOMEM;
}

int rlc__keyname_new(rlc__keyname **out, const char *prefix, const void *secret,
                     size_t secret_size, const rlc_memory *memory) {
  rlc__keyname *names;
  int rv = 0;

  *out = NULL;
  if (strlen(prefix) > RLC__KEYNAME_PREFIX) {
    return RLC_ERR_INVALID;
  }
  names = rlc__calloc(memory, 1, sizeof *names);
  if (names == NULL) {
    return RLC_ERR_NOMEM;
  }
  names->memory = *memory;
  names->prefix_len = strlen(prefix);
  memcpy(names->prefix, prefix, names->prefix_len);
  names->sha256 = new_sha256();
  if (names->sha256 == NULL) {
    rv = RLC_ERR_NOMEM;
  } else if (secret != NULL) {
    rv = take_secret(names, secret, secret_size);
  }
  if (rv != 0) {
    rlc__keyname_del(names);
    return rv;
  }
  *out = names;
  return 0;
}

void rlc__keyname_del(rlc__keyname *names) {
  rlc_memory memory;

  if (names == NULL) {
    return;
  }
  EVP_MD_CTX_free(names->inner); /* OpenSSL overwrites what it frees here */
  EVP_MD_CTX_free(names->outer);
  del_sha256(names->sha256);
  memory = names->memory;
  rlc__free(&memory, names);
}

void rlc__keyname_base64url(char *to, const unsigned char *from, size_t len) {
  static const char letter[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

  for (size_t i = 0; i + 2 < len; i += 3) {
    unsigned bits = (unsigned)from[i] << 16 | (unsigned)from[i + 1] << 8 | from[i + 2];

    *to++ = letter[bits >> 18];
    *to++ = letter[bits >> 12 & 63];
    *to++ = letter[bits >> 6 & 63];
    *to++ = letter[bits & 63];
  }
}

int rlc__keyname_hash(const rlc__keyname *names, EVP_MD_CTX *work, const void *key, size_t key_len,
                      char hash[RLC__KEYNAME_HASH]) {
  unsigned char digest[DIGEST_SIZE];
  int worked;

  if (names->inner == NULL) {
    worked = EVP_DigestInit_ex(work, names->sha256, NULL);
  } else {
    worked = EVP_MD_CTX_copy_ex(work, names->inner);
  }
  worked = worked == 1 && EVP_DigestUpdate(work, key, key_len) == 1 &&
           EVP_DigestFinal_ex(work, digest, NULL) == 1;
  if (worked && names->outer != NULL) {
    worked = EVP_MD_CTX_copy_ex(work, names->outer) == 1 &&
             EVP_DigestUpdate(work, digest, sizeof digest) == 1 &&
             EVP_DigestFinal_ex(work, digest, NULL) == 1;
  }
  if (!worked) {
    return RLC_ERR_NOMEM;
  }
  rlc__keyname_base64url(hash, digest, RLC__KEYNAME_HASH / 4 * 3);
  return 0;
}

char rlc__keyname_tag(rlc_algorithm algorithm, unsigned rates) {
  char tag = 'b';

  switch (algorithm) {
  case RLC_FIXED_WINDOW:
    tag = 'f';
    break;
  case RLC_SLIDING_WINDOW:
    tag = 's';
    break;
  case RLC_SLIDING_LOG:
    tag = 'l';
    break;
  case RLC_CONCURRENCY:
    tag = 'c';
    break;
  case RLC_TOKEN_BUCKET:
    break;
  }
  return rates > 1 ? (char)(tag - 'a' + 'A') : tag;
}

size_t rlc__keyname_format(const rlc__keyname *names, const char *group,
                           const char hash[RLC__KEYNAME_HASH], char tag, const char *name,
                           size_t name_len, char buf[RLC__KEYNAME_SIZE]) {
  char *at = buf;

  memcpy(at, names->prefix, names->prefix_len);
  at += names->prefix_len;
  *at++ = ':';
  *at++ = '{';
  memcpy(at, group != NULL ? group : hash, RLC__KEYNAME_HASH);
  at += RLC__KEYNAME_HASH;
  *at++ = '}';
  if (group != NULL) {
    memcpy(at, hash, RLC__KEYNAME_HASH);
    at += RLC__KEYNAME_HASH;
  }
  *at++ = ':';
  *at++ = tag;
  memcpy(at, name, name_len);
  at += name_len;
  *at = '\0';
  return (size_t)(at - buf);
}

size_t rlc__keyname_format_index(const rlc__keyname *names, char tag, const char *tail,
                                 size_t tail_len, char buf[RLC__KEYNAME_SIZE]) {
  static const char slot[] = ":{index}:";
  char *at = buf;

  memcpy(at, names->prefix, names->prefix_len);
  at += names->prefix_len;
  memcpy(at, slot, sizeof slot - 1);
  at += sizeof slot - 1;
  *at++ = tag;
  memcpy(at, tail, tail_len);
  at += tail_len;
  *at = '\0';
  return (size_t)(at - buf);
}
