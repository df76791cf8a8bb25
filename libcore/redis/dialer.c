/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "redis/advice.h"
#include "redis/engine_parts.h"
#include "redis/sentinel.h"

#define LOGIN_PAUSE_US INT64_C(5000000) /* after a rejected password */
/* A node that was not asked for in so long is no trouble. While a breaker keeps decisions away its
 * probes ask, each 2 s. */
#define TROUBLE_US INT64_C(5000000)

enum { LED_AWAY = 1 }; /* the node is another server now: no failure */

rlc__login rlc__dialer_login(const rlc__engine *e, int to_sentinel) {
  const rlc__client_config *config = e->config;
  rlc__login login = {config->user, config->password, config->db, config->tls, NULL};

  if (to_sentinel) {
    login.user = config->sentinel_user;
    login.password = config->sentinel_password;
    login.db = 0;
  }
  return login;
}

void rlc__dialer_hang_up(_Atomic(rlc__connection *) *c) {
  rlc__connection *closed = *c;

  if (closed != NULL) {
    rlc__connection_close(closed);
    *c = NULL; /* before it is freed: a process forked now looks at it */
    free(closed);
  }
}

/* Says once what the server's settings do to limits. */
static void advise(rlc__engine *e, rlc__connection *c, const rlc__endpoint *endpoint,
                   int64_t deadline_us) {
  static const char *const sections[] = {"memory", "persistence"};
  char text[RLC_MESSAGE_SIZE];
  char name[RLC__ENDPOINT_TEXT];

  if (atomic_exchange(&e->shared->advised, 1)) {
    return;
  }
  for (int i = 0; i < 2 && c->stream.fd >= 0; ++i) {
    const char *argv[] = {"INFO", sections[i]};
    redisReply *reply = NULL;
    size_t len = 0;

    if (rlc__connection_call(c, 2, argv, deadline_us, &reply) == 0 &&
        (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS)) {
      len = i == 0 ? rlc__advice_eviction(reply->str, (size_t)reply->len, text, sizeof text)
                   : rlc__advice_persistence(reply->str, (size_t)reply->len, text, sizeof text);
    }
    freeReplyObject(reply);
    if (len > 0) {
      rlc__log_write(e->log, i == 0 ? RLC_LOG_WARNING : RLC_LOG_INFO,
                     i == 0 ? "RLC0303" : "RLC0304", "redis at %s: %s",
                     rlc__endpoint_format(endpoint, name), text);
    }
  }
}

/* Asks the server at the other end whether it is a master. Returns as rlc__role_is_master; or what
 * broke, with a sentence in |why|. */
static int ask_role(rlc__connection *c, int64_t deadline_us, char why[RLC_MESSAGE_SIZE]) {
  const char *argv[] = {"ROLE"};
  redisReply *reply = NULL;
  int rv = rlc__connection_call(c, 1, argv, deadline_us, &reply);

  if (rv != 0) {
    memcpy(why, c->why, RLC_MESSAGE_SIZE);
  } else {
    rv = rlc__role_is_master(reply);
    if (rv < 0) {
      rlc__fail(0, why, RLC_MESSAGE_SIZE,
                "it does not tell whether it is master: allow the user ROLE");
    }
  }
  freeReplyObject(reply);
  return rv;
}

/* What sentinels said may be old: the server itself has to say that it is master. */
static int check_role(rlc__engine *e, rlc__connection *c, int64_t deadline_us,
                      char why[RLC_MESSAGE_SIZE]) {
  int rv = ask_role(c, deadline_us, why);

  if (rv == 1) {
    e->distrusted = 0;
    return 0;
  }
  if (rv != 0) {
    return rv;
  }
  e->misled = 1;
  return rlc__fail(RLC__ERR_UNAVAILABLE, why, RLC_MESSAGE_SIZE,
                   "the sentinel names it, but it is no master");
}

/* An old master that was silent for a while, or split off, still takes itself for one. So before
 * the first connection is used the sentinels are asked once more: they may have seen to it. */
static int check_named(rlc__engine *e, rlc__node *node, const rlc__endpoint *endpoint,
                       char why[RLC_MESSAGE_SIZE]) {
  rlc__endpoint named;

  if (rlc__node_open_lanes(node) > 0) {
    return 0;
  }
  rlc__discovery_run(e); /* where none is to be had, what they said last holds */
  named = rlc__node_where(node);
  if (!rlc__endpoint_equal(&named, endpoint)) {
    rlc__fail(0, why, RLC_MESSAGE_SIZE, "the sentinels name another master");
    return LED_AWAY;
  }
  return 0;
}

