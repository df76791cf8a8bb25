/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "algorithm/algorithm.h"

#define NOW INT64_C(1790000000000000)
#define DAY (UINT64_C(86400) * 1000000)
#define SPANS 40

static const char *const texts[] = {
    "5/min",
    "7/s",
    "10/s burst=20",
    "10/s burst=1",
    "333/17min",
    "1000000/day",
    "1000000000/30day",
    "123456/7day",
    "999983/s",
    "1/s",
    "5/min algorithm=fixed-window",
    "1000000000/week algorithm=fixed-window",
    "1/s algorithm=fixed-window",
    "10/min algorithm=sliding-window",
    "1/s algorithm=sliding-window",
    "2/s algorithm=sliding-window",
    "1000000000/s algorithm=sliding-window",
    "1234567/s algorithm=sliding-window",
    "1000001/s algorithm=sliding-window",
    "2000000/s algorithm=sliding-window",
    "999999999/3s algorithm=sliding-window",
    "1000000000/365day algorithm=sliding-window",
    "10/min algorithm=sliding-log",
    "1/s algorithm=sliding-log",
    "1000/17min algorithm=sliding-log",
    "10/min burst=12 debt=5",
    "10/min algorithm=sliding-log debt=7", /* what is owed makes less pass, never more */
};
static const char *const stacks[] = {
    "11/3s,40/min,999/h",
    "10/s,1000/h burst=20",
    "3/s,8/min algorithm=fixed-window",
    "3/s,8/min,40/h algorithm=sliding-window",
    "3/s,8/min,40/h algorithm=sliding-log",
};
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static uint64_t random_state = 88172645463325252u;

static uint64_t draw(uint64_t below) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state % below;
}

static rlc_policy *policy_of(const char *text) {
  rlc_policy *policy;
  char why[RLC_MESSAGE_SIZE];

  if (rlc_policy_new(&policy, NULL, text, NULL, why, sizeof why) != 0) {
    fail_msg("%s: %s", text, why);
  }
  return policy;
}

static uint64_t bound_of(const rlc_policy *policy, uint64_t span) {
  uint64_t least = UINT64_MAX;

  for (unsigned i = 0; i < policy->rates; ++i) {
    uint64_t most;

    assert_int_equal(rlc_policy_get_bound(policy, i, span, &most), 0);
    least = most < least ? most : least;
  }
  return least;
}

/* A bucket, or a window's count, that requests are sent to. */
typedef struct load {
  const rlc_policy *policy;
  uint64_t state[RLC__LOG_WORDS];
} load;

/* How much passes at |now|. */
static uint64_t room(const load *l, int64_t now) {
  rlc_result r = RLC_RESULT_INIT;

  rlc__algorithm_describe(l->policy, l->state, now, 0, 1, &r);
  return r.remaining;
}

/* Takes |cost|. Returns what passed. */
static uint64_t take(load *l, int64_t now, uint64_t cost) {
  int step = rlc__algorithm_step(l->policy, l->state, RLC__OP_CHECK, now, cost);

  return step & RLC__STEP_ALLOWED ? cost : 0;
}

/* Takes what there is, and one more, which is refused. */
static uint64_t take_all(load *l, int64_t now) {
  uint64_t all = room(l, now);

  assert_int_equal(take(l, now, all), all);
  assert_int_equal(take(l, now, 1), 0);
  return all;
}

/* --- reached ------------------------------------------------------------------------------- */

/* A microsecond from which on every span sees as many ticks pass as any of its length. */
static int64_t best_of_bucket(const rlc__rate *rate) {
  uint64_t r = (uint64_t)NOW % rate->tick_den * rate->tick_num % rate->tick_den;
  int64_t t = NOW;

  while (r != rate->tick_den - 1) {
    r = (r + rate->tick_num) % rate->tick_den;
    ++t;
  }
  return t;
}

/* Sends the requests of which most pass within |span|. Returns how many did. */
static uint64_t most_within(const rlc_policy *policy, int64_t best, uint64_t span) {
  const rlc__rate *rate = &policy->rate[0];
  load l = {policy, {0}};
  int64_t end = best + (int64_t)span;
  uint64_t sum = take_all(&l, best);
  /* A bucket is emptied before it is full again, so that nothing of its refill is lost. */
  uint64_t pause = policy->algorithm == RLC_TOKEN_BUCKET
                       ? (rate->capacity * rate->window_us / rate->quota + 1) / 2
                       : rate->window_us;

  for (int64_t t = best + (int64_t)pause; t < end && span > 0; t += (int64_t)pause) {
    sum += take_all(&l, t);
  }
  return span > 0 ? sum + take_all(&l, end) : sum;
}

