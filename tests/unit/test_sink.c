/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../mod_ratelimit_redis/chart.h"
#include "../../mod_ratelimit_redis/sink.h"

static char out[4096];

static void put_to_buffer(void *to, const char *text, size_t len) {
  assert_true(strlen(to) + len < sizeof out);
  strncat(to, text, len);
}

static const ratelimit_sink sink = {put_to_buffer, out};

/* Empties the buffer for what is put next. */
static const ratelimit_sink *fresh(void) {
  out[0] = '\0';
  return &sink;
}

static void expect_shown(const char *bytes, size_t len, const char *expected) {
  char text[64];

  ratelimit_show_bytes(text, sizeof text, bytes, len);
  assert_string_equal(text, expected);
}

/* No text leaves the place it is put in. */
static void test_escapes(void **state) {
  (void)state;
  ratelimit_put_html(fresh(), "<a href='x'>\"&amp;\"</a>");
  assert_string_equal(out, "&lt;a href=&#39;x&#39;&gt;&quot;&amp;amp;&quot;&lt;/a&gt;");
  ratelimit_put_json(fresh(), "a\"b\\c\n\x1f</script>\x7f");
  assert_string_equal(out, "\"a\\\"b\\\\c\\u000a\\u001f\\u003c/script>\\u007f\"");
  ratelimit_put_label(fresh(), "a\"b\\c\nd");
  assert_string_equal(out, "\"a\\\"b\\\\c\\nd\"");
}

/* Text that people read stays; what cannot be seen, or would change how the rest is read, is told
 * byte by byte. */
static void test_show_bytes(void **state) {
  (void)state;
  expect_shown("J\xc3\xbcrgen \xe6\x9d\xb1 \xf0\x9f\x98\x80", 16,
               "J\xc3\xbcrgen \xe6\x9d\xb1 \xf0\x9f\x98\x80");
  expect_shown("a\0b\n\x1b[m", 7, "a\\x00b\\x0a\\x1b[m");
  expect_shown("\xe2\x80\xae" "exe", 6, "\\xe2\\x80\\xaeexe");
  expect_shown("\xe2\x80\x8b", 3, "\\xe2\\x80\\x8b");
  expect_shown("e\xcc\x81", 3, "e\\xcc\\x81");
  expect_shown("\xc2\xa0", 2, "\\xc2\\xa0");
  expect_shown("", 0, "");
}

/* What is no UTF-8 is told byte by byte: cut short, too long, a surrogate, beyond the last. */
static void test_show_bad_utf8(void **state) {
  (void)state;
  expect_shown("\xc3", 1, "\\xc3");
  expect_shown("\xc3(", 2, "\\xc3(");
  expect_shown("\xc0\xaf", 2, "\\xc0\\xaf");
  expect_shown("\xe0\x80\xaf", 3, "\\xe0\\x80\\xaf");
  expect_shown("\xed\xa0\x80", 3, "\\xed\\xa0\\x80");
  expect_shown("\xf4\x90\x80\x80", 4, "\\xf4\\x90\\x80\\x80");
  expect_shown("\xff\x80", 2, "\\xff\\x80");
}

/* A buffer that is too small ends with dots, and never with half a character or escape. */
static void test_show_cut(void **state) {
  char text[10];

  (void)state;
  ratelimit_show_bytes(text, sizeof text, "abcdef", 6);
  assert_string_equal(text, "abcdef");
  ratelimit_show_bytes(text, sizeof text, "abcdefg", 7);
  assert_string_equal(text, "abcdef...");
  ratelimit_show_bytes(text, sizeof text, "abcde\xc3\xbc", 7);
  assert_string_equal(text, "abcde...");
  ratelimit_show_bytes(text, sizeof text, "abc\n", 4);
  assert_string_equal(text, "abc...");
}

/* Whatever comes in, what comes out is text: it ends in time, holds no control character, and shown
 * once more it stays as it is. */
