/* SPDX-License-Identifier: Apache-2.0 */
#include "algorithm/log.h"

#include <string.h>

#define US UINT64_C(1000000)

/* Where the stamps begin. The word before them says for how long units are remembered: HELD_BITS of
 * seconds, and above them the second until which that is so though a policy with a shorter window has
 * written since; 0: none has. */
#define HELD 1
#define FIRST 2
#define HELD_BITS 29u

_Static_assert(RLC__MAX_WINDOW_S < UINT64_C(1) << HELD_BITS, "a window fits");

/* --- what counts --------------------------------------------------------------------------- */

uint64_t rlc__log_longest(const rlc_policy *policy) {
  uint64_t longest = 0;

  for (unsigned i = 0; i < policy->rates; ++i) {
    longest = policy->rate[i].window_us > longest ? policy->rate[i].window_us : longest;
  }
  return longest;
}

/* Stamps above this count in a window that ends now. No free word does. */
static uint64_t floor_of(uint64_t window_us, int64_t now_us) {
  return (uint64_t)now_us > window_us ? (uint64_t)now_us - window_us : 0;
}

uint64_t rlc__log_held(const uint64_t *state) {
  return state[0] == 0 ? 0 : (state[HELD] & ((UINT64_C(1) << HELD_BITS) - 1)) * US;
}

static uint64_t used_of(const uint64_t *state, uint64_t floor) {
  uint64_t used = 0;

  for (uint64_t i = FIRST; i <= state[0]; ++i) {
    used += state[i] > floor;
  }
  return used;
}

/* What one look at all words tells: of those above |floor| how many there are, the oldest and the
 * newest. */
typedef struct scan {
  uint64_t used;
  uint64_t oldest;
  uint64_t newest;
} scan;

static scan scan_of(const uint64_t *state, uint64_t floor) {
  scan s = {0, UINT64_MAX, 0};

  for (uint64_t i = FIRST; i <= state[0]; ++i) {
    uint64_t counts = state[i] > floor;
    uint64_t stamp = counts ? state[i] : UINT64_MAX;

    s.used += counts;
    s.oldest = stamp < s.oldest ? stamp : s.oldest;
    s.newest = state[i] > s.newest ? state[i] : s.newest;
  }
  return s;
}

static uint64_t newest_of(const uint64_t *state) {
  uint64_t newest = 0;

  for (uint64_t i = FIRST; i <= state[0]; ++i) {
    newest = state[i] > newest ? state[i] : newest;
  }
  return newest;
}

static void exchange(uint64_t *a, uint64_t *b) {
  uint64_t was = *a;

  *a = *b;
  *b = was;
}

/* Returns the |k|th smallest, from 1, of the stamps above |floor|, of which there are so many. */
static uint64_t smallest(const uint64_t *state, uint64_t floor, uint64_t k) {
  uint64_t some[RLC_MAX_LOG];
  size_t n = 0, from = 0, to;

  for (uint64_t i = FIRST; i <= state[0]; ++i) {
    if (state[i] > floor) {
      some[n++] = state[i];
    }
  }
  for (to = n; to - from > 1;) { /* Hoare's selection: it lies between from and before to */
    uint64_t pivot = some[from + (to - 1 - from) / 2];
    size_t left = from, right = to - 1;

    for (;;) {
      for (; some[left] < pivot; ++left) {
      }
      for (; some[right] > pivot; --right) {
      }
      if (left >= right) {
        break;
      }
      exchange(&some[left++], &some[right--]);
    }
    /* Up to |right|, which is not the last, none is above the pivot, and behind it none below. */
    if (k - 1 <= right) {
      to = right + 1;
    } else {
      from = right + 1;
    }
  }
  return some[from];
}

/* --- changing ------------------------------------------------------------------------------ */

/* Makes the state what is seen of it: what counts no more is free, what lies beyond now is now. */
static void settle(uint64_t *state, uint64_t floor, int64_t now_us) {
  uint64_t end = 0;

  for (uint64_t i = FIRST; i <= state[0]; ++i) {
    if (state[i] <= floor) {
      state[i] = 0;
      continue;
    }
    if (state[i] > (uint64_t)now_us) {
      state[i] = (uint64_t)now_us;
    }
    end = i;
  }
  state[0] = end;
}

/* Adds |n| units of now, in the first words that are free. */
static void add(uint64_t *state, int64_t now_us, uint64_t n) {
  for (uint64_t i = FIRST; n > 0 && i < RLC__LOG_WORDS; ++i) {
    if (i > state[0]) {
      state[0] = i;
      state[i] = 0;
    }
    if (state[i] == 0) {
      state[i] = (uint64_t)now_us;
      --n;
    }
  }
}

