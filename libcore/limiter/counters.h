/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_COUNTERS_H
#define RLCORE_COUNTERS_H

#include <stdint.h>

typedef enum rlc__count {
  RLC__COUNT_ALLOWED,
  RLC__COUNT_DENIED,
  RLC__COUNT_FALLBACK,
  RLC__COUNT_FAIL_OPEN,
  RLC__COUNT_FAIL_CLOSED,
  RLC__COUNT_BANNED,
  RLC__COUNT_LEASES_LOST,
  RLC__COUNTS
} rlc__count;

/* Counts in memory that the processes forked later share, one stripe a processor so that counting
 * costs no cache line its way across the machine. */
typedef struct rlc__counters rlc__counters;

/* Returns NULL when the system gives no memory. */
rlc__counters *rlc__counters_new(void);
void rlc__counters_del(rlc__counters *counters);
void rlc__counters_add(rlc__counters *counters, rlc__count which);
uint64_t rlc__counters_get(const rlc__counters *counters, rlc__count which);

#endif
