/* SPDX-License-Identifier: Apache-2.0 */
#include "view.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sink.h"

/* The state of the store goes by so many steps of five seconds, the last of which is under way. */
enum { STATE_STEPS = 2 };

static uint64_t load(const ratelimit_word *word) {
  return atomic_load_explicit(word, memory_order_relaxed);
}

uint64_t ratelimit_decisions(const uint64_t counts[RATELIMIT_KINDS]) {
  return counts[RATELIMIT_ALLOWED] + counts[RATELIMIT_DENIED] + counts[RATELIMIT_DRY];
}

const char *ratelimit_store_state_name(ratelimit_store_state state) {
  static const char *const names[] = {"idle", "answers", "unsteady", "away"};

  return names[state];
}

const char *ratelimit_breaker_name(rlc_breaker breaker) {
  return breaker == RLC_BREAKER_CLOSED      ? "closed"
         : breaker == RLC_BREAKER_OPEN      ? "open"
         : breaker == RLC_BREAKER_HALF_OPEN ? "half-open"
                                            : "none";
}

/* --- steps of time ------------------------------------------------------------------------- */

static void read_steps(const ratelimit_word (*ring)[RATELIMIT_KINDS], uint64_t size, uint64_t epoch,
                       uint64_t (*steps)[RATELIMIT_KINDS]) {
  for (uint64_t i = 0; i < size; ++i) {
    uint64_t at = epoch + 1 + i - size;

    for (unsigned kind = 0; kind < RATELIMIT_KINDS; ++kind) {
      steps[i][kind] = epoch + 1 + i >= size ? ratelimit_word_get(&ring[at % size][kind], at) : 0;
    }
  }
}

void ratelimit_view_steps(const ratelimit_view *view, unsigned row,
                          uint64_t steps[RATELIMIT_FAST][RATELIMIT_KINDS]) {
  if (view->tally == NULL) {
    memset(steps, 0, RATELIMIT_FAST * sizeof steps[0]);
    return;
  }
  read_steps(view->tally->rows[row].fast, RATELIMIT_FAST, view->told.now_s / RATELIMIT_FAST_S,
             steps);
}

static void add_up(uint64_t sum[RATELIMIT_KINDS],
                   const uint64_t steps[RATELIMIT_FAST][RATELIMIT_KINDS]) {
  memset(sum, 0, RATELIMIT_KINDS * sizeof sum[0]);
  for (unsigned i = 0; i < RATELIMIT_FAST; ++i) {
    for (unsigned kind = 0; kind < RATELIMIT_KINDS; ++kind) {
      sum[kind] += steps[i][kind];
    }
  }
}

/* --- rows ---------------------------------------------------------------------------------- */

static int compare(uint64_t a, uint64_t b) {
  return a > b ? -1 : a < b;
}

static int compare_rows(const void *left, const void *right) {
  const ratelimit_view_row *a = left;
  const ratelimit_view_row *b = right;
  int order = compare(a->recent[RATELIMIT_DENIED] + a->recent[RATELIMIT_DRY],
                      b->recent[RATELIMIT_DENIED] + b->recent[RATELIMIT_DRY]);

  if (order == 0) {
    order = compare(a->recent[RATELIMIT_ALLOWED], b->recent[RATELIMIT_ALLOWED]);
  }
  if (order == 0) {
    order = compare(ratelimit_decisions(a->total), ratelimit_decisions(b->total));
  }
  return order != 0 ? order : strcmp(a->name, b->name);
}

static void read_name(const ratelimit_tally *tally, unsigned row, char name[RATELIMIT_NAME_SIZE]) {
  if (row >= RATELIMIT_ROW_FIRST) {
    ratelimit_tally_read_text(name, tally->rows[row].name, RATELIMIT_NAME_SIZE);
  } else {
    strcpy(name, "(others)");
  }
}

