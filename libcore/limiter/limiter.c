/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"
#include "limiter/batch.h"
#include "limiter/limiter.h"


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
  default:
    break;
  }
  rv = rlc__redis_store_new(&redis, url, options, why, why_size);
  return rv == 0 ? rlc__guard_store_new(out, redis, url, options, why, why_size) : rv;
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
  limiter->timeout_us = rlc__url_timeout_us(url, options);
  limiter->clock = options->clock;
  limiter->clock_user = options->clock_user;
  limiter->log = options->log;
  rv = rlc__keeper_new(&limiter->keeper, &options->memory);
  if (rv != 0) {
    rv = rlc__fail(rv, why, why_size, "out of memory");
    goto leave;
  }
  limiter->counters = rlc__counters_new();
  if (limiter->counters == NULL) {
    rv = rlc__fail(RLC_ERR_SYSTEM, why, why_size, "no shared memory for counters: %s",
                   strerror(errno));
    goto leave;
  }
  rv = open_store(&limiter->store, url, options, why, why_size);
  if (rv == 0) {
    rv = rlc__rules_new(&limiter->rules, limiter->store, limiter->keeper, limiter->timeout_us,
                        options);
  }
  if (rv == RLC_ERR_NOMEM) {
    rv = rlc__fail(RLC_ERR_NOMEM, why, why_size, "out of memory");
  }
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
  rlc__rules_del(limiter->rules);
  rlc__keeper_del(limiter->keeper);
  if (limiter->store != NULL) {
    limiter->store->ops->del(limiter->store);
  }
  rlc__counters_del(limiter->counters);
  memory = limiter->memory;
  rlc__free(&memory, limiter);
}

void rlc__limiter_set_times(rlc_limiter *limiter, rlc__call *call) {
  if (limiter->timeout_us > 0) {
    call->deadline_us = rlc__clock_monotonic_us() + limiter->timeout_us;
  }
  if (limiter->clock != NULL) {
    call->now_us = limiter->clock(limiter->clock_user);
  }
}

/* --- one call ------------------------------------------------------------------------------ */

int rlc__limiter_decide(rlc_limiter *limiter, rlc__batch *b, rlc_result *results,
                        rlc_decision *decision) {
  int rv;

  rlc__limiter_set_times(limiter, &b->call);
  if (rlc__rules_before(limiter->rules, b, results != NULL) &&
      limiter->store->ops->decide(limiter->store, &b->call) != 0) {
    return RLC_ERR_FOREIGN; /* no guard around it: a table whose locks somebody destroyed */
  }
  rv = rlc__batch_give(b, limiter->counters, results, decision);
  rlc__rules_after(limiter->rules, b);
  return rv;
}

static int run(rlc_limiter *limiter, rlc__op op, const rlc_limit *limits, size_t n,
               rlc_result *results, rlc_decision *decision) {
  rlc__batch b;
  int rv;

  if (limiter == NULL) {
    return RLC_ERR_INVALID;
  }
  rv = rlc__batch_read(&b, op, limits, n, results, decision);
  if (rv != 0) {
    return rv;
  }
  rv = rlc__limiter_decide(limiter, &b, results, decision);
  rlc__rules_end(&b);
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

int rlc_limiter_grant(rlc_limiter *limiter, const rlc_limit *limits, size_t n, rlc_result *results,
                      rlc_decision *decision) {
  return run(limiter, RLC__OP_GRANT, limits, n, results, decision);
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
  stats->leases_lost = rlc__counters_get(limiter->counters, RLC__COUNT_LEASES_LOST);
  stats->fail_closed = rlc__counters_get(limiter->counters, RLC__COUNT_FAIL_CLOSED);
  stats->banned = rlc__counters_get(limiter->counters, RLC__COUNT_BANNED);
  stats->index_entries = rlc__rules_entries(limiter->rules);
  if (limiter->store->ops->get_stats != NULL) {
    limiter->store->ops->get_stats(limiter->store, stats);
  }
  return 0;
}
