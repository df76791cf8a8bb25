/* SPDX-License-Identifier: Apache-2.0 */
#include "redis/client.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"
#include "redis/cluster.h"
#include "redis/engine.h"
#include "redis/refusal.h"

#define HEAD 3 /* EVALSHA, the hash, how many keys */
#define MOST_TRIES 16    /* of what another server or connection is said to take */
#define HASTY_TRIES 4    /* of those, without a pause: in a moment of change each may name the other */
#define PAUSE_US INT64_C(1000)
#define MOST_DOUBLINGS 6 /* of the pause */

/* Whose process the engine is for: fork gives the child a page of zeros (MADV_WIPEONFORK), which costs a
 * decision one read. pthread_atfork is no way: it cannot be taken back. */
enum { NOBODYS, BEING_MADE, OURS };

typedef struct page {
  _Atomic int state;
} page;

/* Engines of parents: their memory may have been in the middle of a change at the fork, and stays. */
typedef struct ancestor {
  rlc__engine *engine;
  struct ancestor *next;
} ancestor;

struct rlc__client {
  rlc_memory memory;
  rlc__log log;
  rlc__client_config config; /* its strings are ours */
  rlc__endpoint servers[RLC__MAX_SERVERS];
  char name[RLC__ENDPOINT_TEXT];
  rlc__shared *shared;
  page *page;
  rlc__engine *engine;
  ancestor *ancestors;
};

/* --- new and del --------------------------------------------------------------------------- */

static int copy_text(rlc__client *client, const char **copy) {
  if (*copy != NULL) {
    *copy = rlc__strndup(&client->memory, *copy, strlen(*copy));
    return *copy != NULL ? 0 : RLC_ERR_NOMEM;
  }
  return 0;
}

static void drop_text(rlc__client *client, const char *text) {
  char *own = (char *)(uintptr_t)text;

  if (own != NULL) {
    rlc__wipe(own, strlen(own));
    rlc__free(&client->memory, own);
  }
}

