/* SPDX-License-Identifier: Apache-2.0 */

/* The index in Redis: the contract, what is left there, and what becomes of it when the server loses
 * something, changes meanwhile, or is none. */

#include "index_help.h"

#include <hiredis/hiredis.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "failing_memory.h"
#include "fake_server.h"
#include "redis/client.h"
#include "redis/cluster.h"
#include "redis/keyname.h"
#include "redis_server.h"

static redis_server server;
static redisContext *direct; /* as everybody's user, who may do all */
static rlc__store *store;

/* --- between the commands of a call ---------------------------------------------------------- */

static unsigned begun; /* commands */
static unsigned hook_at;
static void (*hook)(void);

int __real_rlc__client_begin(rlc__client *client, rlc__request *request);
int __wrap_rlc__client_begin(rlc__client *client, rlc__request *request);

int __wrap_rlc__client_begin(rlc__client *client, rlc__request *request) {
  if (++begun == hook_at && hook != NULL) {
    hook_at = 0;
    hook();
  }
  return __real_rlc__client_begin(client, request);
}

/* --- servers and stores ----------------------------------------------------------------------- */

static rlc__store *open_store(const char *text, const rlc_memory *memory) {
  rlc_options *options;
  rlc__url *url;
  rlc__store *made;
  char why[RLC_MESSAGE_SIZE];

  assert_int_equal(rlc__url_new(&url, text, rlc__memory_or_default(NULL), why, sizeof why), 0);
  assert_int_equal(rlc_options_new(&options, memory), 0);
  assert_int_equal(rlc_options_set_secret(options, "sixteen letters!", 16), 0);
  if (rlc__redis_store_new(&made, url, options, why, sizeof why) != 0) {
    fail_msg("%s", why);
  }
  rlc_options_del(options);
  rlc__url_del(url);
  return made;
}

static redisReply *ask(const char *format, ...) {
  redisReply *reply;
  va_list args;

  va_start(args, format);
  reply = redisvCommand(direct, format, args);
  va_end(args);
  assert_non_null(reply);
  if (reply->type == REDIS_REPLY_ERROR) {
    fail_msg("%s: %s", format, reply->str);
  }
  return reply;
}

/* An integer, or 1 for OK. */
static long long number(const char *command) {
  redisReply *reply = ask(command);
  long long n = reply->type == REDIS_REPLY_INTEGER ? reply->integer : 1;

  freeReplyObject(reply);
  return n;
}

static void connect_direct(void) {
  direct = redisConnectUnix(server.socket);
  assert_int_equal(direct->err, 0);
}

static int start_server(void **state) {
  (void)state;
  assert_int_equal(redis_server_start(&server), 0);
  connect_direct();
  return 0;
}

static int start_cluster(void **state) {
  (void)state;
  assert_int_equal(redis_server_start_cluster(&server), 0);
  connect_direct();
  return 0;
}

static int stop_server(void **state) {
  (void)state;
  redisFree(direct);
  redis_server_stop(&server);
  return 0;
}

/* Each test has an empty server and a store on it. */
static int set_up(void **state) {
  (void)state;
  number("FLUSHALL");
  store = open_store(server.url, NULL);
  hook_at = 0;
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  store->ops->del(store);
  return 0;
}

/* --- the contract ------------------------------------------------------------------------------ */

static void test_contract(void **state) {
  static void (*const parts[])(rlc__store *) = {
      contract_identify, contract_kinds,     contract_end,      contract_escalation,
      contract_unban,    contract_backwards, contract_refusals, contract_batch,    contract_shorter};

  (void)state;
  for (size_t i = 0; i < sizeof parts / sizeof *parts; ++i) {
    number("FLUSHALL");
    parts[i](store);
  }
  number("FLUSHALL");
  contract_random(store, 4000);
  number("FLUSHALL");
  contract_dropped(store, 1200);
}

