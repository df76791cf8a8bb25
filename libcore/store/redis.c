/* SPDX-License-Identifier: Apache-2.0 */
#include <hiredis/hiredis.h>
#include <openssl/evp.h>
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"
#include "redis/client.h"
#include "redis/cluster.h"
#include "redis/keyname.h"
#include "redis/tls.h"
#include "store/redis_codec.h"
#include "store/redis_index.h"
#include "store/store.h"

#define DEFAULT_CONNECTIONS 8u
/* How often a command is sent again with the calendar of the time that the server has told. */
#define CALENDAR_TRIES 2u
/* One failure in so long is a warning, the others are for who debugs. */
#define QUIET_US INT64_C(10000000)

typedef struct redis_store {
  rlc__store base;
  rlc_memory memory;
  rlc__log log;
  rlc__client *client;
  rlc__keyname *names;
  _Atomic int64_t quiet_until_us;
  /* How far the server's clock is ahead of this machine's, as last told where that mattered. Only
   * which windows of the calendar are sent first follows from it. */
  _Atomic int64_t ahead_us;
} redis_store;

/* What one command decides: in a cluster the items of one slot, else all of a call's. */
typedef struct part {
  rlc__call call;
  const rlc__bytes *keys;
  unsigned char *arg; /* where the command's argument is packed */
  unsigned tries;     /* sent again with another time's calendar */
  rlc__command command;
  rlc__bytes args[RLC__SCRIPT_ARGS];
  rlc__request request;
} part;

/* A decision under way: arrays for as many limits as the call has, in the memory behind it. */
typedef struct work {
  rlc__call *call;
  rlc__waiter *waiter; /* NULL: a thread waits */
  part *part;
  rlc__item *item;     /* copies, part by part */
  rlc__bytes *key;     /* theirs */
  size_t *source;      /* which of the call's items they are */
  unsigned *slot;      /* of the call's items */
  char (*text)[RLC__KEYNAME_SIZE]; /* the names of the keys */
  unsigned char *arg;  /* where the next argument is packed */
  size_t n;            /* parts */
  unsigned under_way;  /* a bit for each part whose command is */
  int taking_back;
  int rv;
} work;

/* The most bytes of a work and its arrays, for |n| limits. Take-backs are packed behind the checks. */
#define WORK_SIZE(n)                                                                          \
  (sizeof(work) + (n) * (sizeof(part) + sizeof(rlc__item) + sizeof(rlc__bytes) +              \
                         sizeof(size_t) + sizeof(unsigned) + RLC__KEYNAME_SIZE +              \
                         2 * RLC__CODEC_ARG_SIZE / RLC_MAX_LIMITS))

/* The guard tells of the store's coming and going; what the server said is told here, seldom. */
static void tell(redis_store *s, const char *why) {
  int64_t now = rlc__clock_monotonic_us();
  int64_t quiet = atomic_load_explicit(&s->quiet_until_us, memory_order_relaxed);
  int first = now >= quiet && atomic_compare_exchange_strong_explicit(
                                  &s->quiet_until_us, &quiet, now + QUIET_US,
                                  memory_order_relaxed, memory_order_relaxed);

  rlc__log_write(&s->log, first ? RLC_LOG_WARNING : RLC_LOG_DEBUG, "RLC0301", "%s", why);
}

/* --- names and parts ----------------------------------------------------------------------- */

static int same_key(const rlc__item *a, const rlc__item *b) {
  return a->key_len == b->key_len && memcmp(a->key, b->key, a->key_len) == 0;
}

static int same_group(const rlc__item *a, const rlc__item *b) {
  return a->group_len == b->group_len &&
         (a->group_len == 0 || memcmp(a->group, b->group, a->group_len) == 0);
}

/* Lays the arrays of |w| out, by falling alignment. */
static void lay_out(work *w, rlc__call *call, rlc__waiter *waiter) {
  memset(w, 0, sizeof *w);
  w->call = call;
  w->waiter = waiter;
  w->part = (part *)(w + 1);
  w->item = (rlc__item *)(w->part + call->n);
  w->key = (rlc__bytes *)(w->item + call->n);
  w->source = (size_t *)(w->key + call->n);
  w->slot = (unsigned *)(w->source + call->n);
  w->text = (char(*)[RLC__KEYNAME_SIZE])(w->slot + call->n);
  w->arg = (unsigned char *)(w->text + call->n);
}

