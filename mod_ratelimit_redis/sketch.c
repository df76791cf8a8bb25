/* SPDX-License-Identifier: Apache-2.0 */
#include "sketch.h"

#include <string.h>

/* --- words that carry their epoch ---------------------------------------------------------- */

#define COUNT_BITS 40
#define COUNT_MASK (((uint64_t)1 << COUNT_BITS) - 1)
#define EPOCH_MASK (((uint64_t)1 << (64 - COUNT_BITS)) - 1)

/* A word this little ahead was written by somebody who is later than us. One further ahead is old:
 * its epoch has gone round. */
#define AHEAD 1024

/* Others change a word a few times at most while it changes its epoch. */
#define TRIES 8

static uint64_t load(const ratelimit_word *word) {
  return atomic_load_explicit(word, memory_order_relaxed);
}

static void store(ratelimit_word *word, uint64_t value) {
  atomic_store_explicit(word, value, memory_order_relaxed);
}

void ratelimit_word_add(ratelimit_word *word, uint64_t epoch, uint64_t n) {
  uint64_t tag = epoch & EPOCH_MASK;
  uint64_t seen = load(word);

  for (int i = 0; i < TRIES; ++i) {
    uint64_t ahead = ((seen >> COUNT_BITS) - tag) & EPOCH_MASK;

    if (ahead == 0) {
      atomic_fetch_add_explicit(word, n, memory_order_relaxed);
      return;
    }
    if (seen != 0 && ahead < AHEAD) {
      return;
    }
    if (atomic_compare_exchange_weak_explicit(word, &seen, tag << COUNT_BITS | n,
                                              memory_order_relaxed, memory_order_relaxed)) {
      return;
    }
  }
}

uint64_t ratelimit_word_get(const ratelimit_word *word, uint64_t epoch) {
  uint64_t seen = load(word);

  return seen >> COUNT_BITS == (epoch & EPOCH_MASK) ? seen & COUNT_MASK : 0;
}

/* --- text ---------------------------------------------------------------------------------- */

enum { TEXT_WORDS = 8 };

static uint64_t mix(uint64_t sum, uint64_t word) {
  sum = (sum ^ word) * 0x9e3779b97f4a7c15u;
  return sum ^ sum >> 29;
}

static void keep_text(ratelimit_sketch_text *to, uint64_t id, const char *text, size_t len,
                      unsigned flags) {
  uint64_t words[TEXT_WORDS] = {0};
  unsigned char *bytes = (unsigned char *)words;
  uint64_t check = id;

  if (len > RATELIMIT_SKETCH_TEXT) {
    len = RATELIMIT_SKETCH_TEXT;
    flags |= RATELIMIT_KEY_IS_CUT;
  }
  bytes[0] = (unsigned char)len;
  bytes[1] = (unsigned char)flags;
  memcpy(bytes + 2, text, len);
  for (int i = 0; i < TEXT_WORDS; ++i) {
    store(&to->words[i], words[i]);
    check = mix(check, words[i]);
  }
  store(&to->check, check);
}

static void read_text(const ratelimit_sketch_text *from, ratelimit_offender *offender) {
  uint64_t words[TEXT_WORDS];
  const unsigned char *bytes = (const unsigned char *)words;
  uint64_t check = offender->id;

  for (int i = 0; i < TEXT_WORDS; ++i) {
    words[i] = load(&from->words[i]);
    check = mix(check, words[i]);
  }
  if (check == load(&from->check) && bytes[0] <= RATELIMIT_SKETCH_TEXT) {
    offender->len = bytes[0];
    offender->flags = bytes[1];
    memcpy(offender->text, bytes + 2, offender->len);
  }
}

/* --- counting ------------------------------------------------------------------------------ */

/* The row has the low byte, the set is chosen by the bits above it. */
uint64_t ratelimit_sketch_id(uint64_t hash, unsigned row) {
  uint64_t id = (hash & ~(uint64_t)(RATELIMIT_SKETCH_ROWS - 1)) | row;

  return id != 0 ? id : RATELIMIT_SKETCH_ROWS;
}

unsigned ratelimit_sketch_row(uint64_t id) {
  return (unsigned)(id % RATELIMIT_SKETCH_ROWS);
}

