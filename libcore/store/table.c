/* SPDX-License-Identifier: Apache-2.0 */
#include "store/table.h"

#include <string.h>
#include <unistd.h>

#include "algorithm/log.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/siphash.h"
#include "store/blocks.h"
#include "store/slots.h"
#include "store/table_index.h"

/* --- what both ways share ------------------------------------------------------------------ */

/* Calendars go by the wall clock, which people set; all else by a clock that nobody does. */
static int64_t now_of(const rlc__region *region, const rlc__call *call, const rlc__item *item) {
  if (call->now_us != 0) {
    return call->now_us;
  }
  return item->policy->is_calendar ? rlc__clock_wall_us() : rlc__region_now_us(region);
}

static rlc__place place_of(const rlc__region *region, const rlc__item *item) {
  const rlc_policy *policy = item->policy;
  uint64_t salt = (uint64_t)policy->algorithm << 1 | (policy->rates > 1);
  uint64_t hash;

  if (item->group_len > 0) { /* 64 bits, where without one it is a small number */
    salt = rlc__siphash2(region->hash_key, item->group, item->group_len, NULL, 0, salt);
  }
  hash = rlc__siphash2(region->hash_key, item->key, item->key_len, item->name, item->name_len,
                       salt);
  if (rlc__is_log(policy->algorithm)) {
    return rlc__blocks_place(region, hash);
  }
  return rlc__slots_place(region, hash, policy->algorithm, rlc__state_words(policy) > 1);
}

static void answer(rlc__item *item, const uint64_t *state, int64_t now_us, uint64_t cost, int step) {
  item->result.source = RLC_SOURCE_STORE;
  rlc__algorithm_describe(item->policy, state, now_us, cost, step & RLC__STEP_ALLOWED,
                          &item->result);
}

/* What |op| has charged of |cost|, from the state |before|; the receipt. */
static void tell_charged(const rlc__call *call, rlc__item *item, const uint64_t *before,
                         int64_t now_us, uint64_t cost, int charged) {
  uint64_t units = 0;

  if (charged && call->op == RLC__OP_CHARGE) {
    units = rlc__algorithm_charged(item->policy, before, now_us, cost);
  } else if (charged && (call->op == RLC__OP_CHECK || call->op == RLC__OP_GRANT)) {
    units = cost;
  }
  item->result.charged = units;
  if (call->op != RLC__OP_TAKE_BACK && call->op != RLC__OP_RENEW) {
    item->charged_us = units > 0 ? now_us : 0;
  }
}

/* --- without a lock ------------------------------------------------------------------------ */

/* Decides a call of one narrow item where that takes no more than one compare-and-swap that makes
 * the value grow. Returns 0 where it takes the lock: then nothing has been changed. */
static int decide_free(rlc__region *region, rlc__call *call, const rlc__place *place) {
  rlc__item *item = call->items;
  int64_t now_us;
  uint64_t old;
  uint64_t word;
  int step;

  rlc__narrow_prefetch(region, place);
  /* Before the value is read, to keep the time short in which others may change it. */
  now_us = now_of(region, call, item);
  for (;;) {
    rlc__narrow *slot = rlc__narrow_find(region, place);

    old = slot != NULL ? atomic_load_explicit(&slot->value, memory_order_acquire) : 0;

    if (slot != NULL &&
        (old == RLC__MOVING ||
         atomic_load_explicit(&slot->tag, memory_order_relaxed) != place->tag)) {
      return 0;
    }
    word = old;
    step = rlc__algorithm_step(item->policy, &word, call->op, now_us, item->cost);
    if (word == old) {
      break;
    }
    if (slot == NULL || word < old) {
      return 0;
    }
    if (rlc__narrow_swap(slot, old, word)) {
      break;
    }
  }
  answer(item, &word, now_us, item->cost, step);
  tell_charged(call, item, &old, now_us, item->cost, step & RLC__STEP_ALLOWED);
  return 1;
}

