/* SPDX-License-Identifier: Apache-2.0 */
#include "url_help.h"

/* What is not given has its default. */
static void test_defaults(void **state) {
  rlc__url *url = url_of("redis://h");

  (void)state;
  assert_int_equal(url->slots, 0);
  assert_int_equal(url->timeout_us, 0);
  assert_text(url->prefix, "rl");
  assert_int_equal(url->fail, RLC_FAIL_DEFAULT);
  assert_int_equal(url->share, 1);
  assert_int_equal(url->mode, 0600);
  assert_null(url->group);
  assert_int_equal(url->tls, 0);
  assert_int_equal(url->connections, 0);
  assert_true(url->ca == NULL && url->cert == NULL && url->key == NULL && url->sni == NULL);
  assert_true(url->sentinel_user == NULL && url->sentinel_password == NULL);
  rlc__url_del(url);
  rlc__url_del(NULL);
}

/* Every option, in any order. */
static void test_options(void **state) {
  rlc__url *redis = url_of("redis://h/3?share=1/10000&fail=closed&prefix=a.B_c-1&timeout=60s");
  rlc__url *socket = url_of("redis+unix:///s?db=65535&timeout=1000us&fail=open&share=1/1");
  rlc__url *shm = url_of("shm:/t?size=64&mode=0660&group=www-data");
  rlc__url *memory = url_of("memory:?size=268435456");

  (void)state;
  assert_true(redis->share == 10000 && redis->fail == RLC_FAIL_CLOSED && redis->db == 3);
  assert_true(redis->timeout_us == 60000000);
  assert_text(redis->prefix, "a.B_c-1");
  assert_true(socket->db == 65535 && socket->timeout_us == 1000 && socket->share == 1);
  assert_true(socket->fail == RLC_FAIL_OPEN);
  assert_true(shm->slots == 64 && shm->mode == 0660);
  assert_text(shm->path, "/t");
  assert_text(shm->group, "www-data");
  assert_true(memory->slots == 268435456);
  rlc__url_del(redis);
  rlc__url_del(socket);
  rlc__url_del(shm);
  rlc__url_del(memory);
}

/* The options of TLS go with each scheme that has it, those of sentinels with and without it. */
static void test_server_options(void **state) {
  static const char *const heads[] = {"rediss://h", "rediss+sentinel://h/m", "rediss+cluster://h"};
  char text[256];
  rlc__url *url;

  (void)state;
  for (size_t i = 0; i < COUNT(heads); ++i) {
    snprintf(text, sizeof text, "%s?key=/k&sni=redis.example&connections=64&ca=/a&cert=/c",
             heads[i]);
    url = url_of(text);
    assert_text(url->ca, "/a");
    assert_text(url->cert, "/c");
    assert_text(url->key, "/k");
    assert_text(url->sni, "redis.example");
    assert_int_equal(url->connections, 64);
    rlc__url_del(url);
  }
  url = url_of("redis+sentinel://h/m?sentinel-password=pw&connections=1&sentinel-user=me");
  assert_text(url->sentinel_user, "me");
  assert_text(url->sentinel_password, "pw");
  assert_int_equal(url->connections, 1);
  rlc__url_del(url);
  url = url_of("rediss+sentinel://h/m?sentinel-password=pw&cert=/c");
  assert_null(url->sentinel_user);
  assert_text(url->sentinel_password, "pw");
  assert_text(url->cert, "/c");
  assert_null(url->key);
  rlc__url_del(url);
  rlc__url_del(url_of("redis+unix:///s?connections=2"));
}

