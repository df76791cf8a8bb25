/* SPDX-License-Identifier: Apache-2.0 */
#include "limiter/batch.h"

#include <stddef.h>
#include <string.h>

/* --- reading limits ------------------------------------------------------------------------ */

/* The rlc_limit of the first version: what came later is unset in one no larger. */
#define FIRST_LIMIT_SIZE offsetof(rlc_limit, group)

static int same_state(const rlc__item *a, const rlc__item *b) {
  return a->key_len == b->key_len && a->name_len == b->name_len &&
         a->group_len == b->group_len && a->policy->algorithm == b->policy->algorithm &&
         (a->policy->rates > 1) == (b->policy->rates > 1) &&
         memcmp(a->name, b->name, a->name_len) == 0 &&
         (a->key_len == 0 || memcmp(a->key, b->key, a->key_len) == 0) &&
         (a->group_len == 0 || memcmp(a->group, b->group, a->group_len) == 0);
}

/* Turns a caller's limit of |size| bytes into an item, and its |*tier|. Returns 0 or RLC_ERR_INVALID. */
static int read_limit(const rlc_limit *limit, size_t size, rlc__item *item, const char **tier) {
  if (limit->policy == NULL || limit->key_len > RLC_MAX_KEY ||
      (limit->key == NULL && limit->key_len > 0) || limit->cost > RLC_MAX_QUOTA ||
      (unsigned)limit->fail > RLC_FAIL_CLOSED) {
    return RLC_ERR_INVALID;
  }
  item->policy = limit->policy;
  item->key = limit->key_len > 0 ? limit->key : "";
  item->key_len = limit->key_len;
  item->group = "";
  item->group_len = 0;
  if (size >= offsetof(rlc_limit, group_len) + sizeof limit->group_len && limit->group_len > 0) {
    if (limit->group == NULL || limit->group_len > RLC_MAX_KEY) {
      return RLC_ERR_INVALID;
    }
    item->group = limit->group;
    item->group_len = limit->group_len;
  }
  if (size >= offsetof(rlc_limit, tier) + sizeof limit->tier && limit->tier != NULL) {
    if (!rlc_name_ok(limit->tier)) {
      return RLC_ERR_INVALID;
    }
    *tier = limit->tier;
  }
  item->cost = limit->cost;
  item->fail = limit->fail;
  item->charged_us = item->mirrored_us = 0;
  item->mirrored = 0;
  item->result = (rlc_result)RLC_RESULT_INIT;
  if (limit->name != NULL) {
    if (!rlc_name_ok(limit->name)) {
      return RLC_ERR_INVALID;
    }
    item->name = limit->name;
  } else if (limit->policy->name[0] != '\0') {
    item->name = limit->policy->name;
  } else {
    item->name = limit->policy->id;
  }
  item->name_len = strlen(item->name);
  return 0;
}

/* Of two fail policies the one that lets less through; that of the store lets through what local
 * does, or it would have been set. */
static rlc_fail stricter(rlc_fail a, rlc_fail b) {
  static const int rank[] = {[RLC_FAIL_OPEN] = 0, [RLC_FAIL_DEFAULT] = 1, [RLC_FAIL_LOCAL] = 2,
                             [RLC_FAIL_CLOSED] = 3};

  return rank[a] >= rank[b] ? a : b;
}

static int read_limits(rlc__batch *b, const rlc_limit *limits, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    rlc__item *item = &b->items[b->call.n];
    size_t at = 0;

    b->tier[b->call.n] = NULL;
    b->ruled[b->call.n] = 0;
    /* The caller's own size is the stride: its struct may be of another version than ours. */
    if (limits->size < FIRST_LIMIT_SIZE ||
        read_limit((const rlc_limit *)((const char *)limits + i * limits->size), limits->size,
                   item, &b->tier[b->call.n]) != 0) {
      return RLC_ERR_INVALID;
    }
    while (at < b->call.n && !same_state(&b->items[at], item)) {
      ++at;
    }
    b->item_of[i] = (unsigned char)at;
    if (b->call.op == RLC__OP_GRANT && (item->cost == 0 || at < b->call.n)) {
      return RLC_ERR_INVALID;
    }
    if (at == b->call.n) {
      ++b->call.n;
    } else if (strcmp(b->items[at].policy->text, item->policy->text) != 0) {
      return RLC_ERR_INVALID; /* one state cannot obey two policies */
    } else {
      b->items[at].cost += item->cost;
      b->items[at].fail = stricter(b->items[at].fail, item->fail);
    }
  }
  return 0;
}