/* Names the state of each item, and finds its slot. Returns 0 or RLC__ERR_UNAVAILABLE. */
static int name_keys(const redis_store *s, work *w, rlc__bytes *key) {
  const rlc__call *call = w->call;
  int in_cluster = rlc__client_is_cluster(s->client);
  EVP_MD_CTX *digest = EVP_MD_CTX_new();
  char group[RLC__KEYNAME_HASH];
  char hash[RLC__KEYNAME_HASH];
  int rv = digest != NULL ? 0 : RLC_ERR_NOMEM;

  for (size_t i = 0; rv == 0 && i < call->n; ++i) {
    const rlc__item *item = &call->items[i];

    /* Several limits on one key, or in one group, are the rule: a hash is computed once. */
    if (item->group_len > 0 && (i == 0 || !same_group(item, item - 1))) {
      rv = rlc__keyname_hash(s->names, digest, item->group, item->group_len, group);
    }
    if (rv == 0 && (i == 0 || !same_key(item, item - 1))) {
      rv = rlc__keyname_hash(s->names, digest, item->key, item->key_len, hash);
    }
    if (rv != 0) {
      break;
    }
    key[i].at = w->text[i];
    key[i].len = rlc__keyname_format(
        s->names, item->group_len > 0 ? group : NULL, hash,
        rlc__keyname_tag(item->policy->algorithm, item->policy->rates), item->name, item->name_len,
        w->text[i]);
    w->slot[i] = in_cluster ? rlc__cluster_slot(key[i].at, key[i].len) : 0;
  }
  EVP_MD_CTX_free(digest);
  return rv == 0 ? 0 : RLC__ERR_UNAVAILABLE;
}

/* Whether one command can do both. One that takes back or renews has one receipt. */
static int go_together(const work *w, size_t i, size_t j) {
  const rlc__call *call = w->call;
  int receipts = call->op == RLC__OP_TAKE_BACK || call->op == RLC__OP_RENEW;

  return w->slot[i] == w->slot[j] &&
         (!receipts || call->items[i].charged_us == call->items[j].charged_us);
}

/* Groups the items by slot: parts, and items in a part, stand in the order of the call. */
static void group(work *w, const rlc__bytes *key) {
  const rlc__call *call = w->call;
  unsigned taken = 0;
  size_t to = 0;

  for (size_t i = 0; i < call->n; ++i) {
    part *p = &w->part[w->n];

    if (taken & 1u << i) {
      continue;
    }
    p->call = *call;
    p->call.items = &w->item[to];
    p->call.n = 0;
    p->keys = &w->key[to];
    for (size_t j = i; j < call->n; ++j) {
      if (go_together(w, i, j)) {
        taken |= 1u << j;
        w->item[to] = call->items[j];
        w->key[to] = key[j];
        w->source[to++] = j;
        ++p->call.n;
      }
    }
    ++w->n;
  }
}

/* --- commands ------------------------------------------------------------------------------ */

/* Starts the command of part |i|; |script| NULL: a DEL; |only| as in a request. Something must `end` the
 * request. */
static void begin(const redis_store *s, work *w, size_t i, const rlc__script *script,
                  struct rlc__node *only) {
  part *p = &w->part[i];
  rlc__request *r = &p->request;

  memset(r, 0, sizeof *r);
  r->script = script;
  r->command = script == NULL ? "DEL" : NULL;
  r->keys = p->keys;
  r->n_keys = p->call.n;
  if (script != NULL) {
    p->args[0] = (rlc__bytes){(const char *)p->command.arg, p->command.arg_len};
    p->args[1] = (rlc__bytes){p->command.now, p->command.now_len};
    r->args = p->args;
    r->n_args = p->command.now_len > 0 ? 2 : 1;
  }
  r->deadline_us = p->call.deadline_us;
  r->waiter = w->waiter;
  r->only = only;
  w->under_way |= 1u << i;
  (void)rlc__client_begin(s->client, r);
}

/* Packs the command of |p|, with the calendar of |about_us|. */
static void encode(const work *w, part *p, int64_t about_us) {
  rlc__codec_encode(&p->call, p->call.op == RLC__OP_CHECK && w->n > 1, about_us, p->arg,
                    &p->command);
}

/* What the server's clock is thought to say. */
static int64_t about_now(const redis_store *s, const rlc__call *call) {
  if (call->now_us > 0) {
    return call->now_us;
  }
  return rlc__clock_wall_us() + atomic_load_explicit(&s->ahead_us, memory_order_relaxed);
}

