/* SPDX-License-Identifier: Apache-2.0 */
#include "limiter/denials.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/memory.h"
#include "base/own.h"

#define SHARDS 16u
#define PLACES (RLC__DENIALS_KEYS / SHARDS)

typedef struct place {
  int64_t since_us;
  rlc__denials denials;
} place;

/* The ids lie together: a search reads a few cache lines. */
typedef struct shard {
  _Alignas(64) pthread_mutex_t mutex;
  uint32_t n; /* the first so many places are taken */
  uint64_t ids[PLACES];
  place places[PLACES];
} shard;

typedef struct page {
  _Atomic uint32_t keys;
  _Atomic uint64_t dropped;
  shard shards[SHARDS];
} page;

struct rlc__denials_table {
  rlc_memory memory;
  page *page;
};

int rlc__denials_new(rlc__denials_table **out, const rlc_memory *memory) {
  rlc__denials_table *table = rlc__calloc(memory, 1, sizeof *table);

  *out = NULL;
  if (table == NULL) {
    return RLC_ERR_NOMEM;
  }
  table->memory = *memory;
  table->page = rlc__own_new(sizeof *table->page);
  if (table->page == NULL) {
    rlc__free(memory, table);
    return RLC_ERR_NOMEM;
  }
  *out = table;
  return 0;
}

void rlc__denials_del(rlc__denials_table *table) {
  rlc_memory memory;

  if (table != NULL) {
    rlc__own_del(table->page, sizeof *table->page);
    memory = table->memory;
    rlc__free(&memory, table);
  }
}

static shard *lock(rlc__denials_table *table, uint64_t id) {
  shard *s = &table->page->shards[(id >> 32) % SHARDS];

  pthread_mutex_lock(&s->mutex);
  return s;
}

static int is_old(const place *p, int64_t now_us) {
  return now_us - p->since_us > p->denials.within_us;
}

/* Counts one of |id| where it is there. Returns how many. */
static uint32_t add(shard *s, uint64_t id, int64_t now_us) {
  for (uint32_t i = 0; i < s->n; ++i) {
    if (s->ids[i] == id) {
      place *p = &s->places[i];

      if (is_old(p, now_us)) { /* kept so long for want of a store that takes it */
        p->since_us = now_us;
        p->denials.count = 0;
      }
      p->denials.count += p->denials.count < UINT32_MAX;
      return p->denials.count;
    }
  }
  return 0;
}

uint32_t rlc__denials_add(rlc__denials_table *table, uint64_t id, int64_t now_us) {
  shard *s = lock(table, id);
  uint32_t count = add(s, id, now_us);

  pthread_mutex_unlock(&s->mutex);
  return count;
}

uint32_t rlc__denials_open(rlc__denials_table *table, uint64_t id, const rlc__denials *first,
                           int64_t now_us) {
  shard *s = lock(table, id);
  uint32_t count = add(s, id, now_us); /* another thread was quicker */
  uint32_t at = s->n;

  for (uint32_t i = 0; count == 0 && at == PLACES && i < PLACES; ++i) {
    at = is_old(&s->places[i], now_us) ? i : at;
  }
  if (count == 0 && at < PLACES) {
    if (at == s->n) {
      ++s->n;
      atomic_fetch_add_explicit(&table->page->keys, 1, memory_order_relaxed);
    }
    s->ids[at] = id;
    s->places[at] = (place){now_us, *first};
    count = first->count;
  } else if (count == 0) {
    atomic_fetch_add_explicit(&table->page->dropped, 1, memory_order_relaxed);
  }
  pthread_mutex_unlock(&s->mutex);
  return count;
}

void rlc__denials_forget(rlc__denials_table *table, uint64_t id) {
  shard *s = lock(table, id);

  for (uint32_t i = 0; i < s->n; ++i) {
    if (s->ids[i] == id) {
      --s->n;
      s->ids[i] = s->ids[s->n];
      s->places[i] = s->places[s->n];
      atomic_fetch_sub_explicit(&table->page->keys, 1, memory_order_relaxed);
      break;
    }
  }
  pthread_mutex_unlock(&s->mutex);
}

size_t rlc__denials_take(rlc__denials_table *table, rlc__denials *out, size_t n, int64_t now_us) {
  size_t taken = 0;

  for (unsigned i = 0; taken < n && i < SHARDS; ++i) {
    shard *s = &table->page->shards[i];

    pthread_mutex_lock(&s->mutex);
    while (s->n > 0 && taken < n) {
      --s->n;
      if (!is_old(&s->places[s->n], now_us)) {
        out[taken++] = s->places[s->n].denials;
      }
      atomic_fetch_sub_explicit(&table->page->keys, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&s->mutex);
  }
  return taken;
}

uint32_t rlc__denials_keys(const rlc__denials_table *table) {
  return atomic_load_explicit(&table->page->keys, memory_order_relaxed);
}

uint64_t rlc__denials_dropped(const rlc__denials_table *table) {
  return atomic_load_explicit(&table->page->dropped, memory_order_relaxed);
}
