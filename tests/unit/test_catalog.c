/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs those four first */
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "failing_memory.h"
#include "limiter/catalog.h"
#include "limiter/denials.h"

#define NOW INT64_C(1790000000000000)
#define SECOND INT64_C(1000000)

static const uint8_t seed[16] = {7};
static failing_memory memory;

static rlc__catalog *new_catalog(void) {
  rlc__catalog *c;
  rlc_memory functions = failing_functions(&memory);

  memory = (failing_memory){-1, 0};
  assert_int_equal(rlc__catalog_new(&c, seed, &functions), 0);
  return c;
}

/* Nothing that the catalog allocated is left. */
static void del_catalog(rlc__catalog *c) {
  rlc__catalog_del(c);
  assert_int_equal(memory.held, 0);
}

static rlc__entry entry_of(rlc_entry_kind kind, const char *hash, const char *name,
                           const char *text) {
  rlc__entry e;

  memset(&e, 0, sizeof e);
  e.kind = kind;
  memset(e.hash, '-', sizeof e.hash);
  memcpy(e.hash, hash, strlen(hash));
  strcpy(e.name, name);
  if (kind == RLC_ENTRY_BAN) {
    e.until_us = NOW + SECOND;
  } else if (kind == RLC_ENTRY_MEMBER) {
    strcpy(e.tier, text);
  } else {
    strcpy(e.policy, text);
  }
  return e;
}

static void put(rlc__catalog *c, rlc_entry_kind kind, const char *hash, const char *name,
                const char *text) {
  rlc__entry e = entry_of(kind, hash, name, text);
  char why[RLC_MESSAGE_SIZE];

  assert_int_equal(rlc__catalog_put(c, &e, why, sizeof why), 0);
}

static void put_tier(rlc__catalog *c, const char *tier, const char *name, const char *text,
                     int gone) {
  rlc__entry e = entry_of(RLC_ENTRY_TIER, "", name, text);

  strcpy(e.tier, tier);
  e.gone = gone;
  assert_int_equal(rlc__catalog_put(c, &e, NULL, 0), 0);
}

static void drop(rlc__catalog *c, rlc_entry_kind kind, const char *hash, const char *name) {
  rlc__entry e = entry_of(kind, hash, name, "");

  e.gone = 1;
  assert_int_equal(rlc__catalog_put(c, &e, NULL, 0), 0);
}

static rlc__found find(rlc__catalog *c, const char *hash, const char *name) {
  rlc__entry e = entry_of(RLC_ENTRY_BAN, hash, name, "");

  return rlc__catalog_find(c, e.hash, name, strlen(name));
}

/* The text of the policy that |hash| has under |name|, or "". */
static const char *text_of(rlc__catalog *c, const char *hash, const char *name) {
  rlc__found found = find(c, hash, name);

  return found.policy != NULL ? found.policy->text : "";
}

static const char *tier_text(rlc__catalog *c, const char *tier, const char *name) {
  const rlc_policy *policy = rlc__catalog_tier(c, tier, name, strlen(name));

  return policy != NULL ? policy->text : "";
}

