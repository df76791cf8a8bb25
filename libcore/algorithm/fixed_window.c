/* SPDX-License-Identifier: Apache-2.0 */
#include "algorithm/fixed_window.h"

#define US UINT64_C(1000000)

/* The window that is under way and what was counted in it. |clamped|: the word spoke of a window
 * that ends later, since the clock went back or the policy's window became shorter. */
typedef struct view {
  uint64_t end_s;
  uint64_t count;
  uint64_t length_s;
  int clamped;
} view;

static void place(view *v, const rlc__rate *rate, uint64_t now_s) {
  if (rate->calendar.span == RLC__SPAN_SECONDS) {
    v->end_s = (now_s / rate->window_s + 1) * rate->window_s;
    v->length_s = rate->window_s;
  } else {
    rlc__window w = rlc__calendar_window(&rate->calendar, (int64_t)now_s);

    v->end_s = (uint64_t)w.end_s;
    v->length_s = (uint64_t)(w.end_s - w.start_s);
  }
}

static view look(const rlc__rate *rate, uint64_t word, int64_t now_us) {
  uint64_t now_s = (uint64_t)now_us / US;
  uint64_t end_s = word >> 32;
  view v = {0, 0, 0, 0};

  place(&v, rate, now_s);
  if (end_s > now_s) {
    v.count = word & UINT32_MAX;
    v.clamped = end_s > v.end_s;
  }
  return v;
}

/* What a charge may take: the debt is part of it. */
static uint64_t left_of(const rlc__rate *rate, const view *v) {
  return v->count < rate->most ? rate->most - v->count : 0;
}

static uint64_t pack(const view *v, uint64_t count) {
  return count == 0 ? 0 : v->end_s << 32 | count;
}

int rlc__fixed_window_step(const rlc__rate *rate, uint64_t *word, rlc__op op, int64_t now_us,
                           uint64_t cost) {
  view v = look(rate, *word, now_us);
  uint64_t room = v.count < rate->quota ? rate->quota - v.count : 0;
  int fits = cost <= room;

  switch (op) {
  case RLC__OP_CHECK:
    if (!fits) {
      break;
    }
    if (cost == 0) {
      return RLC__STEP_ALLOWED;
    }
    *word = pack(&v, v.count + cost);
    return RLC__STEP_ALLOWED | RLC__STEP_CHANGED;
  case RLC__OP_CHARGE:
    room = left_of(rate, &v);
    *word = pack(&v, v.count + (cost < room ? cost : room));
    return RLC__STEP_ALLOWED | RLC__STEP_CHANGED;
  case RLC__OP_REFUND:
    *word = pack(&v, v.count > cost ? v.count - cost : 0);
    return RLC__STEP_ALLOWED | RLC__STEP_CHANGED;
  case RLC__OP_PEEK:
  case RLC__OP_RESET:
  case RLC__OP_GRANT:
  case RLC__OP_TAKE_BACK:
  case RLC__OP_RENEW:
    return fits;
  }
  if (v.clamped) {
    *word = pack(&v, v.count);
    return fits | RLC__STEP_CHANGED;
  }
  return fits;
}

int rlc__fixed_window_take_back(const rlc__rate *rate, uint64_t *word, int64_t now_us, uint64_t cost,
                                int64_t charged_us) {
  view v = look(rate, *word, now_us);

  if (v.count == 0 || *word >> 32 != v.end_s || charged_us > now_us ||
      charged_us < (int64_t)((v.end_s - v.length_s) * US)) {
    return RLC__STEP_ALLOWED; /* it was another window */
  }
  *word = pack(&v, v.count > cost ? v.count - cost : 0);
  return RLC__STEP_ALLOWED | RLC__STEP_CHANGED;
}

uint64_t rlc__fixed_window_left(const rlc__rate *rate, const uint64_t *word, int64_t now_us) {
  view v = look(rate, *word, now_us);

  return left_of(rate, &v);
}

void rlc__fixed_window_describe(const rlc__rate *rate, const uint64_t *word, int64_t now_us,
                                uint64_t cost, int allowed, rlc_result *out) {
  view v = look(rate, *word, now_us);
  int64_t left_us = (int64_t)(v.end_s * US) - now_us;

  out->limit = rate->quota;
  out->remaining = v.count < rate->quota ? rate->quota - v.count : 0;
  out->window_us = v.length_s * US;
  out->reset_us = v.count > 0 ? left_us : 0;
  if (allowed || cost <= out->remaining) {
    out->retry_us = 0;
  } else {
    out->retry_us = cost > rate->quota ? RLC_NEVER : left_us;
  }
}

int64_t rlc__fixed_window_expiry(const rlc__rate *rate, const uint64_t *word) {
  (void)rate;
  return (int64_t)((*word >> 32) * US);
}
