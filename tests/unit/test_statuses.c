/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs those four first */
#include <cmocka.h>

#include "statuses.h"

/* Returns how many statuses of all there are the list holds; -1: it is none. */
static int count(const char *text) {
  ratelimit_statuses statuses;
  int n = 0;

  if (!ratelimit_parse_statuses(text, &statuses)) {
    return -1;
  }
  for (int status = -1; status < 1000; ++status) {
    n += ratelimit_has_status(&statuses, status);
  }
  return n;
}

/* Numbers and classes, each status once. */
static void test_lists(void **state) {
  ratelimit_statuses statuses;

  (void)state;
  assert_int_equal(count("401"), 1);
  assert_int_equal(count("200,599,200"), 2);
  assert_int_equal(count("4xx"), 100);
  assert_int_equal(count("4XX,404,500"), 101);
  assert_int_equal(count("2xx,3xx,4xx,5xx"), 400);
  assert_int_equal(ratelimit_parse_statuses("401,5xx", &statuses), 1);
  assert_int_equal(ratelimit_has_status(&statuses, 401), 1);
  assert_int_equal(ratelimit_has_status(&statuses, 400), 0);
  assert_int_equal(ratelimit_has_status(&statuses, 500), 1);
  assert_int_equal(ratelimit_has_status(&statuses, 599), 1);
  assert_int_equal(ratelimit_has_status(&statuses, 600), 0);
}

/* What is no list. */
static void test_no_lists(void **state) {
  static const char *const no[] = {"",     "4",     "40",    "4x",   "4x1",  "40x",     "1xx",
                                   "199",  "600",   "6xx",   "4000", "401,", ",401",    "401,,403",
                                   "401 ", " 401",  "-401",  "4xxx", "all",  "401;403", "401,x"};

  (void)state;
  for (size_t i = 0; i < sizeof no / sizeof no[0]; ++i) {
    if (count(no[i]) != -1) {
      fail_msg("\"%s\"", no[i]);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_lists), cmocka_unit_test(test_no_lists)};

  return cmocka_run_group_tests(tests, NULL, NULL);
}
