/* SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "limiter/limiter.h"

#define QUIET_US INT64_C(10000000)
#define SOONEST_US INT64_C(1000) /* between two renewals, however short the window */

/* What was taken stands in the items: charged_us and mirrored_us are its receipts, result.charged the
 * units, result.source who gave them. */
struct rlc_lease {
  rlc__task task; /* first: renews the slots */
  rlc_limiter *limiter;
  pid_t pid;      /* whose it is: a forked child has a copy, and what is held is held once */
  int is_kept;
  int is_settled;
  int64_t ends_us; /* CLOCK_MONOTONIC: when slots that were not renewed are others' for certain */
  size_t limits;   /* the caller's */
  unsigned char item_of[RLC_MAX_LIMITS];
  size_t n;
  rlc__item items[]; /* their keys, groups and names behind them */
};

static int is_slot(const rlc__item *item) {
  return item->policy->algorithm == RLC_CONCURRENCY;
}

/* Whether something of it is to be given back: nobody has counted what passed by fail policy open. */
static int is_held(const rlc__item *item) {
  return item->result.charged > 0 && (item->result.source == RLC_SOURCE_STORE ||
                                      item->result.source == RLC_SOURCE_FALLBACK);
}

/* The window of the slots, the shortest of several; 0: the lease has none. */
static int64_t window_of(const rlc_lease *lease) {
  int64_t window_us = 0;

  for (size_t i = 0; i < lease->n; ++i) {
    const rlc__item *item = &lease->items[i];

    for (unsigned j = 0; is_slot(item) && is_held(item) && j < item->policy->rates; ++j) {
      int64_t one = (int64_t)item->policy->rate[j].window_us;

      window_us = window_us == 0 || one < window_us ? one : window_us;
    }
  }
  return window_us;
}

/* --- acquire and del ----------------------------------------------------------------------- */

/* Makes a lease with room for what |b| is going to take, or returns NULL. */
static rlc_lease *lease_new(rlc_limiter *limiter, const rlc__batch *b) {
  size_t size = sizeof(rlc_lease) + b->call.n * sizeof(rlc__item);

  return rlc__calloc(&limiter->memory, 1, size + rlc__items_size(b->items, b->call.n));
}

static void fill(rlc_lease *lease, rlc_limiter *limiter, const rlc__batch *b, int64_t began_us) {
  lease->limiter = limiter;
  lease->pid = getpid();
  lease->limits = b->n;
  memcpy(lease->item_of, b->item_of, sizeof lease->item_of);
  lease->n = b->call.n;
  memcpy(lease->items, b->items, b->call.n * sizeof *lease->items);
  rlc__items_own(lease->items, lease->n, (char *)(lease->items + lease->n));
  for (size_t i = 0; i < lease->n; ++i) {
    (void)rlc__policy_keep(lease->items[i].policy);
  }
  lease->ends_us = began_us + window_of(lease);
}

int rlc_limiter_acquire(rlc_limiter *limiter, const rlc_limit *limits, size_t n, rlc_lease **out,
                        rlc_result *results, rlc_decision *decision) {
  rlc_decision own = RLC_DECISION_INIT;
  rlc_lease *lease;
  int64_t began_us;
  rlc__batch b;
  int rv;

  if (out == NULL) {
    return RLC_ERR_INVALID;
  }
  *out = NULL;
  if (limiter == NULL) {
    return RLC_ERR_INVALID;
  }
  rv = rlc__batch_read(&b, RLC__OP_CHECK, limits, n, results, decision);
  if (rv != 0) {
    return rv;
  }
  lease = lease_new(limiter, &b); /* before anything is taken */
  if (lease == NULL) {
    return RLC_ERR_NOMEM;
  }
  b.call.receipts = 1;
  began_us = rlc__clock_monotonic_us();
  decision = decision != NULL ? decision : &own;
  rv = rlc__limiter_decide(limiter, &b, results, decision);
  if (rv >= 0 && decision->allowed) {
    fill(lease, limiter, &b, began_us); /* which keeps the policies, the index's too */
    *out = lease;
  } else {
    rlc__free(&limiter->memory, lease);
  }
  rlc__rules_end(&b);
  return rv;
}

static int is_ours(const rlc_lease *lease) {
  return lease->pid == getpid();
}