/* What is put is found under its key and name alone, what is dropped is not. */
static void entries_test(void **state) {
  rlc__catalog *c = new_catalog();
  rlc__entry e = entry_of(RLC_ENTRY_MEMBER, "a", "", "pro");

  (void)state;
  assert_int_equal(rlc__catalog_entries(c), 0);
  assert_int_equal(rlc__catalog_has(c, "api", 3), 0);
  put(c, RLC_ENTRY_BAN, "a", "api", "");
  put(c, RLC_ENTRY_OVERRIDE, "a", "api", "100/60s");
  put(c, RLC_ENTRY_OVERRIDE, "b", "api", "7/s");
  put(c, RLC_ENTRY_MEMBER, "a", "", "pro");
  put_tier(c, "pro", "api", "50/s", 0);
  put_tier(c, "free", "api", "5/s", 0);
  assert_int_equal(rlc__catalog_entries(c), 6);
  assert_int_equal(rlc__catalog_has(c, "api", 3),
                   RLC__CATALOG_KEYS | RLC__CATALOG_TIERS | RLC__CATALOG_MEMBERS);
  assert_int_equal(rlc__catalog_has(c, "other", 5), 0);
  assert_int_equal(find(c, "a", "api").until_us, NOW + SECOND);
  assert_string_equal(text_of(c, "a", "api"), "100/min");
  assert_string_equal(text_of(c, "b", "api"), "7/s");
  assert_int_equal(find(c, "b", "api").until_us, 0);
  assert_string_equal(text_of(c, "c", "api"), "");
  assert_string_equal(text_of(c, "a", "ap"), "");
  assert_string_equal(rlc__catalog_tier_of(c, e.hash), "pro");
  assert_string_equal(tier_text(c, "pro", "api"), "50/s");
  assert_string_equal(tier_text(c, "free", "api"), "5/s");
  assert_string_equal(tier_text(c, "free", "web"), "");
  drop(c, RLC_ENTRY_BAN, "a", "api");
  drop(c, RLC_ENTRY_OVERRIDE, "a", "api");
  drop(c, RLC_ENTRY_OVERRIDE, "b", "api");
  drop(c, RLC_ENTRY_OVERRIDE, "b", "api");
  drop(c, RLC_ENTRY_MEMBER, "a", "");
  put_tier(c, "pro", "api", "", 1);
  put_tier(c, "free", "api", "", 1);
  assert_int_equal(rlc__catalog_entries(c), 0);
  assert_int_equal(rlc__catalog_has(c, "api", 3), 0);
  assert_null(rlc__catalog_tier_of(c, e.hash));
  del_catalog(c);
}

/* What was found stays for who found it, however often it is replaced; then it is freed. */
static void replaced_test(void **state) {
  rlc__catalog *c = new_catalog();
  rlc__reading reading;
  const rlc_policy *first;
  int held;

  (void)state;
  put(c, RLC_ENTRY_OVERRIDE, "a", "api", "1/s");
  rlc__catalog_enter(c, &reading);
  first = find(c, "a", "api").policy;
  for (int i = 2; i < 400; ++i) {
    char text[16];

    snprintf(text, sizeof text, "%d/s", i);
    put(c, RLC_ENTRY_OVERRIDE, "a", "api", text);
    rlc__catalog_tidy(c, NOW);
    assert_string_equal(text_of(c, "a", "api"), text);
  }
  assert_string_equal(first->text, "1/s");
  held = memory.held;
  rlc__catalog_leave(&reading);
  rlc__catalog_tidy(c, NOW);
  rlc__catalog_tidy(c, NOW);
  assert_true(memory.held < held / 2);
  assert_int_equal(rlc__catalog_entries(c), 1);
  del_catalog(c);
}

/* Where nobody reads, what is replaced does not gather. */
static void bounded_test(void **state) {
  rlc__catalog *c = new_catalog();

  (void)state;
  for (int i = 1; i < 2000; ++i) {
    char text[16];

    snprintf(text, sizeof text, "%d/s", i);
    put(c, RLC_ENTRY_OVERRIDE, "a", "api", text);
    rlc__catalog_tidy(c, NOW);
  }
  assert_true(memory.held < 100);
  del_catalog(c);
}

/* As many entries as an index has: each is found, and a policy that many have is read once. */
static void many_test(void **state) {
  rlc__catalog *c = new_catalog();
  char hash[RLC__ENTRY_HASH + 1];

  (void)state;
  for (unsigned i = 0; i < RLC_MAX_ENTRIES; ++i) {
    snprintf(hash, sizeof hash, "%016u", i);
    put(c, RLC_ENTRY_OVERRIDE, hash, "api", i % 2 == 0 ? "1/s" : "2/s");
  }
  assert_int_equal(rlc__catalog_entries(c), RLC_MAX_ENTRIES);
  for (unsigned i = 0; i < RLC_MAX_ENTRIES; ++i) {
    snprintf(hash, sizeof hash, "%016u", i);
    assert_string_equal(text_of(c, hash, "api"), i % 2 == 0 ? "1/s" : "2/s");
  }
  assert_true(memory.held < (int)RLC_MAX_ENTRIES + 100);
  del_catalog(c);
}