/* Every byte but NUL comes through percent-decoding as it was. */
static void test_round_trip(void **state) {
  static const char *const before[] = {"redis://u:", "redis+unix:///",
                                       "redis+sentinel://h/m?sentinel-user=",
                                       "redis+sentinel://h/m?sentinel-password=",
                                       "rediss://h?ca=/", "rediss://h?cert=/",
                                       "rediss://h?cert=/c&key=/"};
  char text[64];

  (void)state;
  for (size_t i = 0; i < COUNT(before); ++i) {
    for (unsigned byte = 1; byte < 256; ++byte) {
      const char expected[] = {'/', (char)byte, 'x', '\0'};
      const char *decoded = &expected[i == 0 || i == 2 || i == 3];
      rlc__url *url;

      if (i == 1 && (byte < ' ' || byte == 127)) {
        continue; /* a socket's path has none of those */
      }
      snprintf(text, sizeof text, byte & 1 ? "%s%%%02xx%s" : "%s%%%02Xx%s", before[i], byte,
               i == 0 ? "@h" : i == 2 ? "&sentinel-password=p" : "");
      url = url_of(text);
      switch (i) {
      case 0:
        assert_text(url->password, decoded);
        break;
      case 1:
        assert_text(url->server[0].host, decoded);
        break;
      case 2:
        assert_text(url->sentinel_user, decoded);
        break;
      case 3:
        assert_text(url->sentinel_password, decoded);
        break;
      case 4:
        assert_text(url->ca, decoded);
        break;
      case 5:
        assert_text(url->cert, decoded);
        break;
      default:
        assert_text(url->key, decoded);
        break;
      }
      rlc__url_del(url);
    }
  }
}

/* Names of hosts that may be asked for. */
static void test_sni(void **state) {
  static const char *const good[][2] = {{"redis.example.org", "redis.example.org"},
                                        {"192.0.2.1", "192.0.2.1"},
                                        {"2001:db8::1", "2001:db8::1"},
                                        {"a%2Eb", "a.b"}};

  (void)state;
  for (size_t i = 0; i < COUNT(good); ++i) {
    char text[64];
    rlc__url *url;

    snprintf(text, sizeof text, "rediss://h?sni=%s", good[i][0]);
    url = url_of(text);
    assert_text(url->sni, good[i][1]);
    rlc__url_del(url);
  }
}

/* Values at and past the ends of their ranges: the sentence names the value, where it stands, and
 * what is wanted. */
static void test_ranges(void **state) {
  static const char *const good[] = {
      "shm:?size=64", "redis://h?timeout=1ms", "redis://h?timeout=60000ms", "redis://h?fail=local",
      "redis://h?prefix=a2345678901234567890123456789012", "shm:/t?mode=600", "shm:/t?mode=0666",
      "shm:/t?mode=0640", "redis://h?connections=1", "redis+cluster://h?connections=64"};
  static const struct {
    const char *expected;
    const char *urls[9];
  } bad[] = {
      {"a number of slots from 64 to 268435456 after \"size=\"",
       {"shm:?size=63", "shm:?size=268435457", "shm:?size=", "shm:?size=1k", "shm:?size=-64",
        "shm:?size=99999999999999999999"}},
      {"a time from 1ms to 60s with its unit (us, ms, s), as in \"25ms\" after \"timeout=\"",
       {"redis://h?timeout=999us", "redis://h?timeout=60001ms", "redis://h?timeout=61s",
        "redis://h?timeout=25", "redis://h?timeout=ms", "redis://h?timeout=25min",
        "redis://h?timeout=99999999999999999999s", "redis+cluster://h?timeout="}},
      {"1 to 32 letters, digits, \"_\", \".\" or \"-\" after \"prefix=\"",
       {"redis://h?prefix=", "redis://h?prefix=a:b", "redis+sentinel://h/m?prefix={a}",
        "redis://h?prefix=a23456789012345678901234567890123"}},
      {"local, open or closed after \"fail=\"",
       {"redis://h?fail=closd", "redis://h?fail=", "redis://h?fail=Open"}},
      {"a share such as \"1/4\", of at most 10000 machines after \"share=\"",
       {"redis://h?share=4", "redis://h?share=1/0", "redis://h?share=1/10001",
        "redis://h?share=2/4", "redis://h?share=1/", "redis://h?share="}},
      {"an octal file mode such as \"0600\" or \"0660\" after \"mode=\"",
       {"shm:/t?mode=0700", "shm:/t?mode=0060", "shm:/t?mode=0680", "shm:/t?mode=1600",
        "shm:/t?mode="}},
      {"the name of a group after \"group=\"",
       {"shm:/t?group=", "shm:/t?group=a/b", "shm:/t?group=-a"}},
      {"a database number from 0 to 65535 after \"db=\"",
       {"redis+unix:///s?db=65536", "redis+unix:///s?db=x", "redis+unix:///s?db="}},
      {"a number of connections from 1 to 64 after \"connections=\"",
       {"redis://h?connections=0", "redis://h?connections=65", "redis+unix:///s?connections=",
        "redis+cluster://h?connections=-1", "redis+sentinel://h/m?connections=4x"}},
      {"an absolute path after \"ca=\"",
       {"rediss://h?ca=", "rediss://h?ca=ca.pem", "rediss+cluster://h?ca=%2e/ca.pem"}},
      {"an absolute path after \"cert=\"", {"rediss://h?cert=", "rediss+sentinel://h/m?cert=./c"}},
      {"an absolute path after \"key=\"", {"rediss://h?key=", "rediss://h?key=~/k"}},
      {"the host name, or address, that is in the server's certificate after \"sni=\"",
       {"rediss://h?sni=", "rediss://h?sni=-a", "rediss://h?sni=a%0Ab", "rediss://h?sni=a,b",
        "rediss://h?sni=[::1]", "rediss://h?sni=h:6379", "rediss://h?sni=*.example.org"}},
  };

  (void)state;
  for (size_t i = 0; i < COUNT(good); ++i) {
    rlc__url_del(url_of(good[i]));
  }
  for (size_t i = 0; i < COUNT(bad); ++i) {
    for (size_t j = 0; bad[i].urls[j] != NULL; ++j) {
      const char *value = strchr(bad[i].urls[j], '=') + 1;
      char words[RLC_MESSAGE_SIZE];
      wrong_url wrong = {bad[i].urls[j], (unsigned)(value - bad[i].urls[j]) + 1, words};

      snprintf(words, sizeof words, "expected %s, found \"%s\"", bad[i].expected, value);
      assert_wrong(&wrong, 1);
    }
  }
}