/* Limits that the configuration no longer has are told of where they have counted something. */
static void take_rows(ratelimit_view *view) {
  uint64_t steps[RATELIMIT_FAST][RATELIMIT_KINDS];
  uint64_t generation = load(&view->tally->generation);

  for (unsigned i = RATELIMIT_ROW_OTHERS; i < RATELIMIT_ROWS; ++i) {
    const ratelimit_row *from = &view->tally->rows[i];
    ratelimit_view_row *to = &view->rows[view->n_rows];

    to->row = i;
    to->configured = load(&from->id) != 0 && load(&from->generation) == generation;
    for (unsigned kind = 0; kind < RATELIMIT_KINDS; ++kind) {
      to->total[kind] = load(&from->total[kind]);
    }
    if (!to->configured && ratelimit_decisions(to->total) == 0) {
      continue;
    }
    read_name(view->tally, i, to->name);
    ratelimit_tally_read_text(to->policy, from->policy, sizeof to->policy);
    ratelimit_view_steps(view, i, steps);
    add_up(to->recent, (const uint64_t(*)[RATELIMIT_KINDS])steps);
    ++view->n_rows;
  }
  qsort(view->rows, view->n_rows, sizeof view->rows[0], compare_rows);
}

/* --- offenders ----------------------------------------------------------------------------- */

static int may_show(const ratelimit_view *view, const ratelimit_offender *offender) {
  return view->told.keys == RATELIMIT_SHOW_ALL ||
         (view->told.keys == RATELIMIT_SHOW_ADDRESS &&
          (offender->flags & RATELIMIT_KEY_IS_ADDRESS) != 0);
}

static void take_offender(ratelimit_view *view, const ratelimit_offender *from,
                          ratelimit_view_offender *to) {
  read_name(view->tally, ratelimit_sketch_row(from->id), to->limit);
  to->denied = from->count;
  to->error = from->error;
  if (from->len > 0 && (from->flags & RATELIMIT_KEY_IS_HASH) != 0) {
    to->shown = "hashed";
    to->key[0] = '#';
    ratelimit_show_bytes(to->key + 1, sizeof to->key - 1, from->text, from->len);
  } else if (from->len > 0 && may_show(view, from)) {
    to->shown = (from->flags & RATELIMIT_KEY_IS_ADDRESS) != 0 ? "address" : "plain";
    ratelimit_show_bytes(to->key, sizeof to->key - 3, from->text, from->len);
    if ((from->flags & RATELIMIT_KEY_IS_CUT) != 0) {
      strcat(to->key, "...");
    }
  } else {
    to->shown = "hashed";
    snprintf(to->key, sizeof to->key, "#%012" PRIx64, from->id >> 16);
  }
}

static void take_offenders(ratelimit_view *view) {
  ratelimit_offender top[RATELIMIT_OFFENDERS];

  view->n_offenders =
      ratelimit_sketch_top(&view->tally->offenders, view->told.now_s / RATELIMIT_WINDOW_S, top,
                           RATELIMIT_OFFENDERS);
  for (size_t i = 0; i < view->n_offenders; ++i) {
    take_offender(view, &top[i], &view->offenders[i]);
  }
  view->shed = load(&view->tally->shed);
  view->delayed = load(&view->tally->delayed);
  view->missed = load(&view->tally->offenders.missed);
}

/* --- the store ----------------------------------------------------------------------------- */

static void take_store(ratelimit_view *view) {
  uint64_t trouble = load(&view->tally->trouble);
  uint64_t decided = 0;
  uint64_t degraded = 0;

  for (unsigned i = RATELIMIT_FAST - STATE_STEPS; i < RATELIMIT_FAST; ++i) {
    decided += ratelimit_decisions(view->fast[i]);
    degraded += view->fast[i][RATELIMIT_DEGRADED];
  }
  view->state = decided == 0         ? RATELIMIT_STORE_IDLE
                : degraded == 0      ? RATELIMIT_STORE_ANSWERS
                : degraded < decided ? RATELIMIT_STORE_UNSTEADY
                                     : RATELIMIT_STORE_AWAY;
  if (trouble != 0) {
    view->reason = (rlc_reason)(trouble & 0xff);
    view->trouble_ago = view->told.now_s > trouble >> 8 ? view->told.now_s - (trouble >> 8) : 0;
  }
}

