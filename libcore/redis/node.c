/* SPDX-License-Identifier: Apache-2.0 */
#include "redis/node.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"

int rlc__node_new(rlc__node **out, const rlc__endpoint *endpoint, unsigned lanes,
                  int64_t patience_us, _Atomic uint64_t *late, _Atomic uint64_t *lost) {
  rlc__node *node = calloc(1, sizeof *node);

  *out = NULL;
  if (node == NULL || pthread_mutex_init(&node->mutex, NULL) != 0) {
    free(node);
    return RLC_ERR_NOMEM;
  }
  node->endpoint = *endpoint;
  node->lane = calloc(lanes, sizeof *node->lane);
  while (node->lane != NULL && node->n < lanes &&
         rlc__lane_init(&node->lane[node->n], patience_us, late, lost) == 0) {
    ++node->n;
  }
  if (node->n < lanes) {
    rlc__node_del(node);
    return RLC_ERR_NOMEM;
  }
  *out = node;
  return 0;
}

void rlc__node_del(rlc__node *node) {
  if (node == NULL) {
    return;
  }
  for (unsigned i = 0; i < node->n; ++i) {
    rlc__lane_destroy(&node->lane[i]);
  }
  free(node->lane);
  pthread_mutex_destroy(&node->mutex);
  free(node);
}

void rlc__node_forget(rlc__node *node) {
  for (unsigned i = 0; i < node->n; ++i) {
    rlc__lane_forget(&node->lane[i]);
  }
}

rlc__endpoint rlc__node_where(rlc__node *node) {
  rlc__endpoint endpoint;

  pthread_mutex_lock(&node->mutex);
  endpoint = node->endpoint;
  pthread_mutex_unlock(&node->mutex);
  return endpoint;
}

void rlc__node_cut(rlc__node *node, int silent_only, int64_t since_us, const char *why) {
  for (unsigned i = 0; i < node->n; ++i) {
    rlc__lane_cut(&node->lane[i], silent_only, since_us, why);
  }
}

rlc__endpoint rlc__node_follow(rlc__node *node) {
  rlc__endpoint endpoint;

  pthread_mutex_lock(&node->mutex);
  endpoint = node->endpoint;
  if (atomic_exchange(&node->moved, 0)) {
    node->addresses.n = 0;
    node->next_try_us = 0;
  }
  pthread_mutex_unlock(&node->mutex);
  return endpoint;
}

void rlc__node_move(rlc__node *node, const rlc__endpoint *endpoint) {
  pthread_mutex_lock(&node->mutex);
  node->endpoint = *endpoint;
  atomic_store(&node->moved, 1);
  pthread_mutex_unlock(&node->mutex);
  atomic_store(&node->failures, 0);
  rlc__node_cut(node, 0, 0, "the master is another server now");
}

unsigned rlc__node_open_lanes(const rlc__node *node) {
  unsigned n = 0;

  for (unsigned i = 0; i < node->n; ++i) {
    n += atomic_load_explicit(&node->lane[i].is_open, memory_order_relaxed) != 0;
  }
  return n;
}

int rlc__node_has_failed(rlc__node *node, char why[RLC_MESSAGE_SIZE]) {
  int error;

  if (atomic_load(&node->failures) == 0 || rlc__node_open_lanes(node) > 0) {
    return 0;
  }
  pthread_mutex_lock(&node->mutex);
  memcpy(why, node->why, RLC_MESSAGE_SIZE);
  error = node->error;
  pthread_mutex_unlock(&node->mutex);
  return error;
}

/* How many lanes |callers| share, as measured with tests/bench/bench_share.c. One each for a few: as fast
 * as connections of their own, and nobody waits for another's reading. More than that gather on two: their
 * commands travel in batches, the one lane's while the other's are being answered, and the server reads
 * once for many. A crowd takes further lanes: beyond ten or so a larger batch saves nothing, and a reader
 * has so many threads to wake. */