static void test_full(void **state) {
  (void)state;
  contract_flood(store, RLC_MAX_ENTRIES);
  number("FLUSHALL");
  contract_full(store, RLC_MAX_ENTRIES);
}

/* Keys are hashed as those of decisions are, with the limiter's secret. */
static void test_identify(void **state) {
  char hash[RLC__ENTRY_HASH];
  rlc__keyname *names;
  EVP_MD_CTX *work = EVP_MD_CTX_new();
  char expected[RLC__KEYNAME_HASH];

  (void)state;
  assert_int_equal(rlc__keyname_new(&names, "rl", "sixteen letters!", 16,
                                    rlc__memory_or_default(NULL)),
                   0);
  assert_int_equal(rlc__keyname_hash(names, work, "key", 3, expected), 0);
  assert_int_equal(store->ops->identify(store, "key", 3, hash), 0);
  assert_memory_equal(hash, expected, sizeof hash);
  EVP_MD_CTX_free(work);
  rlc__keyname_del(names);
}

/* --- what lies in the server ------------------------------------------------------------------- */

/* All keys share a slot; what is counted expires when it means nothing any more, what was set stays. */
static void test_keys(void **state) {
  rlc__entry e = override_of(store, "k", "1/s");
  rlc__denials d[2] = {denials_of(store, "k", 1), denials_of(store, "banned", 5)};
  char command[128];
  redisReply *keys;

  (void)state;
  assert_int_equal(put(store, &e, 0), 0);
  assert_int_equal(drop(store, &e, 0), 0);
  assert_int_equal(put(store, &e, 0), 0);
  assert_int_equal(deny(store, d, 2, 0), 0);
  keys = ask("KEYS *");
  assert_int_equal(keys->elements, 5); /* nothing is kept as dropped */
  for (size_t i = 0; i < keys->elements; ++i) {
    const char *key = keys->element[i]->str;
    long long ttl;

    assert_int_equal(strncmp(key, "rl:{index}:", 11), 0);
    assert_int_equal(rlc__cluster_slot(key, strlen(key)), rlc__cluster_slot("index", 5));
    snprintf(command, sizeof command, "PTTL %s", key);
    ttl = number(command);
    if (key[11] != 'd') {
      assert_int_equal(ttl, -1);
    } else if (memcmp(key + 12, d[0].hash, 16) == 0) {
      assert_in_range(ttl, 590000, 600002); /* the window */
    } else {
      assert_in_range(ttl, 7190000, 7200002); /* the ban, and as long again */
    }
  }
  freeReplyObject(keys);
}

/* Bans that have ended go with later changes, a few at a time, and leave nothing. */
static void test_ended_bans_go(void **state) {
  rlc__entry e = override_of(store, "k", "1/s");
  rlc__entry ban;
  char key[16];

  (void)state;
  for (int i = 0; i < 100; ++i) {
    snprintf(key, sizeof key, "%d", i);
    ban = ban_of(store, key, MINUTE);
    assert_int_equal(put(store, &ban, NOW), 0);
  }
  assert_int_equal(number("HLEN rl:{index}:e"), 101);
  for (int i = 0; i < 7; ++i) {
    assert_int_equal(put(store, &e, NOW + MINUTE + i), 0);
  }
  assert_int_equal(number("HLEN rl:{index}:e"), 2);
  assert_int_equal(number("EXISTS rl:{index}:u"), 0);
  assert_int_equal(number("ZCARD rl:{index}:v"), 108); /* runs, and the entry */
}

