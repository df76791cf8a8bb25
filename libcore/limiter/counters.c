/* SPDX-License-Identifier: Apache-2.0 */
#include "limiter/counters.h"

#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>

#define STRIPES 32u

typedef struct stripe {
  _Alignas(64) _Atomic uint64_t count[RLC__COUNTS];
} stripe;

struct rlc__counters {
  stripe stripes[STRIPES];
};

rlc__counters *rlc__counters_new(void) {
  void *memory = mmap(NULL, sizeof(rlc__counters), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);

  return memory == MAP_FAILED ? NULL : memory;
}

void rlc__counters_del(rlc__counters *counters) {
  if (counters != NULL) {
    munmap(counters, sizeof *counters);
  }
}

void rlc__counters_add(rlc__counters *counters, rlc__count which) {
  int cpu = sched_getcpu();
  stripe *s = &counters->stripes[cpu < 0 ? 0 : (unsigned)cpu % STRIPES];

  atomic_fetch_add_explicit(&s->count[which], 1, memory_order_relaxed);
}

uint64_t rlc__counters_get(const rlc__counters *counters, rlc__count which) {
  uint64_t sum = 0;

  for (unsigned i = 0; i < STRIPES; ++i) {
    sum += atomic_load_explicit(&counters->stripes[i].count[which], memory_order_relaxed);
  }
  return sum;
}
