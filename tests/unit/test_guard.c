/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"
#include "store/breaker.h"
#include "store/store.h"

#define NOW INT64_C(1790000000000000)

/* An inner store that answers as the test says. */
typedef struct fake {
  rlc__store base;
  int error;    /* what decide answers */
  rlc__op op;   /* what it was asked last, with how many items, */
  size_t n;
  uint64_t cost; /* and of the first the cost */
  int64_t charged_us;
  int allowed;
  unsigned asked;
  int probe;    /* what probe answers */
  unsigned probed;
  uint32_t news;
  unsigned indexed; /* how often index was asked */
} fake;

static unsigned deleted;

static int fake_decide(rlc__store *store, rlc__call *call) {
  fake *f = (fake *)store;

  ++f->asked;
  f->op = call->op;
  f->n = call->n;
  f->cost = call->items[0].cost;
  f->charged_us = call->items[0].charged_us;
  if (call->op == RLC__OP_TAKE_BACK || call->op == RLC__OP_RENEW) {
    return f->error;
  }
  for (size_t i = 0; i < call->n; ++i) {
    call->items[i].result.allowed = f->allowed;
    call->items[i].result.source = RLC_SOURCE_STORE;
  }
  return f->error;
}

static int fake_probe(rlc__store *store) {
  fake *f = (fake *)store;

  ++f->probed;
  return f->probe;
}

static uint32_t fake_news(rlc__store *store) {
  return ((fake *)store)->news;
}

static int fake_identify(rlc__store *store, const void *key, size_t key_len,
                         char hash[RLC__ENTRY_HASH]) {
  (void)store;
  memset(hash, 'h', RLC__ENTRY_HASH);
  memcpy(hash, key, key_len);
  return 0;
}

static int fake_index(rlc__store *store, rlc__index_call *call) {
  fake *f = (fake *)store;

  ++f->indexed;
  call->version = 7;
  return f->error;
}

static void fake_del(rlc__store *store) {
  (void)store;
  ++deleted;
}

static const rlc__store_ops fake_ops = {
    .decide = fake_decide, .identify = fake_identify, .index = fake_index, .del = fake_del};
static const rlc__store_ops probed_ops = {
    .decide = fake_decide, .probe = fake_probe, .news = fake_news, .del = fake_del};

typedef struct fixture {
  fake inner;
  rlc__store *guard;
  rlc_policy *policy;
  rlc__item item;
  unsigned lines;
  char line[RLC_MESSAGE_SIZE];
} fixture;

static void keep_line(rlc_log_level level, const char *id, const char *message, void *user) {
  fixture *f = user;

  (void)level;
  ++f->lines;
  snprintf(f->line, sizeof f->line, "%s %s", id, message);
}

static void open_guard(fixture *f, const char *url_text, const char *policy) {
  rlc__url *url;
  rlc_options *options;
  char why[RLC_MESSAGE_SIZE];

  memset(f, 0, sizeof *f);
  f->inner = (fake){.base = {&fake_ops}, .allowed = 1};
  assert_int_equal(rlc__url_new(&url, url_text, rlc__memory_or_default(NULL), why, sizeof why), 0);
  assert_int_equal(rlc_options_new(&options, NULL), 0);
  rlc_options_set_log(options, keep_line, f);
  assert_int_equal(
      rlc__guard_store_new(&f->guard, &f->inner.base, url, options, why, sizeof why), 0);
  rlc_options_del(options);
  rlc__url_del(url);
  assert_int_equal(rlc_policy_new(&f->policy, "p", policy, NULL, why, sizeof why), 0);
  f->item = (rlc__item){.policy = f->policy, .key = "k", .key_len = 1, .name = "p", .name_len = 1,
                        .cost = 1, .result = RLC_RESULT_INIT};
}

static void close_guard(fixture *f) {
  deleted = 0;
  f->guard->ops->del(f->guard);
  assert_int_equal(deleted, 1);
  rlc_policy_del(f->policy);
}

static const rlc_result *ask(fixture *f, rlc__op op, uint64_t cost) {
  rlc__call call = {op, &f->item, 1, 0, NOW, 0};

  f->item.cost = cost;
  assert_int_equal(f->guard->ops->decide(f->guard, &call), 0);
  return &f->item.result;
}

