/* SPDX-License-Identifier: Apache-2.0 */
#include "limiter/catalog.h"

#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "base/memory.h"
#include "base/own.h"
#include "base/siphash.h"

#define BUCKETS 4096u
#define NAMES 256u   /* places of names, each of which several names may share */
#define STRIPES 16u  /* so that readers do not share a cache line */
#define PARSED 64u   /* policies remembered by their text: many entries have the same */
/* A ban is kept so long after its end, since a store's clock may step back. */
#define LINGER_US INT64_C(60000000)

typedef struct node node;

struct node {
  _Atomic(node *) next;
  node *retired;              /* the next that waits to be freed */
  rlc_entry_kind kind;
  char hash[RLC__ENTRY_HASH];
  size_t name_len;
  char name[RLC_MAX_NAME + 1];
  char tier[RLC_MAX_NAME + 1];
  const rlc_policy *policy;   /* NULL: none, or one that this version cannot read */
  uint64_t text;              /* of the policy: tells whether it is another */
  int64_t until_us;
  uint32_t news;              /* when it was put last; the changer's */
};

typedef struct stripe {
  _Alignas(64) _Atomic uint32_t inside[2];
} stripe;

/*
 * What is taken out of a bucket can be read still by who was inside then. It waits in |leaving| until
 * everybody who entered in an earlier phase has left; those who enter in the present one cannot meet
 * it. What is taken out meanwhile waits in |taken| for its turn.
 */
typedef struct page {
  _Atomic uint32_t entries;
  _Atomic uint32_t members;
  _Atomic uint32_t keys[NAMES];
  _Atomic uint32_t tiers[NAMES];
  _Atomic uint32_t phase;     /* 0 or 1 */
  _Atomic(node *) buckets[BUCKETS];
  stripe stripes[STRIPES];
  node *taken;
  node *leaving;
  uint32_t news;
  int64_t next_end_us;        /* no ban ends before; 0: there is none */
  const rlc_policy *parsed[PARSED];
} page;

struct rlc__catalog {
  rlc_memory memory;
  uint8_t seed[16];
  page *page;
};

/* --- reading ------------------------------------------------------------------------------- */

/* FNV-1a: the names are the administrator's own. */
static unsigned place_of(const char *name, size_t len) {
  uint32_t hash = 2166136261u;

  for (size_t i = 0; i < len; ++i) {
    hash = (hash ^ (unsigned char)name[i]) * 16777619u;
  }
  return (hash ^ hash >> 16) % NAMES;
}

uint32_t rlc__catalog_entries(const rlc__catalog *catalog) {
  return atomic_load_explicit(&catalog->page->entries, memory_order_acquire);
}

unsigned rlc__catalog_has(const rlc__catalog *catalog, const char *name, size_t name_len) {
  const page *p = catalog->page;
  unsigned at = place_of(name, name_len);
  unsigned has = 0;

  if (atomic_load_explicit(&p->keys[at], memory_order_relaxed) > 0) {
    has |= RLC__CATALOG_KEYS;
  }
  if (atomic_load_explicit(&p->tiers[at], memory_order_relaxed) > 0) {
    has |= RLC__CATALOG_TIERS;
    has |= atomic_load_explicit(&p->members, memory_order_relaxed) > 0 ? RLC__CATALOG_MEMBERS : 0;
  }
  return has;
}

void rlc__catalog_enter(rlc__catalog *catalog, rlc__reading *reading) {
  page *p = catalog->page;
  int cpu = sched_getcpu();
  stripe *s = &p->stripes[cpu < 0 ? 0 : (unsigned)cpu % STRIPES];

  for (;;) {
    uint32_t phase = atomic_load(&p->phase);

    reading->inside = &s->inside[phase];
    atomic_fetch_add(reading->inside, 1);
    if (atomic_load(&p->phase) == phase) {
      return; /* whoever ends this phase sees us in it */
    }
    atomic_fetch_sub(reading->inside, 1);
  }
}

void rlc__catalog_leave(rlc__reading *reading) {
  if (reading->inside != NULL) {
    atomic_fetch_sub_explicit(reading->inside, 1, memory_order_release);
    reading->inside = NULL;
  }
}

