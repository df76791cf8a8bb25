/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/random.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/own.h"
#include "limiter/rules_inside.h"

#define SECOND_US INT64_C(1000000)
/* The helper thread asks for news each second, and stops after so many without a decision. */
#define IDLE 60
/* Denials that make a ban are handed on at once, but no more often than this. */
#define HURRY_US INT64_C(20000)
/* The helper thread may wait longer than a decision. */
#define PATIENCE_US INT64_C(100000)
#define COMPLAIN_US (60 * SECOND_US)

/* --- asking the store ------------------------------------------------------------------------ */

static int ask(rlc__rules *rules, rlc__index_call *call, int64_t patience_us) {
  if (rules->timeout_us > 0) {
    call->deadline_us = rlc__clock_monotonic_us() +
                        (patience_us > rules->timeout_us ? patience_us : rules->timeout_us);
  }
  call->now_us = rules->clock != NULL ? rules->clock(rules->clock_user) : 0;
  return rules->store->ops->index(rules->store, call);
}

int rlc__rules_index(rlc__rules *rules, rlc__index_call *call) {
  return ask(rules, call, 0);
}

/* --- news ---------------------------------------------------------------------------------- */

typedef struct reader {
  rlc__rules *rules;
  int error;
} reader;

static void take_in(const rlc__entry *entry, void *user) {
  reader *r = user;
  char why[RLC_MESSAGE_SIZE] = "";
  int rv = rlc__catalog_put(r->rules->catalog, entry, why, sizeof why);

  if (rv == RLC_ERR_POLICY) {
    rlc__log_write(&r->rules->log, RLC_LOG_WARNING, "RLC0501",
                   "the index has a policy for \"%s\" that cannot be used, and is passed over: %s",
                   entry->name, why);
  } else if (rv == RLC_ERR_INVALID) {
    rlc__log_write(&r->rules->log, RLC_LOG_WARNING, "RLC0502",
                   "the index has an entry that this version does not know, and passes over");
  } else if (rv != 0) {
    r->error = rv;
  }
}

/* Under |changing|. */
static int read_news(rlc__rules *rules, int64_t patience_us) {
  rlc__rules_page *p = rules->page;
  reader r = {rules, 0};
  rlc__index_call call = {.op = RLC__INDEX_NEWS, .version = atomic_load(&p->version),
                          .fn = take_in, .user = &r};
  int rv;

  rlc__catalog_begin(rules->catalog);
  rv = ask(rules, &call, patience_us);
  if (rv != 0) {
    return rv;
  }
  atomic_store(&p->ahead_us, call.store_now_us - rlc__clock_boottime_us());
  /* What memory had no room for is asked for again, and till then nothing is taken away for it. */
  if (r.error == 0) {
    if (call.all) {
      rlc__catalog_keep_news(rules->catalog);
    }
    atomic_store(&p->version, call.version);
  }
  rlc__catalog_tidy(rules->catalog, call.store_now_us);
  return r.error;
}

void rlc__rules_catch_up(rlc__rules *rules, uint64_t version) {
  rlc__rules_page *p = rules->page;

  if (version == atomic_load_explicit(&p->hopeless, memory_order_relaxed) ||
      pthread_mutex_trylock(&p->changing) != 0) {
    return;
  }
  if (version != atomic_load(&p->version)) {
    atomic_store(&p->hopeless, read_news(rules, 0) != 0 ? version : 0);
  }
  pthread_mutex_unlock(&p->changing);
}

static int news(rlc__rules *rules, int64_t patience_us) {
  int rv;

  pthread_mutex_lock(&rules->page->changing);
  rv = read_news(rules, patience_us);
  pthread_mutex_unlock(&rules->page->changing);
  return rv;
}

/* --- denials ------------------------------------------------------------------------------- */

/* Hands on all that were counted. What the store did not answer may have been counted, and is not sent
 * again. Returns how many keys they were of, or what the store said. */