/* While the store answers, its answer is what counts. */
static void store_decides_test(void **state) {
  fixture f;

  (void)state;
  open_guard(&f, "redis://127.0.0.1", "1/day");
  for (int i = 0; i < 3; ++i) {
    assert_int_equal(ask(&f, RLC__OP_CHECK, 1)->allowed, 1); /* over the policy: not ours to say */
    assert_int_equal(f.item.result.source, RLC_SOURCE_STORE);
  }
  f.inner.allowed = 0;
  assert_int_equal(ask(&f, RLC__OP_CHECK, 1)->allowed, 0);
  assert_int_equal(f.lines, 0);
  close_guard(&f);
}

/* fail=open lets all pass, fail=closed none, and each says so in its source. */
static void open_and_closed_test(void **state) {
  fixture f;

  (void)state;
  open_guard(&f, "redis://127.0.0.1?fail=open", "1/day");
  f.inner.error = RLC__ERR_UNAVAILABLE;
  for (int i = 0; i < 9; ++i) {
    assert_int_equal(ask(&f, RLC__OP_CHECK, 1)->allowed, 1);
    assert_int_equal(f.item.result.source, RLC_SOURCE_FAIL_OPEN);
  }
  f.item.fail = RLC_FAIL_CLOSED; /* the limit's own policy goes first */
  assert_int_equal(ask(&f, RLC__OP_CHECK, 1)->allowed, 0);
  assert_int_equal(f.item.result.source, RLC_SOURCE_FAIL_CLOSED);
  assert_true(f.item.result.retry_us > 0);
  close_guard(&f);
}

/* fail=local enforces the policy alone, and knows what it let through while the store answered. */
static void mirror_test(void **state) {
  fixture f;

  (void)state;
  open_guard(&f, "redis://127.0.0.1", "10/day");
  for (int i = 0; i < 7; ++i) {
    ask(&f, RLC__OP_CHECK, 1);
  }
  ask(&f, RLC__OP_PEEK, 1);
  f.inner.allowed = 0;
  ask(&f, RLC__OP_CHECK, 1); /* denied: not mirrored */
  f.inner.error = RLC__ERR_TIMEOUT;
  for (int i = 0; i < 5; ++i) {
    assert_int_equal(ask(&f, RLC__OP_CHECK, 1)->allowed, i < 3);
    assert_int_equal(f.item.result.source, RLC_SOURCE_FALLBACK);
  }
  close_guard(&f);
}

/* However many policies there are, the share of each is known. */
static void many_shares_test(void **state) {
  fixture f;
  char text[32];

  (void)state;
  open_guard(&f, "redis://127.0.0.1?share=1/2", "10/day");
  f.inner.error = RLC__ERR_UNAVAILABLE;
  for (int i = 0; i < 6000; ++i) {
    rlc_policy *policy;

    snprintf(text, sizeof text, "%d/day", 20 + i);
    assert_int_equal(rlc_policy_new(&policy, "p", text, NULL, NULL, 0), 0);
    f.item.policy = policy;
    ask(&f, RLC__OP_PEEK, 1);
    assert_int_equal(f.item.result.source, RLC_SOURCE_FALLBACK);
    assert_int_equal(f.item.result.limit, (20 + i) / 2);
    rlc_policy_del(policy);
  }
  f.item.policy = f.policy;
  close_guard(&f);
}

/* share=1/4 of 10 is 2; of 3 it is still 1. */
static void share_test(void **state) {
  fixture f;

  (void)state;
  open_guard(&f, "redis://127.0.0.1?share=1/4", "10/day");
  f.inner.error = RLC__ERR_UNAVAILABLE;
  for (int i = 0; i < 4; ++i) {
    assert_int_equal(ask(&f, RLC__OP_CHECK, 1)->allowed, i < 2);
    assert_int_equal(f.item.result.limit, 2);
  }
  close_guard(&f);
  open_guard(&f, "redis://127.0.0.1?share=1/4", "3/day algorithm=fixed-window");
  f.inner.error = RLC__ERR_UNAVAILABLE;
  assert_int_equal(ask(&f, RLC__OP_CHECK, 1)->allowed, 1);
  assert_int_equal(ask(&f, RLC__OP_CHECK, 1)->allowed, 0);
  close_guard(&f);
}

/* Charges, refunds and resets reach the mirror whether or not the store answers. */
static void other_verbs_mirror_test(void **state) {
  fixture f;

  (void)state;
  open_guard(&f, "redis://127.0.0.1", "10/day");
  ask(&f, RLC__OP_CHARGE, 10);
  ask(&f, RLC__OP_REFUND, 4);
  f.inner.error = RLC__ERR_UNAVAILABLE;
  assert_int_equal(ask(&f, RLC__OP_PEEK, 1)->remaining, 4);
  ask(&f, RLC__OP_RESET, 0);
  assert_int_equal(ask(&f, RLC__OP_PEEK, 1)->remaining, 10);
  close_guard(&f);
}