static _Atomic(node *) *key_bucket(const rlc__catalog *catalog, const char *hash, const char *name,
                                   size_t name_len) {
  uint64_t at = rlc__siphash2(catalog->seed, hash, RLC__ENTRY_HASH, name, name_len, 1);

  return &catalog->page->buckets[at % BUCKETS];
}

static _Atomic(node *) *tier_bucket(const rlc__catalog *catalog, const char *tier, const char *name,
                                    size_t name_len) {
  uint64_t at = rlc__siphash2(catalog->seed, tier, strlen(tier), name, name_len, 2);

  return &catalog->page->buckets[at % BUCKETS];
}

static node *next_of(_Atomic(node *) *link) {
  return atomic_load_explicit(link, memory_order_acquire);
}

static int is_of(const node *n, const char *hash, const char *name, size_t name_len) {
  return n->name_len == name_len && memcmp(n->hash, hash, RLC__ENTRY_HASH) == 0 &&
         memcmp(n->name, name, name_len) == 0;
}

rlc__found rlc__catalog_find(const rlc__catalog *catalog, const char hash[RLC__ENTRY_HASH],
                             const char *name, size_t name_len) {
  rlc__found found = {0, NULL};

  /* What is new comes first: of one that is being replaced the first counts. */
  for (node *n = next_of(key_bucket(catalog, hash, name, name_len)); n != NULL;
       n = next_of(&n->next)) {
    if (n->kind == RLC_ENTRY_BAN && found.until_us == 0 && is_of(n, hash, name, name_len)) {
      found.until_us = n->until_us;
    } else if (n->kind == RLC_ENTRY_OVERRIDE && found.policy == NULL &&
               is_of(n, hash, name, name_len)) {
      found.policy = n->policy;
    }
  }
  return found;
}

const char *rlc__catalog_tier_of(const rlc__catalog *catalog, const char hash[RLC__ENTRY_HASH]) {
  for (node *n = next_of(key_bucket(catalog, hash, "", 0)); n != NULL; n = next_of(&n->next)) {
    if (n->kind == RLC_ENTRY_MEMBER && is_of(n, hash, "", 0)) {
      return n->tier;
    }
  }
  return NULL;
}

const rlc_policy *rlc__catalog_tier(const rlc__catalog *catalog, const char *tier, const char *name,
                                    size_t name_len) {
  for (node *n = next_of(tier_bucket(catalog, tier, name, name_len)); n != NULL;
       n = next_of(&n->next)) {
    if (n->kind == RLC_ENTRY_TIER && n->name_len == name_len && strcmp(n->tier, tier) == 0 &&
        memcmp(n->name, name, name_len) == 0) {
      return n->policy;
    }
  }
  return NULL;
}

/* --- changing ------------------------------------------------------------------------------ */

static _Atomic(node *) *bucket_of(const rlc__catalog *catalog, const node *n) {
  return n->kind == RLC_ENTRY_TIER ? tier_bucket(catalog, n->tier, n->name, n->name_len)
                                   : key_bucket(catalog, n->hash, n->name, n->name_len);
}

static int is_same(const node *a, const node *b) {
  return a->kind == b->kind && is_of(a, b->hash, b->name, b->name_len) &&
         (a->kind != RLC_ENTRY_TIER || strcmp(a->tier, b->tier) == 0);
}

static void count(page *p, const node *n, uint32_t by) {
  unsigned at = place_of(n->name, n->name_len);

  atomic_fetch_add_explicit(n->kind == RLC_ENTRY_MEMBER ? &p->members
                            : n->kind == RLC_ENTRY_TIER ? &p->tiers[at]
                                                        : &p->keys[at],
                            by, memory_order_relaxed);
  atomic_fetch_add_explicit(&p->entries, by, memory_order_release);
}

static void node_del(rlc__catalog *catalog, node *n) {
  if (n->policy != NULL) {
    rlc__policy_drop(n->policy);
  }
  rlc__free(&catalog->memory, n);
}

static void take_out(rlc__catalog *catalog, _Atomic(node *) *link) {
  page *p = catalog->page;
  node *n = next_of(link);

  atomic_store_explicit(link, next_of(&n->next), memory_order_release);
  count(p, n, UINT32_MAX);
  n->retired = p->taken;
  p->taken = n;
}

