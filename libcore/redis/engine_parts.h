/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_ENGINE_PARTS_H
#define RLCORE_ENGINE_PARTS_H

#include "redis/cluster.h"
#include "redis/engine.h"

/*
 * What the parts of an engine share: nodes.c keeps the servers, dialer.c connects them, discovery.c
 * asks who is master, engine.c runs the two in the helper thread. Nobody else includes this.
 */

#define RLC__MAX_NODES 1024
#define RLC__FIRST_PAUSE_US INT64_C(20000) /* between attempts; doubled by each that fails */
#define RLC__LONGEST_PAUSE_US INT64_C(2000000)
#define RLC__WANTED_US INT64_C(10000000) /* what nobody asked for in so long is let be */
#define RLC__NEVER_US INT64_C(3600000000)

/* How much there is to doubt of who is master. */
enum { RLC__SURE, RLC__MOVED_ON, RLC__IN_TROUBLE };

/* A server of the URL that is asked for masters: a sentinel, or one of a cluster. */
typedef struct rlc__seed {
  rlc__addresses addresses;
  _Atomic int look_again;
  int failed;
} rlc__seed;

struct rlc__engine {
  const rlc__client_config *config;
  rlc__shared *shared;
  const rlc__log *log;
  int64_t connect_us;
  int64_t patience_us;
  pthread_t thread;
  pthread_mutex_t mutex; /* over started, kicked, nodes' number, why, waiters */
  pthread_cond_t wake;
  int started;
  int kicked;
  char why[RLC_MESSAGE_SIZE];
  rlc__waiter **waiter;
  size_t waiters;
  _Atomic int stop;
  _Atomic int lost;   /* 0, or an rlc__error: nobody could tell who is master */
  _Atomic int mapped; /* a cluster told its slots */
  _Atomic int doubt;
  _Atomic uint32_t changes;
  _Atomic uint32_t news;
  _Atomic int probe;
  _Atomic int64_t probe_asked_us; /* when one was wanted last */
  _Atomic int64_t asked_us;
  _Atomic int64_t doubted_us;
  _Atomic unsigned n;
  _Atomic(rlc__node *) node[RLC__MAX_NODES];
  _Atomic uint16_t slot[RLC__SLOTS]; /* the index of its master's node plus 1 */

  /* Connections that no lane has, NULL for none: a forked child closes their descriptors. */
  _Atomic(rlc__connection *) dialed;  /* to a node */
  _Atomic(rlc__connection *) told_by; /* to who is asked for masters; kept while it answers */

  /* The helper's own. */
  uint32_t random;
  rlc__seed seed[RLC__MAX_SERVERS];
  unsigned first_seed;         /* asked first */
  rlc__endpoint told_at;       /* where |told_by| leads */
  int64_t refreshed_us;        /* when masters were asked for last */
  unsigned refresh_failures;
  unsigned refresh_share;      /* of the pause until the next time, in 256ths */
  unsigned distrusted;         /* named masters in a row that were none, or did not answer */
  int misled;                  /* the last such one is a replica */
  int changed;                 /* what a refresh told was new */
};

static inline int rlc__engine_is_single(const rlc__engine *e) {
  return e->config->topology == RLC__SINGLE;
}

/* Whether the client is deleted, or the process ends: what fails by then is nobody's fault. */
int rlc__engine_is_ending(const rlc__engine *e);
/* Tells who waits that something is new. */
void rlc__engine_changed(rlc__engine *e);
/* Raises the doubt. Returns whether it was less. */
int rlc__engine_raise_doubt(rlc__engine *e, int to);
/* Returns half of |span| to all of it. */
int64_t rlc__engine_jitter(rlc__engine *e, int64_t span);

/* nodes.c: returns the index of the node at |endpoint| plus 1, new if need be; or 0. */
unsigned rlc__engine_find(rlc__engine *e, const rlc__endpoint *endpoint);

/* dialer.c, of the helper: */

rlc__login rlc__dialer_login(const rlc__engine *e, int to_sentinel);
/* Closes |*c|, if there is one. */
void rlc__dialer_hang_up(_Atomic(rlc__connection *) *c);
/* Makes one attempt to connect one node, if one is due: of several the one in the best of health,
 * so that the dead hold up the living for no longer than one attempt. Returns when to look again. */
int64_t rlc__dialer_serve(rlc__engine *e);
void rlc__dialer_want(rlc__node *node);
/* Whether a node that is wanted cannot be reached. */
int rlc__dialer_is_in_trouble(const rlc__engine *e);
/* Returns whether one server answers; silent connections to it are replaced. */
int rlc__dialer_probe(rlc__engine *e);

/* discovery.c, of the helper: */

/* When masters are to be asked for next; RLC__NEVER_US from now if there is no doubt. */
int64_t rlc__discovery_due(const rlc__engine *e, int64_t now);
void rlc__discovery_run(rlc__engine *e);
/* What the sentinels name is no master, or cannot be reached: another one is asked. Returns whether
 * that is at once, since not all of them have been. */
int rlc__discovery_distrust(rlc__engine *e);
void rlc__discovery_close(rlc__engine *e);

#endif
