/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs those four first */
#include <cmocka.h>

#include <string.h>

#include "rlcore/rlcore.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static rlc_policy *policy_of(const char *name, const char *text) {
  rlc_policy *policy;
  char why[RLC_MESSAGE_SIZE] = "";

  if (rlc_policy_new(&policy, name, text, NULL, why, sizeof why) != 0) {
    fail_msg("%s: %s", text, why);
  }
  return policy;
}

/* RateLimit-Policy: one item a rate, named by the argument, else the policy, else its id. */
static void test_policy_field(void **state) {
  rlc_policy *named = policy_of("api", "100/min,1000/h burst=20");
  rlc_policy *unnamed = policy_of(NULL, "100/min");
  rlc_policy *month = policy_of("m", "9/month,5/3month algorithm=fixed-window");
  rlc_policy *slots = policy_of("s", "20/30s algorithm=concurrency");
  char buf[128];

  (void)state;
  assert_int_equal(rlc_http_format_policy(buf, sizeof buf, "burst", named, 0), 31);
  assert_string_equal(buf, "\"burst\";q=100;w=60;rlr-burst=20");
  rlc_http_format_policy(buf, sizeof buf, NULL, named, 1);
  assert_string_equal(buf, "\"api\";q=1000;w=3600");
  rlc_http_format_policy(buf, sizeof buf, NULL, unnamed, 0);
  assert_string_equal(buf, "\"QGsgvmy\";q=100;w=60");
  assert_int_equal(rlc_http_format_policy(buf, sizeof buf, NULL, unnamed, 1), 0);
  assert_string_equal(buf, "");
  rlc_http_format_policy(buf, sizeof buf, NULL, month, 0);
  assert_string_equal(buf, "\"m\";q=9;w=2678400");
  rlc_http_format_policy(buf, sizeof buf, NULL, month, 1);
  assert_string_equal(buf, "\"m\";q=5;w=7948800");
  rlc_http_format_policy(buf, sizeof buf, NULL, slots, 0);
  assert_string_equal(buf, "\"s\";q=20;qu=\"concurrent-requests\"");
  rlc_policy_del(slots);
  rlc_policy_del(named);
  rlc_policy_del(unnamed);
  rlc_policy_del(month);
}

/* RateLimit: what is left, and the seconds until all is, rounded up. */
static void test_limit_field(void **state) {
  rlc_result result = RLC_RESULT_INIT;
  char buf[128];

  (void)state;
  result.remaining = 50;
  result.reset_us = 29000001;
  assert_int_equal(rlc_http_format_limit(buf, sizeof buf, "default", &result), 19);
  assert_string_equal(buf, "\"default\";r=50;t=30");
  result.remaining = 0;
  result.reset_us = 0;
  rlc_http_format_limit(buf, sizeof buf, NULL, &result);
  assert_string_equal(buf, "\"default\";r=0;t=0");
}

/* A limit that refused tells the wait after which the request would pass, as Retry-After does. */
static void test_limit_field_refused(void **state) {
  rlc_result result = RLC_RESULT_INIT;
  char buf[128];

  (void)state;
  result.reset_us = 60000000;
  result.retry_us = 11000001;
  rlc_http_format_limit(buf, sizeof buf, "x", &result);
  assert_string_equal(buf, "\"x\";r=0;t=12");
  result.retry_us = RLC_NEVER;
  rlc_http_format_limit(buf, sizeof buf, "x", &result);
  assert_string_equal(buf, "\"x\";r=0;t=60");
}

/* No number exceeds the Integer of structured fields. */
static void test_limit_field_clamped(void **state) {
  rlc_result result = RLC_RESULT_INIT;
  char buf[128];

  (void)state;
  result.remaining = UINT64_MAX;
  result.reset_us = INT64_MAX;
  rlc_http_format_limit(buf, sizeof buf, "x", &result);
  assert_string_equal(buf, "\"x\";r=999999999999999;t=9223372036855");
  result.reset_us = -5;
  result.remaining = UINT64_C(1000000000000000);
  rlc_http_format_limit(buf, sizeof buf, "x", &result);
  assert_string_equal(buf, "\"x\";r=999999999999999;t=0");
}

/* RateLimit-Policy of the drafts before 08: the quota itself is the item. */
static void test_quota_field(void **state) {
  rlc_policy *policy = policy_of("api", "100/min,1000/h burst=20");
  char buf[128];

  (void)state;
  assert_int_equal(rlc_http_format_quota(buf, sizeof buf, policy, 0), 17);
  assert_string_equal(buf, "100;w=60;burst=20");
  rlc_http_format_quota(buf, sizeof buf, policy, 1);
  assert_string_equal(buf, "1000;w=3600");
  assert_int_equal(rlc_http_format_quota(buf, sizeof buf, policy, 2), 0);
  assert_string_equal(buf, "");
  assert_int_equal(rlc_http_format_quota(buf, 17, policy, 0), 17);
  assert_string_equal(buf, "");
  rlc_policy_del(policy);
}

