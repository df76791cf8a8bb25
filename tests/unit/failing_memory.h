/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAILING_MEMORY_H
#define FAILING_MEMORY_H

#include <stdlib.h>

#include "rlcore/rlcore.h"

/* Memory functions that refuse one allocation, and count what is held. */
typedef struct failing_memory {
  int left; /* allocations that succeed before the one that fails */
  int held;
} failing_memory;

static inline void *failing_malloc(size_t size, void *user) {
  failing_memory *m = user;
  void *ptr = m->left-- == 0 ? NULL : malloc(size);

  m->held += ptr != NULL;
  return ptr;
}

static inline void *failing_realloc(void *ptr, size_t size, void *user) {
  failing_memory *m = user;
  void *moved = m->left-- == 0 ? NULL : realloc(ptr, size);

  m->held += moved != NULL && ptr == NULL;
  return moved;
}

static inline void failing_free(void *ptr, void *user) {
  failing_memory *m = user;

  m->held -= ptr != NULL;
  free(ptr);
}

static inline rlc_memory failing_functions(failing_memory *m) {
  rlc_memory memory = {m, failing_malloc, failing_realloc, failing_free};

  return memory;
}

#endif