/* --- under the locks ----------------------------------------------------------------------- */

/* An item while its call is decided. */
typedef struct work {
  rlc__place place;
  rlc__narrow *slot; /* narrow, and it was found */
  uint64_t old;      /* its value */
  uint64_t state[RLC__STATE_WORDS];
  uint64_t next[RLC__STATE_WORDS]; /* the state as the step leaves it */
  int64_t now_us;    /* by the clock that it goes by */
  uint64_t cost;     /* the item's, or what all limits grant */
  int step;
} work;

typedef struct batch {
  rlc__region *region;
  rlc__call *call;
  rlc__pins pins;
  work item[RLC_MAX_LIMITS];
  /* The log that is looked at. One for all, since a log is large, and threads' stacks are small: under
   * the locks it can be read again. */
  uint64_t log[RLC__LOG_WORDS];
} batch;

static void unlock_all(batch *b, uint64_t locked) {
  for (; locked != 0; locked &= locked - 1) {
    rlc__region_unlock(b->region, (unsigned)__builtin_ctzll(locked));
  }
}

/* Locks the stripes of all items, each once, in ascending order. Returns which, or 0. */
static uint64_t lock_all(batch *b) {
  uint64_t wanted = 0;
  uint64_t locked = 0;

  for (size_t i = 0; i < b->call->n; ++i) {
    wanted |= UINT64_C(1) << b->item[i].place.stripe;
  }
  for (uint64_t rest = wanted; rest != 0; rest &= rest - 1) {
    if (rlc__slots_lock(b->region, (unsigned)__builtin_ctzll(rest)) != 0) {
      unlock_all(b, locked);
      return 0;
    }
    locked |= rest & -rest;
  }
  return locked;
}

/* Does |op| with the log of item |i|, and keeps what that changes. Where |result| is set, the item's is
 * filled. */
static void do_log(batch *b, size_t i, rlc__op op, uint64_t cost, int result) {
  rlc__item *item = &b->call->items[i];
  const rlc_policy *policy = item->policy;
  work *w = &b->item[i];
  unsigned blocks = rlc__blocks_read(b->region, &w->place, b->log);
  uint64_t charged = 0;
  int64_t since = 0;
  int step;

  switch (op) {
  case RLC__OP_TAKE_BACK:
    step = rlc__algorithm_take_back(policy, b->log, w->now_us, cost, item->charged_us);
    break;
  case RLC__OP_RENEW:
    step = rlc__algorithm_renew(policy, b->log, w->now_us, cost, item->charged_us);
    since = step & RLC__STEP_ALLOWED ? w->now_us : 0;
    break;
  case RLC__OP_RESET:
    rlc__blocks_clear(b->region, &w->place);
    b->log[0] = 0;
    step = RLC__STEP_ALLOWED;
    break;
  default:
    step = rlc__log_step(policy, b->log, op, w->now_us, cost, &charged);
    since = charged > 0 ? w->now_us : 0;
    break;
  }
  if (step & RLC__STEP_CHANGED) {
    rlc__blocks_write(b->region, &w->place, b->log, blocks, w->now_us, &b->pins);
  }
  w->step = step;
  if (result) {
    if (op == RLC__OP_RENEW || b->call->receipts) {
      item->charged_us = since;
    }
    item->result.source = RLC_SOURCE_STORE;
    item->result.charged = charged;
    rlc__algorithm_describe(policy, b->log, w->now_us, cost, step & RLC__STEP_ALLOWED,
                            &item->result);
  }
}

static void load(batch *b, work *w) {
  if (w->place.is_log) {
    return; /* do_log does all */
  }
  if (w->place.wide) {
    rlc__wide_read(b->region, &w->place, w->state);
    return;
  }
  w->slot = rlc__narrow_find(b->region, &w->place);
  w->old = w->slot != NULL ? atomic_load_explicit(&w->slot->value, memory_order_acquire) : 0;
  w->state[0] = w->old == RLC__MOVING ? 0 : w->old;
}

