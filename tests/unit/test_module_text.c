/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../mod_ratelimit_redis/text.h"

/* --- arguments ----------------------------------------------------------------------------- */

static void expect_word(char **rest, const char *name, const char *value) {
  ratelimit_word word;

  assert_int_equal(ratelimit_next_word(rest, &word), RATELIMIT_WORDS_ONE);
  if (name == NULL) {
    assert_null(word.name);
  } else {
    assert_string_equal(word.name, name);
  }
  assert_string_equal(word.value, value);
}

static void expect_end(char *rest, ratelimit_words how) {
  ratelimit_word word;

  assert_int_equal(ratelimit_next_word(&rest, &word), how);
  assert_null(word.name);
}

/* A policy, and options with and without quotes, come apart at the spaces outside quotes. */
static void test_words(void **state) {
  char line[] = "  \"10/s burst=20\" name=api\tkey=\"%{HTTP:X Key}\" when='a = b'  cost= "
                "group='%{ENV:a}' ";
  char *rest = line;

  (void)state;
  expect_word(&rest, NULL, "10/s burst=20");
  expect_word(&rest, "name", "api");
  expect_word(&rest, "key", "%{HTTP:X Key}");
  expect_word(&rest, "when", "a = b");
  expect_word(&rest, "cost", "");
  expect_word(&rest, "group", "%{ENV:a}");
  expect_end(rest, RATELIMIT_WORDS_END);
}

/* Quotes may stand around name and value together, as elsewhere in httpd. */
static void test_words_quoted_whole(void **state) {
  char line[] = "api \"key=%{REMOTE_USER} x\" 'when=\"a\" == \"b\"'";
  char *rest = line;

  (void)state;
  expect_word(&rest, NULL, "api");
  expect_word(&rest, "key", "%{REMOTE_USER} x");
  expect_word(&rest, "when", "\"a\" == \"b\"");
  expect_end(rest, RATELIMIT_WORDS_END);
}

/* A backslash hides the quote it stands in and itself, and is a letter before anything else. */
static void test_words_backslash(void **state) {
  char line[] = "key=\"a\\\"b\\\\c\\d\\'\" x\\\"y";
  char *rest = line;

  (void)state;
  expect_word(&rest, "key", "a\"b\\c\\d\\'");
  expect_word(&rest, NULL, "x\\\"y");
  expect_end(rest, RATELIMIT_WORDS_END);
}

/* Only the first "=" after letters, and digits behind them, ends a name. */
static void test_words_equals(void **state) {
  char line[] = "key=a=b 10/s=x =y key== v4prefix=24 4v=x";
  char *rest = line;

  (void)state;
  expect_word(&rest, "key", "a=b");
  expect_word(&rest, NULL, "10/s=x");
  expect_word(&rest, NULL, "=y");
  expect_word(&rest, "key", "=");
  expect_word(&rest, "v4prefix", "24");
  expect_word(&rest, NULL, "4v=x");
  expect_end(rest, RATELIMIT_WORDS_END);
}

/* An open quote, and text that follows a closing one, are mistakes. */
static void test_words_wrong(void **state) {
  const char *const open[] = {"\"", "'a", "\"a\\\"", "\"a\\"};
  const char *const joined[] = {"\"a\"b", "'a'\"b\"", "\"\"x"};
  char line[16];
  ratelimit_word word;
  char *rest;

  (void)state;
  for (size_t i = 0; i < sizeof open / sizeof open[0]; ++i) {
    rest = strcpy(line, open[i]);
    assert_int_equal(ratelimit_next_word(&rest, &word), RATELIMIT_WORDS_OPEN);
  }
  for (size_t i = 0; i < sizeof joined / sizeof joined[0]; ++i) {
    rest = strcpy(line, joined[i]);
    assert_int_equal(ratelimit_next_word(&rest, &word), RATELIMIT_WORDS_JOINED);
  }
}

