/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"
#include "limiter/counters.h"
#include "store/store.h"

#define DEFAULT_TIMEOUT_US INT64_C(25000)

struct rlc_limiter {
  rlc_memory memory;
  rlc__store *store;
  rlc__counters *counters;
  int64_t timeout_us; /* 0: the store never waits, and no deadline is needed */
  rlc_clock_fn *clock;
  void *clock_user;
};

/* --- new and del --------------------------------------------------------------------------- */

static int open_store(rlc__store **out, const rlc__url *url, const rlc_options *options, char *why,
                      size_t why_size) {
  rlc__store *redis;
  int rv;

  switch (url->scheme) {
  case RLC__SCHEME_MEMORY:
    return rlc__memory_store_new(out, url, options, why, why_size);
  case RLC__SCHEME_SHM:
    return rlc__shm_store_new(out, url, options, why, why_size);
  case RLC__SCHEME_REDIS:
  case RLC__SCHEME_REDIS_UNIX:
    break;
  }
  rv = rlc__redis_store_new(&redis, url, options, why, why_size);
  return rv == 0 ? rlc__guard_store_new(out, redis, url, options, why, why_size) : rv;
}

static int64_t timeout_of(const rlc__url *url, const rlc_options *options) {
  if (url->scheme == RLC__SCHEME_MEMORY || url->scheme == RLC__SCHEME_SHM) {
    return 0;
  }
  if (url->timeout_us > 0) {
    return url->timeout_us;
  }
  return options->set & RLC__OPT_TIMEOUT ? options->timeout_us : DEFAULT_TIMEOUT_US;
}

int rlc_limiter_new(rlc_limiter **out, const char *url_text, const rlc_options *options, char *why,
                    size_t why_size) {
  rlc_options none;
  rlc_limiter *limiter = NULL;
  rlc__url *url = NULL;
  int rv;

  *out = NULL;
  if (options == NULL) {
    memset(&none, 0, sizeof none);
    none.memory = *rlc__memory_or_default(NULL);
    options = &none;
  }
  rv = rlc__url_new(&url, url_text, &options->memory, why, why_size);
  if (rv != 0) {
    return rv;
  }
  limiter = rlc__calloc(&options->memory, 1, sizeof *limiter);
  if (limiter == NULL) {
    rv = rlc__fail(RLC_ERR_NOMEM, why, why_size, "out of memory");
    goto leave;
  }
  limiter->memory = options->memory;
  limiter->timeout_us = timeout_of(url, options);
  limiter->clock = options->clock;
  limiter->clock_user = options->clock_user;
  limiter->counters = rlc__counters_new();
  if (limiter->counters == NULL) {
    rv = rlc__fail(RLC_ERR_SYSTEM, why, why_size, "no shared memory for counters: %s",
                   strerror(errno));
    goto leave;
  }
  rv = open_store(&limiter->store, url, options, why, why_size);
  if (rv == 0) {
    *out = limiter;
    limiter = NULL;
  }

leave:
  rlc__url_del(url);
  rlc_limiter_del(limiter);
  return rv;
}

void rlc_limiter_del(rlc_limiter *limiter) {
  rlc_memory memory;

  if (limiter == NULL) {
    return;
  }
  if (limiter->store != NULL) {
    limiter->store->ops->del(limiter->store);
  }
  rlc__counters_del(limiter->counters);
  memory = limiter->memory;
  rlc__free(&memory, limiter);
}

/* --- one call ------------------------------------------------------------------------------ */

/* The items of a call, and for each of the caller's limits the item that stands for it. */
typedef struct batch {
  rlc__item items[RLC_MAX_LIMITS];
  size_t n;
  unsigned char item_of[RLC_MAX_LIMITS];
} batch;

static int same_state(const rlc__item *a, const rlc__item *b) {
  return a->key_len == b->key_len && a->name_len == b->name_len &&
         a->policy->algorithm == b->policy->algorithm &&
         (a->policy->rates > 1) == (b->policy->rates > 1) &&
         memcmp(a->name, b->name, a->name_len) == 0 &&
         (a->key_len == 0 || memcmp(a->key, b->key, a->key_len) == 0);
}