/* Reads each clock that an item goes by, once. */
static void read_clocks(batch *b) {
  int64_t clocks[2] = {0, 0};

  for (size_t i = 0; i < b->call->n; ++i) {
    const rlc__item *item = &b->call->items[i];
    int64_t *clock = &clocks[item->policy->is_calendar != 0];

    if (*clock == 0) {
      *clock = now_of(b->region, b->call, item);
    }
    b->item[i].now_us = *clock;
  }
}

static void step(batch *b, size_t i, rlc__op op) {
  const rlc__item *item = &b->call->items[i];
  work *w = &b->item[i];

  if (w->place.is_log) {
    /* Alone it is decided at once. */
    do_log(b, i, b->call->n > 1 ? RLC__OP_PEEK : op, w->cost, 1);
    return;
  }
  memcpy(w->next, w->state, (w->place.wide ? RLC__STATE_WORDS : 1) * sizeof *w->next);
  if (op == RLC__OP_TAKE_BACK) {
    w->step = rlc__algorithm_take_back(item->policy, w->next, w->now_us, w->cost, item->charged_us);
  } else {
    w->step = rlc__algorithm_step(item->policy, w->next, op, w->now_us, w->cost);
  }
}

/* Makes |next| the state. Returns 0 where a charge without a lock was quicker; never for a wide
 * item. */
static int commit(batch *b, size_t i) {
  work *w = &b->item[i];

  if (w->place.wide) {
    rlc__wide_write(b->region, &w->place, w->next,
                    rlc__algorithm_expiry(b->call->items[i].policy, w->next), w->now_us, &b->pins);
    return 1;
  }
  /* So many items of this call may share a set that one has evicted another: its state is put back
   * as it was read. */
  if (w->slot != NULL &&
      atomic_load_explicit(&w->slot->tag, memory_order_relaxed) != w->place.tag) {
    w->slot = NULL;
  }
  if (w->slot == NULL) {
    if (w->next[0] != 0) {
      rlc__narrow_insert(b->region, &w->place, w->next[0], w->now_us, &b->pins);
    }
    return 1;
  }
  if (w->next[0] == 0) {
    return rlc__narrow_remove(b->region, &w->place, w->slot, w->old);
  }
  return rlc__narrow_swap(w->slot, w->old, w->next[0]);
}

/* Steps one item until that is committed. Others can only be quicker by charging it. */
static void apply(batch *b, size_t i, rlc__op op) {
  do {
    load(b, &b->item[i]);
    b->item[i].now_us = now_of(b->region, b->call, &b->call->items[i]);
    step(b, i, op);
  } while ((b->item[i].step & RLC__STEP_CHANGED) && !commit(b, i));
}

/* Charges every item, which all allow. The narrow ones come first: only they can fail, and what was
 * charged till then is taken back: a refund would take it off what others charge when time has gone on,
 * in the next window even. Returns 0 after that. */
static int commit_all(batch *b) {
  for (size_t i = 0; i < b->call->n; ++i) {
    if (!b->item[i].place.wide && (b->item[i].step & RLC__STEP_CHANGED) && !commit(b, i)) {
      while (i-- > 0) {
        if (!b->item[i].place.wide && (b->item[i].step & RLC__STEP_CHANGED)) {
          b->call->items[i].charged_us = b->item[i].now_us;
          apply(b, i, RLC__OP_TAKE_BACK);
        }
      }
      return 0;
    }
  }
  for (size_t i = 0; i < b->call->n; ++i) {
    if (b->item[i].place.is_log) {
      if (b->call->n > 1) {
        do_log(b, i, RLC__OP_CHECK, b->item[i].cost, 1);
      }
    } else if (b->item[i].place.wide && (b->item[i].step & RLC__STEP_CHANGED)) {
      commit(b, i);
    }
  }
  return 1;
}

