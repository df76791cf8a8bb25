/* SPDX-License-Identifier: Apache-2.0 */
#include "redis/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/memory.h"

struct rlc__pool {
  rlc_memory memory;
  pthread_mutex_t mutex; /* over what follows, and the links' members but their connections */
  rlc__link *idle;
  rlc__link *all;
  rlc__link *lost; /* of the parent's, used by another thread of it at the fork: never touched */
  size_t idle_n;
  size_t idle_most;
  /* Whose pool this is: a process id; its negative while that process takes the pool over. */
  _Atomic int owner;
};

static void link_del(rlc__pool *pool, rlc__link *link) {
  rlc__connection_close(&link->connection);
  EVP_MD_CTX_free(link->hash);
  rlc__free(&pool->memory, link);
}

/* --- fork ---------------------------------------------------------------------------------- */

/* Drops all connections. Of one that another thread was using when the process forked, only the
 * descriptor is closed: its memory was copied in the middle of a change, and stays as it is. */
static void drop_all(rlc__pool *pool) {
  while (pool->all != NULL) {
    rlc__link *link = pool->all;

    pool->all = link->next;
    if (!link->in_use) {
      link_del(pool, link);
    } else {
      if (link->connection.fd >= 0) {
        close(link->connection.fd);
      }
      link->next = pool->lost;
      pool->lost = link;
    }
  }
}

/* Makes the pool of a forked child its own. pthread_atfork is no way: it calls into this library
 * also after it was unloaded. */
static void take_over(rlc__pool *pool) {
  int self = (int)getpid();
  int owner = atomic_load_explicit(&pool->owner, memory_order_acquire);

  while (owner != self) {
    if (owner == -self) { /* another thread of ours is at it */
      sched_yield();
      owner = atomic_load_explicit(&pool->owner, memory_order_acquire);
    } else if (atomic_compare_exchange_strong(&pool->owner, &owner, -self)) {
      /* Held when the process forked, it stays held for ever, and the lists may be half changed:
       * then they are given up as they are. */
      if (pthread_mutex_trylock(&pool->mutex) == 0) {
        drop_all(pool);
        pthread_mutex_unlock(&pool->mutex);
        pthread_mutex_destroy(&pool->mutex);
      }
      pool->all = NULL;
      pool->idle = NULL;
      pool->idle_n = 0;
      (void)pthread_mutex_init(&pool->mutex, NULL); /* cannot fail without attributes */
      atomic_store_explicit(&pool->owner, self, memory_order_release);
      owner = self;
    }
  }
}

/* --- new and del --------------------------------------------------------------------------- */

int rlc__pool_new(rlc__pool **out, size_t idle_most, const rlc_memory *memory) {
  rlc__pool *pool = rlc__calloc(memory, 1, sizeof *pool);

  *out = NULL;
  if (pool == NULL) {
    return RLC_ERR_NOMEM;
  }
  pool->memory = *memory;
  pool->idle_most = idle_most;
  atomic_init(&pool->owner, (int)getpid());
  if (pthread_mutex_init(&pool->mutex, NULL) != 0) {
    rlc__free(memory, pool);
    return RLC_ERR_SYSTEM;
  }
  *out = pool;
  return 0;
}

void rlc__pool_del(rlc__pool *pool) {
  rlc_memory memory;

  if (pool == NULL) {
    return;
  }
  take_over(pool);
  drop_all(pool);
  pthread_mutex_destroy(&pool->mutex);
  memory = pool->memory;
  rlc__free(&memory, pool);
}

/* --- get and put --------------------------------------------------------------------------- */

static rlc__link *link_new(rlc__pool *pool) {
  rlc__link *link = rlc__calloc(&pool->memory, 1, sizeof *link);

  if (link == NULL) {
    return NULL;
  }
  rlc__connection_init(&link->connection);
  link->in_use = 1;
  link->hash = EVP_MD_CTX_new();
  if (link->hash == NULL) {
    rlc__free(&pool->memory, link);
    return NULL;
  }
  pthread_mutex_lock(&pool->mutex);
  link->next = pool->all;
  if (pool->all != NULL) {
    pool->all->previous = link;
  }
  pool->all = link;
  pthread_mutex_unlock(&pool->mutex);
  return link;
}

rlc__link *rlc__pool_get(rlc__pool *pool) {
  rlc__link *link;

  take_over(pool);
  pthread_mutex_lock(&pool->mutex);
  link = pool->idle;
  if (link != NULL) {
    pool->idle = link->next_idle;
    --pool->idle_n;
    link->in_use = 1;
  }
  pthread_mutex_unlock(&pool->mutex);
  return link != NULL ? link : link_new(pool);
}

void rlc__pool_put(rlc__pool *pool, rlc__link *link) {
  pthread_mutex_lock(&pool->mutex);
  if (link->connection.fd >= 0 && pool->idle_n < pool->idle_most) {
    link->in_use = 0;
    link->next_idle = pool->idle;
    pool->idle = link;
    ++pool->idle_n;
    link = NULL;
  } else {
    if (link->previous != NULL) {
      link->previous->next = link->next;
    } else {
      pool->all = link->next;
    }
    if (link->next != NULL) {
      link->next->previous = link->previous;
    }
  }
  pthread_mutex_unlock(&pool->mutex);
  if (link != NULL) {
    link_del(pool, link);
  }
}