/* Turns a caller's limit into an item. Returns 0 or RLC_ERR_INVALID. */
static int read_limit(const rlc_limit *limit, rlc__item *item) {
  if (limit->policy == NULL || limit->key_len > RLC_MAX_KEY ||
      (limit->key == NULL && limit->key_len > 0) || limit->cost > RLC_MAX_QUOTA ||
      (unsigned)limit->fail > RLC_FAIL_CLOSED) {
    return RLC_ERR_INVALID;
  }
  item->policy = limit->policy;
  item->key = limit->key_len > 0 ? limit->key : "";
  item->key_len = limit->key_len;
  item->cost = limit->cost;
  item->fail = limit->fail;
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

static int read_limits(batch *b, const rlc_limit *limits, size_t n) {
  b->n = 0;
  for (size_t i = 0; i < n; ++i) {
    rlc__item *item = &b->items[b->n];
    size_t at = 0;

    /* The caller's own size is the stride: its struct may be of another version than ours. */
    if (limits->size < sizeof *limits ||
        read_limit((const rlc_limit *)((const char *)limits + i * limits->size), item) != 0) {
      return RLC_ERR_INVALID;
    }
    while (at < b->n && !same_state(&b->items[at], item)) {
      ++at;
    }
    b->item_of[i] = (unsigned char)at;
    if (at == b->n) {
      ++b->n;
    } else if (strcmp(b->items[at].policy->text, item->policy->text) != 0) {
      return RLC_ERR_INVALID; /* one state cannot obey two policies */
    } else {
      b->items[at].cost += item->cost;
      b->items[at].fail = stricter(b->items[at].fail, item->fail);
    }
  }
  return 0;
}

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

/* Copies as much of a result as the caller knows of, whose first member is its size. */
static void give_result(rlc_result *to, const rlc_result *from) {
  size_t size = to->size < sizeof *from ? to->size : sizeof *from;

  memcpy((char *)to + sizeof size, (const char *)from + sizeof size, size - sizeof size);
}

static const rlc_result *result_at(const rlc_result *results, size_t i) {
  return (const rlc_result *)((const char *)results + i * results->size);
}

static void count(rlc_limiter *limiter, int allowed, const batch *b) {
  static const rlc__count degraded[] = {[RLC_SOURCE_FALLBACK] = RLC__COUNT_FALLBACK,
                                        [RLC_SOURCE_FAIL_OPEN] = RLC__COUNT_FAIL_OPEN,
                                        [RLC_SOURCE_FAIL_CLOSED] = RLC__COUNT_FAIL_CLOSED};
  rlc_source worst = RLC_SOURCE_STORE;

  rlc__counters_add(limiter->counters, allowed ? RLC__COUNT_ALLOWED : RLC__COUNT_DENIED);
  for (size_t i = 0; i < b->n; ++i) {
    worst = b->items[i].result.source > worst ? b->items[i].result.source : worst;
  }
  if (worst != RLC_SOURCE_STORE) {
    rlc__counters_add(limiter->counters, degraded[worst]);
  }
}

static int run(rlc_limiter *limiter, rlc__op op, const rlc_limit *limits, size_t n,
               rlc_result *results, rlc_decision *decision) {
  batch b;
  rlc__call call = {op, b.items, 0, 0, 0};
  unsigned index = 0;
  int rv;

  if (limiter == NULL || limits == NULL || n < 1 || n > RLC_MAX_LIMITS ||
      (decision != NULL && (decision->size < sizeof *decision ||
                             decision->result.size < sizeof decision->result))) {
    return RLC_ERR_INVALID;
  }
  for (size_t i = 0; results != NULL && i < n; ++i) {
    if (results->size < sizeof *results || result_at(results, i)->size != results->size) {
      return RLC_ERR_INVALID;
    }
  }
  rv = read_limits(&b, limits, n);
  if (rv != 0) {
    return rv;
  }
  call.n = b.n;
  if (limiter->timeout_us > 0) {
    call.deadline_us = rlc__clock_monotonic_us() + limiter->timeout_us;
  }
  if (limiter->clock != NULL) {
    call.now_us = limiter->clock(limiter->clock_user);
  }
  if (limiter->store->ops->decide(limiter->store, &call) != 0) {
    return RLC_ERR_FOREIGN; /* no guard around it: a table whose locks somebody destroyed */
  }
  for (size_t i = 0; i < b.n; ++i) {
    if (b.items[i].result.source != RLC_SOURCE_STORE) {
      rv = RLC_DEGRADED;
    }
  }
  for (unsigned i = 1; i < n; ++i) {
    if (binds_more(&b.items[b.item_of[i]].result, &b.items[b.item_of[index]].result)) {
      index = i;
    }
  }
  if (op == RLC__OP_CHECK) {
    count(limiter, b.items[b.item_of[index]].result.allowed, &b);
  }
  for (size_t i = 0; results != NULL && i < n; ++i) {
    give_result((rlc_result *)result_at(results, i), &b.items[b.item_of[i]].result);
  }
  if (decision != NULL) {
    const rlc_result *bound = &b.items[b.item_of[index]].result;

    decision->allowed = bound->allowed;
    decision->source = bound->source;
    decision->index = index;
    give_result(&decision->result, bound);
  }
  return rv;
}

int rlc_limiter_check(rlc_limiter *limiter, const rlc_limit *limits, size_t n, rlc_result *results,
                      rlc_decision *decision) {
  return run(limiter, RLC__OP_CHECK, limits, n, results, decision);
}

int rlc_limiter_peek(rlc_limiter *limiter, const rlc_limit *limits, size_t n, rlc_result *results,
                     rlc_decision *decision) {
  return run(limiter, RLC__OP_PEEK, limits, n, results, decision);
}

int rlc_limiter_charge(rlc_limiter *limiter, const rlc_limit *limits, size_t n,
                       rlc_result *results, rlc_decision *decision) {
  return run(limiter, RLC__OP_CHARGE, limits, n, results, decision);
}

int rlc_limiter_refund(rlc_limiter *limiter, const rlc_limit *limits, size_t n,
                       rlc_result *results, rlc_decision *decision) {
  return run(limiter, RLC__OP_REFUND, limits, n, results, decision);
}

int rlc_limiter_reset(rlc_limiter *limiter, const rlc_limit *limits, size_t n) {
  return run(limiter, RLC__OP_RESET, limits, n, NULL, NULL);
}

/* --- what a limiter tells ------------------------------------------------------------------ */

int rlc_limiter_get_shm_fd(const rlc_limiter *limiter) {
  if (limiter == NULL || limiter->store->ops->get_fd == NULL) {
    return -1;
  }
  return limiter->store->ops->get_fd(limiter->store);
}

int rlc_limiter_get_stats(rlc_limiter *limiter, rlc_stats *stats) {
  size_t size;

  if (limiter == NULL || stats == NULL || stats->size < sizeof *stats) {
    return RLC_ERR_INVALID;
  }
  size = stats->size;
  *stats = (rlc_stats)RLC_STATS_INIT;
  stats->size = size;
  stats->allowed = rlc__counters_get(limiter->counters, RLC__COUNT_ALLOWED);
  stats->denied = rlc__counters_get(limiter->counters, RLC__COUNT_DENIED);
  stats->fallback = rlc__counters_get(limiter->counters, RLC__COUNT_FALLBACK);
  stats->fail_open = rlc__counters_get(limiter->counters, RLC__COUNT_FAIL_OPEN);
  stats->fail_closed = rlc__counters_get(limiter->counters, RLC__COUNT_FAIL_CLOSED);
  if (limiter->store->ops->get_stats != NULL) {
    limiter->store->ops->get_stats(limiter->store, stats);
  }
  return 0;
}
