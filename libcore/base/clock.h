/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_CLOCK_H
#define RLCORE_CLOCK_H

#include <stdint.h>

/* Microseconds of CLOCK_MONOTONIC: deadlines and waits. */
int64_t rlc__clock_monotonic_us(void);
/* Microseconds of CLOCK_BOOTTIME: runs on while the machine sleeps, and nobody sets it. */
int64_t rlc__clock_boottime_us(void);
/* Microseconds since the epoch: calendars, and the offset a shared table is made with. */
int64_t rlc__clock_wall_us(void);

#endif
