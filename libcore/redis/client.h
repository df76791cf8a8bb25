/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_CLIENT_H
#define RLCORE_CLIENT_H

#include <hiredis/hiredis.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "base/waiter.h"
#include "redis/endpoint.h"
#include "redis/script.h"
#include "redis/tls.h"
#include "rlcore/rlcore.h"

/*
 * Runs commands on a Redis server, on the master that sentinels name, or on the masters of a
 * cluster. The threads of a process share connections; a helper thread looks names up, connects,
 * logs in, follows failovers and slots. A forked child begins anew: it never uses its parent's
 * connections or thread.
 *
 * A command that may have run is never sent again. One that has not for certain (see refusal.h, or
 * it never left this process) is, until its deadline.
 */
typedef struct rlc__client rlc__client;

typedef enum rlc__topology { RLC__SINGLE, RLC__SENTINEL, RLC__CLUSTER } rlc__topology;

typedef struct rlc__client_config {
  rlc__topology topology;
  const rlc__endpoint *servers; /* the server; the sentinels; some of the cluster's masters */
  size_t n;                     /* 1 .. RLC__MAX_SERVERS */
  const char *master;           /* the name that sentinels know it by; else NULL */
  const char *user;
  const char *password;
  unsigned db;
  const char *sentinel_user;
  const char *sentinel_password;
  rlc__tls *tls;                /* NULL: plain; taken over, also on failure */
  unsigned connections;         /* lanes to a server, 1 .. RLC__MAX_CONNECTIONS */
  int64_t timeout_us;           /* a decision's, from which waits of the helper are derived */
} rlc__client_config;

/* No connection is made and no name looked up here. Returns 0, RLC_ERR_NOMEM or RLC_ERR_SYSTEM. */
int rlc__client_new(rlc__client **out, const rlc__client_config *config, const rlc_memory *memory,
                    const rlc__log *log);
/* No request may be under way. Does not wait for the network. */
void rlc__client_del(rlc__client *client);

/* One command: set the first members to what to run, the rest to zero, then `begin`, and in the end
 * always `end`. Used by one thread at a time. What its pointers name lives until `end`. */
typedef struct rlc__request {
  const rlc__script *script; /* NULL: |command| */
  const char *command;
  const rlc__bytes *keys;    /* 1 or more; in a cluster all of one slot */
  size_t n_keys;
  const rlc__bytes *args;
  size_t n_args;
  int64_t deadline_us;
  rlc__waiter *waiter;       /* who polls; NULL: who waits */
  struct rlc__node *only;    /* `node` of an earlier request: no other server runs it; NULL: any */

  /* Once done. */
  int error;                 /* 0 or an rlc__error */
  redisReply *reply;         /* no error reply; NULL on error; `end` frees it */
  char why[RLC_MESSAGE_SIZE]; /* on error, a sentence; the server's name is in it */

  /* The client's own. */
  struct rlc__engine *engine;
  struct rlc__node *node;  /* where it was sent last */
  struct rlc__lane *lane;
  struct rlc__frame *frame; /* NULL: not under way */
  struct rlc__node *sent_to; /* by ASK, this once */
  int64_t not_before_us;     /* when it may be sent again */
  unsigned slot;
  unsigned tries;
  int with_text; /* the server does not know the script */
  int refused;   /* an rlc__refusal, by a server that may take it later; 0: none */
  char refusal[128];
} rlc__request;

/* Starts |request|. Returns 0 if it is done already, else RLC_PENDING. Never waits. */
int rlc__client_begin(rlc__client *client, rlc__request *request);
/* Waits until |request| is done or its deadline has passed, which is done as well. */
void rlc__client_wait(rlc__client *client, rlc__request *request);
/* The same without waiting, for a request with a waiter: returns 0 once it is done, else RLC_PENDING, and
 * the waiter is called when it is worth while to poll again. */
int rlc__client_poll(rlc__client *client, rlc__request *request);
/* |waiter| goes: no request of it is under way. */
void rlc__client_unwatch(rlc__client *client, const rlc__waiter *waiter);
/* Drops what |request| holds. Of one that is not done the command is forgotten: one that was sent
 * may still run, and its reply answers nobody. */
void rlc__client_end(rlc__client *client, rlc__request *request);

/* The servers as one text for messages, without secrets: "redis.example:6379". */
const char *rlc__client_name(const rlc__client *client);
int rlc__client_is_cluster(const rlc__client *client);

/* Asks in the background whether servers answer. Returns 1 if they have since the probe was begun, -1
 * if they have not, 0 while it is being found out; each answer but 0 is given once, and the next call
 * begins another probe. Never waits. */
int rlc__client_probe(rlc__client *client);

/* A number of this process that changes when a server that had no connection has one again. */
uint32_t rlc__client_news(rlc__client *client);

/* Sums of all processes that were forked since the client was made. */
typedef struct rlc__client_stats {
  uint64_t connects;  /* connections opened */
  uint64_t lost;      /* connections lost, or given up */
  uint64_t resent;    /* commands sent again, that for certain had not run */
  uint64_t late;      /* replies that came after their caller had left */
} rlc__client_stats;
void rlc__client_get_stats(const rlc__client *client, rlc__client_stats *stats);

#endif