/* What was dropped is kept for an hour, and no more than a thousand; the versions of 1024 runs. */
static void test_dropped_are_bounded(void **state) {
  rlc__entry e;
  char key[16];

  (void)state;
  for (int i = 0; i < 1100; ++i) {
    snprintf(key, sizeof key, "t%d", i);
    e = tier_of(store, key, "1/s");
    assert_int_equal(put(store, &e, NOW), 0);
    assert_int_equal(drop(store, &e, NOW), 0);
  }
  assert_int_equal(number("ZCARD rl:{index}:g"), 1000);
  assert_int_equal(number("ZCARD rl:{index}:v"), 1000 + 1024);
  for (int i = 0; i < 80; ++i) {
    assert_int_equal(put(store, &e, NOW + 2 * HOUR), 0);
    assert_int_equal(drop(store, &e, NOW + 2 * HOUR), 0);
  }
  assert_int_equal(number("ZCARD rl:{index}:g"), 1);
}

/* A ban that was ended by people, and made anew, is not forgotten with what was dropped. */
static void test_banned_again(void **state) {
  rlc__denials d = denials_of(store, "k", 5);
  rlc__entry ban = ban_of(store, "k", HOUR);
  rlc__entry e = override_of(store, "o", "1/s");
  uint32_t level = 0;

  (void)state;
  d.first_us = 6 * HOUR;
  assert_int_equal(put(store, &e, NOW), 0);
  deny(store, &d, 1, NOW);
  assert_int_equal(drop(store, &ban, NOW), 0);
  deny(store, &d, 1, NOW);
  assert_int_equal(drop(store, &e, NOW + 2 * HOUR), 0);
  assert_int_equal(ban_end(store, "k", NOW + 2 * HOUR, &level), NOW + 6 * HOUR);
}

/* A batch is one command, and news without change is one; a banned key's denials write nothing. */
static void test_one_command(void **state) {
  rlc__denials d[RLC__INDEX_BATCH];
  reader *r = new_reader();
  redisReply *reply;
  char key[16];

  (void)state;
  for (int i = 0; i < RLC__INDEX_BATCH; ++i) {
    snprintf(key, sizeof key, "%d", i);
    d[i] = denials_of(store, key, 5);
  }
  begun = 0;
  assert_int_equal(deny(store, d, RLC__INDEX_BATCH, NOW), 0);
  assert_int_equal(begun, 1);
  assert_int_equal(read_news(store, r, NOW), 0);
  assert_int_equal(r->n, RLC__INDEX_BATCH);
  assert_int_equal(begun, 2);
  freeReplyObject(ask("CONFIG RESETSTAT"));
  assert_int_equal(deny(store, d, RLC__INDEX_BATCH, NOW), 0);
  assert_int_equal(read_news(store, r, NOW), 0);
  assert_int_equal(begun, 4);
  assert_int_equal(r->heard, 0);
  reply = ask("INFO commandstats");
  assert_null(strstr(reply->str, "cmdstat_set:"));
  assert_null(strstr(reply->str, "cmdstat_hset:"));
  assert_null(strstr(reply->str, "cmdstat_zadd:"));
  assert_null(strstr(reply->str, "cmdstat_zrangebyscore:"));
  freeReplyObject(reply);
  free(r);
}

/* --- lost pasts -------------------------------------------------------------------------------- */

/* A reader who knows two entries. */
static reader *who_knows_two(void) {
  rlc__entry a = override_of(store, "a", "1/s");
  rlc__entry b = override_of(store, "b", "1/s");
  reader *r = new_reader();

  assert_int_equal(put(store, &a, NOW), 0);
  assert_int_equal(put(store, &b, NOW + 1), 0);
  assert_int_equal(read_news(store, r, NOW + 2), 0);
  assert_int_equal(r->n, 2);
  return r;
}

/* A server that evicts one key of the index and keeps another: what is there still is told to all, and what
 * has ended makes room. */