/* The most that every item grants, each the same; at least 1, which then does not fit. */
static uint64_t grant_of(batch *b) {
  uint64_t grant = UINT64_MAX;

  for (size_t i = 0; i < b->call->n; ++i) {
    const rlc__item *item = &b->call->items[i];
    const work *w = &b->item[i];
    rlc_result r = RLC_RESULT_INIT;

    if (w->place.is_log) {
      (void)rlc__blocks_read(b->region, &w->place, b->log);
    }
    rlc__algorithm_describe(item->policy, w->place.is_log ? b->log : w->state, w->now_us, 0, 1, &r);
    grant = r.remaining < grant ? r.remaining : grant;
    grant = item->cost < grant ? item->cost : grant;
  }
  return grant > 0 ? grant : 1;
}

/* Checks, grants or peeks: all or nothing. Returns whether the items were charged. */
static int decide_together(batch *b) {
  rlc__call *call = b->call;
  rlc__op op = call->op == RLC__OP_GRANT ? RLC__OP_CHECK : call->op;
  int all;

  do {
    all = 1;
    for (size_t i = 0; i < call->n; ++i) {
      load(b, &b->item[i]);
    }
    read_clocks(b);
    if (call->op == RLC__OP_GRANT) {
      uint64_t grant = grant_of(b);

      for (size_t i = 0; i < call->n; ++i) {
        b->item[i].cost = grant;
      }
    }
    for (size_t i = 0; i < call->n; ++i) {
      step(b, i, op);
      all &= b->item[i].step & RLC__STEP_ALLOWED;
    }
  } while (op == RLC__OP_CHECK && all && !commit_all(b));
  for (size_t i = 0; !all && i < call->n; ++i) {
    work *w = &b->item[i];
    size_t bytes = (w->place.wide ? RLC__STATE_WORDS : 1) * sizeof *w->next;
    int changed = (w->step & (RLC__STEP_ALLOWED | RLC__STEP_CHANGED)) == RLC__STEP_CHANGED;

    if (w->place.is_log) {
      if (op == RLC__OP_CHECK && w->cost > 0 && call->n > 1) {
        do_log(b, i, RLC__OP_CHECK, UINT64_MAX, 0); /* never fits, and leaves its clamp */
      }
      continue;
    }
    if (op == RLC__OP_CHECK && w->cost > 0 && w->step & RLC__STEP_ALLOWED &&
        call->items[i].policy->algorithm != RLC_TOKEN_BUCKET) {
      /* It alone would pass, and is not charged. A cost that never fits leaves its clamp; a bucket
       * with room has none. */
      memcpy(w->next, w->state, bytes);
      changed = rlc__algorithm_step(call->items[i].policy, w->next, RLC__OP_CHECK, w->now_us,
                                    UINT64_MAX) &
                RLC__STEP_CHANGED;
    }
    if (changed && commit(b, i)) { /* a clamp, which need not succeed */
      memcpy(w->state, w->next, bytes);
    }
  }
  return op == RLC__OP_CHECK && all;
}

/* Charges, refunds, takes back or resets: each item for itself. */
static void decide_each(batch *b) {
  for (size_t i = 0; i < b->call->n; ++i) {
    work *w = &b->item[i];

    if (w->place.is_log) {
      w->now_us = now_of(b->region, b->call, &b->call->items[i]);
      do_log(b, i, b->call->op, b->call->items[i].cost, 1);
    } else if (b->call->op == RLC__OP_RESET) {
      memset(w->next, 0, sizeof w->next);
      w->step = RLC__STEP_ALLOWED;
      do {
        load(b, w);
        w->now_us = now_of(b->region, b->call, &b->call->items[i]);
      } while (!commit(b, i));
    } else {
      apply(b, i, b->call->op);
    }
  }
}

