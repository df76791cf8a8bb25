/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs those four first */
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "failing_memory.h"
#include "store/url.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static rlc__url *url_of(const char *text) {
  rlc__url *url;
  char why[RLC_MESSAGE_SIZE] = "";

  if (rlc__url_new(&url, text, NULL, why, sizeof why) != 0) {
    fail_msg("%s: %s", text, why);
  }
  return url;
}

/* Equal strings, or both absent. */
static void assert_text(const char *text, const char *expected) {
  if (expected == NULL) {
    assert_null(text);
  } else {
    assert_non_null(text);
    assert_string_equal(text, expected);
  }
}

/* Redis servers: host, port, login, database. */
static void test_redis(void **state) {
  static const struct {
    const char *text;
    const char *host;
    unsigned port, db;
    const char *user, *password;
  } cases[] = {
      {"redis://localhost", "localhost", 6379, 0, NULL, NULL},
      {"redis://localhost/", "localhost", 6379, 0, NULL, NULL},
      {"redis://h_1.example.org:1/65535", "h_1.example.org", 1, 65535, NULL, NULL},
      {"redis://192.0.2.1:65535/7", "192.0.2.1", 65535, 7, NULL, NULL},
      {"redis://[::1]", "::1", 6379, 0, NULL, NULL},
      {"redis://[2001:db8::1]:6380/1", "2001:db8::1", 6380, 1, NULL, NULL},
      {"redis://[fe80::1%25eth0]:6380", "fe80::1%eth0", 6380, 0, NULL, NULL},
      {"redis://:secret@h", "h", 6379, 0, NULL, "secret"},
      {"redis://user:secret@h:1234/2", "h", 1234, 2, "user", "secret"},
      {"redis://u%3As%40r:p%2f%3F%23%25w@h", "h", 6379, 0, "u:s@r", "p/?#%w"},
      {"redis://u:p:w@h", "h", 6379, 0, "u", "p:w"},
      {"redis://u:p@w@[::1]", "::1", 6379, 0, "u", "p@w"},
      {"redis://u:\xc3\xa4@h", "h", 6379, 0, "u", "\xc3\xa4"},
  };

  (void)state;
  for (size_t i = 0; i < COUNT(cases); ++i) {
    rlc__url *url = url_of(cases[i].text);

    assert_int_equal(url->scheme, RLC__SCHEME_REDIS);
    assert_text(url->host, cases[i].host);
    assert_int_equal(url->port, cases[i].port);
    assert_int_equal(url->db, cases[i].db);
    assert_text(url->user, cases[i].user);
    assert_text(url->password, cases[i].password);
    rlc__url_del(url);
  }
}

/* Tables and sockets: their paths, decoded. */
static void test_paths(void **state) {
  static const struct {
    const char *text;
    rlc__scheme scheme;
    const char *path, *user, *password;
  } cases[] = {
      {NULL, RLC__SCHEME_SHM, NULL, NULL, NULL},
      {"shm:", RLC__SCHEME_SHM, NULL, NULL, NULL},
      {"shm:/run/rl/table", RLC__SCHEME_SHM, "/run/rl/table", NULL, NULL},
      {"shm:/run/a%20b%3f", RLC__SCHEME_SHM, "/run/a b?", NULL, NULL},
      {"memory:", RLC__SCHEME_MEMORY, NULL, NULL, NULL},
      {"redis+unix:///run/redis.sock", RLC__SCHEME_REDIS_UNIX, "/run/redis.sock", NULL, NULL},
      {"redis+unix://u:p@/s@1", RLC__SCHEME_REDIS_UNIX, "/s@1", "u", "p"},
  };

  (void)state;
  for (size_t i = 0; i < COUNT(cases); ++i) {
    rlc__url *url = url_of(cases[i].text);

    assert_int_equal(url->scheme, cases[i].scheme);
    assert_text(url->path, cases[i].path);
    assert_text(url->user, cases[i].user);
    assert_text(url->password, cases[i].password);
    assert_null(url->host);
    assert_int_equal(url->port, 0);
    rlc__url_del(url);
  }
}

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