/* Options that are none, at the wrong place, or incomplete. */
static void test_errors(void **state) {
  static const wrong_url cases[] = {
      {"shm:?", 6, "\"name=value\""},
      {"shm:?=1", 6, "\"name=value\""},
      {"shm:?size=64&", 14, "\"name=value\""},
      {"shm:?size", 10, "\"=\" and a value after \"size\""},
      {"shm:?size=64&size=64", 14, "given twice"},
      {"shm:?sise=64", 6, "unknown option \"sise\" - did you mean \"size=\"?"},
      {"shm:?colour=red", 6, "expected size=, found the option \"colour\""},
      {"shm:/t?colour=red", 8, "expected size=, mode= or group=, found the option \"colour\""},
      {"memory:?colour", 9, "expected size=, found the option \"colour\""},
      {"redis://h?colour=red", 11,
       "expected timeout=, prefix=, fail=, share= or connections=, found another option"},
      {"redis+unix:///s?colour=red", 17,
       "expected timeout=, prefix=, fail=, share=, db= or connections=, found"},
      {"rediss://h?colour=red", 12,
       "expected timeout=, prefix=, fail=, share=, connections=, ca=, cert=, key= or sni=, found"},
      {"redis+sentinel://h/m?colour=red", 22, "expected timeout=, prefix=, fail=, share=, "
       "connections=, sentinel-user= or sentinel-password=, found another option"},
      {"rediss+sentinel://h/m?colour=red", 23, "expected timeout=, prefix=, fail=, share=, "
       "connections=, ca=, cert=, key=, sni=, sentinel-user= or sentinel-password=, found another"},
      {"redis+cluster://h?colour=red", 19, "share= or connections=, found another option"},
      {"redis://h?tiemout=1s", 11, "unknown option \"tiemout\" - did you mean \"timeout=\"?"},
      {"redis://h?conections=1", 11, "did you mean \"connections=\"?"},
      {"rediss://h?crt=/c", 12, "did you mean \"cert=\"?"},
      {"redis+sentinel://h/m?sentinel_password=p", 22, "did you mean \"sentinel-password=\"?"},
      {"shm:?timeout=1s", 6, "belongs to \"redis://\" and the other URLs of redis; leave it out"},
      {"memory:?fail=open", 9, "belongs to \"redis://\""},
      {"memory:?connections=1", 9, "\"connections=\" belongs to \"redis://\""},
      {"shm:?mode=0600", 6, "belongs to \"shm:/path\""},
      {"memory:?group=a", 9, "belongs to \"shm:/path\""},
      {"redis://h?size=64", 11, "belongs to \"shm:\" and \"memory:\""},
      {"redis://h?db=1", 11, "write \"redis://host/n\""},
      {"redis+sentinel://h/m?db=1", 22, "\"db=\" belongs to \"redis+unix://\""},
      {"redis+cluster://h?db=0", 19, "\"db=\" belongs to \"redis+unix://\""},
      {"redis://h?ca=/a", 11, "\"ca=\" belongs to \"rediss://\", \"rediss+sentinel://\" and "
       "\"rediss+cluster://\"; leave it out here"},
      {"redis+unix:///s?cert=/c", 17, "\"cert=\" belongs to \"rediss://\""},
      {"redis+cluster://h?key=/k", 19, "\"key=\" belongs to \"rediss://\""},
      {"redis+sentinel://h/m?sni=h", 22, "\"sni=\" belongs to \"rediss://\""},
      {"shm:?ca=/a", 6, "\"ca=\" belongs to \"rediss://\""},
      {"redis://h?sentinel-user=u", 11, "\"sentinel-user=\" belongs to \"redis+sentinel://\" and "
       "\"rediss+sentinel://\"; leave it out"},
      {"rediss+cluster://h?sentinel-password=p", 20, "belongs to \"redis+sentinel://\""},
      {"rediss://h?ca=/a%2", 17, "expected two hex digits"},
      {"rediss://h?cert=/a%00", 19, "\"%00\" cannot be used"},
      {"rediss://h?sni=%zz", 16, "expected two hex digits"},
      {"rediss://h?timeout=1s&key=/k", 23, "write its file as \"cert=\" too"},
      {"redis+sentinel://h/m?sentinel-user=u&fail=open", 22, "write \"sentinel-password=\" too"},
      {"redis+sentinel://h/m?sentinel-user=&sentinel-password=p", 36,
       "expected a value after \"sentinel-user=\"; write one, or leave the option out"},
      {"redis+sentinel://h/m?sentinel-password=", 40, "a value after \"sentinel-password=\""},
      {"redis+sentinel://h/m?sentinel-password", 39, "\"=\" and a value"},
      {"redis+sentinel://h/m?sentinel-password=%", 40, "expected two hex digits"},
      {"redis+sentinel://h/m?sentinel-password=p&sentinel-password=p", 42, "given twice"},
      {"redis+sentinel://h/m?sentinel-password=a&b", 42,
       "in a user or password write \"&\" as \"%26\""},
  };

  (void)state;
  assert_wrong(cases, COUNT(cases));
}