/* Words are found in any case of letters, and nothing else is. */
static void test_find_word(void **state) {
  static const char *const words[] = {"enforce", "dry-run", "off"};

  (void)state;
  assert_int_equal(ratelimit_find_word(words, 3, "off"), 2);
  assert_int_equal(ratelimit_find_word(words, 3, "Dry-Run"), 1);
  assert_int_equal(ratelimit_find_word(words, 3, "dry"), -1);
  assert_int_equal(ratelimit_find_word(words, 3, ""), -1);
}

/* --- costs --------------------------------------------------------------------------------- */

/* Whole numbers are read as they are; one above the most becomes the most plus one. */
static void test_cost(void **state) {
  static const struct {
    const char *text;
    uint32_t cost;
  } good[] = {{"0", 0},      {"1", 1},       {"007", 7},
              {"1000", 1000}, {"1001", 1001}, {"99999999999999999999999999", 1001}};
  uint32_t cost;

  (void)state;
  for (size_t i = 0; i < sizeof good / sizeof good[0]; ++i) {
    assert_int_equal(ratelimit_parse_cost(good[i].text, 1000, &cost), 1);
    assert_int_equal(cost, good[i].cost);
  }
}

/* Everything else is no number, and says 0. */
static void test_cost_wrong(void **state) {
  static const char *const bad[] = {"", "-1", "+1", " 1", "1 ", "1.5", "1e3", "0x10", "one"};
  uint32_t cost = 5;

  (void)state;
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; ++i) {
    assert_int_equal(ratelimit_parse_cost(bad[i], 1000, &cost), 0);
    assert_int_equal(cost, 0);
  }
}

/* Parts of something have a percent sign, and lie between 1 and the most. */
static void test_percent(void **state) {
  static const char *const bad[] = {"", "%", "0%", "51%", "5", "5%%", "5 %", " 5%", "-5%", "5.5%", "x%",
                                    "99999999999999999999999999%"};
  uint32_t percent;

  (void)state;
  assert_int_equal(ratelimit_parse_percent("1%", 50, &percent), 1);
  assert_int_equal(percent, 1);
  assert_int_equal(ratelimit_parse_percent("00050%", 50, &percent), 1);
  assert_int_equal(percent, 50);
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; ++i) {
    assert_int_equal(ratelimit_parse_percent(bad[i], 50, &percent), 0);
  }
}

/* --- expressions --------------------------------------------------------------------------- */

/* An expression that reads what authentication sets is recognized, however it is written. */
static void test_reads_user(void **state) {
  (void)state;
  assert_true(ratelimit_expr_reads_user("%{REMOTE_USER}"));
  assert_true(ratelimit_expr_reads_user("x-%{tolower:%{remote_user}}"));
  assert_true(ratelimit_expr_reads_user("%{ENV:REMOTE_USER}"));
  assert_true(ratelimit_expr_reads_user("env('AUTH_TYPE') == 'Basic'"));
  assert_true(ratelimit_expr_reads_user("%{REMOTE_IDENT}"));
  assert_true(ratelimit_expr_reads_user("%{ENV:AUTHENTICATE_UID}"));
  assert_false(ratelimit_expr_reads_user("%{HTTP:Authorization}"));
  assert_false(ratelimit_expr_reads_user("%{REMOTE_ADDR}"));
  assert_false(ratelimit_expr_reads_user(""));
}

/* Only what begins with a percent sign can differ from request to request. */
static void test_varies(void **state) {
  (void)state;
  assert_true(ratelimit_expr_varies("%{ENV:cost}"));
  assert_false(ratelimit_expr_varies("17"));
}

/* --- Accept -------------------------------------------------------------------------------- */

