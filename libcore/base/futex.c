/* SPDX-License-Identifier: Apache-2.0 */
#include "base/futex.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void rlc__futex_wait(_Atomic uint32_t *word, uint32_t expected, int64_t deadline_us) {
  struct timespec until = {(time_t)(deadline_us / 1000000),
                           (long)(deadline_us % 1000000 * 1000)};

  /* WAIT_BITSET takes an absolute time, of CLOCK_MONOTONIC. */
  (void)syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, expected, &until, NULL,
                FUTEX_BITSET_MATCH_ANY);
}

void rlc__futex_wake_one(const _Atomic uint32_t *word) {
  (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void rlc__futex_wake_all(const _Atomic uint32_t *word) {
  (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}