/* Starts all parts at once. */
static void begin_all(const redis_store *s, work *w) {
  int64_t about_us = about_now(s, w->call);

  for (size_t i = 0; i < w->n; ++i) {
    part *p = &w->part[i];

    if (p->call.op == RLC__OP_RESET) {
      begin(s, w, i, NULL, NULL);
    } else {
      p->arg = w->arg;
      p->tries = 0;
      encode(w, p, about_us);
      w->arg += p->command.arg_len;
      begin(s, w, i, p->command.script, NULL);
    }
  }
}

/* Sends again what the server did not do, since its time was in none of the windows that were sent. */
static void begin_elsewhen(redis_store *s, work *w) {
  for (size_t i = 0; i < w->n; ++i) {
    part *p = &w->part[i];
    int64_t now_us;

    if (p->request.error != 0 || p->call.op == RLC__OP_RESET || p->tries == CALENDAR_TRIES) {
      continue;
    }
    now_us = rlc__codec_elsewhen(&p->command, p->request.reply);
    if (now_us > 0) {
      atomic_store_explicit(&s->ahead_us, now_us - rlc__clock_wall_us(), memory_order_relaxed);
      ++p->tries;
      rlc__client_end(s->client, &p->request);
      encode(w, p, now_us);
      begin(s, w, i, p->command.script, NULL);
    }
  }
}

/* Waits for what is under way; with a waiter only looks. Returns 0 once all is done, or RLC_PENDING. */
static int await(const redis_store *s, work *w) {
  for (size_t i = 0; i < w->n; ++i) {
    if (!(w->under_way & 1u << i)) {
      continue;
    }
    if (w->waiter == NULL) {
      rlc__client_wait(s->client, &w->part[i].request);
    } else if (rlc__client_poll(s->client, &w->part[i].request) == RLC_PENDING) {
      continue;
    }
    w->under_way &= ~(1u << i);
  }
  return w->under_way == 0 ? 0 : RLC_PENDING;
}

/* A server's answer that makes no sense. */
static void misfit(const redis_store *s, part *p, const char *what) {
  p->request.error = rlc__fail(
      RLC__ERR_PROTOCOL, p->request.why, sizeof p->request.why,
      "redis at %s: the answer to %s does not have the form that this library expects",
      rlc__client_name(s->client), what);
}

static void read_reset(const redis_store *s, part *p) {
  static const uint64_t empty[RLC__STATE_WORDS];

  if (p->request.reply->type != REDIS_REPLY_INTEGER) {
    misfit(s, p, "DEL");
    return;
  }
  for (size_t i = 0; i < p->call.n; ++i) {
    rlc__item *item = &p->call.items[i];

    rlc__algorithm_describe(item->policy, empty, p->call.now_us, 0, 1, &item->result);
    item->result.source = RLC_SOURCE_STORE;
  }
}

static void read_answer(const redis_store *s, part *p) {
  if (p->request.error != 0) {
    return;
  }
  if (p->call.op == RLC__OP_RESET) {
    read_reset(s, p);
  } else if (rlc__codec_decode(&p->command, &p->call, p->request.reply) != 0) {
    misfit(s, p, p->command.script->name);
  }
}

/* --- a decision ---------------------------------------------------------------------------- */

static int has_charged(const part *p) {
  int allowed = p->request.error == 0;

  for (size_t i = 0; i < p->call.n; ++i) {
    allowed = allowed && p->call.items[i].result.allowed;
  }
  return allowed;
}

/* Undoes what some parts have charged where others have not: of a check all or nothing, of a grant all but
 * the |left| units that every part has granted. The script
 * gives back what is certain not to be there already, so one that comes late, or never, costs the
 * client a little and lets nobody pass. Nor does it go to another server than has charged: a replica
 * that takes over may never have heard of the charge, and would give back somebody else's. The
 * results tell of the state as it was, whatever becomes of it. */
static void begin_take_back(const redis_store *s, work *w, uint64_t left) {
  w->taking_back = 1;
  for (size_t i = 0; i < w->n; ++i) {
    part *p = &w->part[i];

    if (has_charged(p) && (left == 0 || p->call.items[0].result.charged > left)) {
      int64_t charged_us = rlc__codec_undo(&p->call, p->request.reply, left);
      struct rlc__node *charged_by = p->request.node;

      rlc__client_end(s->client, &p->request);
      rlc__codec_encode_take_back(&p->call, charged_us, w->arg, &p->command);
      w->arg += p->command.arg_len;
      begin(s, w, i, p->command.script, charged_by);
    }
  }
}

