/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_index.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define FAKE_NOW INT64_C(1790000000000000)

static fake_store *lock(rlc__store *store) {
  fake_store *f = (fake_store *)store;

  pthread_mutex_lock(&f->mutex);
  return f;
}

static int unlock(fake_store *f, int rv) {
  pthread_mutex_unlock(&f->mutex);
  return rv;
}

static int decide(rlc__store *store, rlc__call *call) {
  fake_store *f = lock(store);

  ++f->calls;
  f->op = call->op;
  f->n = call->n;
  f->cost = call->items[0].cost;
  memcpy(f->policy, call->items[0].policy->text, sizeof f->policy);
  for (size_t i = 0; i < call->n; ++i) {
    rlc_result *r = &call->items[i].result;

    r->allowed = f->denies >= 0 && call->items[i].cost <= (uint64_t)f->denies;
    r->source = f->source;
    r->limit = call->items[i].policy->rate[0].capacity;
    r->remaining = r->allowed ? 3 : 0;
    r->retry_us = r->allowed ? 0 : f->denies < 0 ? RLC_NEVER : 5;
  }
  return unlock(f, 0);
}

static int pend(rlc__store *store, rlc__call *call, rlc__waiter *waiter, void **out) {
  (void)store;
  (void)waiter;
  *out = call;
  return RLC_PENDING;
}

static int advance(rlc__store *store, void *pending) {
  return decide(store, pending);
}

static void abandon(rlc__store *store, void *pending) {
  (void)store;
  (void)pending;
}

static void hash_of(const void *key, size_t key_len, char hash[RLC__ENTRY_HASH]) {
  memset(hash, '.', RLC__ENTRY_HASH);
  memcpy(hash, key, key_len < RLC__ENTRY_HASH ? key_len : RLC__ENTRY_HASH);
}

static int identify(rlc__store *store, const void *key, size_t key_len,
                    char hash[RLC__ENTRY_HASH]) {
  fake_store *f = lock(store);

  ++f->identified;
  hash_of(key, key_len, hash);
  return unlock(f, 0);
}

static int is_same(const rlc__entry *a, const rlc__entry *b) {
  return a->kind == b->kind && memcmp(a->hash, b->hash, sizeof a->hash) == 0 &&
         strcmp(a->name, b->name) == 0 &&
         (a->kind != RLC_ENTRY_TIER || strcmp(a->tier, b->tier) == 0);
}

/* Returns 0, or RLC_ERR_LOST where what is gone was not there. */
static int put(fake_store *f, const rlc__entry *entry) {
  size_t at = 0;

  while (at < f->used && !is_same(&f->entries[at], entry)) {
    ++at;
  }
  if (entry->gone && (at == f->used || f->entries[at].gone)) {
    return RLC_ERR_LOST;
  }
  f->used += at == f->used;
  f->entries[at] = *entry;
  f->versions[at] = ++f->version;
  return 0;
}

static void ban(fake_store *f, const rlc__denials *d) {
  rlc__entry entry;

  memset(&entry, 0, sizeof entry);
  entry.kind = RLC_ENTRY_BAN;
  memcpy(entry.hash, d->hash, sizeof entry.hash);
  memcpy(entry.name, d->name, sizeof entry.name);
  entry.until_us = f->now_us + d->first_us;
  entry.level = 1;
  (void)put(f, &entry);
}