static int hand_on(rlc__rules *rules, int64_t patience_us) {
  rlc__denials batch[RLC__INDEX_BATCH];
  rlc__index_call call = {.op = RLC__INDEX_DENIED, .denials = batch};
  int keys = 0;

  for (unsigned i = 0; i < RLC__DENIALS_KEYS / RLC__INDEX_BATCH; ++i) {
    int64_t now_us = rules->clock != NULL ? rules->clock(rules->clock_user)
                                          : rlc__clock_monotonic_us();
    int rv;

    call.n = rlc__denials_take(rules->denials, batch, RLC__INDEX_BATCH, now_us);
    if (call.n == 0) {
      break;
    }
    rv = ask(rules, &call, patience_us);
    if (rv != 0) {
      return rv;
    }
    atomic_fetch_add(&rules->page->dropped_bans, call.dropped);
    keys += (int)call.n;
  }
  return keys;
}

/* News, denials, and what came of them. A store that does not answer the first is not told of denials:
 * they wait until it does. */
static int look_after(rlc__rules *rules, int64_t patience_us) {
  int rv = news(rules, patience_us);

  if (rv != 0 || rlc__denials_keys(rules->denials) == 0) {
    return rv;
  }
  rv = hand_on(rules, patience_us);
  return rv > 0 ? news(rules, patience_us) : rv;
}

int rlc__rules_refresh(rlc__rules *rules) {
  return look_after(rules, 0);
}

/* --- the task ------------------------------------------------------------------------------ */

/* What had no room, here or in the store; once a minute. */
static void tell_of_dropped(rlc__rules *rules) {
  rlc__rules_page *p = rules->page;
  uint64_t denials = rlc__denials_dropped(rules->denials);
  uint64_t bans = atomic_exchange(&p->dropped_bans, 0);
  int64_t now_us = rlc__clock_monotonic_us();

  if (p->told_us != 0 && now_us - p->told_us < COMPLAIN_US) {
    atomic_fetch_add(&p->dropped_bans, bans);
    return;
  }
  if (denials > p->told_denials) {
    rlc__log_write(&rules->log, RLC_LOG_WARNING, "RLC0503",
                   "more keys were denied within a second than are counted for \"ban=\": %llu "
                   "denials were not", (unsigned long long)(denials - p->told_denials));
  }
  if (bans > 0) {
    rlc__log_write(&rules->log, RLC_LOG_WARNING, "RLC0505",
                   "the store's index has no room for more bans: %llu times a key was not banned",
                   (unsigned long long)bans);
  }
  p->told_us = bans > 0 || denials > p->told_denials ? now_us : p->told_us;
  p->told_denials = denials;
}

static int64_t run(rlc__task *task) {
  rlc__rules *rules = ((rlc__upkeep *)task)->rules;
  rlc__rules_page *p = rules->page;
  int64_t again_us = SECOND_US;

  atomic_store(&p->idle, atomic_exchange(&p->used, 0) ? 0 : atomic_load(&p->idle) + 1);
  atomic_store(&p->hurried, 0);
  (void)look_after(rules, PATIENCE_US);
  tell_of_dropped(rules);
  pthread_mutex_lock(&p->planning);
  if (atomic_load(&p->idle) >= IDLE && !atomic_load(&p->used) && rlc__denials_keys(rules->denials) == 0) {
    atomic_store(&p->running, 0);
    atomic_store(&p->idle, 0);
    again_us = -1;
  }
  pthread_mutex_unlock(&p->planning);
  return again_us;
}

/* Has the task run in |us|, where it does not run already or |anyway|. Where no thread could be started it is
 * tried again a second later, as long as there is somebody who wants it. */
