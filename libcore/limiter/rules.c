/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/clock.h"
#include "base/siphash.h"
#include "limiter/rules_inside.h"

/* --- keys ---------------------------------------------------------------------------------- */

int rlc__rules_identify(rlc__rules *rules, const void *key, size_t key_len,
                        char hash[RLC__ENTRY_HASH]) {
  uint64_t id = rlc__siphash(rules->seed, key, key_len);
  rlc__memo *memo = &rules->page->memos[id % RLC__MEMOS];
  uint64_t words[2];
  int rv;

  words[0] = atomic_load_explicit(&memo->hash[0], memory_order_relaxed);
  words[1] = atomic_load_explicit(&memo->hash[1], memory_order_relaxed);
  if (words[0] != 0 &&
      atomic_load_explicit(&memo->check, memory_order_relaxed) == (id ^ words[0] ^ words[1])) {
    memcpy(hash, words, sizeof words);
    return 0;
  }
  rv = rules->store->ops->identify(rules->store, key, key_len, hash);
  if (rv == 0) {
    memcpy(words, hash, sizeof words);
    atomic_store_explicit(&memo->check, id ^ words[0] ^ words[1], memory_order_relaxed);
    atomic_store_explicit(&memo->hash[0], words[0], memory_order_relaxed);
    atomic_store_explicit(&memo->hash[1], words[1], memory_order_relaxed);
  }
  return rv;
}

int64_t rlc__rules_now(const rlc__rules *rules, const rlc__call *call) {
  return call->now_us != 0
             ? call->now_us
             : rlc__clock_boottime_us() +
                   atomic_load_explicit(&rules->page->ahead_us, memory_order_relaxed);
}

/* --- before -------------------------------------------------------------------------------- */

static int is_asking(rlc__op op) {
  return op == RLC__OP_CHECK || op == RLC__OP_PEEK || op == RLC__OP_GRANT;
}

/* Nothing is told of quota that nobody looked at. */
static void refuse(rlc__item *item, int64_t left_us) {
  rlc_result *r = &item->result;

  r->allowed = 0;
  r->source = RLC_SOURCE_BAN;
  r->rate_index = 0;
  r->limit = item->policy->rate[0].capacity;
  r->remaining = 0;
  r->window_us = item->policy->rate[0].window_us;
  r->retry_us = left_us;
  r->reset_us = left_us;
  r->charged = 0;
}

/* Puts in place what the index has for item |i|, for which it |has| something. Returns 1 if its key is
 * banned. */
static int rule(rlc__rules *rules, rlc__batch *b, size_t i, unsigned has) {
  rlc__item *item = &b->items[i];
  const char *tier = b->tier[i];
  rlc__found found = {0, NULL};
  char hash[RLC__ENTRY_HASH];

  if (has & (RLC__CATALOG_KEYS | RLC__CATALOG_MEMBERS)) {
    if (rlc__rules_identify(rules, item->key, item->key_len, hash) != 0) {
      return 0; /* without memory the index holds for nobody */
    }
    if (has & RLC__CATALOG_KEYS) {
      found = rlc__catalog_find(rules->catalog, hash, item->name, item->name_len);
    }
  }
  if (found.policy == NULL && has & RLC__CATALOG_TIERS) {
    const char *own = has & RLC__CATALOG_MEMBERS ? rlc__catalog_tier_of(rules->catalog, hash) : NULL;

    tier = own != NULL ? own : tier;
    found.policy = tier != NULL ? rlc__catalog_tier(rules->catalog, tier, item->name,
                                                    item->name_len)
                                : NULL;
  }
  if (found.policy != NULL) {
    item->policy = found.policy;
    b->ruled[i] = 1;
  }
  if (found.until_us != 0 && is_asking(b->call.op)) {
    int64_t left_us = found.until_us - rlc__rules_now(rules, &b->call);

    if (left_us > 0) {
      refuse(item, left_us);
      return 1;
    }
  }
  return 0;
}

/* What is banned needs no store; of the others one peeks, where anybody wants to know. */
static int ask_others(rlc__batch *b, int tells) {
  rlc__batch_set_banned_aside(b);
  if (b->call.n == 0) {
    return 0;
  }
  b->call.op = RLC__OP_PEEK;
  b->call.receipts = 0;
  if (tells) {
    return 1;
  }
  for (size_t i = 0; i < b->call.n; ++i) {
    b->items[i].result.allowed = 1;
    b->items[i].result.source = RLC_SOURCE_STORE;
  }
  b->call.n = 0;
  return 0;
}

