/* SPDX-License-Identifier: Apache-2.0 */
#include "offenders.h"

#include <stddef.h>

static uint64_t join(uint32_t upper, uint32_t lower) {
  return (uint64_t)upper << 32 | lower;
}

static uint32_t upper_half(uint64_t word) {
  return (uint32_t)(word >> 32);
}

static uint32_t lower_half(uint64_t word) {
  return (uint32_t)word;
}

/* How long ago |then_s| was. A clock that was set back makes it long ago. */
static uint32_t age(uint32_t now_s, uint32_t then_s) {
  return now_s - then_s;
}

/* Takes one of the lines of this second. */
static int take_line(ratelimit_offenders *offenders, uint32_t now_s) {
  uint64_t seen = atomic_load_explicit(&offenders->second, memory_order_relaxed);
  uint64_t next;

  do {
    if (upper_half(seen) != now_s) {
      next = join(now_s, 1);
    } else if (lower_half(seen) < RATELIMIT_LINES_PER_S) {
      next = seen + 1;
    } else {
      return 0;
    }
  } while (!atomic_compare_exchange_weak_explicit(&offenders->second, &seen, next,
                                                  memory_order_relaxed, memory_order_relaxed));
  return 1;
}

/* The offender's own entry, or else the free one or the one told of longest ago. */
static ratelimit_offender *find(ratelimit_offender *set, uint32_t tag, uint32_t now_s) {
  ratelimit_offender *oldest = &set[0];
  uint32_t longest = 0;

  for (int i = 0; i < RATELIMIT_OFFENDER_WAYS; ++i) {
    uint64_t told = atomic_load_explicit(&set[i].told, memory_order_relaxed);
    uint32_t since = told != 0 ? age(now_s, lower_half(told)) : UINT32_MAX;

    if (told != 0 && upper_half(told) == tag) {
      return &set[i];
    }
    if (since > longest) {
      longest = since;
      oldest = &set[i];
    }
  }
  return oldest;
}

int ratelimit_offenders_note(ratelimit_offenders *offenders, uint64_t hash, uint32_t now_s,
                             uint32_t interval_s, ratelimit_due *due) {
  uint32_t tag = upper_half(hash) | 1; /* with a time of 0 it is not a free entry either */
  ratelimit_offender *set = offenders->entry[hash % RATELIMIT_OFFENDER_SETS];
  ratelimit_offender *own = find(set, tag, now_s);
  uint64_t told = atomic_load_explicit(&own->told, memory_order_relaxed);
  int known = told != 0 && upper_half(told) == tag;
  uint64_t more;

  if (known && age(now_s, lower_half(told)) < interval_s) {
    atomic_fetch_add_explicit(&own->more, 1, memory_order_relaxed);
    return 0;
  }
  if (!take_line(offenders, now_s)) {
    atomic_fetch_add_explicit(known ? &own->more : &offenders->left_out, 1, memory_order_relaxed);
    return 0;
  }
  if (!atomic_compare_exchange_strong_explicit(&own->told, &told, join(tag, now_s),
                                               memory_order_relaxed, memory_order_relaxed)) {
    /* Somebody was faster, most likely with this very offender. */
    atomic_fetch_add_explicit(upper_half(told) == tag ? &own->more : &offenders->left_out, 1,
                              memory_order_relaxed);
    return 0;
  }
  more = atomic_exchange_explicit(&own->more, 0, memory_order_relaxed);
  due->more = known ? more : 0;
  due->left_out = atomic_exchange_explicit(&offenders->left_out, 0, memory_order_relaxed);
  if (!known && more > 0) { /* those of an offender that is forgotten */
    due->left_out += more;
  }
  return 1;
}