/* One attempt to connect to |node|: the connection is in |e->dialed| afterwards. */
static int dial(rlc__engine *e, rlc__node *node, char why[RLC_MESSAGE_SIZE]) {
  rlc__login login = rlc__dialer_login(e, 0);
  rlc__endpoint endpoint = rlc__node_follow(node);
  int64_t deadline = rlc__clock_monotonic_us() + e->connect_us;
  int rv = rlc__node_dial(&endpoint, &node->addresses, &node->look_again, &login, deadline,
                          &e->stop, &e->dialed, why);

  if (rv == 0 && e->config->topology == RLC__SENTINEL) {
    rv = check_role(e, e->dialed, deadline, why);
    if (rv == 0) {
      rv = check_named(e, node, &endpoint, why);
    }
  }
  if (rv == 0) {
    rlc__connection *c = e->dialed;

    advise(e, c, &endpoint, deadline);
    if (c->stream.fd < 0) {
      rv = rlc__fail(RLC__ERR_UNAVAILABLE, why, RLC_MESSAGE_SIZE, "%s", c->why);
    }
  }
  if (rv != 0) {
    rlc__dialer_hang_up(&e->dialed);
  } else {
    atomic_fetch_add_explicit(&e->shared->connects, 1, memory_order_relaxed);
  }
  return rv;
}

/* A server that takes connections and ends them, each command's anew: news of it would have decisions and
 * dialing drive each other without end. Returns when to dial again: at once, but for a second in which
 * that was much more often than lanes need. */
static int64_t next_dial(rlc__node *node) {
  int64_t now = rlc__clock_monotonic_us();
  unsigned free_dials = 2 * node->n + 8;
  unsigned over;

  if (now - node->counted_us > 1000000) {
    node->counted_us = now;
    node->dials = 0;
  }
  if (++node->dials <= free_dials) {
    return 0;
  }
  over = node->dials - free_dials - 1;
  return now + (RLC__FIRST_PAUSE_US << (over < 6 ? over : 6));
}

/* Gives the dialed connection to a closed lane of |node|. */
static void install(rlc__engine *e, rlc__node *node) {
  rlc__connection *c = atomic_exchange(&e->dialed, NULL); /* a lane's, in a moment */
  unsigned failures = atomic_exchange(&node->failures, 0);
  rlc__endpoint endpoint = rlc__node_where(node);
  char name[RLC__ENDPOINT_TEXT];
  unsigned i = 0;

  node->next_try_us = next_dial(node);
  if (rlc__node_open_lanes(node) == 0) {
    atomic_fetch_add(&e->news, 1);
  }
  while (i < node->n && rlc__lane_install(&node->lane[i], c) != 0) {
    ++i;
  }
  if (i == node->n) { /* closed lanes whose users have yet to leave */
    e->dialed = c;
    rlc__dialer_hang_up(&e->dialed);
    if (node->next_try_us == 0) {
      node->next_try_us = rlc__clock_monotonic_us() + 1000;
    }
  }
  if (failures > 0) {
    rlc__log_write(e->log, RLC_LOG_WARNING, "RLC0306", "connected again to redis at %s",
                   rlc__endpoint_format(&endpoint, name));
  }
}

static void note_failure(rlc__engine *e, rlc__node *node, int error, const char *why) {
  unsigned failures = atomic_load(&node->failures);
  int64_t pause =
      failures < 7 ? RLC__FIRST_PAUSE_US << failures : RLC__LONGEST_PAUSE_US;
  rlc__endpoint endpoint = rlc__node_where(node);
  char name[RLC__ENDPOINT_TEXT];

  if (error == LED_AWAY || rlc__engine_is_ending(e)) {
    return; /* it is not, or may not be, its fault */
  }
  pthread_mutex_lock(&node->mutex);
  memcpy(node->why, why, sizeof node->why);
  node->error = error;
  pthread_mutex_unlock(&node->mutex);
  if (error == RLC__ERR_REFUSED) {
    pause = LOGIN_PAUSE_US;
  }
  node->next_try_us = rlc__clock_monotonic_us() + rlc__engine_jitter(e, pause);
  /* One line a time that it goes away, not one an attempt. */
  rlc__log_write(e->log, failures == 0 ? RLC_LOG_WARNING : RLC_LOG_DEBUG, "RLC0302",
                 "no connection to redis at %s: %s", rlc__endpoint_format(&endpoint, name), why);
  if (e->config->topology == RLC__SENTINEL) {
    int another = rlc__discovery_distrust(e);

    if (e->misled && another) {
      e->misled = 0; /* who waits for a master goes on to: it may be found in a moment */
      return;
    }
    e->misled = 0;
  }
  atomic_fetch_add(&node->failures, 1);
  if (e->config->topology == RLC__CLUSTER) {
    (void)rlc__engine_raise_doubt(e, RLC__IN_TROUBLE);
  }
}

/* --- nodes that are wanted ----------------------------------------------------------------- */

static int is_wanted(rlc__node *node, int64_t now) {
  unsigned want = atomic_load(&node->want);
  unsigned open = rlc__node_open_lanes(node);

  if (atomic_load(&node->doubted) ||
      (open < want && open < node->n && now - atomic_load(&node->asked_us) <= RLC__WANTED_US)) {
    return 1;
  }
  if (want != 0 && atomic_compare_exchange_strong(&node->want, &want, 0) &&
      rlc__node_open_lanes(node) < open) {
    /* A lane was lost meanwhile, and whoever wanted another may have seen the wish still standing. */
    atomic_store(&node->want, want);
    return now - atomic_load(&node->asked_us) <= RLC__WANTED_US;
  }
  return 0;
}

