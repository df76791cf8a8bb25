/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"
#include "store/breaker.h"
#include "store/share.h"
#include "store/store.h"
#include "store/table.h"

/* Counts of all processes, in memory that they share. */
typedef struct tally {
  _Atomic uint64_t errors[RLC_REASON_PROTOCOL + 1]; /* by rlc_reason; of unreadable keys at NONE */
  _Atomic uint64_t opened;
} tally;

/* A store that wraps one that can fail. While the inner store answers, what this machine admitted
 * is mirrored in a local table, so that the fallback never starts full. */
typedef struct guard {
  rlc__store base;
  rlc_memory memory;
  rlc__log log;
  rlc__store *inner;
  rlc__store *local;
  rlc__shares *shares;
  tally *tally;
  rlc_fail fail;
  rlc__breaker breaker;
  _Atomic uint32_t news; /* the inner store's, when it failed last */
  _Atomic int reason; /* an rlc_reason: why the breaker opened last, in this process */
} guard;

/* A decision under way in the inner store. */
typedef struct pending {
  rlc__call *call;
  void *inner;
  rlc__breaker_pass pass;
} pending;

static rlc_fail fail_of(const guard *g, const rlc__item *item) {
  return item->fail == RLC_FAIL_DEFAULT ? g->fail : item->fail;
}

static uint64_t least_cost(const rlc__call *call) {
  uint64_t least = UINT64_MAX;

  for (size_t i = 0; i < call->n; ++i) {
    least = call->items[i].cost < least ? call->items[i].cost : least;
  }
  return least;
}

/* What of |item| is charged in the local table by |op|, which stands in for the call's or mirrors it. */
static uint64_t local_cost(const rlc__call *call, const rlc__item *item, rlc__op op) {
  if (call->op != RLC__OP_GRANT) {
    return item->cost;
  }
  if (op == RLC__OP_GRANT) {
    return least_cost(call); /* also of those that are not local */
  }
  return op == RLC__OP_CHARGE ? item->result.charged : 1;
}

/* Shares that were made for one call. */
static void drop_shares(rlc_policy *own[], size_t n) {
  for (size_t i = 0; i < n; ++i) {
    rlc_policy_del(own[i]);
  }
}

/* Runs |call|'s items whose fail policy is local on the local table, each under this machine's share.
 * With |results| their results go back into the call, else receipts of what was mirrored. */
static void run_local(guard *g, rlc__call *call, rlc__op op, int results) {
  rlc__item items[RLC_MAX_LIMITS];
  rlc_policy *own[RLC_MAX_LIMITS];
  size_t from[RLC_MAX_LIMITS];
  rlc__call local = {.op = op, .items = items, .now_us = call->now_us, .receipts = call->receipts};

  for (size_t i = 0; i < call->n; ++i) {
    if (fail_of(g, &call->items[i]) == RLC_FAIL_LOCAL) {
      items[local.n] = call->items[i];
      items[local.n].cost = local_cost(call, &call->items[i], op);
      items[local.n].policy = rlc__shares_get(g->shares, call->items[i].policy, &own[local.n]);
      from[local.n] = i;
      local.n += items[local.n].policy != NULL; /* without a share it is refused */
    }
  }
  if (local.n == 0 || g->local->ops->decide(g->local, &local) != 0) {
    drop_shares(own, local.n);
    return;
  }
  drop_shares(own, local.n);
  for (size_t i = 0; i < local.n; ++i) {
    rlc__item *item = &call->items[from[i]];

    if (results) {
      item->result = items[i].result;
      item->result.source = RLC_SOURCE_FALLBACK;
      item->charged_us = items[i].charged_us;
    } else {
      item->mirrored = items[i].result.charged;
      item->mirrored_us = items[i].charged_us;
    }
  }
}

/* The result of a limit that nobody counted. The wait is what a breaker takes at most. */
static void answer_fixed(rlc__item *item, int allowed) {
  rlc_result *r = &item->result;

  r->allowed = allowed;
  r->source = allowed ? RLC_SOURCE_FAIL_OPEN : RLC_SOURCE_FAIL_CLOSED;
  r->rate_index = 0;
  r->limit = item->policy->rate[0].capacity;
  r->window_us = item->policy->rate[0].window_us;
  r->remaining = allowed ? r->limit : 0;
  r->retry_us = allowed ? 0 : RLC__BREAKER_LONGEST_US;
  r->reset_us = r->retry_us;
  r->charged = 0;
  item->charged_us = 0;
}