/* News that are all there is take away what they do not have. */
static void all_test(void **state) {
  rlc__catalog *c = new_catalog();

  (void)state;
  put(c, RLC_ENTRY_OVERRIDE, "a", "api", "1/s");
  put(c, RLC_ENTRY_OVERRIDE, "b", "api", "1/s");
  put(c, RLC_ENTRY_BAN, "c", "api", "");
  rlc__catalog_begin(c);
  put(c, RLC_ENTRY_OVERRIDE, "b", "api", "1/s");
  put(c, RLC_ENTRY_OVERRIDE, "d", "api", "2/s");
  rlc__catalog_keep_news(c);
  assert_int_equal(rlc__catalog_entries(c), 2);
  assert_string_equal(text_of(c, "a", "api"), "");
  assert_string_equal(text_of(c, "b", "api"), "1/s");
  assert_string_equal(text_of(c, "d", "api"), "2/s");
  del_catalog(c);
}

/* Garbage is told of once, and holds for nobody; what this version does not know is refused. */
static void garbage_test(void **state) {
  rlc__catalog *c = new_catalog();
  rlc__entry e = entry_of(RLC_ENTRY_OVERRIDE, "a", "api", "10/s algorithm=leaky");
  char why[RLC_MESSAGE_SIZE] = "";

  (void)state;
  put(c, RLC_ENTRY_OVERRIDE, "a", "api", "1/s");
  assert_int_equal(rlc__catalog_put(c, &e, why, sizeof why), RLC_ERR_POLICY);
  assert_non_null(strstr(why, "leaky"));
  assert_int_equal(rlc__catalog_put(c, &e, why, sizeof why), 0);
  assert_null(find(c, "a", "api").policy);
  put(c, RLC_ENTRY_OVERRIDE, "a", "api", "2/s");
  assert_string_equal(text_of(c, "a", "api"), "2/s");
  e.kind = (rlc_entry_kind)9;
  assert_int_equal(rlc__catalog_put(c, &e, why, sizeof why), RLC_ERR_INVALID);
  e.kind = RLC_ENTRY_BAN;
  memset(e.name, 'x', sizeof e.name);
  assert_int_equal(rlc__catalog_put(c, &e, why, sizeof why), RLC_ERR_INVALID);
  memset(e.name, 0, sizeof e.name);
  assert_int_equal(rlc__catalog_put(c, &e, why, sizeof why), RLC_ERR_INVALID);
  e = entry_of(RLC_ENTRY_OVERRIDE, "a", "api", "");
  memset(e.policy, '1', sizeof e.policy);
  assert_int_equal(rlc__catalog_put(c, &e, why, sizeof why), RLC_ERR_INVALID);
  del_catalog(c);
}

/* A ban that ended is dropped, after a while in which a clock might have stepped back. */
static void ended_test(void **state) {
  rlc__catalog *c = new_catalog();

  (void)state;
  put(c, RLC_ENTRY_BAN, "a", "api", "");
  put(c, RLC_ENTRY_OVERRIDE, "a", "api", "1/s");
  rlc__catalog_tidy(c, NOW + 60 * SECOND);
  assert_int_equal(rlc__catalog_entries(c), 2);
  rlc__catalog_tidy(c, NOW + 62 * SECOND);
  assert_int_equal(rlc__catalog_entries(c), 1);
  assert_int_equal(find(c, "a", "api").until_us, 0);
  put(c, RLC_ENTRY_BAN, "a", "api", "");
  assert_int_equal(find(c, "a", "api").until_us, NOW + SECOND);
  rlc__catalog_tidy(c, NOW + 62 * SECOND);
  assert_int_equal(rlc__catalog_entries(c), 1);
  del_catalog(c);
}

