/* SPDX-License-Identifier: Apache-2.0 */
#include <hiredis/hiredis.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "redis/cluster.h"
#include "redis/engine_parts.h"
#include "redis/sentinel.h"

/* Between two questions for masters: while somebody cannot reach his; and else, since a cluster's
 * servers name the master with each MOVED, and as a watch on sentinels. */
#define TROUBLE_US INT64_C(250000)
#define WATCH_US INT64_C(1000000)

/* --- one server ---------------------------------------------------------------------------- */

static int take_range(void *user, unsigned first, unsigned last, const rlc__endpoint *master) {
  rlc__engine *e = user;
  unsigned at = rlc__engine_find(e, master);

  for (unsigned slot = first; at != 0 && slot <= last; ++slot) {
    if (atomic_load_explicit(&e->slot[slot], memory_order_relaxed) != at) {
      atomic_store_explicit(&e->slot[slot], (uint16_t)at, memory_order_release);
      e->changed = 1;
    }
  }
  return 0;
}

static int ask_slots(rlc__engine *e, rlc__connection *c, const rlc__endpoint *asked,
                     int64_t deadline_us, char why[RLC_MESSAGE_SIZE]) {
  const char *argv[] = {"CLUSTER", "SLOTS"};
  redisReply *reply = NULL;
  int rv = rlc__connection_call(c, 2, argv, deadline_us, &reply);

  if (rv != 0) {
    memcpy(why, c->why, RLC_MESSAGE_SIZE);
  } else {
    rv = rlc__cluster_read_slots(reply, asked, take_range, e);
    if (rv != 0) {
      rlc__fail(0, why, RLC_MESSAGE_SIZE, "it does not tell the cluster's slots%s",
                reply->type == REDIS_REPLY_ERROR
                    ? ": it may be no cluster, or its access list forbids CLUSTER SLOTS"
                    : "");
    } else if (!atomic_exchange(&e->mapped, 1)) {
      e->changed = 1;
    }
  }
  freeReplyObject(reply);
  return rv;
}

static void take_master(rlc__engine *e, const rlc__endpoint *master) {
  rlc__node *node;
  rlc__endpoint known;

  if (atomic_load(&e->n) == 0) {
    e->changed = rlc__engine_find(e, master) != 0;
    return;
  }
  node = atomic_load(&e->node[0]);
  known = rlc__node_where(node);
  if (!rlc__endpoint_equal(&known, master)) {
    char from[RLC__ENDPOINT_TEXT];
    char to[RLC__ENDPOINT_TEXT];

    rlc__node_move(node, master);
    rlc__dialer_want(node); /* a breaker may keep everybody else from asking */
    e->changed = 1;
    rlc__log_write(e->log, RLC_LOG_WARNING, "RLC0307",
                   "the sentinels name another master for \"%s\": redis at %s, not %s",
                   e->config->master, rlc__endpoint_format(master, to),
                   rlc__endpoint_format(&known, from));
  }
}

static int ask_sentinel(rlc__engine *e, rlc__connection *c, int64_t deadline_us,
                        char why[RLC_MESSAGE_SIZE]) {
  const char *argv[] = {"SENTINEL", "GET-MASTER-ADDR-BY-NAME", e->config->master};
  redisReply *reply = NULL;
  rlc__endpoint master;
  int rv = rlc__connection_call(c, 3, argv, deadline_us, &reply);

  if (rv != 0) {
    memcpy(why, c->why, RLC_MESSAGE_SIZE);
  } else {
    rv = rlc__sentinel_read_master(reply, &master, why, RLC_MESSAGE_SIZE);
  }
  if (rv == 0) {
    take_master(e, &master);
  }
  freeReplyObject(reply);
  return rv;
}

static int ask(rlc__engine *e, rlc__connection *c, const rlc__endpoint *asked, int64_t deadline_us,
               char why[RLC_MESSAGE_SIZE]) {
  return e->config->topology == RLC__CLUSTER ? ask_slots(e, c, asked, deadline_us, why)
                                             : ask_sentinel(e, c, deadline_us, why);
}

/* --- the connection that is kept ----------------------------------------------------------- */

/* A watch of each process each second: a connection made anew for each would cost more than all
 * decisions of a quiet server. */
void rlc__discovery_close(rlc__engine *e) {
  rlc__dialer_hang_up(&e->told_by);
}

static int ask_kept(rlc__engine *e, char why[RLC_MESSAGE_SIZE]) {
  int rv = RLC__ERR_UNAVAILABLE;

  if (e->told_by != NULL) {
    rv = ask(e, e->told_by, &e->told_at, rlc__clock_monotonic_us() + e->connect_us, why);
    if (rv != 0) {
      rlc__discovery_close(e);
    }
  }
  return rv;
}

static int ask_at(rlc__engine *e, const rlc__endpoint *endpoint, rlc__addresses *addresses,
                  _Atomic int *look_again, char why[RLC_MESSAGE_SIZE]) {
  rlc__login login = rlc__dialer_login(e, e->config->topology == RLC__SENTINEL);
  int64_t deadline = rlc__clock_monotonic_us() + e->connect_us;
  int rv = rlc__node_dial(endpoint, addresses, look_again, &login, deadline, &e->stop, &e->told_by,
                          why);

  if (rv == 0) {
    rv = ask(e, e->told_by, endpoint, deadline, why);
  }
  if (rv == 0) {
    e->told_at = *endpoint;
  } else {
    rlc__discovery_close(e);
  }
  return rv;
}

