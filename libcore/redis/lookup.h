/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_LOOKUP_H
#define RLCORE_LOOKUP_H

#include <stdatomic.h>
#include <stdint.h>

#include "redis/endpoint.h"
#include "redis/resolve.h"

/*
 * Looks |endpoint| up: an address or a path at once, a name in a thread of its own, since the C
 * library's look-up waits for as long as it likes. Gives up at |deadline_us|, or once |*stop| is
 * set, and leaves that thread to end by itself: whoever asks for the same name meanwhile waits for
 * the same thread, and what it finds when nobody waits is kept for a while for the next who asks.
 * So a name service that is slower than a deadline serves, and one that hangs costs a thread a name.
 *
 * Returns as rlc__resolve_host, or RLC__ERR_TIMEOUT, with a sentence in |why|.
 */
int rlc__lookup(rlc__addresses *out, const rlc__endpoint *endpoint, int64_t deadline_us,
                const _Atomic int *stop, char *why, size_t why_size);

#endif