static int map_pages(rlc__client *client) {
  void *shared = mmap(NULL, sizeof *client->shared, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  void *own = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

  client->shared = shared != MAP_FAILED ? shared : NULL;
  client->page = own != MAP_FAILED ? own : NULL;
  return client->shared != NULL && client->page != NULL &&
                 madvise(own, 4096, MADV_WIPEONFORK) == 0
             ? 0
             : RLC_ERR_SYSTEM;
}

int rlc__client_new(rlc__client **out, const rlc__client_config *config, const rlc_memory *memory,
                    const rlc__log *log) {
  rlc__client *client = rlc__calloc(memory, 1, sizeof *client);
  int rv = 0;

  *out = NULL;
  if (client == NULL) {
    rlc__tls_del(config->tls);
    return RLC_ERR_NOMEM;
  }
  client->memory = *memory;
  client->log = *log;
  client->config = *config;
  memcpy(client->servers, config->servers, config->n * sizeof *config->servers);
  client->config.servers = client->servers;
  rlc__endpoint_format(&client->servers[0], client->name);
  {
    const char **const text[] = {&client->config.master, &client->config.user,
                                 &client->config.password, &client->config.sentinel_user,
                                 &client->config.sentinel_password};

    for (size_t i = 0; i < sizeof text / sizeof *text; ++i) {
      if (rv != 0) {
        *text[i] = NULL; /* not ours */
      } else {
        rv = copy_text(client, text[i]);
      }
    }
  }
  if (rv == 0) {
    rv = map_pages(client);
  }
  if (rv != 0) {
    rlc__client_del(client);
    return rv;
  }
  *out = client;
  return 0;
}

void rlc__client_del(rlc__client *client) {
  rlc_memory memory;

  if (client == NULL) {
    return;
  }
  if (client->page != NULL && atomic_load(&client->page->state) == OURS) {
    rlc__engine_del(client->engine);
  } else if (client->engine != NULL) {
    rlc__engine_forget(client->engine);
  }
  while (client->ancestors != NULL) {
    ancestor *a = client->ancestors;

    client->ancestors = a->next;
    free(a);
  }
  rlc__tls_del(client->config.tls);
  drop_text(client, client->config.master);
  drop_text(client, client->config.user);
  drop_text(client, client->config.password);
  drop_text(client, client->config.sentinel_user);
  drop_text(client, client->config.sentinel_password);
  if (client->shared != NULL) {
    munmap(client->shared, sizeof *client->shared);
  }
  if (client->page != NULL) {
    munmap(client->page, 4096);
  }
  memory = client->memory;
  rlc__free(&memory, client);
}

/* --- fork ---------------------------------------------------------------------------------- */

static void begin_anew(rlc__client *client) {
  if (client->engine != NULL) {
    ancestor *a = calloc(1, sizeof *a);

    rlc__engine_forget(client->engine);
    if (a != NULL) {
      *a = (ancestor){client->engine, client->ancestors};
      client->ancestors = a;
    }
    client->engine = NULL;
  }
  if (rlc__engine_new(&client->engine, &client->config, client->shared, &client->log) != 0) {
    client->engine = NULL;
  }
}

/* Returns this process' engine, or NULL without memory for one. */
static rlc__engine *engine_of(rlc__client *client) {
  for (;;) {
    int state = atomic_load_explicit(&client->page->state, memory_order_acquire);

    if (state == OURS) {
      return client->engine;
    }
    if (state == NOBODYS &&
        atomic_compare_exchange_strong(&client->page->state, &state, BEING_MADE)) {
      begin_anew(client);
      atomic_store_explicit(&client->page->state, client->engine != NULL ? OURS : NOBODYS,
                            memory_order_release);
      return client->engine;
    }
    sched_yield();
  }
}

/* --- requests ------------------------------------------------------------------------------ */

static int fail(rlc__request *request, int error, const rlc__node *node, const char *why) {
  char name[RLC__ENDPOINT_TEXT];
  int may_be_part = error == RLC__ERR_UNAVAILABLE ||
                    (error == RLC__ERR_TIMEOUT && request->refused == (int)RLC__CLUSTERDOWN);

  if (may_be_part && request->engine != NULL && rlc__engine_has_others(request->engine, node)) {
    error = RLC__ERR_PART;
  }
  request->error = error;
  if (node != NULL) {
    rlc__endpoint where = rlc__node_where((rlc__node *)(uintptr_t)node);

    rlc__fail(0, request->why, sizeof request->why, "redis at %s: %s",
              rlc__endpoint_format(&where, name), why);
  } else {
    rlc__fail(0, request->why, sizeof request->why, "redis: %s", why);
  }
  return 0;
}

/* The command in the Redis protocol, or NULL without memory. (hiredis' other function for it, which
 * returns a plain string, prints each length by sprintf: half of what a decision cost here.) */
static char *format(const rlc__request *request, size_t *size) {
  const char *argv[HEAD + RLC__SCRIPT_KEYS + RLC__SCRIPT_ARGS];
  size_t len[HEAD + RLC__SCRIPT_KEYS + RLC__SCRIPT_ARGS];
  const rlc__script *script = request->script;
  char *bytes = NULL;
  char count[2] = {(char)('0' + request->n_keys / 10), (char)('0' + request->n_keys % 10)};
  int argc = 0;
  long long n;

  if (script == NULL) {
    argv[argc] = request->command;
    len[argc++] = strlen(request->command);
  } else {
    argv[argc] = request->with_text ? "EVAL" : "EVALSHA";
    len[argc] = strlen(argv[argc]);
    ++argc;
    argv[argc] = request->with_text ? (const char *)script->text : script->sha1;
    len[argc++] = request->with_text ? script->len : sizeof script->sha1 - 1;
    argv[argc] = count + (request->n_keys < 10);
    len[argc++] = request->n_keys < 10 ? 1 : 2;
  }
  for (size_t i = 0; i < request->n_keys; ++i) {
    argv[argc] = request->keys[i].at;
    len[argc++] = request->keys[i].len;
  }
  for (size_t i = 0; i < request->n_args; ++i) {
    argv[argc] = request->args[i].at;
    len[argc++] = request->args[i].len;
  }
  n = redisFormatSdsCommandArgv(&bytes, argc, argv, len);
  *size = n > 0 ? (size_t)n : 0;
  return n > 0 ? bytes : NULL;
}

/* Posts the command on a lane of |request->node|. Returns whether that had an open one; |*sent|. */
static int post(rlc__request *request, int *sent) {
  size_t size;
  char *bytes;
  int more = 0;

  *sent = 0;
  request->lane = request->waiter != NULL
                      ? rlc__node_pick_by_id(request->node, request->waiter->id)
                      : rlc__node_pick(request->node, &more);
  if (request->lane == NULL || more) {
    rlc__engine_want(request->engine, request->node);
  }
  if (request->lane == NULL) {
    return 0;
  }
  bytes = format(request, &size);
  *sent = bytes != NULL && rlc__lane_post(request->lane, request->sent_to != NULL, request->waiter,
                                          bytes, size, &request->frame) == 0;
  if (!*sent) {
    rlc__node_leave(request->lane);
    request->lane = NULL;
  }
  return 1;
}

/* Sends the command, if there is a connection for it. Returns whether it is under way. */
static int send_it(rlc__request *request) {
  int sent = 0;

  request->node = request->sent_to != NULL ? request->sent_to
                  : request->only != NULL  ? request->only
                                           : rlc__engine_node(request->engine, request->slot);
  if (request->node == NULL) {
    rlc__engine_want(request->engine, NULL);
    return 0;
  }
  /* A lane may turn out to have been closed while it was idle: then perhaps all have, and only who
   * finds none open wants another. */
  for (unsigned i = 0; i <= request->node->n && post(request, &sent) && !sent; ++i) {
  }
  if (!sent) {
    return 0;
  }
  request->sent_to = NULL;
  if (request->waiter != NULL) {
    request->waiter->again = 1;
  }
  return 1;
}

int rlc__client_begin(rlc__client *client, rlc__request *request) {
  int64_t now = rlc__clock_monotonic_us();

  if (now >= request->deadline_us) {
    return fail(request, RLC__ERR_TIMEOUT, NULL, "the deadline had passed before");
  }
  request->engine = engine_of(client);
  if (request->engine == NULL) {
    return fail(request, RLC__ERR_UNAVAILABLE, NULL, "out of memory");
  }
  if (request->waiter != NULL && rlc__engine_watch(request->engine, request->waiter) != 0) {
    return fail(request, RLC__ERR_UNAVAILABLE, NULL, "out of memory");
  }
  if (client->config.topology == RLC__SENTINEL) {
    rlc__engine_touch(request->engine, now);
  }
  if (client->config.topology == RLC__CLUSTER) {
    request->slot = rlc__cluster_slot(request->keys[0].at, request->keys[0].len);
  }
  if (!send_it(request) && request->waiter != NULL) {
    rlc__waiter_call(request->waiter); /* that there can be no connection may be known already */
  }
  return RLC_PENDING;
}

/* The request is done: no connection could be made, for |error|. A login that was refused is told
 * as such, but where other servers serve: of these it says nothing. */
static int fail_for_want(rlc__request *request, int error, rlc__node *node, const char *why) {
  if (error != RLC__ERR_REFUSED || rlc__engine_has_others(request->engine, node)) {
    error = RLC__ERR_UNAVAILABLE;
  }
  return fail(request, error, node, why);
}

/* Sends the command if that can be done now. Returns RLC_PENDING if not: it waits for a connection, but
 * not for one that could not be made; else 0, and without a frame it is done. */
static int try_to_send(rlc__request *request) {
  rlc__engine *engine = request->engine;
  int64_t now = rlc__clock_monotonic_us();
  char why[RLC_MESSAGE_SIZE];
  int error;

  if (now >= request->deadline_us) {
    return fail(request, RLC__ERR_TIMEOUT, request->node,
                request->refused ? request->refusal : "there was no connection in time");
  }
  if (now < request->not_before_us) {
    return RLC_PENDING;
  }
  if (send_it(request)) {
    return 0;
  }
  error = request->node == NULL ? rlc__engine_is_lost(engine, request->slot, why)
                                : rlc__node_has_failed(request->node, why);
  return error != 0 ? fail_for_want(request, error, request->node, why) : RLC_PENDING;
}

static void await_connection(rlc__request *request) {
  for (;;) {
    uint32_t seen = rlc__engine_changes(request->engine);
    int64_t until = request->deadline_us;

    if (try_to_send(request) != RLC_PENDING) {
      return;
    }
    if (request->not_before_us > rlc__clock_monotonic_us() && request->not_before_us < until) {
      until = request->not_before_us;
    }
    rlc__engine_wait(request->engine, seen, until);
  }
}

/* Sends |request| again after a pause that grows with each. */
static int send_later(rlc__request *request, unsigned pauses) {
  int64_t pause = PAUSE_US << (pauses < MOST_DOUBLINGS ? pauses : MOST_DOUBLINGS);

  request->not_before_us = rlc__clock_monotonic_us() + pause;
  return 1;
}

/* Follows MOVED or ASK. Returns whether it leads anywhere. */
static int follow(rlc__request *request, rlc__refusal refusal, const redisReply *reply) {
  rlc__endpoint asked = rlc__node_where(request->node);
  int moved = refusal == RLC__MOVED;
  rlc__endpoint to;
  rlc__node *node;
  unsigned slot;

  /* That a slot has moved that nobody asked for helps nobody. */
  if (request->tries >= MOST_TRIES || rlc__refusal_redirect(reply, &asked, &slot, &to) != 0 ||
      slot != request->slot) {
    return 0;
  }
  node = rlc__engine_redirect(request->engine, slot, &to, moved);
  if (node == NULL || (request->only != NULL && node != request->only)) {
    return 0;
  }
  if (moved) {
    rlc__engine_doubt(request->engine, request->node, 1);
  } else {
    request->sent_to = node;
  }
  return request->tries > HASTY_TRIES ? send_later(request, request->tries - HASTY_TRIES) : 1;
}

/* Takes an error reply. Returns whether the command is to be sent again; else the request is done. */
static int take_refusal(rlc__request *request, rlc__refusal refusal, const redisReply *reply) {
  const char *hint = "";
  char shown[200];
  char why[RLC_MESSAGE_SIZE];

  rlc__printable(shown, sizeof shown, reply->str, (size_t)reply->len);
  ++request->tries;
  switch (refusal) {
  case RLC__NOSCRIPT:
    if (!request->with_text && request->script != NULL) {
      request->with_text = 1;
      return 1;
    }
    break;
  case RLC__MOVED:
  case RLC__ASK:
    if (follow(request, refusal, reply)) {
      return 1;
    }
    hint = request->only != NULL
               ? " (what another server has charged it may not know of)"
               : " (of a cluster one of its own servers is asked, by a URL that begins with "
           "redis+cluster://)";
    break;
  case RLC__READONLY:
  case RLC__CLUSTERDOWN:
    if (refusal == RLC__CLUSTERDOWN) {
      atomic_store(&request->node->down_us, rlc__clock_monotonic_us());
    }
    rlc__engine_doubt(request->engine, request->node, 0);
    /* fall through */
  case RLC__TRYAGAIN:
  case RLC__LOADING:
    request->refused = (int)refusal;
    rlc__fail(0, request->refusal, sizeof request->refusal,
              "until the deadline the server refused: %s", shown);
    return send_later(request, request->tries - 1);
  default:
    break;
  }
  rlc__fail(0, why, sizeof why, "the server refused: %s%s", shown, hint);
  (void)fail(request, refusal == RLC__BAD_STATE ? RLC__ERR_STATE : RLC__ERR_REFUSED, request->node,
             why);
  return 0;
}

/* Takes what a lane answered: |rv| and |reply|, or |why|. Returns whether the command is to be sent
 * again; else the request is done. */
static int take_answer(rlc__client *client, rlc__request *request, int rv, redisReply *reply,
                       int unsent, const char *why) {
  rlc__refusal refusal;
  int again = 0;

  request->frame = NULL;
  rlc__node_leave(request->lane);
  request->lane = NULL;
  if (rv != 0 && rv != RLC__ERR_TIMEOUT) {
    rlc__engine_want(request->engine, request->node);
  } else if (rv != 0 && client->config.topology == RLC__CLUSTER) {
    rlc__engine_doubt(request->engine, request->node, 1); /* one that hangs has a successor soon */
  }
  if (rv != 0) {
    again = unsent && ++request->tries < MOST_TRIES;
    if (!again) {
      (void)fail(request, rv, request->node, why);
    }
  } else {
    refusal = rlc__refusal_of(reply);
    if (refusal == RLC__ANSWERED) {
      request->reply = reply;
      return 0;
    }
    again = take_refusal(request, refusal, reply);
    freeReplyObject(reply);
  }
  if (again) {
    atomic_fetch_add_explicit(&client->shared->resent, 1, memory_order_relaxed);
  }
  return again;
}

static int is_done(const rlc__request *request) {
  return request->error != 0 || request->reply != NULL;
}

void rlc__client_wait(rlc__client *client, rlc__request *request) {
  int again = !is_done(request);

  while (again) {
    redisReply *reply;
    char why[RLC_MESSAGE_SIZE];
    int unsent;
    int rv;

    if (request->frame == NULL) {
      await_connection(request);
    }
    if (request->frame == NULL) {
      return;
    }
    rv = rlc__lane_wait(request->lane, request->frame, request->deadline_us, &reply, &unsent, why);
    again = take_answer(client, request, rv, reply, unsent, why);
  }
}

/* Returns whether |request|'s lane has answered, after reading what has come. */
static int poll_lane(rlc__request *request, redisReply **reply, int *unsent,
                     char why[RLC_MESSAGE_SIZE]) {
  int past = rlc__clock_monotonic_us() >= request->deadline_us;
  int rv = rlc__lane_poll(request->lane, request->frame, 0, reply, unsent, why);

  if (rv == RLC_PENDING) {
    rlc__lane_pump(request->lane, request->waiter);
    rv = rlc__lane_poll(request->lane, request->frame, past, reply, unsent, why);
  }
  return rv;
}

int rlc__client_poll(rlc__client *client, rlc__request *request) {
  int again = !is_done(request);

  while (again) {
    redisReply *reply;
    char why[RLC_MESSAGE_SIZE];
    int unsent;
    int rv;

    if (request->frame == NULL && try_to_send(request) == RLC_PENDING) {
      rlc__waiter_alarm(request->waiter, request->not_before_us > rlc__clock_monotonic_us()
                                             ? request->not_before_us
                                             : request->deadline_us);
      return RLC_PENDING;
    }
    if (request->frame == NULL) {
      return 0;
    }
    rv = poll_lane(request, &reply, &unsent, why);
    if (rv == RLC_PENDING) {
      rlc__waiter_alarm(request->waiter, request->deadline_us);
      return RLC_PENDING;
    }
    again = take_answer(client, request, rv, reply, unsent, why);
  }
  return 0;
}

void rlc__client_unwatch(rlc__client *client, const rlc__waiter *waiter) {
  rlc__engine *engine = engine_of(client);

  if (engine != NULL) {
    rlc__engine_unwatch(engine, waiter);
  }
}

void rlc__client_end(rlc__client *client, rlc__request *request) {
  (void)client;
  if (request->frame != NULL) {
    rlc__lane_leave(request->lane, request->frame);
    rlc__node_leave(request->lane);
    request->frame = NULL;
    request->lane = NULL;
  }
  freeReplyObject(request->reply);
  request->reply = NULL;
}

/* --- what a client tells ------------------------------------------------------------------- */

const char *rlc__client_name(const rlc__client *client) {
  return client->name;
}

int rlc__client_is_cluster(const rlc__client *client) {
  return client->config.topology == RLC__CLUSTER;
}

int rlc__client_probe(rlc__client *client) {
  rlc__engine *engine = engine_of(client);

  return engine != NULL ? rlc__engine_probe(engine) : -1;
}

uint32_t rlc__client_news(rlc__client *client) {
  rlc__engine *engine = engine_of(client);

  return engine != NULL ? rlc__engine_news(engine) : 0;
}

void rlc__client_get_stats(const rlc__client *client, rlc__client_stats *stats) {
  stats->connects = atomic_load(&client->shared->connects);
  stats->lost = atomic_load(&client->shared->lost);
  stats->resent = atomic_load(&client->shared->resent);
  stats->late = atomic_load(&client->shared->late);
}
