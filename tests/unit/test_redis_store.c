/* SPDX-License-Identifier: Apache-2.0 */
#include <hiredis/hiredis.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/memory.h"
#include "failing_memory.h"
#include "redis/client.h"
#include "redis_server.h"
#include "store/redis_codec.h"
#include "store/store.h"

#define SECRET "a secret of 22 letters"
#define MOST_SEEN 8

/* --- a client that answers by the book ------------------------------------------------------ */

struct rlc__client {
  rlc_memory memory;
};

/* What the store told the client, and what the client answers: a reply in the protocol, or "!" and an
 * error's number. `order` has a letter for each begin, wait and end. */
static rlc__client_config told;
static int in_cluster;
static const char *answer[MOST_SEEN];
static char seen[MOST_SEEN][256]; /* the words but the packed argument */
static unsigned char packed[MOST_SEEN][512];
static size_t commands;
static char order[64];

static redisReply *parse(const char *text) {
  redisReader *reader = redisReaderCreate();
  void *reply = NULL;

  assert_int_equal(redisReaderFeed(reader, text, strlen(text)), REDIS_OK);
  assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
  redisReaderFree(reader);
  assert_non_null(reply);
  return reply;
}

static void note(char letter) {
  size_t n = strlen(order);

  assert_true(n + 1 < sizeof order);
  order[n] = letter;
  order[n + 1] = '\0';
}

int rlc__client_new(rlc__client **out, const rlc__client_config *config, const rlc_memory *memory,
                    const rlc__log *log) {
  (void)log;
  told = *config;
  *out = rlc__calloc(memory, 1, sizeof **out);
  if (*out == NULL) {
    return RLC_ERR_NOMEM;
  }
  (*out)->memory = *memory;
  return 0;
}

void rlc__client_del(rlc__client *client) {
  if (client != NULL) {
    rlc_memory memory = client->memory;

    rlc__free(&memory, client);
  }
}

int rlc__client_begin(rlc__client *client, rlc__request *request) {
  char *text = seen[commands];
  size_t n = (size_t)snprintf(text, sizeof *seen, "%s",
                              request->script != NULL ? request->script->name : request->command);

  (void)client;
  assert_true(commands < MOST_SEEN && answer[commands] != NULL);
  for (size_t i = 0; i < request->n_keys; ++i) {
    n += (size_t)snprintf(text + n, sizeof *seen - n, " %s", request->keys[i].at);
    assert_int_equal(request->keys[i].len, strlen(request->keys[i].at));
  }
  if (request->n_args > 0) {
    assert_true(request->args[0].len <= sizeof *packed);
    memcpy(packed[commands], request->args[0].at, request->args[0].len);
  }
  if (request->n_args > 1) {
    snprintf(text + n, sizeof *seen - n, " %.*s", (int)request->args[1].len, request->args[1].at);
  }
  request->slot = (unsigned)commands++;
  note('b');
  return RLC_PENDING;
}

static void give_answer(rlc__request *request) {
  const char *text = answer[request->slot];

  if (text[0] == '!') {
    request->error = rlc__fail(atoi(text + 1), request->why, sizeof request->why,
                               "redis at here:6379: %s", text);
  } else {
    request->reply = parse(text);
  }
}

void rlc__client_wait(rlc__client *client, rlc__request *request) {
  (void)client;
  note('w');
  give_answer(request);
}

/* Every command is looked at once in vain. */
int rlc__client_poll(rlc__client *client, rlc__request *request) {
  (void)client;
  note('p');
  assert_non_null(request->waiter);
  if (++request->tries < 2) {
    return RLC_PENDING;
  }
  give_answer(request);
  return 0;
}

void rlc__client_unwatch(rlc__client *client, const rlc__waiter *waiter) {
  (void)client;
  (void)waiter;
  note('u');
}

void rlc__client_end(rlc__client *client, rlc__request *request) {
  (void)client;
  note('e');
  if (request->reply != NULL) {
    freeReplyObject(request->reply);
  }
  request->reply = NULL;
}

const char *rlc__client_name(const rlc__client *client) {
  (void)client;
  return "here:6379";
}

int rlc__client_is_cluster(const rlc__client *client) {
  (void)client;
  return in_cluster;
}

uint32_t rlc__client_news(rlc__client *client) {
  (void)client;
  return 0;
}

int rlc__client_probe(rlc__client *client) {
  (void)client;
  return 0;
}

void rlc__client_get_stats(const rlc__client *client, rlc__client_stats *stats) {
  (void)client;
  memset(stats, 0, sizeof *stats);
}

