/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs those four first */
#include <cmocka.h>

#include <string.h>

#include "redis/advice.h"
#include "rlcore/rlcore.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static char text[RLC_MESSAGE_SIZE];

static size_t eviction(const char *info) {
  return rlc__advice_eviction(info, strlen(info), text, sizeof text);
}

static size_t persistence(const char *info) {
  return rlc__advice_persistence(info, strlen(info), text, sizeof text);
}

/* A bound on memory and a policy that drops keys, in whichever order: it names the policy. */
static void test_eviction(void **state) {
  size_t len;

  (void)state;
  len = eviction("# Memory\r\nused_memory:1\r\nmaxmemory:1048576\r\n"
                 "maxmemory_human:1.00M\r\nmaxmemory_policy:allkeys-lru\r\n");
  assert_int_equal(len, strlen(text));
  assert_non_null(strstr(text, "maxmemory-policy is allkeys-lru:"));
  assert_non_null(strstr(text, "set maxmemory-policy to noeviction"));
  assert_true(eviction("maxmemory_policy:volatile-ttl\nmaxmemory:99999999999999999999999") > 0);
  assert_non_null(strstr(text, "volatile-ttl"));
}

/* No bound, no eviction, or a server that does not tell: there is nothing to say. */
static void test_no_eviction(void **state) {
  static const char *const infos[] = {
      "maxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n",
      "maxmemory:1048576\r\nmaxmemory_policy:noeviction\r\n",
      "maxmemory:1048576\r\n",
      "maxmemory_policy:allkeys-lru\r\n",
      "maxmemory:1048576\r\nmaxmemory_policy:\r\n",
      "maxmemory:\r\nmaxmemory_policy:allkeys-lru\r\n",
      "maxmemory:-1\r\nmaxmemory_policy:allkeys-lru\r\n",
      "xmaxmemory:1\r\nxmaxmemory_policy:allkeys-lru\r\n",
      "maxmemory_human:1\r\nmaxmemory_policy:allkeys-lru\r\n",
      "maxmemory",
      "\r\n\r\n",
      "",
  };

  (void)state;
  for (size_t i = 0; i < COUNT(infos); ++i) {
    assert_int_equal(eviction(infos[i]), 0);
  }
}

/* What a Redis 7.0 says that has just started and saves nothing. */
static void test_persistence(void **state) {
  size_t len;

  (void)state;
  len = persistence("# Persistence\r\nloading:0\r\nrdb_changes_since_last_save:0\r\n"
                    "rdb_bgsave_in_progress:0\r\nrdb_last_save_time:1700000000\r\n"
                    "rdb_last_bgsave_status:ok\r\nrdb_last_bgsave_time_sec:-1\r\n"
                    "rdb_saves:0\r\nrdb_last_load_keys_loaded:0\r\naof_enabled:0\r\n");
  assert_int_equal(len, strlen(text));
  assert_non_null(strstr(text, "set appendonly to yes"));
  assert_true(persistence("rdb_last_bgsave_time_sec:-1\r\naof_enabled:0\r\n") > 0);
}

/* With an AOF, with an RDB file of whatever origin, or from a server that does not tell: nothing.
 * */
static void test_kept(void **state) {
  static const char *const infos[] = {
      "rdb_last_bgsave_time_sec:-1\r\naof_enabled:1\r\n",
      "rdb_last_bgsave_time_sec:0\r\naof_enabled:0\r\n",
      "rdb_last_bgsave_time_sec:-1\r\nrdb_saves:3\r\naof_enabled:0\r\n",
      "rdb_last_bgsave_time_sec:-1\r\nrdb_last_load_keys_loaded:3\r\naof_enabled:0\r\n",
      "rdb_last_bgsave_time_sec:-1\r\nrdb_bgsave_in_progress:1\r\naof_enabled:0\r\n",
      "rdb_last_bgsave_time_sec:-1\r\n",
      "aof_enabled:0\r\n",
      "",
  };

  (void)state;
  for (size_t i = 0; i < COUNT(infos); ++i) {
    assert_int_equal(persistence(infos[i]), 0);
  }
}

/* A hostile policy is shown printable and short; a small buffer is kept to, and none is not
 * written. */
static void test_bounds(void **state) {
  static const char info[] = "maxmemory:1\nmaxmemory_policy:\x1b[2J\0xxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                             "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n";
  char small[8];

  (void)state;
  assert_true(rlc__advice_eviction(info, sizeof info - 1, text, sizeof text) > 0);
  assert_non_null(strstr(text, "is \\x1b[2J\\x00xxx"));
  assert_non_null(strstr(text, "...: when"));
  assert_int_equal(rlc__advice_eviction(info, sizeof info - 1, small, sizeof small), 7);
  assert_string_equal(small, "its max");
  assert_int_equal(rlc__advice_eviction(info, sizeof info - 1, NULL, 0), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_eviction), cmocka_unit_test(test_no_eviction),
      cmocka_unit_test(test_persistence), cmocka_unit_test(test_kept),
      cmocka_unit_test(test_bounds),
  };
  return cmocka_run_group_tests_name("advice", tests, NULL, NULL);
}