static int ask(rlc__store *store, rlc__index_call *call) {
  fake_store *f = lock(store);
  rlc__entry told[64];
  rlc__entry entry;
  size_t n = 0;

  if (f->fails != 0) {
    return unlock(f, f->fails);
  }
  switch (call->op) {
  case RLC__INDEX_PUT:
    entry = *call->entry;
    entry.until_us += entry.kind == RLC_ENTRY_BAN ? f->now_us : 0;
    return unlock(f, put(f, &entry));
  case RLC__INDEX_DROP:
    entry = *call->entry;
    entry.gone = 1;
    return unlock(f, put(f, &entry));
  case RLC__INDEX_DENIED:
    ++f->batches;
    for (size_t i = 0; f->fails_denied == 0 && i < call->n; ++i) {
      f->denials += call->denials[i].count;
      f->last = call->denials[i];
      if (call->denials[i].count >= call->denials[i].most) {
        ban(f, &call->denials[i]);
      }
    }
    return unlock(f, f->fails_denied);
  case RLC__INDEX_NEWS:
    break;
  }
  ++f->asked;
  for (size_t i = 0; i < f->used; ++i) {
    if (f->versions[i] > call->version && (call->version > 0 || !f->entries[i].gone)) {
      told[n++] = f->entries[i];
    }
  }
  call->all = call->version == 0;
  call->version = f->version;
  call->store_now_us = f->now_us;
  pthread_mutex_unlock(&f->mutex);
  for (size_t i = 0; i < n; ++i) {
    call->fn(&told[i], call->user);
  }
  return 0;
}

static uint64_t version(rlc__store *store) {
  fake_store *f = lock(store);
  uint64_t v = f->version;

  (void)unlock(f, 0);
  return v;
}

static void del(rlc__store *store) {
  fake_store *f = (fake_store *)store;

  pthread_mutex_destroy(&f->mutex);
  free(f);
}

static const rlc__store_ops table_ops = {
    .decide = decide, .identify = identify, .index = ask, .index_version = version, .del = del};
static const rlc__store_ops polled_ops = {.decide = decide,
                                          .submit = pend,
                                          .advance = advance,
                                          .abandon = abandon,
                                          .identify = identify,
                                          .index = ask,
                                          .del = del};

rlc_limiter *fake_open(int polls, rlc_clock_fn *clock, rlc_log_fn *log, const rlc_memory *memory) {
  rlc_options *options = NULL;
  rlc_limiter *limiter = calloc(1, sizeof *limiter);
  fake_store *f = calloc(1, sizeof *f);

  if (limiter == NULL || f == NULL || rlc_options_new(&options, NULL) != 0) {
    abort();
  }
  f->base.ops = polls ? &polled_ops : &table_ops;
  f->source = RLC_SOURCE_STORE;
  f->denies = 1;
  f->version = 1;
  f->now_us = FAKE_NOW;
  pthread_mutex_init(&f->mutex, NULL);
  rlc_options_set_log(options, log, NULL);
  rlc_options_set_test_clock(options, clock, NULL);
  options->memory = *rlc__memory_or_default(memory);
  limiter->memory = *rlc__memory_or_default(NULL);
  limiter->store = &f->base;
  limiter->timeout_us = polls ? 25000 : 0;
  limiter->clock = clock;
  limiter->counters = rlc__counters_new();
  if (limiter->counters == NULL || rlc__keeper_new(&limiter->keeper, &limiter->memory) != 0 ||
      rlc__rules_new(&limiter->rules, limiter->store, limiter->keeper, limiter->timeout_us,
                     options) != 0) {
    rlc_limiter_del(limiter);
    limiter = NULL;
  }
  options->memory = *rlc__memory_or_default(NULL); /* that it was made of */
  rlc_options_del(options);
  return limiter;
}

fake_store *fake_of(rlc_limiter *limiter) {
  return (fake_store *)limiter->store;
}

void fake_put(fake_store *store, const rlc__entry *entry) {
  pthread_mutex_lock(&store->mutex);
  (void)put(store, entry);
  pthread_mutex_unlock(&store->mutex);
}

rlc__entry fake_entry(rlc_entry_kind kind, const char *key, const char *name, const char *text) {
  rlc__entry entry;

  memset(&entry, 0, sizeof entry);
  entry.kind = kind;
  if (key != NULL) {
    hash_of(key, strlen(key), entry.hash);
  }
  strncpy(entry.name, name, RLC_MAX_NAME);
  if (kind == RLC_ENTRY_MEMBER) {
    strncpy(entry.tier, text, RLC_MAX_NAME);
  } else {
    strncpy(entry.policy, text, RLC_ENTRY_POLICY - 1);
  }
  return entry;
}
