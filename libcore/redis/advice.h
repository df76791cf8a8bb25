/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_ADVICE_H
#define RLCORE_ADVICE_H

#include <stddef.h>

/* What a server's settings do to limits. Pure: |info| of |len| bytes is the text that INFO answers,
 * of any sections; a field that is not there says nothing. Sentences are cut to |size|, end with a
 * NUL, and are printable. */

/* A sentence of why this server may forget what was counted because memory runs short
 * (maxmemory_policy other than noeviction while maxmemory is set), and what to set instead. Returns
 * its length, 0 if there is nothing to say. */
size_t rlc__advice_eviction(const char *info, size_t len, char *buf, size_t size);

/* The same for a server that keeps nothing on disk over a restart (neither aof_enabled nor an RDB
 * file saved or loaded, as far as it tells). */
size_t rlc__advice_persistence(const char *info, size_t len, char *buf, size_t size);

#endif
