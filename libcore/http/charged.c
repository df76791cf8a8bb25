/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "http/writer.h"
#include "policy/policy.h"
#include "rlcore/rlcore.h"

enum { SECRET_MIN = 16, DIGEST = 32, HASHED = 12, HASH = 16, MAC = 43 };

/* What the authenticated text begins with: an HMAC under the same secret that is of something else is
 * no answer to it. */
static const char mac_head[] = "ratelimit-charged ";

/* --- hashes -------------------------------------------------------------------------------- */

/* base64url without padding, of |size| bytes; |text| has room for 45 characters. */
static void encode(char *text, const unsigned char *bytes, size_t size) {
  size_t len = (size_t)EVP_EncodeBlock((unsigned char *)text, bytes, (int)size);

  while (len > 0 && text[len - 1] == '=') {
    --len;
  }
  text[len] = '\0';
  for (size_t i = 0; i < len; ++i) {
    text[i] = text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i];
  }
}

static int has_secret(const void *secret, size_t size) {
  return secret != NULL && size >= SECRET_MIN && size <= RLC_MAX_KEY;
}

/* HMAC-SHA-256, or SHA-256 without a secret. Returns 1, or 0 where memory ran out. */
static int digest_of(unsigned char digest[EVP_MAX_MD_SIZE], const void *secret, size_t secret_size,
                     const void *bytes, size_t len) {
  if (!has_secret(secret, secret_size)) {
    return EVP_Digest(bytes, len, digest, NULL, EVP_sha256(), NULL) == 1;
  }
  return HMAC(EVP_sha256(), secret, (int)secret_size, bytes, len, digest, NULL) != NULL;
}

/* The hash of a key as names of keys in Redis have it. */
static int write_hash(rlc__writer *w, const void *secret, size_t secret_size, const void *key,
                      size_t len) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  char text[48];

  if (!digest_of(digest, secret, secret_size, len > 0 ? key : "", len)) {
    return 0;
  }
  encode(text, digest, HASHED);
  rlc__write_text(w, text);
  return 1;
}

/* --- writing ------------------------------------------------------------------------------- */

static const char *name_of(const rlc_limit *limit) {
  if (limit->name != NULL) {
    return limit->name;
  }
  return limit->policy->name[0] != '\0' ? limit->policy->name : limit->policy->id;
}

/* `api:4fYAqUFxUiVdwbQW` : whose counter it is. */
static int write_counter(rlc__writer *w, const void *secret, size_t secret_size,
                         const rlc_limit *limit) {
  int worked;

  rlc__write_text(w, name_of(limit));
  rlc__write(w, ":", 1);
  worked = write_hash(w, secret, secret_size, limit->key, limit->key_len);
  if (limit->group_len > 0) {
    rlc__write(w, ".", 1);
    worked = worked && write_hash(w, secret, secret_size, limit->group, limit->group_len);
  }
  rlc__write(w, ":", 1);
  return worked;
}

static int write_mac(rlc__writer *w, const void *secret, size_t secret_size) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  char message[RLC_CHARGED_SIZE + sizeof mac_head];
  char text[48];
  size_t head = sizeof mac_head - 1;

  if (w->len >= w->size || w->len >= RLC_CHARGED_SIZE) {
    rlc__write_text(w, " 0123456789012345678901234567890123456789012"); /* counted, not written */
    return 1;
  }
  memcpy(message, mac_head, head);
  memcpy(message + head, w->buf, w->len);
  if (!digest_of(digest, secret, secret_size, message, head + w->len)) {
    return 0;
  }
  encode(text, digest, DIGEST);
  rlc__write(w, " ", 1);
  rlc__write_text(w, text);
  return 1;
}

size_t rlc_http_format_charged(char *buf, size_t size, const void *secret, size_t secret_size,
                               const rlc_limit *limits, size_t n, int64_t now_us) {
  rlc__writer w = {buf, size, 0};
  int signs = now_us >= 0;
  int worked = n <= RLC_MAX_LIMITS && (!signs || has_secret(secret, secret_size));
  int some = 0;

  if (signs) {
    rlc__write_text(&w, "v1 ");
    rlc__write_number(&w, (uint64_t)now_us / 1000000);
    rlc__write(&w, " ", 1);
  }
  for (size_t i = 0; worked && i < n; ++i) {
    if (limits[i].cost > 0) {
      rlc__write(&w, ",", (size_t)some);
      worked = write_counter(&w, secret, secret_size, &limits[i]);
      rlc__write_number(&w, limits[i].cost);
      some = 1;
    }
  }
  worked = worked && some && (!signs || write_mac(&w, secret, secret_size));
  if (!worked) {
    w.len = 0;
  }
  return rlc__write_end(&w);
}

