/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"
#include "failing_memory.h"
#include "fake_server.h"
#include "store/store.h"

#define SECRET "a secret of 22 letters"

/* What the server saw: the words of the last command but the packed argument. |turn| passes it from
 * thread to thread, as the socket does, for tools that do not know that. */
static fake_server server;
static _Atomic unsigned turn;
static char seen[512];
static const char *answer;

static rlc_options *options;
static rlc__url *url;
static rlc__store *store;
static rlc_policy *one, *stack;
static rlc__item items[2];
static rlc__call call;

static unsigned warnings, details;
static char line[RLC_MESSAGE_SIZE];

static void keep_line(rlc_log_level level, const char *id, const char *message, void *user) {
  (void)user;
  warnings += level == RLC_LOG_WARNING;
  details += level == RLC_LOG_DEBUG;
  snprintf(line, sizeof line, "%s %s", id, message);
}

static void note(fake_peer *peer) {
  while (fake_read(peer)) {
    int eval = strncmp(peer->word[0], "EVAL", 4) == 0;

    atomic_fetch_add(&turn, 1);
    seen[0] = '\0';
    for (int i = eval ? 2 : 0; i < peer->words; ++i) {
      if (!eval || i != 3 + atoi(peer->word[2])) {
        strcat(strcat(seen, peer->word[i]), " ");
      }
    }
    atomic_fetch_add(&turn, 1);
    fake_say(peer, answer);
  }
}

static void open_store(const char *query) {
  char text[200], why[RLC_MESSAGE_SIZE] = "";

  snprintf(text, sizeof text, "redis+unix://%s%s", server.path, query);
  if (rlc__url_new(&url, text, NULL, why, sizeof why) != 0 ||
      rlc__redis_store_new(&store, url, options, why, sizeof why) != 0) {
    fail_msg("%s: %s", text, why);
  }
}

static int begin(void **state) {
  (void)state;
  warnings = details = 0;
  line[0] = '\0';
  fake_server_start(&server, 0, note, NULL);
  if (rlc_options_new(&options, NULL) != 0 ||
      rlc_policy_new(&one, "one", "5/s", NULL, NULL, 0) != 0 ||
      rlc_policy_new(&stack, "stack", "5/s,9/min algorithm=fixed-window", NULL, NULL, 0) != 0) {
    return -1;
  }
  rlc_options_set_log(options, keep_line, NULL);
  items[0] = (rlc__item){.policy = one, .key = "abc", .key_len = 3, .name = "one", .name_len = 3,
                         .cost = 1};
  items[1] = (rlc__item){.policy = stack, .key = "abc", .key_len = 3, .name = "stack",
                         .name_len = 5, .cost = 1};
  call = (rlc__call){RLC__OP_CHECK, items, 1, 0, 0};
  return 0;
}

static int end(void **state) {
  (void)state;
  if (store != NULL) {
    store->ops->del(store);
  }
  store = NULL;
  rlc__url_del(url);
  url = NULL;
  rlc_options_del(options);
  rlc_policy_del(one);
  rlc_policy_del(stack);
  fake_server_stop(&server);
  return 0;
}

static int decide(rlc__op op, size_t n, const char *reply) {
  int rv;

  answer = reply;
  call.op = op;
  call.n = n;
  call.deadline_us = rlc__clock_monotonic_us() + 20000000;
  atomic_fetch_add(&turn, 1);
  rv = store->ops->decide(store, &call);
  atomic_fetch_add(&turn, 1);
  return rv;
}

/* A check names its key by prefix, hash, tag and limit, and tells what the script answered. */
static void check_test(void **state) {
  (void)state;
  open_store("");
  assert_int_equal(decide(RLC__OP_CHECK, 1, ":200000\r\n"), 0);
  assert_string_equal(seen, "1 rl:{ungWv48Bz-pBQUDe}:tone ");
  assert_int_equal(items[0].result.allowed, 1);
  assert_int_equal(items[0].result.remaining, 4);
  assert_int_equal(items[0].result.source, RLC_SOURCE_STORE);
}

/* Prefix and secret make other names; the secret is nowhere in them. */
static void name_test(void **state) {
  (void)state;
  assert_int_equal(rlc_options_set_secret(options, SECRET, sizeof SECRET - 1), 0);
  open_store("?prefix=web.1");
  assert_int_equal(decide(RLC__OP_CHECK, 1, ":200000\r\n"), 0);
  assert_memory_equal(seen, "1 web.1:{", 9);
  assert_null(strstr(seen, "ungWv48Bz-pBQUDe"));
  assert_int_equal(strlen(seen), strlen("1 web.1:{ungWv48Bz-pBQUDe}:tone "));
}