/* Number |k| of the argument of command |i|. */
static double number(size_t i, size_t k) {
  uint64_t bits = 0;
  double value;

  for (size_t b = 0; b < 8; ++b) {
    bits |= (uint64_t)packed[i][8 * k + b] << 8 * b;
  }
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* --- a store on it --------------------------------------------------------------------------- */

static char prefix[] = "rl";
static rlc_options *options;
static rlc__url url;
static rlc__store *store;
static rlc_policy *one, *stack;
static rlc__item items[4];
static rlc__call call;

static unsigned warnings, details;
static char line[RLC_MESSAGE_SIZE];

static void keep_line(rlc_log_level level, const char *id, const char *message, void *user) {
  (void)user;
  warnings += level == RLC_LOG_WARNING;
  details += level == RLC_LOG_DEBUG;
  snprintf(line, sizeof line, "%s %s", id, message);
}

static rlc__item item_of(const rlc_policy *policy, const char *key) {
  return (rlc__item){.policy = policy, .key = key, .key_len = strlen(key), .name = policy->name,
                     .name_len = strlen(policy->name), .cost = 1};
}

static int begin(void **state) {
  (void)state;
  warnings = details = 0;
  line[0] = '\0';
  in_cluster = 0;
  if (rlc_options_new(&options, NULL) != 0 ||
      rlc_policy_new(&one, "one", "5/s", NULL, NULL, 0) != 0 ||
      rlc_policy_new(&stack, "stack", "5/s,9/min algorithm=fixed-window", NULL, NULL, 0) != 0) {
    return -1;
  }
  rlc_options_set_log(options, keep_line, NULL);
  url = (rlc__url){.scheme = RLC__SCHEME_REDIS, .prefix = prefix, .servers = 1};
  rlc__endpoint_set(&url.server[0], "here", 4, 6379);
  items[0] = item_of(one, "abc");
  items[1] = item_of(stack, "abc");
  call = (rlc__call){RLC__OP_CHECK, items, 1, 0, 0, 0};
  return 0;
}

static int end(void **state) {
  (void)state;
  if (store != NULL) {
    store->ops->del(store);
  }
  store = NULL;
  rlc_options_del(options);
  rlc_policy_del(one);
  rlc_policy_del(stack);
  return 0;
}

static void open_store(void) {
  char why[RLC_MESSAGE_SIZE] = "";

  if (rlc__redis_store_new(&store, &url, options, why, sizeof why) != 0) {
    fail_msg("%s", why);
  }
}

/* |replies| are as many as commands are expected. */
static int decide(rlc__op op, size_t n, const char *const *replies, size_t expected) {
  int rv;

  commands = 0;
  order[0] = '\0';
  memset(answer, 0, sizeof answer);
  memcpy(answer, replies, expected * sizeof *replies);
  call.op = op;
  call.n = n;
  rv = store->ops->decide(store, &call);
  assert_int_equal(commands, expected);
  return rv;
}

static int decide_one(rlc__op op, size_t n, const char *reply) {
  return decide(op, n, &reply, 1);
}

/* --- one command ----------------------------------------------------------------------------- */

/* A check names its key by prefix, hash, tag and limit, and tells what the script answered. */
static void check_test(void **state) {
  (void)state;
  open_store();
  assert_int_equal(decide_one(RLC__OP_CHECK, 1, ":200000\r\n"), 0);
  assert_string_equal(seen[0], "token-bucket rl:{ungWv48Bz-pBQUDe}:bone");
  assert_int_equal(items[0].result.allowed, 1);
  assert_int_equal(items[0].result.remaining, 4);
  assert_int_equal(items[0].result.source, RLC_SOURCE_STORE);
}

/* Prefix and secret make other names; the secret is nowhere in them. */
static void name_test(void **state) {
  char other[] = "web.1";

  (void)state;
  assert_int_equal(rlc_options_set_secret(options, SECRET, sizeof SECRET - 1), 0);
  url.prefix = other;
  open_store();
  assert_int_equal(decide_one(RLC__OP_CHECK, 1, ":200000\r\n"), 0);
  assert_memory_equal(seen[0], "token-bucket web.1:{", 20);
  assert_null(strstr(seen[0], "ungWv48Bz-pBQUDe"));
  assert_int_equal(strlen(seen[0]), strlen("token-bucket web.1:{ungWv48Bz-pBQUDe}:bone"));
}

/* A test's time is the second argument. */
static void time_test(void **state) {
  (void)state;
  open_store();
  call.now_us = 1790000000000000;
  assert_int_equal(decide_one(RLC__OP_CHECK, 1, ":200000\r\n"), 0);
  assert_string_equal(seen[0], "token-bucket rl:{ungWv48Bz-pBQUDe}:bone 1790000000000000");
}

/* A reset is one DEL of all keys, and every limit is full again. */
static void reset_test(void **state) {
  (void)state;
  open_store();
  items[0].result.remaining = items[1].result.remaining = 99;
  assert_int_equal(decide_one(RLC__OP_RESET, 2, ":0\r\n"), 0);
  assert_string_equal(seen[0], "DEL rl:{ungWv48Bz-pBQUDe}:bone rl:{ungWv48Bz-pBQUDe}:Fstack");
  assert_int_equal(items[0].result.remaining, 5);
  assert_int_equal(items[1].result.remaining, 5);
  assert_int_equal(items[1].result.source, RLC_SOURCE_STORE);
}

/* Replies that are well formed and none of ours make an error, never a decision. */
static void shape_test(void **state) {
  const char *const said[] = {
      "+OK\r\n", "$-1\r\n", "*0\r\n", "$3\r\n100\r\n", "*2\r\n:1\r\n$1\r\na\r\n",
      "*2\r\n:1\r\n:2\r\n", "*1\r\n*1\r\n:1\r\n", ":99999999999999999\r\n",
  };

  (void)state;
  open_store();
  for (size_t i = 0; i < sizeof said / sizeof *said; ++i) {
    assert_int_equal(decide_one(RLC__OP_CHECK, 2, said[i]), RLC__ERR_PROTOCOL);
  }
  assert_int_equal(decide_one(RLC__OP_CHECK, 1, "+OK\r\n"), RLC__ERR_PROTOCOL);
  assert_int_equal(decide_one(RLC__OP_RESET, 1, "+OK\r\n"), RLC__ERR_PROTOCOL);
  assert_non_null(strstr(line, "RLC0301 redis at here:6379: the answer to DEL"));
}

/* The first of many failures is a warning with the server's reason, the rest are details. */
static void log_test(void **state) {
  (void)state;
  open_store();
  for (int i = 0; i < 5; ++i) {
    assert_int_equal(decide_one(RLC__OP_CHECK, 1, "!-103"), RLC__ERR_REFUSED);
  }
  assert_int_equal(warnings, 1);
  assert_int_equal(details, 4);
  assert_string_equal(line, "RLC0301 redis at here:6379: !-103");
}

/* --- windows of the calendar ----------------------------------------------------------------- */

#define MAY_1 INT64_C(1682899200)
#define ELSEWHEN "*1\r\n:1684000000000000\r\n" /* 2023-05-13 */

static rlc_policy *monthly(void) {
  rlc_policy *policy;

  assert_int_equal(rlc_policy_new(&policy, "m", "5/month algorithm=fixed-window", NULL, NULL, 0), 0);
  items[0] = item_of(policy, "abc");
  return policy;
}

/* The month is sent with those beside it, and the answer tells of the server's. */
static void month_test(void **state) {
  rlc_policy *policy = monthly();

  (void)state;
  open_store();
  call.now_us = 1684000000000000;
  assert_int_equal(decide_one(RLC__OP_CHECK, 1, "*2\r\n:2\r\n:1684000000000000\r\n"), 0);
  assert_string_equal(seen[0], "calendar-window rl:{ungWv48Bz-pBQUDe}:fm 1684000000000000");
  assert_true(number(0, 0) == 1 && number(0, 1) == 5);
  assert_true(number(0, 2) == MAY_1 && number(0, 3) == MAY_1 + 31 * 86400);
  assert_true(number(0, 4) == MAY_1 - 30 * 86400 && number(0, 5) == MAY_1 + 61 * 86400);
  assert_int_equal(items[0].result.remaining, 3);
  assert_int_equal(items[0].result.window_us, INT64_C(31) * 86400 * 1000000);
  assert_int_equal(items[0].result.reset_us, (MAY_1 + 31 * 86400 - 1684000000) * 1000000);
  assert_int_equal(decide_one(RLC__OP_CHECK, 1, "*2\r\n:-6\r\n:1684000000000000\r\n"), 0);
  assert_int_equal(items[0].result.allowed, 0);
  assert_int_equal(items[0].result.retry_us, items[0].result.reset_us);
  rlc_policy_del(policy);
}

/* A server in another month than this machine does nothing and tells the time; its month is sent then,
 * and first of all from then on. */
static void elsewhen_test(void **state) {
  const char *const replies[] = {ELSEWHEN, "*2\r\n:1\r\n:1684000000000009\r\n"};
  rlc_policy *policy = monthly();

  (void)state;
  open_store();
  assert_int_equal(decide(RLC__OP_CHECK, 1, replies, 2), 0);
  assert_string_equal(order, "bwebwe");
  assert_string_equal(seen[0], seen[1]);
  assert_true(number(0, 4) > MAY_1 + 61 * 86400);
  assert_true(number(1, 2) == MAY_1 && number(1, 3) == MAY_1 + 31 * 86400);
  assert_int_equal(items[0].result.remaining, 4);
  assert_int_equal(decide_one(RLC__OP_CHECK, 1, replies[1]), 0);
  assert_true(number(0, 2) == MAY_1);
  rlc_policy_del(policy);
}

/* In several parts, only the one that has not run is sent again; what others charged stands. */
static void elsewhen_part_test(void **state) {
  const char *const replies[] = {
      ELSEWHEN, "*3\r\n:1\r\n:1000000000\r\n:1000200000\r\n",
      "*4\r\n:1\r\n:1684000000000009\r\n:1685577600\r\n:1\r\n"};
  rlc_policy *policy = monthly();

  (void)state;
  in_cluster = 1;
  items[1] = item_of(one, "def");
  open_store();
  assert_int_equal(decide(RLC__OP_CHECK, 2, replies, 3), 0);
  assert_string_equal(order, "bbwwebwee");
  assert_string_equal(seen[2], seen[0]);
  assert_true(number(2, 0) == 4 && number(2, 1) == MAY_1 - 30 * 86400 &&
              number(2, 2) == MAY_1 + 61 * 86400);
  assert_int_equal(items[0].result.remaining, 4);
  assert_int_equal(items[1].result.remaining, 4);
  rlc_policy_del(policy);
}

/* A clock that is never where it was said to be makes an error in the end; without a calendar such an
 * answer is nonsense at once. */
static void nowhen_test(void **state) {
  const char *const replies[] = {ELSEWHEN, ELSEWHEN, ELSEWHEN};
  rlc_policy *policy = monthly();

  (void)state;
  open_store();
  assert_int_equal(decide(RLC__OP_CHECK, 1, replies, 3), RLC__ERR_PROTOCOL);
  rlc_policy_del(policy);
  items[0] = item_of(stack, "abc");
  assert_int_equal(decide_one(RLC__OP_CHECK, 1, ELSEWHEN), RLC__ERR_PROTOCOL);
}

/* --- making ---------------------------------------------------------------------------------- */

/* The client is told what the URL says, then the options, then what is usual. */
static void config_test(void **state) {
  (void)state;
  open_store();
  assert_int_equal(told.topology, RLC__SINGLE);
  assert_int_equal(told.connections, 8);
  assert_int_equal(told.timeout_us, 25000);
  assert_null(told.tls);
  store->ops->del(store);
  url.scheme = RLC__SCHEME_REDIS_CLUSTER;
  url.connections = 3;
  assert_int_equal(rlc_options_set_timeout_us(options, 50000), 0);
  open_store();
  assert_int_equal(told.topology, RLC__CLUSTER);
  assert_int_equal(told.connections, 3);
  assert_int_equal(told.timeout_us, 50000);
  store->ops->del(store);
  url.scheme = RLC__SCHEME_REDIS_SENTINEL;
  url.timeout_us = 7000;
  open_store();
  assert_int_equal(told.topology, RLC__SENTINEL);
  assert_int_equal(told.timeout_us, 7000);
}

/* A store that cannot be: its maker says why, and makes none. */
static void unusable_test(void **state) {
  char ca[] = "/nonexistent/ca.pem";
  char why[RLC_MESSAGE_SIZE] = "";

  (void)state;
  url.tls = 1;
  url.ca = ca;
  store = (rlc__store *)1;
  assert_int_equal(rlc__redis_store_new(&store, &url, options, why, sizeof why), RLC_ERR_URL);
  assert_null(store);
  assert_non_null(strstr(why, "ca="));
}

/* Each allocation of a store's making may fail: no store, and nothing kept. */
static void memory_test(void **state) {
  failing_memory m = {0, 0};
  rlc_options poor = *options;
  int rv = RLC_ERR_NOMEM;
  int n = 0;

  (void)state;
  poor.memory = failing_functions(&m);
  for (; rv != 0; ++n) {
    m.left = n;
    rv = rlc__redis_store_new(&store, &url, &poor, NULL, 0);
    assert_true(rv == 0 || (rv == RLC_ERR_NOMEM && store == NULL && m.held == 0));
  }
  assert_true(n > 3);
  store->ops->del(store);
  store = NULL;
  assert_int_equal(m.held, 0);
}

/* --- several parts --------------------------------------------------------------------------- */

#define CHARGED "*3\r\n:1\r\n:1000000000\r\n:1000200000\r\n" /* one of five */
#define DENIED "*3\r\n:0\r\n:1000000000\r\n:1001000000\r\n"  /* none is left */
#define TAKEN "*3\r\n:1\r\n:1000000050\r\n:0\r\n"

static void open_cluster(void) {
  in_cluster = 1;
  items[0] = item_of(one, "abc");
  items[1] = item_of(one, "def");
  open_store();
}

/* Limits that share a slot are one command; all commands are begun before one is waited for, and each
 * result comes to its own limit. */
static void parts_test(void **state) {
  const char *const replies[] = {
      "*7\r\n:1\r\n:1000000000\r\n:1000200000\r\n:1001\r\n:2\r\n:1020\r\n:3\r\n",
      "*3\r\n:1\r\n:1000000000\r\n:1000400000\r\n"};

  (void)state;
  open_cluster();
  items[2] = item_of(stack, "abc");
  assert_int_equal(decide(RLC__OP_CHECK, 3, replies, 2), 0);
  assert_string_equal(order, "bbwwee");
  assert_string_equal(seen[0], "several rl:{ungWv48Bz-pBQUDe}:bone rl:{ungWv48Bz-pBQUDe}:Fstack");
  assert_memory_equal(seen[1], "several rl:{", 12);
  assert_int_equal(items[0].result.remaining, 4);
  assert_int_equal(items[1].result.remaining, 3);
  assert_int_equal(items[2].result.remaining, 3);
  assert_true(items[0].result.allowed && items[1].result.allowed && items[2].result.allowed);
}

static void join(rlc__item *item, const char *group) {
  item->group = group;
  item->group_len = strlen(group);
}

/* Limits of one group are one command, whatever their keys, and with them a limit without a group
 * whose key is the group's text. (Python's hashlib gave the hashes.) */
static void group_test(void **state) {
  static const char *const reply =
      "*5\r\n:1\r\n:1000000000\r\n:1000200000\r\n:1000400000\r\n:1000600000\r\n";

  (void)state;
  open_cluster();
  items[2] = item_of(one, "tenant");
  join(&items[0], "tenant");
  join(&items[1], "tenant");
  assert_int_equal(decide_one(RLC__OP_CHECK, 3, reply), 0);
  assert_string_equal(seen[0], "several rl:{6dqG01HPmnZC2MUB}ungWv48Bz-pBQUDe:bone "
                               "rl:{6dqG01HPmnZC2MUB}y4N5rCCYqhZQKeOT:bone "
                               "rl:{6dqG01HPmnZC2MUB}:bone");
  assert_string_equal(order, "bwe");
  assert_int_equal(items[0].result.remaining, 4);
  assert_int_equal(items[1].result.remaining, 3);
  assert_int_equal(items[2].result.remaining, 2);
}

/* One key in two groups and in none is three states in three slots; none is taken for another because
 * it stands beside it. */
static void groups_test(void **state) {
  static const char *const replies[] = {":1\r\n", ":1\r\n", ":1\r\n"};

  (void)state;
  open_cluster();
  items[1] = items[2] = items[3] = items[0];
  join(&items[1], "tenant");
  join(&items[2], "def");
  join(&items[3], "tenant");
  items[3].name = "two";
  assert_int_equal(decide(RLC__OP_RESET, 4, replies, 3), 0);
  assert_string_equal(seen[0], "DEL rl:{ungWv48Bz-pBQUDe}:bone");
  assert_string_equal(seen[1], "DEL rl:{6dqG01HPmnZC2MUB}ungWv48Bz-pBQUDe:bone "
                               "rl:{6dqG01HPmnZC2MUB}ungWv48Bz-pBQUDe:btwo");
  assert_string_equal(seen[2], "DEL rl:{y4N5rCCYqhZQKeOT}ungWv48Bz-pBQUDe:bone");
}

/* In a cluster, too, limits of one slot are one command, the same as elsewhere. */
static void one_part_test(void **state) {
  (void)state;
  open_cluster();
  assert_int_equal(decide_one(RLC__OP_CHECK, 1, ":200000\r\n"), 0);
  assert_string_equal(seen[0], "token-bucket rl:{ungWv48Bz-pBQUDe}:bone");
  assert_int_equal(decide_one(RLC__OP_RESET, 1, ":1\r\n"), 0);
  assert_string_equal(order, "bwe");
}

/* A stack of buckets is sent with all its levels in one double, the reply's are those of its state. */
static void bucket_stack_test(void **state) {
  const uint64_t levels = UINT64_C(1) << 62 | 433 << 10 | 339;
  const double expected[] = {0, 200000, 6000000, 1000000, 60000000, 200000, 6000000};
  const char *const wrong[] = {":1\r\n", "$0\r\n\r\n", "$24\r\n123456789012345678901234\r\n",
                               "$32\r\n12345678901234567890123456789012\r\n"};
  rlc_policy *buckets;
  double sent;

  (void)state;
  assert_int_equal(rlc_policy_new(&buckets, "buckets", "5/s,10/min", NULL, NULL, 0), 0);
  open_store();
  items[0] = item_of(buckets, "abc");
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; ++i) {
    assert_int_equal(decide_one(RLC__OP_CHECK, 1, wrong[i]), RLC__ERR_PROTOCOL);
    assert_string_equal(seen[0], "token-bucket-stack rl:{ungWv48Bz-pBQUDe}:Bbuckets");
  }
  sent = number(0, 0);
  assert_memory_equal(&sent, &levels, sizeof sent);
  for (size_t k = 1; k < sizeof expected / sizeof *expected; ++k) {
    assert_true(number(0, k) == expected[k]);
  }
  rlc_policy_del(buckets);
}