/* What passes by fail policy open is told as charged, though nobody has counted it. */
static void tell_open(rlc__call *call) {
  uint64_t grant = least_cost(call);
  int allowed = 1;

  for (size_t i = 0; i < call->n; ++i) {
    const rlc_result *r = &call->items[i].result;

    allowed &= r->allowed;
    grant = r->source == RLC_SOURCE_FALLBACK && r->charged < grant ? r->charged : grant;
  }
  for (size_t i = 0; i < call->n; ++i) {
    rlc__item *item = &call->items[i];
    uint64_t cost = call->op == RLC__OP_GRANT ? grant : item->cost;

    if (item->result.source == RLC_SOURCE_FAIL_OPEN &&
        (call->op == RLC__OP_CHARGE ||
         (allowed && (call->op == RLC__OP_CHECK || call->op == RLC__OP_GRANT)))) {
      item->result.charged = cost;
    }
  }
}

static void fall_back(guard *g, rlc__call *call) {
  rlc__op op = call->op;

  for (size_t i = 0; i < call->n; ++i) {
    rlc_fail fail = fail_of(g, &call->items[i]);

    answer_fixed(&call->items[i], fail == RLC_FAIL_OPEN);
    if (fail == RLC_FAIL_CLOSED && (op == RLC__OP_CHECK || op == RLC__OP_GRANT)) {
      op = RLC__OP_PEEK; /* refused as a whole: the others are not charged */
    }
  }
  run_local(g, call, op, 1);
  tell_open(call);
}

static const char *fail_name(rlc_fail fail) {
  switch (fail) {
  case RLC_FAIL_OPEN:
    return "open";
  case RLC_FAIL_CLOSED:
    return "closed";
  case RLC_FAIL_DEFAULT:
  case RLC_FAIL_LOCAL:
    break;
  }
  return "local";
}

static rlc_reason reason_of(int error) {
  switch (error) {
  case RLC__ERR_TIMEOUT:
    return RLC_REASON_TIMEOUT;
  case RLC__ERR_REFUSED:
    return RLC_REASON_REFUSED;
  case RLC__ERR_PROTOCOL:
    return RLC_REASON_PROTOCOL;
  case RLC__ERR_STATE:
    return RLC_REASON_NONE; /* one key's own trouble */
  default:
    return RLC_REASON_UNAVAILABLE;
  }
}

static rlc__breaker_outcome outcome_of(int error) {
  switch (error) {
  case 0:
  case RLC__ERR_STATE: /* the store is there for the other keys */
  case RLC__ERR_PART:  /* the same; and who knows that there is no connection does not wait */
    return RLC__BREAKER_WORKED;
  case RLC__ERR_TIMEOUT:
    return RLC__BREAKER_TIMED_OUT;
  default:
    return RLC__BREAKER_FAILED;
  }
}

static uint32_t news_of(guard *g) {
  return g->inner->ops->news != NULL ? g->inner->ops->news(g->inner) : 0;
}

/* Tells the breaker, counts, and writes one line per change of state, not per request. */
static void report(guard *g, rlc__breaker_pass pass, int error) {
  rlc_reason reason = reason_of(error);
  int64_t open_us;
  int change = rlc__breaker_report(&g->breaker, pass, outcome_of(error), rlc__clock_monotonic_us(),
                                   &open_us);

  if (error != 0) {
    atomic_fetch_add_explicit(&g->tally->errors[reason], 1, memory_order_relaxed);
  }
  if (change > 0) {
    atomic_store(&g->news, news_of(g));
    atomic_fetch_add_explicit(&g->tally->opened, 1, memory_order_relaxed);
    atomic_store(&g->reason, (int)reason);
  }
  if (change > 0) {
    char what[96];

    if (change == 1) {
      snprintf(what, sizeof what, "the store failed %u times in a row (%s)", RLC__BREAKER_FAILURES,
               rlc_reason_text(reason));
    } else {
      snprintf(what, sizeof what,
               "the store was late for %u decisions within a second, half of all or more",
               RLC__BREAKER_TIMEOUTS);
    }
    rlc__log_write(&g->log, RLC_LOG_ERROR, "RLC0101",
                   "%s: fail policy %s decides until it answers again", what, fail_name(g->fail));
  } else if (change < 0) {
    rlc__log_write(&g->log, RLC_LOG_WARNING, "RLC0102",
                   "the store answers again after %lld ms: it decides",
                   (long long)(open_us / 1000));
  }
}