static void test_show_anything(void **state) {
  char text[40];
  char again[120];
  unsigned char bytes[24];
  uint64_t seed = 1;

  (void)state;
  for (unsigned i = 0; i < 200000; ++i) {
    size_t len = i % sizeof bytes;

    for (size_t at = 0; at < len; ++at) {
      seed = seed * 6364136223846793005u + 1442695040888963407u;
      bytes[at] = (unsigned char)(seed >> 40);
      if (i % 2 != 0) { /* more that looks like UTF-8 */
        bytes[at] = at % 3 == 0 ? 0xe0 | (bytes[at] & 0xf) : 0x80 | (bytes[at] & 0x3f);
      }
    }
    ratelimit_show_bytes(text, sizeof text, bytes, len);
    assert_true(strlen(text) < sizeof text);
    for (const char *c = text; *c != '\0'; ++c) {
      assert_true((unsigned char)*c >= 0x20 && *c != 0x7f);
    }
    ratelimit_show_bytes(again, sizeof again, text, strlen(text));
    assert_string_equal(again, text);
  }
}

/* Numbers as people read them. */
static void test_numbers(void **state) {
  (void)state;
  ratelimit_put_count(fresh(), 0);
  ratelimit_put(&sink, " ");
  ratelimit_put_count(&sink, 999);
  ratelimit_put(&sink, " ");
  ratelimit_put_count(&sink, 1000);
  ratelimit_put(&sink, " ");
  ratelimit_put_count(&sink, UINT64_MAX);
  assert_string_equal(out, "0 999 1,000 18,446,744,073,709,551,615");
}

/* Large ones in little room. */
static void test_short_numbers(void **state) {
  static const uint64_t numbers[] = {999999, 1000000, 9994999, 9996000, 123456789, 999600000,
                                     UINT64_MAX};

  (void)state;
  fresh();
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; ++i) {
    ratelimit_put_short(&sink, numbers[i]);
    ratelimit_put(&sink, "|");
  }
  assert_string_equal(out, "999,999|1.00 M|9.99 M|10.0 M|123 M|1.00 G|18.4 E|");
}

/* Times from a quarter of a microsecond to days. */
static void test_times(void **state) {
  static const uint64_t ns[] = {250, 1000, 9940, 9960, 999499, 999500, 12345678, 2100000000};
  static const uint64_t s[] = {0, 59, 60, 155, 3600, 12000, 86400, 172800, 1000000};

  (void)state;
  fresh();
  for (size_t i = 0; i < sizeof ns / sizeof ns[0]; ++i) {
    ratelimit_put_ns(&sink, ns[i]);
    ratelimit_put(&sink, "|");
  }
  assert_string_equal(out, "0.25 \xc2\xb5s|1.0 \xc2\xb5s|9.9 \xc2\xb5s|10 \xc2\xb5s|999 \xc2\xb5s|"
                           "1.0 ms|12 ms|2.1 s|");
  fresh();
  for (size_t i = 0; i < sizeof s / sizeof s[0]; ++i) {
    ratelimit_put_seconds(&sink, s[i]);
    ratelimit_put(&sink, "|");
  }
  assert_string_equal(out, "0 s|59 s|1 min|2 min 35 s|1 h|3 h 20 min|24 h|2 days|11 days|");
}

/* A share never says that there is none of what there is some, nor all where some is missing. */
static void test_shares(void **state) {
  static const uint64_t parts[][2] = {{0, 0}, {0, 5}, {5, 5}, {1, 3}, {1, 5000}, {99999, 100000}};

  (void)state;
  fresh();
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; ++i) {
    ratelimit_put_share(&sink, parts[i][0], parts[i][1]);
    ratelimit_put(&sink, "|");
  }
  assert_string_equal(out, "0 %|0 %|100 %|33.3 %|&lt; 0.1 %|&gt; 99.9 %|");
}

/* A scale ends at a round number that has a half, and not far above what it has to hold. */
static void test_nice(void **state) {
  (void)state;
  for (uint64_t n = 0; n < 100000; ++n) {
    uint64_t top = ratelimit_nice(n);

    assert_true(top >= n && top % 2 == 0 && top >= 4);
    assert_true(n < 5 || top <= n * 2);
  }
  assert_true(ratelimit_nice(UINT64_MAX / 2) >= UINT64_MAX / 4);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_escapes),  cmocka_unit_test(test_show_bytes),
      cmocka_unit_test(test_show_bad_utf8), cmocka_unit_test(test_show_cut),
      cmocka_unit_test(test_show_anything),
      cmocka_unit_test(test_numbers),  cmocka_unit_test(test_short_numbers),
      cmocka_unit_test(test_times),
      cmocka_unit_test(test_shares),   cmocka_unit_test(test_nice)};

  return cmocka_run_group_tests(tests, NULL, NULL);
}