static void test_evicted(void **state) {
  rlc__entry e;
  reader *r;
  rlc__entry ban = ban_of(store, "k", MINUTE);
  char key[16];

  (void)state;
  r = who_knows_two();
  number("DEL rl:{index}:v");
  r->version = 0;
  r->n = 0;
  assert_int_equal(read_news(store, r, NOW + 3), 0);
  assert_int_equal(r->n, 2);
  number("DEL rl:{index}:v");
  e = override_of(store, "c", "1/s");
  assert_int_equal(put(store, &e, NOW + 4), 0);
  assert_int_equal(read_news(store, r, NOW + 5), 0);
  assert_int_equal(r->n, 3);
  r->version = 0;
  r->n = 0;
  assert_int_equal(read_news(store, r, NOW + 5), 0);
  assert_int_equal(r->n, 3);
  assert_int_equal(put(store, &ban, NOW + 6), 0);
  number("DEL rl:{index}:u");
  for (unsigned i = 4; i < RLC_MAX_ENTRIES; ++i) {
    snprintf(key, sizeof key, "o%u", i);
    e = override_of(store, key, "1/s");
    assert_int_equal(put(store, &e, NOW + 7), 0);
  }
  e = override_of(store, "more", "1/s");
  assert_int_equal(put(store, &e, NOW + 8), RLC_ERR_FULL);
  number("DEL rl:{index}:u");
  assert_int_equal(put(store, &e, NOW + 2 * MINUTE), 0);
  free(r);
}

/* A server emptied, and filled anew before anybody looks, is not taken for the one before. */
static void test_emptied(void **state) {
  reader *r = who_knows_two();
  reader *other = who_knows_two();
  rlc__entry e;
  char key[16];

  (void)state;
  number("FLUSHALL");
  assert_int_equal(read_news(store, other, NOW + 2), 0);
  assert_true(other->all);
  assert_int_equal(other->n, 0);
  for (int i = 0; i < 20; ++i) {
    snprintf(key, sizeof key, "%d", i);
    e = override_of(store, key, "1/s");
    assert_int_equal(put(store, &e, NOW + 10 + i), 0);
    if (i % 7 == 0) {
      reader *copy = new_reader();

      *copy = *r;
      assert_int_equal(read_news(store, copy, NOW + 10 + i), 0);
      assert_true(copy->all);
      assert_int_equal(copy->n, i + 1);
      free(copy);
    }
  }
  assert_int_equal(read_news(store, other, NOW + 100), 0);
  assert_int_equal(other->n, 20);
  free(r);
  free(other);
}

/* So is one that was started again without its data. */
static void test_restarted(void **state) {
  reader *r = who_knows_two();
  rlc__entry e = override_of(store, "c", "1/s");

  (void)state;
  redisFree(direct);
  assert_int_equal(redis_server_restart(&server), 0);
  connect_direct();
  while (put(store, &e, NOW + 10) != 0) { /* until it is connected again */
  }
  assert_int_equal(read_news(store, r, NOW + 11), 0);
  assert_true(r->all);
  assert_int_equal(r->n, 1);
  free(r);
}

static void copy_keys(const char *from, const char *to) {
  static const char *const tags[] = {"e", "v", "u", "g"};

  for (size_t i = 0; i < 4; ++i) {
    freeReplyObject(ask("DEL %s%s", to, tags[i]));
    freeReplyObject(ask("COPY %s%s %s%s", from, tags[i], to, tags[i]));
  }
}

/* A replica that takes over without the last change, and goes on with others, has another past: who knew
 * of that change is told all. Who did not is told what is new. */
static void test_last_change_lost(void **state) {
  reader *before = who_knows_two();
  reader *after = new_reader();
  rlc__entry lost = override_of(store, "lost", "1/s");
  rlc__entry a = override_of(store, "a", "1/s");
  rlc__entry next = override_of(store, "next", "1/s");

  (void)state;
  *after = *before;
  copy_keys("rl:{index}:", "copy:{index}:");
  assert_int_equal(put(store, &lost, NOW + 10), 0);
  assert_int_equal(drop(store, &a, NOW + 11), 0);
  assert_int_equal(read_news(store, after, NOW + 12), 0);
  assert_int_equal(after->n, 2);
  copy_keys("copy:{index}:", "rl:{index}:");
  assert_int_equal(put(store, &next, NOW + 20), 0);
  assert_int_equal(put(store, &next, NOW + 21), 0);
  assert_int_equal(read_news(store, after, NOW + 22), 0);
  assert_true(after->all);
  assert_int_equal(after->n, 3);
  assert_null(find_entry(after, &lost));
  assert_int_equal(read_news(store, before, NOW + 22), 0);
  assert_false(before->all);
  assert_int_equal(before->heard, 1);
  assert_int_equal(before->n, 3);
  free(before);
  free(after);
}