/* One part denies: what the other has charged is taken back, with the time of the charge, and the
 * results tell of the state before. */
static void denied_test(void **state) {
  const double expected[] = {3, 1000000000, RLC_TOKEN_BUCKET, 1, 200000, 1000000, 0x1p-339,
                             200000, 1, 1};
  const char *const replies[] = {CHARGED, DENIED, TAKEN};

  (void)state;
  open_cluster();
  assert_int_equal(decide(RLC__OP_CHECK, 2, replies, 3), 0);
  assert_string_equal(order, "bbwwebwee");
  assert_string_equal(seen[2], seen[0]);
  for (size_t k = 0; k < sizeof expected / sizeof *expected; ++k) {
    assert_true(number(2, k) == expected[k]);
  }
  assert_int_equal(items[0].result.allowed, 1);
  assert_int_equal(items[0].result.remaining, 5);
  assert_int_equal(items[0].result.reset_us, 0);
  assert_int_equal(items[1].result.allowed, 0);
  assert_int_equal(items[1].result.remaining, 0);
  assert_int_equal(items[1].result.retry_us, 200000);
}

/* The first part denies and two others allow: both are taken back, at once. */
static void first_denied_test(void **state) {
  const char *const replies[] = {DENIED, CHARGED, CHARGED, TAKEN, TAKEN};

  (void)state;
  open_cluster();
  items[2] = item_of(one, "ghi");
  assert_int_equal(decide(RLC__OP_CHECK, 3, replies, 5), 0);
  assert_string_equal(order, "bbbwwwebebwweee");
  assert_string_equal(seen[3], seen[1]);
  assert_string_equal(seen[4], seen[2]);
  assert_int_equal(items[2].result.remaining, 5);
}

