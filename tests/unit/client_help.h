/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_HELP_H
#define CLIENT_HELP_H

/* A client of a fake server, and what the tests of both have in common. */

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"
#include "fake_server.h"
#include "redis/client.h"

#define LONG_US INT64_C(20000000) /* no test that passes waits for it */
#define SHORT_US INT64_C(150000)

static fake_server server;
static rlc__client *client;

static inline void open_client(rlc__topology topology, unsigned connections) {
  const rlc__log log = {NULL, NULL};
  rlc__client_config config = {.topology = topology,
                               .servers = &server.endpoint,
                               .n = 1,
                               .master = topology == RLC__SENTINEL ? "main" : NULL,
                               .connections = connections,
                               .timeout_us = 25000};

  assert_int_equal(rlc__client_new(&client, &config, rlc__memory_or_default(NULL), &log), 0);
}

static inline void start(int tcp, fake_behaviour *serve, void *user, unsigned connections) {
  fake_server_start(&server, tcp, serve, user);
  open_client(RLC__SINGLE, connections);
}

static inline void stop(void) {
  rlc__client_del(client);
  client = NULL;
  fake_server_stop(&server);
}

/* Runs GET |key|, or with |script| that. Returns the error; the integer, or 0, goes to |*number|. */
static inline int run(const rlc__script *script, const char *key, int64_t time_us, long long *number,
               char why[RLC_MESSAGE_SIZE]) {
  const rlc__bytes keys[] = {{key, strlen(key)}};
  const rlc__bytes args[] = {{"a\0b", 3}};
  rlc__request r = {.script = script,
                    .command = "GET",
                    .keys = keys,
                    .n_keys = 1,
                    .args = args,
                    .n_args = script != NULL,
                    .deadline_us = rlc__clock_monotonic_us() + time_us};
  int error;

  if (rlc__client_begin(client, &r) == RLC_PENDING) {
    rlc__client_wait(client, &r);
  }
  error = r.error;
  if (number != NULL) {
    *number = r.reply != NULL && r.reply->type == REDIS_REPLY_INTEGER ? r.reply->integer : 0;
  }
  if (why != NULL) {
    memcpy(why, r.why, RLC_MESSAGE_SIZE);
  }
  rlc__client_end(client, &r);
  return error;
}

/* INFO and ROLE are what the helper asks for itself. Reads the next command of the test's own. */
static inline int read_own(fake_peer *peer) {
  while (fake_read(peer)) {
    if (strcmp(peer->word[0], "INFO") == 0) {
      fake_say(peer, "$0\r\n\r\n");
    } else if (strcmp(peer->word[0], "ROLE") == 0) {
      fake_say(peer, "*1\r\n$6\r\nmaster\r\n");
    } else {
      return 1;
    }
  }
  return 0;
}

/* Answers the commands of the test in turn with the strings of an array that NULL ends; NULL there is
 * silence for ever. */
static _Atomic unsigned turn;

static inline void say_in_turn(fake_peer *peer) {
  const char *const *says = peer->server->user;

  while (read_own(peer)) {
    const char *text = says[atomic_fetch_add(&turn, 1)];

    if (text == NULL) {
      fake_wait_stop(peer);
      return;
    }
    if (text[0] == '\0') {
      return; /* hangs up */
    }
    fake_say(peer, text);
  }
}

static inline int try_says(const char *const *says, long long *number, char *why) {
  int rv;

  atomic_store(&turn, 0);
  start(0, say_in_turn, (void *)(uintptr_t)says, 1);
  rv = run(NULL, "k", SHORT_US, number, why);
  stop();
  return rv;
}

static inline void ignore(fake_peer *peer) {
  if (read_own(peer)) {
    fake_wait_stop(peer);
  }
}

/* Answers GET n with :n, one byte at a time. */
static inline void echo_drops(fake_peer *peer) {
  while (read_own(peer)) {
    char text[64];
    int len = snprintf(text, sizeof text, ":%s\r\n", peer->word[1]);

    for (int i = 0; i < len; ++i) {
      fake_write(peer, text + i, 1);
    }
  }
}

typedef struct caller {
  pthread_t thread;
  int number;
  int wrong;
  int failed;
} caller;

static inline void *call_often(void *user) {
  caller *c = user;

  for (int i = 0; i < 300; ++i) {
    char key[16];
    long long number;

    snprintf(key, sizeof key, "%d", c->number * 1000 + i);
    if (run(NULL, key, LONG_US, &number, NULL) != 0) {
      ++c->failed;
    } else if (number != c->number * 1000 + i) {
      ++c->wrong;
    }
  }
  return NULL;
}

static inline void *call_once(void *user) {
  *(int *)user = run(NULL, "k", LONG_US, NULL, NULL);
  return NULL;
}

#endif
