/* SPDX-License-Identifier: Apache-2.0 */
#include "store/breaker.h"

#include <unistd.h>

void rlc__breaker_init(rlc__breaker *breaker, uint32_t seed) {
  atomic_init(&breaker->open_until_us, 0);
  atomic_init(&breaker->opened_us, 0);
  atomic_init(&breaker->failures, 0);
  atomic_init(&breaker->timeouts, 0);
  atomic_init(&breaker->others, 0);
  atomic_init(&breaker->window_us, 0);
  atomic_init(&breaker->opened, 0);
  atomic_init(&breaker->backoff, 0);
  atomic_init(&breaker->probing, 0);
  atomic_init(&breaker->probing_us, 0);
  atomic_init(&breaker->random, seed | 1u);
}

/* Half to all of |span|, so that the processes of a fleet do not come back at once; the time is
 * mixed in because forked processes begin with the same seed. A lost update
 * between threads does no harm. */
static int64_t jitter(rlc__breaker *breaker, int64_t span, int64_t now_us) {
  uint32_t x = atomic_load_explicit(&breaker->random, memory_order_relaxed) ^ (uint32_t)now_us;

  x ^= x << 13;
  x ^= x >> 17;
  x ^= x << 5;
  atomic_store_explicit(&breaker->random, x, memory_order_relaxed);
  return span / 2 + (int64_t)(x % (uint32_t)(span / 2 + 1));
}

/* Until when a breaker that opens now stays open. */
static int64_t end_of(rlc__breaker *breaker, unsigned backoff, int64_t now_us) {
  int64_t span = backoff < 8 ? RLC__BREAKER_FIRST_US << backoff : RLC__BREAKER_LONGEST_US;

  if (span > RLC__BREAKER_LONGEST_US) {
    span = RLC__BREAKER_LONGEST_US;
  }
  return now_us + jitter(breaker, span, now_us);
}

rlc__breaker_pass rlc__breaker_ask(rlc__breaker *breaker, int64_t now_us) {
  int64_t until = atomic_load_explicit(&breaker->open_until_us, memory_order_acquire);
  int64_t since;
  int prober;
  int self;

  if (until == 0) {
    return RLC__BREAKER_GO;
  }
  if (now_us < until) {
    return RLC__BREAKER_STOP;
  }
  /* Another process's id: a thread of the parent was probing at the fork, and reports to its own. */
  self = (int)getpid();
  prober = atomic_load(&breaker->probing);
  since = atomic_load(&breaker->probing_us);
  if (prober == self && now_us - since < RLC__BREAKER_PROBE_US) {
    return RLC__BREAKER_STOP;
  }
  if (prober != self) {
    if (!atomic_compare_exchange_strong(&breaker->probing, &prober, self)) {
      return RLC__BREAKER_STOP;
    }
    atomic_store(&breaker->probing_us, now_us);
  } else if (!atomic_compare_exchange_strong(&breaker->probing_us, &since, now_us)) {
    return RLC__BREAKER_STOP;
  }
  return RLC__BREAKER_PROBE;
}

void rlc__breaker_hasten(rlc__breaker *breaker, int64_t now_us) {
  int64_t until = atomic_load(&breaker->open_until_us);

  if (until > now_us) {
    (void)atomic_compare_exchange_strong(&breaker->open_until_us, &until, now_us);
  }
}

void rlc__breaker_postpone(rlc__breaker *breaker) {
  atomic_store(&breaker->probing, 0);
}

/* Counts a decision that was no time-out beside those that were. In good times this only reads. */
static void count_other(rlc__breaker *breaker) {
  if (atomic_load_explicit(&breaker->timeouts, memory_order_relaxed) != 0) {
    atomic_fetch_add_explicit(&breaker->others, 1, memory_order_relaxed);
  }
}

/* Returns whether there were too many. A count that another thread's new window loses delays the
 * opening by one time-out. */
static int count_timeout(rlc__breaker *breaker, int64_t now_us) {
  unsigned timeouts;

  if (atomic_load(&breaker->timeouts) == 0 ||
      now_us - atomic_load(&breaker->window_us) > RLC__BREAKER_WINDOW_US) {
    atomic_store(&breaker->window_us, now_us);
    atomic_store(&breaker->others, 0);
    atomic_store(&breaker->timeouts, 0);
  }
  timeouts = atomic_fetch_add(&breaker->timeouts, 1) + 1;
  return timeouts >= RLC__BREAKER_TIMEOUTS && timeouts >= atomic_load(&breaker->others);
}

static int close_it(rlc__breaker *breaker, int64_t now_us, int64_t *open_us) {
  *open_us = now_us - atomic_load(&breaker->opened_us);
  atomic_store(&breaker->failures, 0);
  atomic_store(&breaker->timeouts, 0);
  atomic_store(&breaker->backoff, 0);
  atomic_store(&breaker->open_until_us, 0);
  atomic_store(&breaker->probing, 0);
  return -1;
}

int rlc__breaker_report(rlc__breaker *breaker, rlc__breaker_pass pass, rlc__breaker_outcome outcome,
                        int64_t now_us, int64_t *open_us) {
  int64_t closed = 0;
  int too_many = 0;

  *open_us = 0;
  if (pass == RLC__BREAKER_PROBE) {
    if (outcome == RLC__BREAKER_WORKED) {
      return close_it(breaker, now_us, open_us);
    }
    atomic_store(&breaker->open_until_us,
                 end_of(breaker, atomic_fetch_add(&breaker->backoff, 1) + 1, now_us));
    atomic_store(&breaker->probing, 0);
    return 0;
  }
  if (outcome == RLC__BREAKER_TIMED_OUT) {
    too_many = count_timeout(breaker, now_us);
  } else {
    count_other(breaker);
  }
  if (outcome == RLC__BREAKER_WORKED) {
    /* A read first: the common case must not take the line from other threads. */
    if (atomic_load_explicit(&breaker->failures, memory_order_relaxed) != 0) {
      atomic_store_explicit(&breaker->failures, 0, memory_order_relaxed);
    }
    return 0;
  }
  if (atomic_fetch_add(&breaker->failures, 1) + 1 >= RLC__BREAKER_FAILURES) {
    too_many = 0;
  } else if (!too_many) {
    return 0;
  }
  /* Many callers fail at once; the one that moves it from closed opens it. */
  if (!atomic_compare_exchange_strong(&breaker->open_until_us, &closed,
                                      end_of(breaker, 0, now_us))) {
    return 0;
  }
  atomic_store(&breaker->opened_us, now_us);
  atomic_fetch_add(&breaker->opened, 1);
  return too_many ? 2 : 1;
}

int rlc__breaker_lets_pass(const rlc__breaker *breaker, int64_t now_us) {
  return now_us >= atomic_load(&breaker->open_until_us);
}

rlc_breaker rlc__breaker_state(const rlc__breaker *breaker) {
  if (atomic_load(&breaker->open_until_us) == 0) {
    return RLC_BREAKER_CLOSED;
  }
  return atomic_load(&breaker->probing) ? RLC_BREAKER_HALF_OPEN : RLC_BREAKER_OPEN;
}
