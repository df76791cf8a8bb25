/* SPDX-License-Identifier: Apache-2.0 */

/* Logs: sliding-log and concurrency, by the stores' own interface, with receipts, taking back and
 * renewing. Time is passed in. */

#include "table_help.h"

#include <time.h>

#include "algorithm/log.h"
#include "redis_server.h"

#define MOST RLC_MAX_LOG

/* --- a model ------------------------------------------------------------------------------- */

/* What the specification says, as plainly as it can be said: all units, the oldest first; for how long
 * they are remembered; and until when that is so though this policy's windows are shorter, or 0. */
typedef struct model {
  size_t n;
  int64_t at[2 * MOST + 1];
  int64_t held;
  int64_t until;
} model;

static void add(model *m, int64_t at, uint64_t n) {
  for (; n > 0; --n) {
    size_t i = m->n++;

    for (; i > 0 && m->at[i - 1] > at; --i) {
      m->at[i] = m->at[i - 1];
    }
    m->at[i] = at;
  }
}

static void drop(model *m, size_t i) {
  memmove(&m->at[i], &m->at[i + 1], (--m->n - i) * sizeof m->at[0]);
}

/* What is seen of it: of what lies beyond now, that it is now; of what is older than |window|, nothing. */
static void settle(model *m, int64_t now, int64_t window) {
  while (m->n > 0 && m->at[0] + window <= now) {
    drop(m, 0);
  }
  for (size_t i = 0; i < m->n; ++i) {
    m->at[i] = m->at[i] < now ? m->at[i] : now;
  }
}

static int64_t longest_of(const rlc_policy *policy) {
  return (int64_t)rlc__log_longest(policy);
}

/* As a write of |policy| leaves it, before |n| units are added. */
static void rewrite(model *m, const rlc_policy *policy, int64_t now, uint64_t n) {
  int64_t own = longest_of(policy);
  int64_t newest = m->n > 0 ? m->at[m->n - 1] : 0;

  if (m->n > 0 && m->held > own) {
    m->until = m->until > 0 ? m->until : (newest < now ? newest : now) + m->held;
    m->until = m->until < now + m->held ? m->until : now + m->held;
    m->until = m->until > now ? (m->until + SECOND - 1) / SECOND * SECOND : 0;
  } else {
    m->until = 0;
  }
  m->held = m->until > 0 ? m->held : own;
  settle(m, now, m->held);
  while (m->n + n > MOST) {
    drop(m, 0);
  }
}

static uint64_t used_of(const model *m, const rlc__rate *rate, int64_t now) {
  model seen = *m;

  settle(&seen, now, (int64_t)rate->window_us);
  return seen.n;
}

static int fits(const model *m, const rlc_policy *policy, int64_t now, uint64_t cost) {
  for (unsigned i = 0; i < policy->rates; ++i) {
    if (cost > 0 && used_of(m, &policy->rate[i], now) + cost > policy->rate[i].quota) {
      return 0;
    }
  }
  return 1;
}

/* What of a result follows from the units: of the rate that is told of. */
static void expect(const model *m, const rlc__item *item, int64_t now) {
  const rlc__rate *rate = &item->policy->rate[item->result.rate_index];
  const rlc_result *r = &item->result;
  model seen = *m;
  int64_t retry = 0;

  settle(&seen, now, (int64_t)rate->window_us);
  if (item->cost > rate->quota) {
    retry = RLC_NEVER;
  } else if (item->cost > 0 && seen.n + item->cost > rate->quota) {
    retry = seen.at[seen.n + item->cost - rate->quota - 1] + (int64_t)rate->window_us - now;
  }
  assert_int_equal(r->source, RLC_SOURCE_STORE);
  assert_int_equal(r->limit, rate->quota);
  assert_int_equal(r->window_us, rate->window_us);
  assert_int_equal(r->remaining, rate->quota > seen.n ? rate->quota - seen.n : 0);
  assert_int_equal(r->retry_us, r->allowed ? 0 : retry);
  assert_int_equal(r->reset_us,
                   seen.n > 0 ? seen.at[seen.n - 1] + (int64_t)rate->window_us - now : 0);
}