/* --- one after the other ------------------------------------------------------------------- */

/* Asks the cluster's servers that are known to be there, beginning with any of them, so that those
 * who all ask at once do not all ask the same. */
static int ask_nodes(rlc__engine *e, char why[RLC_MESSAGE_SIZE]) {
  unsigned n = atomic_load(&e->n);
  unsigned first = n > 0 ? (unsigned)rlc__engine_jitter(e, INT64_C(2) * n) % n : 0;
  int rv = RLC__ERR_UNAVAILABLE;

  for (int connected = 1; connected >= 0; --connected) {
    for (unsigned i = 0; i < n && rv != 0 && !atomic_load(&e->stop); ++i) {
      rlc__node *node = atomic_load(&e->node[(first + i) % n]);
      rlc__endpoint endpoint = rlc__node_follow(node);

      if (atomic_load(&node->failures) == 0 &&
          connected == (rlc__node_open_lanes(node) > 0)) {
        rv = ask_at(e, &endpoint, &node->addresses, &node->look_again, why);
      }
    }
  }
  return rv;
}

static const char *kind_of_seed(const rlc__engine *e) {
  return e->config->topology == RLC__CLUSTER ? "the cluster's server" : "the sentinel";
}

/* Asks the servers of the URL. One line a time that one stops or begins to serve. */
static int ask_seeds(rlc__engine *e, char why[RLC_MESSAGE_SIZE]) {
  unsigned n = (unsigned)e->config->n;
  int rv = RLC__ERR_UNAVAILABLE;

  for (unsigned i = 0; i < n && rv != 0 && !atomic_load(&e->stop); ++i) {
    unsigned at = (e->first_seed + i) % n;
    rlc__seed *seed = &e->seed[at];
    char name[RLC__ENDPOINT_TEXT];
    char text[RLC_MESSAGE_SIZE] = "";

    rlc__endpoint_format(&e->config->servers[at], name);
    rv = ask_at(e, &e->config->servers[at], &seed->addresses, &seed->look_again, text);
    if (rv == 0) {
      e->first_seed = at;
    } else {
      rlc__fail(0, why, RLC_MESSAGE_SIZE, "%s at %s: %s", kind_of_seed(e), name, text);
    }
    if (rv == 0 && seed->failed) {
      rlc__log_write(e->log, RLC_LOG_INFO, "RLC0308", "%s at %s answers again", kind_of_seed(e),
                     name);
    } else if (rv != 0 && !rlc__engine_is_ending(e)) {
      rlc__log_write(e->log, seed->failed ? RLC_LOG_DEBUG : RLC_LOG_WARNING, "RLC0305", "%s", why);
    }
    seed->failed = rv != 0;
  }
  return rv;
}

void rlc__discovery_run(rlc__engine *e) {
  char why[RLC_MESSAGE_SIZE] = "";
  int doubt = atomic_exchange(&e->doubt, RLC__SURE);
  int was_lost = atomic_load(&e->lost);
  int rv;

  e->changed = 0;
  rv = ask_kept(e, why);
  if (rv != 0 && e->config->topology == RLC__CLUSTER) {
    rv = ask_nodes(e, why);
  }
  if (rv != 0) {
    rv = ask_seeds(e, why);
  }
  e->refreshed_us = rlc__clock_monotonic_us();
  e->refresh_share = (unsigned)rlc__engine_jitter(e, 256);
  e->refresh_failures = rv == 0 ? 0 : e->refresh_failures + 1;
  if (rv != 0) {
    (void)rlc__engine_raise_doubt(e, doubt > RLC__MOVED_ON ? doubt : RLC__MOVED_ON);
  }
  pthread_mutex_lock(&e->mutex);
  memcpy(e->why, why, sizeof e->why);
  pthread_mutex_unlock(&e->mutex);
  atomic_store(&e->lost, rv);
  if (e->changed || rv != 0 || was_lost) {
    rlc__engine_changed(e);
  }
}

int rlc__discovery_distrust(rlc__engine *e) {
  int another = ++e->distrusted < e->config->n;

  rlc__discovery_close(e);
  e->first_seed = (e->first_seed + 1) % (unsigned)e->config->n;
  /* Each of them is asked once without a pause. */
  if (another) {
    e->refreshed_us = 0;
  }
  (void)rlc__engine_raise_doubt(e, RLC__IN_TROUBLE);
  return another;
}

int64_t rlc__discovery_due(const rlc__engine *e, int64_t now) {
  int doubt = atomic_load(&e->doubt);
  int trouble = rlc__dialer_is_in_trouble(e);
  int64_t pause = trouble || doubt == RLC__IN_TROUBLE ? TROUBLE_US : WATCH_US;

  if (rlc__engine_is_single(e) ||
      (!trouble && now - atomic_load(&e->asked_us) > RLC__WANTED_US)) {
    return now + RLC__NEVER_US;
  }
  if (e->refresh_failures > 0) {
    pause = RLC__FIRST_PAUSE_US << (e->refresh_failures < 7 ? e->refresh_failures : 6);
  } else if (!trouble && doubt == RLC__SURE && e->config->topology == RLC__CLUSTER) {
    return now + RLC__NEVER_US;
  }
  return e->refreshed_us + pause * e->refresh_share / 256;
}
