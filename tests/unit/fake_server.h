/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_TEST_FAKE_SERVER_H
#define RLCORE_TEST_FAKE_SERVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>

#include "redis/endpoint.h"
#include "redis/resolve.h"
#include "rlcore/rlcore.h"

/*
 * A server, in threads of the test, that answers what the test wants: a behaviour runs for each
 * connection, in a thread of its own. It listens on a unix socket in a temporary folder, or on a
 * free port of 127.0.0.1.
 */

#define FAKE_WORDS 24
#define FAKE_PEERS 64

typedef struct fake_server fake_server;

typedef struct fake_peer {
  fake_server *server;
  pthread_t thread;
  int fd;
  FILE *in;
  unsigned number; /* of the connection, from 0 */
  int words; /* of the last command */
  char *word[FAKE_WORDS];
  size_t len[FAKE_WORDS];
} fake_peer;

typedef void fake_behaviour(fake_peer *peer);

struct fake_server {
  fake_behaviour *serve;
  void *user; /* the test's own */
  int greets; /* 0: the behaviour sees AUTH, SELECT and CLIENT too */
  _Atomic unsigned connections;
  _Atomic unsigned commands; /* read by the behaviours, without greetings */
  char folder[64];
  char path[96];
  int listener;
  int stop; /* readable when the server is to stop */
  pthread_t thread;
  fake_peer peer[FAKE_PEERS];
  rlc__addresses addresses; /* how to reach it */
  rlc__endpoint endpoint;   /* the same, as a client is told */
};

void fake_server_start(fake_server *s, int tcp, fake_behaviour *serve, void *user);
/* Ends every connection and thread. */
void fake_server_stop(fake_server *s);

/* For behaviours. */

/* Reads the next command into |peer|. With `greets`, greetings are answered +OK here. Returns 0
 * when the client has left. */
int fake_read(fake_peer *peer);
/* Writes all, or nothing to a client that has left. */
void fake_write(fake_peer *peer, const char *bytes, size_t len);
void fake_say(fake_peer *peer, const char *text);
/* Waits until the client's side of the socket has been read empty. For unix sockets. */
void fake_wait_taken(fake_peer *peer);
/* Waits until the server is stopped. */
void fake_wait_stop(fake_peer *peer);
/* Waits until the client closes. */
void fake_wait_left(fake_peer *peer);
/* Ends the connection: the client sees its end. */
void fake_hang_up(fake_peer *peer);

#endif