/* Does |op| with the model. Returns whether it is allowed, and the units that were added. */
static int act(model *m, const rlc__item *item, rlc__op op, int64_t now, int64_t charged_us,
               uint64_t *added) {
  const rlc_policy *policy = item->policy;
  int64_t window = longest_of(policy);
  uint64_t room = UINT64_MAX;
  size_t first = 0, same = 0;
  int allowed = fits(m, policy, now, item->cost);

  *added = 0;
  for (unsigned i = 0; i < policy->rates; ++i) {
    uint64_t used = used_of(m, &policy->rate[i], now);
    uint64_t one = policy->rate[i].quota > used ? policy->rate[i].quota - used : 0;

    room = one < room ? one : room;
  }
  for (size_t i = m->n; i-- > 0;) {
    if (m->at[i] == charged_us) {
      first = i;
      ++same;
    }
  }
  if (charged_us + window <= now) {
    same = 0;
  }
  if (item->cost == 0 && op != RLC__OP_RESET) {
    return 1;
  }
  switch (op) {
  case RLC__OP_CHECK:
    *added = allowed ? item->cost : 0;
    if (allowed || (m->n > 0 && m->at[m->n - 1] > now)) {
      rewrite(m, policy, now, *added);
    }
    break;
  case RLC__OP_CHARGE:
    *added = item->cost < room ? item->cost : room;
    rewrite(m, policy, now, *added);
    allowed = 1;
    break;
  case RLC__OP_REFUND:
    rewrite(m, policy, now, 0);
    for (first = 0; first < m->n && m->at[first] + window <= now; ++first) {
    }
    for (uint64_t i = 0; i < item->cost && m->n > first; ++i) {
      drop(m, first);
    }
    return 1;
  case RLC__OP_RESET:
    m->n = 0;
    return 1;
  case RLC__OP_TAKE_BACK:
    if (same > 0) {
      const int64_t newest = m->at[m->n - 1];

      for (uint64_t i = 0; i < item->cost && i < same; ++i) {
        drop(m, first);
      }
      add(m, newest, 1); /* till when it is held follows from what was there */
      rewrite(m, policy, now, 0);
      drop(m, m->n - 1);
    }
    return 1;
  case RLC__OP_RENEW:
    allowed = same >= item->cost;
    if (allowed) {
      const int64_t newest = m->at[m->n - 1];

      for (uint64_t i = 0; i < item->cost; ++i) {
        drop(m, first);
      }
      add(m, newest, 1);
      rewrite(m, policy, now, 0);
      drop(m, m->n - 1);
      *added = item->cost;
    }
    break;
  case RLC__OP_PEEK:
  case RLC__OP_GRANT:
    break;
  }
  add(m, now, *added);
  return allowed;
}

/* --- every store against the model --------------------------------------------------------- */

static uint64_t seed = 88172645463325252u;

static uint64_t draw(uint64_t below) {
  seed ^= seed << 13;
  seed ^= seed >> 7;
  seed ^= seed << 17;
  return (seed >> 11) % below;
}

/* By turns those of a row, under one name. */
static const char *const texts[][3] = {
    {"5/10s algorithm=sliding-log", "3/4s algorithm=sliding-log", "9/20s algorithm=sliding-log"},
    {"300/10s algorithm=sliding-log", "1000/min algorithm=sliding-log", "4/10s algorithm=sliding-log"},
    {"5/2s,12/10s algorithm=sliding-log", "4/s,90/min algorithm=sliding-log",
     "40/3s,30/2s algorithm=sliding-log"},
    {"4/10s algorithm=concurrency", "2/10s algorithm=concurrency", "40/3s algorithm=concurrency"},
    {"100/10s algorithm=concurrency", "1000/10s algorithm=concurrency", "100/h algorithm=concurrency"},
};
#define FAMILIES (sizeof texts / sizeof texts[0])
#define RECEIPTS 16