void rlc_lease_del(rlc_lease *lease) {
  if (lease == NULL) {
    return;
  }
  if (!lease->is_settled && is_ours(lease)) {
    (void)rlc_lease_release(lease);
  }
  for (size_t i = 0; i < lease->n; ++i) {
    rlc__policy_drop(lease->items[i].policy);
  }
  rlc__free(&lease->limiter->memory, lease);
}

/* --- renewal ------------------------------------------------------------------------------- */

/* Some of what a call is about, and whose items of the lease they are. */
typedef struct part {
  rlc__item items[RLC_MAX_LIMITS];
  unsigned char from[RLC_MAX_LIMITS];
  rlc__call call;
} part;

static void begin(part *p, rlc__op op) {
  p->call = (rlc__call){.op = op, .items = p->items};
}

static void add(part *p, const rlc_lease *lease, size_t i, uint64_t cost) {
  rlc__item *item = &p->items[p->call.n];

  *item = lease->items[i];
  item->cost = cost;
  p->from[p->call.n++] = (unsigned char)i;
}

/* Returns 0 or RLC_ERR_STORE. */
static int run(const rlc_lease *lease, part *p) {
  rlc__store *store = lease->limiter->store;

  return p->call.n == 0 || store->ops->decide(store, &p->call) == 0 ? 0 : RLC_ERR_STORE;
}

/* Gives back the slots that are there still, since others are not: who has lost one holds none. */
static void lose(rlc_lease *lease) {
  part back;

  begin(&back, RLC__OP_TAKE_BACK);
  rlc__limiter_set_times(lease->limiter, &back.call);
  for (size_t i = 0; i < lease->n; ++i) {
    rlc__item *item = &lease->items[i];

    if (is_slot(item) && is_held(item)) {
      if (item->charged_us != 0) {
        add(&back, lease, i, item->result.charged);
      }
      item->result.charged = 0;
    }
  }
  (void)run(lease, &back);
  rlc__counters_add(lease->limiter->counters, RLC__COUNT_LEASES_LOST);
}

static int renew(rlc_lease *lease) {
  int64_t began_us = rlc__clock_monotonic_us();
  int lost = 0;
  part slots;
  int rv;

  begin(&slots, RLC__OP_RENEW);
  for (size_t i = 0; i < lease->n; ++i) {
    if (is_slot(&lease->items[i]) && is_held(&lease->items[i])) {
      add(&slots, lease, i, lease->items[i].result.charged);
    }
  }
  rlc__limiter_set_times(lease->limiter, &slots.call);
  rv = run(lease, &slots);
  for (size_t i = 0; i < slots.call.n; ++i) {
    rlc__item *item = &lease->items[slots.from[i]];

    item->charged_us = slots.items[i].charged_us;
    item->mirrored_us = slots.items[i].mirrored_us;
    item->mirrored = slots.items[i].mirrored_us != 0 ? item->mirrored : 0;
    lost |= item->charged_us == 0;
  }
  if (lost) {
    lose(lease);
    return RLC_ERR_LOST;
  }
  if (rv == 0) {
    lease->ends_us = began_us + window_of(lease);
  }
  return rv;
}

static int64_t interval_of(const rlc_lease *lease) {
  int64_t third_us = window_of(lease) / 3;

  return third_us > SOONEST_US ? third_us : SOONEST_US;
}

/* One of many that a store took with it is told, the others are for who debugs. */
static void tell_lost(rlc_limiter *limiter, int error) {
  int64_t now = rlc__clock_monotonic_us();
  int64_t quiet = atomic_load(&limiter->quiet_until_us);
  int first = now >= quiet &&
              atomic_compare_exchange_strong(&limiter->quiet_until_us, &quiet, now + QUIET_US);

  rlc__log_write(&limiter->log, first ? RLC_LOG_WARNING : RLC_LOG_DEBUG, "RLC0401",
                 "a lease was not renewed in time (%s): its slots are free for others, while what they "
                 "were taken for may still go on", rlc_strerror(error));
}

/* Of the helper thread. While the store is away it tries again some times before the slots end. */
static int64_t keep_up(rlc__task *task) {
  rlc_lease *lease = (rlc_lease *)task;
  int64_t interval_us = interval_of(lease);
  int rv = renew(lease);

  if (rv == RLC_ERR_STORE) {
    if (rlc__clock_monotonic_us() + interval_us / 4 < lease->ends_us) {
      return interval_us / 4;
    }
    lose(lease);
  }
  if (rv != 0) {
    tell_lost(lease->limiter, rv);
    return -1;
  }
  return interval_us;
}

