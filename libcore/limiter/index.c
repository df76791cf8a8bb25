/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "limiter/limiter.h"

/* The public verbs of the index. */

#define SECOND_US INT64_C(1000000)
#define LONGEST_BAN_US (INT64_C(3660) * 86400 * SECOND_US)

size_t rlc__display_cut(const void *text, size_t len) {
  const unsigned char *at = text;
  size_t cut = RLC_MAX_DISPLAY;

  if (len <= RLC_MAX_DISPLAY) {
    return len;
  }
  /* A character has at most three bytes behind its first. */
  while (cut > RLC_MAX_DISPLAY - 3 && (at[cut] & 0xc0) == 0x80) {
    --cut;
  }
  return (at[cut] & 0xc0) == 0x80 ? RLC_MAX_DISPLAY : cut;
}

/* Whether |name| is a limit's name, or what one without a name is named by: a hash, which may begin with
 * any of a name's characters. */
static int is_limit(const char *name) {
  return name != NULL && strlen(name) <= RLC_MAX_NAME &&
         (rlc_name_ok(name) ||
          (strlen(name) == RLC__POLICY_ID_SIZE - 1 &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") ==
               RLC__POLICY_ID_SIZE - 1));
}

static int is_key(const void *key, size_t key_len) {
  return key_len <= RLC_MAX_KEY && (key != NULL || key_len == 0);
}

/* What the store says, as callers know it. */
static int public_of(int error) {
  switch (error) {
  case 0:
  case RLC_ERR_NOMEM:
  case RLC_ERR_FULL:
  case RLC_ERR_LOST:
    return error;
  default:
    return RLC_ERR_STORE;
  }
}

/* Begins |entry| of |key|, of which there is none for tiers. Returns 0, RLC_ERR_INVALID or RLC_ERR_NOMEM. */
static int begin(rlc_limiter *limiter, rlc__entry *entry, rlc_entry_kind kind, const void *key,
                 size_t key_len, const char *display) {
  memset(entry, 0, sizeof *entry);
  entry->kind = kind;
  if (display != NULL) {
    entry->display_len = (unsigned char)rlc__display_cut(display, strlen(display));
    memcpy(entry->display, display, entry->display_len);
  }
  if (kind == RLC_ENTRY_TIER) {
    return 0;
  }
  if (!is_key(key, key_len)) {
    return RLC_ERR_INVALID;
  }
  return rlc__rules_identify(limiter->rules, key_len > 0 ? key : "", key_len, entry->hash);
}

static int change(rlc_limiter *limiter, rlc__index_op op, const rlc__entry *entry) {
  rlc__index_call call = {.op = op, .entry = entry};
  int rv = rlc__rules_index(limiter->rules, &call);

  if (rv == 0) {
    (void)rlc__rules_refresh(limiter->rules); /* what was done is done, and known within a second */
  }
  return public_of(rv);
}

/* --- bans ---------------------------------------------------------------------------------- */

int rlc_limiter_ban(rlc_limiter *limiter, const char *name, const void *key, size_t key_len,
                    int64_t for_us, const char *display) {
  rlc__entry entry;
  int rv;

  if (limiter == NULL || !is_limit(name) || for_us < SECOND_US || for_us > LONGEST_BAN_US) {
    return RLC_ERR_INVALID;
  }
  rv = begin(limiter, &entry, RLC_ENTRY_BAN, key, key_len, display);
  if (rv != 0) {
    return rv;
  }
  memcpy(entry.name, name, strlen(name));
  entry.until_us = for_us;
  return change(limiter, RLC__INDEX_PUT, &entry);
}

int rlc_limiter_unban(rlc_limiter *limiter, const char *name, const void *key, size_t key_len) {
  rlc__entry entry;
  int rv;

  if (limiter == NULL || !is_limit(name)) {
    return RLC_ERR_INVALID;
  }
  rv = begin(limiter, &entry, RLC_ENTRY_BAN, key, key_len, NULL);
  if (rv != 0) {
    return rv;
  }
  memcpy(entry.name, name, strlen(name));
  rlc__rules_forget(limiter->rules, key_len > 0 ? key : "", key_len, name);
  return change(limiter, RLC__INDEX_DROP, &entry);
}