/* One state cannot obey two policies: where the index has two for it, it obeys the first's. Costs add up,
 * but a grant is of units that all limits have in common. */
void rlc__batch_merge(rlc__batch *b) {
  for (size_t i = 1; i < b->call.n;) {
    size_t at = 0;

    while (at < i && !same_state(&b->items[at], &b->items[i])) {
      ++at;
    }
    if (at == i) {
      ++i;
      continue;
    }
    if (b->call.op != RLC__OP_GRANT) {
      b->items[at].cost += b->items[i].cost;
    } else if (b->items[i].cost < b->items[at].cost) {
      b->items[at].cost = b->items[i].cost;
    }
    b->items[at].fail = stricter(b->items[at].fail, b->items[i].fail);
    for (size_t j = 0; j < b->n; ++j) {
      unsigned char of = b->item_of[j];

      b->item_of[j] = of == i ? (unsigned char)at : (unsigned char)(of - (of > i));
    }
    --b->call.n;
    --b->total;
    for (size_t j = i; j < b->call.n; ++j) {
      b->items[j] = b->items[j + 1];
      b->tier[j] = b->tier[j + 1];
      b->ruled[j] = b->ruled[j + 1];
    }
  }
}

static void exchange(rlc__batch *b, size_t i, size_t j) {
  rlc__item item = b->items[i];
  unsigned char ruled = b->ruled[i];

  b->items[i] = b->items[j];
  b->items[j] = item;
  b->ruled[i] = b->ruled[j];
  b->ruled[j] = ruled;
  for (size_t k = 0; k < b->n; ++k) {
    size_t of = b->item_of[k];

    b->item_of[k] = (unsigned char)(of == i ? j : of == j ? i : of);
  }
}

/* From here on nobody asks for the tiers. */
void rlc__batch_set_banned_aside(rlc__batch *b) {
  for (size_t i = 0; i < b->call.n;) {
    if (b->items[i].result.source == RLC_SOURCE_BAN) {
      exchange(b, i, --b->call.n);
    } else {
      ++i;
    }
  }
}

size_t rlc__items_size(const rlc__item *items, size_t n) {
  size_t size = 0;

  for (size_t i = 0; i < n; ++i) {
    size += items[i].key_len + items[i].group_len + items[i].name_len + 1;
  }
  return size;
}

static const char *copy(char **to, const void *from, size_t len) {
  char *at = *to;

  memcpy(at, from, len);
  *to += len;
  return at;
}

void rlc__items_own(rlc__item *items, size_t n, char *to) {
  for (size_t i = 0; i < n; ++i) {
    items[i].key = copy(&to, items[i].key, items[i].key_len);
    items[i].group = copy(&to, items[i].group, items[i].group_len);
    items[i].name = copy(&to, items[i].name, items[i].name_len);
    *to++ = '\0';
  }
}

static const rlc_result *result_at(const rlc_result *results, size_t i) {
  return (const rlc_result *)((const char *)results + i * results->size);
}

int rlc__batch_fits(const rlc__batch *b, const rlc_result *results) {
  for (size_t i = 0; i < b->n; ++i) {
    if (results->size < sizeof *results || result_at(results, i)->size != results->size) {
      return 0;
    }
  }
  return 1;
}

