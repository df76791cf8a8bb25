/* SPDX-License-Identifier: Apache-2.0 */
#include "tally.h"

#include <string.h>

/* Another number where the meaning of a member changes and its size does not. */
#define LAYOUT (((uint64_t)1 << 32) | sizeof(ratelimit_tally))

static uint64_t load(const ratelimit_word *word) {
  return atomic_load_explicit(word, memory_order_relaxed);
}

static void store(ratelimit_word *word, uint64_t value) {
  atomic_store_explicit(word, value, memory_order_relaxed);
}

static void add(ratelimit_word *word, uint64_t n) {
  atomic_fetch_add_explicit(word, n, memory_order_relaxed);
}

void ratelimit_tally_init(ratelimit_tally *tally, const uint8_t *hash_key, int64_t wall_s) {
  memcpy(tally->hash_key, hash_key, sizeof tally->hash_key);
  tally->since = wall_s;
  tally->layout = LAYOUT;
}

int ratelimit_tally_fits(const ratelimit_tally *tally) {
  return tally->layout == LAYOUT;
}

void ratelimit_tally_restart(ratelimit_tally *tally, int64_t wall_s) {
  add(&tally->generation, 1);
  store(&tally->restarted, (uint64_t)wall_s);
}

/* --- text ---------------------------------------------------------------------------------- */

/* Whoever writes a row's name writes the same one, so that a reader sees it whole, or its start. A
 * policy changes with the configuration, which the parent alone writes. */
static void put_text(ratelimit_word *to, size_t size, const char *text) {
  size_t len = strlen(text);

  len = len < size ? len : size - 1;
  for (size_t i = 0; i < size / 8; ++i) {
    uint64_t word = 0;

    if (len > i * 8) {
      memcpy(&word, text + i * 8, len - i * 8 < 8 ? len - i * 8 : 8);
    }
    store(&to[i], word);
  }
}

void ratelimit_tally_read_text(char *to, const ratelimit_word *from, size_t size) {
  for (size_t i = 0; i < size / 8; ++i) {
    uint64_t word = load(&from[i]);

    memcpy(to + i * 8, &word, 8);
  }
  to[size - 1] = '\0';
}

/* --- rows ---------------------------------------------------------------------------------- */

unsigned ratelimit_tally_row(ratelimit_tally *tally, uint64_t id, const char *name) {
  const unsigned rows = RATELIMIT_ROWS - RATELIMIT_ROW_FIRST;

  id = id != 0 ? id : 1;
  for (unsigned i = 0; i < rows; ++i) {
    unsigned at = RATELIMIT_ROW_FIRST + (unsigned)((id + i) % rows);
    ratelimit_row *row = &tally->rows[at];
    uint64_t there = load(&row->id);

    if (there == 0 && atomic_compare_exchange_strong(&row->id, &there, id)) {
      there = id;
    }
    if (there == id) {
      /* Who took the row may have been killed before it wrote the name. */
      if (load(&row->name[0]) == 0) {
        put_text(row->name, RATELIMIT_NAME_SIZE, name);
      }
      return at;
    }
  }
  return RATELIMIT_ROW_OTHERS;
}

void ratelimit_tally_describe(ratelimit_tally *tally, unsigned row, const char *policy) {
  put_text(tally->rows[row].policy, RATELIMIT_POLICY_SIZE, policy);
  store(&tally->rows[row].generation, load(&tally->generation));
}

int ratelimit_tally_has_old(const ratelimit_tally *tally) {
  for (unsigned i = RATELIMIT_ROW_FIRST; i < RATELIMIT_ROWS; ++i) {
    const ratelimit_row *row = &tally->rows[i];

    if (load(&row->id) != 0 && load(&row->generation) != load(&tally->generation)) {
      return 1;
    }
  }
  return 0;
}

/* --- counts -------------------------------------------------------------------------------- */

void ratelimit_tally_add(ratelimit_tally *tally, unsigned row, ratelimit_kind kind,
                         uint64_t now_s) {
  uint64_t epoch = now_s / RATELIMIT_FAST_S;

  add(&tally->rows[row].total[kind], 1);
  ratelimit_word_add(&tally->rows[row].fast[epoch % RATELIMIT_FAST][kind], epoch, 1);
}

void ratelimit_tally_add_slow(ratelimit_tally *tally, ratelimit_kind kind, uint64_t now_s) {
  uint64_t epoch = now_s / RATELIMIT_SLOW_S;

  ratelimit_word_add(&tally->slow[epoch % RATELIMIT_SLOW][kind], epoch, 1);
}

/* --- latencies ----------------------------------------------------------------------------- */

#define FINEST_NS 250u

unsigned ratelimit_latency_index(uint64_t ns) {
  uint64_t steps = ns > 0 ? (ns - 1) / FINEST_NS : 0;
  unsigned index = steps > 0 ? 64u - (unsigned)__builtin_clzll(steps) : 0;

  return index < RATELIMIT_LATENCIES ? index : RATELIMIT_LATENCIES - 1;
}

uint64_t ratelimit_latency_bound(unsigned index) {
  return index < RATELIMIT_LATENCIES - 1 ? (uint64_t)FINEST_NS << index : UINT64_MAX;
}

void ratelimit_tally_add_latency(ratelimit_tally *tally, uint64_t now_s, uint64_t ns) {
  unsigned index = ratelimit_latency_index(ns);
  uint64_t epoch = now_s / RATELIMIT_WINDOW_S;

  add(&tally->latency_sum, ns);
  add(&tally->latency[index], 1);
  ratelimit_word_add(&tally->recent_latency[epoch % 2][index], epoch, 1);
}

/* --- trouble ------------------------------------------------------------------------------- */

int ratelimit_tally_trouble_due(const ratelimit_tally *tally, uint64_t now_s) {
  return load(&tally->trouble) >> 8 != now_s;
}

void ratelimit_tally_set_trouble(ratelimit_tally *tally, uint64_t now_s, unsigned reason) {
  store(&tally->trouble, now_s << 8 | (reason & 0xff));
}
