/* SPDX-License-Identifier: Apache-2.0 */
#include "store/index.h"

#include <string.h>

#define LEVEL_MOST 1000u

/* --- entries ------------------------------------------------------------------------------- */

static int is_letter(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_';
}

/* A name, or the id of a policy without one. */
static int is_name(const char name[RLC_MAX_NAME + 1]) {
  size_t len = strnlen(name, RLC_MAX_NAME + 1);

  for (size_t i = 0; i < len; ++i) {
    if (!is_letter(name[i])) {
      return 0;
    }
  }
  return len > 0 && len <= RLC_MAX_NAME;
}

static int is_hash(const char hash[RLC__ENTRY_HASH]) {
  for (size_t i = 0; i < RLC__ENTRY_HASH; ++i) {
    if (!is_letter(hash[i])) {
      return 0;
    }
  }
  return 1;
}

static int is_policy(const char policy[RLC_ENTRY_POLICY]) {
  size_t len = strnlen(policy, RLC_ENTRY_POLICY);

  for (size_t i = 0; i < len; ++i) {
    if (policy[i] < ' ' || policy[i] > '~') {
      return 0;
    }
  }
  return len > 0 && len < RLC_ENTRY_POLICY;
}

/* Whether what |e| is known by is as it has to be. */
static int is_known(const rlc__entry *e) {
  static const char no_hash[RLC__ENTRY_HASH];

  switch (e->kind) {
  case RLC_ENTRY_BAN:
  case RLC_ENTRY_OVERRIDE:
    return is_hash(e->hash) && is_name(e->name);
  case RLC_ENTRY_TIER:
    return memcmp(e->hash, no_hash, sizeof no_hash) == 0 && is_name(e->tier) && is_name(e->name);
  case RLC_ENTRY_MEMBER:
    return is_hash(e->hash) && e->name[0] == '\0';
  }
  return 0;
}

int rlc__entry_ok(const rlc__entry *e) {
  int tiered = e->kind == RLC_ENTRY_TIER || e->kind == RLC_ENTRY_MEMBER;
  int ruled = e->kind == RLC_ENTRY_OVERRIDE || e->kind == RLC_ENTRY_TIER;

  return is_known(e) &&
         (e->gone || ((tiered ? is_name(e->tier) : e->tier[0] == '\0') &&
                      (ruled ? is_policy(e->policy) : e->policy[0] == '\0') &&
                      e->display_len <= RLC_MAX_DISPLAY &&
                      (e->kind == RLC_ENTRY_BAN ? e->until_us > 0 : e->until_us == 0)));
}

static int is_denials(const rlc__denials *d) {
  return is_hash(d->hash) && is_name(d->name) && d->most > 0 && d->within_us > 0 &&
         d->first_us > 0 && d->longest_us >= d->first_us && d->display_len <= RLC_MAX_DISPLAY;
}

int rlc__index_call_ok(const rlc__index_call *call) {
  size_t n = call->op == RLC__INDEX_DENIED ? call->n : 0;

  for (size_t i = 0; n <= RLC__INDEX_BATCH && i < n; ++i) {
    if (!is_denials(&call->denials[i])) {
      return 0;
    }
  }
  return n <= RLC__INDEX_BATCH && (call->op != RLC__INDEX_PUT || rlc__entry_ok(call->entry)) &&
         (call->op != RLC__INDEX_DROP || is_known(call->entry));
}

/* --- denials ------------------------------------------------------------------------------- */

int rlc__denied_count(rlc__denied *known, const rlc__denials *denials, int64_t now_us) {
  int64_t longest = now_us + 2 * denials->longest_us;

  if (known->began_us > now_us) {
    known->began_us = now_us;
  }
  if (known->forgiven_us > longest) {
    known->forgiven_us = longest;
  }
  if (now_us >= known->began_us + denials->within_us) {
    known->began_us = now_us;
    known->count = 0;
  }
  if (now_us >= known->forgiven_us) {
    known->forgiven_us = 0;
    known->level = 0;
  }
  known->count = denials->count > UINT32_MAX - known->count ? UINT32_MAX
                                                            : known->count + denials->count;
  return known->count >= denials->most;
}

int64_t rlc__denied_ban(rlc__denied *known, const rlc__denials *denials, int64_t now_us) {
  int64_t length = denials->first_us;

  for (uint32_t i = 0; i < known->level && length < denials->longest_us; ++i) {
    length = length > denials->longest_us / 2 ? denials->longest_us : 2 * length;
  }
  if (length > denials->longest_us) {
    length = denials->longest_us;
  }
  known->level = known->level < LEVEL_MOST ? known->level + 1 : LEVEL_MOST;
  known->began_us = 0;
  known->count = 0;
  known->forgiven_us = now_us + 2 * length;
  return now_us + length;
}

int64_t rlc__denied_expiry(const rlc__denied *known, int64_t within_us) {
  int64_t end = known->began_us + within_us;

  return end > known->forgiven_us ? end : known->forgiven_us;
}