static uint64_t draw_cost(uint64_t quota) {
  const uint64_t some[] = {0, 1, 1, 1, 1, 2, 3, quota / 4, quota / 2, quota, quota + 1};

  return some[draw(sizeof some / sizeof *some)];
}

static int64_t draw_time(int64_t now, const rlc_policy *policy) {
  int64_t window = (int64_t)policy->rate[draw(policy->rates)].window_us;

  switch (draw(12)) {
  case 0:
  case 1:
  case 2:
    return now;
  case 3:
    return now + window;
  case 4:
    return now + window - 1;
  case 5:
    return draw(4) == 0 ? now - (int64_t)draw((uint64_t)window) : now;
  case 6:
    return draw(8) == 0 ? now - 3 * window : now + 1;
  default:
    return now + (int64_t)draw((uint64_t)window / 8);
  }
}

/* A random call, and the same of the model. */
static void one_call(rlc__store *store, model *m, rlc_policy *const *policies, size_t family,
                     int64_t *now) {
  static const rlc__op ops[] = {RLC__OP_CHECK, RLC__OP_CHECK,     RLC__OP_CHECK,     RLC__OP_CHECK,
                                RLC__OP_CHECK, RLC__OP_PEEK,      RLC__OP_CHARGE,    RLC__OP_REFUND,
                                RLC__OP_RENEW, RLC__OP_TAKE_BACK, RLC__OP_TAKE_BACK, RLC__OP_RESET};
  static struct {
    int64_t at;
    uint64_t cost;
  } receipts[FAMILIES][RECEIPTS];
  const rlc_policy *policy = policies[draw(10) == 0 ? 1 + draw(2) : 0];
  rlc__op op = ops[draw(draw(30) == 0 ? 12 : 11)];
  size_t which = draw(RECEIPTS);
  rlc__item item = item_of(policy, "k", draw_cost(policy->rate[0].quota));
  rlc__call call = {op, &item, 1, 0, 0, draw(2) == 0};
  int64_t charged = receipts[family][which].at;
  uint64_t added;
  int allowed;

  if (op == RLC__OP_RENEW && policy->algorithm != RLC_CONCURRENCY) {
    return;
  }
  if (op == RLC__OP_RENEW || op == RLC__OP_TAKE_BACK) {
    item.cost = draw(9) == 0 ? 1 + draw(9) : receipts[family][which].cost;
    if (charged == 0 || item.cost == 0) {
      return;
    }
  }
  item.charged_us = charged;
  call.now_us = *now = draw_time(*now, policy);
  assert_int_equal(store->ops->decide(store, &call), 0);
  allowed = act(m, &item, op, *now, charged, &added);
  assert_int_equal(item.result.allowed, allowed);
  if (op == RLC__OP_RESET) {
    item.cost = 0;
  }
  expect(m, &item, *now);
  if (op == RLC__OP_RENEW) {
    assert_int_equal(item.charged_us, allowed ? *now : 0);
  } else if (call.receipts && op != RLC__OP_TAKE_BACK && op != RLC__OP_RESET) {
    assert_int_equal(item.charged_us, added > 0 ? *now : 0);
    assert_int_equal(item.result.charged, added);
  } else {
    assert_int_equal(item.result.charged, op == RLC__OP_CHECK || op == RLC__OP_CHARGE ? added : 0);
  }
  if (added > 0) {
    receipts[family][which].at = *now;
    receipts[family][which].cost = added;
  }
}

static void random_calls(rlc__store *store, unsigned calls) {
  for (size_t f = 0; f < FAMILIES; ++f) {
    rlc_policy *policies[3];
    model m = {.n = 0};
    int64_t now = DAY;
    rlc__item item;
    rlc__call call = {RLC__OP_RESET, &item, 1, 0, DAY, 0};

    for (size_t i = 0; i < 3; ++i) {
      policies[i] = parse(texts[f][i]);
    }
    for (unsigned i = 0; i < calls; ++i) {
      one_call(store, &m, policies, f, &now);
    }
    item = item_of(policies[0], "k", 0);
    assert_int_equal(store->ops->decide(store, &call), 0);
    for (size_t i = 0; i < 3; ++i) {
      rlc_policy_del(policies[i]);
    }
  }
}

