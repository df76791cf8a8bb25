/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_SOCKET_H
#define RLCORE_SOCKET_H

#include <stdint.h>

#include "redis/resolve.h"

/* Sockets that keep deadlines, in CLOCK_MONOTONIC microseconds. */

int rlc__socket_is_past(int64_t deadline_us);

/* Waits until |fd| (-1: nothing, only for the time to pass) has one of poll's |events|, or an error
 * that the next call on it tells. Returns 0 or RLC__ERR_TIMEOUT. What is there already is seen even
 * past the deadline. */
int rlc__socket_wait(int fd, short events, int64_t deadline_us);

/* Stores a connected, non-blocking socket in |*fd|, as soon as there is one: a forked child closes
 * it. Returns 0; or -1 with errno, ETIMEDOUT past the deadline, and -1 in |*fd|. */
int rlc__socket_connect(int *fd, const rlc__address *address, int64_t deadline_us);

#endif
