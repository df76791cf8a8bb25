/* SPDX-License-Identifier: Apache-2.0 */
#include "url_help.h"

/* One server: host, port, login, database. */
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
      {"redis://u:p,w@h", "h", 6379, 0, "u", "p,w"},
      {"redis://u:p@w@[::1]", "::1", 6379, 0, "u", "p@w"},
      {"redis://u:\xc3\xa4@h", "h", 6379, 0, "u", "\xc3\xa4"},
      {"rediss://localhost", "localhost", 6379, 0, NULL, NULL},
      {"rediss://u:p@[::1]:7000/3?timeout=1s", "::1", 7000, 3, "u", "p"},
  };

  (void)state;
  for (size_t i = 0; i < COUNT(cases); ++i) {
    rlc__url *url = url_of(cases[i].text);

    assert_int_equal(url->scheme, RLC__SCHEME_REDIS);
    assert_int_equal(url->tls, strncmp(cases[i].text, "rediss:", 7) == 0);
    assert_int_equal(url->servers, 1);
    assert_text(url->server[0].host, cases[i].host);
    assert_int_equal(url->server[0].port, cases[i].port);
    assert_int_equal(url->db, cases[i].db);
    assert_text(url->user, cases[i].user);
    assert_text(url->password, cases[i].password);
    assert_null(url->path);
    assert_null(url->master);
    rlc__url_del(url);
  }
}

/* A socket: its path, decoded, in place of a host. */
static void test_unix(void **state) {
  static const struct {
    const char *text, *path, *user, *password;
  } cases[] = {
      {"redis+unix:///run/redis.sock", "/run/redis.sock", NULL, NULL},
      {"redis+unix:///a%20b%2Fc,d?db=2", "/a b/c,d", NULL, NULL},
      {"redis+unix://u:p@/s%401", "/s@1", "u", "p"},
      {"redis+unix://:p@w@/s", "/s", NULL, "p@w"},
  };

  (void)state;
  for (size_t i = 0; i < COUNT(cases); ++i) {
    rlc__url *url = url_of(cases[i].text);

    assert_int_equal(url->scheme, RLC__SCHEME_REDIS_UNIX);
    assert_int_equal(url->servers, 1);
    assert_text(url->server[0].host, cases[i].path);
    assert_int_equal(url->server[0].port, 0);
    assert_null(url->path);
    assert_text(url->user, cases[i].user);
    assert_text(url->password, cases[i].password);
    rlc__url_del(url);
  }
}

/* Several servers, as "host:port host:port", and what the path says. */
static void test_lists(void **state) {
  static const struct {
    const char *text;
    rlc__scheme scheme;
    int tls;
    const char *servers, *master;
    unsigned db;
    const char *user, *password;
  } cases[] = {
      {"redis+sentinel://a/m", RLC__SCHEME_REDIS_SENTINEL, 0, "a:26379", "m", 0, NULL, NULL},
      {"redis+sentinel://a/m/", RLC__SCHEME_REDIS_SENTINEL, 0, "a:26379", "m", 0, NULL, NULL},
      {"redis+sentinel://a,b:1,[::1],[::2]:5/my.Master_1-x/65535", RLC__SCHEME_REDIS_SENTINEL, 0,
       "a:26379 b:1 [::1]:26379 [::2]:5", "my.Master_1-x", 65535, NULL, NULL},
      {"redis+sentinel://u:p@a,v:w@b/m", RLC__SCHEME_REDIS_SENTINEL, 0, "b:26379", "m", 0, "u",
       "p@a,v:w"},
      {"redis+sentinel://u:p,w@a,b/0/1", RLC__SCHEME_REDIS_SENTINEL, 0, "a:26379 b:26379", "0", 1,
       "u", "p,w"},
      {"rediss+sentinel://:p%2F@a/m?prefix=a", RLC__SCHEME_REDIS_SENTINEL, 1, "a:26379", "m", 0,
       NULL, "p/"},
      {"redis+cluster://a", RLC__SCHEME_REDIS_CLUSTER, 0, "a:6379", NULL, 0, NULL, NULL},
      {"redis+cluster://a,b:7000/", RLC__SCHEME_REDIS_CLUSTER, 0, "a:6379 b:7000", NULL, 0, NULL,
       NULL},
      {"redis+cluster://u:p@w@a,a:6380/0", RLC__SCHEME_REDIS_CLUSTER, 0, "a:6379 a:6380", NULL, 0,
       "u", "p@w"},
      {"rediss+cluster://a?connections=2", RLC__SCHEME_REDIS_CLUSTER, 1, "a:6379", NULL, 0, NULL,
       NULL},
      {"redis+cluster://a1,a2,a3,a4,a5,a6,a7,a8,a9,b1,b2,b3,b4,b5,b6,b7", RLC__SCHEME_REDIS_CLUSTER,
       0, "a1:6379 a2:6379 a3:6379 a4:6379 a5:6379 a6:6379 a7:6379 a8:6379 a9:6379 b1:6379 b2:6379 "
       "b3:6379 b4:6379 b5:6379 b6:6379 b7:6379", NULL, 0, NULL, NULL},
  };

  (void)state;
  for (size_t i = 0; i < COUNT(cases); ++i) {
    rlc__url *url = url_of(cases[i].text);
    char servers[512] = "";
    char one[RLC__ENDPOINT_TEXT];

    for (size_t j = 0; j < url->servers; ++j) {
      size_t len = strlen(servers);

      snprintf(servers + len, sizeof servers - len, "%s%s", j > 0 ? " " : "",
               rlc__endpoint_format(&url->server[j], one));
    }
    assert_int_equal(url->scheme, cases[i].scheme);
    assert_int_equal(url->tls, cases[i].tls);
    assert_text(servers, cases[i].servers);
    assert_text(url->master, cases[i].master);
    assert_int_equal(url->db, cases[i].db);
    assert_text(url->user, cases[i].user);
    assert_text(url->password, cases[i].password);
    rlc__url_del(url);
  }
}

