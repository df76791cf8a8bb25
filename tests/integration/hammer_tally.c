/* SPDX-License-Identifier: Apache-2.0 */
#include "hammer_tally.h"

#include <inttypes.h>
#include <stdio.h>

void tally_decision(tally *sum, const rlc_decision *d, int64_t now_us) {
  int by_store = d->source == RLC_SOURCE_STORE;
  int64_t step = (now_us - atomic_load(&sum->begun_us)) / TALLY_STEP_US;

  atomic_fetch_add(d->allowed ? &sum->allowed[d->source] : &sum->denied[d->source], 1);
  atomic_fetch_add(&sum->returned, 1);
  if (step >= 0 && step < TALLY_STEPS) {
    atomic_fetch_add(by_store ? &sum->by_store[step] : &sum->by_others[step], 1);
  }
  if (by_store) {
    int64_t last = atomic_exchange(&sum->by_store_us, now_us);

    histogram_raise(&sum->longest_gap_us, now_us > last ? (uint64_t)(now_us - last) : 0);
  }
}

void tally_hold(tally *sum) {
  histogram_raise(&sum->most_held, atomic_fetch_add(&sum->held, 1) + 1);
}

void tally_let_go(tally *sum) {
  atomic_fetch_sub(&sum->held, 1);
}

static void print_counts(const char *name, const _Atomic uint64_t *counts) {
  printf("\"%s\": {", name);
  for (int s = RLC_SOURCE_STORE; s <= RLC_SOURCE_FAIL_CLOSED; ++s) {
    printf("%s\"%s\": %" PRIu64, s > 1 ? ", " : "", rlc_source_name((rlc_source)s),
           atomic_load(&counts[s]));
  }
  printf("}, ");
}

static void print_steps(const char *name, const _Atomic uint32_t *counts, double seconds) {
  printf("\"%s\": [", name);
  for (int i = 0; i < TALLY_STEPS && i * (TALLY_STEP_US / 1e6) <= seconds; ++i) {
    printf("%s%" PRIu32, i > 0 ? "," : "", atomic_load(&counts[i]));
  }
  printf("], ");
}

void tally_print(const tally *sum, rlc_limiter *limiter, double seconds, int timeline) {
  rlc_stats stats = RLC_STATS_INIT;

  rlc_limiter_get_stats(limiter, &stats);
  printf("{\"calls\": %" PRIu64 ", \"returned\": %" PRIu64 ", \"lost\": %" PRIu64 ", ",
         atomic_load(&sum->calls), atomic_load(&sum->returned), atomic_load(&sum->lost));
  print_counts("allowed", sum->allowed);
  print_counts("denied", sum->denied);
  printf("\"charged\": %" PRIu64 ", \"most_held\": %" PRIu64 ", \"leases_lost\": %" PRIu64 ", ",
         atomic_load(&sum->charged), atomic_load(&sum->most_held), stats.leases_lost);
  printf("\"seconds\": %.3f, \"p50_us\": %" PRIu64 ", \"p999_us\": %" PRIu64
         ", \"longest_us\": %" PRIu64 ", \"longest_gap_us\": %" PRIu64 ", ",
         seconds, histogram_at(&sum->calls_us, 0.5), histogram_at(&sum->calls_us, 0.999),
         atomic_load(&sum->calls_us.longest_us), atomic_load(&sum->longest_gap_us));
  if (atomic_load(&sum->waits_us.longest_us) > 0) {
    printf("\"wait_p999_us\": %" PRIu64 ", \"longest_wait_us\": %" PRIu64 ", ",
           histogram_at(&sum->waits_us, 0.999), atomic_load(&sum->waits_us.longest_us));
  }
  if (timeline) {
    printf("\"begun\": %.6f, \"step\": %.3f, ", (double)atomic_load(&sum->begun_us) / 1e6,
           TALLY_STEP_US / 1e6);
    print_steps("by_store", sum->by_store, seconds);
    print_steps("by_others", sum->by_others, seconds);
  }
  printf("\"connects\": %" PRIu64 ", \"connections_lost\": %" PRIu64 ", \"resent\": %" PRIu64
         ", \"late_replies\": %" PRIu64 ", ",
         stats.connects, stats.connections_lost, stats.resent, stats.late_replies);
  printf("\"store_errors\": %" PRIu64 ", \"store_timeouts\": %" PRIu64
         ", \"breaker_opened\": %" PRIu64 ", \"evicted_live\": %" PRIu64 "}\n",
         stats.store_errors, stats.store_timeouts, stats.breaker_opened, stats.evicted_live);
}
