/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_CONNECTION_H
#define RLCORE_CONNECTION_H

#include <hiredis/hiredis.h>
#include <stddef.h>
#include <stdint.h>

#include "redis/reader.h"
#include "redis/stream.h"
#include "rlcore/rlcore.h"

/*
 * A stream that speaks Redis, with hiredis for the format of commands and replies only. Deadlines
 * are CLOCK_MONOTONIC microseconds; every function returns by then but for a scheduling delay,
 * whatever the server does. Functions return 0 or an rlc__error with a sentence in `why`. hiredis
 * takes its memory from malloc. A connection stays where it was opened: it is never copied.
 */

/* As whom. The strings are the owner's. */
typedef struct rlc__login {
  const char *user;     /* NULL: the default user */
  const char *password; /* NULL: none is sent */
  unsigned db;
  const rlc__tls *tls;  /* NULL: plain */
  const char *host;     /* the server's name, for TLS */
} rlc__login;

typedef struct rlc__connection {
  rlc__stream stream;
  rlc__reader reader;
  char why[RLC_MESSAGE_SIZE];
} rlc__connection;

/* Makes |c| a closed connection. */
void rlc__connection_init(rlc__connection *c);
/* Closes without a word. A closed connection stays as it is. */
void rlc__connection_close(rlc__connection *c);

/* Connects a closed |c| to |address|: TLS, then AUTH, SELECT and CLIENT SETNAME in one go. On
 * failure |c| is closed. RLC__ERR_REFUSED: the server rejects the login (its text may repeat the
 * password: `why` holds none of it), or turns clients away. */
int rlc__connection_open(rlc__connection *c, const rlc__login *login, const rlc__address *address,
                         int64_t deadline_us);

/* Sends one command and reads its reply, which may be an error reply, and is the caller's to free
 * with freeReplyObject. On failure |*reply| is NULL and |c| closed. Words end at their NUL. */
int rlc__connection_call(rlc__connection *c, int argc, const char *const *argv, int64_t deadline_us,
                         redisReply **reply);

/* For those who share a connection. */

/* Takes in what has arrived, without waiting. Returns 0 if something did, RLC__ERR_TIMEOUT if
 * nothing is there yet, or what broke. */
int rlc__connection_fill(rlc__connection *c);
/* The same of a connection without TLS, after a nap where nothing is there: see rlc__stream_nap. */
int rlc__connection_nap(rlc__connection *c);
/* Stores the next whole reply in |*reply|, or NULL where more bytes are needed. Returns 0,
 * RLC__ERR_PROTOCOL or RLC__ERR_UNAVAILABLE (no memory). */
int rlc__connection_next(rlc__connection *c, redisReply **reply);
/* Whether bytes are there that `next` has not made a reply of. */
int rlc__connection_has_surplus(const rlc__connection *c);

#endif