/* Values at and past the ends of their ranges. */
static void test_option_ranges(void **state) {
  static const char *const good[] = {
      "shm:?size=64", "redis://h?timeout=1ms", "redis://h?timeout=60000ms", "redis://h?fail=local",
      "redis://h?prefix=a2345678901234567890123456789012", "shm:/t?mode=600", "shm:/t?mode=0666",
      "shm:/t?mode=0640"};
  static const char *const bad[] = {
      "shm:?size=63", "shm:?size=268435457", "shm:?size=", "shm:?size=1k", "shm:?size=-64",
      "shm:?size=99999999999999999999", "redis://h?timeout=999us", "redis://h?timeout=60001ms",
      "redis://h?timeout=61s", "redis://h?timeout=25", "redis://h?timeout=ms",
      "redis://h?timeout=25min", "redis://h?timeout=99999999999999999999s", "redis://h?prefix=",
      "redis://h?prefix=a:b", "redis://h?prefix=a23456789012345678901234567890123",
      "redis://h?fail=closd", "redis://h?share=4", "redis://h?share=1/0", "redis://h?share=1/10001",
      "redis://h?share=2/4", "redis://h?share=1/", "redis://h?share=", "shm:/t?mode=0700",
      "shm:/t?mode=0060", "shm:/t?mode=0680", "shm:/t?mode=1600", "shm:/t?mode=", "shm:/t?group=",
      "shm:/t?group=a/b", "shm:/t?group=-a", "redis+unix:///s?db=65536", "redis+unix:///s?db=x"};
  rlc__url *url;
  char why[RLC_MESSAGE_SIZE];

  (void)state;
  for (size_t i = 0; i < COUNT(good); ++i) {
    rlc__url_del(url_of(good[i]));
  }
  for (size_t i = 0; i < COUNT(bad); ++i) {
    const char *value = strchr(bad[i], '=') + 1;
    char expected[32];

    assert_int_equal(rlc__url_new(&url, bad[i], NULL, why, sizeof why), RLC_ERR_URL);
    snprintf(expected, sizeof expected, "column %d: expected ", (int)(value - bad[i]) + 1);
    assert_memory_equal(why, expected, strlen(expected));
    assert_non_null(strstr(why, value));
  }
}