static rlc_result result_of(uint64_t limit, uint64_t remaining, int64_t reset_us,
                            int64_t retry_us) {
  rlc_result result = RLC_RESULT_INIT;

  result.limit = limit;
  result.remaining = remaining;
  result.reset_us = reset_us;
  result.retry_us = retry_us;
  return result;
}

/* Draft 07: one dictionary. A refusal's reset is its Retry-After, as in draft 08. */
static void test_draft_07(void **state) {
  rlc_result passed = result_of(100, 50, 29000001, 0);
  rlc_result refused = result_of(100, 0, 60000000, 11000001);
  rlc_result huge = result_of(UINT64_MAX, UINT64_MAX, INT64_MAX, RLC_NEVER);
  char buf[96];

  (void)state;
  assert_int_equal(rlc_http_format_draft_07(buf, sizeof buf, &passed), 33);
  assert_string_equal(buf, "limit=100, remaining=50, reset=30");
  rlc_http_format_draft_07(buf, sizeof buf, &refused);
  assert_string_equal(buf, "limit=100, remaining=0, reset=12");
  rlc_http_format_draft_07(buf, sizeof buf, &huge);
  assert_string_equal(buf, "limit=999999999999999, remaining=999999999999999, reset=9223372036855");
}

/* Draft 06 and X-RateLimit: a number a field. */
static void test_three_fields(void **state) {
  rlc_result passed = result_of(100, 50, 29000001, 0);
  rlc_result refused = result_of(100, 0, 60000000, 11000001);
  static const char *const expected[] = {"100", "50", "30"};
  char buf[24];

  (void)state;
  for (int part = RLC_HTTP_LIMIT; part <= RLC_HTTP_RESET; ++part) {
    const char *text = expected[part - RLC_HTTP_LIMIT];

    assert_int_equal(rlc_http_format_draft_06(buf, sizeof buf, (rlc_http_part)part, &passed),
                     strlen(text));
    assert_string_equal(buf, text);
    rlc_http_format_x_ratelimit(buf, sizeof buf, (rlc_http_part)part, &passed);
    assert_string_equal(buf, text);
  }
  rlc_http_format_draft_06(buf, sizeof buf, RLC_HTTP_RESET, &refused);
  assert_string_equal(buf, "12");
  assert_int_equal(rlc_http_format_draft_06(buf, sizeof buf, (rlc_http_part)0, &refused), 0);
  assert_string_equal(buf, "");
}

/* The point in time is rounded up, so that who comes then is not too early, and never overflows. */
static void test_epoch(void **state) {
  rlc_result passed = result_of(100, 50, 29000001, 0);
  rlc_result huge = result_of(1, 0, INT64_MAX, 0);
  rlc_result past = result_of(1, 1, -5, 0);
  int64_t now_us = INT64_C(1767225600500000);
  char buf[24];

  (void)state;
  rlc_http_format_x_ratelimit_epoch(buf, sizeof buf, RLC_HTTP_LIMIT, &passed, now_us);
  assert_string_equal(buf, "100");
  rlc_http_format_x_ratelimit_epoch(buf, sizeof buf, RLC_HTTP_REMAINING, &passed, now_us);
  assert_string_equal(buf, "50");
  rlc_http_format_x_ratelimit_epoch(buf, sizeof buf, RLC_HTTP_RESET, &passed, now_us);
  assert_string_equal(buf, "1767225630");
  rlc_http_format_x_ratelimit_epoch(buf, sizeof buf, RLC_HTTP_RESET, &huge, now_us);
  assert_string_equal(buf, "9223372036855");
  rlc_http_format_x_ratelimit_epoch(buf, sizeof buf, RLC_HTTP_RESET, &past, now_us);
  assert_string_equal(buf, "1767225601");
}

static size_t partition_of(char *buf, size_t size, const char *secret, const char *key,
                           const char *group) {
  rlc_limit limit = RLC_LIMIT_INIT;

  limit.key = key;
  limit.key_len = strlen(key);
  limit.group = group;
  limit.group_len = group != NULL ? strlen(group) : 0;
  return rlc_http_format_partition(buf, size, secret, strlen(secret), &limit);
}