int rlc__batch_read(rlc__batch *b, rlc__op op, const rlc_limit *limits, size_t n,
                    const rlc_result *results, const rlc_decision *decision) {
  if (limits == NULL || n < 1 || n > RLC_MAX_LIMITS ||
      (decision != NULL && (decision->size < sizeof *decision ||
                            decision->result.size < sizeof decision->result))) {
    return RLC_ERR_INVALID;
  }
  b->n = n;
  if (results != NULL && !rlc__batch_fits(b, results)) {
    return RLC_ERR_INVALID;
  }
  b->call = (rlc__call){.op = op, .items = b->items};
  b->op = op;
  b->reading.inside = NULL;
  b->kept = 0;
  if (read_limits(b, limits, n) != 0) {
    return RLC_ERR_INVALID;
  }
  b->total = b->call.n;
  return 0;
}

/* --- giving results ------------------------------------------------------------------------ */

/* Whether |a| binds the request more than |b|: see rlc_decision.index. */
static int binds_more(const rlc_result *a, const rlc_result *b) {
  if (a->allowed != b->allowed) {
    return !a->allowed;
  }
  if (a->allowed) {
    return a->remaining < b->remaining;
  }
  if (a->retry_us == RLC_NEVER || b->retry_us == RLC_NEVER) {
    return a->retry_us == RLC_NEVER && b->retry_us != RLC_NEVER;
  }
  return a->retry_us > b->retry_us;
}

/* The caller's struct may be of a later version, never of an earlier one: its size stays. */
static void give_result(rlc_result *to, const rlc_result *from) {
  size_t size = to->size;

  *to = *from;
  to->size = size;
}

static int is_degraded(const rlc_result *r) {
  return r->source != RLC_SOURCE_STORE && r->source != RLC_SOURCE_BAN;
}

static void count(rlc__counters *counters, int allowed, const rlc__batch *b) {
  static const rlc__count degraded[] = {[RLC_SOURCE_FALLBACK] = RLC__COUNT_FALLBACK,
                                        [RLC_SOURCE_FAIL_OPEN] = RLC__COUNT_FAIL_OPEN,
                                        [RLC_SOURCE_FAIL_CLOSED] = RLC__COUNT_FAIL_CLOSED};
  rlc_source worst = RLC_SOURCE_STORE;
  int banned = 0;

  rlc__counters_add(counters, allowed ? RLC__COUNT_ALLOWED : RLC__COUNT_DENIED);
  for (size_t i = 0; i < b->total; ++i) {
    const rlc_result *r = &b->items[i].result;

    banned |= r->source == RLC_SOURCE_BAN;
    worst = is_degraded(r) && r->source > worst ? r->source : worst;
  }
  if (banned) {
    rlc__counters_add(counters, RLC__COUNT_BANNED);
  }
  if (worst != RLC_SOURCE_STORE) {
    rlc__counters_add(counters, degraded[worst]);
  }
}

int rlc__batch_give(const rlc__batch *b, rlc__counters *counters, rlc_result *results,
                    rlc_decision *decision) {
  const rlc_result *bound;
  unsigned index = 0;
  int rv = 0;

  for (size_t i = 0; i < b->total; ++i) {
    if (is_degraded(&b->items[i].result)) {
      rv = RLC_DEGRADED;
    }
  }
  for (unsigned i = 1; i < b->n; ++i) {
    if (binds_more(&b->items[b->item_of[i]].result, &b->items[b->item_of[index]].result)) {
      index = i;
    }
  }
  bound = &b->items[b->item_of[index]].result;
  if (b->op == RLC__OP_CHECK || b->op == RLC__OP_GRANT) {
    count(counters, bound->allowed, b);
  }
  for (size_t i = 0; results != NULL && i < b->n; ++i) {
    give_result((rlc_result *)(uintptr_t)result_at(results, i), &b->items[b->item_of[i]].result);
  }
  if (decision != NULL) {
    decision->allowed = bound->allowed;
    decision->source = bound->source;
    decision->index = index;
    give_result(&decision->result, bound);
  }
  return rv;
}