/* A test's time is the second argument. */
static void time_test(void **state) {
  (void)state;
  open_store("");
  call.now_us = 1790000000000000;
  assert_int_equal(decide(RLC__OP_CHECK, 1, ":200000\r\n"), 0);
  assert_string_equal(seen, "1 rl:{ungWv48Bz-pBQUDe}:tone 1790000000000000 ");
}

/* A reset is one DEL of all keys, and every limit is full again. */
static void reset_test(void **state) {
  (void)state;
  open_store("");
  items[0].result.remaining = items[1].result.remaining = 99;
  assert_int_equal(decide(RLC__OP_RESET, 2, ":0\r\n"), 0);
  assert_string_equal(seen, "DEL rl:{ungWv48Bz-pBQUDe}:tone rl:{ungWv48Bz-pBQUDe}:Fstack ");
  assert_int_equal(items[0].result.remaining, 5);
  assert_int_equal(items[1].result.remaining, 5);
  assert_int_equal(items[1].result.source, RLC_SOURCE_STORE);
}

/* Replies that are well formed and none of ours make an error, never a decision; the connection
 * they came by is not used again. */
static void shape_test(void **state) {
  const char *const said[] = {
      "+OK\r\n", "$-1\r\n", "*0\r\n", "$3\r\n100\r\n", "*2\r\n:1\r\n$1\r\na\r\n",
      "*2\r\n:1\r\n:2\r\n", "*1\r\n*1\r\n:1\r\n", ":99999999999999999\r\n",
  };
  unsigned errors = 0;

  (void)state;
  open_store("");
  for (size_t i = 0; i < sizeof said / sizeof *said; ++i) {
    assert_int_equal(decide(RLC__OP_CHECK, 2, said[i]), RLC__ERR_PROTOCOL);
    assert_int_equal(atomic_load(&server.connections), ++errors);
  }
  assert_int_equal(decide(RLC__OP_CHECK, 1, "+OK\r\n"), RLC__ERR_PROTOCOL);
  assert_int_equal(decide(RLC__OP_RESET, 1, "+OK\r\n"), RLC__ERR_PROTOCOL);
  assert_non_null(strstr(line, "DEL"));
}

/* The first of many failures is a warning with the server's reason, the rest are details. */
static void log_test(void **state) {
  (void)state;
  open_store("");
  for (int i = 0; i < 5; ++i) {
    assert_int_equal(decide(RLC__OP_CHECK, 1, "-OOM no \"memory\"\r\n"), RLC__ERR_REFUSED);
  }
  assert_int_equal(warnings, 1);
  assert_int_equal(details, 4);
  assert_non_null(strstr(line, "RLC0301 redis at /tmp/"));
  assert_non_null(strstr(line, ": the server refused: OOM no \\x22memory\\x22"));
}

static void refuse(fake_peer *peer) {
  while (fake_read(peer)) {
    fake_say(peer, strcmp(peer->word[0], "AUTH") == 0
                       ? "-ERR unknown command 'AUTH', with args beginning with: 'tomtom'\r\n"
                       : "+OK\r\n");
  }
}

/* A password is in no line of the log, though the server repeats it. */
static void secret_test(void **state) {
  (void)state;
  open_store("");
  store->ops->del(store);
  rlc__url_del(url);
  server.greets = 0;
  server.serve = refuse;
  url = NULL;
  store = NULL;
  assert_int_equal(rlc__url_new(&url, "redis+unix:///x", NULL, NULL, 0), 0);
  url->password = rlc__strndup(rlc__memory_or_default(NULL), "tomtom", 6);
  rlc__free(rlc__memory_or_default(NULL), url->path);
  url->path = rlc__strndup(rlc__memory_or_default(NULL), server.path, strlen(server.path));
  assert_int_equal(rlc__redis_store_new(&store, url, options, NULL, 0), 0);
  assert_int_equal(decide(RLC__OP_CHECK, 1, ":0\r\n"), RLC__ERR_REFUSED);
  assert_non_null(strstr(line, "refuses AUTH"));
  assert_null(strstr(line, "tomtom"));
}

/* Past its deadline a call asks nobody. */
static void late_test(void **state) {
  (void)state;
  open_store("");
  call.deadline_us = rlc__clock_monotonic_us();
  assert_int_equal(store->ops->decide(store, &call), RLC__ERR_TIMEOUT);
  assert_int_equal(atomic_load(&server.connections), 0);
}

