/* SPDX-License-Identifier: Apache-2.0 */
#include "redis/gate.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"

/* How long exit() waits: nobody inside waits for anybody, but may wait for a processor. */
#define PATIENCE_US INT64_C(1000000)
#define PAUSE_US 100

/* Of this process alone: a forked child finds zeros here (MADV_WIPEONFORK), whoever was inside. */
typedef struct gate {
  _Atomic unsigned inside;
  _Atomic int closed;
} gate;

static _Atomic(gate *) the_gate;
static _Atomic unsigned users;

/* Runs when the process ends, and when the library is unloaded: a server that reads its settings anew
 * does that to its modules each time. Where nobody has TLS any more, nobody comes to the gate either,
 * and it goes with the library. */
static void close_gate(void) {
  gate *g = atomic_load(&the_gate);
  int64_t until = rlc__clock_monotonic_us() + PATIENCE_US;

  if (atomic_load(&users) == 0) {
    atomic_store(&the_gate, NULL);
    munmap(g, sizeof *g);
    return;
  }

  atomic_store(&g->closed, 1);
  while (atomic_load(&g->inside) > 0 && rlc__clock_monotonic_us() < until) {
    usleep(PAUSE_US);
  }
}

/* Returns 0, or -1 without memory for it. */
static int make(void) {
  gate *none = NULL;
  gate *g;

  if (atomic_load(&the_gate) != NULL) {
    return 0;
  }
  g = mmap(NULL, sizeof *g, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (g == MAP_FAILED) {
    return -1;
  }
  if (madvise(g, sizeof *g, MADV_WIPEONFORK) != 0 ||
      !atomic_compare_exchange_strong(&the_gate, &none, g)) {
    munmap(g, sizeof *g);
    return none != NULL ? 0 : -1;
  }
  return atexit(close_gate) == 0 ? 0 : -1;
}

int rlc__gate_keep(void) {
  int rv = make();

  if (rv == 0) {
    atomic_fetch_add(&users, 1);
  }
  return rv;
}

void rlc__gate_drop(void) {
  atomic_fetch_sub(&users, 1);
}

int rlc__gate_enter(void) {
  gate *g = atomic_load(&the_gate);

  atomic_fetch_add(&g->inside, 1);
  if (atomic_load(&g->closed)) {
    atomic_fetch_sub(&g->inside, 1);
    return -1;
  }
  return 0;
}

void rlc__gate_leave(void) {
  atomic_fetch_sub(&atomic_load(&the_gate)->inside, 1);
}

int rlc__gate_is_closed(void) {
  gate *g = atomic_load(&the_gate);

  return g != NULL && atomic_load(&g->closed);
}