/* Reads the answers of all parts. */
static void judge(redis_store *s, work *w) {
  uint64_t left = UINT64_MAX; /* of a grant, what every part has granted */
  int all = 1;

  for (size_t i = 0; i < w->n; ++i) {
    part *p = &w->part[i];

    read_answer(s, p);
    all = all && has_charged(p);
    if (all && p->call.items[0].result.charged < left) {
      left = p->call.items[0].result.charged;
    }
    if (w->rv == 0 && p->request.error != 0) {
      w->rv = p->request.error;
      tell(s, p->request.why);
    }
  }
  if (w->n > 1 && ((w->call->op == RLC__OP_CHECK && !all) || w->call->op == RLC__OP_GRANT)) {
    begin_take_back(s, w, all ? left : 0);
  }
}

static void end_all(const redis_store *s, work *w) {
  for (size_t i = 0; i < w->n; ++i) {
    rlc__client_end(s->client, &w->part[i].request);
  }
}

/* Starts |w|. Returns 0; or an error, and it is done. */
static int start(redis_store *s, work *w) {
  rlc__bytes key[RLC_MAX_LIMITS];
  int rv = name_keys(s, w, key);

  if (rv != 0) {
    tell(s, "redis: out of memory");
    return rv;
  }
  group(w, key);
  begin_all(s, w);
  return 0;
}

/* Gives the call what its parts were told. New receipts also where another part failed: what was renewed
 * has no other any more. */
static void give_back(const work *w) {
  for (size_t i = 0; i < w->n; ++i) {
    const part *p = &w->part[i];
    size_t first = (size_t)(p->call.items - w->item);

    for (size_t j = first; j < first + p->call.n; ++j) {
      rlc__item *item = &w->call->items[w->source[j]];

      if (w->rv == 0) {
        item->result = w->item[j].result;
      }
      if (w->rv == 0 || (w->call->op == RLC__OP_RENEW && p->request.error == 0)) {
        item->charged_us = w->item[j].charged_us;
      }
    }
  }
}

/* Goes on with |w|. Returns RLC_PENDING; or as `decide`, and it is done. */
static int proceed(redis_store *s, work *w) {
  if (await(s, w) == RLC_PENDING) {
    return RLC_PENDING;
  }
  if (!w->taking_back) {
    begin_elsewhen(s, w);
    if (w->under_way != 0) {
      return proceed(s, w); /* at most CALENDAR_TRIES deep */
    }
    judge(s, w);
    if (w->under_way != 0 && await(s, w) == RLC_PENDING) {
      return RLC_PENDING;
    }
  }
  for (size_t i = 0; w->taking_back && i < w->n; ++i) {
    const part *p = &w->part[i];

    if (p->request.error != 0 && p->request.error != w->rv) {
      tell(s, p->request.why);
    }
  }
  give_back(w);
  end_all(s, w);
  return w->rv;
}

static int redis_decide(rlc__store *store, rlc__call *call) {
  redis_store *s = (redis_store *)store;
  _Alignas(work) unsigned char room[WORK_SIZE(RLC_MAX_LIMITS)];
  work *w = (work *)room;
  int rv;

  lay_out(w, call, NULL);
  rv = start(s, w);
  return rv == 0 ? proceed(s, w) : rv;
}

static int redis_submit(rlc__store *store, rlc__call *call, rlc__waiter *waiter, void **out) {
  redis_store *s = (redis_store *)store;
  work *w = rlc__calloc(&s->memory, 1, WORK_SIZE(call->n));
  int rv;

  *out = NULL;
  if (w == NULL) {
    tell(s, "redis: out of memory");
    return RLC__ERR_UNAVAILABLE;
  }
  lay_out(w, call, waiter);
  rv = start(s, w);
  if (rv != 0) {
    rlc__free(&s->memory, w);
    return rv;
  }
  *out = w;
  return RLC_PENDING;
}

static int redis_advance(rlc__store *store, void *pending) {
  redis_store *s = (redis_store *)store;
  int rv = proceed(s, pending);

  if (rv != RLC_PENDING) {
    rlc__free(&s->memory, pending);
  }
  return rv;
}