/* A table says to the last microsecond what follows from the units, whatever comes before. */
static void test_table_against_model(void **state) {
  rlc__store *store = shared_table(64);

  (void)state;
  random_calls(store, 20000);
  assert_int_equal(stats_of(store).slots_used, 0);
  assert_int_equal(stats_of(store).evicted_live, 0);
  store->ops->del(store);
}

static redis_server server;

static rlc__store *open_redis(void) {
  rlc_options options = no_options();
  rlc__store *store;
  rlc__url *url;
  char text[200];

  assert_int_equal(redis_server_start(&server), 0);
  snprintf(text, sizeof text, "%s?timeout=10s", server.url);
  assert_int_equal(rlc__url_new(&url, text, &options.memory, why, sizeof why), 0);
  assert_int_equal(rlc__redis_store_new(&store, url, &options, why, sizeof why), 0);
  rlc__url_del(url);
  return store;
}

/* In each store the deadline is far off; the table waits for nothing. */
static int patient_decide(rlc__store *store, rlc__call *call);

typedef struct patient {
  rlc__store base;
  rlc__store *inner;
} patient;

static int patient_decide(rlc__store *store, rlc__call *call) {
  struct timespec t;

  clock_gettime(CLOCK_MONOTONIC, &t);
  call->deadline_us = (int64_t)t.tv_sec * 1000000 + 10 * SECOND;
  return ((patient *)store)->inner->ops->decide(((patient *)store)->inner, call);
}

static patient redis_store(void) {
  static const rlc__store_ops ops = {.decide = patient_decide};
  patient p = {{&ops}, open_redis()};

  return p;
}

static void redis_store_end(patient *p) {
  p->inner->ops->del(p->inner);
  redis_server_stop(&server);
}

/* So does the Lua in a real Redis, alone and among several. */
static void test_redis_against_model(void **state) {
  patient p = redis_store();

  (void)state;
  random_calls(&p.base, 6000);
  redis_store_end(&p);
}

/* --- leases -------------------------------------------------------------------------------- */

typedef struct slots {
  rlc__store *store;
  rlc_policy *policy;
} slots;

static int64_t settle_slot(const slots *s, rlc__op op, uint64_t cost, int64_t charged_us,
                           int64_t now_us) {
  rlc__item item = item_of(s->policy, "k", cost);
  rlc__call call = {op, &item, 1, 0, now_us, 1};

  item.charged_us = charged_us;
  assert_int_equal(s->store->ops->decide(s->store, &call), 0);
  return item.charged_us;
}

/* What a lease promises: a slot is held to the end of its window and free again at that microsecond; it
 * is taken back once and exactly; a renewed one begins anew, and one that has ended cannot be renewed. */