/* The URL's timeout goes before the caller's, that before the default; tables need none. */
static void test_timeout(void **state) {
  static const char *const defaults[] = {"redis://h", "rediss://h", "redis+unix:///s",
                                         "redis+sentinel://h/m", "redis+cluster://h"};
  rlc_options none = {.set = 0};
  rlc_options some = {.set = RLC__OPT_TIMEOUT, .timeout_us = 7000};
  rlc__url *url;

  (void)state;
  for (size_t i = 0; i < COUNT(defaults); ++i) {
    url = url_of(defaults[i]);
    assert_int_equal(rlc__url_timeout_us(url, &none), 25000);
    assert_int_equal(rlc__url_timeout_us(url, &some), 7000);
    rlc__url_del(url);
  }
  url = url_of("redis+cluster://h?timeout=9ms");
  assert_int_equal(rlc__url_timeout_us(url, &some), 9000);
  rlc__url_del(url);
  url = url_of("shm:");
  assert_int_equal(rlc__url_timeout_us(url, &some), 0);
  rlc__url_del(url);
  url = url_of("memory:");
  assert_int_equal(rlc__url_timeout_us(url, &some), 0);
  rlc__url_del(url);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_defaults),   cmocka_unit_test(test_options),
      cmocka_unit_test(test_server_options), cmocka_unit_test(test_round_trip),
      cmocka_unit_test(test_sni),        cmocka_unit_test(test_ranges),
      cmocka_unit_test(test_errors),     cmocka_unit_test(test_timeout),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