/* Whether |a| is dialed before |b|. */
static int precedes(const rlc__node *a, const rlc__node *b) {
  int a_failed = atomic_load(&a->failures) > 0;
  int b_failed = atomic_load(&b->failures) > 0;

  if (a_failed != b_failed) {
    return b_failed;
  }
  return a_failed ? a->next_try_us < b->next_try_us
                  : rlc__node_open_lanes(a) < rlc__node_open_lanes(b);
}

/* One attempt to connect |node|. Where it answered that it is a replica, its connections give way
 * only to one that leads to a master: behind a name or a balancer that may be another server. */
static void connect_one(rlc__engine *e, rlc__node *node) {
  int doubted = atomic_exchange(&node->doubted, 0);
  char why[RLC_MESSAGE_SIZE];
  int rv = dial(e, node, why);

  if (rv != 0) {
    /* It may have left the cluster: those who wait for it then find its slots elsewhere. */
    if (e->config->topology == RLC__CLUSTER && atomic_load(&node->failures) == 0) {
      rlc__discovery_run(e);
    }
    note_failure(e, node, rv, why);
  } else if (doubted &&
             ask_role(e->dialed, rlc__clock_monotonic_us() + e->connect_us, why) != 1) {
    rlc__dialer_hang_up(&e->dialed);
  } else {
    if (doubted) {
      rlc__node_cut(node, 0, 0, "the server is no master any more");
    }
    install(e, node);
  }
  rlc__engine_changed(e);
}

int64_t rlc__dialer_serve(rlc__engine *e) {
  int64_t now = rlc__clock_monotonic_us();
  int64_t next = now + RLC__NEVER_US;
  rlc__node *first = NULL;

  for (unsigned i = 0; i < atomic_load(&e->n); ++i) {
    rlc__node *node = atomic_load(&e->node[i]);

    if (!is_wanted(node, now)) {
      continue;
    }
    if (atomic_load(&node->moved)) {
      (void)rlc__node_follow(node);
    }
    if (now < node->next_try_us) {
      next = node->next_try_us < next ? node->next_try_us : next;
    } else if (first == NULL || precedes(node, first)) {
      first = node;
    }
  }
  if (first != NULL) {
    connect_one(e, first);
    return now;
  }
  return next;
}

int rlc__dialer_is_in_trouble(const rlc__engine *e) {
  int64_t now = rlc__clock_monotonic_us();

  for (unsigned i = 0; i < atomic_load(&e->n); ++i) {
    const rlc__node *node = atomic_load(&e->node[i]);

    if (atomic_load(&node->failures) > 0 && now - atomic_load(&node->asked_us) < TROUBLE_US) {
      return 1;
    }
  }
  return 0;
}

/* --- the probe ----------------------------------------------------------------------------- */

/* Has |node| dialed, whoever asks. */
void rlc__dialer_want(rlc__node *node) {
  unsigned none = 0;

  atomic_store(&node->asked_us, rlc__clock_monotonic_us());
  atomic_compare_exchange_strong(&node->want, &none, 1);
}

/* One that does not answer loses its old connections as well: if they served, nobody would have
 * probed. Those that have served since are left alone: another has found the way back meanwhile. It
 * is dialed again, and another master looked for, while a breaker waits. */
static int probe_one(rlc__engine *e, rlc__node *node) {
  int64_t asked_us = atomic_load(&e->probe_asked_us);
  char why[RLC_MESSAGE_SIZE];
  int rv = dial(e, node, why);

  if (rv != 0) {
    rlc__node_cut(node, rv == RLC__ERR_REFUSED, asked_us, why);
    note_failure(e, node, rv, why);
    rlc__dialer_want(node);
    return 0;
  }
  rlc__node_cut(node, 1, asked_us, "the server is silent: its connection was given up");
  install(e, node);
  return 1;
}

/* Those in good health come first, and last those that nobody asks for. */
static int rank(const rlc__node *node, int64_t now) {
  if (rlc__node_open_lanes(node) == 0 && now - atomic_load(&node->asked_us) > RLC__WANTED_US) {
    return 2;
  }
  return atomic_load(&node->failures) > 0;
}

int rlc__dialer_probe(rlc__engine *e) {
  unsigned n = atomic_load(&e->n);
  int64_t now = rlc__clock_monotonic_us();
  unsigned char ranks[RLC__MAX_NODES];

  for (unsigned i = 0; i < n; ++i) {
    ranks[i] = (unsigned char)rank(atomic_load(&e->node[i]), now);
  }
  for (int turn = 0; turn <= 2; ++turn) {
    for (unsigned i = 0; i < n && !atomic_load(&e->stop); ++i) {
      if (ranks[i] == turn && probe_one(e, atomic_load(&e->node[i]))) {
        return 1;
      }
    }
  }
  return 0;
}