/* One server that is none. */
static void test_redis_errors(void **state) {
  static const wrong_url cases[] = {
      {"redis:", 7, "expected two slashes after the scheme, as in \"redis://localhost\""},
      {"redis:/h", 7, "two slashes"},
      {"redis:h", 7, "two slashes"},
      {"rediss:h", 8, "two slashes after the scheme, as in \"rediss://localhost\""},
      {"redis://", 9, "expected a host, as in \"redis://localhost\""},
      {"redis:///1", 9, "expected a host, as"},
      {"redis://?timeout=1s", 9, "expected a host, as"},
      {"redis://u:p@", 13, "expected a host, as"},
      {"redis://:6379", 9, "expected the name of a host"},
      {"redis://-h", 9, "expected the name of a host"},
      {"redis://.h", 9, "expected the name of a host"},
      {"redis://h!", 9, "of letters, digits, \".\", \"-\" and \"_\""},
      {"redis://h%31", 9, "expected the name of a host"},
      {"redis://h,i", 10, "several are written as in \"redis+sentinel://host1,host2/name\" or"},
      {"rediss://h,", 11, "expected one host"},
      {"redis://,h", 9, "a host is missing here"},
      {"redis://::1", 9, "in brackets, as in \"[::1]:6379\""},
      {"redis://h:1:2", 9, "in brackets"},
      {"redis://[::1", 9, "IPv6 address in brackets, as in \"[::1]\""},
      {"redis://[h]", 9, "IPv6 address in brackets"},
      {"redis://[]", 9, "IPv6 address in brackets"},
      {"redis://[127.0.0.1]", 9, "IPv6 address in brackets"},
      {"redis://[::1%25]", 9, "IPv6 address in brackets"},
      {"redis://[fe80::1%25a%0Ab]", 9, "IPv6 address in brackets"},
      {"redis://[fe80::1%25a%20b]", 9, "IPv6 address in brackets"},
      {"redis://[::1%2]", 13, "expected two hex digits"},
      {"redis://[::1]x", 14, "\":\" and a port"},
      {"redis://h:", 11, "a port from 1 to 65535"},
      {"redis://h:0", 11, "a port from 1 to 65535"},
      {"redis://h:65536", 11, "a port from 1 to 65535"},
      {"redis://h:6379x", 11, "a port from 1 to 65535"},
      {"redis://[::1]:x", 15, "a port from 1 to 65535"},
      {"redis://h/65536", 11, "expected a database number from 0 to 65535 after the slash"},
      {"redis://h/0/x", 11, "database number"},
      {"redis://h/x", 11, "database number"},
      {"redis://h/-1", 11, "database number"},
      {"redis://h/1/", 11, "database number"},
      {"redis://u@h", 9, "found no colon"},
      {"redis://u:@h", 11, "password is empty"},
      {"redis://:@h", 10, "password is empty"},
      {"redis://u:%00@h", 11, "\"%00\" cannot be used"},
      {"redis://u:p%4@h", 12, "two hex digits"},
      {"redis://u:p/w@h", 12, "in a user or password \"/\" as \"%2F\" and \"?\" as \"%3F\""},
      {"redis://u:p?w@h", 12, "write it as \"%40\""},
      {"redis://h?prefix=a@b", 10, "an \"@\" is out of place after this"},
      {"redis+unix://", 14, "the path of a socket, as in \"redis+unix:///run/redis.sock\""},
      {"redis+unix:///", 14, "path of a socket"},
      {"redis+unix://run/s", 14, "three slashes"},
      {"redis+unix:/run/s", 12, "two slashes"},
      {"redis+unix:///a%0Ab", 14, "without control characters"},
      {"redis+unix:///a%7fb", 14, "without control characters"},
      {"redis+unix:///a%0", 16, "two hex digits"},
      {"redis+unix:///a@b", 14, "write it as \"%40\""},
  };

  (void)state;
  assert_wrong(cases, COUNT(cases));
}

