/* SPDX-License-Identifier: Apache-2.0 */
#include "load.h"

#include <stdatomic.h>

#include <ap_mpm.h>
#include <scoreboard.h>

#include "events.h"

unsigned ratelimit_load_workers(void) {
  int daemons = 0;
  int threads = 0;

  ap_mpm_query(AP_MPMQ_MAX_DAEMONS, &daemons);
  ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
  return (unsigned)(daemons > 1 ? daemons : 1) * (unsigned)(threads > 1 ? threads : 1);
}

/* A connection that is kept alive has a worker with prefork and worker, and none with event: the
 * scoreboard tells of workers. */
static int is_busy(int status) {
  return status != SERVER_DEAD && status != SERVER_STARTING && status != SERVER_READY &&
         status != SERVER_IDLE_KILL;
}

static unsigned count_busy(void) {
  int servers = 0;
  int threads = 0;
  unsigned busy = 0;

  ap_mpm_query(AP_MPMQ_HARD_LIMIT_DAEMONS, &servers);
  ap_mpm_query(AP_MPMQ_HARD_LIMIT_THREADS, &threads);
  for (int i = 0; i < servers && ap_exists_scoreboard_image(); ++i) {
    const process_score *process = ap_get_scoreboard_process(i);

    for (int j = 0; process != NULL && process->pid != 0 && j < (threads > 0 ? threads : 1); ++j) {
      const worker_score *worker = ap_get_scoreboard_worker_from_indexes(i, j);

      busy += worker != NULL && is_busy(worker->status);
    }
  }
  return busy;
}

/* The scoreboard is some hundred cache lines that all processes write: one thread of a process looks
 * at it now and then, and the others take what it found. */
unsigned ratelimit_load_percent(void) {
  enum { FRESH_MS = 50, PERCENT_BITS = 8 };
  static _Atomic uint64_t seen; /* when, in ms, and how many percent */
  uint64_t old = atomic_load_explicit(&seen, memory_order_relaxed);
  uint64_t now_ms = ratelimit_count_clock() / 1000000u;
  uint64_t percent = old & 0xff;

  if (now_ms - (old >> PERCENT_BITS) >= FRESH_MS &&
      atomic_compare_exchange_strong(&seen, &old, now_ms << PERCENT_BITS | percent)) {
    percent = (uint64_t)count_busy() * 100 / ratelimit_load_workers();
    percent = percent < 100 ? percent : 100; /* children of before a restart may be at work still */
    atomic_store(&seen, now_ms << PERCENT_BITS | percent);
  }
  return (unsigned)percent;
}