/* Returns the policy of |text|, which the caller drops, or NULL with |*error|. */
static const rlc_policy *parse(rlc__catalog *catalog, const char *text, int *error, char *why,
                               size_t why_size) {
  const rlc_policy **place = &catalog->page->parsed[place_of(text, strlen(text)) % PARSED];
  rlc_policy *policy;

  if (*place == NULL || strcmp((*place)->text, text) != 0) {
    *error = rlc_policy_new(&policy, NULL, text, &catalog->memory, why, why_size);
    if (*error != 0) {
      return NULL;
    }
    if (*place != NULL) {
      rlc__policy_drop(*place);
    }
    *place = policy;
  }
  return rlc__policy_keep(*place);
}

static int read_entry(const rlc__entry *entry, node *n) {
  size_t len = strnlen(entry->name, sizeof entry->name);
  size_t tier_len = strnlen(entry->tier, sizeof entry->tier);

  memset(n, 0, sizeof *n);
  if (entry->kind < RLC_ENTRY_BAN || entry->kind > RLC_ENTRY_MEMBER || len > RLC_MAX_NAME ||
      tier_len > RLC_MAX_NAME || strnlen(entry->policy, RLC_ENTRY_POLICY) == RLC_ENTRY_POLICY ||
      (len == 0) != (entry->kind == RLC_ENTRY_MEMBER)) {
    return RLC_ERR_INVALID;
  }
  n->kind = entry->kind;
  n->name_len = len;
  memcpy(n->name, entry->name, len);
  if (entry->kind != RLC_ENTRY_TIER) {
    memcpy(n->hash, entry->hash, sizeof n->hash);
  }
  if (entry->kind == RLC_ENTRY_TIER || entry->kind == RLC_ENTRY_MEMBER) {
    memcpy(n->tier, entry->tier, tier_len);
  }
  n->until_us = entry->kind == RLC_ENTRY_BAN ? entry->until_us : 0;
  return 0;
}

void rlc__catalog_begin(rlc__catalog *catalog) {
  ++catalog->page->news;
}

/* Puts |fresh| into its bucket, where |old| of the same name is, or NULL. */
static int put_in(rlc__catalog *catalog, const node *fresh, node *old) {
  page *p = catalog->page;
  _Atomic(node *) *bucket = bucket_of(catalog, fresh);
  node *n = rlc__calloc(&catalog->memory, 1, sizeof *n);

  if (n == NULL) {
    return RLC_ERR_NOMEM;
  }
  memcpy(n, fresh, sizeof *n);
  atomic_init(&n->next, next_of(bucket));
  count(p, n, 1); /* first: who is told of none looks for none */
  atomic_store_explicit(bucket, n, memory_order_release);
  if (n->kind == RLC_ENTRY_BAN && (p->next_end_us == 0 || n->until_us < p->next_end_us)) {
    p->next_end_us = n->until_us;
  }
  for (_Atomic(node *) *link = &n->next; old != NULL; link = &next_of(link)->next) {
    if (next_of(link) == old) {
      take_out(catalog, link);
      break;
    }
  }
  return 0;
}

int rlc__catalog_put(rlc__catalog *catalog, const rlc__entry *entry, char *why, size_t why_size) {
  page *p = catalog->page;
  int has_policy = entry->kind == RLC_ENTRY_OVERRIDE || entry->kind == RLC_ENTRY_TIER;
  _Atomic(node *) *link;
  node fresh;
  int error = 0;
  int rv;

  if (read_entry(entry, &fresh) != 0) {
    return RLC_ERR_INVALID;
  }
  for (link = bucket_of(catalog, &fresh); next_of(link) != NULL && !is_same(next_of(link), &fresh);
       link = &next_of(link)->next) {
  }
  if (entry->gone) {
    if (next_of(link) != NULL) {
      take_out(catalog, link);
    }
    return 0;
  }
  fresh.news = p->news;
  fresh.text = has_policy ? rlc__siphash(catalog->seed, entry->policy, strlen(entry->policy)) : 0;
  if (next_of(link) != NULL && next_of(link)->text == fresh.text &&
      next_of(link)->until_us == fresh.until_us && strcmp(next_of(link)->tier, fresh.tier) == 0) {
    next_of(link)->news = p->news;
    return 0;
  }
  if (has_policy) {
    fresh.policy = parse(catalog, entry->policy, &error, why, why_size);
    if (error == RLC_ERR_NOMEM) {
      return error;
    }
  }
  rv = put_in(catalog, &fresh, next_of(link));
  if (rv != 0 && fresh.policy != NULL) {
    rlc__policy_drop(fresh.policy);
  }
  return rv != 0 ? rv : error;
}

