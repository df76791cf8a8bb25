/* SPDX-License-Identifier: Apache-2.0 */
#include "base/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void *default_malloc(size_t size, void *user) {
  (void)user;
  return malloc(size);
}

static void *default_realloc(void *ptr, size_t size, void *user) {
  (void)user;
  return realloc(ptr, size);
}

static void default_free(void *ptr, void *user) {
  (void)user;
  free(ptr);
}

static const rlc_memory default_memory = {NULL, default_malloc, default_realloc, default_free};

const rlc_memory *rlc__memory_or_default(const rlc_memory *memory) {
  return memory != NULL ? memory : &default_memory;
}

void *rlc__calloc(const rlc_memory *memory, size_t count, size_t size) {
  void *ptr;

  if (size != 0 && count > SIZE_MAX / size) {
    return NULL;
  }
  /* Never a request for nothing: malloc(0) may answer NULL, which here means failure. */
  size = count * size > 0 ? count * size : 1;
  ptr = memory->malloc_fn(size, memory->user);
  if (ptr != NULL) {
    memset(ptr, 0, size);
  }
  return ptr;
}

void *rlc__realloc(const rlc_memory *memory, void *ptr, size_t size) {
  return memory->realloc_fn(ptr, size > 0 ? size : 1, memory->user);
}

void rlc__free(const rlc_memory *memory, void *ptr) {
  if (ptr != NULL) {
    memory->free_fn(ptr, memory->user);
  }
}

char *rlc__strndup(const rlc_memory *memory, const char *text, size_t len) {
  char *copy = len < SIZE_MAX ? memory->malloc_fn(len + 1, memory->user) : NULL;

  if (copy != NULL) {
    memcpy(copy, text, len);
    copy[len] = '\0';
  }
  return copy;
}

void rlc__wipe(void *ptr, size_t len) {
  if (len > 0) {
    explicit_bzero(ptr, len);
  }
}
