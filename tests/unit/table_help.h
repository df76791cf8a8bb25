/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_TABLE_HELP_H
#define RLCORE_TABLE_HELP_H

/* What the tests of the embedded stores share. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "store/slots.h"
#include "store/store.h"
#include "store/table.h"

/* A second at which windows of a minute, an hour and a day begin. */
#define DAY INT64_C(1800057600000000)
#define SECOND INT64_C(1000000)

static inline rlc_policy *parse(const char *text) {
  rlc_policy *policy;
  char why[RLC_MESSAGE_SIZE] = "";

  if (rlc_policy_new(&policy, NULL, text, NULL, why, sizeof why) != 0) {
    fail_msg("%s: %s", text, why);
  }
  return policy;
}

static inline rlc_options no_options(void) {
  rlc_options options;

  memset(&options, 0, sizeof options);
  options.memory = *rlc__memory_or_default(NULL);
  options.shm_fd = -1;
  return options;
}

/* A table that the processes forked later share. */
static inline rlc__store *shared_table(uint64_t slots) {
  rlc_options options = no_options();
  rlc__store *store;

  assert_int_equal(rlc__anonymous_store_new(&store, slots, &options, NULL, 0), 0);
  return store;
}

static inline rlc__item item_of(const rlc_policy *policy, const char *key, uint64_t cost) {
  rlc__item item;

  memset(&item, 0, sizeof item);
  item.policy = policy;
  item.key = key;
  item.key_len = strlen(key);
  item.name = "test";
  item.name_len = 4;
  item.cost = cost;
  return item;
}

/* A store of a region that a test can look into. */
typedef struct open_table {
  rlc__store base;
  rlc__region region;
} open_table;

static inline int open_decide(rlc__store *store, rlc__call *call) {
  return rlc__table_decide(&((open_table *)store)->region, call);
}

static inline void open_get_stats(rlc__store *store, rlc_stats *stats) {
  rlc__slots_get_stats(&((open_table *)store)->region, stats);
}

static inline open_table *open_table_new(uint64_t slots) {
  static const rlc__store_ops ops = {.decide = open_decide, .get_stats = open_get_stats};
  open_table *table = calloc(1, sizeof *table);

  assert_non_null(table);
  table->base.ops = &ops;
  assert_int_equal(rlc__region_new_anonymous(&table->region, slots, NULL, 0), 0);
  return table;
}

static inline void open_table_del(open_table *table) {
  rlc__region_del(&table->region);
  free(table);
}

/* Runs |op| on one key and returns the result. Aborts outside of cmocka's reach too, since children
 * call it. */
static inline rlc_result run(rlc__store *store, rlc__op op, const rlc_policy *policy,
                             const char *key, uint64_t cost, int64_t now_us) {
  rlc__item item = item_of(policy, key, cost);
  rlc__call call = {op, &item, 1, 0, now_us, 0};

  if (store->ops->decide(store, &call) != 0) {
    abort();
  }
  return item.result;
}

static inline int check(rlc__store *store, const rlc_policy *policy, const char *key, uint64_t cost,
                        int64_t now_us) {
  return run(store, RLC__OP_CHECK, policy, key, cost, now_us).allowed;
}

static inline uint64_t remaining(rlc__store *store, const rlc_policy *policy, const char *key,
                                 int64_t now_us) {
  return run(store, RLC__OP_PEEK, policy, key, 1, now_us).remaining;
}

static inline rlc_stats stats_of(rlc__store *store) {
  rlc_stats stats = RLC_STATS_INIT;

  store->ops->get_stats(store, &stats);
  return stats;
}

static inline void *shared_memory(size_t size) {
  void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

  assert_true(memory != MAP_FAILED);
  return memory;
}

/* A count from the environment, for longer runs by hand. */
static inline unsigned long setting(const char *name, unsigned long otherwise) {
  const char *text = getenv(name);

  return text != NULL ? strtoul(text, NULL, 10) : otherwise;
}

/* --- tables in files ----------------------------------------------------------------------- */

/* The last sentence that opening a table gave. */
static char why[RLC_MESSAGE_SIZE];

typedef struct own_folder {
  char folder[64];
  char path[96];
} own_folder;

static inline int make_folder(void **state) {
  own_folder *p = calloc(1, sizeof *p);

  assert_non_null(p);
  strcpy(p->folder, "/tmp/rlc-test-shm-XXXXXX");
  assert_non_null(mkdtemp(p->folder));
  snprintf(p->path, sizeof p->path, "%s/table", p->folder);
  *state = p;
  return 0;
}

static inline int remove_folder(void **state) {
  own_folder *p = *state;

  unlink(p->path);
  /* Fails, as the test then does, where a file under a temporary name was left. */
  assert_int_equal(rmdir(p->folder), 0);
  free(p);
  return 0;
}

static inline rlc__url url_of(const char *path, uint64_t slots) {
  rlc__url url;

  memset(&url, 0, sizeof url);
  url.path = (char *)(uintptr_t)path;
  url.slots = slots;
  url.mode = 0600;
  return url;
}

static inline int open_url(rlc__store **store, const rlc__url *url) {
  rlc_options options = no_options();

  why[0] = '\0';
  return rlc__shm_store_new(store, url, &options, why, sizeof why);
}

static inline rlc__store *open_path(const char *path, uint64_t slots) {
  rlc__url url = url_of(path, slots);
  rlc__store *store;

  if (open_url(&store, &url) != 0) {
    fail_msg("%s", why);
  }
  return store;
}

#define FILE_TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)

#endif
