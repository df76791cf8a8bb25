/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <time.h>

/* The three clocks exist on every Linux this library runs on, so that reading them cannot fail. */
static int64_t read_us(clockid_t id) {
  struct timespec ts = {0, 0};

  clock_gettime(id, &ts);
  return (int64_t)ts.tv_sec * 1000000 + (int64_t)ts.tv_nsec / 1000;
}

int64_t rlc__clock_monotonic_us(void) {
  return read_us(CLOCK_MONOTONIC);
}

int64_t rlc__clock_boottime_us(void) {
  return read_us(CLOCK_BOOTTIME);
}

int64_t rlc__clock_wall_us(void) {
  return read_us(CLOCK_REALTIME);
}
