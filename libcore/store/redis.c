/* SPDX-License-Identifier: Apache-2.0 */
#include <hiredis/hiredis.h>
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"
#include "redis/keyname.h"
#include "redis/pool.h"
#include "redis/script.h"
#include "store/redis_codec.h"
#include "store/store.h"

/* More threads than this may decide at once; what they leave beyond it is closed. */
#define IDLE_MOST 64
/* One failure in so long is a warning, the others are for who debugs. */
#define QUIET_US INT64_C(10000000)

typedef struct redis_store {
  rlc__store base;
  rlc_memory memory;
  rlc__log log;
  rlc__server server; /* its strings are ours */
  rlc__pool *pool;
  rlc__keyname *names;
  _Atomic int64_t quiet_until_us;
} redis_store;

/* The names of a call's keys. */
typedef struct key_list {
  char text[RLC_MAX_LIMITS][RLC__KEYNAME_SIZE];
  rlc__bytes key[RLC_MAX_LIMITS];
} key_list;

static int same_key(const rlc__item *a, const rlc__item *b) {
  return a->key_len == b->key_len && memcmp(a->key, b->key, a->key_len) == 0;
}

/* Names the state of each item. Returns 0, or RLC__ERR_UNAVAILABLE with a sentence in `why`. */
static int name_keys(const redis_store *s, rlc__link *link, const rlc__call *call,
                     key_list *keys) {
  char hash[RLC__KEYNAME_HASH];

  for (size_t i = 0; i < call->n; ++i) {
    const rlc__item *item = &call->items[i];

    /* Several limits on one key are the rule: its hash is computed once. */
    if ((i == 0 || !same_key(item, item - 1)) &&
        rlc__keyname_hash(s->names, link->hash, item->key, item->key_len, hash) != 0) {
      return rlc__fail(RLC__ERR_UNAVAILABLE, link->connection.why, sizeof link->connection.why,
                       "out of memory");
    }
    keys->key[i].at = keys->text[i];
    keys->key[i].len = rlc__keyname_format(
        s->names, hash, rlc__keyname_tag(item->policy->algorithm, item->policy->rates), item->name,
        item->name_len, keys->text[i]);
  }
  return 0;
}

/* Closes the connection of a server that makes no sense. Its bytes may belong to anything. */
static int misfit(rlc__connection *c, const char *what) {
  rlc__connection_close(c);
  return rlc__fail(RLC__ERR_PROTOCOL, c->why, sizeof c->why,
                   "the server's answer to %s does not have the form that this library expects",
                   what);
}

static int run_script(redis_store *s, rlc__connection *c, rlc__call *call, const key_list *keys) {
  rlc__command command;
  rlc__bytes args[RLC__SCRIPT_ARGS];
  redisReply *reply;
  int rv;

  rlc__codec_encode(call, &command);
  args[0] = (rlc__bytes){(const char *)command.arg, command.arg_len};
  args[1] = (rlc__bytes){command.now, command.now_len};
  rv = rlc__script_run(c, &s->server, command.script, keys->key, call->n, args,
                       command.now_len > 0 ? 2 : 1, call->deadline_us, &reply);
  if (rv == 0 && rlc__codec_decode(&command, call, reply) != 0) {
    rv = misfit(c, command.script->name);
  }
  freeReplyObject(reply);
  return rv;
}

static int forget(redis_store *s, rlc__connection *c, rlc__call *call, const key_list *keys) {
  static const uint64_t empty[RLC__STATE_WORDS];
  const char *argv[1 + RLC_MAX_LIMITS] = {"DEL"};
  size_t len[1 + RLC_MAX_LIMITS] = {3};
  redisReply *reply;
  int rv;

  for (size_t i = 0; i < call->n; ++i) {
    argv[1 + i] = keys->key[i].at;
    len[1 + i] = keys->key[i].len;
  }
  rv = rlc__connection_ask(c, &s->server, 1 + (int)call->n, argv, len, call->deadline_us, &reply);
  if (rv == 0) {
    rv = rlc__connection_check(c, &reply);
  }
  if (rv == 0 && reply->type != REDIS_REPLY_INTEGER) {
    rv = misfit(c, "DEL");
  }
  freeReplyObject(reply);
  for (size_t i = 0; rv == 0 && i < call->n; ++i) {
    rlc__item *item = &call->items[i];

    rlc__algorithm_describe(item->policy, empty, call->now_us, 0, 1, &item->result);
    item->result.source = RLC_SOURCE_STORE;
  }
  return rv;
}