static void hold_leases(rlc__store *store) {
  slots s = {store, parse("3/30s algorithm=concurrency")};
  int64_t a = settle_slot(&s, RLC__OP_CHECK, 1, 0, DAY);
  int64_t b = settle_slot(&s, RLC__OP_CHECK, 1, 0, DAY + 5 * SECOND);
  int64_t c = settle_slot(&s, RLC__OP_CHECK, 1, 0, DAY + 5 * SECOND);

  assert_int_equal(a, DAY);
  assert_int_equal(b, DAY + 5 * SECOND);
  assert_int_equal(c, b);
  assert_int_equal(settle_slot(&s, RLC__OP_CHECK, 1, 0, DAY + 6 * SECOND), 0);
  /* One of two that began together goes, the other stays; a stranger's receipt takes nothing. */
  settle_slot(&s, RLC__OP_TAKE_BACK, 1, b, DAY + 7 * SECOND);
  assert_int_equal(remaining(store, s.policy, "k", DAY + 7 * SECOND), 1);
  settle_slot(&s, RLC__OP_TAKE_BACK, 1, DAY + 7 * SECOND, DAY + 7 * SECOND);
  assert_int_equal(remaining(store, s.policy, "k", DAY + 7 * SECOND), 1);
  /* The first is renewed at its last microsecond; at the next it would have been lost. */
  a = settle_slot(&s, RLC__OP_RENEW, 1, a, DAY + 30 * SECOND - 1);
  assert_int_equal(a, DAY + 30 * SECOND - 1);
  assert_int_equal(remaining(store, s.policy, "k", DAY + 35 * SECOND - 1), 1);
  assert_int_equal(remaining(store, s.policy, "k", DAY + 35 * SECOND), 2);
  assert_int_equal(settle_slot(&s, RLC__OP_RENEW, 1, c, DAY + 35 * SECOND), 0);
  assert_int_equal(settle_slot(&s, RLC__OP_RENEW, 2, a, DAY + 35 * SECOND), 0);
  assert_int_equal(remaining(store, s.policy, "k", DAY + 60 * SECOND - 2), 2);
  assert_int_equal(remaining(store, s.policy, "k", DAY + 60 * SECOND - 1), 3);
  settle_slot(&s, RLC__OP_TAKE_BACK, 1, a, DAY + 60 * SECOND - 1); /* ended: nothing is left to take */
  assert_int_equal(remaining(store, s.policy, "k", DAY + 59 * SECOND), 2);
  settle_slot(&s, RLC__OP_TAKE_BACK, 1, a, DAY + 59 * SECOND);
  settle_slot(&s, RLC__OP_TAKE_BACK, 1, a, DAY + 59 * SECOND);
  assert_int_equal(remaining(store, s.policy, "k", DAY + 59 * SECOND), 3);
  rlc_policy_del(s.policy);
}

static void test_leases_in_a_table(void **state) {
  rlc__store *store = shared_table(64);

  (void)state;
  hold_leases(store);
  assert_int_equal(stats_of(store).slots_used, 0);
  store->ops->del(store);
}

static void test_leases_in_redis(void **state) {
  patient p = redis_store();

  (void)state;
  hold_leases(&p.base);
  redis_store_end(&p);
}

/* Items of a call are renewed and taken back each by its own receipt; a lost one does not keep the
 * others from it. */
static void several_receipts(rlc__store *store) {
  rlc_policy *policy = parse("3/30s algorithm=concurrency");
  rlc__item items[2] = {item_of(policy, "a", 1), item_of(policy, "b", 2)};
  rlc__call call = {RLC__OP_CHECK, &items[0], 1, 0, DAY, 1};

  assert_int_equal(store->ops->decide(store, &call), 0);
  call.items = &items[1];
  call.now_us = DAY + 20 * SECOND;
  assert_int_equal(store->ops->decide(store, &call), 0);
  call = (rlc__call){RLC__OP_RENEW, items, 2, 0, DAY + 40 * SECOND, 0};
  assert_int_equal(store->ops->decide(store, &call), 0);
  assert_int_equal(items[0].charged_us, 0);
  assert_int_equal(items[1].charged_us, DAY + 40 * SECOND);
  call = (rlc__call){RLC__OP_CHECK, &items[0], 1, 0, DAY + 50 * SECOND, 1};
  assert_int_equal(store->ops->decide(store, &call), 0);
  call = (rlc__call){RLC__OP_TAKE_BACK, items, 2, 0, DAY + 51 * SECOND, 0};
  assert_int_equal(store->ops->decide(store, &call), 0);
  assert_int_equal(remaining(store, policy, "a", DAY + 51 * SECOND), 3);
  assert_int_equal(remaining(store, policy, "b", DAY + 51 * SECOND), 3);
  rlc_policy_del(policy);
}

static void test_several_receipts(void **state) {
  rlc__store *store = shared_table(64);
  patient p = redis_store();

  (void)state;
  several_receipts(store);
  several_receipts(&p.base);
  redis_store_end(&p);
  store->ops->del(store);
}