static void plan(rlc__rules *rules, int64_t us, int anyway) {
  rlc__rules_page *p = rules->page;

  if (rules->clock != NULL) {
    return; /* a simulation goes at its own pace: see rlc_options_set_test_clock */
  }
  if (!anyway && atomic_load_explicit(&p->running, memory_order_relaxed)) {
    return;
  }
  pthread_mutex_lock(&p->planning);
  if (!atomic_load(&p->running) || anyway) {
    int64_t now_us = rlc__clock_monotonic_us();
    int rv = RLC_ERR_SYSTEM;

    if (!p->complained || now_us >= p->retry_us) {
      p->upkeep.task.run = run;
      p->upkeep.rules = rules;
      p->retry_us = now_us + SECOND_US;
      rv = rlc__keeper_add(rules->keeper, &p->upkeep.task, now_us + us);
    }
    atomic_store(&p->running, rv == 0);
    if (rv != 0) {
      atomic_store(&p->used, 0);
      atomic_store(&p->hurried, 0);
    }
    if (rv != 0 && !p->complained) {
      rlc__log_write(&rules->log, RLC_LOG_ERROR, "RLC0504",
                     "no helper thread can be started: bans, overrides and tiers of the store do "
                     "not reach this process");
    }
    p->complained = rv != 0;
  }
  pthread_mutex_unlock(&p->planning);
}

void rlc__rules_wake(rlc__rules *rules) {
  if (!atomic_exchange(&rules->page->used, 1)) {
    plan(rules, 0, 0);
  }
}

void rlc__rules_denied(rlc__rules *rules, int enough) {
  if (enough && (!rules->polls || rules->clock != NULL)) {
    /* A table costs no more than memory does, and a test's clock knows no helper thread. */
    (void)hand_on(rules, 0);
  } else if (enough) {
    if (!atomic_exchange(&rules->page->hurried, 1)) {
      plan(rules, HURRY_US, 1);
    }
  } else {
    plan(rules, SECOND_US, 0);
  }
}

uint32_t rlc__rules_entries(const rlc__rules *rules) {
  return rlc__catalog_entries(rules->catalog);
}

/* --- new and del --------------------------------------------------------------------------- */

int rlc__rules_new(rlc__rules **out, rlc__store *store, rlc__keeper *keeper, int64_t timeout_us,
                   const rlc_options *options) {
  rlc__rules *rules = rlc__calloc(&options->memory, 1, sizeof *rules);
  int rv = RLC_ERR_NOMEM;

  *out = NULL;
  if (rules == NULL) {
    return rv;
  }
  rules->memory = options->memory;
  rules->log = options->log;
  rules->store = store;
  rules->keeper = keeper;
  rules->timeout_us = timeout_us;
  rules->clock = options->clock;
  rules->clock_user = options->clock_user;
  rules->display = options->display;
  rules->polls = store->ops->index_version == NULL;
  /* Without the system's randomness keys that share a place could be chosen: slower, not wrong. */
  if (getrandom(rules->seed, sizeof rules->seed, 0) != (ssize_t)sizeof rules->seed) {
    rules->seed[0] = 1;
  }
  rules->page = rlc__own_new(sizeof *rules->page);
  if (rules->page != NULL) {
    rv = rlc__catalog_new(&rules->catalog, rules->seed, &rules->memory);
  }
  if (rv == 0) {
    rv = rlc__denials_new(&rules->denials, &rules->memory);
  }
  if (rv != 0) {
    rlc__rules_del(rules);
    return rv;
  }
  *out = rules;
  return 0;
}

void rlc__rules_del(rlc__rules *rules) {
  rlc_memory memory;

  if (rules == NULL) {
    return;
  }
  if (rules->denials != NULL) {
    rlc__keeper_remove(rules->keeper, &rules->page->upkeep.task);
    if (rlc__denials_keys(rules->denials) > 0) {
      (void)hand_on(rules, 0);
    }
  }
  rlc__denials_del(rules->denials);
  rlc__catalog_del(rules->catalog);
  rlc__own_del(rules->page, sizeof *rules->page);
  memory = rules->memory;
  rlc__free(&memory, rules);
}