/* --- policies ------------------------------------------------------------------------------ */

/* Puts |text|'s canonical form into |entry|, or takes it away where that is NULL. */
static int set_policy(rlc_limiter *limiter, rlc__entry *entry, const char *text, char *why,
                      size_t why_size) {
  rlc_policy *policy;
  int rv;

  if (text == NULL) {
    rv = change(limiter, RLC__INDEX_DROP, entry);
    return rv == 0 ? 0 : rlc__fail(rv, why, why_size, "%s", rlc_strerror(rv));
  }
  rv = rlc_policy_new(&policy, NULL, text, &limiter->memory, why, why_size);
  if (rv != 0) {
    return rv;
  }
  if (strlen(policy->text) >= sizeof entry->policy) {
    rv = rlc__fail(RLC_ERR_POLICY, why, why_size, "column 1: written out in full this policy has "
                   "%zu bytes, and the index has room for %zu; leave out a rate or an option",
                   strlen(policy->text), sizeof entry->policy - 1);
  } else {
    memcpy(entry->policy, policy->text, strlen(policy->text));
    rv = change(limiter, RLC__INDEX_PUT, entry);
    rv = rv == 0 ? 0 : rlc__fail(rv, why, why_size, "%s", rlc_strerror(rv));
  }
  rlc_policy_del(policy);
  return rv;
}

int rlc_limiter_override(rlc_limiter *limiter, const char *name, const void *key, size_t key_len,
                         const char *text, const char *display, char *why, size_t why_size) {
  rlc__entry entry;
  int rv = RLC_ERR_INVALID;

  if (limiter != NULL && is_limit(name)) {
    rv = begin(limiter, &entry, RLC_ENTRY_OVERRIDE, key, key_len, display);
  }
  if (rv != 0) {
    return rlc__fail(rv, why, why_size, "%s", rlc_strerror(rv));
  }
  memcpy(entry.name, name, strlen(name));
  return set_policy(limiter, &entry, text, why, why_size);
}

int rlc_limiter_set_tier(rlc_limiter *limiter, const char *tier, const char *name, const char *text,
                         char *why, size_t why_size) {
  rlc__entry entry;

  if (limiter == NULL || !rlc_name_ok(tier) || !is_limit(name)) {
    return rlc__fail(RLC_ERR_INVALID, why, why_size, "%s", rlc_strerror(RLC_ERR_INVALID));
  }
  (void)begin(limiter, &entry, RLC_ENTRY_TIER, NULL, 0, NULL);
  memcpy(entry.tier, tier, strlen(tier));
  memcpy(entry.name, name, strlen(name));
  return set_policy(limiter, &entry, text, why, why_size);
}

int rlc_limiter_set_member(rlc_limiter *limiter, const void *key, size_t key_len, const char *tier,
                           const char *display) {
  rlc__entry entry;
  int rv;

  if (limiter == NULL || (tier != NULL && !rlc_name_ok(tier))) {
    return RLC_ERR_INVALID;
  }
  rv = begin(limiter, &entry, RLC_ENTRY_MEMBER, key, key_len, display);
  if (rv != 0) {
    return rv;
  }
  if (tier != NULL) {
    memcpy(entry.tier, tier, strlen(tier));
  }
  return change(limiter, tier != NULL ? RLC__INDEX_PUT : RLC__INDEX_DROP, &entry);
}

/* --- telling ------------------------------------------------------------------------------- */

typedef struct list {
  const rlc_memory *memory;
  rlc__entry *entries;
  size_t n;
  size_t room;
  int error;
} list;