/* Takes |cost| of what a check has charged back, of which |mirrored| from the mirror. */
static int take_back(fixture *f, uint64_t cost, uint64_t mirrored) {
  rlc__call call = {.op = RLC__OP_TAKE_BACK, .items = &f->item, .n = 1, .now_us = NOW};

  f->item.cost = cost;
  f->item.mirrored = mirrored;
  return f->guard->ops->decide(f->guard, &call);
}

static const rlc_result *ask_with_receipt(fixture *f, uint64_t cost) {
  rlc__call call = {.op = RLC__OP_CHECK, .items = &f->item, .n = 1, .now_us = NOW, .receipts = 1};

  f->item.cost = cost;
  assert_int_equal(f->guard->ops->decide(f->guard, &call), 0);
  return &f->item.result;
}

/* What the store has charged goes back to the store, and out of the mirror what was put in. */
static void take_back_test(void **state) {
  fixture f;

  (void)state;
  open_guard(&f, "redis://127.0.0.1?fail=local&share=1/2", "10/day");
  assert_int_equal(ask_with_receipt(&f, 8)->source, RLC_SOURCE_STORE);
  assert_int_equal(f.item.mirrored, 5); /* of a share of five no more than all */
  assert_true(f.item.mirrored_us == NOW);
  f.item.charged_us = 4711; /* by the store's own clock */
  assert_int_equal(take_back(&f, 7, 4), 0);
  assert_int_equal(f.inner.op, RLC__OP_TAKE_BACK);
  assert_int_equal(f.inner.cost, 7);
  assert_int_equal(f.inner.charged_us, 4711);
  f.inner.error = RLC__ERR_UNAVAILABLE;
  assert_int_equal(ask(&f, RLC__OP_PEEK, 1)->remaining, 4);
  close_guard(&f);
}

/* Where the store cannot take it back the charge stands, in the mirror too; and once the breaker is open
 * that is said without asking. */
static void take_back_fails_test(void **state) {
  unsigned asked;
  fixture f;

  (void)state;
  open_guard(&f, "redis://127.0.0.1?fail=local", "10/day");
  (void)ask_with_receipt(&f, 8);
  f.inner.error = RLC__ERR_TIMEOUT;
  assert_int_equal(take_back(&f, 8, 8), RLC__ERR_TIMEOUT);
  f.inner.error = RLC__ERR_UNAVAILABLE;
  for (unsigned i = 0; i < RLC__BREAKER_FAILURES; ++i) {
    assert_true(take_back(&f, 8, 8) != 0);
  }
  asked = f.inner.asked;
  assert_int_equal(take_back(&f, 8, 8), RLC__ERR_UNAVAILABLE);
  assert_int_equal(f.inner.asked, asked);
  f.item.result.source = (rlc_source)0;
  assert_int_equal(ask(&f, RLC__OP_PEEK, 1)->remaining, 2);
  close_guard(&f);
}

/* What the fallback has charged goes back there, though the store answers by now, and never to the store. */
static void take_back_local_test(void **state) {
  unsigned asked;
  fixture f;

  (void)state;
  open_guard(&f, "redis://127.0.0.1?fail=local", "10/day");
  f.inner.error = RLC__ERR_UNAVAILABLE;
  assert_int_equal(ask_with_receipt(&f, 8)->source, RLC_SOURCE_FALLBACK);
  assert_true(f.item.charged_us == NOW);
  f.inner.error = 0;
  asked = f.inner.asked;
  assert_int_equal(take_back(&f, 5, 0), 0);
  assert_int_equal(f.inner.asked, asked);
  f.inner.error = RLC__ERR_UNAVAILABLE;
  assert_int_equal(ask(&f, RLC__OP_PEEK, 1)->remaining, 7);
  close_guard(&f);
}

