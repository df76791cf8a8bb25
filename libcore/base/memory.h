/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_MEMORY_H
#define RLCORE_MEMORY_H

#include <stddef.h>

#include "rlcore/rlcore.h"

/* Returns |memory|, or the C library's functions for NULL. */
const rlc_memory *rlc__memory_or_default(const rlc_memory *memory);

/* Zeroed memory, or NULL. */
void *rlc__calloc(const rlc_memory *memory, size_t count, size_t size);
void *rlc__realloc(const rlc_memory *memory, void *ptr, size_t size);
/* NULL does nothing. */
void rlc__free(const rlc_memory *memory, void *ptr);
/* A copy of |len| bytes with a NUL behind it, or NULL. */
char *rlc__strndup(const rlc_memory *memory, const char *text, size_t len);
/* Overwrites |len| bytes in a way the compiler may not drop. For secrets. */
void rlc__wipe(void *ptr, size_t len);

#endif