static int decide_locked(rlc__region *region, rlc__call *call, const rlc__place *first) {
  batch b;
  uint64_t locked;
  int changed = 1;

  b.region = region;
  b.call = call;
  b.pins.n = call->n;
  for (size_t i = 0; i < call->n; ++i) {
    b.item[i].place = i == 0 ? *first : place_of(region, &call->items[i]);
    b.item[i].cost = call->items[i].cost;
    b.pins.tag[i] = b.item[i].place.tag;
  }
  locked = lock_all(&b);
  if (locked == 0) {
    return RLC__ERR_UNAVAILABLE;
  }
  if (call->op == RLC__OP_CHECK || call->op == RLC__OP_GRANT || call->op == RLC__OP_PEEK) {
    changed = decide_together(&b);
  } else {
    decide_each(&b);
  }
  unlock_all(&b, locked);
  for (size_t i = 0; i < call->n; ++i) {
    const work *w = &b.item[i];

    if (w->place.is_log) {
      continue;
    }
    answer(&call->items[i], changed ? w->next : w->state, w->now_us, w->cost, w->step);
    tell_charged(call, &call->items[i], w->state, w->now_us, w->cost, changed);
  }
  return 0;
}

int rlc__table_decide(rlc__region *region, rlc__call *call) {
  rlc__place place = place_of(region, call->items);

  if (call->n == 1 && !place.wide &&
      (call->op == RLC__OP_CHECK || call->op == RLC__OP_CHARGE || call->op == RLC__OP_PEEK) &&
      decide_free(region, call, &place)) {
    return 0;
  }
  return decide_locked(region, call, &place);
}

/* --- the store ----------------------------------------------------------------------------- */

typedef struct table {
  rlc__store base;
  rlc_memory memory;
  rlc__region region;
  int fd; /* of a file, kept for the lock on it and for who adopts it; or -1 */
  int offered;
} table;

static int table_decide(rlc__store *store, rlc__call *call) {
  return rlc__table_decide(&((table *)store)->region, call);
}

static int table_identify(rlc__store *store, const void *key, size_t key_len,
                          char hash[RLC__ENTRY_HASH]) {
  rlc__table_identify(&((table *)store)->region, key, key_len, hash);
  return 0;
}

static int table_index(rlc__store *store, rlc__index_call *call) {
  table *t = (table *)store;

  return rlc__table_index(&t->region, &t->memory, call);
}

static uint64_t table_index_version(rlc__store *store) {
  return rlc__table_index_version(&((table *)store)->region);
}

static void table_get_stats(rlc__store *store, rlc_stats *stats) {
  rlc__slots_get_stats(&((table *)store)->region, stats);
}

static int table_get_fd(const rlc__store *store) {
  const table *t = (const table *)store;

  return t->offered ? t->fd : -1;
}

static void table_del(rlc__store *store) {
  table *t = (table *)store;
  rlc_memory memory = t->memory;

  rlc__region_del(&t->region);
  if (t->fd >= 0) {
    close(t->fd);
  }
  rlc__free(&memory, t);
}

static const rlc__store_ops table_ops = {.decide = table_decide,
                                         .identify = table_identify,
                                         .index = table_index,
                                         .index_version = table_index_version,
                                         .get_stats = table_get_stats,
                                         .get_fd = table_get_fd,
                                         .del = table_del};

int rlc__table_store_new(rlc__store **out, rlc__region *region, int fd, int offered,
                         const rlc_options *options, char *why, size_t why_size) {
  table *t = rlc__calloc(&options->memory, 1, sizeof *t);

  *out = NULL;
  if (t == NULL) {
    rlc__region_del(region);
    if (fd >= 0) {
      close(fd);
    }
    return rlc__fail(RLC_ERR_NOMEM, why, why_size, "out of memory");
  }
  t->base.ops = &table_ops;
  t->memory = options->memory;
  t->region = *region;
  t->fd = fd;
  t->offered = offered;
  *out = &t->base;
  return 0;
}