/* One that the store has lost is not renewed in the mirror: it ends there as it would have. */
static void renew_lost_test(void **state) {
  rlc__call call = {.op = RLC__OP_RENEW, .n = 1, .now_us = NOW + 20000000};
  fixture f;

  (void)state;
  open_guard(&f, "redis://127.0.0.1?fail=local", "1/30s algorithm=concurrency");
  (void)ask_with_receipt(&f, 1);
  f.item.charged_us = 0; /* the store's answer */
  call.items = &f.item;
  assert_int_equal(f.guard->ops->decide(f.guard, &call), 0);
  assert_int_equal(f.inner.op, RLC__OP_RENEW);
  f.inner.error = RLC__ERR_UNAVAILABLE;
  call = (rlc__call){.op = RLC__OP_CHECK, .items = &f.item, .n = 1, .now_us = NOW + 29999999};
  assert_int_equal(f.guard->ops->decide(f.guard, &call), 0);
  assert_int_equal(f.item.result.allowed, 0);
  call.now_us = NOW + 30000000;
  assert_int_equal(f.guard->ops->decide(f.guard, &call), 0);
  assert_int_equal(f.item.result.allowed, 1);
  close_guard(&f);
}

/* A slot that is renewed in the store is in the mirror too. */
static void renew_test(void **state) {
  rlc__call call = {.op = RLC__OP_RENEW, .n = 1, .now_us = NOW + 20000000};
  fixture f;

  (void)state;
  open_guard(&f, "redis://127.0.0.1?fail=local", "1/30s algorithm=concurrency");
  (void)ask_with_receipt(&f, 1);
  f.item.charged_us = 4711; /* by the store's own clock */
  call.items = &f.item;
  assert_int_equal(f.guard->ops->decide(f.guard, &call), 0);
  assert_int_equal(f.inner.op, RLC__OP_RENEW);
  assert_true(f.item.mirrored_us == NOW + 20000000);
  f.inner.error = RLC__ERR_UNAVAILABLE;
  call = (rlc__call){.op = RLC__OP_CHECK, .items = &f.item, .n = 1, .now_us = NOW + 49999999};
  assert_int_equal(f.guard->ops->decide(f.guard, &call), 0);
  assert_int_equal(f.item.result.allowed, 0);
  call.now_us = NOW + 50000000;
  assert_int_equal(f.guard->ops->decide(f.guard, &call), 0);
  assert_int_equal(f.item.result.allowed, 1);
  assert_int_equal(f.item.result.source, RLC_SOURCE_FALLBACK);
  close_guard(&f);
}

/* A grant is mirrored by what it granted, not by what was asked for. */
static void grant_mirrored_test(void **state) {
  fixture f;

  (void)state;
  open_guard(&f, "redis://127.0.0.1?fail=local", "10/day");
  f.item.result.charged = 3; /* the fake leaves it */
  (void)ask(&f, RLC__OP_GRANT, 9);
  f.inner.error = RLC__ERR_UNAVAILABLE;
  assert_int_equal(ask(&f, RLC__OP_GRANT, 9)->charged, 7);
  assert_int_equal(ask(&f, RLC__OP_GRANT, 9)->allowed, 0);
  close_guard(&f);
}

/* In the fallback, too, a key counts apart in each group. */
static void groups_test(void **state) {
  fixture f;

  (void)state;
  open_guard(&f, "redis://127.0.0.1", "2/day");
  assert_int_equal(ask(&f, RLC__OP_CHECK, 1)->allowed, 1);
  f.inner.error = RLC__ERR_UNAVAILABLE;
  f.item.group = "g";
  f.item.group_len = 1;
  assert_int_equal(ask(&f, RLC__OP_CHECK, 1)->remaining, 1);
  f.item.group_len = 0;
  assert_int_equal(ask(&f, RLC__OP_CHECK, 1)->remaining, 0);
  close_guard(&f);
}

/* A closed limit beside a local one refuses the whole: the local one is not charged. */
static void closed_beside_local_test(void **state) {
  fixture f;
  rlc__item items[2];
  rlc__call call = {RLC__OP_CHECK, items, 2, 0, NOW, 0};

  (void)state;
  open_guard(&f, "redis://127.0.0.1", "10/day");
  f.inner.error = RLC__ERR_UNAVAILABLE;
  items[0] = f.item;
  items[1] = f.item;
  items[1].key = "other";
  items[1].key_len = 5;
  items[1].fail = RLC_FAIL_CLOSED;
  assert_int_equal(f.guard->ops->decide(f.guard, &call), 0);
  assert_int_equal(items[0].result.allowed, 1);
  assert_int_equal(items[1].result.allowed, 0);
  assert_int_equal(ask(&f, RLC__OP_PEEK, 1)->remaining, 10);
  close_guard(&f);
}

