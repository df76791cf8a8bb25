/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "rlcore/rlcore.h"

#define PW_HASH "30c952fab122c3f9759f02a6d95c3758b246b4fee239957b2d4fee46e26170c4"
#define COMMANDS                                                                                 \
  "+evalsha +eval +time +get +set +incrby +append +pexpireat +del +hget +hgetall +hset +hdel +hlen " \
  "+hexists +hmget "                                                                             \
  "+mget +zadd +zrem +zcard +zcount +zmscore +zrangebyscore +info"

static void assert_line(const char *url, rlc_acl whom, const char *expected) {
  char line[512];
  char why[RLC_MESSAGE_SIZE] = "";

  assert_int_equal(rlc_redis_format_acl(line, sizeof line, url, whom, why, sizeof why),
                   (int)strlen(expected));
  assert_string_equal(line, expected);
  assert_string_equal(why, "");
}

/* The URL's user, password's hash, prefix, database and topology are in the line. */
static void lines(void **state) {
  (void)state;
  assert_line("redis://app:pw@h", RLC_ACL_REDIS,
              "app reset on #" PW_HASH " resetchannels ~rl:* " COMMANDS " +client|setname");
  assert_line("rediss://app:%70w@h/7?prefix=a.b", RLC_ACL_REDIS,
              "app reset on #" PW_HASH " resetchannels ~a.b:* " COMMANDS
              " +select +client|setname");
  assert_line("redis+cluster://app:pw@h", RLC_ACL_REDIS,
              "app reset on #" PW_HASH " resetchannels ~rl:* " COMMANDS
              " +cluster|slots +asking +client|setname");
  assert_line("redis+sentinel://app:pw@h/m", RLC_ACL_REDIS,
              "app reset on #" PW_HASH " resetchannels ~rl:* " COMMANDS " +role +client|setname");
  assert_line("redis+sentinel://h/m?sentinel-user=s&sentinel-password=pw", RLC_ACL_SENTINEL,
              "s reset on #" PW_HASH
              " resetchannels +sentinel|get-master-addr-by-name +client|setname");
}

/* A password without a user is the default user's, and not told. */
static void no_user(void **state) {
  const char *expected = "rlcore reset on #SHA256-OF-THE-PASSWORD resetchannels ~rl:* " COMMANDS
                         " +client|setname";

  (void)state;
  assert_line("redis://h", RLC_ACL_REDIS, expected);
  assert_line("redis://:pw@h", RLC_ACL_REDIS, expected);
  assert_line("redis+sentinel://h/m?sentinel-password=pw", RLC_ACL_SENTINEL,
              "rlcore reset on #SHA256-OF-THE-PASSWORD resetchannels "
              "+sentinel|get-master-addr-by-name +client|setname");
}

/* Only Sentinel URLs have sentinels. */
static void no_sentinels(void **state) {
  (void)state;
  assert_line("redis://app:pw@h", RLC_ACL_SENTINEL, "");
  assert_line("redis+cluster://app:pw@h", RLC_ACL_SENTINEL, "");
}

/* A buffer that is too small holds "", and the length is told all the same. */
static void small_buffers(void **state) {
  const char *url = "redis://app:pw@h";
  char line[512];
  int len = rlc_redis_format_acl(NULL, 0, url, RLC_ACL_REDIS, NULL, 0);

  (void)state;
  assert_true(len > 0);
  for (size_t size = 1; size <= (size_t)len; ++size) {
    memset(line, 'x', sizeof line);
    assert_int_equal(rlc_redis_format_acl(line, size, url, RLC_ACL_REDIS, NULL, 0), len);
    assert_string_equal(line, "");
    for (size_t i = size; i < sizeof line; ++i) {
      assert_int_equal(line[i], 'x');
    }
  }
  assert_int_equal(rlc_redis_format_acl(line, (size_t)len + 1, url, RLC_ACL_REDIS, NULL, 0), len);
  assert_int_equal(strlen(line), len);
}

/* What would be another line than meant is refused, and no word of a secret told. */
static void refusals(void **state) {
  static const struct {
    const char *url;
    const char *words;
  } bad[] = {
      {"shm:", "begin with \"redis\""},
      {"memory:", "begin with \"redis\""},
      {NULL, "begin with \"redis\""},
      {"redis:/h", "redis://localhost"},
      {"redis://default:pw@h", "name another"},
      {"redis://a%20b:pw@h", "name another"},
      {"redis://a%22b:pw@h", "name another"},
      {"redis://a%27b:pw@h", "name another"},
      {"redis://a%5Cb:pw@h", "name another"},
      {"redis://a%0Aon:pw@h", "name another"},
      {"redis://a%7Fb:pw@h", "name another"},
  };
  char line[512];
  char why[RLC_MESSAGE_SIZE];

  (void)state;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i) {
    assert_int_equal(
        rlc_redis_format_acl(line, sizeof line, bad[i].url, RLC_ACL_REDIS, why, sizeof why),
        RLC_ERR_URL);
    assert_string_equal(line, "");
    assert_non_null(strstr(why, bad[i].words));
    assert_null(strstr(why, "pw"));
  }
  assert_int_equal(
      rlc_redis_format_acl(line, sizeof line, "redis://h", (rlc_acl)3, why, sizeof why),
      RLC_ERR_INVALID);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(lines),         cmocka_unit_test(no_user),  cmocka_unit_test(no_sentinels),
      cmocka_unit_test(small_buffers), cmocka_unit_test(refusals),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