/* A version of long ago is told all, one of a thousand changes ago what is new. */
static void test_long_ago(void **state) {
  reader *before = who_knows_two();
  reader *after = new_reader();
  rlc__entry e = override_of(store, "a", "1/s");

  (void)state;
  for (int i = 0; i < 1030; ++i) {
    assert_int_equal(put(store, &e, NOW + 10 + i), 0);
    if (i == 29) {
      assert_int_equal(read_news(store, after, NOW + 10 + i), 0);
    }
  }
  assert_int_equal(read_news(store, after, NOW + 2000), 0);
  assert_false(after->all);
  assert_int_equal(after->heard, 1);
  assert_int_equal(read_news(store, before, NOW + 2000), 0);
  assert_true(before->all);
  assert_int_equal(before->n, 2);
  free(before);
  free(after);
}

/* --- pages ------------------------------------------------------------------------------------- */

#define MANY 700

static void fill(void) {
  char key[16];

  for (int i = 0; i < MANY; ++i) {
    rlc__entry e;

    snprintf(key, sizeof key, "f%d", i);
    e = override_of(store, key, "1/s");
    assert_int_equal(put(store, &e, NOW + i), 0);
  }
}

static void change_meanwhile(void) {
  rlc__entry first = override_of(store, "f0", "2/s");
  rlc__entry gone = override_of(store, "f1", "1/s");
  rlc__entry last = override_of(store, "f699", "3/s");

  hook = NULL;
  assert_int_equal(put(store, &first, NOW + MANY), 0);
  assert_int_equal(put(store, &last, NOW + MANY + 1), 0);
  assert_int_equal(drop(store, &gone, NOW + MANY + 2), 0);
}

/* What changes between the pages of an answer is in it, once it is whole. */
static void test_changed_between_pages(void **state) {
  rlc__entry e;

  (void)state;
  fill();
  for (unsigned at = 2; at <= 5; ++at) {
    reader *r = new_reader();

    begun = 0;
    hook_at = at;
    hook = change_meanwhile;
    assert_int_equal(read_news(store, r, NOW + MANY), 0);
    assert_true(begun > 5); /* pages, and the changes */
    r->heard = 0;
    assert_int_equal(read_news(store, r, NOW + MANY), 0);
    assert_int_equal(r->heard, 0);
    e = override_of(store, "f0", "");
    assert_string_equal(find_entry(r, &e)->policy, "2/s");
    e = override_of(store, "f699", "");
    assert_string_equal(find_entry(r, &e)->policy, "3/s");
    e = override_of(store, "f1", "1/s");
    assert_null(find_entry(r, &e));
    assert_int_equal(r->n, MANY - 1);
    assert_int_equal(put(store, &e, NOW + MANY), 0);
    free(r);
  }
}

static void empty_meanwhile(void) {
  rlc__entry e = override_of(store, "new", "1/s");

  hook = NULL;
  number("FLUSHALL");
  assert_int_equal(put(store, &e, NOW + 10000), 0);
}

/* Where the server loses its data between two pages, what it said before is not told. */
static void test_emptied_between_pages(void **state) {
  reader *r = new_reader();

  (void)state;
  fill();
  begun = 0;
  hook_at = 3;
  hook = empty_meanwhile;
  assert_int_equal(read_news(store, r, NOW + 10000), 0);
  assert_true(r->all);
  assert_int_equal(r->heard, 1);
  assert_int_equal(r->n, 1);
  free(r);
}

