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
#include "redis/refusal.h"
#include "reply_help.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* How Redis 7 ends what went wrong in a script. */
#define AT " script: 7bc43250a96ad1d4b610ee203a4cf28741cf32d1, on @user_script:53."
/* How Redis before 7 began it. */
#define RUN "ERR Error running script (call to f_7bc43250a96ad1d4b610ee203a4cf28741cf32d1): "

static const rlc__endpoint asked = {"seed.example", 7000};

static rlc__refusal kind_of(const char *text) {
  char line[400];
  redisReply *reply;
  rlc__refusal kind;

  snprintf(line, sizeof line, "-%s\r\n", text);
  reply = reply_of(line);
  assert_non_null(reply);
  kind = rlc__refusal_of(reply);
  freeReplyObject(reply);
  return kind;
}

typedef struct expected {
  const char *text;
  rlc__refusal kind;
} expected;

static void assert_kinds(const expected *cases, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    if (kind_of(cases[i].text) != cases[i].kind) {
      fail_msg("\"%s\" is %d, not %d", cases[i].text, (int)kind_of(cases[i].text),
               (int)cases[i].kind);
    }
  }
}

/* Whatever is no error is an answer. */
static void test_answers(void **state) {
  static const char *const answers[] = {":1\r\n", "+OK\r\n", "$5\r\nMOVED\r\n", "$-1\r\n",
                                        "*1\r\n-ERR x\r\n"};

  (void)state;
  for (size_t i = 0; i < COUNT(answers); ++i) {
    redisReply *reply = reply_of(answers[i]);

    assert_int_equal(rlc__refusal_of(reply), RLC__ANSWERED);
    freeReplyObject(reply);
  }
}

/* What Redis and Valkey say instead of running a command. */
static void test_codes(void **state) {
  static const expected cases[] = {
      {"NOSCRIPT No matching script. Please use EVAL.", RLC__NOSCRIPT},
      {"MOVED 3999 127.0.0.1:6381", RLC__MOVED},
      {"ASK 3999 127.0.0.1:6381", RLC__ASK},
      {"TRYAGAIN Multiple keys request during rehashing of slot", RLC__TRYAGAIN},
      {"CLUSTERDOWN Hash slot not served", RLC__CLUSTERDOWN},
      {"CLUSTERDOWN The cluster is down", RLC__CLUSTERDOWN},
      {"LOADING Redis is loading the dataset in memory", RLC__LOADING},
      {"READONLY You can't write against a read only replica.", RLC__READONLY},
      {"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
       RLC__READONLY},
      {"NOAUTH Authentication required.", RLC__LOGIN},
      {"WRONGPASS invalid username-password pair or user is disabled.", RLC__LOGIN},
      {"NOPERM this user has no permissions to run the 'evalsha' command", RLC__REFUSED},
      {"OOM command not allowed when used memory > 'maxmemory'.", RLC__REFUSED},
      {"BUSY Redis is busy running a script.", RLC__REFUSED},
      {"MISCONF Redis is configured to save RDB snapshots", RLC__REFUSED},
      {"NOREPLICAS Not enough good replicas to write.", RLC__REFUSED},
      {"CROSSSLOT Keys in request don't hash to the same slot", RLC__REFUSED},
      {"EXECABORT Transaction discarded because of previous errors.", RLC__REFUSED},
      {"UNKILLABLE The busy script was sent by a master instance", RLC__REFUSED},
      {"UNBLOCKED force unblock from blocking operation", RLC__REFUSED},
      {"ERR unknown command 'EVALSHA'", RLC__REFUSED},
      {"ERR Error compiling script (new function): user_script:1: '=' expected", RLC__REFUSED},
      {"WRONGTYPE Operation against a key holding the wrong kind of value", RLC__BAD_STATE},
  };

  (void)state;
  assert_kinds(cases, COUNT(cases));
}

/* Only the whole first word is a code. */
static void test_words(void **state) {
  static const expected cases[] = {
      {"MOVED", RLC__MOVED},      {"", RLC__REFUSED},          {" ", RLC__REFUSED},
      {"MOVEDX 1", RLC__REFUSED}, {" MOVED 1", RLC__REFUSED},  {"ERR MOVED 1", RLC__REFUSED},
      {"ASKING x", RLC__REFUSED}, {"loading x", RLC__REFUSED}, {"READONLY: x", RLC__REFUSED},
      {"MOVE 1", RLC__REFUSED},   {"TRYAGAIN\tx", RLC__REFUSED},
  };
  redisReply half = {.type = REDIS_REPLY_ERROR, .len = 5};

  (void)state;
  assert_kinds(cases, COUNT(cases));
  assert_int_equal(rlc__refusal_of(&half), RLC__REFUSED);
  assert_int_equal(rlc__refusal_of(NULL), RLC__REFUSED);
}

/* What redis.call raises in a script, as Redis 7.0 words it: only READONLY says for certain that
 * nothing was written, and of the rest it is told apart whether a key or the server is to blame. */