/* Whether the inner store is asked. While the breaker is open the store finds out in the background
 * whether it is worth while, and then one decision proves it. */
static rlc__breaker_pass ask_breaker(guard *g) {
  int64_t now = rlc__clock_monotonic_us();
  rlc__breaker_pass pass = rlc__breaker_ask(&g->breaker, now);
  uint32_t news;
  int64_t open_us;
  int answer;

  if (pass == RLC__BREAKER_STOP) {
    news = news_of(g);
    if (atomic_exchange(&g->news, news) == news) {
      return pass;
    }
    rlc__breaker_hasten(&g->breaker, now);
    return rlc__breaker_ask(&g->breaker, now);
  }
  if (pass != RLC__BREAKER_PROBE || g->inner->ops->probe == NULL) {
    return pass;
  }
  answer = g->inner->ops->probe(g->inner);
  if (answer > 0) {
    return pass;
  }
  if (answer < 0) {
    (void)rlc__breaker_report(&g->breaker, pass, RLC__BREAKER_FAILED, rlc__clock_monotonic_us(),
                              &open_us);
  } else {
    rlc__breaker_postpone(&g->breaker);
  }
  return RLC__BREAKER_STOP;
}

/* What follows the inner store's answer. */
static void settle(guard *g, rlc__call *call, rlc__breaker_pass pass, int error) {
  int asks = call->op == RLC__OP_CHECK || call->op == RLC__OP_GRANT;
  int allowed = 1;

  report(g, pass, error);
  if (error != 0) {
    fall_back(g, call);
    return;
  }
  for (size_t i = 0; i < call->n; ++i) {
    allowed &= call->items[i].result.allowed;
  }
  if (asks && allowed) {
    run_local(g, call, RLC__OP_CHARGE, 0);
  } else if (!asks && call->op != RLC__OP_PEEK) {
    run_local(g, call, call->op, 0);
  }
}

/* --- receipts ------------------------------------------------------------------------------ */

/* Runs what of |call|, a take-back or renewal, is the local table's: what the fallback has charged, or with
 * |mirrors| what was mirrored. A share that there is no memory for has charged nothing. */
static void settle_local(guard *g, rlc__call *call, int mirrors) {
  rlc_source whose = mirrors ? RLC_SOURCE_STORE : RLC_SOURCE_FALLBACK;
  rlc__item items[RLC_MAX_LIMITS];
  rlc_policy *own[RLC_MAX_LIMITS];
  size_t from[RLC_MAX_LIMITS];
  rlc__call local = {.op = call->op, .items = items, .now_us = call->now_us};

  for (size_t i = 0; i < call->n; ++i) {
    const rlc__item *item = &call->items[i];
    rlc__item *to = &items[local.n];

    if (item->result.source != whose || (mirrors && item->mirrored == 0) ||
        (mirrors && call->op == RLC__OP_RENEW && item->charged_us == 0)) {
      continue; /* at last: what the store has lost ends here as well */
    }
    *to = *item;
    to->policy = rlc__shares_get(g->shares, item->policy, &own[local.n]);
    if (mirrors) {
      to->cost = item->mirrored;
      to->charged_us = item->mirrored_us;
    }
    from[local.n] = i;
    local.n += to->policy != NULL;
  }
  if (local.n == 0 || g->local->ops->decide(g->local, &local) != 0) {
    drop_shares(own, local.n);
    return;
  }
  drop_shares(own, local.n);
  for (size_t i = 0; i < local.n; ++i) {
    *(mirrors ? &call->items[from[i]].mirrored_us : &call->items[from[i]].charged_us) =
        items[i].charged_us;
  }
}