/* The partition key depends on secret, key and group, and on where the one ends. */
static void test_partition(void **state) {
  static const char secret[] = "0123456789abcdef";
  char buf[32], other[32];

  (void)state;
  assert_int_equal(partition_of(buf, sizeof buf, secret, "192.0.2.1", NULL), 22);
  /* HMAC-SHA-256 by another program, of "pk", NUL, SHA-256 of the key and SHA-256 of nothing */
  assert_string_equal(buf, ";pk=:RVRXRfBshX4UK115:");
  assert_int_equal(partition_of(other, 22, secret, "192.0.2.1", NULL), 22);
  assert_string_equal(other, "");
  partition_of(other, sizeof other, secret, "192.0.2.2", NULL);
  assert_string_not_equal(buf, other);
  partition_of(other, sizeof other, "0123456789abcdeg", "192.0.2.1", NULL);
  assert_string_not_equal(buf, other);
  partition_of(buf, sizeof buf, secret, "ab", "c");
  partition_of(other, sizeof other, secret, "a", "bc");
  assert_string_not_equal(buf, other);
}

/* Without a secret, or with one that is too short, there is none: it could be found by trying. */
static void test_partition_needs_secret(void **state) {
  char buf[32] = "#";
  rlc_limit limit = RLC_LIMIT_INIT;

  (void)state;
  assert_int_equal(partition_of(buf, sizeof buf, "0123456789abcde", "k", NULL), 0);
  assert_string_equal(buf, "");
  assert_int_equal(rlc_http_format_partition(buf, sizeof buf, NULL, 0, &limit), 0);
}

/* A name cannot break out of its string, nor end the header line. */
static void test_field_name_escaped(void **state) {
  rlc_result result = RLC_RESULT_INIT;
  char buf[128];

  (void)state;
  rlc_http_format_limit(buf, sizeof buf, "a\"b\\c\r\nd\x80\x7f~", &result);
  assert_string_equal(buf, "\"a\\\"b\\\\c??d??~\";r=0;t=0");
}

/* Retry-After is whole seconds, rounded up, at least 1, and absent where no wait helps. */
static void test_retry_after(void **state) {
  static const struct {
    int64_t us;
    const char *text;
  } cases[] = {{0, "1"},         {1, "1"},          {1000000, "1"}, {1000001, "2"},
               {29999999, "30"}, {RLC_NEVER, ""},   {INT64_MAX, "9223372036855"}};
  char buf[32];

  (void)state;
  for (size_t i = 0; i < COUNT(cases); ++i) {
    assert_int_equal(rlc_http_format_retry_after(buf, sizeof buf, cases[i].us),
                     strlen(cases[i].text));
    assert_string_equal(buf, cases[i].text);
  }
}

/* A refusal for the quota: type, status and policies of the draft. */
static void test_problem_quota(void **state) {
  static const char *const names[] = {"login", "a\"b\\\n<\xff"};
  char buf[1024];
  size_t len =
      rlc_http_format_problem(buf, sizeof buf, RLC_PROBLEM_QUOTA_EXCEEDED, 429, names, 2);

  (void)state;
  assert_int_equal(len, strlen(buf));
  assert_non_null(strstr(buf, "{\"type\":\"https://iana.org/assignments/http-problem-types"
                              "#quota-exceeded\",\"title\":\"Quota exceeded\",\"status\":429,"
                              "\"detail\":\""));
  assert_non_null(strstr(buf, "\",\"violated-policies\":[\"login\",\"a\\\"b\\\\\\u000a\\u003c"
                              "\\ufffd\"]}"));
}

/* A refusal because the store is away. */
static void test_problem_reduced(void **state) {
  char buf[1024];

  (void)state;
  assert_true(rlc_http_format_problem(buf, sizeof buf, RLC_PROBLEM_REDUCED_CAPACITY, 503, NULL, 0) >
              0);
  assert_non_null(strstr(buf, "#temporary-reduced-capacity\""));
  assert_non_null(strstr(buf, "\"status\":503,"));
  assert_non_null(strstr(buf, "\"violated-policies\":[]}"));
}

/* A refusal because the key is banned, with a status of the owner's choice. */
static void test_problem_abnormal(void **state) {
  static const char *const names[] = {"login"};
  char buf[1024];

  (void)state;
  assert_true(rlc_http_format_problem(buf, sizeof buf, RLC_PROBLEM_ABNORMAL_USAGE, 403, names, 1) >
              0);
  assert_non_null(strstr(buf, "#abnormal-usage-detected\""));
  assert_non_null(strstr(buf, "\"status\":403,"));
  assert_non_null(strstr(buf, "\"violated-policies\":[\"login\"]}"));
}

/* There are no others, and none for what is no refusal. */
static void test_problem_other(void **state) {
  static const struct {
    int problem, status;
  } cases[] = {{0, 429}, {4, 429}, {-1, 429}, {1, 399}, {1, 600}, {1, -1}};

  (void)state;
  for (size_t i = 0; i < COUNT(cases); ++i) {
    char buf[16] = "#";

    assert_int_equal(rlc_http_format_problem(buf, sizeof buf, (rlc_problem)cases[i].problem,
                                             cases[i].status, NULL, 0),
                     0);
    assert_string_equal(buf, "");
  }
}

