/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs those four first */
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "redis/cluster.h"
#include "reply_help.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const rlc__endpoint asked = {"seed.example", 7000};

/* What was told of a map: "first-last=server" each, with spaces between. */
typedef struct told {
  char text[1024];
  unsigned ranges;
  unsigned slots;
  int stop; /* what to return */
} told;

static int take(void *user, unsigned first, unsigned last, const rlc__endpoint *master) {
  told *t = user;
  size_t used = strlen(t->text);
  char name[RLC__ENDPOINT_TEXT];

  snprintf(t->text + used, sizeof t->text - used, "%s%u-%u=%s", used > 0 ? " " : "", first, last,
           rlc__endpoint_format(master, name));
  ++t->ranges;
  t->slots += last - first + 1;
  return t->stop;
}

/* Reads a map in the Redis protocol. */
static int read_map(const char *text, told *t) {
  redisReply *reply = reply_of(text);
  int stop = t->stop;
  int rv;

  assert_non_null(reply);
  memset(t, 0, sizeof *t);
  t->stop = stop;
  rv = rlc__cluster_read_slots(reply, &asked, take, t);
  freeReplyObject(reply);
  return rv;
}

/* The specification's example, and what CLUSTER KEYSLOT of a Redis 7.0 says of names with and
 * without tags: the first brace counts, and what is empty is no tag. */
static void test_slot(void **state) {
  static const struct {
    const char *key;
    unsigned slot;
  } cases[] = {
      {"123456789", 0x31c3},    {"foo", 12182},  {"{user1000}.following", 3443},
      {"foo{}{bar}", 8363},     {"", 0},         {"foo{{bar}}zap", 4015},
      {"foo{bar}{zap}", 5061},  {"{}x", 10595},  {"{a", 10276},
      {"a}b{c}", 7365},         {"{}", 15257},   {"x{}", 2608},
      {"user1000", 3443},       {"bar", 5061},   {"{bar", 4015},
      {"c", 7365},              {"rl:{0123456789abcdef}:tapi", 10405},
  };

  (void)state;
  for (size_t i = 0; i < COUNT(cases); ++i) {
    assert_int_equal(rlc__cluster_slot(cases[i].key, strlen(cases[i].key)), cases[i].slot);
  }
  assert_int_equal(rlc__cluster_slot("a\0b", 3), 8383);
  assert_int_equal(rlc__cluster_slot(NULL, 0), 0);
}

/* The reply of Redis 7: an id and metadata stand behind the address, replicas behind the master. */
static void test_map(void **state) {
  told t = {0};

  (void)state;
  assert_int_equal(read_map("*2\r\n"
                            "*4\r\n:0\r\n:5460\r\n"
                            "*4\r\n$9\r\n127.0.0.1\r\n:6381\r\n$2\r\nid\r\n"
                            "*2\r\n$8\r\nhostname\r\n$4\r\nh.ex\r\n"
                            "*4\r\n$9\r\n127.0.0.1\r\n:6382\r\n$2\r\nid\r\n*0\r\n"
                            "*3\r\n:5461\r\n:16383\r\n*2\r\n$3\r\n::1\r\n:1\r\n",
                            &t),
                   0);
  assert_string_equal(t.text, "0-5460=127.0.0.1:6381 5461-16383=[::1]:1");
}

/* Where a host is null, empty or unknown, it is that of the server that was asked, with its port.
 * */
static void test_own_host(void **state) {
  told t = {0};

  (void)state;
  assert_int_equal(read_map("*3\r\n"
                            "*3\r\n:0\r\n:0\r\n*4\r\n$-1\r\n:1\r\n$2\r\nid\r\n*0\r\n"
                            "*3\r\n:1\r\n:1\r\n*4\r\n$0\r\n\r\n:2\r\n$2\r\nid\r\n*0\r\n"
                            "*3\r\n:2\r\n:2\r\n*4\r\n$1\r\n?\r\n:3\r\n$2\r\nid\r\n*0\r\n",
                            &t),
                   0);
  assert_string_equal(t.text, "0-0=seed.example:1 1-1=seed.example:2 2-2=seed.example:3");
}

/* A server reached by its socket has no host that could stand for a missing one. */
static void test_socket_is_no_host(void **state) {
  static const rlc__endpoint at_socket = {"/run/redis.sock", 0};
  rlc__endpoint out;

  (void)state;
  assert_int_equal(rlc__cluster_endpoint(&out, "", 0, 6379, &at_socket), RLC__ERR_PROTOCOL);
  assert_int_equal(rlc__cluster_endpoint(&out, "h", 1, 6379, &at_socket), 0);
  assert_int_equal(rlc__cluster_endpoint(&out, "h", 1, 65536, &asked), RLC__ERR_PROTOCOL);
  assert_int_equal(rlc__cluster_endpoint(&out, "h", 1, 0, &asked), RLC__ERR_PROTOCOL);
  assert_int_equal(rlc__cluster_endpoint(&out, "h", 1, -1, &asked), RLC__ERR_PROTOCOL);
}