/* Without memory nothing is half done, and what was there still holds. */
static void nomem_test(void **state) {
  rlc__catalog *c = new_catalog();
  rlc__entry e = entry_of(RLC_ENTRY_OVERRIDE, "a", "api", "2/s");
  int rv = RLC_ERR_NOMEM;

  (void)state;
  put(c, RLC_ENTRY_OVERRIDE, "a", "api", "1/s");
  for (int left = 0; rv != 0; ++left) {
    memory.left = left;
    rv = rlc__catalog_put(c, &e, NULL, 0);
    memory.left = -1;
    assert_true(rv == 0 || rv == RLC_ERR_NOMEM);
    assert_string_equal(text_of(c, "a", "api"), rv == 0 ? "2/s" : "1/s");
    assert_int_equal(rlc__catalog_entries(c), 1);
  }
  del_catalog(c);
}

/* --- threads and processes ----------------------------------------------------------------- */

typedef struct race {
  rlc__catalog *catalog;
  _Atomic int stop;
} race;

/* Each policy that is found is one of those that were put, for as long as it is read. */
static void *read_on(void *user) {
  race *r = user;
  uintptr_t bad = 0;

  while (!atomic_load(&r->stop)) {
    rlc__reading reading;
    rlc__found found;

    if (rlc__catalog_has(r->catalog, "api", 3) == 0) {
      continue;
    }
    rlc__catalog_enter(r->catalog, &reading);
    found = find(r->catalog, "a", "api");
    /* One that is being replaced is never away. */
    bad += found.policy == NULL || strcmp(found.policy->text + 1, "/s") != 0;
    rlc__catalog_leave(&reading);
  }
  return (void *)bad;
}

static void race_test(void **state) {
  pthread_t threads[3];
  race r = {NULL, 0};

  (void)state;
  r.catalog = new_catalog();
  put(r.catalog, RLC_ENTRY_OVERRIDE, "a", "api", "1/s");
  for (int i = 0; i < 3; ++i) {
    assert_int_equal(pthread_create(&threads[i], NULL, read_on, &r), 0);
  }
  for (int i = 0; i < 20000; ++i) {
    char text[8];

    snprintf(text, sizeof text, "%d/s", 1 + i % 9);
    put(r.catalog, RLC_ENTRY_OVERRIDE, "a", "api", text);
    put(r.catalog, RLC_ENTRY_BAN, "b", "api", "");
    drop(r.catalog, RLC_ENTRY_BAN, "b", "api");
    rlc__catalog_tidy(r.catalog, NOW);
  }
  atomic_store(&r.stop, 1);
  for (int i = 0; i < 3; ++i) {
    void *bad;

    pthread_join(threads[i], &bad);
    assert_null(bad);
  }
  del_catalog(r.catalog);
}

