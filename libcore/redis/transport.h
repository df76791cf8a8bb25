/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_TRANSPORT_H
#define RLCORE_TRANSPORT_H

#include <hiredis/hiredis.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "redis/resolve.h"
#include "rlcore/rlcore.h"

/*
 * A connection to a Redis server that keeps deadlines: a non-blocking socket of our own, with
 * hiredis for the format of commands and replies only. Deadlines are CLOCK_MONOTONIC microseconds;
 * every function returns by then but for a scheduling delay, whatever the server does.
 *
 * Functions return 0 or an rlc__error with a sentence in the connection's `why`. hiredis takes its
 * memory from malloc.
 */

/* The most bytes, elements of one array, and arrays in arrays that a reply may have. The library's
 * own scripts answer with one array of some hundred numbers. */
#define RLC__MAX_REPLY (1024 * 1024)
#define RLC__MAX_ELEMENTS 4096
#define RLC__MAX_DEPTH 4
/* A connection that was not used for so long is looked at before its next use. */
#define RLC__IDLE_US INT64_C(1000000)

/* Where to connect, and as whom. The strings are the owner's. Shared by threads: `first` is all
 * that changes. */
typedef struct rlc__server {
  rlc__addresses addresses;
  const char *user;     /* NULL: the default user */
  const char *password; /* NULL: none is sent */
  unsigned db;
  _Atomic unsigned first; /* which address is tried first: the one that answered last */
} rlc__server;

/* Used by one thread at a time. */
typedef struct rlc__connection {
  int fd; /* -1: closed */
  int unsent; /* the last call failed before the kernel took the first byte of it */
  redisReader *reader;
  redisReplyObjectFunctions functions; /* hiredis' own, but for bounded arrays */
  const redisReplyObjectFunctions *defaults;
  int oversized; /* an array was refused */
  size_t received; /* bytes of the reply that is being read */
  int64_t used_us; /* when the last reply came */
  char why[RLC_MESSAGE_SIZE];
} rlc__connection;

/* Makes |c| a closed connection. */
void rlc__connection_init(rlc__connection *c);
/* Closes the socket without a word. A closed connection stays as it is. */
void rlc__connection_close(rlc__connection *c);

/* Connects a closed |c|: each address in turn, none for longer than its share of the time left,
 * then AUTH, SELECT and CLIENT SETNAME in one go. */
int rlc__connection_open(rlc__connection *c, rlc__server *server, int64_t deadline_us);

/*
 * Sends one command over an open |c| and reads its reply, which may be an error reply, and is the
 * caller's to free with freeReplyObject. On failure |*reply| is NULL and |c| closed, since a late
 * reply would answer the next command; but one called past the deadline has sent nothing and stays
 * open.
 */
int rlc__connection_call(rlc__connection *c, int argc, const char **argv, const size_t *len,
                         int64_t deadline_us, redisReply **reply);

/*
 * As call, but opens |c| first where it is closed, or was idle and the server has left meanwhile. A
 * command that may have run is never sent again; one that an old connection did not even take is
 * sent over a new one.
 */
int rlc__connection_ask(rlc__connection *c, rlc__server *server, int argc, const char **argv,
                        const size_t *len, int64_t deadline_us, redisReply **reply);

/* Returns 0 if |*reply| is no error. Else frees it, leaves its text in `why`, and returns
 * RLC__ERR_REFUSED. */
int rlc__connection_check(rlc__connection *c, redisReply **reply);

#endif
