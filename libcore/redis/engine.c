/* SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/futex.h"
#include "redis/engine_parts.h"
#include "redis/gate.h"

#define DOUBT_US INT64_C(100000) /* between two looks at a server that says it is no master */
#define KICK_US INT64_C(1000000)  /* how often the helper is told that it is still wanted */

enum { PROBE_NONE, PROBE_WANTED, PROBE_PASSED, PROBE_FAILED };

int rlc__engine_is_ending(const rlc__engine *e) {
  return atomic_load(&e->stop) || (e->config->tls != NULL && rlc__gate_is_closed());
}

void rlc__engine_changed(rlc__engine *e) {
  atomic_fetch_add(&e->changes, 1);
  rlc__futex_wake_all(&e->changes);
  pthread_mutex_lock(&e->mutex);
  for (size_t i = 0; i < e->waiters; ++i) {
    rlc__waiter_call(e->waiter[i]);
  }
  pthread_mutex_unlock(&e->mutex);
}

static size_t find_waiter(const rlc__engine *e, const rlc__waiter *waiter) {
  size_t i = 0;

  while (i < e->waiters && e->waiter[i] != waiter) {
    ++i;
  }
  return i;
}

int rlc__engine_watch(rlc__engine *engine, rlc__waiter *waiter) {
  rlc__waiter **longer;
  int rv = 0;

  pthread_mutex_lock(&engine->mutex);
  if (find_waiter(engine, waiter) == engine->waiters) {
    longer = realloc(engine->waiter, (engine->waiters + 1) * sizeof *longer);
    if (longer == NULL) {
      rv = RLC_ERR_NOMEM;
    } else {
      engine->waiter = longer;
      longer[engine->waiters++] = waiter;
    }
  }
  pthread_mutex_unlock(&engine->mutex);
  return rv;
}

void rlc__engine_unwatch(rlc__engine *engine, const rlc__waiter *waiter) {
  size_t at;

  pthread_mutex_lock(&engine->mutex);
  at = find_waiter(engine, waiter);
  if (at < engine->waiters) {
    engine->waiter[at] = engine->waiter[--engine->waiters];
  }
  pthread_mutex_unlock(&engine->mutex);
}

uint32_t rlc__engine_changes(const rlc__engine *engine) {
  return atomic_load(&engine->changes);
}

void rlc__engine_wait(rlc__engine *engine, uint32_t seen, int64_t deadline_us) {
  rlc__futex_wait(&engine->changes, seen, deadline_us);
}

/* --- the thread ---------------------------------------------------------------------------- */

int64_t rlc__engine_jitter(rlc__engine *e, int64_t span) {
  e->random = e->random * 1664525u + 1013904223u;
  return span / 2 + (int64_t)(e->random >> 8) % (span / 2 + 1);
}

/* One turn: at most one server is dialed, then it is asked again what is to be done first. Returns
 * when the next is due. */
static int64_t work(rlc__engine *e) {
  int64_t now = rlc__clock_monotonic_us();
  int64_t next = now + RLC__NEVER_US;
  int64_t then;

  if (rlc__discovery_due(e, now) <= now) {
    rlc__discovery_run(e);
  }
  if (e->told_by != NULL && now - e->refreshed_us > RLC__WANTED_US) {
    rlc__discovery_close(e);
  } else if (e->told_by != NULL) {
    next = e->refreshed_us + RLC__WANTED_US + 1;
  }
  if (atomic_load(&e->probe) == PROBE_WANTED && !atomic_load(&e->stop)) {
    int passed = rlc__dialer_probe(e);

    if (!passed && !rlc__engine_is_single(e)) {
      (void)rlc__engine_raise_doubt(e, RLC__IN_TROUBLE);
    }
    atomic_store(&e->probe, passed ? PROBE_PASSED : PROBE_FAILED);
    rlc__engine_changed(e);
  }
  then = rlc__dialer_serve(e);
  next = then < next ? then : next;
  then = rlc__discovery_due(e, now);
  return then < next ? then : next;
}

static void *run(void *user) {
  rlc__engine *e = user;

  while (!rlc__engine_is_ending(e)) {
    int64_t next = work(e);
    struct timespec until = {(time_t)(next / 1000000), (long)(next % 1000000 * 1000)};

    pthread_mutex_lock(&e->mutex);
    while (!e->kicked && !atomic_load(&e->stop) && rlc__clock_monotonic_us() < next) {
      (void)pthread_cond_timedwait(&e->wake, &e->mutex, &until);
    }
    e->kicked = 0;
    pthread_mutex_unlock(&e->mutex);
  }
  return NULL;
}

/* A look-up that nobody waits for any more outlives the client (lookup.c), and so may outlive what a
 * program that closes the library (dlclose) takes for its end. Not in the look-up's own thread, which
 * that might outrun; nor for a client that never connects, as in a parent of httpd. */