/* Has the thread leave the lease alone. */
static void stop_keeping(rlc_lease *lease) {
  if (lease->is_kept) {
    rlc__keeper_remove(lease->limiter->keeper, &lease->task);
  }
}

static int start_keeping(rlc_lease *lease) {
  int rv = rlc__keeper_add(lease->limiter->keeper, &lease->task,
                           rlc__clock_monotonic_us() + interval_of(lease));

  lease->is_kept = rv == 0;
  return rv;
}

int rlc_lease_keep(rlc_lease *lease) {
  if (lease == NULL || lease->is_settled || !is_ours(lease)) {
    return RLC_ERR_INVALID;
  }
  stop_keeping(lease);
  if (window_of(lease) == 0) {
    return 0; /* a reservation does not end */
  }
  lease->task.run = keep_up;
  return start_keeping(lease);
}

int rlc_lease_renew(rlc_lease *lease) {
  int had_slots = 0;
  int rv;

  if (lease == NULL || lease->is_settled || !is_ours(lease)) {
    return RLC_ERR_INVALID;
  }
  stop_keeping(lease);
  for (size_t i = 0; i < lease->n; ++i) {
    had_slots |= is_slot(&lease->items[i]);
  }
  if (window_of(lease) == 0) {
    return had_slots ? RLC_ERR_LOST : 0;
  }
  rv = renew(lease);
  if (lease->is_kept && rv != RLC_ERR_LOST) {
    int again = start_keeping(lease);

    rv = rv != 0 ? rv : again;
  }
  return rv;
}

/* --- settling ------------------------------------------------------------------------------ */

/* Charges what was used above what was taken. Returns 0 or RLC_ERR_STORE. */
static int charge(const rlc_lease *lease, part *more) {
  int rv = run(lease, more);

  for (size_t i = 0; rv == 0 && i < more->call.n; ++i) {
    if (more->items[i].result.source != RLC_SOURCE_STORE) {
      rv = RLC_ERR_STORE; /* this machine has it, and the store has not */
    }
  }
  return rv;
}

/* |used| of each item stays. */
static int settle(rlc_lease *lease, const uint64_t *used) {
  part back;
  part more;
  int rv;
  int also;

  stop_keeping(lease);
  lease->is_settled = 1;
  begin(&back, RLC__OP_TAKE_BACK);
  begin(&more, RLC__OP_CHARGE);
  for (size_t i = 0; i < lease->n; ++i) {
    const rlc__item *item = &lease->items[i];
    uint64_t taken = item->result.charged;

    if (used[i] > taken && !is_slot(item)) {
      add(&more, lease, i, used[i] - taken);
    } else if (used[i] < taken && is_held(item)) {
      add(&back, lease, i, taken - used[i]);
      back.items[back.call.n - 1].mirrored =
          item->mirrored > used[i] ? item->mirrored - used[i] : 0;
    }
  }
  rlc__limiter_set_times(lease->limiter, &back.call);
  more.call.deadline_us = back.call.deadline_us;
  more.call.now_us = back.call.now_us;
  rv = run(lease, &back);
  also = charge(lease, &more);
  return rv != 0 ? rv : also;
}

int rlc_lease_commit(rlc_lease *lease, const uint64_t *costs) {
  uint64_t used[RLC_MAX_LIMITS] = {0};

  if (lease == NULL || lease->is_settled) {
    return RLC_ERR_INVALID;
  }
  for (size_t i = 0; costs != NULL && i < lease->limits; ++i) {
    if (costs[i] > RLC_MAX_QUOTA) {
      return RLC_ERR_INVALID;
    }
    used[lease->item_of[i]] += costs[i];
  }
  for (size_t i = 0; i < lease->n; ++i) {
    if (is_slot(&lease->items[i])) {
      used[i] = 0;
    } else if (costs == NULL) {
      used[i] = lease->items[i].result.charged;
    }
  }
  return settle(lease, used);
}

int rlc_lease_release(rlc_lease *lease) {
  static const uint64_t nothing[RLC_MAX_LIMITS];

  return lease != NULL && !lease->is_settled ? settle(lease, nothing) : RLC_ERR_INVALID;
}