/* Every URL that is none, the column at fault, and the key words of the sentence. */
static void test_errors(void **state) {
  static const struct {
    const char *text;
    int error;
    const char *column;
    const char *words;
  } cases[] = {
      {"", RLC_ERR_URL, "column 1: ", "expected \"shm:\""},
      {"localhost:6379", RLC_ERR_URL, "column 1: ", "\"redis://host\""},
      {"redis", RLC_ERR_URL, "column 1: ", "did you mean \"redis:\"?"},
      {"Redis://h", RLC_ERR_URL, "column 1: ", "did you mean \"redis:\"?"},
      {"rdis://h", RLC_ERR_URL, "column 1: ", "did you mean \"redis:\"?"},
      {"shmm:", RLC_ERR_URL, "column 1: ", "did you mean \"shm:\"?"},
      {"rediss://h", RLC_ERR_UNSUPPORTED, "column 1: ", "not available in this version"},
      {"redis+sentinel://a/m", RLC_ERR_UNSUPPORTED, "column 1: ", "not available in this version"},
      {"redis+cluster://a,b", RLC_ERR_UNSUPPORTED, "column 1: ", "not available in this version"},
      {"redis://h?ca=/x", RLC_ERR_UNSUPPORTED, "column 11: ", "\"ca=\" is not available"},
      {"redis://h?cert=/x", RLC_ERR_UNSUPPORTED, "column 11: ", "\"cert=\" is not available"},
      {"redis://h?key=/x", RLC_ERR_UNSUPPORTED, "column 11: ", "\"key=\" is not available"},
      {"redis://h?connections=4", RLC_ERR_UNSUPPORTED, "column 11: ", "is not available"},
      {"shm:table", RLC_ERR_URL, "column 5: ", "absolute path"},
      {"shm:///table", RLC_ERR_URL, "column 5: ", "one slash"},
      {"shm:/", RLC_ERR_URL, "column 5: ", "that of a folder"},
      {"shm:/a/", RLC_ERR_URL, "column 7: ", "that of a folder"},
      {"shm:/a%00b", RLC_ERR_URL, "column 7: ", "\"%00\" cannot be used"},
      {"shm:/a%0", RLC_ERR_URL, "column 7: ", "two hex digits"},
      {"shm:/a%", RLC_ERR_URL, "column 7: ", "two hex digits"},
      {"shm:/a%zz?size=64", RLC_ERR_URL, "column 7: ", "two hex digits"},
      {"shm:/a b", RLC_ERR_URL, "column 7: ", "no spaces"},
      {"shm:/a\n", RLC_ERR_URL, "column 7: ", "no spaces or control"},
      {"shm:/a#b", RLC_ERR_URL, "column 7: ", "\"%23\""},
      {"memory:x", RLC_ERR_URL, "column 8: ", "expected nothing"},
      {"redis:", RLC_ERR_URL, "column 7: ", "two slashes"},
      {"redis:/h", RLC_ERR_URL, "column 7: ", "two slashes"},
      {"redis:h", RLC_ERR_URL, "column 7: ", "two slashes"},
      {"redis://", RLC_ERR_URL, "column 9: ", "expected a host"},
      {"redis:///1", RLC_ERR_URL, "column 9: ", "expected a host"},
      {"redis://:6379", RLC_ERR_URL, "column 9: ", "expected a host name"},
      {"redis://-h", RLC_ERR_URL, "column 9: ", "expected a host name"},
      {"redis://h,i", RLC_ERR_URL, "column 9: ", "found \"h,i\""},
      {"redis://::1", RLC_ERR_URL, "column 9: ", "in brackets"},
      {"redis://h:1:2", RLC_ERR_URL, "column 9: ", "in brackets"},
      {"redis://[::1", RLC_ERR_URL, "column 9: ", "IPv6 address in brackets"},
      {"redis://[h]", RLC_ERR_URL, "column 9: ", "IPv6 address in brackets"},
      {"redis://[]", RLC_ERR_URL, "column 9: ", "IPv6 address in brackets"},
      {"redis://[::1%25]", RLC_ERR_URL, "column 9: ", "IPv6 address in brackets"},
      {"redis://[::1]x", RLC_ERR_URL, "column 14: ", "\":\" and a port"},
      {"redis://h:", RLC_ERR_URL, "column 11: ", "a port from 1 to 65535"},
      {"redis://h:0", RLC_ERR_URL, "column 11: ", "a port from 1 to 65535"},
      {"redis://h:65536", RLC_ERR_URL, "column 11: ", "found \"65536\""},
      {"redis://h:6379x", RLC_ERR_URL, "column 11: ", "found \"6379x\""},
      {"redis://h/65536", RLC_ERR_URL, "column 11: ", "database number from 0 to 65535"},
      {"redis://h/0/x", RLC_ERR_URL, "column 11: ", "found \"0/x\""},
      {"redis://h/x", RLC_ERR_URL, "column 11: ", "found \"x\""},
      {"redis://u@h", RLC_ERR_URL, "column 9: ", "found no colon"},
      {"redis://u:@h", RLC_ERR_URL, "column 11: ", "password is empty"},
      {"redis+unix://", RLC_ERR_URL, "column 14: ", "path of a socket"},
      {"redis+unix:///", RLC_ERR_URL, "column 14: ", "path of a socket"},
      {"redis+unix://run/s", RLC_ERR_URL, "column 14: ", "three slashes"},
      {"redis+unix:/run/s", RLC_ERR_URL, "column 12: ", "two slashes"},
      {"shm:?", RLC_ERR_URL, "column 6: ", "\"name=value\""},
      {"shm:?=1", RLC_ERR_URL, "column 6: ", "\"name=value\""},
      {"shm:?size=64&", RLC_ERR_URL, "column 14: ", "\"name=value\""},
      {"shm:?size", RLC_ERR_URL, "column 10: ", "\"=\" and a value after \"size\""},
      {"shm:?size=64&size=64", RLC_ERR_URL, "column 14: ", "given twice"},
      {"shm:?sise=64", RLC_ERR_URL, "column 6: ", "did you mean \"size=\"?"},
      {"shm:?colour=red", RLC_ERR_URL, "column 6: ", "found the option \"colour\""},
      {"redis://h?colour=red", RLC_ERR_URL, "column 11: ", "expected timeout=, prefix=, fail= or"},
      {"redis://h?tiemout=1s", RLC_ERR_URL, "column 11: ", "did you mean \"timeout=\"?"},
      {"shm:?timeout=1s", RLC_ERR_URL, "column 6: ", "belongs to \"redis://\""},
      {"memory:?fail=open", RLC_ERR_URL, "column 9: ", "belongs to \"redis://\""},
      {"shm:?mode=0600", RLC_ERR_URL, "column 6: ", "belongs to \"shm:/path\""},
      {"memory:?group=a", RLC_ERR_URL, "column 9: ", "belongs to \"shm:/path\""},
      {"redis://h?size=64", RLC_ERR_URL, "column 11: ", "belongs to \"shm:\" and \"memory:\""},
      {"redis://h?db=1", RLC_ERR_URL, "column 11: ", "write \"redis://host/n\""},
  };

  (void)state;
  for (size_t i = 0; i < COUNT(cases); ++i) {
    rlc__url *url = (rlc__url *)&url;
    char why[RLC_MESSAGE_SIZE] = "";

    assert_int_equal(rlc__url_new(&url, cases[i].text, NULL, why, sizeof why), cases[i].error);
    assert_null(url);
    if (strncmp(why, cases[i].column, strlen(cases[i].column)) != 0 ||
        strstr(why, cases[i].words) == NULL) {
      fail_msg("`%s`: expected `%s... %s`, got `%s`", cases[i].text, cases[i].column,
               cases[i].words, why);
    }
    assert_int_equal(rlc__url_new(&url, cases[i].text, NULL, NULL, 0), cases[i].error);
  }
}