/* A map that is wrong anywhere tells nothing, also not of the ranges before that. */
static void test_wrong_maps(void **state) {
  static const char *const wrong[] = {
      "$2\r\nOK\r\n", "+OK\r\n", ":1\r\n", "$-1\r\n", "*-1\r\n", "*0\r\n",
      "-ERR This instance has cluster support disabled\r\n",
      "*1\r\n*0\r\n", "*1\r\n*-1\r\n", "*1\r\n:1\r\n",
      "*1\r\n*2\r\n:0\r\n:1\r\n",                                  /* no master */
      "*1\r\n*3\r\n:0\r\n:1\r\n*0\r\n",                            /* an empty one */
      "*1\r\n*3\r\n:0\r\n:1\r\n*1\r\n$1\r\nh\r\n",                 /* no port */
      "*1\r\n*3\r\n:0\r\n:1\r\n$1\r\nh\r\n",                       /* no array */
      "*1\r\n*3\r\n$1\r\n0\r\n:1\r\n*2\r\n$1\r\nh\r\n:1\r\n",      /* a slot as text */
      "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\nh\r\n$1\r\n1\r\n",      /* a port as text */
      "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n:1\r\n:1\r\n",                /* a host as a number */
      "*1\r\n*3\r\n:-1\r\n:1\r\n*2\r\n$1\r\nh\r\n:1\r\n",
      "*1\r\n*3\r\n:0\r\n:16384\r\n*2\r\n$1\r\nh\r\n:1\r\n",
      "*1\r\n*3\r\n:0\r\n:4294967296\r\n*2\r\n$1\r\nh\r\n:1\r\n",
      "*1\r\n*3\r\n:2\r\n:1\r\n*2\r\n$1\r\nh\r\n:1\r\n",           /* backwards */
      "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\nh\r\n:0\r\n",
      "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\nh\r\n:65537\r\n",
      "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$3\r\nh\nh\r\n:1\r\n",        /* a control character */
      "*2\r\n*3\r\n:0\r\n:5\r\n*2\r\n$1\r\nh\r\n:1\r\n*3\r\n:5\r\n:6\r\n*2\r\n$1\r\nh\r\n:1\r\n",
  };

  (void)state;
  for (size_t i = 0; i < COUNT(wrong); ++i) {
    told t = {0};

    assert_int_equal(read_map(wrong[i], &t), RLC__ERR_PROTOCOL);
    assert_int_equal(t.ranges, 0);
  }
}

/* Also a reply without what its type promises is only refused. */
static void test_half_replies(void **state) {
  redisReply *elements[3] = {NULL, NULL, NULL};
  redisReply whole = {.type = REDIS_REPLY_ARRAY, .elements = 3, .element = elements};
  redisReply empty = {.type = REDIS_REPLY_ARRAY, .elements = 3};
  told t = {0};

  (void)state;
  assert_int_equal(rlc__cluster_read_slots(NULL, &asked, take, &t), RLC__ERR_PROTOCOL);
  assert_int_equal(rlc__cluster_read_slots(&whole, &asked, take, &t), RLC__ERR_PROTOCOL);
  assert_int_equal(rlc__cluster_read_slots(&empty, &asked, take, &t), RLC__ERR_PROTOCOL);
  elements[0] = elements[1] = elements[2] = &empty;
  assert_int_equal(rlc__cluster_read_slots(&whole, &asked, take, &t), RLC__ERR_PROTOCOL);
  assert_int_equal(t.ranges, 0);
}

/* Who is told may end it, and what it says is passed on. */
static void test_stop(void **state) {
  told t = {.stop = 7};

  (void)state;
  assert_int_equal(read_map("*2\r\n*3\r\n:0\r\n:5\r\n*2\r\n$1\r\nh\r\n:1\r\n"
                            "*3\r\n:6\r\n:6\r\n*2\r\n$1\r\nh\r\n:1\r\n",
                            &t),
                   7);
  assert_string_equal(t.text, "0-5=h:1");
}

/* The longest map there is: each slot a range of its own. */
static void test_longest(void **state) {
  char *text = malloc(RLC__SLOTS * 64);
  size_t used = (size_t)sprintf(text, "*%u\r\n", RLC__SLOTS);
  told t = {0};

  (void)state;
  for (unsigned slot = 0; slot < RLC__SLOTS; ++slot) {
    used += (size_t)sprintf(text + used, "*3\r\n:%u\r\n:%u\r\n*2\r\n$1\r\nh\r\n:%u\r\n", slot, slot,
                            slot + 1);
  }
  assert_int_equal(read_map(text, &t), 0);
  assert_int_equal(t.ranges, RLC__SLOTS);
  assert_int_equal(t.slots, RLC__SLOTS);
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_slot),         cmocka_unit_test(test_map),
      cmocka_unit_test(test_own_host),     cmocka_unit_test(test_socket_is_no_host),
      cmocka_unit_test(test_wrong_maps),   cmocka_unit_test(test_half_replies),
      cmocka_unit_test(test_stop),         cmocka_unit_test(test_longest),
  };
  return cmocka_run_group_tests_name("cluster", tests, NULL, NULL);
}