/* A child begins with an empty copy, and its parent's goes on. */
static void fork_test(void **state) {
  rlc__catalog *c = new_catalog();
  rlc__reading reading;
  pid_t child;
  int status;

  (void)state;
  put(c, RLC_ENTRY_OVERRIDE, "a", "api", "1/s");
  rlc__catalog_enter(c, &reading); /* what the parent is in the middle of does not hold the child */
  child = fork();
  if (child == 0) {
    int bad = rlc__catalog_entries(c) != 0 || find(c, "a", "api").policy != NULL;

    put(c, RLC_ENTRY_OVERRIDE, "a", "api", "2/s");
    put(c, RLC_ENTRY_OVERRIDE, "a", "api", "3/s");
    rlc__catalog_tidy(c, NOW);
    _exit(bad || strcmp(text_of(c, "a", "api"), "3/s") != 0);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  assert_string_equal(text_of(c, "a", "api"), "1/s");
  rlc__catalog_leave(&reading);
  del_catalog(c);
}

/* --- denials ------------------------------------------------------------------------------- */

static rlc__denials_table *new_denials(void) {
  rlc__denials_table *t;
  rlc_memory functions = failing_functions(&memory);

  memory = (failing_memory){-1, 0};
  assert_int_equal(rlc__denials_new(&t, &functions), 0);
  return t;
}

static uint32_t deny(rlc__denials_table *t, uint64_t id, int64_t now_us) {
  rlc__denials first;
  uint32_t n = rlc__denials_add(t, id, now_us);

  memset(&first, 0, sizeof first);
  first.count = 1;
  first.within_us = 10 * SECOND;
  snprintf(first.name, sizeof first.name, "n%u", (unsigned)id % 1000);
  return n > 0 ? n : rlc__denials_open(t, id, &first, now_us);
}

/* Counts go up by key, and are taken once. */
static void count_test(void **state) {
  rlc__denials_table *t = new_denials();
  rlc__denials out[4];

  (void)state;
  assert_int_equal(deny(t, 1, NOW), 1);
  assert_int_equal(deny(t, 1, NOW), 2);
  assert_int_equal(deny(t, 2, NOW), 1);
  assert_int_equal(deny(t, 1, NOW), 3);
  assert_int_equal(rlc__denials_keys(t), 2);
  rlc__denials_forget(t, 2);
  rlc__denials_forget(t, 9);
  assert_int_equal(rlc__denials_take(t, out, 4, NOW), 1);
  assert_int_equal(out[0].count, 3);
  assert_string_equal(out[0].name, "n1");
  assert_int_equal(rlc__denials_take(t, out, 4, NOW), 0);
  assert_int_equal(rlc__denials_keys(t), 0);
  rlc__denials_del(t);
}

/* What waited for longer than its window is no longer part of one. */
static void stale_test(void **state) {
  rlc__denials_table *t = new_denials();
  rlc__denials out[4];

  (void)state;
  deny(t, 1, NOW);
  deny(t, 1, NOW + 5 * SECOND);
  deny(t, 2, NOW + 5 * SECOND);
  assert_int_equal(deny(t, 2, NOW + 16 * SECOND), 1);
  assert_int_equal(rlc__denials_take(t, out, 4, NOW + 11 * SECOND), 1);
  assert_int_equal(out[0].count, 1);
  assert_int_equal(rlc__denials_keys(t), 0);
  rlc__denials_del(t);
}

/* A hundred thousand keys: no more memory than for those that fit, and the others are counted; what is
 * old makes room. */
static void flood_test(void **state) {
  rlc__denials_table *t = new_denials();
  rlc__denials out[RLC__DENIALS_KEYS];
  uint64_t id = 88172645463325252u;
  int held = memory.held;

  (void)state;
  for (unsigned i = 0; i < 100000; ++i) {
    id ^= id << 13;
    id ^= id >> 7;
    id ^= id << 17;
    deny(t, id, NOW);
  }
  assert_int_equal(memory.held, held);
  assert_int_equal(rlc__denials_keys(t), RLC__DENIALS_KEYS);
  assert_int_equal(rlc__denials_dropped(t), 100000 - RLC__DENIALS_KEYS);
  assert_int_equal(deny(t, 4, NOW), 0);
  assert_int_equal(deny(t, 4, NOW + 11 * SECOND), 1);
  assert_int_equal(rlc__denials_keys(t), RLC__DENIALS_KEYS);
  assert_int_equal(rlc__denials_take(t, out, RLC__DENIALS_KEYS, NOW), RLC__DENIALS_KEYS);
  assert_int_equal(rlc__denials_keys(t), 0);
  rlc__denials_del(t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(entries_test), cmocka_unit_test(replaced_test),
      cmocka_unit_test(bounded_test), cmocka_unit_test(many_test),
      cmocka_unit_test(all_test),     cmocka_unit_test(garbage_test),
      cmocka_unit_test(ended_test),   cmocka_unit_test(nomem_test),
      cmocka_unit_test(race_test),    cmocka_unit_test(fork_test),
      cmocka_unit_test(count_test),   cmocka_unit_test(stale_test),
      cmocka_unit_test(flood_test),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