/* A policy with a shorter window that comes between does not make the one with the longer forget: what
 * it has passed within its window counts when it comes back, with what the other has passed since. */
static void there_and_back(rlc__store *store) {
  rlc_policy *tight = parse("20/20s algorithm=sliding-log");
  rlc_policy *loose = parse("5/2s algorithm=sliding-log");

  assert_true(check(store, tight, "back", 18, DAY));
  assert_true(check(store, loose, "back", 5, DAY + 3 * SECOND));
  assert_false(check(store, loose, "back", 1, DAY + 4 * SECOND));
  assert_true(check(store, loose, "back", 5, DAY + 6 * SECOND));
  assert_false(check(store, tight, "back", 1, DAY + 20 * SECOND - 1));
  assert_int_equal(remaining(store, tight, "back", DAY + 20 * SECOND - 1), 0);
  assert_true(check(store, tight, "back", 10, DAY + 20 * SECOND));
  assert_false(check(store, tight, "back", 1, DAY + 20 * SECOND));
  rlc_policy_del(tight);
  rlc_policy_del(loose);
}

/* Both in force side by side, as while programs are restarted, and asked for all they have: each passes
 * what it would by its own log of what both have passed, but for what the one with the shorter window has
 * passed while the other had not passed anything for a window of its own. */
static void side_by_side(rlc__store *store) {
  rlc_policy *tight = parse("20/20s algorithm=sliding-log");
  rlc_policy *loose = parse("5/2s algorithm=sliding-log");
  uint64_t passed[2] = {0, 0};

  for (int64_t t = 0; t < 120; ++t) {
    for (int k = 0; k < 2; ++k) {
      passed[k] += (uint64_t)check(store, k == 0 ? tight : loose, "both", 1, DAY + t * SECOND / 2 + k);
    }
  }
  assert_in_range(passed[0], 20, 4 * 20);
  assert_in_range(passed[1], 1, 31 * 5);
  rlc_policy_del(tight);
  rlc_policy_del(loose);
}

static void test_windows_change(void **state) {
  rlc__store *store = shared_table(64);
  patient p = redis_store();

  (void)state;
  there_and_back(store);
  there_and_back(&p.base);
  side_by_side(store);
  side_by_side(&p.base);
  redis_store_end(&p);
  store->ops->del(store);
}

/* --- the pure functions -------------------------------------------------------------------- */

/* A wait is that of the right one of many stamps, in whatever order they stand. */
static void test_the_kth_is_found(void **state) {
  static uint64_t words[RLC__LOG_WORDS];
  rlc_policy *policy = parse("1000/h algorithm=sliding-log");

  (void)state;
  for (unsigned round = 0; round < 200; ++round) {
    uint64_t n = 1 + draw(RLC_MAX_LOG), distinct = 1 + draw(draw(2) ? 5 : 100000);
    uint64_t cost = 1000 - n + 1 + draw(n);
    uint64_t k = n + cost - 1000, at, below = 0, not_above = 0;
    rlc__log_view view;

    words[0] = n + 1;
    for (uint64_t i = 2; i <= n + 1; ++i) {
      words[i] = (uint64_t)DAY + draw(distinct);
    }
    rlc__log_look(policy, words, DAY + 1000000, cost, &view);
    assert_int_equal(view.used, n);
    at = (uint64_t)(view.retry_us + DAY + 1000000 - 3600 * SECOND);
    for (uint64_t i = 2; i <= n + 1; ++i) {
      below += words[i] < at;
      not_above += words[i] <= at;
    }
    assert_true(below < k && k <= not_above);
  }
  rlc_policy_del(policy);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_kth_is_found),
      cmocka_unit_test(test_table_against_model),
      cmocka_unit_test(test_redis_against_model),
      cmocka_unit_test(test_leases_in_a_table),
      cmocka_unit_test(test_leases_in_redis),
      cmocka_unit_test(test_several_receipts),
      cmocka_unit_test(test_windows_change),
  };

  return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