static void redis_abandon(rlc__store *store, void *pending) {
  redis_store *s = (redis_store *)store;

  end_all(s, pending);
  rlc__free(&s->memory, pending);
}

static void redis_unwatch(rlc__store *store, const rlc__waiter *waiter) {
  rlc__client_unwatch(((redis_store *)store)->client, waiter);
}

static int redis_probe(rlc__store *store) {
  return rlc__client_probe(((redis_store *)store)->client);
}

static uint32_t redis_news(rlc__store *store) {
  return rlc__client_news(((redis_store *)store)->client);
}

/* --- the index ----------------------------------------------------------------------------- */

static int redis_identify(rlc__store *store, const void *key, size_t key_len,
                          char hash[RLC__ENTRY_HASH]) {
  redis_store *s = (redis_store *)store;
  EVP_MD_CTX *digest = EVP_MD_CTX_new();
  int rv = digest != NULL ? rlc__keyname_hash(s->names, digest, key, key_len, hash) : RLC_ERR_NOMEM;

  EVP_MD_CTX_free(digest);
  return rv;
}

static int redis_index(rlc__store *store, rlc__index_call *call) {
  redis_store *s = (redis_store *)store;
  char why[RLC_MESSAGE_SIZE] = "";
  int rv = rlc__redis_index(s->client, s->names, &s->memory, call, why);

  if (why[0] != '\0') {
    tell(s, why);
  }
  return rv;
}

static void redis_get_stats(rlc__store *store, rlc_stats *stats) {
  rlc__client_stats counts;

  rlc__client_get_stats(((redis_store *)store)->client, &counts);
  stats->connects += counts.connects;
  stats->connections_lost += counts.lost;
  stats->resent += counts.resent;
  stats->late_replies += counts.late;
}

/* --- new and del --------------------------------------------------------------------------- */

static void redis_del(rlc__store *store) {
  redis_store *s = (redis_store *)store;
  rlc_memory memory = s->memory;

  rlc__client_del(s->client);
  rlc__keyname_del(s->names);
  rlc__free(&memory, s);
}

static const rlc__store_ops redis_ops = {.decide = redis_decide,
                                         .submit = redis_submit,
                                         .advance = redis_advance,
                                         .abandon = redis_abandon,
                                         .unwatch = redis_unwatch,
                                         .probe = redis_probe,
                                         .news = redis_news,
                                         .identify = redis_identify,
                                         .index = redis_index,
                                         .get_stats = redis_get_stats,
                                         .del = redis_del};

static rlc__topology topology_of(const rlc__url *url) {
  switch (url->scheme) {
  case RLC__SCHEME_REDIS_SENTINEL:
    return RLC__SENTINEL;
  case RLC__SCHEME_REDIS_CLUSTER:
    return RLC__CLUSTER;
  default:
    return RLC__SINGLE;
  }
}

/* Returns 0, or an error with its sentence in |why|. */
static int make_tls(rlc__tls **out, const rlc__url *url, const rlc_memory *memory, char *why,
                    size_t why_size) {
  const rlc__tls_config config = {url->ca, url->cert, url->key, url->sni};

  *out = NULL;
  return url->tls ? rlc__tls_new(out, &config, memory, why, why_size) : 0;
}

int rlc__redis_store_new(rlc__store **out, const rlc__url *url, const rlc_options *options,
                         char *why, size_t why_size) {
  redis_store *s = rlc__calloc(&options->memory, 1, sizeof *s);
  rlc__client_config config = {
      .topology = topology_of(url),
      .servers = url->server,
      .n = url->servers,
      .master = url->master,
      .user = url->user,
      .password = url->password,
      .db = url->db,
      .sentinel_user = url->sentinel_user,
      .sentinel_password = url->sentinel_password,
      .connections = url->connections > 0 ? url->connections : DEFAULT_CONNECTIONS,
      .timeout_us = rlc__url_timeout_us(url, options)};
  int rv;

  *out = NULL;
  if (s == NULL) {
    return rlc__fail(RLC_ERR_NOMEM, why, why_size, "out of memory");
  }
  s->base.ops = &redis_ops;
  s->memory = options->memory;
  s->log = options->log;
  rv = make_tls(&config.tls, url, &s->memory, why, why_size);
  if (rv != 0) {
    goto leave;
  }
  rv = rlc__client_new(&s->client, &config, &s->memory, &s->log);
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