/* Takes out what was not put since |news|, and bans that ended before |before_us|. */
static void sweep(rlc__catalog *catalog, int all, int64_t before_us) {
  page *p = catalog->page;

  p->next_end_us = 0;
  for (unsigned i = 0; i < BUCKETS; ++i) {
    _Atomic(node *) *link = &p->buckets[i];

    while (next_of(link) != NULL) {
      node *n = next_of(link);
      int is_ban = n->kind == RLC_ENTRY_BAN;

      if ((all && n->news != p->news) || (is_ban && n->until_us < before_us)) {
        take_out(catalog, link);
        continue;
      }
      if (is_ban && (p->next_end_us == 0 || n->until_us < p->next_end_us)) {
        p->next_end_us = n->until_us;
      }
      link = &n->next;
    }
  }
}

void rlc__catalog_keep_news(rlc__catalog *catalog) {
  sweep(catalog, 1, INT64_MIN);
}

static int is_anyone_in(page *p, uint32_t phase) {
  for (unsigned i = 0; i < STRIPES; ++i) {
    if (atomic_load(&p->stripes[i].inside[phase]) > 0) {
      return 1;
    }
  }
  return 0;
}

static void free_all(rlc__catalog *catalog, node **list) {
  while (*list != NULL) {
    node *n = *list;

    *list = n->retired;
    node_del(catalog, n);
  }
}

void rlc__catalog_tidy(rlc__catalog *catalog, int64_t now_us) {
  page *p = catalog->page;
  uint32_t phase = atomic_load(&p->phase);

  if (p->next_end_us != 0 && p->next_end_us < now_us - LINGER_US) {
    sweep(catalog, 0, now_us - LINGER_US);
  }
  /* Twice where nobody is inside, so that nothing waits for the next change. */
  for (int i = 0; i < 2 && (p->taken != NULL || p->leaving != NULL); ++i) {
    if (is_anyone_in(p, phase ^ 1)) {
      return;
    }
    free_all(catalog, &p->leaving);
    p->leaving = p->taken;
    p->taken = NULL;
    phase ^= 1;
    atomic_store(&p->phase, phase);
  }
}

/* --- new and del --------------------------------------------------------------------------- */

int rlc__catalog_new(rlc__catalog **out, const uint8_t seed[16], const rlc_memory *memory) {
  rlc__catalog *catalog = rlc__calloc(memory, 1, sizeof *catalog);

  *out = NULL;
  if (catalog == NULL) {
    return RLC_ERR_NOMEM;
  }
  catalog->memory = *memory;
  memcpy(catalog->seed, seed, sizeof catalog->seed);
  catalog->page = rlc__own_new(sizeof *catalog->page);
  if (catalog->page == NULL) {
    rlc__free(memory, catalog);
    return RLC_ERR_NOMEM;
  }
  *out = catalog;
  return 0;
}

void rlc__catalog_del(rlc__catalog *catalog) {
  rlc_memory memory;
  page *p;

  if (catalog == NULL) {
    return;
  }
  p = catalog->page;
  rlc__catalog_begin(catalog);
  rlc__catalog_keep_news(catalog);
  free_all(catalog, &p->taken);
  free_all(catalog, &p->leaving);
  for (unsigned i = 0; i < PARSED; ++i) {
    if (p->parsed[i] != NULL) {
      rlc__policy_drop(p->parsed[i]);
    }
  }
  rlc__own_del(p, sizeof *p);
  memory = catalog->memory;
  rlc__free(&memory, catalog);
}
