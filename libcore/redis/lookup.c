/* SPDX-License-Identifier: Apache-2.0 */
#include "redis/lookup.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/futex.h"
#include "redis/socket.h"

/* How often a look-up asks whether it is still wanted. */
#define SLICE_US 50000
/* How long an answer is kept that nobody waited for. */
#define KEEP_US INT64_C(10000000)
/* The most look-ups of a process that are under way or keep an answer. */
#define MOST 64

/* Shared by those who ask, the thread, and the list; the last of them frees it. From malloc: the
 * askers and their memory functions may be gone by then. */
typedef struct lookup {
  struct lookup *next;
  rlc__endpoint endpoint;
  rlc__addresses found;
  int rv;
  char why[RLC_MESSAGE_SIZE];
  int64_t done_us;
  int waiting; /* how many wait for it; under the lock */
  _Atomic uint32_t done;
  _Atomic int holders;
} lookup;

/* Of this process alone: a forked child finds zeros here (MADV_WIPEONFORK), so an open lock, and
 * knows thereby that the threads of the look-ups in the list are its parent's. */
typedef struct page {
  pthread_mutex_t mutex;
  int is_ours;
} page;

static _Atomic(page *) shared_page;
static lookup *first; /* under the page's lock */

static void let_go(lookup *l) {
  if (atomic_fetch_sub(&l->holders, 1) == 1) {
    free(l);
  }
}

/* --- the list ------------------------------------------------------------------------------ */

/* Returns the page, or NULL without memory for it. */
static page *page_of_process(void) {
  page *known = atomic_load(&shared_page);
  page *p;

  if (known != NULL) {
    return known;
  }
  p = mmap(NULL, sizeof *p, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) {
    return NULL;
  }
  if (madvise(p, sizeof *p, MADV_WIPEONFORK) != 0 ||
      !atomic_compare_exchange_strong(&shared_page, &known, p)) {
    munmap(p, sizeof *p);
    return known;
  }
  return p;
}

static page *lock_list(void) {
  page *p = page_of_process();

  if (p != NULL) {
    pthread_mutex_lock(&p->mutex);
    if (!p->is_ours) {
      first = NULL;
      p->is_ours = 1;
    }
  }
  return p;
}

static void take_out(lookup **at) {
  lookup *l = *at;

  *at = l->next;
  let_go(l);
}

/* --- the thread ---------------------------------------------------------------------------- */

static void *run(void *user) {
  lookup *l = user;
  page *p;

  l->rv = rlc__resolve_host(&l->found, l->endpoint.host, l->endpoint.port, l->why, sizeof l->why);
  p = lock_list();
  l->done_us = rlc__clock_monotonic_us();
  atomic_store(&l->done, 1);
  for (lookup **at = &first; l->waiting > 0 && *at != NULL; at = &(*at)->next) {
    if (*at == l) { /* those who wait have it: the next who asks wants to know anew */
      take_out(at);
      break;
    }
  }
  pthread_mutex_unlock(&p->mutex);
  rlc__futex_wake_all(&l->done);
  let_go(l);
  return NULL;
}

static int start(lookup *l) {
  pthread_attr_t attributes;
  pthread_t thread;
  int rv;

  if (pthread_attr_init(&attributes) != 0) {
    return -1;
  }
  (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  rv = pthread_create(&thread, &attributes, run, l);
  pthread_attr_destroy(&attributes);
  return rv;
}

/* --- asking -------------------------------------------------------------------------------- */

/* Returns the look-up of |endpoint| that is under way or has an answer, held for the caller, or
 * NULL. |*n| is how many there are. Drops old answers. */
static lookup *find(const rlc__endpoint *endpoint, unsigned *n) {
  int64_t now = rlc__clock_monotonic_us();
  lookup **at = &first;
  lookup *found = NULL;

  *n = 0;
  while (*at != NULL) {
    lookup *l = *at;
    int old = l->done && now - l->done_us > KEEP_US;

    if (!old && rlc__endpoint_equal(&l->endpoint, endpoint)) {
      atomic_fetch_add(&l->holders, 1);
      found = l;
    }
    if (old || (l == found && l->done)) { /* an answer is given once */
      take_out(at);
    } else {
      ++*n;
      at = &l->next;
    }
  }
  return found;
}

/* Starts a look-up. Returns it, held for the caller, or NULL with |*rv|. */
static lookup *begin(const rlc__endpoint *endpoint, int *rv, char *why, size_t why_size) {
  lookup *l = calloc(1, sizeof *l);

  if (l == NULL) {
    *rv = rlc__fail(RLC_ERR_NOMEM, why, why_size, "out of memory");
    return NULL;
  }
  l->endpoint = *endpoint;
  atomic_init(&l->holders, 3);
  if (start(l) != 0) {
    free(l);
    *rv = rlc__fail(RLC_ERR_SYSTEM, why, why_size, "no thread can be started");
    return NULL;
  }
  l->next = first;
  first = l;
  return l;
}

static int is_address(const char *host) {
  unsigned char address[16];

  return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

int rlc__lookup(rlc__addresses *out, const rlc__endpoint *endpoint, int64_t deadline_us,
                const _Atomic int *stop, char *why, size_t why_size) {
  lookup *l;
  page *p;
  unsigned n;
  int rv;

  if (endpoint->port == 0) {
    return rlc__resolve_path(out, endpoint->host, why, why_size);
  }
  if (is_address(endpoint->host)) {
    return rlc__resolve_host(out, endpoint->host, endpoint->port, why, why_size);
  }
  p = lock_list();
  if (p == NULL) {
    return rlc__fail(RLC_ERR_SYSTEM, why, why_size, "out of memory");
  }
  l = find(endpoint, &n);
  if (l == NULL && n < MOST) {
    l = begin(endpoint, &rv, why, why_size);
  } else if (l == NULL) {
    rv = rlc__fail(RLC__ERR_TIMEOUT, why, why_size,
                   "too many names are being looked up: see to this machine's name service");
  }
  if (l == NULL) {
    pthread_mutex_unlock(&p->mutex);
    return rv;
  }
  ++l->waiting;
  pthread_mutex_unlock(&p->mutex);
  while (!atomic_load(&l->done) && !atomic_load(stop) && !rlc__socket_is_past(deadline_us)) {
    int64_t until = rlc__clock_monotonic_us() + SLICE_US;

    rlc__futex_wait(&l->done, 0, until < deadline_us ? until : deadline_us);
  }
  pthread_mutex_lock(&p->mutex);
  --l->waiting;
  if (atomic_load(&l->done)) {
    rv = l->rv;
    *out = l->found;
    (void)rlc__fail(0, why, why_size, "%s", l->why);
  } else {
    rv = rlc__fail(RLC__ERR_TIMEOUT, why, why_size,
                   "its name could not be looked up in time: see to this machine's name service, or "
                   "write the server's address");
  }
  pthread_mutex_unlock(&p->mutex);
  let_go(l);
  return rv;
}