/* --- several at once --------------------------------------------------------------------------- */

/* Each of several processes counts: no denial is lost, and the key is banned by the very last. */
static void test_at_once(void **state) {
  uint32_t level = 0;
  rlc__denials d = denials_of(store, "k", 0);

  (void)state;
  for (int child = 0; child < 4; ++child) {
    if (fork() == 0) {
      rlc__store *own = open_store(server.url, NULL);

      alarm(60);
      d.count = 1;
      d.most = 4 * 50 + 1;
      for (int i = 0; i < 50; ++i) {
        rlc__index_call call;

        memset(&call, 0, sizeof call);
        call.op = RLC__INDEX_DENIED;
        call.denials = &d;
        call.n = 1;
        call.now_us = NOW;
        call.deadline_us = rlc__clock_monotonic_us() + PATIENCE;
        if (own->ops->index(own, &call) != 0) {
          _exit(1);
        }
      }
      _exit(0);
    }
  }
  for (int child = 0; child < 4; ++child) {
    int status;

    assert_true(wait(&status) > 0);
    assert_int_equal(status, 0);
  }
  d.most = 201;
  assert_int_equal(deny(store, &d, 1, NOW), 0);
  assert_int_equal(ban_end(store, "k", NOW, &level), 0);
  d.count = 1;
  assert_int_equal(deny(store, &d, 1, NOW), 0);
  assert_int_equal(ban_end(store, "k", NOW, &level), NOW + HOUR);
}

/* --- trouble ----------------------------------------------------------------------------------- */

/* A server that does not answer is not waited for beyond the deadline. */
static void test_deadline(void **state) {
  reader *r = new_reader();
  rlc__index_call call;
  int64_t began;
  int rv;

  (void)state;
  assert_int_equal(read_news(store, r, 0), 0);
  kill(server.pid, SIGSTOP);
  memset(&call, 0, sizeof call);
  call.op = RLC__INDEX_NEWS;
  began = rlc__clock_monotonic_us();
  call.deadline_us = began + SECOND / 5;
  rv = store->ops->index(store, &call);
  kill(server.pid, SIGCONT);
  assert_int_equal(rv, RLC__ERR_TIMEOUT);
  assert_true(rlc__clock_monotonic_us() - began < 5 * SECOND);
  free(r);
}

/* What others have written there is not believed, and breaks nothing. */
static void test_foreign_content(void **state) {
  static const char *const fields[] = {"9x", "1short", "2AAAAAAAAAAAAAAAA", "3no-colon", "3:x", "3a:",
                                       "4AAAAAAAAAAAAAAAAx", "1AAAAAAAAAAAAAAA\"x", "2"};
  reader *r = who_knows_two();
  rlc__entry e = override_of(store, "a", "1/s");

  (void)state;
  for (size_t i = 0; i < sizeof fields / sizeof *fields; ++i) {
    freeReplyObject(ask("HSET rl:{index}:e %s 012345678901234567890", fields[i]));
    freeReplyObject(ask("ZADD rl:{index}:v %lld %s", (long long)NOW + 2, fields[i]));
    r->version = 0;
    assert_int_equal(read_news(store, r, NOW + 3), RLC__ERR_PROTOCOL);
    freeReplyObject(ask("HDEL rl:{index}:e %s", fields[i]));
    freeReplyObject(ask("ZREM rl:{index}:v %s", fields[i]));
  }
  r->version = 0;
  assert_int_equal(read_news(store, r, NOW + 3), 0);
  freeReplyObject(ask("SET rl:{index}:v text"));
  r->version = 0;
  assert_int_equal(read_news(store, r, NOW + 3), RLC__ERR_STATE);
  freeReplyObject(ask("HSET rl:{index}:e %s short", ""));
  assert_int_equal(read_news(store, r, NOW + 3) < 0, 1);
  assert_int_equal(put(store, &e, NOW + 3) < 0, 1);
  free(r);
}

