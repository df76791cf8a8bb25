/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs those four first */
#include <cmocka.h>

#include <string.h>

#include "rlcore/rlcore.h"

#define NOW INT64_C(1767225630000000)
#define MINUTE INT64_C(60000000)

static const char secret[] = "0123456789abcdef0123456789abcdef";
static rlc_policy *policy;
static rlc_limit limits[2];

static int set_up(void **state) {
  (void)state;
  limits[0] = limits[1] = (rlc_limit)RLC_LIMIT_INIT;
  limits[0].name = "api";
  limits[0].key = "192.0.2.1";
  limits[0].key_len = 9;
  limits[1].key = "ann";
  limits[1].key_len = 3;
  limits[1].group = "g";
  limits[1].group_len = 1;
  limits[1].cost = 20;
  if (rlc_policy_new(&policy, "login", "5/min", NULL, NULL, 0) != 0) {
    return -1;
  }
  limits[0].policy = limits[1].policy = policy;
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  rlc_policy_del(policy);
  return 0;
}

static size_t format(char *buf, int64_t now_us) {
  return rlc_http_format_charged(buf, RLC_CHARGED_SIZE, secret, sizeof secret - 1, limits, 2, now_us);
}

static int parse(const char *text, size_t len, int64_t now_us, uint64_t charged[2]) {
  return rlc_http_parse_charged(text, len, secret, sizeof secret - 1, now_us, MINUTE, limits, 2,
                                charged);
}

/* Made by another program from the text in rlcore.h. */
static void test_text(void **state) {
  char buf[RLC_CHARGED_SIZE];
  size_t len = format(buf, NOW);

  (void)state;
  assert_int_equal(len, strlen(buf));
  assert_string_equal(buf, "v1 1767225630 api:VynfpwTn3GNnQsXv:1,login:B9tbS7pf71PHY_Gp.OfOPEp0SBPU6ca44:20 "
                           "Qs7Z107NU_StVxkHoeHd10d5Yov4dLZgEINhTND3GjI");
}

/* The key's hash is the one that names of keys in Redis have. */
static void test_hash(void **state) {
  char buf[RLC_CHARGED_SIZE];
  char hash[17];
  rlc_options *options;
  rlc_limiter *limiter;

  (void)state;
  assert_int_equal(rlc_options_new(&options, NULL), 0);
  assert_int_equal(rlc_options_set_secret(options, secret, sizeof secret - 1), 0);
  assert_int_equal(rlc_limiter_new(&limiter, "redis://127.0.0.1:1", options, NULL, 0), 0);
  assert_int_equal(rlc_limiter_hash(limiter, "192.0.2.1", 9, hash), 0);
  format(buf, RLC_NEVER);
  assert_memory_equal(buf + 4, hash, 16);
  rlc_limiter_del(limiter);
  rlc_options_del(options);
}

/* What was written is read: of each limit its units, and of others none. */
static void test_round(void **state) {
  char buf[RLC_CHARGED_SIZE];
  uint64_t charged[2];
  size_t len = format(buf, NOW);

  (void)state;
  assert_int_equal(parse(buf, len, NOW + MINUTE, charged), 0);
  assert_int_equal(charged[0], 1);
  assert_int_equal(charged[1], 20);
  limits[0].key = "192.0.2.2";
  limits[1].group_len = 0;
  assert_int_equal(parse(buf, len, NOW, charged), 0);
  assert_int_equal(charged[0] + charged[1], 0);
}

/* Nobody without the secret writes one: no byte of it can be another, none added or left out. */
static void test_forged(void **state) {
  char buf[RLC_CHARGED_SIZE];
  char longer[RLC_CHARGED_SIZE];
  uint64_t charged[2] = {9, 9};
  size_t len = format(buf, NOW);

  (void)state;
  for (size_t i = 0; i < len; ++i) {
    buf[i] ^= 1;
    assert_int_equal(parse(buf, len, NOW, charged), RLC_ERR_FOREIGN);
    assert_int_equal(charged[0] + charged[1], 0);
    buf[i] ^= 1;
    assert_int_equal(parse(buf, i, NOW, charged), RLC_ERR_FOREIGN);
  }
  memcpy(longer, buf, len);
  memcpy(longer + len, ", x", 4);
  assert_int_equal(parse(longer, len + 3, NOW, charged), RLC_ERR_FOREIGN);
  assert_int_equal(rlc_http_parse_charged(buf, len, "fedcba9876543210", 16, NOW, MINUTE, limits, 2,
                                          charged),
                   RLC_ERR_FOREIGN);
  assert_int_equal(parse(buf, len, RLC_NEVER, charged), RLC_ERR_FOREIGN);
}

/* It holds for as long as the reader says, before and after. */
static void test_age(void **state) {
  char buf[RLC_CHARGED_SIZE];
  uint64_t charged[2];
  size_t len = format(buf, NOW);

  (void)state;
  assert_int_equal(parse(buf, len, NOW - MINUTE, charged), 0);
  assert_int_equal(parse(buf, len, NOW - MINUTE - 1, charged), RLC_ERR_FOREIGN);
  assert_int_equal(parse(buf, len, NOW + MINUTE + 999999, charged), 0);
  assert_int_equal(parse(buf, len, NOW + MINUTE + 1000000, charged), RLC_ERR_FOREIGN);
}

/* The list alone, also without a secret. */
static void test_list(void **state) {
  char buf[RLC_CHARGED_SIZE];
  uint64_t charged[2];
  size_t len = rlc_http_format_charged(buf, sizeof buf, NULL, 0, limits, 2, RLC_NEVER);

  (void)state;
  assert_true(len > 0 && strncmp(buf, "api:", 4) == 0);
  assert_int_equal(rlc_http_parse_charged(buf, len, NULL, 0, RLC_NEVER, 0, limits, 2, charged), 0);
  assert_int_equal(charged[0], 1);
  assert_int_equal(charged[1], 20);
}

/* What is nothing, or cannot be: no secret, no cost, no room; and texts of other kinds. */
static void test_nothing(void **state) {
  static const char *const no[] = {"", "api", "api:", "api:x:", ",", "api:x:-1",
                                   "api:x:1000000001", "api:x:1 ", "api:x:99999999999999999999"};
  char buf[RLC_CHARGED_SIZE];
  uint64_t charged[2];
  size_t len = format(buf, NOW);

  (void)state;
  assert_int_equal(rlc_http_format_charged(buf, 20, secret, 32, limits, 2, NOW), len);
  assert_string_equal(buf, "");
  assert_int_equal(rlc_http_format_charged(buf, sizeof buf, secret, 15, limits, 2, NOW), 0);
  assert_int_equal(rlc_http_format_charged(buf, sizeof buf, secret, 32, limits, 0, NOW), 0);
  limits[0].cost = 0;
  assert_int_equal(rlc_http_format_charged(buf, sizeof buf, secret, 32, limits, 1, NOW), 0);
  for (size_t i = 0; i < sizeof no / sizeof no[0]; ++i) {
    if (parse(no[i], strlen(no[i]), RLC_NEVER, charged) != RLC_ERR_FOREIGN) {
      fail_msg("\"%s\"", no[i]);
    }
  }
  assert_int_equal(parse(NULL, 0, NOW, charged), RLC_ERR_INVALID);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_text, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_hash, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_round, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_forged, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_age, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_list, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_nothing, set_up, tear_down)};

  return cmocka_run_group_tests(tests, NULL, NULL);
}
