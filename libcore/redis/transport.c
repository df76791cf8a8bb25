/* SPDX-License-Identifier: Apache-2.0 */
#include "redis/transport.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"
#include "redis/socket.h"

#if HIREDIS_MAJOR >= 1
typedef size_t element_count;
#else
typedef int element_count;
#endif

static int fault(rlc__connection *c, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int fault(rlc__connection *c, int error, const char *format, ...) {
  va_list args;

  va_start(args, format);
  rlc__vfail(error, c->why, sizeof c->why, format, args);
  va_end(args);
  return error;
}

/* --- the reader ---------------------------------------------------------------------------- */

/* hiredis allocates an array when its header comes, however many elements that claims, and from 1.0
 * on lets arrays lie in arrays as deep as they like; then it frees them by recursion. */
static void *create_array(const redisReadTask *task, element_count elements) {
  rlc__connection *c = task->privdata;
  int depth = 0;

  for (const redisReadTask *t = task; t != NULL && depth <= RLC__MAX_DEPTH; t = t->parent) {
    ++depth;
  }
  if ((size_t)elements > RLC__MAX_ELEMENTS || depth > RLC__MAX_DEPTH) {
    c->oversized = 1;
    return NULL;
  }
  return c->defaults->createArray(task, elements);
}

static int make_reader(rlc__connection *c) {
  c->reader = redisReaderCreate();
  if (c->reader == NULL) {
    return fault(c, RLC__ERR_UNAVAILABLE, "out of memory");
  }
  c->defaults = c->reader->fn;
  c->functions = *c->reader->fn;
  c->functions.createArray = create_array;
  c->reader->fn = &c->functions;
  c->reader->privdata = c;
  c->oversized = 0;
  c->received = 0;
  return 0;
}

/* Whether the reader waits for the rest of a string that is longer than any reply may be. It has
 * then read the `$` and stands before the length. */
static int promises_too_much(const redisReader *reader) {
  char *end;

  if (reader->pos == 0 || reader->pos >= reader->len || reader->buf[reader->pos - 1] != '$') {
    return 0;
  }
  return strtoll(reader->buf + reader->pos, &end, 10) > RLC__MAX_REPLY && *end == '\r';
}

static int reader_fault(rlc__connection *c) {
  char shown[160];

  if (c->oversized) {
    return fault(c, RLC__ERR_PROTOCOL,
                 "the server answered with an array of more than %d elements or %d levels",
                 RLC__MAX_ELEMENTS, RLC__MAX_DEPTH);
  }
  if (c->reader->err == REDIS_ERR_OOM) {
    return fault(c, RLC__ERR_UNAVAILABLE, "out of memory");
  }
  rlc__printable(shown, sizeof shown, c->reader->errstr, strlen(c->reader->errstr));
  return fault(c, RLC__ERR_PROTOCOL, "the server's answer is no Redis reply (%s)", shown);
}

/* Whether more has come than the replies that were read. Whose it is, and so whose the last reply
 * was, nobody can tell. */
static int has_surplus(const rlc__connection *c) {
  return c->reader->pos < c->reader->len;
}

static int surplus_fault(rlc__connection *c) {
  return fault(c, RLC__ERR_PROTOCOL, "the server answered more than it was asked");
}

/* Reads the next reply, of whatever type. */
static int receive(rlc__connection *c, int64_t deadline_us, redisReply **reply) {
  char bytes[16 * 1024];
  void *whole = NULL;

  *reply = NULL;
  for (int turn = 0;; ++turn) {
    ssize_t n;

    if (redisReaderGetReply(c->reader, &whole) != REDIS_OK) {
      return reader_fault(c);
    }
    if (whole != NULL) {
      c->received = 0;
      *reply = whole;
      return 0;
    }
    if (c->received > RLC__MAX_REPLY || promises_too_much(c->reader)) {
      return fault(c, RLC__ERR_PROTOCOL, "the server answered with more than %d bytes",
                   RLC__MAX_REPLY);
    }
    /* A server that sends drop by drop is late as well. */
    if ((turn > 0 && rlc__socket_is_past(deadline_us)) ||
        rlc__socket_wait(c->fd, POLLIN, deadline_us) != 0) {
      return fault(c, RLC__ERR_TIMEOUT, "the server did not answer in time");
    }
    n = recv(c->fd, bytes, sizeof bytes, 0);
    if (n == 0) {
      return fault(c, RLC__ERR_UNAVAILABLE,
                   "the server closed the connection before it had answered");
    }
    if (n < 0 && errno != EINTR && errno != EAGAIN) {
      return fault(c, RLC__ERR_UNAVAILABLE, "the connection was lost before the answer: %s",
                   strerror(errno));
    }
    if (n > 0) {
      c->received += (size_t)n;
      if (redisReaderFeed(c->reader, bytes, (size_t)n) != REDIS_OK) {
        return fault(c, RLC__ERR_UNAVAILABLE, "out of memory");
      }
    }
  }
}

/* --- sending ------------------------------------------------------------------------------- */

static int send_bytes(rlc__connection *c, const char *bytes, size_t len, int flags,
                      int64_t deadline_us) {
  size_t sent = 0;

  while (sent < len) {
    ssize_t n = send(c->fd, bytes + sent, len - sent, MSG_NOSIGNAL | flags);

    if (n >= 0) {
      sent += (size_t)n;
    } else if (errno == EAGAIN) {
      if (rlc__socket_is_past(deadline_us) ||
          rlc__socket_wait(c->fd, POLLOUT, deadline_us) != 0) {
        return fault(c, RLC__ERR_TIMEOUT, "the server did not take the command in time");
      }
    } else if (errno != EINTR) {
      c->unsent = sent == 0;
      return fault(c, RLC__ERR_UNAVAILABLE, "the connection was lost: %s", strerror(errno));
    }
  }
  return 0;
}

static int send_command(rlc__connection *c, int argc, const char **argv, const size_t *len,
                        int flags, int64_t deadline_us) {
  char *command = NULL;
  long long size = redisFormatCommandArgv(&command, argc, argv, len);
  int rv;

  if (size < 0) {
    return fault(c, RLC__ERR_UNAVAILABLE, "out of memory");
  }
  rv = send_bytes(c, command, (size_t)size, flags, deadline_us);
  if (flags != 0) {
    rlc__wipe(command, (size_t)size); /* of a greeting: it may hold the password */
  }
  redisFreeCommand(command);
  return rv;
}

/* --- the greeting -------------------------------------------------------------------------- */

/* Whether |reply| is what a server says instead of listening, whatever it was sent. */
static int turns_away(const redisReply *reply) {
  static const char *const starts[] = {"ERR max number of clients", "DENIED "};

  for (size_t i = 0; i < sizeof starts / sizeof *starts; ++i) {
    size_t len = strlen(starts[i]);

    if (reply->type == REDIS_REPLY_ERROR && reply->len >= len &&
        memcmp(reply->str, starts[i], len) == 0) {
      return 1;
    }
  }
  return 0;
}

/* A server that refuses AUTH may repeat the password: of its text only the leading code is told. */
static int auth_fault(rlc__connection *c, const redisReply *reply) {
  size_t len = 0;

  while (len < reply->len && len < 24 && reply->str[len] >= 'A' && reply->str[len] <= 'Z') {
    ++len;
  }
  if (len == 3 && memcmp(reply->str, "ERR", 3) == 0) {
    return fault(c, RLC__ERR_REFUSED,
                 "the server refuses AUTH (ERR): it may have no password set, or know no user "
                 "names; write in the URL what it expects");
  }
  return fault(c, RLC__ERR_REFUSED,
               "the server rejected the user name or password (%.*s): write in the URL those that "
               "it expects",
               (int)len, reply->str);
}

typedef enum greeting { AUTH, SELECT, SETNAME } greeting;

static int greeting_fault(rlc__connection *c, greeting step, redisReply **reply) {
  int rv = 0;

  if (turns_away(*reply) || step == SELECT) {
    rv = rlc__connection_check(c, reply);
  } else if (step == AUTH && (*reply)->type == REDIS_REPLY_ERROR) {
    rv = auth_fault(c, *reply);
  }
  /* SETNAME is for people who read CLIENT LIST: an access list may forbid it. */
  return rv;
}

static int greet(rlc__connection *c, const rlc__server *server, int64_t deadline_us) {
  const char *argv[3][3] = {{"AUTH"}, {"SELECT"}, {"CLIENT", "SETNAME", "rlcore"}};
  int argc[3] = {1, 2, 3};
  greeting step = SELECT;
  char db[12];
  int sent = 0;
  int rv = 0;

  snprintf(db, sizeof db, "%u", server->db);
  argv[SELECT][1] = db;
  if (server->user != NULL || server->password != NULL) {
    step = AUTH;
    if (server->user != NULL) {
      argv[AUTH][argc[AUTH]++] = server->user;
    }
    argv[AUTH][argc[AUTH]++] = server->password != NULL ? server->password : "";
  }
  for (int i = (int)step; i <= SETNAME && sent == 0; ++i) {
    size_t len[3] = {0};

    for (int k = 0; k < argc[i]; ++k) {
      len[k] = strlen(argv[i][k]);
    }
    if (i != SELECT || server->db != 0) {
      /* Held back until the last, so that they travel together. */
      sent = send_command(c, argc[i], argv[i], len, i == SETNAME ? 0 : MSG_MORE, deadline_us);
    }
  }
  /* A server that hung up on us may have said why before: also then its word is read. */
  for (int i = (int)step; i <= SETNAME && rv == 0 && sent != RLC__ERR_TIMEOUT; ++i) {
    redisReply *reply = NULL;

    if (i != SELECT || server->db != 0) {
      rv = receive(c, deadline_us, &reply);
      if (rv == 0) {
        rv = greeting_fault(c, (greeting)i, &reply);
        freeReplyObject(reply);
      }
    }
  }
  return rv != 0 ? rv : sent;
}

int rlc__connection_open(rlc__connection *c, rlc__server *server, int64_t deadline_us) {
  unsigned n = (unsigned)server->addresses.n;
  unsigned first;
  unsigned at;
  int error = ETIMEDOUT;
  int rv;

  if (n == 0) {
    return fault(c, RLC__ERR_UNAVAILABLE, "its name could not be looked up");
  }
  first = atomic_load_explicit(&server->first, memory_order_relaxed) % n;
  at = first;
  for (unsigned i = 0; i < n && c->fd < 0; ++i) {
    int64_t now = rlc__clock_monotonic_us();

    if (now >= deadline_us) {
      break;
    }
    at = (first + i) % n;
    c->fd = rlc__socket_connect(&server->addresses.at[at], now + (deadline_us - now) / (n - i));
    error = errno;
  }
  if (c->fd < 0) {
    return fault(c, error == ETIMEDOUT ? RLC__ERR_TIMEOUT : RLC__ERR_UNAVAILABLE,
                 "cannot connect: %s", strerror(error));
  }
  rv = make_reader(c);
  if (rv == 0) {
    rv = greet(c, server, deadline_us);
  }
  if (rv == 0 && has_surplus(c)) {
    rv = surplus_fault(c);
  }
  if (rv != 0) {
    rlc__connection_close(c);
    at = (at + 1) % n;
  }
  atomic_store_explicit(&server->first, at, memory_order_relaxed);
  return rv;
}

void rlc__connection_init(rlc__connection *c) {
  memset(c, 0, sizeof *c);
  c->fd = -1;
}

void rlc__connection_close(rlc__connection *c) {
  int fd = c->fd;

  c->fd = -1; /* first: a process forked just now must not close a number that is used again */
  if (fd >= 0) {
    close(fd);
  }
  if (c->reader != NULL) {
    redisReaderFree(c->reader);
    c->reader = NULL;
  }
}

/* --- commands ------------------------------------------------------------------------------ */

/* Whether an error tells of one key only: a script that could not read its state. What stops every
 * script (OOM, READONLY, NOPERM ...) has a code of its own before the same details. */
static int is_about_key(const redisReply *reply) {
  static const char *const begin[] = {"WRONGTYPE ", "ERR user_script:", "ERR Error running script"};

  for (size_t i = 0; i < sizeof begin / sizeof begin[0]; ++i) {
    if (strncmp(reply->str, begin[i], strlen(begin[i])) == 0) {
      return 1;
    }
  }
  return 0;
}

int rlc__connection_check(rlc__connection *c, redisReply **reply) {
  char shown[200];
  int error;

  if ((*reply)->type != REDIS_REPLY_ERROR) {
    return 0;
  }
  error = is_about_key(*reply) ? RLC__ERR_STATE : RLC__ERR_REFUSED;
  rlc__printable(shown, sizeof shown, (*reply)->str, (*reply)->len);
  freeReplyObject(*reply);
  *reply = NULL;
  return fault(c, error, "the server refused: %s", shown);
}

int rlc__connection_call(rlc__connection *c, int argc, const char **argv, const size_t *len,
                         int64_t deadline_us, redisReply **reply) {
  int rv;

  *reply = NULL;
  c->unsent = 0;
  if (rlc__socket_is_past(deadline_us)) {
    return fault(c, RLC__ERR_TIMEOUT, "the time was up before the command was sent");
  }
  rv = send_command(c, argc, argv, len, 0, deadline_us);
  if (rv == 0) {
    rv = receive(c, deadline_us, reply);
  }
  if (rv == 0 && has_surplus(c)) {
    freeReplyObject(*reply);
    *reply = NULL;
    rv = surplus_fault(c);
  }
  if (rv != 0) {
    rlc__connection_close(c);
    return rv;
  }
  c->used_us = rlc__clock_monotonic_us();
  return 0;
}

/* Whether the server has left, or said something unasked, while |c| was idle for long. */
static int is_stale(const rlc__connection *c) {
  char byte;

  if (rlc__clock_monotonic_us() - c->used_us < RLC__IDLE_US) {
    return 0;
  }
  return recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || (errno != EAGAIN && errno != EINTR);
}

int rlc__connection_ask(rlc__connection *c, rlc__server *server, int argc, const char **argv,
                        const size_t *len, int64_t deadline_us, redisReply **reply) {
  int reused;
  int rv;

  *reply = NULL;
  if (c->fd >= 0 && is_stale(c)) {
    rlc__connection_close(c);
  }
  reused = c->fd >= 0;
  if (reused) {
    rv = rlc__connection_call(c, argc, argv, len, deadline_us, reply);
    if (rv != RLC__ERR_UNAVAILABLE || !c->unsent) {
      return rv;
    }
  }
  rv = rlc__connection_open(c, server, deadline_us);
  return rv == 0 ? rlc__connection_call(c, argc, argv, len, deadline_us, reply) : rv;
}