/* Lists of servers that are none. */
static void test_list_errors(void **state) {
  static const wrong_url cases[] = {
      {"redis+sentinel:a/m", 16, "two slashes after the scheme, as in \"redis+sentinel://host1,"},
      {"redis+sentinel:///m", 18, "expected a host, as in \"redis+sentinel://host1,host2/name\""},
      {"rediss+sentinel:///m", 19, "expected a host, as in \"rediss+sentinel://host1,host2/name\""},
      {"redis+sentinel://a", 19, "a slash and the name that the sentinels know the master by, as "
       "in \"redis+sentinel://host1,host2/name\""},
      {"redis+sentinel://a/", 19, "the name that the sentinels know the master by"},
      {"redis+sentinel://a?db=1", 19, "the name that the sentinels know the master by"},
      {"redis+sentinel://a//1", 20, "1 to 64 letters, digits, \".\", \"-\" or \"_\""},
      {"redis+sentinel://a/m%20n", 20, "1 to 64 letters"},
      {"redis+sentinel://a/m,b", 20, "1 to 64 letters"},
      {"redis+sentinel://a/m:1", 20, "1 to 64 letters"},
      {"redis+sentinel://a/"
       "a2345678901234567890123456789012345678901234567890123456789012345", 20, "1 to 64 letters"},
      {"redis+sentinel://a/m/x", 22, "database number from 0 to 65535 after the slash"},
      {"redis+sentinel://a/m/65536", 22, "database number"},
      {"redis+sentinel://a/m/1/2", 22, "database number"},
      {"redis+sentinel://a,/m", 20, "a host is missing here; write one, or leave the comma out"},
      {"redis+sentinel://,a/m", 18, "a host is missing"},
      {"redis+sentinel://a,,b/m", 20, "a host is missing"},
      {"redis+sentinel://,/m", 18, "a host is missing"},
      {"redis+sentinel://a,A:26379/m", 20, "this is host 1 once more; leave it out"},
      {"redis+sentinel://[::1],b,[::1]/m", 26, "this is host 1 once more"},
      {"redis+sentinel://a,b:0/m", 22, "a port from 1 to 65535"},
      {"redis+sentinel://a,::1/m", 20, "in brackets"},
      {"redis+sentinel://a,[::x]/m", 20, "IPv6 address in brackets"},
      {"redis+sentinel://a,-b/m", 20, "expected the name of a host"},
      {"redis+sentinel://u@a/m", 18, "found no colon"},
      {"redis+sentinel://u:p/w@a/m", 21, "an \"@\" is out of place"},
      {"redis+cluster://", 17, "expected a host, as in \"redis+cluster://host1,host2\""},
      {"rediss+cluster:", 16, "after the scheme, as in \"rediss+cluster://host1,host2\""},
      {"redis+cluster://a,b,c:6379,b", 28, "this is host 2 once more"},
      {"redis+cluster://a/1", 19, "a cluster has database 0 and no other; leave out what follows"},
      {"redis+cluster://a/m", 19, "database 0 and no other"},
      {"redis+cluster://a/0/", 19, "database 0 and no other"},
      {"redis+cluster://a/,b", 19, "database 0 and no other"},
      {"redis+cluster://a1,a2,a3,a4,a5,a6,a7,a8,a9,b1,b2,b3,b4,b5,b6,b7,b8", 65,
       "expected at most 16 hosts"},
      {"redis+cluster://a1,a2,a3,a4,a5,a6,a7,a8,a9,b1,b2,b3,b4,b5,b6,b7,", 65, "a host is missing"},
  };

  (void)state;
  assert_wrong(cases, COUNT(cases));
}

/* The longest host, socket and master there are. */
static void test_longest(void **state) {
  char text[700], why[RLC_MESSAGE_SIZE];
  rlc__url *url;

  (void)state;
  memset(text, 'a', sizeof text);
  memcpy(text, "redis://", 8);
  text[8 + 254] = '\0';
  assert_int_equal(rlc__url_new(&url, text, NULL, why, sizeof why), RLC_ERR_URL);
  assert_non_null(strstr(why, "expected the name of a host"));
  text[8 + 253] = '\0';
  url = url_of(text);
  assert_int_equal(strlen(url->server[0].host), 253);
  rlc__url_del(url);

  memset(text, 'a', sizeof text);
  memcpy(text, "redis+unix:///", 14);
  text[13 + 108] = '\0';
  assert_int_equal(rlc__url_new(&url, text, NULL, why, sizeof why), RLC_ERR_URL);
  assert_non_null(strstr(why, "at most 107 bytes"));
  text[13 + 107] = '\0';
  rlc__url_del(url_of(text));

  memset(text, 'a', sizeof text);
  memcpy(text, "redis://[fe80::1%25", 19);
  text[698] = ']';
  text[699] = '\0';
  assert_int_equal(rlc__url_new(&url, text, NULL, why, sizeof why), RLC_ERR_URL);
  assert_non_null(strstr(why, "IPv6 address in brackets"));

  url = url_of("redis+sentinel://a/"
               "a234567890123456789012345678901234567890123456789012345678901234");
  assert_int_equal(strlen(url->master), 64);
  rlc__url_del(url);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_redis),
      cmocka_unit_test(test_unix),
      cmocka_unit_test(test_lists),
      cmocka_unit_test(test_redis_errors),
      cmocka_unit_test(test_list_errors),
      cmocka_unit_test(test_longest),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