/* One part fails, or answers nonsense: that is the answer, and the other's charge is taken back. */
static void failed_test(void **state) {
  const char *const lost[] = {CHARGED, "!-102", TAKEN};
  const char *const nonsense[] = {"+OK\r\n", CHARGED, TAKEN};

  (void)state;
  open_cluster();
  assert_int_equal(decide(RLC__OP_CHECK, 2, lost, 3), RLC__ERR_UNAVAILABLE);
  assert_string_equal(seen[2], seen[0]);
  assert_int_equal(decide(RLC__OP_CHECK, 2, nonsense, 3), RLC__ERR_PROTOCOL);
  assert_string_equal(seen[2], seen[1]);
  assert_true(number(2, 0) == 3);
}

/* A part that denied, or may have charged without saying so, is not taken back. */
static void nothing_taken_test(void **state) {
  const char *const replies[] = {DENIED, "!-101"};

  (void)state;
  open_cluster();
  assert_int_equal(decide(RLC__OP_CHECK, 2, replies, 2), RLC__ERR_TIMEOUT);
  assert_string_equal(order, "bbwwee");
}

/* A take-back without an answer changes no result, and is logged. */
static void late_test(void **state) {
  const char *const replies[] = {CHARGED, DENIED, "!-101"};

  (void)state;
  open_cluster();
  assert_int_equal(decide(RLC__OP_CHECK, 2, replies, 3), 0);
  assert_int_equal(items[0].result.remaining, 5);
  assert_int_equal(items[1].result.allowed, 0);
  assert_string_equal(line, "RLC0301 redis at here:6379: !-101");
}

