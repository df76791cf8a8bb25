/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "redis/engine_parts.h"

/* A node may lead elsewhere once nobody asked for it in so long, no request's, but years of moving
 * containers' in a cluster would fill the table. */
#define FORGOTTEN_US INT64_C(60000000)
/* How long it counts that a node said the cluster is down. */
#define DOWN_US INT64_C(2000000)

rlc__node *rlc__engine_node(rlc__engine *engine, unsigned slot) {
  unsigned at = 1;

  if (engine->config->topology == RLC__CLUSTER) {
    at = atomic_load_explicit(&engine->slot[slot % RLC__SLOTS], memory_order_acquire);
  } else if (atomic_load(&engine->n) == 0) {
    at = 0;
  }
  return at == 0 ? NULL : atomic_load_explicit(&engine->node[at - 1], memory_order_acquire);
}

/* Returns the index plus 1 of a node that nobody misses, or 0. Called with the lock held. */
static unsigned find_forgotten(rlc__engine *e) {
  int64_t now = rlc__clock_monotonic_us();
  unsigned char owns[RLC__MAX_NODES + 1] = {0};

  for (unsigned slot = 0; slot < RLC__SLOTS; ++slot) {
    owns[atomic_load_explicit(&e->slot[slot], memory_order_relaxed)] = 1;
  }
  for (unsigned at = 1; at <= atomic_load(&e->n); ++at) {
    rlc__node *node = atomic_load(&e->node[at - 1]);

    if (!owns[at] && now - atomic_load(&node->asked_us) > FORGOTTEN_US &&
        rlc__node_open_lanes(node) == 0) {
      return at;
    }
  }
  return 0;
}

static unsigned add(rlc__engine *e, const rlc__endpoint *endpoint) {
  unsigned n = atomic_load(&e->n);
  rlc__node *node;

  if (n == RLC__MAX_NODES) {
    unsigned at = find_forgotten(e);

    if (at != 0) {
      node = atomic_load(&e->node[at - 1]);
      atomic_store(&node->asked_us, rlc__clock_monotonic_us());
      rlc__node_move(node, endpoint);
    }
    return at;
  }
  if (rlc__node_new(&node, endpoint, e->config->connections, e->patience_us, &e->shared->late,
                    &e->shared->lost) != 0) {
    return 0;
  }
  atomic_store_explicit(&e->node[n], node, memory_order_release);
  atomic_store(&e->n, n + 1);
  return n + 1;
}

unsigned rlc__engine_find(rlc__engine *e, const rlc__endpoint *endpoint) {
  unsigned at = 0;

  pthread_mutex_lock(&e->mutex);
  for (unsigned i = 0; i < atomic_load(&e->n) && at == 0; ++i) {
    rlc__endpoint known = rlc__node_where(atomic_load(&e->node[i]));

    if (rlc__endpoint_equal(&known, endpoint)) {
      at = i + 1;
    }
  }
  if (at == 0) {
    at = add(e, endpoint);
  }
  pthread_mutex_unlock(&e->mutex);
  return at;
}

rlc__node *rlc__engine_redirect(rlc__engine *engine, unsigned slot, const rlc__endpoint *endpoint,
                                int owns) {
  unsigned at = engine->config->topology == RLC__CLUSTER ? rlc__engine_find(engine, endpoint) : 0;

  if (at != 0 && owns && slot < RLC__SLOTS) {
    atomic_store_explicit(&engine->slot[slot], (uint16_t)at, memory_order_release);
  }
  return at != 0 ? atomic_load(&engine->node[at - 1]) : NULL;
}

/* Whether |node| serves, as far as is known. */
static int is_well(const rlc__node *node) {
  int64_t down = atomic_load(&node->down_us);

  return atomic_load(&node->failures) == 0 && rlc__node_open_lanes(node) > 0 &&
         (down == 0 || rlc__clock_monotonic_us() - down > DOWN_US);
}

int rlc__engine_has_others(rlc__engine *engine, const rlc__node *node) {
  if (engine->config->topology != RLC__CLUSTER) {
    return 0;
  }
  for (unsigned i = 0; i < atomic_load(&engine->n); ++i) {
    const rlc__node *other = atomic_load(&engine->node[i]);

    if (other != node && is_well(other)) {
      return 1;
    }
  }
  return 0;
}