static size_t make_spans(const rlc_policy *policy, uint64_t spans[SPANS]) {
  uint64_t w = policy->rate[0].window_us;
  uint64_t unit = w / policy->rate[0].quota;
  const uint64_t some[] = {0, 1, 2, unit - (unit > 0), unit, unit + 1, unit + 2, w / 2,
                           w - 1, w, w + 1, 2 * w - 1, 2 * w, 2 * w + 1, 3 * w, 4 * w + 1, 5 * w,
                           6 * w + 1, 7 * w + 2};
  size_t n = COUNT(some);

  memcpy(spans, some, sizeof some);
  if (w * 100000 > DAY) {
    spans[n++] = DAY;
  }
  while (n < SPANS) {
    spans[n++] = draw((2 + draw(30)) * w);
  }
  return n;
}

/* The bound is what passes, to the last unit, whatever the span. */
static void reached_test(void **state) {
  (void)state;
  for (size_t t = 0; t < COUNT(texts); ++t) {
    rlc_policy *policy = policy_of(texts[t]);
    const rlc__rate *rate = &policy->rate[0];
    int64_t best = policy->algorithm == RLC_TOKEN_BUCKET
                       ? best_of_bucket(rate)
                       : NOW / (int64_t)rate->window_us * (int64_t)rate->window_us - 1;
    uint64_t spans[SPANS];
    size_t n = make_spans(policy, spans);

    for (size_t i = 0; i < n; ++i) {
      uint64_t passed = most_within(policy, best, spans[i]);

      if (passed != bound_of(policy, spans[i])) {
        fail_msg("%s: in %llu us %llu passed, the bound is %llu", texts[t],
                 (unsigned long long)spans[i], (unsigned long long)passed,
                 (unsigned long long)bound_of(policy, spans[i]));
      }
    }
    rlc_policy_del(policy);
  }
}

/* --- never exceeded ------------------------------------------------------------------------ */

#define PASSED 160
#define LATEST INT64_C(4200000000000000) /* a window's end has 32 bits */

/* A moment that follows |t|: soon, when another unit is there, or where windows and steps end. */
static int64_t next_moment(const rlc_policy *policy, int64_t t) {
  const rlc__rate *rate = &policy->rate[draw(policy->rates)];
  int64_t w = (int64_t)rate->window_us;
  int64_t step = (int64_t)(rate->step_us > 0 ? rate->step_us : 1);

  switch (draw(6)) {
  case 0:
    return t + (int64_t)draw(3);
  case 1:
    return t + (int64_t)(rate->window_us / rate->quota + draw(2));
  case 2:
    return (t / w + 1) * w - 1 + (int64_t)draw(2);
  case 3:
    return t + w - 1 + (int64_t)draw(3);
  case 4:
    return (t / step + 1 + (int64_t)draw(rate->steps)) * step - 1 + (int64_t)draw(2);
  default:
    return t + (int64_t)draw(rate->window_us);
  }
}

/* Sends requests of which many pass, and looks at what passed between any two of them. */
static void search(const char *text, const rlc_policy *policy) {
  load l = {policy, {0}};
  int64_t at[PASSED];
  uint64_t cost[PASSED];
  int64_t t = NOW + (int64_t)draw(DAY);
  size_t n = 0;
  unsigned greed = (unsigned)draw(4);

  for (int tries = 0; tries < 100000 && n < PASSED && t < LATEST; ++tries) {
    uint64_t all = room(&l, t);
    uint64_t wanted = draw(4) < greed || all < 2 ? all : 1 + draw(all);
    uint64_t passed = all > 0 ? take(&l, t, wanted) : 0;

    if (passed > 0) {
      at[n] = t;
      cost[n++] = passed;
    }
    t = next_moment(policy, t);
  }
  assert_true(n == PASSED || (t >= LATEST && n > 30));
  for (size_t i = 0; i < n; ++i) {
    uint64_t sum = 0;

    for (size_t j = i; j < n; ++j) {
      sum += cost[j];
      if (sum > bound_of(policy, (uint64_t)(at[j] - at[i]))) {
        fail_msg("%s: from %lld to %lld %llu passed", text, (long long)at[i], (long long)at[j],
                 (unsigned long long)sum);
      }
    }
  }
}

/* Nothing that random requests do gets past it; of a stack no more passes than the least of its
 * rates' bounds. */
static void exceeded_test(void **state) {
  (void)state;
  for (size_t t = 0; t < COUNT(texts) + COUNT(stacks); ++t) {
    const char *text = t < COUNT(texts) ? texts[t] : stacks[t - COUNT(texts)];
    rlc_policy *policy = policy_of(text);

    for (int i = 0; i < 25; ++i) {
      search(text, policy);
    }
    rlc_policy_del(policy);
  }
}

/* --- numbers ------------------------------------------------------------------------------- */

