/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs those four first */
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "redis/reader.h"
#include "rlcore/rlcore.h"

static char why[RLC_MESSAGE_SIZE];

static void feed(rlc__reader *reader, const char *text) {
  assert_int_equal(rlc__reader_feed(reader, text, strlen(text), why, sizeof why), 0);
}

/* What `next` says of |text|; a reply is freed. */
static int next_of(const char *text) {
  rlc__reader reader = {0};
  redisReply *reply;
  int rv;

  assert_int_equal(rlc__reader_open(&reader, why, sizeof why), 0);
  feed(&reader, text);
  rv = rlc__reader_next(&reader, &reply, why, sizeof why);
  assert_true(rv == 0 || reply == NULL);
  freeReplyObject(reply);
  rlc__reader_close(&reader);
  return rv;
}

/* A reply comes when its last byte is there, and what lies behind it is a surplus until read. */
static void test_pieces(void **state) {
  static const char text[] = "*2\r\n$3\r\na\nb\r\n:7\r\n+OK\r\n";
  rlc__reader reader = {0};
  redisReply *reply = NULL;
  size_t fed = 0;

  (void)state;
  assert_int_equal(rlc__reader_open(&reader, why, sizeof why), 0);
  for (; reply == NULL && fed < sizeof text - 1; ++fed) {
    assert_int_equal(rlc__reader_feed(&reader, text + fed, 1, why, sizeof why), 0);
    assert_int_equal(rlc__reader_next(&reader, &reply, why, sizeof why), 0);
  }
  assert_int_equal(fed, sizeof text - 1 - 5);
  assert_int_equal(reply->elements, 2);
  assert_memory_equal(reply->element[0]->str, "a\nb", 4);
  assert_int_equal(reply->element[1]->integer, 7);
  freeReplyObject(reply);
  assert_false(rlc__reader_has_surplus(&reader));
  feed(&reader, text + fed);
  assert_true(rlc__reader_has_surplus(&reader));
  assert_int_equal(rlc__reader_next(&reader, &reply, why, sizeof why), 0);
  assert_string_equal(reply->str, "OK");
  freeReplyObject(reply);
  rlc__reader_close(&reader);
  rlc__reader_close(&reader);
}

/* An array of more elements than any reply has is refused when its header comes. */
static void test_elements(void **state) {
  (void)state;
  assert_int_equal(next_of("*20000\r\n"), 0);
  assert_int_equal(next_of("*20001\r\n"), RLC__ERR_PROTOCOL);
  assert_non_null(strstr(why, "more than 20000 elements"));
  assert_int_equal(next_of("*2147483647\r\n"), RLC__ERR_PROTOCOL);
  assert_int_equal(next_of("*1\r\n*20001\r\n"), RLC__ERR_PROTOCOL);
}

/* So is one that lies too deep. */
static void test_depth(void **state) {
  (void)state;
  assert_int_equal(next_of("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n"), 0);
  assert_int_equal(next_of("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n"), RLC__ERR_PROTOCOL);
  assert_non_null(strstr(why, "6 levels"));
}

/* A string that would be too long is refused when it is promised, not when it has come. */
static void test_promise(void **state) {
  (void)state;
  assert_int_equal(next_of("$4194304\r\n"), 0);
  assert_int_equal(next_of("$4194305\r\n"), RLC__ERR_PROTOCOL);
  assert_int_equal(next_of("$9999999999999\r\n"), RLC__ERR_PROTOCOL);
}

/* A line without an end, and what is no reply, end it too; the sentence is printable. */
static void test_faults(void **state) {
  rlc__reader reader = {0};
  redisReply *reply;
  char line[1024];
  int rv = 0;

  (void)state;
  memset(line, 'x', sizeof line);
  line[0] = '+';
  assert_int_equal(rlc__reader_open(&reader, why, sizeof why), 0);
  for (int i = 0; rv == 0 && i < 2 * RLC__MAX_REPLY / (int)sizeof line; ++i) {
    assert_int_equal(rlc__reader_feed(&reader, line, sizeof line, why, sizeof why), 0);
    rv = rlc__reader_next(&reader, &reply, why, sizeof why);
  }
  assert_int_equal(rv, RLC__ERR_PROTOCOL);
  rlc__reader_close(&reader);
  assert_int_equal(next_of("\x1b[2J\r\n"), RLC__ERR_PROTOCOL);
  assert_null(strchr(why, '\x1b'));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_pieces), cmocka_unit_test(test_elements), cmocka_unit_test(test_depth),
      cmocka_unit_test(test_promise), cmocka_unit_test(test_faults),
  };
  return cmocka_run_group_tests_name("reader", tests, NULL, NULL);
}
