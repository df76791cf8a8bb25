/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_OWN_H
#define RLCORE_OWN_H

#include <stddef.h>

/* Zeroed memory of this process alone: a forked child finds zeros there (MADV_WIPEONFORK), so open locks
 * and nothing begun, whatever its parent was in the middle of. Returns NULL where the system has none. */
void *rlc__own_new(size_t size);
/* NULL does nothing. */
void rlc__own_del(void *memory, size_t size);

#endif