/* After failures in a row the store is left alone, one line is logged, and statistics tell. */
static void breaker_opens_test(void **state) {
  fixture f;
  rlc_stats stats = RLC_STATS_INIT;

  (void)state;
  open_guard(&f, "redis://127.0.0.1", "10/day");
  f.inner.error = RLC__ERR_TIMEOUT;
  for (int i = 0; i < 50; ++i) {
    ask(&f, RLC__OP_CHECK, 1);
  }
  assert_true(f.inner.asked >= RLC__BREAKER_FAILURES && f.inner.asked < 50);
  assert_int_equal(f.lines, 1);
  assert_non_null(strstr(f.line, "RLC0101"));
  assert_non_null(strstr(f.line, "no answer within the deadline"));
  f.guard->ops->get_stats(f.guard, &stats);
  assert_int_equal(stats.breaker_opened, 1);
  assert_int_equal(stats.store_errors, f.inner.asked);
  assert_int_equal(stats.store_timeouts, f.inner.asked);
  assert_int_not_equal(stats.breaker, RLC_BREAKER_CLOSED);
  close_guard(&f);
}

static void await(int64_t us) {
  int64_t end = rlc__clock_monotonic_us() + us;
  struct timespec left = {0, us % 1000000 * 1000};

  while (rlc__clock_monotonic_us() < end) {
    nanosleep(&left, NULL);
  }
}

/* An open breaker asks the store's own probe, which waits for nothing; only when that says so does a
 * decision prove it, and close the breaker. */
static void probe_test(void **state) {
  rlc_stats stats = RLC_STATS_INIT;
  fixture f;

  (void)state;
  open_guard(&f, "redis://127.0.0.1?fail=open", "10/day");
  f.inner.base.ops = &probed_ops;
  f.inner.error = RLC__ERR_REFUSED;
  for (unsigned i = 0; i < RLC__BREAKER_FAILURES; ++i) {
    ask(&f, RLC__OP_CHECK, 1);
  }
  assert_int_equal(f.inner.probed, 0);
  f.inner.error = 0;
  await(RLC__BREAKER_FIRST_US);
  for (int i = 0; i < 20; ++i) { /* it is not known yet */
    assert_int_equal(ask(&f, RLC__OP_CHECK, 1)->source, RLC_SOURCE_FAIL_OPEN);
  }
  assert_int_equal(f.inner.probed, 20);
  assert_int_equal(f.inner.asked, RLC__BREAKER_FAILURES);
  f.inner.probe = -1; /* no: longer than before it is left alone */
  ask(&f, RLC__OP_CHECK, 1);
  ask(&f, RLC__OP_CHECK, 1);
  assert_int_equal(f.inner.probed, 21);
  assert_int_equal(f.inner.asked, RLC__BREAKER_FAILURES);
  await(2 * RLC__BREAKER_FIRST_US);
  f.inner.probe = 1;
  assert_int_equal(ask(&f, RLC__OP_CHECK, 1)->source, RLC_SOURCE_STORE);
  f.guard->ops->get_stats(f.guard, &stats);
  assert_int_equal(stats.breaker, RLC_BREAKER_CLOSED);
  assert_int_equal(stats.breaker_reason, RLC_REASON_REFUSED);
  assert_int_equal(stats.store_refused, RLC__BREAKER_FAILURES);
  assert_int_equal(f.lines, 2);
  assert_non_null(strstr(f.line, "RLC0102"));
  close_guard(&f);
}

/* News of the store end the wait of an open breaker: the next decision proves it. */
static void news_test(void **state) {
  fixture f;

  (void)state;
  open_guard(&f, "redis://127.0.0.1?fail=open", "10/day");
  f.inner.base.ops = &probed_ops;
  f.inner.news = 7;
  f.inner.error = RLC__ERR_UNAVAILABLE;
  for (unsigned i = 0; i < RLC__BREAKER_FAILURES; ++i) {
    ask(&f, RLC__OP_CHECK, 1);
  }
  ask(&f, RLC__OP_CHECK, 1);
  assert_int_equal(f.inner.asked, RLC__BREAKER_FAILURES);
  ++f.inner.news; /* which come to nothing, and the wait is longer */
  ask(&f, RLC__OP_CHECK, 1);
  ask(&f, RLC__OP_CHECK, 1);
  assert_int_equal(f.inner.asked, RLC__BREAKER_FAILURES + 1);
  ++f.inner.news;
  f.inner.error = 0;
  assert_int_equal(ask(&f, RLC__OP_CHECK, 1)->source, RLC_SOURCE_STORE);
  assert_int_equal(ask(&f, RLC__OP_CHECK, 1)->source, RLC_SOURCE_STORE);
  assert_int_equal(f.inner.probed, 0);
  close_guard(&f);
}

