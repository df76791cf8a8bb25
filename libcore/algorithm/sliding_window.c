/* SPDX-License-Identifier: Apache-2.0 */
#include "algorithm/sliding_window.h"

#define US UINT64_C(1000000)

/* The window that is under way, what was counted in it and in the one before, and what of the
 * latter still weighs. */
typedef struct view {
  uint64_t end_s;
  uint64_t current;
  uint64_t previous;
  uint64_t weighted;
  int clamped;
} view;

static view look(const rlc__rate *rate, const uint64_t *words, int64_t now_us) {
  uint64_t now_s = (uint64_t)now_us / US;
  uint64_t start_s = now_s / rate->window_s * rate->window_s;
  uint64_t end_s = words[0] >> 32;
  view v = {start_s + rate->window_s, 0, 0, 0, 0};
  uint64_t left;

  if (end_s > start_s) {
    v.current = words[0] & UINT32_MAX;
    v.previous = words[1];
    v.clamped = end_s > v.end_s;
  } else if (end_s + rate->window_s > start_s) {
    v.previous = words[0] & UINT32_MAX;
  }
  left = (v.end_s * US - (uint64_t)now_us + rate->step_us - 1) / rate->step_us;
  if (left > rate->steps) {
    left = rate->steps;
  }
  v.weighted = (v.previous * left + rate->steps - 1) / rate->steps;
  return v;
}

static void pack(const view *v, uint64_t current, uint64_t *words) {
  int empty = current == 0 && v->previous == 0;

  words[0] = empty ? 0 : v->end_s << 32 | current;
  words[1] = v->previous;
}

static uint64_t room_of(const rlc__rate *rate, const view *v) {
  uint64_t used = v->current + v->weighted;

  return used < rate->quota ? rate->quota - used : 0;
}

/* What a charge may take: the debt is part of it. */
static uint64_t left_of(const rlc__rate *rate, const view *v) {
  uint64_t used = v->current + v->weighted;

  return used < rate->most ? rate->most - used : 0;
}

int rlc__sliding_window_step(const rlc__rate *rate, uint64_t *words, rlc__op op, int64_t now_us,
                             uint64_t cost) {
  view v = look(rate, words, now_us);
  uint64_t room = room_of(rate, &v);
  int fits = cost <= room;

  switch (op) {
  case RLC__OP_CHECK:
    if (!fits) {
      break;
    }
    if (cost == 0) {
      return RLC__STEP_ALLOWED;
    }
    pack(&v, v.current + cost, words);
    return RLC__STEP_ALLOWED | RLC__STEP_CHANGED;
  case RLC__OP_CHARGE:
    room = left_of(rate, &v);
    pack(&v, v.current + (cost < room ? cost : room), words);
    return RLC__STEP_ALLOWED | RLC__STEP_CHANGED;
  case RLC__OP_REFUND:
    pack(&v, v.current > cost ? v.current - cost : 0, words);
    return RLC__STEP_ALLOWED | RLC__STEP_CHANGED;
  case RLC__OP_PEEK:
  case RLC__OP_RESET:
  case RLC__OP_GRANT:
  case RLC__OP_TAKE_BACK:
  case RLC__OP_RENEW:
    return fits;
  }
  if (v.clamped) {
    pack(&v, v.current, words);
    return fits | RLC__STEP_CHANGED;
  }
  return fits;
}

int rlc__sliding_window_take_back(const rlc__rate *rate, uint64_t *words, int64_t now_us,
                                  uint64_t cost, int64_t charged_us) {
  view v = look(rate, words, now_us);

  if (v.current == 0 || words[0] >> 32 != v.end_s || charged_us > now_us ||
      charged_us < (int64_t)((v.end_s - rate->window_s) * US)) {
    return RLC__STEP_ALLOWED; /* it was another window */
  }
  pack(&v, v.current > cost ? v.current - cost : 0, words);
  return RLC__STEP_ALLOWED | RLC__STEP_CHANGED;
}

uint64_t rlc__sliding_window_left(const rlc__rate *rate, const uint64_t *words, int64_t now_us) {
  view v = look(rate, words, now_us);

  return left_of(rate, &v);
}

/* The wait until |cost| fits. In this window only the older counter fades; if that is not enough,
 * this window's count becomes the older one and fades in the next. Each wait ends at the first
 * microsecond of the step that is light enough. */
static int64_t wait_for(const rlc__rate *rate, const view *v, int64_t now_us, uint64_t cost) {
  uint64_t end_us = v->end_s * US;
  uint64_t steps;

  if (v->current + cost <= rate->quota) {
    steps = (rate->quota - v->current - cost) * rate->steps / v->previous;
  } else {
    steps = (rate->quota - cost) * rate->steps / v->current;
    end_us += rate->window_us;
  }
  return (int64_t)(end_us - steps * rate->step_us) - now_us;
}

void rlc__sliding_window_describe(const rlc__rate *rate, const uint64_t *words, int64_t now_us,
                                  uint64_t cost, int allowed, rlc_result *out) {
  view v = look(rate, words, now_us);
  int64_t left_us = (int64_t)(v.end_s * US) - now_us;

  out->limit = rate->quota;
  out->remaining = room_of(rate, &v);
  out->window_us = rate->window_us;
  if (v.current > 0) {
    out->reset_us = left_us + (int64_t)rate->window_us;
  } else {
    out->reset_us = v.previous > 0 ? left_us : 0;
  }
  if (allowed || cost <= out->remaining) {
    out->retry_us = 0;
  } else if (cost > rate->quota) {
    out->retry_us = RLC_NEVER;
  } else {
    out->retry_us = wait_for(rate, &v, now_us, cost);
  }
}

int64_t rlc__sliding_window_expiry(const rlc__rate *rate, const uint64_t *words) {
  uint64_t end_us = (words[0] >> 32) * US;

  return (int64_t)((words[0] & UINT32_MAX) > 0 ? end_us + rate->window_us : end_us);
}
