/* SPDX-License-Identifier: Apache-2.0 */
#include "base/own.h"

#include <sys/mman.h>

void *rlc__own_new(size_t size) {
  void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

  if (memory == MAP_FAILED) {
    return NULL;
  }
  if (madvise(memory, size, MADV_WIPEONFORK) != 0) {
    munmap(memory, size);
    return NULL;
  }
  return memory;
}

void rlc__own_del(void *memory, size_t size) {
  if (memory != NULL) {
    munmap(memory, size);
  }
}