static size_t set_of(uint64_t id) {
  return (size_t)(id / RATELIMIT_SKETCH_ROWS % RATELIMIT_SKETCH_SETS);
}

void ratelimit_sketch_add(ratelimit_sketch *sketch, uint64_t epoch, uint64_t id, const char *text,
                          size_t len, unsigned flags) {
  size_t window = epoch % RATELIMIT_SKETCH_WINDOWS;
  ratelimit_sketch_set *set = &sketch->sets[window][set_of(id)];

  for (int i = 0; i < TRIES; ++i) {
    uint64_t fewest = UINT64_MAX;
    uint64_t holder = 0;
    size_t least = 0;

    for (size_t way = 0; way < RATELIMIT_SKETCH_WAYS; ++way) {
      uint64_t there = load(&set->id[way]);
      uint64_t count;

      if (there == id) {
        ratelimit_word_add(&set->count[way], epoch, 1);
        return;
      }
      count = ratelimit_word_get(&set->count[way], epoch);
      if (count < fewest) {
        fewest = count;
        holder = there;
        least = way;
      }
    }
    if (atomic_compare_exchange_strong_explicit(&set->id[least], &holder, id, memory_order_relaxed,
                                                memory_order_relaxed)) {
      store(&set->error[least], (epoch & EPOCH_MASK) << COUNT_BITS | fewest);
      ratelimit_word_add(&set->count[least], epoch, 1);
      if (text != NULL) {
        keep_text(&sketch->texts[window][set_of(id)][least], id, text, len, flags);
      }
      return;
    }
  }
  atomic_fetch_add_explicit(&sketch->missed, 1, memory_order_relaxed);
}

/* --- reading ------------------------------------------------------------------------------- */

/* All that a set of one window says of |offender->id|, added to it. */
static int collect(const ratelimit_sketch *sketch, uint64_t epoch, ratelimit_offender *offender) {
  size_t window = epoch % RATELIMIT_SKETCH_WINDOWS;
  const ratelimit_sketch_set *set = &sketch->sets[window][set_of(offender->id)];
  int found = 0;

  for (size_t way = 0; way < RATELIMIT_SKETCH_WAYS; ++way) {
    uint64_t count = ratelimit_word_get(&set->count[way], epoch);
    uint64_t error = ratelimit_word_get(&set->error[way], epoch);

    if (count == 0 || load(&set->id[way]) != offender->id) {
      continue;
    }
    error = error < count ? error : count;
    offender->count += count - error;
    offender->error += error;
    if (offender->len == 0) {
      read_text(&sketch->texts[window][set_of(offender->id)][way], offender);
    }
    found = 1;
  }
  return found;
}

/* Puts it where it belongs among those that are there, unless it is there. */
static size_t insert(ratelimit_offender *top, size_t n, size_t max, const ratelimit_offender *new) {
  size_t at = n;

  for (size_t i = 0; i < n; ++i) {
    if (top[i].id == new->id) {
      return n;
    }
  }
  while (at > 0 && (top[at - 1].count < new->count ||
                    (top[at - 1].count == new->count && top[at - 1].id > new->id))) {
    --at;
  }
  if (at == max) {
    return n;
  }
  n = n < max ? n + 1 : n;
  memmove(&top[at + 1], &top[at], (n - at - 1) * sizeof *top);
  top[at] = *new;
  return n;
}

size_t ratelimit_sketch_top(const ratelimit_sketch *sketch, uint64_t epoch, ratelimit_offender *top,
                            size_t max) {
  size_t n = 0;

  for (size_t window = 0; window < RATELIMIT_SKETCH_WINDOWS; ++window) {
    for (size_t i = 0; i < RATELIMIT_SKETCH_SETS * RATELIMIT_SKETCH_WAYS; ++i) {
      const ratelimit_sketch_set *set = &sketch->sets[window][i / RATELIMIT_SKETCH_WAYS];
      ratelimit_offender offender = {.id = load(&set->id[i % RATELIMIT_SKETCH_WAYS])};
      int found;

      if (offender.id == 0) {
        continue;
      }
      found = collect(sketch, epoch, &offender);
      found |= epoch > 0 && collect(sketch, epoch - 1, &offender);
      if (found) {
        n = insert(top, n, max, &offender);
      }
    }
  }
  return n;
}