/* Frees the |n| oldest units above |floor|, or all of these. */
static void remove_oldest(uint64_t *state, uint64_t floor, uint64_t n) {
  uint64_t used = used_of(state, floor);
  uint64_t last = UINT64_MAX, below = 0;

  if (n == 0) {
    return;
  }
  if (n < used) {
    last = smallest(state, floor, n);
  }
  for (uint64_t i = FIRST; i <= state[0]; ++i) {
    below += state[i] > floor && state[i] < last;
  }
  n -= below < n ? below : n; /* of those that are as old as the last one */
  for (uint64_t i = FIRST; i <= state[0]; ++i) {
    if (state[i] > floor && (state[i] < last || (state[i] == last && n > 0))) {
      n -= state[i] == last;
      state[i] = 0;
    }
  }
}

/* Forgets what is to be forgotten, before |n| units are added. */
static void renew_state(const rlc_policy *policy, uint64_t *state, int64_t now_us, uint64_t n) {
  uint64_t now = (uint64_t)now_us;
  uint64_t own = rlc__log_longest(policy);
  uint64_t held = rlc__log_held(state);
  uint64_t until = 0, used;

  if (held > own) { /* a policy with a longer window was here */
    uint64_t newest = newest_of(state);

    until = state[HELD] >> HELD_BITS;
    until = until > 0 ? until * US : (newest < now ? newest : now) + held;
    until = until < now + held ? until : now + held;
  }
  if (until <= now) {
    held = own;
    until = 0;
  }
  settle(state, floor_of(held, now_us), now_us);
  used = used_of(state, 0);
  if (used + n > RLC_MAX_LOG) { /* of what only that other policy would count */
    remove_oldest(state, 0, used + n - RLC_MAX_LOG);
  }
  state[0] = state[0] > HELD ? state[0] : HELD;
  state[HELD] = (until + US - 1) / US << HELD_BITS | held / US;
}

/* Nothing but what is remembered of nothing is none. */
static void finish(uint64_t *state) {
  while (state[0] >= FIRST && state[state[0]] == 0) {
    --state[0];
  }
  state[0] = state[0] < FIRST ? 0 : state[0];
}

/* How many units still fit: of what a check may take, or of what a charge may. |*newest| is the newest
 * stamp. */
static uint64_t room_of(const rlc_policy *policy, const uint64_t *state, int64_t now_us,
                        int is_charge, uint64_t *newest) {
  uint64_t room = UINT64_MAX;

  *newest = 0;
  for (unsigned i = 0; i < policy->rates; ++i) {
    const rlc__rate *rate = &policy->rate[i];
    uint64_t most = is_charge ? rlc__log_most(rate) : rate->capacity;
    scan s = scan_of(state, floor_of(rate->window_us, now_us));
    uint64_t one = s.used < most ? most - s.used : 0;

    *newest = s.newest;
    room = one < room ? one : room;
  }
  return room;
}

int rlc__log_step(const rlc_policy *policy, uint64_t *state, rlc__op op, int64_t now_us,
                  uint64_t cost, uint64_t *charged) {
  uint64_t floor = floor_of(rlc__log_longest(policy), now_us);
  uint64_t room, newest;

  *charged = 0;
  if (op == RLC__OP_REFUND && cost > 0) {
    renew_state(policy, state, now_us, 0);
    remove_oldest(state, floor, cost);
    finish(state);
    return RLC__STEP_ALLOWED | RLC__STEP_CHANGED;
  }
  if (cost == 0) {
    return RLC__STEP_ALLOWED;
  }
  room = room_of(policy, state, now_us, op == RLC__OP_CHARGE, &newest);
  if (op == RLC__OP_CHARGE || (op == RLC__OP_CHECK && cost <= room)) {
    *charged = cost < room ? cost : room;
    renew_state(policy, state, now_us, *charged);
    add(state, now_us, *charged);
    finish(state);
    return RLC__STEP_ALLOWED | RLC__STEP_CHANGED;
  }
  if (op == RLC__OP_CHECK && newest > (uint64_t)now_us) {
    renew_state(policy, state, now_us, 0);
    finish(state);
    return RLC__STEP_DENIED | RLC__STEP_CHANGED;
  }
  return cost <= room ? RLC__STEP_ALLOWED : RLC__STEP_DENIED;
}

/* How many units of the stamp |charged_us| count. */
static uint64_t found_of(const rlc_policy *policy, const uint64_t *state, int64_t now_us,
                         int64_t charged_us) {
  uint64_t found = 0;

  if (charged_us <= 0 ||
      (uint64_t)charged_us <= floor_of(rlc__log_longest(policy), now_us)) {
    return 0;
  }
  for (uint64_t i = FIRST; i <= state[0]; ++i) {
    found += state[i] == (uint64_t)charged_us;
  }
  return found;
}

