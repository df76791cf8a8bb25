/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RATELIMIT_OFFENDERS_H
#define RATELIMIT_OFFENDERS_H

#include <stdatomic.h>
#include <stdint.h>

/*
 * Who was told of in the log, and when: a table of fixed size in memory that processes share, without
 * locks. A process that dies in the middle of a call leaves nothing behind but a number that is one
 * too small. It knows neither httpd nor APR, so that a small test program can hold it to its word.
 */

enum { RATELIMIT_OFFENDER_SETS = 1024, RATELIMIT_OFFENDER_WAYS = 4, RATELIMIT_LINES_PER_S = 20 };

typedef struct ratelimit_offender {
  _Atomic uint64_t told; /* the hash's upper half, and when in seconds; 0: free */
  _Atomic uint64_t more; /* refusals since then */
} ratelimit_offender;

/* Memory of zeros is a table without entries. */
typedef struct ratelimit_offenders {
  _Atomic uint64_t second;   /* the second in which lines were told last, and how many */
  _Atomic uint64_t left_out; /* refusals that had no line though one was due */
  ratelimit_offender entry[RATELIMIT_OFFENDER_SETS][RATELIMIT_OFFENDER_WAYS];
} ratelimit_offenders;

typedef struct ratelimit_due {
  uint64_t more;     /* refusals of the same offender since its line before */
  uint64_t left_out; /* refusals of anybody that had no line though one was due, since such a number
                        was given before */
} ratelimit_due;

/* Notes a refusal of the offender |hash| at |now_s|. Returns 1 if a line about it is due, with the
 * numbers that belong into it: one an offender in |interval_s| seconds, and of all together at most
 * RATELIMIT_LINES_PER_S in a second. The table forgets those told of longest ago when it is full. */
int ratelimit_offenders_note(ratelimit_offenders *offenders, uint64_t hash, uint32_t now_s,
                             uint32_t interval_s, ratelimit_due *due);

#endif