/* A store that cannot be: its maker says why, and makes none. */
static void unusable_test(void **state) {
  const rlc_memory *memory = rlc__memory_or_default(NULL);
  char why[RLC_MESSAGE_SIZE] = "";

  (void)state;
  assert_int_equal(rlc__url_new(&url, "redis://127.0.0.1", NULL, NULL, 0), 0);
  rlc__free(memory, url->host);
  url->host = rlc__strndup(memory, ":::", 3);
  store = (rlc__store *)1;
  assert_int_equal(rlc__redis_store_new(&store, url, options, why, sizeof why), RLC_ERR_URL);
  assert_null(store);
  assert_non_null(strstr(why, "the host \":::\" has no address"));
}

/* Where that is allowed, a host that cannot be looked up leaves a store that answers each call, and
 * only with an error. */
static void unresolved_test(void **state) {
  const rlc_memory *memory = rlc__memory_or_default(NULL);
  rlc_policy *policy;
  rlc__item item = {.key = "k", .key_len = 1, .name = "n", .name_len = 1, .cost = 1};
  rlc__call asked = {RLC__OP_CHECK, &item, 1, rlc__clock_monotonic_us() + 1000000, 0};

  (void)state;
  assert_int_equal(rlc_policy_new(&policy, NULL, "1/s", NULL, NULL, 0), 0);
  item.policy = policy;
  assert_int_equal(rlc__url_new(&url, "redis://127.0.0.1", NULL, NULL, 0), 0);
  rlc__free(memory, url->host);
  url->host = rlc__strndup(memory, ":::", 3);
  rlc_options_set_allow_unresolved(options, 1);
  assert_int_equal(rlc__redis_store_new(&store, url, options, NULL, 0), 0);
  assert_int_equal(store->ops->decide(store, &asked), RLC__ERR_UNAVAILABLE);
  store->ops->del(store);
  store = NULL;
  rlc_policy_del(policy);
}

/* Each allocation of a store's making may fail: no store, and nothing kept. */
static void memory_test(void **state) {
  failing_memory m = {0, 0};
  rlc_options poor = *options;
  int rv = RLC_ERR_NOMEM;
  int n = 0;

  (void)state;
  assert_int_equal(rlc__url_new(&url, "redis://u:p@127.0.0.1", NULL, NULL, 0), 0);
  poor.memory = failing_functions(&m);
  for (; rv != 0; ++n) {
    m.left = n;
    rv = rlc__redis_store_new(&store, url, &poor, NULL, 0);
    assert_true(rv == 0 || (rv == RLC_ERR_NOMEM && store == NULL && m.held == 0));
  }
  assert_true(n > 4);
  store->ops->del(store);
  store = NULL;
  assert_int_equal(m.held, 0);
}

/* Without memory for a connection there is an error, and the next call goes well. */
static void link_memory_test(void **state) {
  failing_memory m = {-1, 0};

  (void)state;
  options->memory = failing_functions(&m);
  open_store("");
  m.left = 0;
  assert_int_equal(decide(RLC__OP_CHECK, 1, ":200000\r\n"), RLC__ERR_UNAVAILABLE);
  assert_non_null(strstr(line, "out of memory"));
  assert_int_equal(decide(RLC__OP_CHECK, 1, ":200000\r\n"), 0);
  store->ops->del(store);
  store = NULL;
  options->memory = *rlc__memory_or_default(NULL);
  assert_int_equal(m.held, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(check_test, begin, end),
      cmocka_unit_test_setup_teardown(name_test, begin, end),
      cmocka_unit_test_setup_teardown(time_test, begin, end),
      cmocka_unit_test_setup_teardown(reset_test, begin, end),
      cmocka_unit_test_setup_teardown(shape_test, begin, end),
      cmocka_unit_test_setup_teardown(log_test, begin, end),
      cmocka_unit_test_setup_teardown(secret_test, begin, end),
      cmocka_unit_test_setup_teardown(late_test, begin, end),
      cmocka_unit_test_setup_teardown(unusable_test, begin, end),
      cmocka_unit_test_setup_teardown(unresolved_test, begin, end),
      cmocka_unit_test_setup_teardown(memory_test, begin, end),
      cmocka_unit_test_setup_teardown(link_memory_test, begin, end),
  };
  return cmocka_run_group_tests_name("redis_store", tests, NULL, NULL);
}
