/* SPDX-License-Identifier: Apache-2.0 */
#include "failing_memory.h"
#include "url_help.h"

/* Tables: their paths, decoded. */
static void test_paths(void **state) {
  static const struct {
    const char *text;
    rlc__scheme scheme;
    const char *path;
  } cases[] = {
      {NULL, RLC__SCHEME_SHM, NULL},
      {"shm:", RLC__SCHEME_SHM, NULL},
      {"shm:/run/rl/table", RLC__SCHEME_SHM, "/run/rl/table"},
      {"shm:/run/a%20b%3f@c", RLC__SCHEME_SHM, "/run/a b?@c"},
      {"memory:", RLC__SCHEME_MEMORY, NULL},
  };

  (void)state;
  for (size_t i = 0; i < COUNT(cases); ++i) {
    rlc__url *url = url_of(cases[i].text);

    assert_int_equal(url->scheme, cases[i].scheme);
    assert_text(url->path, cases[i].path);
    assert_null(url->user);
    assert_null(url->password);
    assert_int_equal(url->servers, 0);
    assert_int_equal(url->tls, 0);
    rlc__url_del(url);
  }
}

/* Text that is no URL of ours, and tables that are none. */
static void test_errors(void **state) {
  static const wrong_url cases[] = {
      {"", 1, "expected \"shm:\""},
      {"localhost:6379", 1, "\"redis://host\", \"rediss://host\", \"redis+unix:///path\", "
       "\"redis+sentinel://host,host/name\" or \"redis+cluster://host,host\""},
      {"redis", 1, "did you mean \"redis:\"?"},
      {"Redis://h", 1, "did you mean \"redis:\"?"},
      {"rdis://h", 1, "did you mean \"redis:\"?"},
      {"redsis://h", 1, "did you mean \"redis:\"?"},
      {"Rediss://h", 1, "did you mean \"rediss:\"?"},
      {"shmm:", 1, "did you mean \"shm:\"?"},
      {"redis-sentinel://h/m", 1, "did you mean \"redis+sentinel:\"?"},
      {"redis+clutser://h", 1, "did you mean \"redis+cluster:\"?"},
      {"rediss+sentinal://h", 1, "did you mean \"rediss+sentinel:\"?"},
      {"rediss+unix:///s", 1, "did you mean \"redis+unix:\"?"},
      {"sentinel://h/m", 1, "expected \"shm:\""},
      {"shm:table", 5, "absolute path"},
      {"shm:///table", 5, "one slash"},
      {"shm:/", 5, "that of a folder"},
      {"shm:/a/", 7, "that of a folder"},
      {"shm:/a%00b", 7, "\"%00\" cannot be used"},
      {"shm:/a%0", 7, "two hex digits"},
      {"shm:/a%", 7, "two hex digits"},
      {"shm:/a%zz?size=64", 7, "two hex digits"},
      {"shm:/a b", 7, "no spaces"},
      {"shm:/a\n", 7, "no spaces or control"},
      {"shm:/a#b", 7, "\"%23\""},
      {"memory:x", 8, "expected nothing"},
  };

  (void)state;
  assert_wrong(cases, COUNT(cases));
}

