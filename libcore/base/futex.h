/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_FUTEX_H
#define RLCORE_FUTEX_H

#include <stdatomic.h>
#include <stdint.h>

/* Sleeping on a word of this process (futex(2), private). */

/* Sleeps while |*word| is |expected|, until somebody wakes it or CLOCK_MONOTONIC is |deadline_us|. May
 * return for no reason: look again. */
void rlc__futex_wait(_Atomic uint32_t *word, uint32_t expected, int64_t deadline_us);
/* Wakes one sleeper, or all. Looks at the address only: the word may be gone by now. */
void rlc__futex_wake_one(const _Atomic uint32_t *word);
void rlc__futex_wake_all(const _Atomic uint32_t *word);

#endif