/* The other operations are a command for each slot; one that fails is the answer. */
static void others_test(void **state) {
  const char *const dels[] = {":1\r\n", ":0\r\n"};
  const char *const peeks[] = {":200000\r\n", ":-200001\r\n"};
  const char *const refunds[] = {CHARGED, "!-104"};

  (void)state;
  open_cluster();
  assert_int_equal(decide(RLC__OP_RESET, 2, dels, 2), 0);
  assert_memory_equal(seen[1], "DEL rl:{", 8);
  assert_int_equal(items[1].result.remaining, 5);
  assert_int_equal(decide(RLC__OP_PEEK, 2, peeks, 2), 0);
  assert_memory_equal(seen[1], "token-bucket ", 13);
  assert_int_equal(decide(RLC__OP_REFUND, 2, refunds, 2), RLC__ERR_PROTOCOL);
  assert_string_equal(order, "bbwwee");
}

/* --- without waiting ------------------------------------------------------------------------- */

/* Submitted, a check waits for nothing: it is looked at again until all of its parts have answered, and
 * what they charged is taken back as it is for one that waits. */
static void submit_test(void **state) {
  const char *const replies[] = {CHARGED, DENIED, TAKEN};
  rlc__waiter waiter;
  void *pending = NULL;

  (void)state;
  open_cluster();
  assert_int_equal(rlc__waiter_init(&waiter), 0);
  commands = 0;
  order[0] = '\0';
  memset(answer, 0, sizeof answer);
  memcpy(answer, replies, sizeof replies);
  call.op = RLC__OP_CHECK;
  call.n = 2;
  assert_int_equal(store->ops->submit(store, &call, &waiter, &pending), RLC_PENDING);
  assert_string_equal(order, "bb");
  assert_int_equal(store->ops->advance(store, pending), RLC_PENDING);
  assert_int_equal(store->ops->advance(store, pending), RLC_PENDING);
  assert_int_equal(store->ops->advance(store, pending), 0);
  assert_string_equal(order, "bbppppebppee");
  assert_int_equal(items[0].result.remaining, 5);
  assert_int_equal(items[1].result.allowed, 0);
  store->ops->unwatch(store, &waiter);
  rlc__waiter_destroy(&waiter);
}