/* Memory that runs out at any point is told, and nothing is kept or told of. */
static void test_out_of_memory(void **state) {
  failing_memory heap = {-1, 0};
  rlc_memory memory = failing_functions(&heap);
  rlc__store *own = open_store(server.url, &memory);
  reader *r = new_reader();
  int rv;

  (void)state;
  fill();
  assert_int_equal(read_news(own, r, NOW + MANY), 0);
  for (int left = 0;; ++left) {
    r->version = 0;
    r->n = 0;
    heap.left = left;
    rv = read_news(own, r, NOW + MANY);
    heap.left = -1;
    if (rv == 0) {
      assert_true(left > 5);
      break;
    }
    assert_true(rv == RLC_ERR_NOMEM || rv == RLC__ERR_UNAVAILABLE);
    assert_int_equal(r->heard, 0);
  }
  assert_int_equal(r->n, MANY);
  own->ops->del(own);
  assert_int_equal(heap.held, 0);
  free(r);
}

/* --- no server at all -------------------------------------------------------------------------- */

static fake_server fake;

typedef struct said {
  const char *text;
  size_t len;
} said;

static void say(fake_peer *peer) {
  said *s = peer->server->user;

  while (fake_read(peer)) {
    fake_write(peer, s->text, s->len);
  }
}

/* A head of news and something behind it, as a reply. */
static size_t news_reply(char *to, double version, double now, double cursor, char flags,
                         const char *rest, size_t rest_len) {
  size_t n = (size_t)sprintf(to, "$%zu\r\n", 25 + rest_len);
  double numbers[3] = {version, now, cursor};

  memcpy(to + n, numbers, 24); /* little-endian, as all that this runs on */
  to[n + 24] = flags;
  memcpy(to + n + 25, rest, rest_len);
  memcpy(to + n + 25 + rest_len, "\r\n", 2);
  return n + 25 + rest_len + 2;
}

static int hear_from_fake(const char *text, size_t len, rlc__index_op op) {
  said s = {text, len};
  char url[160];
  rlc__entry e;
  rlc__denials d;
  reader *r = new_reader();
  int rv;

  fake_server_start(&fake, 0, say, &s);
  fake.greets = 1;
  snprintf(url, sizeof url, "redis+unix://%s", fake.path);
  store = open_store(url, NULL);
  e = ban_of(store, "k", HOUR);
  d = denials_of(store, "k", 1);
  if (op == RLC__INDEX_NEWS) {
    r->version = 5;
    rv = read_news(store, r, NOW);
    assert_true(rv == 0 || r->heard == 0);
  } else {
    rlc__index_call call;

    memset(&call, 0, sizeof call);
    call.op = op;
    call.entry = &e;
    call.denials = &d;
    call.n = 1;
    call.deadline_us = rlc__clock_monotonic_us() + PATIENCE;
    rv = store->ops->index(store, &call);
  }
  store->ops->del(store);
  fake_server_stop(&fake);
  free(r);
  return rv;
}