/* Machines get problem+json: who says nothing, anything, or JSON. */
static void test_wants_problem(void **state) {
  static const char *const yes[] = {"",
                                    "*/*",
                                    "application/json",
                                    "application/problem+json",
                                    "Application/Problem+JSON",
                                    "application/*",
                                    "text/html;q=0.5, application/json",
                                    "text/html;q=0.5,*/*",
                                    "text/*;q=0.3, */*;q=0.4",
                                    "image/png, */*;q=0.1",
                                    "application/json;charset=utf-8;q=0.9, text/html ; q=0.8",
                                    "text/*, application/problem+json"};

  (void)state;
  assert_true(ratelimit_wants_problem(NULL));
  for (size_t i = 0; i < sizeof yes / sizeof yes[0]; ++i) {
    if (!ratelimit_wants_problem(yes[i])) {
      fail_msg("%s", yes[i]);
    }
  }
}

/* Times between lines: from a second to a day, in the words of policies. */
static void test_interval(void **state) {
  static const struct {
    const char *text;
    uint32_t seconds; /* 0: none */
  } cases[] = {{"1s", 1},      {"90s", 90},   {"10min", 600},  {"1H", 3600},   {"24h", 86400},
               {"1day", 86400}, {"86400s", 86400}, {"0s", 0},   {"86401s", 0}, {"25h", 0},
               {"2day", 0},    {"60", 0},     {"s", 0},        {"", 0},        {"1 s", 0},
               {"-1s", 0},     {"1.5h", 0},   {"1w", 0},       {"1ss", 0},
               {"18446744073709551617s", 0}, {"4294967297s", 0}};

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
    uint32_t seconds = 9;

    if (ratelimit_parse_interval(cases[i].text, &seconds) != (cases[i].seconds > 0) ||
        seconds != cases[i].seconds) {
      fail_msg("%s: %u", cases[i].text, seconds);
    }
  }
}

/* Times to wait: from a millisecond to what is the most. */
static void test_delay(void **state) {
  static const struct {
    const char *text;
    uint32_t ms; /* 0: none */
  } cases[] = {{"1ms", 1},  {"500MS", 500}, {"2s", 2000}, {"30S", 30000}, {"30000ms", 30000},
               {"0s", 0},   {"0ms", 0},     {"31s", 0},   {"30001ms", 0}, {"2", 0},
               {"s", 0},    {"", 0},        {"1.5s", 0},  {"1 s", 0},     {"-1s", 0},
               {"1min", 0}, {"1sm", 0},     {"18446744073709551617ms", 0}, {"4294967297ms", 0}};

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
    uint32_t ms = 9;

    if (ratelimit_parse_delay(cases[i].text, 30000, &ms) != (cases[i].ms > 0) || ms != cases[i].ms) {
      fail_msg("%s: %u", cases[i].text, ms);
    }
  }
}

/* Browsers get a page: who names HTML at least as gladly, or neither. */
static void test_wants_page(void **state) {
  static const char *const no[] = {
      "text/html",
      "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
      "text/html, application/json",
      "application/json;q=0.5, text/html;q=0.501",
      "application/problem+json;q=0, */*",
      "application/json;q=0.0",
      "text/*",
      "image/png",
      "nonsense",
      ", ,;q=1",
      "application/jsonp",
      "*/*;q=0"};

  (void)state;
  for (size_t i = 0; i < sizeof no / sizeof no[0]; ++i) {
    if (ratelimit_wants_problem(no[i])) {
      fail_msg("%s", no[i]);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_words),           cmocka_unit_test(test_words_quoted_whole),
      cmocka_unit_test(test_words_backslash), cmocka_unit_test(test_words_equals),
      cmocka_unit_test(test_words_wrong),     cmocka_unit_test(test_find_word),
      cmocka_unit_test(test_cost),            cmocka_unit_test(test_cost_wrong),
      cmocka_unit_test(test_percent),
      cmocka_unit_test(test_reads_user),      cmocka_unit_test(test_varies),
      cmocka_unit_test(test_interval),
      cmocka_unit_test(test_delay),        cmocka_unit_test(test_wants_problem),
      cmocka_unit_test(test_wants_page)};

  return cmocka_run_group_tests(tests, NULL, NULL);
}
