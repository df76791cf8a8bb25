/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_TESTS_HAMMER_TALLY_H
#define RLCORE_TESTS_HAMMER_TALLY_H

#include <stdatomic.h>
#include <stdint.h>

#include "histogram.h"
#include "rlcore/rlcore.h"

#define TALLY_STEP_US 10000 /* of the timeline */
#define TALLY_STEPS 6000

/* What all workers of all processes add up, in shared memory: a killed one's counts stay. */
typedef struct tally {
  _Atomic int go;
  _Atomic int ready;
  _Atomic int stop;
  _Atomic uint64_t calls;    /* begun */
  _Atomic uint64_t returned; /* ended with a decision */
  _Atomic uint64_t lost;     /* ended without one */
  _Atomic uint64_t allowed[5]; /* by source */
  _Atomic uint64_t denied[5];
  _Atomic uint64_t charged;  /* units that the store has taken and that were not given back */
  _Atomic uint64_t most_held; /* leases at once */
  _Atomic uint64_t held;
  histogram calls_us;
  histogram waits_us;       /* the bare ones */
  _Atomic int64_t begun_us; /* the timeline's zero */
  _Atomic uint32_t by_store[TALLY_STEPS]; /* decisions that ended in each of its steps */
  _Atomic uint32_t by_others[TALLY_STEPS];
  _Atomic int64_t by_store_us;      /* when the store decided last */
  _Atomic uint64_t longest_gap_us;  /* between two of its decisions */
} tally;

/* Counts a decision that has come at |now_us|. */
void tally_decision(tally *sum, const rlc_decision *d, int64_t now_us);
/* Counts a lease that was made, until it is given back. */
void tally_hold(tally *sum);
void tally_let_go(tally *sum);
/* Prints all of it, and what |limiter| counted, as a line of JSON. */
void tally_print(const tally *sum, rlc_limiter *limiter, double seconds, int timeline);

#endif