/* The guard tells of the store's coming and going; what the server said is told here, seldom. */
static void tell(redis_store *s, const char *why) {
  int64_t now = rlc__clock_monotonic_us();
  int64_t quiet = atomic_load_explicit(&s->quiet_until_us, memory_order_relaxed);
  int first = now >= quiet && atomic_compare_exchange_strong_explicit(
                                  &s->quiet_until_us, &quiet, now + QUIET_US,
                                  memory_order_relaxed, memory_order_relaxed);

  rlc__log_write(&s->log, first ? RLC_LOG_WARNING : RLC_LOG_DEBUG, "RLC0301", "redis at %s: %s",
                 s->server.addresses.name, why);
}

static int redis_decide(rlc__store *store, rlc__call *call) {
  redis_store *s = (redis_store *)store;
  rlc__link *link = rlc__pool_get(s->pool);
  char why[RLC_MESSAGE_SIZE] = "out of memory";
  int rv = RLC__ERR_UNAVAILABLE;
  key_list keys;

  if (link != NULL) {
    rv = name_keys(s, link, call, &keys);
    if (rv == 0 && call->op == RLC__OP_RESET) {
      rv = forget(s, &link->connection, call, &keys);
    } else if (rv == 0) {
      rv = run_script(s, &link->connection, call, &keys);
    }
    if (rv != 0) {
      memcpy(why, link->connection.why, sizeof why);
    }
    rlc__pool_put(s->pool, link);
  }
  if (rv != 0) {
    tell(s, why);
  }
  return rv;
}

static void drop_text(const redis_store *s, const char *text) {
  char *own = (char *)(uintptr_t)text; /* the server only reads it */

  if (own != NULL) {
    rlc__wipe(own, strlen(own));
    rlc__free(&s->memory, own);
  }
}

static void redis_del(rlc__store *store) {
  redis_store *s = (redis_store *)store;
  rlc_memory memory = s->memory;

  rlc__pool_del(s->pool);
  rlc__keyname_del(s->names);
  drop_text(s, s->server.user);
  drop_text(s, s->server.password);
  rlc__free(&memory, s);
}

static const rlc__store_ops redis_ops = {redis_decide, NULL, NULL, redis_del};

/* Stores a copy of |text| in |*copy|. Returns 0 if there was memory for it. */
static int copy_text(const redis_store *s, const char **copy, const char *text) {
  if (text != NULL) {
    *copy = rlc__strndup(&s->memory, text, strlen(text));
  }
  return text == NULL || *copy != NULL ? 0 : RLC_ERR_NOMEM;
}

/* Finds out where the server is. Where that is allowed to fail, the store has no address, and each
 * of its decisions is the fail policy's. */
static int locate(redis_store *s, const rlc__url *url, const rlc_options *options, char *why,
                  size_t why_size) {
  char reason[RLC_MESSAGE_SIZE];
  int rv;

  if (url->scheme == RLC__SCHEME_REDIS_UNIX) {
    return rlc__resolve_path(&s->server.addresses, url->path, why, why_size);
  }
  rv = rlc__resolve_host(&s->server.addresses, url->host, url->port, reason, sizeof reason);
  if ((rv == RLC_ERR_URL || rv == RLC_ERR_SYSTEM) && options->set & RLC__OPT_ALLOW_UNRESOLVED) {
    s->server.addresses.n = 0;
    rlc__log_write(&s->log, RLC_LOG_ERROR, "RLC0302",
                   "%s: the fail policy decides until the store is opened again", reason);
    return 0;
  }
  return rv == 0 ? 0 : rlc__fail(rv, why, why_size, "%s", reason);
}

int rlc__redis_store_new(rlc__store **out, const rlc__url *url, const rlc_options *options,
                         char *why, size_t why_size) {
  redis_store *s = rlc__calloc(&options->memory, 1, sizeof *s);
  int rv;

  *out = NULL;
  if (s == NULL) {
    return rlc__fail(RLC_ERR_NOMEM, why, why_size, "out of memory");
  }
  s->base.ops = &redis_ops;
  s->memory = options->memory;
  s->log = options->log;
  s->server.db = url->db;
  rv = locate(s, url, options, why, why_size);
  if (rv != 0) {
    goto leave;
  }
  rv = copy_text(s, &s->server.user, url->user);
  if (rv == 0) {
    rv = copy_text(s, &s->server.password, url->password);
  }
  if (rv == 0) {
    rv = rlc__pool_new(&s->pool, IDLE_MOST, &s->memory);
  }
  if (rv == 0) {
    rv = rlc__keyname_new(&s->names, url->prefix, options->secret, options->secret_size,
                          &s->memory);
  }
  if (rv != 0) {
    rlc__fail(rv, why, why_size, "the store cannot be made: %s", rlc_strerror(rv));
  } else {
    *out = &s->base;
    s = NULL;
  }

leave:
  if (s != NULL) {
    redis_del(&s->base);
  }
  return rv;
}
