/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_NODE_H
#define RLCORE_NODE_H

#include "redis/lane.h"
#include "redis/lookup.h"

/*
 * One server, and the lanes of this process to it. A node is never freed while its engine lives; where
 * it leads may change (a failover), which ends its lanes. Threads pick lanes; the helper thread alone
 * dials.
 */
typedef struct rlc__node {
  pthread_mutex_t mutex; /* over endpoint */
  rlc__endpoint endpoint;
  _Atomic unsigned failures; /* attempts to connect that failed in a row */
  _Atomic unsigned want;     /* how many lanes should be open; 0: nobody asked */
  _Atomic int64_t asked_us;  /* when somebody did */
  _Atomic int doubted;       /* it said that it is no master */
  _Atomic int moved;         /* since the helper followed last */
  _Atomic int64_t down_us;   /* when it said last that the cluster is down; 0: never */
  unsigned n;
  rlc__lane *lane;
  char why[RLC_MESSAGE_SIZE]; /* of the last failure; under the mutex */
  int error;                  /* the same */

  /* The helper's own. */
  rlc__addresses addresses;
  _Atomic int look_again; /* the addresses did not serve */
  int64_t next_try_us;
  int64_t counted_us; /* since when `dials` counts connections that were made */
  unsigned dials;
} rlc__node;

int rlc__node_new(rlc__node **out, const rlc__endpoint *endpoint, unsigned lanes,
                  int64_t patience_us, _Atomic uint64_t *late, _Atomic uint64_t *lost);
void rlc__node_del(rlc__node *node);
void rlc__node_forget(rlc__node *node);

rlc__endpoint rlc__node_where(rlc__node *node);
/* For the helper: the same, and what it knew of another place is forgotten. */
rlc__endpoint rlc__node_follow(rlc__node *node);
/* Leads the node elsewhere. From any thread. */
void rlc__node_move(rlc__node *node, const rlc__endpoint *endpoint);
/* Ends its lanes: see rlc__lane_cut. */
void rlc__node_cut(rlc__node *node, int silent_only, int64_t since_us, const char *why);

/* Returns an open lane for a caller, or NULL: one that nobody uses, else the least used, of as many lanes
 * as there are callers for. The caller gives it back with `leave`. |*more| is set where another lane would
 * serve better. */
rlc__lane *rlc__node_pick(rlc__node *node, int *more);
/* The same for one who sends much at once and waits for none of it: the same lane |id| each time, where
 * that is open. */
rlc__lane *rlc__node_pick_by_id(rlc__node *node, uint64_t id);
void rlc__node_leave(rlc__lane *lane);
unsigned rlc__node_open_lanes(const rlc__node *node);
/* Returns 0, or where it has no open lane what the last attempt to open one failed by, an
 * rlc__error; why. */
int rlc__node_has_failed(rlc__node *node, char why[RLC_MESSAGE_SIZE]);

/* For the helper: connects and logs in as |login|, within |deadline_us|, to the first address that
 * works. Returns 0 and an open connection, or an rlc__error with a sentence in |why|. |*out| is
 * there already while it dials, and NULL again before it is freed: for a process that is forked
 * meanwhile. */
int rlc__node_dial(const rlc__endpoint *endpoint, rlc__addresses *addresses, _Atomic int *look_again,
                   const rlc__login *login, int64_t deadline_us, const _Atomic int *stop,
                   _Atomic(rlc__connection *) *out, char why[RLC_MESSAGE_SIZE]);

#endif