static void keep_library(void) {
  static const char here;
  Dl_info library;

  if (dladdr(&here, &library) != 0 && library.dli_fname != NULL) {
    (void)dlopen(library.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
  }
}

/* Wakes the helper, or starts it. */
static void kick(rlc__engine *e) {
  sigset_t all;
  sigset_t before;

  atomic_store(&e->asked_us, rlc__clock_monotonic_us());
  pthread_mutex_lock(&e->mutex);
  e->kicked = 1;
  if (!e->started) {
    keep_library();
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    e->started = pthread_create(&e->thread, NULL, run, e) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
  }
  pthread_cond_signal(&e->wake);
  pthread_mutex_unlock(&e->mutex);
}

int rlc__engine_raise_doubt(rlc__engine *e, int to) {
  int doubt = atomic_load(&e->doubt);

  while (doubt < to) {
    if (atomic_compare_exchange_weak(&e->doubt, &doubt, to)) {
      return 1;
    }
  }
  return 0;
}

/* Doubts who is master; wakes the helper if it does not know that yet. */
static void doubt_masters(rlc__engine *e, int how) {
  if (rlc__engine_raise_doubt(e, how) ||
      rlc__clock_monotonic_us() - atomic_load(&e->asked_us) > KICK_US) {
    kick(e);
  }
}

void rlc__engine_want(rlc__engine *engine, rlc__node *node) {
  if (node != NULL) {
    unsigned want = rlc__node_open_lanes(node) + 1;

    atomic_store(&node->asked_us, rlc__clock_monotonic_us());
    if (atomic_load(&node->want) >= want) {
      return; /* it is at it, or waits for its time */
    }
    atomic_store(&node->want, want);
    kick(engine);
  } else {
    doubt_masters(engine, RLC__IN_TROUBLE);
  }
}

void rlc__engine_touch(rlc__engine *engine, int64_t now_us) {
  if (engine->config->topology == RLC__SENTINEL &&
      now_us - atomic_load_explicit(&engine->asked_us, memory_order_relaxed) > KICK_US) {
    kick(engine);
  }
}

void rlc__engine_doubt(rlc__engine *engine, rlc__node *node, int serves) {
  int64_t now = rlc__clock_monotonic_us();
  int64_t last = atomic_load(&engine->doubted_us);

  if (!rlc__engine_is_single(engine)) {
    doubt_masters(engine, serves ? RLC__MOVED_ON : RLC__IN_TROUBLE);
  } else if (now - last >= DOUBT_US &&
             atomic_compare_exchange_strong(&engine->doubted_us, &last, now)) {
    atomic_store(&node->look_again, 1);
    atomic_store(&node->doubted, 1);
    kick(engine);
  }
}

int rlc__engine_is_lost(rlc__engine *engine, unsigned slot, char why[RLC_MESSAGE_SIZE]) {
  int error = atomic_load(&engine->lost);

  if (error != 0) {
    pthread_mutex_lock(&engine->mutex);
    memcpy(why, engine->why, RLC_MESSAGE_SIZE);
    pthread_mutex_unlock(&engine->mutex);
    return error;
  }
  if (atomic_load(&engine->mapped) && rlc__engine_node(engine, slot) == NULL) {
    (void)rlc__fail(0, why, RLC_MESSAGE_SIZE, "no server of the cluster serves slot %u", slot);
    return RLC__ERR_UNAVAILABLE;
  }
  return 0;
}

uint32_t rlc__engine_news(const rlc__engine *engine) {
  return atomic_load(&engine->news);
}

int rlc__engine_probe(rlc__engine *engine) {
  int state = atomic_load(&engine->probe);

  if (state == PROBE_NONE) {
    atomic_store(&engine->probe_asked_us, rlc__clock_monotonic_us());
    if (atomic_compare_exchange_strong(&engine->probe, &state, PROBE_WANTED)) {
      kick(engine);
    }
    return 0;
  }
  if (state == PROBE_WANTED ||
      !atomic_compare_exchange_strong(&engine->probe, &state, PROBE_NONE)) {
    return 0;
  }
  return state == PROBE_PASSED ? 1 : -1;
}

/* --- new and del --------------------------------------------------------------------------- */

int rlc__engine_new(rlc__engine **out, const rlc__client_config *config, rlc__shared *shared,
                    const rlc__log *log) {
  rlc__engine *e = calloc(1, sizeof *e);
  pthread_condattr_t monotonic;
  int64_t patience = 4 * config->timeout_us;

  *out = NULL;
  if (e == NULL) {
    return RLC_ERR_NOMEM;
  }
  e->config = config;
  e->shared = shared;
  e->log = log;
  e->patience_us = patience > 1000000 ? patience : 1000000;
  e->connect_us = patience < 250000 ? 250000 : patience > 1000000 ? 1000000 : patience;
  e->random = (uint32_t)rlc__clock_monotonic_us() ^ (uint32_t)(uintptr_t)e;
  if (pthread_mutex_init(&e->mutex, NULL) != 0 || pthread_condattr_init(&monotonic) != 0) {
    free(e);
    return RLC_ERR_SYSTEM;
  }
  (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  (void)pthread_cond_init(&e->wake, &monotonic);
  pthread_condattr_destroy(&monotonic);
  if (rlc__engine_is_single(e) && rlc__engine_find(e, &config->servers[0]) == 0) {
    rlc__engine_del(e);
    return RLC_ERR_NOMEM;
  }
  *out = e;
  return 0;
}

void rlc__engine_del(rlc__engine *engine) {
  int started;

  if (engine == NULL) {
    return;
  }
  atomic_store(&engine->stop, 1);
  pthread_mutex_lock(&engine->mutex);
  started = engine->started;
  pthread_cond_signal(&engine->wake);
  pthread_mutex_unlock(&engine->mutex);
  if (started) {
    pthread_join(engine->thread, NULL);
  }
  rlc__discovery_close(engine);
  for (unsigned i = 0; i < atomic_load(&engine->n); ++i) {
    rlc__node_del(atomic_load(&engine->node[i]));
  }
  pthread_cond_destroy(&engine->wake);
  pthread_mutex_destroy(&engine->mutex);
  free(engine->waiter);
  free(engine);
}

void rlc__engine_forget(rlc__engine *engine) {
  rlc__connection *alone[] = {engine->dialed, engine->told_by};

  for (int i = 0; i < 2; ++i) {
    if (alone[i] != NULL) {
      rlc__stream_forget(&alone[i]->stream);
    }
  }
  for (unsigned i = 0; i < atomic_load(&engine->n); ++i) {
    rlc__node_forget(atomic_load(&engine->node[i]));
  }
}