/* Refused, with a sentence that has nothing of "hush" in it. */
static void assert_hushed(const char *text) {
  char why[RLC_MESSAGE_SIZE] = "";
  rlc__url *url;

  if (rlc__url_new(&url, text, NULL, why, sizeof why) != RLC_ERR_URL) {
    fail_msg("`%s` is not refused: %s", text, why);
  }
  assert_null(url);
  assert_true(why[0] != '\0');
  /* "share" and "should" are words of ours. */
  if (strstr(why, "hu") != NULL || strstr(why, "ush") != NULL || strstr(why, "\"sh\"") != NULL) {
    fail_msg("`%s` is repeated: %s", text, why);
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
      "redis+unix://:hu@/hush@/s", "redis+unix:///hush:hush@/s", "redis+unix://:hush@/%00",
      "hush:hush@h",              ":hush@h",                   "u:hush@h:6379",
      "redisss://u:hush@h",       "redis:u:hush@h",            "redis:/:hush@h",
      "redis://hush@h",           "redis://:hush@h@",          "redis://:[hush/@h",
      "redis://h?password=hush",  "redis://h?hush",            "redis://h?hush=1",
      /* the "@" and the host forgotten */
      "redis://hush:hush",        "redis://:hush",             "redis://u:hush/0",
      "redis://u:1/hush",         "redis://u:1?hush",          "redis://[hush]",
      "redis://hu!sh",            "redis://u:hu,sh"};
  /* What may follow each scheme that has a list of hosts; "M" stands for the path it wants. */
  static const char *const lists[] = {
      ":hush@M",            "u:hush@h:x",           "u:hu/sh@hM",           "u:hu/sh@h,iM",
      "u:hu?sh@hM",         "u:hu@sh/hush@hM",      "u:hu,sh/hush@h,iM",    "hush:hu?sh@h,iM",
      "u:hu,sh@h,h:6379,h:26379,h:6379,h:26379M",   "u:hush@h,M",           "u:hush@h,,iM",
      "hush:@hM",           "hush@hM",              "hush,hush@hM",         "u:hush@h!M",
      "u:hush%zz@hM",       "u:hush%0@hM",          "u:hush%00@hM",         "hush%zz:p@hM",
      "u:hu#sh@hM",         "u:hu\tsh@hM",          "u:hush@h/!/x",         "u:hush@h/m/hush/hush",
      "u:hush@hM?x=1",      "u:hush@hM?timeout=1",  "u:hush@hM?hush",       "u:hush@hM?a=hu@sh",
      "u:hush",             "u:hush,iM",            "u:hush/m/0",           "u:hush?timeout=1s",
      "hush:hush,hush:hush", "u:hu[sh]M",           "[hush],iM",            "u:1/hu!sh",
      "u:1/m/hush"};
  static const char *const sentinel[] = {
      "sentinel-password=hush&hush", "sentinel-password=hu&sh=1", "sentinel-password=hu&hush=sh",
      "sentinel-password=hu@sh",     "sentinel-password=hu?sh&sh", "sentinel-password=hush%zz",
      "sentinel-password=hush%00",   "sentinel-user=hush",         "sentinel-user=hu&sh",
      "sentinel-user=hush%zz&x",     "sentinel-password=hu#sh",    "sentinel-password=hu sh",
      "sentinel-password=hu&timeout=hush", "sentinel-password=hu&fail=hush",
      "sentinel-password=hu&prefix=hu!sh", "sentinel-user=hu&share=hush&sentinel-password=x",
      "sentinel-password=hu&timeuot=hush", "sentinel-password=hu&connections=hush",
      "sentinel-password=hush&sentinel-password=hush", "sentinel-password:hush",
      "sentinel-pasword=hush",       "sentinel_user=hush",         "sentinel-password=hu&db=hush",
      "password=hush",               "sentinel-password=hu&=sh"};
  static const char *const schemes[][2] = {{"redis+sentinel", "/m"}, {"rediss+sentinel", "/m"},
                                           {"redis+cluster", ""},    {"rediss+cluster", ""},
                                           {"rediss", ""}};
  char text[256];

  (void)state;
  for (size_t i = 0; i < COUNT(cases); ++i) {
    assert_hushed(cases[i]);
  }
  for (size_t i = 0; i < COUNT(schemes) * COUNT(lists); ++i) {
    const char *list = lists[i / COUNT(schemes)];
    const char *const *scheme = schemes[i % COUNT(schemes)];
    size_t len = strcspn(list, "M");

    snprintf(text, sizeof text, "%s://%.*s%s%s", scheme[0], (int)len, list,
             list[len] == 'M' ? scheme[1] : "", list[len] == 'M' ? list + len + 1 : "");
    assert_hushed(text);
  }
  for (size_t i = 0; i < 2 * COUNT(sentinel); ++i) {
    snprintf(text, sizeof text, "redis%s+sentinel://h/m?%s", i % 2 ? "s" : "", sentinel[i / 2]);
    assert_hushed(text);
  }
  assert_hushed("rediss://h?sentinel-password=hush");
  assert_hushed("rediss+sentinel://h/m?sentinel-password=hu&ca=hush");
  assert_hushed("rediss+sentinel://h/m?sentinel-password=hu&sni=hu!sh");
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
}

/* Each allocation that fails in turn gives RLC_ERR_NOMEM, NULL, and nothing held. */
static void test_nomem(void **state) {
  static const struct {
    const char *text;
    unsigned allocations; /* the URL itself, its strings, the prefix */
  } cases[] = {
      {"redis://u:p@h?prefix=a", 4},
      {"redis+unix://u:p@/s", 4},
      {"shm:/t?group=a", 4},
      {"redis://[::1]", 2},
      {NULL, 2},
      {"rediss://:p@h?ca=/a&cert=/c&key=/k&sni=n", 7},
      {"redis+sentinel://u:p@a,b/m/1?sentinel-user=u&sentinel-password=p", 7},
      {"rediss+sentinel://a/m?sni=n&connections=3", 4},
      {"redis+cluster://u:p@a,b,c/0?timeout=1s&prefix=x", 4},
      {"rediss+cluster://a?cert=/c", 3},
  };

  (void)state;
  for (size_t i = 0; i < COUNT(cases); ++i) {
    unsigned failures = 0;

    for (int n = 0;; ++n) {
      failing_memory m = {n, 0};
      rlc_memory memory = failing_functions(&m);
      rlc__url *url = (rlc__url *)&m;
      int rv = rlc__url_new(&url, cases[i].text, &memory, NULL, 0);

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
    assert_int_equal(failures, cases[i].allocations);
  }
}

static unsigned seen;

/* Counts what comes back with a secret still in it. */
static void watching_free(void *ptr, void *user) {
  if (ptr != NULL && strstr(ptr, "hush") != NULL) {
    ++seen;
  }
  failing_free(ptr, user);
}

/* Users and passwords are overwritten before their memory goes back, whole or half read. */
static void test_wiped(void **state) {
  static const char *const cases[] = {
      "redis://ahush:bhush@h",
      "redis://ahush:bhush@h:x",
      "redis://ahush:bhush%zz@h",
      "redis+sentinel://ahush:bhush@h/m?sentinel-user=chush&sentinel-password=dhush",
      "redis+sentinel://ahush:bhush@h/m?sentinel-user=chush&sentinel-password=dhush&x=1",
      "redis+sentinel://h/m?sentinel-user=chush&sentinel-password=dhush%0",
      "rediss+cluster://ahush:bhush@h,h",
      "redis+unix://ahush:bhush@/s?db=x",
  };

  (void)state;
  seen = 0;
  for (size_t i = 0; i < COUNT(cases); ++i) {
    failing_memory m = {1000, 0};
    rlc_memory memory = failing_functions(&m);
    rlc__url *url;

    memory.free_fn = watching_free;
    (void)rlc__url_new(&url, cases[i], &memory, NULL, 0);
    rlc__url_del(url);
    assert_int_equal(m.held, 0);
  }
  assert_int_equal(seen, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_paths),
      cmocka_unit_test(test_errors),
      cmocka_unit_test(test_password_hidden),
      cmocka_unit_test(test_too_long),
      cmocka_unit_test(test_nomem),
      cmocka_unit_test(test_wiped),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