/* --- reading ------------------------------------------------------------------------------- */

/* A number up to |most|, which ends before |end|. Returns what follows it, or NULL. */
static const char *read_number(const char *at, const char *end, uint64_t most, uint64_t *number) {
  const char *from = at;

  for (*number = 0; at < end && *at >= '0' && *at <= '9'; ++at) {
    if (*number > (most - (uint64_t)(*at - '0')) / 10) {
      return NULL;
    }
    *number = *number * 10 + (uint64_t)(*at - '0');
  }
  return at > from ? at : NULL;
}

/* Checks head, time and end. Returns 1 and narrows the text to the list, or 0. */
static int verify(const char **text, const char **end, const void *secret, size_t secret_size,
                  int64_t now_us, int64_t max_age_us) {
  const char *list;
  uint64_t seconds;
  char own[RLC_CHARGED_SIZE];
  rlc__writer w = {own, sizeof own, 0};
  int64_t then_us;
  size_t len = (size_t)(*end - *text);

  if (len < 3 + 2 + 1 + MAC || len >= sizeof own || memcmp(*text, "v1 ", 3) != 0) {
    return 0;
  }
  list = read_number(*text + 3, *end, INT64_MAX / 1000000 / 2, &seconds);
  if (list == NULL || list >= *end - MAC - 1 || *list != ' ') {
    return 0;
  }
  rlc__write(&w, *text, len - MAC - 1);
  if (!write_mac(&w, secret, secret_size) || w.len != len ||
      CRYPTO_memcmp(own + len - MAC - 1, *text + len - MAC - 1, MAC + 1) != 0) {
    return 0;
  }
  then_us = (int64_t)seconds * 1000000;
  if (then_us < now_us - max_age_us - 999999 || then_us > now_us + max_age_us) {
    return 0;
  }
  *text = list + 1;
  *end -= MAC + 1;
  return 1;
}

/* Reads the list, and finds |limits| in it. Returns 1, or 0: it is none. */
static int find(const char *at, const char *end, const void *secret, size_t secret_size,
                const rlc_limit *limits, size_t n, uint64_t *charged) {
  char counter[RLC_MAX_NAME + 2 * HASH + 8];

  while (at < end) {
    const char *comma = memchr(at, ',', (size_t)(end - at));
    const char *stop = comma != NULL ? comma : end;
    const char *units = stop;
    uint64_t cost;

    while (units > at && units[-1] != ':') {
      --units;
    }
    if (units == at || read_number(units, stop, RLC_MAX_QUOTA, &cost) != stop) {
      return 0;
    }
    for (size_t i = 0; i < n; ++i) {
      rlc__writer w = {counter, sizeof counter, 0};

      if (!write_counter(&w, secret, secret_size, &limits[i])) {
        return 0;
      }
      if (w.len < sizeof counter && w.len == (size_t)(units - at) &&
          memcmp(counter, at, w.len) == 0) {
        charged[i] = cost > charged[i] ? cost : charged[i];
      }
    }
    at = comma != NULL ? comma + 1 : end;
  }
  return 1;
}

int rlc_http_parse_charged(const char *text, size_t len, const void *secret, size_t secret_size,
                           int64_t now_us, int64_t max_age_us, const rlc_limit *limits, size_t n,
                           uint64_t *charged) {
  const char *end;

  if (text == NULL || limits == NULL || charged == NULL || n == 0 || n > RLC_MAX_LIMITS ||
      (now_us >= 0 && (!has_secret(secret, secret_size) || max_age_us < 0 ||
                       max_age_us > INT64_C(86400000000)))) {
    return RLC_ERR_INVALID;
  }
  memset(charged, 0, n * sizeof *charged);
  end = text + len;
  if ((now_us >= 0 && !verify(&text, &end, secret, secret_size, now_us, max_age_us)) ||
      text == end || !find(text, end, secret, secret_size, limits, n, charged)) {
    memset(charged, 0, n * sizeof *charged);
    return RLC_ERR_FOREIGN;
  }
  return 0;
}