/* The same for what the inner store has charged. Returns 0 or an rlc__error. */
static int settle_inner(guard *g, rlc__call *call) {
  rlc__item items[RLC_MAX_LIMITS];
  size_t from[RLC_MAX_LIMITS];
  rlc__call inner = *call;
  rlc__breaker_pass pass;
  int rv;

  inner.items = items;
  inner.n = 0;
  for (size_t i = 0; i < call->n; ++i) {
    if (call->items[i].result.source == RLC_SOURCE_STORE) {
      items[inner.n] = call->items[i];
      from[inner.n++] = i;
    }
  }
  if (inner.n == 0) {
    return 0;
  }
  pass = ask_breaker(g);
  if (pass == RLC__BREAKER_STOP) {
    return RLC__ERR_UNAVAILABLE;
  }
  rv = g->inner->ops->decide(g->inner, &inner);
  report(g, pass, rv);
  for (size_t i = 0; i < inner.n; ++i) { /* where that failed it may be new for some */
    call->items[from[i]].charged_us = items[i].charged_us;
  }
  return rv;
}

/* What a receipt stands for is where it was charged, and nowhere else: nobody stands in for that. The
 * mirror follows the store, and stays as it is where that may not have done it. */
static int settle_receipts(guard *g, rlc__call *call) {
  int rv;

  settle_local(g, call, 0);
  rv = settle_inner(g, call);
  if (rv == 0) {
    settle_local(g, call, 1);
  }
  return rv;
}

static int guard_decide(rlc__store *store, rlc__call *call) {
  guard *g = (guard *)store;
  rlc__breaker_pass pass;

  if (call->op == RLC__OP_TAKE_BACK || call->op == RLC__OP_RENEW) {
    return settle_receipts(g, call);
  }
  pass = ask_breaker(g);
  if (pass == RLC__BREAKER_STOP) {
    fall_back(g, call);
  } else {
    settle(g, call, pass, g->inner->ops->decide(g->inner, call));
  }
  return 0;
}

static int guard_submit(rlc__store *store, rlc__call *call, rlc__waiter *waiter, void **out) {
  guard *g = (guard *)store;
  rlc__breaker_pass pass;
  pending *p;
  int rv;

  *out = NULL;
  if (g->inner->ops->submit == NULL) {
    return guard_decide(store, call);
  }
  pass = ask_breaker(g);
  if (pass == RLC__BREAKER_STOP) {
    fall_back(g, call);
    return 0;
  }
  p = rlc__calloc(&g->memory, 1, sizeof *p);
  rv = p != NULL ? g->inner->ops->submit(g->inner, call, waiter, &p->inner) : RLC__ERR_UNAVAILABLE;
  if (rv == RLC_PENDING) {
    p->call = call;
    p->pass = pass;
    *out = p;
    return rv;
  }
  rlc__free(&g->memory, p);
  settle(g, call, pass, rv);
  return 0;
}

static int guard_advance(rlc__store *store, void *user) {
  guard *g = (guard *)store;
  pending *p = user;
  int rv = g->inner->ops->advance(g->inner, p->inner);

  if (rv == RLC_PENDING) {
    return rv;
  }
  settle(g, p->call, p->pass, rv);
  rlc__free(&g->memory, p);
  return 0;
}

static void guard_abandon(rlc__store *store, void *user) {
  guard *g = (guard *)store;
  pending *p = user;

  g->inner->ops->abandon(g->inner, p->inner);
  /* Of a prober that leaves nothing is known: the next probes. */
  if (p->pass == RLC__BREAKER_PROBE) {
    rlc__breaker_postpone(&g->breaker);
  }
  rlc__free(&g->memory, p);
}

static void guard_unwatch(rlc__store *store, const rlc__waiter *waiter) {
  guard *g = (guard *)store;

  if (g->inner->ops->unwatch != NULL) {
    g->inner->ops->unwatch(g->inner, waiter);
  }
}

/* A hash needs no server. */
static int guard_identify(rlc__store *store, const void *key, size_t key_len,
                          char hash[RLC__ENTRY_HASH]) {
  rlc__store *inner = ((guard *)store)->inner;

  return inner->ops->identify(inner, key, key_len, hash);
}