/* One server of several that is away is no reason to leave the others. */
static void part_test(void **state) {
  rlc_stats stats = RLC_STATS_INIT;
  fixture f;

  (void)state;
  open_guard(&f, "redis://127.0.0.1?fail=open", "10/day");
  f.inner.error = RLC__ERR_PART;
  for (int i = 0; i < 20; ++i) {
    assert_int_equal(ask(&f, RLC__OP_CHECK, 1)->source, RLC_SOURCE_FAIL_OPEN);
  }
  assert_int_equal(f.inner.asked, 20);
  f.guard->ops->get_stats(f.guard, &stats);
  assert_int_equal(stats.breaker, RLC_BREAKER_CLOSED);
  assert_int_equal(stats.store_unavailable, 20);
  assert_int_equal(f.lines, 0);
  close_guard(&f);
}

static void fail_times(rlc__breaker *b, unsigned times, int64_t now) {
  int64_t open_us;

  for (unsigned i = 0; i < times; ++i) {
    rlc__breaker_report(b, rlc__breaker_ask(b, now), RLC__BREAKER_FAILED, now, &open_us);
  }
}

/* A success in between starts the count anew. */
static void breaker_counts_in_a_row_test(void **state) {
  rlc__breaker b;
  int64_t open_us;

  (void)state;
  rlc__breaker_init(&b, 1);
  fail_times(&b, RLC__BREAKER_FAILURES - 1, 1);
  rlc__breaker_report(&b, rlc__breaker_ask(&b, 1), RLC__BREAKER_WORKED, 1, &open_us);
  fail_times(&b, RLC__BREAKER_FAILURES - 1, 1);
  assert_int_equal(rlc__breaker_state(&b), RLC_BREAKER_CLOSED);
  fail_times(&b, 1, 1);
  assert_int_equal(rlc__breaker_state(&b), RLC_BREAKER_OPEN);
}

static int report_at(rlc__breaker *b, rlc__breaker_outcome outcome, int64_t now) {
  int64_t open_us;

  return rlc__breaker_report(b, rlc__breaker_ask(b, now), outcome, now, &open_us);
}

/* Time-outs open it when they are many within a second and no fewer than the rest, though successes
 * stand between them; a few among many, or many over a long time, do not. */
static void breaker_timeouts_test(void **state) {
  rlc__breaker b;
  unsigned i;

  (void)state;
  rlc__breaker_init(&b, 1);
  for (i = 1; i < RLC__BREAKER_TIMEOUTS; ++i) {
    assert_int_equal(report_at(&b, RLC__BREAKER_TIMED_OUT, 1000 + i), 0);
    assert_int_equal(report_at(&b, RLC__BREAKER_WORKED, 1000 + i), 0);
  }
  assert_int_equal(report_at(&b, RLC__BREAKER_TIMED_OUT, 1000 + i), 2);
  assert_int_equal(rlc__breaker_state(&b), RLC_BREAKER_OPEN);
  rlc__breaker_init(&b, 1);
  for (i = 0; i < 1000; ++i) {
    assert_int_equal(report_at(&b, i % 3 ? RLC__BREAKER_WORKED : RLC__BREAKER_TIMED_OUT, 1000 + i),
                     0);
  }
  rlc__breaker_init(&b, 1);
  for (i = 0; i < 1000; ++i) {
    assert_int_equal(report_at(&b, i % 2 ? RLC__BREAKER_WORKED : RLC__BREAKER_TIMED_OUT,
                               1000 + i * RLC__BREAKER_WINDOW_US / RLC__BREAKER_TIMEOUTS),
                     0);
  }
}

/* The line says what was too much, once. */
static void late_line_test(void **state) {
  fixture f;

  (void)state;
  open_guard(&f, "redis://127.0.0.1", "1000/day");
  for (unsigned i = 0; i < 2 * RLC__BREAKER_TIMEOUTS; ++i) {
    f.inner.error = i % 2 ? 0 : RLC__ERR_TIMEOUT;
    ask(&f, RLC__OP_CHECK, 1);
  }
  assert_int_equal(f.lines, 1);
  assert_non_null(strstr(f.line, "RLC0101 the store was late for 20 decisions within a second"));
  close_guard(&f);
}