/* Makes up to |n| words of |stamp| be |by|. */
static void replace(uint64_t *state, uint64_t stamp, uint64_t by, uint64_t n) {
  for (uint64_t i = FIRST; i <= state[0] && n > 0; ++i) {
    if (state[i] == stamp) {
      state[i] = by;
      --n;
    }
  }
}

int rlc__log_take_back(const rlc_policy *policy, uint64_t *state, int64_t now_us, uint64_t cost,
                       int64_t charged_us) {
  uint64_t found = found_of(policy, state, now_us, charged_us);

  if (found == 0 || cost == 0) {
    return RLC__STEP_ALLOWED;
  }
  renew_state(policy, state, now_us, 0);
  /* What lay beyond now is now. */
  replace(state, (uint64_t)(charged_us < now_us ? charged_us : now_us), 0,
          cost < found ? cost : found);
  finish(state);
  return RLC__STEP_ALLOWED | RLC__STEP_CHANGED;
}

int rlc__log_renew(const rlc_policy *policy, uint64_t *state, int64_t now_us, uint64_t cost,
                   int64_t charged_us) {
  if (cost == 0 || found_of(policy, state, now_us, charged_us) < cost) {
    return RLC__STEP_DENIED;
  }
  renew_state(policy, state, now_us, 0);
  replace(state, (uint64_t)charged_us, (uint64_t)now_us, cost);
  return RLC__STEP_ALLOWED | RLC__STEP_CHANGED;
}

/* --- telling ------------------------------------------------------------------------------- */

static int64_t wait_of(uint64_t stamp, uint64_t window_us, int64_t now_us) {
  return (int64_t)((stamp < (uint64_t)now_us ? stamp : (uint64_t)now_us) + window_us) - now_us;
}

void rlc__log_look(const rlc_policy *policy, const uint64_t *state, int64_t now_us, uint64_t cost,
                   rlc__log_view *view) {
  for (unsigned i = 0; i < policy->rates; ++i) {
    const rlc__rate *rate = &policy->rate[i];
    uint64_t floor = floor_of(rate->window_us, now_us);
    scan s = scan_of(state, floor);

    view[i] = (rlc__log_view){s.used, 0, 0};
    if (s.used > 0) {
      view[i].reset_us = wait_of(s.newest, rate->window_us, now_us);
    }
    if (cost > 0 && cost <= rate->capacity && s.used + cost > rate->capacity) {
      uint64_t k = s.used + cost - rate->capacity; /* mostly 1 */

      view[i].retry_us = wait_of(k == 1 ? s.oldest : smallest(state, floor, k), rate->window_us,
                                 now_us);
    }
  }
}

static int rate_fits(const rlc__rate *rate, const rlc__log_view *view, uint64_t cost) {
  return cost == 0 || (cost <= rate->capacity && view->used <= rate->capacity - cost);
}

int rlc__log_fits(const rlc_policy *policy, const rlc__log_view *view, uint64_t cost) {
  for (unsigned i = 0; i < policy->rates; ++i) {
    if (!rate_fits(&policy->rate[i], &view[i], cost)) {
      return 0;
    }
  }
  return 1;
}

void rlc__log_tell(const rlc_policy *policy, const rlc__log_view *view, uint64_t cost, int allowed,
                   rlc_result *out) {
  out->allowed = allowed & 1;
  for (unsigned i = 0; i < policy->rates; ++i) {
    const rlc__rate *rate = &policy->rate[i];
    rlc_result one = RLC_RESULT_INIT;

    one.limit = rate->capacity;
    one.remaining = view[i].used < rate->capacity ? rate->capacity - view[i].used : 0;
    one.window_us = rate->window_us;
    one.reset_us = view[i].reset_us;
    if (!(allowed & 1) && !rate_fits(rate, &view[i], cost)) {
      one.retry_us = cost > rate->capacity ? RLC_NEVER : view[i].retry_us;
    }
    if (i == 0 || rlc__algorithm_binds(&one, out, allowed & 1)) {
      out->rate_index = i;
      out->limit = one.limit;
      out->remaining = one.remaining;
      out->window_us = one.window_us;
      out->retry_us = one.retry_us;
      out->reset_us = one.reset_us;
    }
  }
}

int64_t rlc__log_expiry(const rlc_policy *policy, const uint64_t *state) {
  uint64_t newest = newest_of(state);
  uint64_t until = state[0] == 0 ? 0 : (state[HELD] >> HELD_BITS) * US;
  uint64_t ends = newest > 0 ? newest + rlc__log_longest(policy) : 0;

  return (int64_t)(ends > until ? ends : until);
}