/* However a URL with a password is wrong, no part of the password is in the message. */
static void test_password_hidden(void **state) {
  static const char *const cases[] = {
      "redis://:hush@",           "redis://:hush@h:x",         "redis://:hu/sh@h",
      "redis://u:hu?sh@h",        "redis://:hush/hush@h",      "redis://u:hush?hush=hush@h",
      "redis://:hu#sh@h",         "redis://:hu sh@h",          "redis://:hush%zz@h",
      "redis://:hush%00@h",       "redis://:hush@h/x",         "redis://u:hush@h?x=1",
      "redis+unix://:hush/@/s",   "redis+unix://:hush?x@/s",   "redis+unix://:hush@h/s",
      "hush:hush@h",              ":hush@h",                   "u:hush@h:6379",
      "rediss://u:hush@h",        "redis:u:hush@h",            "redis:/:hush@h",
      "redis://hush@h",           "redis://:hush@h@",          "redis://:[hush/@h",
      "redis://h?password=hush"};
  rlc__url *url;

  (void)state;
  for (size_t i = 0; i < COUNT(cases); ++i) {
    char why[RLC_MESSAGE_SIZE] = "";

    assert_true(rlc__url_new(&url, cases[i], NULL, why, sizeof why) < 0);
    assert_null(url);
    assert_true(why[0] != '\0');
    assert_null(strstr(why, "hu"));
  }
}

/* Text that is too long is refused before it is read; a long path by what can hold it. */
static void test_too_long(void **state) {
  char text[2100], why[RLC_MESSAGE_SIZE];
  rlc__url *url;

  (void)state;
  memset(text, 'a', sizeof text);
  text[2049] = '\0';
  assert_int_equal(rlc__url_new(&url, text, NULL, why, sizeof why), RLC_ERR_URL);
  assert_string_equal(why, "column 2049: expected a URL of at most 2048 bytes, found more");
  memcpy(text, "shm:/", 5);
  text[4 + 1024] = '\0';
  assert_int_equal(rlc__url_new(&url, text, NULL, why, sizeof why), RLC_ERR_URL);
  assert_non_null(strstr(why, "at most 1023 bytes"));
  memcpy(text, "redis+unix:///", 14);
  text[13 + 108] = '\0';
  assert_int_equal(rlc__url_new(&url, text, NULL, why, sizeof why), RLC_ERR_URL);
  assert_non_null(strstr(why, "at most 107 bytes"));
  text[13 + 107] = '\0';
  rlc__url_del(url_of(text));
}

/* Each allocation that fails in turn gives RLC_ERR_NOMEM, NULL, and nothing held. */
static void test_nomem(void **state) {
  static const char *const cases[] = {"redis://u:p@h?prefix=a", "redis+unix://u:p@/s",
                                      "shm:/t?group=a", "redis://[::1]", NULL};
  unsigned failures = 0;

  (void)state;
  for (size_t i = 0; i < COUNT(cases); ++i) {
    for (int n = 0;; ++n) {
      failing_memory m = {n, 0};
      rlc_memory memory = failing_functions(&m);
      rlc__url *url = (rlc__url *)&m;
      int rv = rlc__url_new(&url, cases[i], &memory, NULL, 0);

      if (rv == 0) {
        rlc__url_del(url);
        assert_int_equal(m.held, 0);
        break;
      }
      assert_int_equal(rv, RLC_ERR_NOMEM);
      assert_null(url);
      assert_int_equal(m.held, 0);
      ++failures;
    }
  }
  assert_int_equal(failures, 5 + 5 + 4 + 3 + 2);
}

static char freed[256];

static void remembering_free(void *ptr, void *user) {
  if (strncmp(ptr, "user", 4) == 0 || strncmp(ptr, "hush", 4) == 0) {
    snprintf(freed, sizeof freed, "%s", (char *)ptr);
  }
  failing_free(ptr, user);
}

/* Users and passwords are overwritten before their memory goes back. */
static void test_wiped(void **state) {
  failing_memory m = {1000, 0};
  rlc_memory memory = failing_functions(&m);
  rlc__url *url;

  (void)state;
  memory.free_fn = remembering_free;
  assert_int_equal(rlc__url_new(&url, "redis://user:hush@h", &memory, NULL, 0), 0);
  rlc__url_del(url);
  assert_int_equal(rlc__url_new(&url, "redis://user:hush@h:x", &memory, NULL, 0), RLC_ERR_URL);
  assert_string_equal(freed, "");
  assert_int_equal(m.held, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_redis),
      cmocka_unit_test(test_paths),
      cmocka_unit_test(test_defaults),
      cmocka_unit_test(test_options),
      cmocka_unit_test(test_option_ranges),
      cmocka_unit_test(test_errors),
      cmocka_unit_test(test_password_hidden),
      cmocka_unit_test(test_too_long),
      cmocka_unit_test(test_nomem),
      cmocka_unit_test(test_wiped),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
