/* SPDX-License-Identifier: Apache-2.0 */
#include "cache.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <apr_hash.h>

enum { PLACES = 1024, PROBES = 8, MOST_BYTES = 2048 };

typedef struct ratelimit_cached {
  const rlc_policy *policy;
  const char *label;
  const char *policy_items;
  const char *quota_items;
  size_t key_len;
  char bytes[]; /* the key, then these texts */
} ratelimit_cached;

/* Of this process: the parent reads no .htaccess. Places are taken once and never given back, so that
 * who reads needs no lock. */
static _Atomic(ratelimit_cached *) places[PLACES];

/* The name= of the line, the name of the policy and its text, each with its NUL. Returns the length, or
 * 0 if it is too long to be kept. */
static size_t make_key(char key[MOST_BYTES], const ratelimit_line *line, const char *name,
                       const char *text) {
  const char *parts[] = {line->name != NULL ? line->name : "", name != NULL ? name : "", text};
  size_t len = 0;

  for (int i = 0; i < 3; ++i) {
    size_t part = strlen(parts[i]) + 1;

    if (part > MOST_BYTES - len) {
      return 0;
    }
    memcpy(key + len, parts[i], part);
    len += part;
  }
  return len;
}

static unsigned hash(const char *key, size_t len) {
  apr_ssize_t n = (apr_ssize_t)len;

  return apr_hashfunc_default(key, &n);
}

int ratelimit_cache_get(ratelimit_line *line, const char *name, const char *text) {
  char key[MOST_BYTES];
  size_t len = make_key(key, line, name, text);
  unsigned first = hash(key, len);

  for (unsigned i = 0; len > 0 && i < PROBES; ++i) {
    const ratelimit_cached *c = atomic_load(&places[(first + i) % PLACES]);

    if (c == NULL) {
      return 0;
    }
    if (c->key_len == len && memcmp(c->bytes, key, len) == 0) {
      line->policy = c->policy;
      line->label = c->label;
      line->policy_items = c->policy_items;
      line->quota_items = c->quota_items;
      return 1;
    }
  }
  return 0;
}

static const char *put_text(char **at, const char *text) {
  size_t size = strlen(text) + 1;
  char *to = memcpy(*at, text, size);

  *at += size;
  return to;
}

int ratelimit_cache_put(const ratelimit_line *line, const char *name, const char *text) {
  char key[MOST_BYTES];
  size_t len = make_key(key, line, name, text);
  unsigned first = hash(key, len);
  ratelimit_cached *c = NULL;
  char *at;

  if (len > 0) {
    c = malloc(sizeof *c + len + strlen(line->label) + strlen(line->policy_items) +
               strlen(line->quota_items) + 3);
  }
  if (c == NULL) {
    return 0;
  }
  c->policy = line->policy;
  c->key_len = len;
  memcpy(c->bytes, key, len);
  at = c->bytes + len;
  c->label = put_text(&at, line->label);
  c->policy_items = put_text(&at, line->policy_items);
  c->quota_items = put_text(&at, line->quota_items);
  for (unsigned i = 0; i < PROBES; ++i) {
    ratelimit_cached *none = NULL;

    if (atomic_compare_exchange_strong(&places[(first + i) % PLACES], &none, c)) {
      return 1;
    }
  }
  free(c);
  return 0;
}
