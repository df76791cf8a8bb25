/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs those four first */
#include <cmocka.h>

#include <string.h>

#include "base/error.h"
#include "redis/sentinel.h"
#include "reply_help.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static char why[RLC_MESSAGE_SIZE];

static int read_master(const char *text, rlc__endpoint *out) {
  redisReply *reply = reply_of(text);
  int rv;

  assert_non_null(reply);
  why[0] = '\0';
  rv = rlc__sentinel_read_master(reply, out, why, sizeof why);
  freeReplyObject(reply);
  return rv;
}

/* Host and port, both as text. */
static void test_master(void **state) {
  rlc__endpoint out;
  char name[RLC__ENDPOINT_TEXT];

  (void)state;
  assert_int_equal(read_master("*2\r\n$9\r\n127.0.0.1\r\n$4\r\n6379\r\n", &out), 0);
  assert_string_equal(rlc__endpoint_format(&out, name), "127.0.0.1:6379");
  assert_int_equal(read_master("*2\r\n$11\r\n2001:db8::1\r\n$5\r\n65535\r\n", &out), 0);
  assert_string_equal(rlc__endpoint_format(&out, name), "[2001:db8::1]:65535");
  assert_string_equal(why, "");
}

/* A sentinel that does not know the name, and what is no sentinel, refuse; the sentence says so. */
static void test_refused(void **state) {
  rlc__endpoint out;

  (void)state;
  assert_int_equal(read_master("*-1\r\n", &out), RLC__ERR_REFUSED);
  assert_non_null(strstr(why, "knows no master of that name"));
  assert_int_equal(read_master("$-1\r\n", &out), RLC__ERR_REFUSED);
  assert_int_equal(read_master("-ERR unknown command `SENTINEL`\x1b\r\n", &out), RLC__ERR_REFUSED);
  assert_non_null(strstr(why, "unknown command `SENTINEL`\\x1b"));
}

/* Anything else is no answer, and what of it is shown is printable. */
static void test_wrong_masters(void **state) {
  static const char *const wrong[] = {
      "+OK\r\n", ":1\r\n", "*0\r\n", "*1\r\n$1\r\nh\r\n", "*2\r\n$1\r\nh\r\n:6379\r\n",
      "*2\r\n$-1\r\n$4\r\n6379\r\n", "*2\r\n$1\r\nh\r\n$-1\r\n", "*2\r\n*0\r\n*0\r\n",
      "*3\r\n$1\r\nh\r\n$1\r\n1\r\n$1\r\n1\r\n", "*2\r\n$1\r\nh\r\n$0\r\n\r\n",
      "*2\r\n$1\r\nh\r\n$1\r\n0\r\n", "*2\r\n$1\r\nh\r\n$5\r\n65536\r\n",
      "*2\r\n$1\r\nh\r\n$6\r\n006379\r\n", "*2\r\n$1\r\nh\r\n$2\r\n-1\r\n",
      "*2\r\n$1\r\nh\r\n$3\r\n1\n2\r\n", "*2\r\n$0\r\n\r\n$4\r\n6379\r\n",
      "*2\r\n$3\r\nh\nh\r\n$4\r\n6379\r\n", "*2\r\n$3\r\nh h\r\n$4\r\n6379\r\n",
  };
  rlc__endpoint out;

  (void)state;
  for (size_t i = 0; i < COUNT(wrong); ++i) {
    assert_int_equal(read_master(wrong[i], &out), RLC__ERR_PROTOCOL);
    assert_true(strlen(why) > 0 && strpbrk(why, "\r\n") == NULL);
  }
  assert_int_equal(rlc__sentinel_read_master(NULL, &out, NULL, 0), RLC__ERR_PROTOCOL);
}

/* The first word of ROLE, in the words of servers old and new. */
static void test_role(void **state) {
  static const struct {
    const char *text;
    int role;
  } cases[] = {
      {"*3\r\n$6\r\nmaster\r\n:3129659\r\n*0\r\n", 1},
      {"*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:9000\r\n$9\r\nconnected\r\n:1\r\n", 0},
      {"*1\r\n$7\r\nreplica\r\n", 0},
      {"*2\r\n$8\r\nsentinel\r\n*0\r\n", 0},
      {"-NOPERM this user has no permissions to run the 'role' command\r\n", RLC__ERR_REFUSED},
      {"*1\r\n$7\r\nmasters\r\n", RLC__ERR_PROTOCOL},
      {"*1\r\n$5\r\nmaste\r\n", RLC__ERR_PROTOCOL},
      {"*1\r\n$0\r\n\r\n", RLC__ERR_PROTOCOL},
      {"*1\r\n$-1\r\n", RLC__ERR_PROTOCOL},
      {"*1\r\n:1\r\n", RLC__ERR_PROTOCOL},
      {"*0\r\n", RLC__ERR_PROTOCOL},
      {"*-1\r\n", RLC__ERR_PROTOCOL},
      {"$6\r\nmaster\r\n", RLC__ERR_PROTOCOL},
  };

  (void)state;
  for (size_t i = 0; i < COUNT(cases); ++i) {
    redisReply *reply = reply_of(cases[i].text);

    assert_non_null(reply);
    assert_int_equal(rlc__role_is_master(reply), cases[i].role);
    freeReplyObject(reply);
  }
  assert_int_equal(rlc__role_is_master(NULL), RLC__ERR_PROTOCOL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_master),
      cmocka_unit_test(test_refused),
      cmocka_unit_test(test_wrong_masters),
      cmocka_unit_test(test_role),
  };
  return cmocka_run_group_tests_name("sentinel", tests, NULL, NULL);
}