static void take_latencies(ratelimit_view *view) {
  uint64_t epoch = view->told.now_s / RATELIMIT_WINDOW_S;

  view->latency_sum = load(&view->tally->latency_sum);
  for (unsigned i = 0; i < RATELIMIT_LATENCIES; ++i) {
    view->latency[i] = load(&view->tally->latency[i]);
    view->recent_latency[i] =
        ratelimit_word_get(&view->tally->recent_latency[epoch % 2][i], epoch) +
        (epoch > 0
             ? ratelimit_word_get(&view->tally->recent_latency[(epoch - 1) % 2][i], epoch - 1)
             : 0);
  }
}

uint64_t ratelimit_view_quantile(const uint64_t latency[RATELIMIT_LATENCIES],
                                 unsigned per_mille) {
  uint64_t all = 0;
  uint64_t below = 0;
  uint64_t wanted;
  unsigned last = 0;

  for (unsigned i = 0; i < RATELIMIT_LATENCIES; ++i) {
    all += latency[i];
    last = latency[i] > 0 ? i : last;
  }
  if (all == 0) {
    return 0;
  }
  wanted = all / 1000 * per_mille + (all % 1000 * per_mille + 999) / 1000;
  for (unsigned i = 0; i < RATELIMIT_LATENCIES - 1; ++i) {
    if (latency[i] > 0 && below + latency[i] >= wanted) {
      uint64_t low = i > 0 ? ratelimit_latency_bound(i - 1) : 0;
      uint64_t high = ratelimit_latency_bound(i);
      double part = (double)(wanted > below ? wanted - below : 0) / (double)latency[i];

      return low + (uint64_t)((double)(high - low) * part);
    }
    below += latency[i];
  }
  return ratelimit_latency_bound(last > 0 ? last - 1 : 0);
}

/* Other sources are counted, the store's are what is left. */
static void take_sources(ratelimit_view *view) {
  uint64_t all = ratelimit_decisions(view->total);
  uint64_t others = 0;

  for (unsigned i = 0; i < RATELIMIT_SOURCES; ++i) {
    view->sources[i] = load(&view->tally->sources[i]);
    others += view->sources[i];
  }
  view->sources[RLC_SOURCE_STORE] = all > others ? all - others : 0;
}

/* --- all of it ----------------------------------------------------------------------------- */

void ratelimit_view_take(ratelimit_view *view, const ratelimit_tally *tally,
                         const ratelimit_view_told *told) {
  memset(view, 0, sizeof *view);
  view->told = *told;
  view->tally = tally;
  view->trouble_ago = UINT64_MAX;
  view->since_s = told->wall_s;
  view->restarted_s = told->wall_s;
  if (tally == NULL) {
    return;
  }
  view->since_s = tally->since;
  view->restarted_s = (int64_t)load(&tally->restarted);
  for (unsigned kind = 0; kind < RATELIMIT_KINDS; ++kind) {
    view->total[kind] = load(&tally->rows[RATELIMIT_ROW_ALL].total[kind]);
  }
  take_sources(view);
  ratelimit_view_steps(view, RATELIMIT_ROW_ALL, view->fast);
  add_up(view->recent, (const uint64_t(*)[RATELIMIT_KINDS])view->fast);
  read_steps(tally->slow, RATELIMIT_SLOW, told->now_s / RATELIMIT_SLOW_S, view->slow);
  take_rows(view);
  take_offenders(view);
  take_store(view);
  take_latencies(view);
}