/* One that is abandoned ends its requests and is gone. */
static void abandon_test(void **state) {
  const char *const replies[] = {CHARGED, CHARGED};
  rlc__waiter waiter;
  void *pending = NULL;

  (void)state;
  open_cluster();
  assert_int_equal(rlc__waiter_init(&waiter), 0);
  commands = 0;
  order[0] = '\0';
  memcpy(answer, replies, sizeof replies);
  call.op = RLC__OP_CHECK;
  call.n = 2;
  assert_int_equal(store->ops->submit(store, &call, &waiter, &pending), RLC_PENDING);
  store->ops->abandon(store, pending);
  assert_string_equal(order, "bbee");
  rlc__waiter_destroy(&waiter);
}

/* --- taking back, on a server ---------------------------------------------------------------- */

#define STEPS 1500
#define MOST_OPEN 4

static redis_server server;
static redisContext *link_to;
static uint64_t seed;
static unsigned char arg[RLC__CODEC_ARG_SIZE];

static uint64_t below(uint64_t n) {
  seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (seed >> 33) % n;
}

static redisReply *ask(const rlc__command *command, const char *key) {
  redisReply *reply =
      redisCommand(link_to, "EVAL %b 1 %s %b %b", command->script->text, command->script->len, key,
                   command->arg, command->arg_len, command->now, command->now_len);

  assert_non_null(reply);
  if (reply->type == REDIS_REPLY_ERROR) {
    fail_msg("%s", reply->str);
  }
  return reply;
}

/* What a check of |cost| would be told. */
static rlc_result before(const char *key, const rlc_policy *policy, int64_t now, uint64_t cost) {
  rlc__item item = {.policy = policy, .cost = cost};
  rlc__call peek = {RLC__OP_PEEK, &item, 1, 0, now, 0};
  rlc__command command;
  redisReply *reply;

  rlc__codec_encode(&peek, 1, now, arg, &command);
  reply = ask(&command, key);
  assert_int_equal(rlc__codec_decode(&command, &peek, reply), 0);
  freeReplyObject(reply);
  return item.result;
}

/* A check of |cost| on the server, as part of a larger one. Returns whether it was charged. A log's result
 * then is made what it was before. */
static int charge(const char *key, const rlc_policy *policy, int64_t now, uint64_t cost) {
  rlc__item item = {.policy = policy, .cost = cost};
  rlc__call check = {RLC__OP_CHECK, &item, 1, 0, now, 0};
  rlc_result was = before(key, policy, now, cost);
  rlc__command command;
  redisReply *reply;

  rlc__codec_encode(&check, 1, now, arg, &command);
  reply = ask(&command, key);
  assert_int_equal(rlc__codec_decode(&command, &check, reply), 0);
  if (item.result.allowed) {
    assert_true(rlc__codec_undo(&check, reply, 0) == now);
    if (rlc__is_log(policy->algorithm)) {
      assert_memory_equal(&item.result, &was, sizeof was);
    }
  }
  freeReplyObject(reply);
  return item.result.allowed;
}