static unsigned lanes_for(unsigned callers) {
  const unsigned few = 4;
  const unsigned crowd = 16; /* callers on a lane */

  return callers <= few ? callers : callers <= 2 * crowd ? 2 : (callers + crowd - 1) / crowd;
}

rlc__lane *rlc__node_pick(rlc__node *node, int *more) {
  rlc__lane *best = NULL;
  unsigned least = 0;
  unsigned callers = 1;
  unsigned wanted;
  unsigned open = 0;

  for (unsigned i = 0; i < node->n; ++i) {
    callers += atomic_load_explicit(&node->lane[i].users, memory_order_relaxed);
  }
  wanted = lanes_for(callers);
  wanted = wanted < node->n ? wanted : node->n;
  for (unsigned i = 0; i < node->n && open < wanted; ++i) {
    rlc__lane *lane = &node->lane[i];
    unsigned users = atomic_load_explicit(&lane->users, memory_order_relaxed);

    if (atomic_load_explicit(&lane->is_open, memory_order_acquire)) {
      ++open;
      if (users == 0 && atomic_compare_exchange_strong(&lane->users, &users, 1)) {
        *more = 0;
        return lane;
      }
      if (best == NULL || users < least) {
        best = lane;
        least = users;
      }
    }
  }
  *more = open < wanted;
  if (best != NULL) {
    atomic_fetch_add(&best->users, 1);
  }
  return best;
}

rlc__lane *rlc__node_pick_by_id(rlc__node *node, uint64_t id) {
  for (unsigned i = 0; i < node->n; ++i) {
    rlc__lane *lane = &node->lane[(id + i) % node->n];

    if (atomic_load_explicit(&lane->is_open, memory_order_acquire)) {
      atomic_fetch_add(&lane->users, 1);
      return lane;
    }
  }
  return NULL;
}

void rlc__node_leave(rlc__lane *lane) {
  atomic_fetch_sub(&lane->users, 1);
}

int rlc__node_dial(const rlc__endpoint *endpoint, rlc__addresses *addresses, _Atomic int *look_again,
                   const rlc__login *login, int64_t deadline_us, const _Atomic int *stop,
                   _Atomic(rlc__connection *) *out, char why[RLC_MESSAGE_SIZE]) {
  rlc__login as = *login;
  rlc__connection *c;
  int rv;

  *out = NULL;
  if (addresses->n == 0 || *look_again) {
    rlc__addresses found;

    rv = rlc__lookup(&found, endpoint, deadline_us, stop, why, RLC_MESSAGE_SIZE);
    if (rv == 0) {
      *addresses = found;
    } else if (addresses->n == 0) { /* else what it was before is tried again */
      return rv == RLC__ERR_TIMEOUT ? rv : RLC__ERR_UNAVAILABLE;
    }
    *look_again = 0;
    deadline_us += rv == 0 ? 0 : 250000;
  }
  c = calloc(1, sizeof *c);
  if (c == NULL) {
    return rlc__fail(RLC__ERR_UNAVAILABLE, why, RLC_MESSAGE_SIZE, "out of memory");
  }
  rlc__connection_init(c);
  *out = c;
  as.host = endpoint->host;
  rv = rlc__fail(RLC__ERR_UNAVAILABLE, why, RLC_MESSAGE_SIZE, "the client was ended");
  for (size_t i = 0; i < addresses->n && !atomic_load(stop); ++i) {
    int64_t now = rlc__clock_monotonic_us();

    rv = rlc__connection_open(c, &as, &addresses->at[i],
                              now + (deadline_us - now) / (int64_t)(addresses->n - i));
    if (rv == 0) {
      rlc__address first = addresses->at[0];

      addresses->at[0] = addresses->at[i]; /* tried first from now on */
      addresses->at[i] = first;
      return 0;
    }
    memcpy(why, c->why, RLC_MESSAGE_SIZE);
  }
  *out = NULL;
  rlc__connection_close(c);
  free(c);
  *look_again = 1;
  return rv;
}