int rlc__rules_before(rlc__rules *rules, rlc__batch *b, int tells) {
  const rlc__store_ops *ops = rules->store->ops;
  int banned = 0, ruled = 0;

  if (rules->polls) {
    if (!atomic_load_explicit(&rules->page->used, memory_order_relaxed)) {
      rlc__rules_wake(rules);
    }
  } else {
    uint64_t version = ops->index_version(rules->store);

    if (version != atomic_load_explicit(&rules->page->version, memory_order_relaxed)) {
      rlc__rules_catch_up(rules, version);
    }
  }
  if (rlc__catalog_entries(rules->catalog) == 0) {
    return 1;
  }
  for (size_t i = 0; i < b->call.n; ++i) {
    unsigned has = rlc__catalog_has(rules->catalog, b->items[i].name, b->items[i].name_len);

    if ((has & RLC__CATALOG_TIERS) && !(has & RLC__CATALOG_MEMBERS) && b->tier[i] == NULL) {
      has &= ~(unsigned)RLC__CATALOG_TIERS;
    }
    if (has != 0) {
      if (b->reading.inside == NULL) {
        rlc__catalog_enter(rules->catalog, &b->reading);
      }
      banned |= rule(rules, b, i, has);
      ruled |= b->ruled[i];
    }
  }
  if (!ruled) {
    rlc__catalog_leave(&b->reading);
  } else {
    rlc__batch_merge(b);
  }
  return banned ? ask_others(b, tells) : 1;
}

/* --- after --------------------------------------------------------------------------------- */

void rlc__rules_keep(rlc__batch *b) {
  if (b->reading.inside == NULL) {
    return;
  }
  for (size_t i = 0; i < b->total; ++i) {
    if (b->ruled[i]) {
      (void)rlc__policy_keep(b->items[i].policy);
    }
  }
  b->kept = 1;
  rlc__catalog_leave(&b->reading);
}

void rlc__rules_let_go(rlc__batch *b) {
  rlc__catalog_leave(&b->reading);
  if (!b->kept) {
    return;
  }
  for (size_t i = 0; i < b->total; ++i) {
    if (b->ruled[i]) {
      rlc__policy_drop(b->items[i].policy);
    }
  }
  b->kept = 0;
}

static uint32_t first_denial(rlc__rules *rules, const rlc__item *item, uint64_t id,
                             int64_t now_us) {
  const rlc__ban *ban = &item->policy->ban;
  rlc__denials d;

  memset(&d, 0, sizeof d);
  if (rlc__rules_identify(rules, item->key, item->key_len, d.hash) != 0) {
    return 0;
  }
  memcpy(d.name, item->name, item->name_len);
  d.count = 1;
  d.most = ban->most;
  d.within_us = (int64_t)ban->within_s * 1000000;
  d.first_us = (int64_t)ban->first_s * 1000000;
  d.longest_us = (int64_t)ban->longest_s * 1000000;
  if (rules->display) {
    d.display_len = (unsigned char)rlc__display_cut(item->key, item->key_len);
    memcpy(d.display, item->key, d.display_len);
  }
  return rlc__denials_open(rules->denials, id, &d, now_us);
}

/* A key is banned for asking again and again, not for what it asks: what can never pass, and asking what
 * would, do not count. */
static int counts(const rlc__item *item) {
  return !item->result.allowed && item->policy->ban.most > 0 && item->cost > 0 &&
         item->result.retry_us != RLC_NEVER &&
         (item->result.source == RLC_SOURCE_STORE || item->result.source == RLC_SOURCE_FALLBACK);
}

static uint64_t id_of(const rlc__rules *rules, const void *key, size_t key_len, const char *name,
                      size_t name_len) {
  return rlc__siphash2(rules->seed, key, key_len, name, name_len, 3);
}

void rlc__rules_forget(rlc__rules *rules, const void *key, size_t key_len, const char *name) {
  rlc__denials_forget(rules->denials, id_of(rules, key, key_len, name, strlen(name)));
}

static void count(rlc__rules *rules, const rlc__batch *b, const rlc__item *item) {
  uint64_t id = id_of(rules, item->key, item->key_len, item->name, item->name_len);
  int64_t now_us = b->call.now_us != 0 ? b->call.now_us : rlc__clock_monotonic_us();
  uint32_t n = rlc__denials_add(rules->denials, id, now_us);

  if (n == 0) {
    n = first_denial(rules, item, id, now_us);
  }
  if (n == 1 || n == item->policy->ban.most) {
    rlc__rules_denied(rules, n == item->policy->ban.most);
  }
}

void rlc__rules_count(rlc__rules *rules, const rlc__batch *b) {
  if (b->call.op == RLC__OP_CHECK || b->call.op == RLC__OP_GRANT) {
    for (size_t i = 0; i < b->call.n; ++i) {
      if (counts(&b->items[i])) {
        count(rules, b, &b->items[i]);
      }
    }
  }
}