/* One caller probes; a success closes and tells for how long it was open. */
static void breaker_probe_test(void **state) {
  rlc__breaker b;
  int64_t open_us;
  int64_t later = 1000 + RLC__BREAKER_FIRST_US;

  (void)state;
  rlc__breaker_init(&b, 7);
  fail_times(&b, RLC__BREAKER_FAILURES, 1000);
  assert_int_equal(rlc__breaker_ask(&b, 1000 + RLC__BREAKER_FIRST_US / 2 - 1), RLC__BREAKER_STOP);
  assert_int_equal(rlc__breaker_ask(&b, later), RLC__BREAKER_PROBE);
  assert_int_equal(rlc__breaker_ask(&b, later), RLC__BREAKER_STOP);
  assert_int_equal(rlc__breaker_state(&b), RLC_BREAKER_HALF_OPEN);
  assert_int_equal(rlc__breaker_report(&b, RLC__BREAKER_PROBE, RLC__BREAKER_WORKED, later, &open_us), -1);
  assert_int_equal(open_us, later - 1000);
  assert_int_equal(rlc__breaker_ask(&b, later), RLC__BREAKER_GO);
}

/* A child forked while a thread of its parent probed does not wait for that thread. */
static void breaker_after_fork_test(void **state) {
  rlc__breaker b;
  int64_t later = 1000 + RLC__BREAKER_LONGEST_US;

  (void)state;
  rlc__breaker_init(&b, 7);
  fail_times(&b, RLC__BREAKER_FAILURES, 1000);
  assert_int_equal(rlc__breaker_ask(&b, later), RLC__BREAKER_PROBE);
  atomic_store(&b.probing, (int)getppid()); /* as it stands in a child */
  assert_int_equal(rlc__breaker_ask(&b, later), RLC__BREAKER_PROBE);
  assert_int_equal(rlc__breaker_ask(&b, later), RLC__BREAKER_STOP);
}

/* A key that holds what is no state degrades its own decisions; the breaker stays closed. */
static void unreadable_key_test(void **state) {
  fixture f;
  rlc_stats stats = RLC_STATS_INIT;

  (void)state;
  open_guard(&f, "redis://127.0.0.1", "10/day");
  f.inner.error = RLC__ERR_STATE;
  for (int i = 0; i < 50; ++i) {
    assert_int_equal(ask(&f, RLC__OP_CHECK, 1)->source, RLC_SOURCE_FALLBACK);
  }
  assert_int_equal(f.inner.asked, 50);
  f.guard->ops->get_stats(f.guard, &stats);
  assert_int_equal(stats.store_errors, 50);
  assert_int_equal(stats.breaker, RLC_BREAKER_CLOSED);
  close_guard(&f);
}

/* A prober that never tells keeps the others back for a minute, and then one takes its place. */
static void breaker_lost_probe_test(void **state) {
  int64_t later = 1000 + RLC__BREAKER_LONGEST_US;
  rlc__breaker b;

  (void)state;
  rlc__breaker_init(&b, 7);
  fail_times(&b, RLC__BREAKER_FAILURES, 1000);
  assert_int_equal(rlc__breaker_ask(&b, later), RLC__BREAKER_PROBE);
  later += RLC__BREAKER_PROBE_US;
  assert_int_equal(rlc__breaker_ask(&b, later - 1), RLC__BREAKER_STOP);
  assert_int_equal(rlc__breaker_ask(&b, later), RLC__BREAKER_PROBE);
  assert_int_equal(rlc__breaker_ask(&b, later), RLC__BREAKER_STOP);
}

/* Failed probes wait longer each time, never past the longest, and never all alike. */
static void breaker_backs_off_test(void **state) {
  rlc__breaker b;
  int64_t now = 1;
  int64_t open_us;
  int64_t last = 0;
  unsigned differ = 0;

  (void)state;
  rlc__breaker_init(&b, 99);
  fail_times(&b, RLC__BREAKER_FAILURES, now);
  for (int i = 0; i < 12; ++i) {
    int64_t wait = atomic_load(&b.open_until_us) - now;

    assert_true(wait >= RLC__BREAKER_FIRST_US / 2 && wait <= RLC__BREAKER_LONGEST_US);
    differ += wait != last;
    last = wait;
    now += wait;
    assert_int_equal(rlc__breaker_ask(&b, now), RLC__BREAKER_PROBE);
    rlc__breaker_report(&b, RLC__BREAKER_PROBE, RLC__BREAKER_FAILED, now, &open_us);
  }
  assert_true(differ > 10);
  assert_true(atomic_load(&b.open_until_us) - now >= RLC__BREAKER_LONGEST_US / 2);
}