static void give_back(const char *key, const rlc_policy *policy, int64_t now, uint64_t cost,
                      int64_t charged) {
  rlc__item item = {.policy = policy, .cost = cost};
  rlc__call check = {RLC__OP_CHECK, &item, 1, 0, now, 0};
  rlc__command command;

  rlc__codec_encode_take_back(&check, charged, arg, &command);
  freeReplyObject(ask(&command, key));
}

static uint64_t left(const char *key, const rlc_policy *policy, int64_t now) {
  rlc__item item = {.policy = policy, .cost = 1};
  rlc__call peek = {RLC__OP_PEEK, &item, 1, 0, now, 0};
  rlc__command command;
  redisReply *reply;

  rlc__codec_encode(&peek, 1, now, arg, &command);
  reply = ask(&command, key);
  assert_int_equal(rlc__codec_decode(&command, &peek, reply), 0);
  freeReplyObject(reply);
  return item.result.remaining;
}

static int connect_server(void **state) {
  (void)state;
  if (redis_server_start(&server) != 0) {
    return -1;
  }
  link_to = redisConnectUnix(server.socket);
  return link_to != NULL && link_to->err == 0 ? 0 : -1;
}

static int disconnect_server(void **state) {
  (void)state;
  redisFree(link_to);
  redis_server_stop(&server);
  return 0;
}

static const char *const policies[] = {
    "5/s", "7/3s burst=20", "999/min", "9/2s,11/3s", "5/s algorithm=fixed-window",
    "5/s,9/4s algorithm=fixed-window", "6/2s algorithm=sliding-window",
    "5/s,9/4s algorithm=sliding-window", "50/s", "5/s algorithm=sliding-log",
    "5/s,9/4s algorithm=sliding-log", "6/2s algorithm=concurrency",
    "400/day algorithm=fixed-window align=calendar tz=Asia/Kathmandu",
    "5/s,600/day algorithm=fixed-window align=calendar tz=Asia/Kathmandu"};
#define CALENDARS 2 /* of them, at the end */

/* Several checks are charged and taken back at random times, by each other, while others charge:
 * what the others are admitted, they would be admitted had the several never been. */
static void never_more_test(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof policies / sizeof *policies; ++i) {
    uint64_t without[RLC__LOG_WORDS] = {0};
    struct { int64_t at; uint64_t cost; } open[MOST_OPEN];
    unsigned n = 0, admitted = 0, taken = 0;
    int64_t now = 1790000000000000;
    rlc_policy *policy;
    char key[16];

    snprintf(key, sizeof key, "a%zu", i);
    assert_int_equal(rlc_policy_new(&policy, "p", policies[i], NULL, NULL, 0), 0);
    seed = i;
    for (int step = 0; step < STEPS; ++step) {
      uint64_t cost = 1 + below(3);
      uint64_t chance = below(4);

      now += (int64_t)(below(3) == 0 ? below(700000) : below(3) == 0 ? below(40000) : below(3));
      if (chance == 0 && n < MOST_OPEN) {
        if (charge(key, policy, now, cost)) {
          open[n].at = now;
          open[n++].cost = cost;
        }
      } else if (chance < 3 && n > 0) {
        unsigned k = (unsigned)below(n);

        give_back(key, policy, now, open[k].cost, open[k].at);
        open[k] = open[--n];
        ++taken;
      } else if (charge(key, policy, now, cost)) {
        ++admitted;
        if (!(rlc__algorithm_step(policy, without, RLC__OP_CHECK, now, cost) & RLC__STEP_ALLOWED)) {
          fail_msg("%s: step %d admits too much", policies[i], step);
        }
      }
    }
    assert_true(admitted > 10 && taken > 50);
    rlc_policy_del(policy);
  }
}

/* What is taken back in the same microsecond is all there again. */
static void restored_test(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof policies / sizeof *policies; ++i) {
    int64_t now = 1790000000300000;
    rlc_policy *policy;
    uint64_t before;
    char key[16];

    snprintf(key, sizeof key, "b%zu", i);
    assert_int_equal(rlc_policy_new(&policy, "p", policies[i], NULL, NULL, 0), 0);
    assert_true(charge(key, policy, now, 1));
    before = left(key, policy, now);
    assert_true(charge(key, policy, now, 2));
    assert_int_equal(left(key, policy, now), before - 2);
    give_back(key, policy, now, 2, now);
    assert_int_equal(left(key, policy, now), before);
    rlc_policy_del(policy);
  }
}

/* A window that has ended, and one that the clock has not come to, get nothing back; nor does a state
 * that lies ahead of a clock that was set back. */
static void other_window_test(void **state) {
  const int64_t now = 1790000000300000;

  (void)state;
  for (size_t i = 0; i < sizeof policies / sizeof *policies - CALENDARS; ++i) {
    rlc_policy *policy;
    uint64_t before;
    char key[16];

    snprintf(key, sizeof key, "c%zu", i);
    assert_int_equal(rlc_policy_new(&policy, "p", policies[i], NULL, NULL, 0), 0);
    assert_true(charge(key, policy, now + 60000000, 2));
    before = left(key, policy, now + 60000000);
    give_back(key, policy, now + 60000000, 2, now);
    give_back(key, policy, now + 60000000, 2, now + 120000000);
    give_back(key, policy, now, 2, now);
    assert_int_equal(left(key, policy, now + 60000000), before);
    rlc_policy_del(policy);
  }
}

/* The same for windows of the calendar: all of it in the same day, nothing in another, nothing where
 * the day is not one of those that are known. */