static void test_in_script(void **state) {
  static const expected cases[] = {
      {"READONLY You can't write against a read only replica." AT, RLC__READONLY},
      {"OOM command not allowed when used memory > 'maxmemory'." AT, RLC__REFUSED},
      {"NOREPLICAS Not enough good replicas to write." AT, RLC__REFUSED},
      {"ERR The user executing the script can't run this command or subcommand" AT, RLC__REFUSED},
      {"ERR Unknown Redis command called from script" AT, RLC__REFUSED},
      {"ERR syntax error" AT, RLC__REFUSED},
      {"ERR user_script:9: Script attempted to access nonexistent global variable 'struct'" AT,
       RLC__REFUSED},
      {"ERR Script attempted to execute a write command while the cluster is down and readonly" AT,
       RLC__REFUSED},
      {"LOADING Redis is loading the dataset in memory" AT, RLC__REFUSED},
      {"TRYAGAIN Multiple keys request during rehashing of slot" AT, RLC__REFUSED},
      {"MOVED 3999 127.0.0.1:6381" AT, RLC__REFUSED},
      {"WRONGTYPE Operation against a key holding the wrong kind of value" AT, RLC__BAD_STATE},
      {"ERR value is not an integer or out of range" AT, RLC__BAD_STATE},
      {"ERR increment or decrement would overflow" AT, RLC__BAD_STATE},
      {"ERR invalid expire time in 'set' command" AT, RLC__BAD_STATE},
      {"ERR user_script:24: attempt to perform arithmetic on a string value" AT, RLC__BAD_STATE},
      {"ERR user_script:32: bad argument #2 to 'unpack' (data string too short)" AT,
       RLC__BAD_STATE},
  };

  (void)state;
  assert_kinds(cases, COUNT(cases));
}

/* The same as Redis 6 words it: the command's own error stands last. */
static void test_in_old_script(void **state) {
  static const expected cases[] = {
      {RUN "@user_script:53: @user_script: 53: -READONLY You can't write against a read only",
       RLC__READONLY},
      {RUN "@user_script:53: -READONLY You can't write against a read only", RLC__READONLY},
      {RUN "@user_script:53: @user_script: 53: -OOM command not allowed", RLC__REFUSED},
      {RUN "@user_script:53: @user_script: 53: Unknown Redis command called from Lua script",
       RLC__REFUSED},
      {RUN "@user_script:53: -MOVED 3999 127.0.0.1:6381", RLC__REFUSED},
      {RUN "@user_script:24: WRONGTYPE Operation against a key", RLC__BAD_STATE},
      {RUN "@user_script:24: ERR value is not an integer or out of range", RLC__BAD_STATE},
      {RUN "@user_script:24: user_script:24: attempt to perform arithmetic", RLC__BAD_STATE},
      {RUN "@user_script:", RLC__REFUSED},
      {RUN "@user_script: 12", RLC__REFUSED},
      {RUN "not enough memory", RLC__REFUSED},
      {RUN, RLC__REFUSED},
  };

  (void)state;
  assert_kinds(cases, COUNT(cases));
}

/* Reads a redirection and writes "slot server", or NULL for what is none. */
static const char *redirect(const char *text) {
  static char told[RLC__ENDPOINT_TEXT + 16];
  char line[400], name[RLC__ENDPOINT_TEXT];
  redisReply *reply;
  rlc__endpoint to;
  unsigned slot;
  int rv;

  snprintf(line, sizeof line, "%s\r\n", text);
  reply = reply_of(line);
  assert_non_null(reply);
  rv = rlc__refusal_redirect(reply, &asked, &slot, &to);
  freeReplyObject(reply);
  assert_true(rv == 0 || rv == RLC__ERR_PROTOCOL);
  if (rv != 0) {
    return NULL;
  }
  snprintf(told, sizeof told, "%u %s", slot, rlc__endpoint_format(&to, name));
  return told;
}

/* Names, both kinds of addresses, and hosts that are the asked server's own. */
static void test_redirect(void **state) {
  (void)state;
  assert_string_equal(redirect("-MOVED 3999 127.0.0.1:6381"), "3999 127.0.0.1:6381");
  assert_string_equal(redirect("-ASK 0 redis-2.example:1"), "0 redis-2.example:1");
  assert_string_equal(redirect("-MOVED 16383 2001:db8::1:65535"), "16383 [2001:db8::1]:65535");
  assert_string_equal(redirect("-ASK 1 ::1:6379"), "1 [::1]:6379");
  assert_string_equal(redirect("-MOVED 3999 :6381"), "3999 seed.example:6381");
  assert_string_equal(redirect("-ASK 3999 ?:6381"), "3999 seed.example:6381");
}

/* What is cut short, too large, or no redirection at all leads nowhere. */
static void test_wrong_redirects(void **state) {
  static const char *const wrong[] = {
      "+OK", "$-1", "-ERR x", "-MOVED", "-MOVED ", "-MOVED 1", "-MOVED 1 ", "-MOVED 1 h",
      "-MOVED 1 h:", "-MOVED 1 h:0", "-MOVED 1 h:65536", "-MOVED 1 h:99999", "-MOVED 1 h:123456",
      "-MOVED 1 h:+1", "-MOVED 1 h:1 ", "-MOVED 1 h:1 x", "-MOVED 1 h h:1", "-MOVED  1 h:1",
      "-MOVED -1 h:1", "-MOVED 16384 h:1", "-MOVED 4294967297 h:1", "-MOVED x h:1",
      "-MOVED 1x h:1", "-MOVED 1 h\x01:1", "-moved 1 h:1", "-MOVED:1 h:1",
  };

  (void)state;
  for (size_t i = 0; i < COUNT(wrong); ++i) {
    if (redirect(wrong[i]) != NULL) {
      fail_msg("\"%s\" leads to %s", wrong[i], redirect(wrong[i]));
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_answers),       cmocka_unit_test(test_codes),
      cmocka_unit_test(test_words),         cmocka_unit_test(test_in_script),
      cmocka_unit_test(test_in_old_script), cmocka_unit_test(test_redirect),
      cmocka_unit_test(test_wrong_redirects),
  };
  return cmocka_run_group_tests_name("refusal", tests, NULL, NULL);
}