/* The index is the inner store's, its answers too. */
static void index_test(void **state) {
  fixture f;
  rlc__index_call call;
  char hash[RLC__ENTRY_HASH];

  (void)state;
  open_guard(&f, "redis://h?fail=local", "1/s");
  memset(&call, 0, sizeof call);
  assert_int_equal(f.guard->ops->identify(f.guard, "key", 3, hash), 0);
  assert_memory_equal(hash, "keyhhhhhhhhhhhhh", sizeof hash);
  assert_int_equal(f.guard->ops->index(f.guard, &call), 0);
  assert_int_equal(call.version, 7);
  f.inner.error = RLC_ERR_FULL;
  assert_int_equal(f.guard->ops->index(f.guard, &call), RLC_ERR_FULL);
  f.inner.error = RLC__ERR_REFUSED;
  assert_int_equal(f.guard->ops->index(f.guard, &call), RLC__ERR_REFUSED);
  close_guard(&f);
}

/* Decisions open the breaker and close it, the index does neither: its failures are none of theirs, and
 * its success breaks no row of theirs. While the breaker is open the index is not asked, until somebody
 * might probe. */
static void index_and_breaker_test(void **state) {
  const struct timespec nap = {0, 150000000};
  fixture f;
  rlc__index_call call;

  (void)state;
  open_guard(&f, "redis://h?fail=open", "1/s");
  memset(&call, 0, sizeof call);
  f.inner.error = RLC__ERR_UNAVAILABLE;
  for (unsigned i = 0; i < 3 * RLC__BREAKER_FAILURES; ++i) {
    assert_int_equal(f.guard->ops->index(f.guard, &call), RLC__ERR_UNAVAILABLE);
  }
  assert_int_equal(f.inner.indexed, 3 * RLC__BREAKER_FAILURES);
  f.inner.error = 0;
  assert_int_equal(ask(&f, RLC__OP_CHECK, 1)->source, RLC_SOURCE_STORE);
  f.inner.indexed = 0;
  for (unsigned i = 0; i < RLC__BREAKER_FAILURES; ++i) {
    f.inner.error = 0;
    assert_int_equal(f.guard->ops->index(f.guard, &call), 0);
    f.inner.error = RLC__ERR_UNAVAILABLE;
    ask(&f, RLC__OP_CHECK, 1);
  }
  f.inner.error = 0;
  f.inner.asked = 0;
  assert_int_equal(f.guard->ops->index(f.guard, &call), RLC__ERR_UNAVAILABLE);
  assert_int_equal(f.inner.indexed, RLC__BREAKER_FAILURES);
  assert_int_equal(ask(&f, RLC__OP_CHECK, 1)->source, RLC_SOURCE_FAIL_OPEN);
  assert_int_equal(f.inner.asked, 0);
  nanosleep(&nap, NULL); /* longer than it is open at first */
  assert_int_equal(f.guard->ops->index(f.guard, &call), 0);
  {
    rlc_stats stats = RLC_STATS_INIT;

    f.guard->ops->get_stats(f.guard, &stats);
    assert_int_equal(stats.breaker, RLC_BREAKER_OPEN); /* a decision is to prove it */
    assert_int_equal(stats.store_errors, RLC__BREAKER_FAILURES);
  }
  close_guard(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(store_decides_test),
      cmocka_unit_test(open_and_closed_test),
      cmocka_unit_test(mirror_test),
      cmocka_unit_test(share_test),
      cmocka_unit_test(many_shares_test),
      cmocka_unit_test(other_verbs_mirror_test),
      cmocka_unit_test(take_back_test),
      cmocka_unit_test(take_back_fails_test),
      cmocka_unit_test(take_back_local_test),
      cmocka_unit_test(renew_test),
      cmocka_unit_test(renew_lost_test),
      cmocka_unit_test(grant_mirrored_test),
      cmocka_unit_test(groups_test),
      cmocka_unit_test(closed_beside_local_test),
      cmocka_unit_test(breaker_opens_test),
      cmocka_unit_test(index_test),
      cmocka_unit_test(index_and_breaker_test),
      cmocka_unit_test(probe_test),
      cmocka_unit_test(news_test),
      cmocka_unit_test(part_test),
      cmocka_unit_test(breaker_timeouts_test),
      cmocka_unit_test(late_line_test),
      cmocka_unit_test(breaker_counts_in_a_row_test),
      cmocka_unit_test(breaker_probe_test),
      cmocka_unit_test(breaker_after_fork_test),
      cmocka_unit_test(unreadable_key_test),
      cmocka_unit_test(breaker_lost_probe_test),
      cmocka_unit_test(breaker_backs_off_test),
  };
  return cmocka_run_group_tests_name("guard", tests, NULL, NULL);
}