static void gather(const rlc__entry *entry, void *user) {
  list *l = user;

  if (entry->gone || l->error != 0) {
    return;
  }
  if (l->n == l->room) {
    size_t room = l->room > 0 ? 2 * l->room : 64;
    void *more = rlc__realloc(l->memory, l->entries, room * sizeof *l->entries);

    if (more == NULL) {
      l->error = RLC_ERR_NOMEM;
      return;
    }
    l->entries = more;
    l->room = room;
  }
  l->entries[l->n++] = *entry;
}

/* Tiers, their members, overrides, bans; each by name. */
static int in_order(const void *x, const void *y) {
  static const int rank[] = {[RLC_ENTRY_TIER] = 0, [RLC_ENTRY_MEMBER] = 1, [RLC_ENTRY_OVERRIDE] = 2,
                             [RLC_ENTRY_BAN] = 3};
  const rlc__entry *a = x;
  const rlc__entry *b = y;
  int order = rank[a->kind] - rank[b->kind];

  order = order != 0 ? order : strcmp(a->tier, b->tier);
  order = order != 0 ? order : strcmp(a->name, b->name);
  order = order != 0 ? order : strcmp(a->display, b->display);
  return order != 0 ? order : memcmp(a->hash, b->hash, sizeof a->hash);
}

/* Returns whether |from| has not ended at |now_us|, and then what callers know of it. */
static int show(const rlc__entry *from, int64_t now_us, rlc_entry *to) {
  memset(to, 0, sizeof *to);
  to->size = sizeof *to;
  to->kind = from->kind;
  if (from->kind != RLC_ENTRY_TIER) {
    memcpy(to->key, from->hash, sizeof from->hash);
  }
  memcpy(to->name, from->name, sizeof to->name);
  memcpy(to->tier, from->tier, sizeof to->tier);
  memcpy(to->policy, from->policy, sizeof to->policy);
  /* Callers have it up to a NUL: who has one in the key is not shown as whoever has what is before it. */
  for (size_t i = 0; i < from->display_len; ++i) {
    to->display[i] = from->display[i];
    if (to->display[i] == '\0') {
      to->display[i] = '?';
    }
  }
  to->left_us = from->kind == RLC_ENTRY_BAN ? from->until_us - now_us : RLC_NEVER;
  to->level = from->level;
  return from->kind != RLC_ENTRY_BAN || to->left_us > 0;
}

int rlc_limiter_list(rlc_limiter *limiter, rlc_entry_fn *fn, void *user) {
  rlc__index_call call = {.op = RLC__INDEX_NEWS, .fn = gather};
  list l = {0};
  int rv;

  if (limiter == NULL || fn == NULL) {
    return RLC_ERR_INVALID;
  }
  l.memory = &limiter->memory;
  call.user = &l;
  rv = public_of(rlc__rules_index(limiter->rules, &call));
  rv = rv == 0 ? l.error : rv;
  if (rv == 0 && l.n > 0) {
    qsort(l.entries, l.n, sizeof *l.entries, in_order);
  }
  for (size_t i = 0; rv == 0 && i < l.n; ++i) {
    rlc_entry entry;

    if (show(&l.entries[i], call.store_now_us, &entry)) {
      rv = fn(&entry, user);
    }
  }
  rlc__free(&limiter->memory, l.entries);
  return rv;
}

int rlc_limiter_hash(rlc_limiter *limiter, const void *key, size_t key_len, char hash[17]) {
  int rv;

  if (limiter == NULL || hash == NULL || !is_key(key, key_len)) {
    return RLC_ERR_INVALID;
  }
  rv = rlc__rules_identify(limiter->rules, key_len > 0 ? key : "", key_len, hash);
  hash[rv == 0 ? RLC__ENTRY_HASH : 0] = '\0';
  return rv;
}

int rlc_limiter_refresh(rlc_limiter *limiter) {
  return limiter != NULL ? public_of(rlc__rules_refresh(limiter->rules)) : RLC_ERR_INVALID;
}