/* Goes by what decisions have found out, and tells the breaker nothing. What becomes of the index says
 * little of decisions: its slot of a cluster may be away, a list may allow less, a server that refuses
 * writes still tells news; and a second's one call among thousands must neither break a row of their
 * failures nor be the one that closes the breaker. While that is open the index waits, but no longer
 * than until somebody may probe: where there are no decisions nobody would. */
static int guard_index(rlc__store *store, rlc__index_call *call) {
  guard *g = (guard *)store;

  if (!rlc__breaker_lets_pass(&g->breaker, rlc__clock_monotonic_us())) {
    return RLC__ERR_UNAVAILABLE;
  }
  return g->inner->ops->index(g->inner, call);
}

static void guard_get_stats(rlc__store *store, rlc_stats *stats) {
  guard *g = (guard *)store;

  for (int i = 0; i <= RLC_REASON_PROTOCOL; ++i) {
    stats->store_errors += atomic_load(&g->tally->errors[i]);
  }
  stats->store_timeouts += atomic_load(&g->tally->errors[RLC_REASON_TIMEOUT]);
  stats->store_unavailable += atomic_load(&g->tally->errors[RLC_REASON_UNAVAILABLE]);
  stats->store_refused += atomic_load(&g->tally->errors[RLC_REASON_REFUSED]);
  stats->breaker_opened += atomic_load(&g->tally->opened);
  stats->breaker = rlc__breaker_state(&g->breaker);
  stats->breaker_reason = (rlc_reason)atomic_load(&g->reason);
  if (g->inner->ops->get_stats != NULL) {
    g->inner->ops->get_stats(g->inner, stats);
  }
}

static void guard_del(rlc__store *store) {
  guard *g = (guard *)store;
  rlc_memory memory = g->memory;

  if (g->inner != NULL) {
    g->inner->ops->del(g->inner);
  }
  if (g->local != NULL) {
    g->local->ops->del(g->local);
  }
  rlc__shares_del(g->shares);
  if (g->tally != NULL) {
    munmap(g->tally, sizeof *g->tally);
  }
  rlc__free(&memory, g);
}

static const rlc__store_ops guard_ops = {.decide = guard_decide,
                                         .submit = guard_submit,
                                         .advance = guard_advance,
                                         .abandon = guard_abandon,
                                         .unwatch = guard_unwatch,
                                         .identify = guard_identify,
                                         .index = guard_index,
                                         .get_stats = guard_get_stats,
                                         .del = guard_del};

static rlc_fail chosen_fail(const rlc__url *url, const rlc_options *options) {
  rlc_fail fail = RLC_FAIL_DEFAULT;

  if (url->fail != RLC_FAIL_DEFAULT) {
    fail = url->fail;
  } else if (options->set & RLC__OPT_FAIL) {
    fail = options->fail;
  }
  return fail == RLC_FAIL_DEFAULT ? RLC_FAIL_LOCAL : fail;
}

int rlc__guard_store_new(rlc__store **out, rlc__store *inner, const rlc__url *url,
                         const rlc_options *options, char *why, size_t why_size) {
  guard *g = rlc__calloc(&options->memory, 1, sizeof *g);
  void *shared;
  int rv = 0;

  *out = NULL;
  if (g == NULL) {
    inner->ops->del(inner);
    return rlc__fail(RLC_ERR_NOMEM, why, why_size, "out of memory");
  }
  g->base.ops = &guard_ops;
  g->memory = options->memory;
  g->log = options->log;
  g->inner = inner;
  g->fail = chosen_fail(url, options);
  rlc__breaker_init(&g->breaker, (uint32_t)rlc__clock_monotonic_us() ^ (uint32_t)getpid());
  g->shares = rlc__shares_new(&options->memory, url->share);
  shared = mmap(NULL, sizeof *g->tally, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (g->shares == NULL) {
    rv = rlc__fail(RLC_ERR_NOMEM, why, why_size, "out of memory");
  } else if (shared == MAP_FAILED) {
    rv = rlc__fail(RLC_ERR_SYSTEM, why, why_size, "no shared memory for counters: %s",
                   strerror(errno));
  } else {
    g->tally = shared;
    rv = rlc__anonymous_store_new(&g->local, 0, options, why, why_size);
  }
  if (rv != 0) {
    guard_del(&g->base);
    return rv;
  }
  *out = &g->base;
  return 0;
}