static void calendar_window_test(void **state) {
  static const char *const texts[] = {
      "50/day algorithm=fixed-window align=calendar tz=Asia/Kathmandu",
      "9/s,50/day algorithm=fixed-window align=calendar tz=Asia/Kathmandu",
      "99/month,50/day algorithm=fixed-window align=calendar tz=Asia/Kathmandu"};
  const int64_t day = INT64_C(86400000000);
  const int64_t midnight = 1700072100000000; /* in Nepal */

  (void)state;
  for (size_t i = 0; i < sizeof texts / sizeof *texts; ++i) {
    rlc_policy *policy;
    char key[16];

    snprintf(key, sizeof key, "f%zu", i);
    assert_int_equal(rlc_policy_new(&policy, "p", texts[i], NULL, NULL, 0), 0);
    assert_true(charge(key, policy, midnight - 1, 3));
    assert_true(charge(key, policy, midnight, 4));
    give_back(key, policy, midnight, 3, midnight - 1);
    give_back(key, policy, midnight + day / 2, 4, midnight - 1);
    give_back(key, policy, midnight, 4, midnight + 1);
    give_back(key, policy, midnight - 1, 4, midnight - 1);
    give_back(key, policy, midnight + 5, 4, midnight - 9 * day);
    if (policy->rates == 1) {
      assert_int_equal(left(key, policy, midnight + 1), 46);
    }
    give_back(key, policy, midnight + 1, 4, midnight);
    assert_true(charge(key, policy, midnight + day - 1, 5));
    give_back(key, policy, midnight + day - 1, 4, midnight);
    if (policy->rates == 1) {
      assert_int_equal(left(key, policy, midnight + day - 1), 49);
    }
    rlc_policy_del(policy);
  }
}

/* What the refill has brought since the charge is not given a second time. */
static void refilled_test(void **state) {
  const int64_t now = 1790000000000000;
  rlc_policy *policy;

  (void)state;
  assert_int_equal(rlc_policy_new(&policy, "p", "5/s", NULL, NULL, 0), 0);
  assert_true(charge("d", policy, now, 2));
  assert_true(charge("d", policy, now + 400000, 5));
  give_back("d", policy, now + 400000, 2, now);
  assert_int_equal(left("d", policy, now + 400000), 0);
  give_back("d", policy, now + 400000, 2, now + 200000);
  assert_int_equal(left("d", policy, now + 400000), 1);
  rlc_policy_del(policy);
}

/* Where a charge taken back has let the bucket fill sooner, a later one gives nothing for that time:
 * how full the bucket was after a charge says too little. */
static void sooner_test(void **state) {
  const int64_t now = 1790000000000000;
  rlc_policy *policy;

  (void)state;
  assert_int_equal(rlc_policy_new(&policy, "p", "10/s", NULL, NULL, 0), 0);
  assert_true(charge("e", policy, now, 2));
  assert_true(charge("e", policy, now, 2));
  give_back("e", policy, now, 2, now);
  assert_true(charge("e", policy, now + 300000, 10));
  give_back("e", policy, now + 300000, 2, now);
  assert_int_equal(left("e", policy, now + 300000), 0);
  rlc_policy_del(policy);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(check_test, begin, end),
      cmocka_unit_test_setup_teardown(name_test, begin, end),
      cmocka_unit_test_setup_teardown(time_test, begin, end),
      cmocka_unit_test_setup_teardown(reset_test, begin, end),
      cmocka_unit_test_setup_teardown(shape_test, begin, end),
      cmocka_unit_test_setup_teardown(log_test, begin, end),
      cmocka_unit_test_setup_teardown(month_test, begin, end),
      cmocka_unit_test_setup_teardown(elsewhen_test, begin, end),
      cmocka_unit_test_setup_teardown(elsewhen_part_test, begin, end),
      cmocka_unit_test_setup_teardown(nowhen_test, begin, end),
      cmocka_unit_test_setup_teardown(config_test, begin, end),
      cmocka_unit_test_setup_teardown(unusable_test, begin, end),
      cmocka_unit_test_setup_teardown(memory_test, begin, end),
      cmocka_unit_test_setup_teardown(parts_test, begin, end),
      cmocka_unit_test_setup_teardown(group_test, begin, end),
      cmocka_unit_test_setup_teardown(groups_test, begin, end),
      cmocka_unit_test_setup_teardown(one_part_test, begin, end),
      cmocka_unit_test_setup_teardown(bucket_stack_test, begin, end),
      cmocka_unit_test_setup_teardown(denied_test, begin, end),
      cmocka_unit_test_setup_teardown(first_denied_test, begin, end),
      cmocka_unit_test_setup_teardown(failed_test, begin, end),
      cmocka_unit_test_setup_teardown(nothing_taken_test, begin, end),
      cmocka_unit_test_setup_teardown(late_test, begin, end),
      cmocka_unit_test_setup_teardown(others_test, begin, end),
      cmocka_unit_test_setup_teardown(submit_test, begin, end),
      cmocka_unit_test_setup_teardown(abandon_test, begin, end),
      cmocka_unit_test(never_more_test),
      cmocka_unit_test(restored_test),
      cmocka_unit_test(other_window_test),
      cmocka_unit_test(calendar_window_test),
      cmocka_unit_test(refilled_test),
      cmocka_unit_test(sooner_test),
  };
  return cmocka_run_group_tests_name("redis_store", tests, connect_server, disconnect_server);
}