/* Answers that the script never gives. */
static void test_garbage(void **state) {
  static const char *const texts[] = {":-1\r\n", ":2\r\n", "$-1\r\n", "*0\r\n", "+OK\r\n",
                                      "$3\r\nabc\r\n", ":9223372036854775807\r\n", "*-1\r\n"};
  static const struct {
    double version, now, cursor;
    char flags;
    const char *rest;
    size_t len;
  } news[] = {
      {-1, 1, 0, 0, "", 0},          {1e17, 1, 0, 0, "", 0},  {10, 0.5, 10, 0, "", 0},
      {10, 1, 11, 0, "", 0},         {10, 1, 10, 4, "", 0},   {10, 1, 10, -1, "", 0},
      {10, 1, 10, 0, "x", 1},        {10, 1, 10, 0, "\377", 1}, {10, 1, 10, 0, "\1" "2\0\0", 4},
      {10, 1, 10, 0, "\0\0\0", 3},   {10, 1, 4, 2, "", 0},    {10, 1, 4, 3, "", 0},
      {10, 1, 10, 0, "\023" "2AAAAAAAAAAAAAAAAn\0\0\0", 22},
      {10, 1, 10, 0, "\022" "2AAAAAAAAAAAAAAAAx\4\0abcd", 25},
      {10, 1, 10, 0, "\022" "2AAAAAAAAAAAAAAAAx\377\377abcd", 25},
      {10, 1, 10, 0, "\022" "2AAAAAAAAAAAAAAAAx\17\0\0\0\0\0\0\0\0\0\0\0\0\0\377\0\0", 36},
  };
  char text[256];

  (void)state;
  for (size_t i = 0; i < sizeof texts / sizeof *texts; ++i) {
    for (int op = RLC__INDEX_PUT; op <= RLC__INDEX_DENIED; ++op) {
      if (texts[i][0] == ':' && op == RLC__INDEX_NEWS) {
        continue;
      }
      assert_int_equal(hear_from_fake(texts[i], strlen(texts[i]), (rlc__index_op)op),
                       RLC__ERR_PROTOCOL);
    }
  }
  for (size_t i = 0; i < sizeof news / sizeof *news; ++i) {
    size_t len = news_reply(text, news[i].version, news[i].now, news[i].cursor, news[i].flags,
                            news[i].rest, news[i].len);
    int rv = hear_from_fake(text, len, RLC__INDEX_NEWS);

    /* One that never ends is given up. */
    assert_int_equal(rv, news[i].cursor == 4 && news[i].flags == 3 ? RLC__ERR_UNAVAILABLE
                                                                   : RLC__ERR_PROTOCOL);
  }
  assert_int_equal(hear_from_fake("-ERR no\r\n", 9, RLC__INDEX_NEWS), RLC__ERR_REFUSED);
  {
    size_t len = news_reply(text, 10, 1, 10, 0, "\022" "2AAAAAAAAAAAAAAAAx\0\0", 21);

    assert_int_equal(hear_from_fake(text, len, RLC__INDEX_NEWS), 0);
  }
}

/* What is sent without end is not kept without end. */
static void test_too_much(void **state) {
  size_t entries = 150000;
  char *rest = malloc(entries * 21);
  char *text = malloc(entries * 21 + 64);
  size_t len;

  (void)state;
  for (size_t i = 0; i < entries; ++i) {
    memcpy(rest + i * 21, "\022" "2AAAAAAAAAAAAAAAAx\0\0", 21);
  }
  len = news_reply(text, 10, 1, 6, 2, rest, entries * 21);
  assert_int_equal(hear_from_fake(text, len, RLC__INDEX_NEWS), RLC__ERR_PROTOCOL);
  assert_in_range(fake.commands, 2, 10);
  free(text);
  free(rest);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_contract),          TEST(test_full),
      TEST(test_identify),          TEST(test_keys),
      TEST(test_ended_bans_go),     TEST(test_dropped_are_bounded),
      TEST(test_one_command),       TEST(test_banned_again),
            TEST(test_evicted), TEST(test_emptied),
      TEST(test_restarted),         TEST(test_last_change_lost),
      TEST(test_long_ago),          TEST(test_changed_between_pages),
      TEST(test_emptied_between_pages), TEST(test_at_once),
      TEST(test_deadline),          TEST(test_foreign_content),
      TEST(test_out_of_memory),
  };
  const struct CMUnitTest in_cluster[] = {TEST(test_contract), TEST(test_keys),
                                          TEST(test_changed_between_pages)};
  const struct CMUnitTest without[] = {cmocka_unit_test(test_garbage),
                                       cmocka_unit_test(test_too_much)};

  return cmocka_run_group_tests(tests, start_server, stop_server) +
         cmocka_run_group_tests(in_cluster, start_cluster, stop_server) +
         cmocka_run_group_tests(without, NULL, NULL);
}