/* A buffer that is too small holds "", is not written past, and the length says what it takes. */
static void test_too_small(void **state) {
  static const char *const names[] = {"api"};
  char whole[1024], buf[1024];
  size_t len = rlc_http_format_problem(whole, sizeof whole, RLC_PROBLEM_QUOTA_EXCEEDED, 429, names,
                                       1);

  (void)state;
  for (size_t size = 0; size <= len + 1; ++size) {
    memset(buf, '#', sizeof buf);
    assert_int_equal(rlc_http_format_problem(buf, size, RLC_PROBLEM_QUOTA_EXCEEDED, 429, names, 1),
                     len);
    assert_int_equal(buf[size], '#');
    if (size > 0) {
      assert_string_equal(buf, size > len ? whole : "");
    }
  }
  assert_int_equal(rlc_http_format_address(NULL, 0, "192.0.2.1", 32, 128), 9);
  assert_int_equal(rlc_http_format_address(buf, 9, "192.0.2.1", 32, 128), 9);
  assert_string_equal(buf, "");
}

/* Addresses as keys: mapped to IPv4, cut, in the text of RFC 5952, without zone. */
static void test_address(void **state) {
  static const struct {
    const char *text;
    unsigned v4, v6;
    const char *key;
  } cases[] = {
      {"192.0.2.1", 32, 64, "192.0.2.1"},
      {"192.0.2.1", 24, 64, "192.0.2.0/24"},
      {"192.0.2.255", 31, 64, "192.0.2.254/31"},
      {"192.0.2.1", 0, 64, "0.0.0.0/0"},
      {"192.0.2.1", 33, 64, "192.0.2.1"},
      {"::ffff:192.0.2.1", 32, 64, "192.0.2.1"},
      {"::FFFF:C000:201", 24, 64, "192.0.2.0/24"},
      {"::ffff:192.0.2.1%eth0", 32, 64, "192.0.2.1"},
      {"2001:db8:1:2:3:4:5:6", 32, 64, "2001:db8:1:2::/64"},
      {"2001:DB8:0:0:1:0:0:1", 32, 128, "2001:db8::1:0:0:1"},
      {"2001:db8:0:0:0:0:0:1", 32, 200, "2001:db8::1"},
      {"2001:db8:1:2:3:4:5:6", 32, 56, "2001:db8:1::/56"},
      {"2001:db8:1:ff:3:4:5:6", 32, 61, "2001:db8:1:f8::/61"},
      {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 32, 127,
       "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127"},
      {"fe80::1%eth0", 32, 128, "fe80::1"},
      {"fe80::1%a-zone-name-longer-than-any-address-could-ever-be-in-text", 32, 64, "fe80::/64"},
      {"::1", 32, 128, "::1"},
      {"::", 32, 0, "::/0"},
  };
  char buf[64];

  (void)state;
  for (size_t i = 0; i < COUNT(cases); ++i) {
    size_t len = rlc_http_format_address(buf, sizeof buf, cases[i].text, cases[i].v4, cases[i].v6);

    assert_string_equal(buf, cases[i].key);
    assert_int_equal(len, strlen(cases[i].key));
  }
}

/* What is no address has no key. */
static void test_no_address(void **state) {
  static const char *const cases[] = {
      "", "localhost", "192.0.2", "192.0.2.256", "192.0.2.1:80", "192.0.2.1%eth0", "[::1]", "::g",
      "1:2:3:4:5:6:7", "%eth0", " ::1",
      "2001:0db8:0000:0000:0000:0000:0000:0001:2001:0db8:0000:0000:0000:0000"};
  char buf[64];

  (void)state;
  for (size_t i = 0; i < COUNT(cases); ++i) {
    buf[0] = '#';
    assert_int_equal(rlc_http_format_address(buf, sizeof buf, cases[i], 32, 64), 0);
    assert_string_equal(buf, "");
  }
  assert_int_equal(rlc_http_format_address(buf, sizeof buf, NULL, 32, 64), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_policy_field),
      cmocka_unit_test(test_limit_field),
      cmocka_unit_test(test_limit_field_refused),
      cmocka_unit_test(test_limit_field_clamped),
      cmocka_unit_test(test_quota_field),
      cmocka_unit_test(test_draft_07),
      cmocka_unit_test(test_three_fields),
      cmocka_unit_test(test_epoch),
      cmocka_unit_test(test_partition),
      cmocka_unit_test(test_partition_needs_secret),
      cmocka_unit_test(test_field_name_escaped),
      cmocka_unit_test(test_retry_after),
      cmocka_unit_test(test_problem_quota),
      cmocka_unit_test(test_problem_reduced),
      cmocka_unit_test(test_problem_abnormal),
      cmocka_unit_test(test_problem_other),
      cmocka_unit_test(test_too_small),
      cmocka_unit_test(test_address),
      cmocka_unit_test(test_no_address),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