/* What a reader of the specification computes by hand. */
static void known_test(void **state) {
  static const struct {
    const char *text;
    uint64_t span;
    uint64_t most;
  } known[] = {
      {"10/s burst=20", 0, 20},
      {"10/s burst=20", 1000000, 30},
      {"10/s burst=20", DAY, 864020},
      {"7/s", 142857, 8}, /* a seventh of a second is 142857.14 us: within the tick */
      {"7/s", 142856, 7},
      {"5000/day algorithm=fixed-window", 0, 5000},
      {"5000/day algorithm=fixed-window", DAY, 10000},
      {"5000/day algorithm=fixed-window", DAY + 1, 15000},
      {"600/min algorithm=sliding-window", 0, 600},
      {"600/min algorithm=sliding-window", 60000000, 1199},
      {"600/min algorithm=sliding-log", 0, 600},
      {"600/min algorithm=sliding-log", 59999999, 600},
      {"600/min algorithm=sliding-log", 60000000, 1200},
      {"600/min algorithm=sliding-log", DAY, 1441 * 600},
      {"20/30s algorithm=concurrency", 0, 20}, /* under way at once */
      {"20/30s algorithm=concurrency", 1, UINT64_MAX}, /* they may be given back, and taken again */
  };

  (void)state;
  for (size_t i = 0; i < COUNT(known); ++i) {
    rlc_policy *policy = policy_of(known[i].text);

    assert_int_equal(bound_of(policy, known[i].span), known[i].most);
    rlc_policy_del(policy);
  }
}

/* It grows with the span, up to the largest number there is, and never wraps. */
static void largest_test(void **state) {
  (void)state;
  for (size_t t = 0; t < COUNT(texts); ++t) {
    rlc_policy *policy = policy_of(texts[t]);
    uint64_t before = 0;

    for (unsigned bits = 0; bits < 64; ++bits) {
      uint64_t most = bound_of(policy, UINT64_MAX >> (63 - bits));

      assert_true(most >= before);
      before = most;
    }
    rlc_policy_del(policy);
  }
  {
    rlc_policy *policy = policy_of("1000000/s");

    assert_true(bound_of(policy, UINT64_MAX - 1000001) < UINT64_MAX);
    assert_true(bound_of(policy, UINT64_MAX) == UINT64_MAX);
    rlc_policy_del(policy);
  }
}

static void misuse_test(void **state) {
  rlc_policy *policy = policy_of("1/s,2/min");
  uint64_t most = 99;

  (void)state;
  assert_int_equal(rlc_policy_get_bound(policy, 2, 0, &most), RLC_ERR_INVALID);
  assert_int_equal(most, 99);
  rlc_policy_del(policy);
}

/* The most that passes in |span| from the last microsecond of each window of fifty years on, taking
 * all that each window has: where windows of the calendar are shortest, the bound is reached, and it
 * is passed nowhere. */
static void calendar_test(void **state) {
  static const char *const calendars[] = {
      "7/month algorithm=fixed-window anchor=31", "7/3month algorithm=fixed-window anchor=31",
      "7/2month algorithm=fixed-window",          "7/year algorithm=fixed-window anchor=02-29",
      "7/day algorithm=fixed-window align=calendar tz=Europe/Paris",
      "7/week algorithm=fixed-window align=calendar tz=America/New_York",
      "7/month algorithm=fixed-window tz=Australia/Lord_Howe"};

  (void)state;
  for (size_t i = 0; i < COUNT(calendars); ++i) {
    rlc_policy *policy = policy_of(calendars[i]);
    const rlc__calendar *calendar = &policy->rate[0].calendar;
    uint64_t longest = 0, shortest = UINT64_MAX;
    unsigned reached = 0;

    for (int64_t at = 0; at < INT64_C(50) * 366 * 86400;) {
      rlc__window w = rlc__calendar_window(calendar, at);
      uint64_t length = (uint64_t)(w.end_s - w.start_s) * 1000000;

      longest = length > longest ? length : longest;
      shortest = length < shortest ? length : shortest;
      at = w.end_s;
    }
    for (int64_t at = 0; at < INT64_C(50) * 366 * 86400;) {
      const uint64_t spans[] = {0, 1, shortest, shortest + 1, longest, 2 * longest};
      rlc__window w = rlc__calendar_window(calendar, at);

      for (size_t k = 0; k < COUNT(spans); ++k) {
        int64_t begin = w.end_s * 1000000 - 1;
        int64_t end = begin + (int64_t)spans[k];
        uint64_t passed = 0;

        for (int64_t t = begin; t <= end;) {
          passed += 7;
          t = rlc__calendar_window(calendar, t / 1000000).end_s * 1000000;
        }
        assert_true(passed <= bound_of(policy, spans[k]));
        reached |= (unsigned)(passed == bound_of(policy, spans[k])) << k;
      }
      at = w.end_s;
    }
    assert_int_equal(reached & 0xb, 0xb); /* at once; over one end; and a little more than one */
    rlc_policy_del(policy);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(reached_test), cmocka_unit_test(exceeded_test),
      cmocka_unit_test(known_test),   cmocka_unit_test(largest_test),
      cmocka_unit_test(misuse_test),
      cmocka_unit_test(calendar_test),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
