/* SPDX-License-Identifier: Apache-2.0 */
#include "redis/connection.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "redis/socket.h"

static int fault(rlc__connection *c, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int fault(rlc__connection *c, int error, const char *format, ...) {
  va_list args;

  va_start(args, format);
  rlc__vfail(error, c->why, sizeof c->why, format, args);
  va_end(args);
  return error;
}

/* --- receiving ----------------------------------------------------------------------------- */

int rlc__connection_has_surplus(const rlc__connection *c) {
  return rlc__reader_has_surplus(&c->reader);
}

int rlc__connection_next(rlc__connection *c, redisReply **reply) {
  return rlc__reader_next(&c->reader, reply, c->why, sizeof c->why);
}

static int fill(rlc__connection *c, ssize_t (*read_some)(rlc__stream *s, void *buf, size_t size)) {
  char bytes[16 * 1024];
  char reason[RLC_MESSAGE_SIZE / 2];
  ssize_t n = read_some(&c->stream, bytes, sizeof bytes);

  if (n == 0) {
    return fault(c, RLC__ERR_UNAVAILABLE,
                 "the server closed the connection before it had answered");
  }
  if (n < 0) {
    return errno == EAGAIN ? RLC__ERR_TIMEOUT
                           : fault(c, RLC__ERR_UNAVAILABLE,
                                   "the connection was lost before the answer: %s",
                                   rlc__stream_reason(errno, reason, sizeof reason));
  }
  return rlc__reader_feed(&c->reader, bytes, (size_t)n, c->why, sizeof c->why);
}

int rlc__connection_fill(rlc__connection *c) {
  return fill(c, rlc__stream_read);
}

int rlc__connection_nap(rlc__connection *c) {
  return fill(c, rlc__stream_nap);
}

/* Reads the next reply, of whatever type. */
static int receive(rlc__connection *c, int64_t deadline_us, redisReply **reply) {
  for (int turn = 0;; ++turn) {
    int rv = rlc__connection_next(c, reply);

    if (rv != 0 || *reply != NULL) {
      return rv;
    }
    /* A server that sends drop by drop is late as well. */
    if ((turn > 0 && rlc__socket_is_past(deadline_us)) ||
        (!rlc__stream_has_pending(&c->stream) &&
         rlc__socket_wait(c->stream.fd, POLLIN, deadline_us) != 0)) {
      return fault(c, RLC__ERR_TIMEOUT, "the server did not answer in time");
    }
    rv = rlc__connection_fill(c);
    if (rv != 0 && rv != RLC__ERR_TIMEOUT) {
      return rv;
    }
  }
}

/* --- sending ------------------------------------------------------------------------------- */

static int send_bytes(rlc__connection *c, char *bytes, size_t len, int64_t deadline_us) {
  char reason[RLC_MESSAGE_SIZE / 2];
  size_t sent = 0;

  while (sent < len) {
    struct iovec rest = {bytes + sent, len - sent};
    ssize_t n = rlc__stream_write(&c->stream, &rest, 1);

    if (n >= 0) {
      sent += (size_t)n;
    } else if (errno != EAGAIN) {
      return fault(c, RLC__ERR_UNAVAILABLE, "the connection was lost: %s",
                   rlc__stream_reason(errno, reason, sizeof reason));
    } else if (rlc__socket_is_past(deadline_us) ||
               rlc__socket_wait(c->stream.fd, POLLOUT, deadline_us) != 0) {
      return fault(c, RLC__ERR_TIMEOUT, "the server did not take the command in time");
    }
  }
  return 0;
}

static int send_command(rlc__connection *c, int argc, const char *const *argv,
                        int64_t deadline_us) {
  char *command = NULL;
  /* hiredis only reads the words. */
  long long size = redisFormatCommandArgv(&command, argc, (const char **)(uintptr_t)argv, NULL);
  int rv;

  if (size < 0) {
    return fault(c, RLC__ERR_UNAVAILABLE, "out of memory");
  }
  rv = send_bytes(c, command, (size_t)size, deadline_us);
  rlc__wipe(command, (size_t)size); /* it may hold the password */
  redisFreeCommand(command);
  return rv;
}

static int surplus_fault(rlc__connection *c) {
  return fault(c, RLC__ERR_PROTOCOL, "the server answered more than it was asked");
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

/* An error reply in words. Returns 0 for any other reply. */
static int server_fault(rlc__connection *c, const redisReply *reply) {
  char shown[200];

  if (reply->type != REDIS_REPLY_ERROR) {
    return 0;
  }
  rlc__printable(shown, sizeof shown, reply->str, (size_t)reply->len);
  return fault(c, RLC__ERR_REFUSED, "the server refused: %s", shown);
}

typedef enum greeting { AUTH, SELECT, SETNAME } greeting;

static int greeting_fault(rlc__connection *c, greeting step, const redisReply *reply) {
  int rv = 0;

  if (turns_away(reply) || step == SELECT) {
    rv = server_fault(c, reply);
  } else if (step == AUTH && reply->type == REDIS_REPLY_ERROR) {
    rv = auth_fault(c, reply);
  }
  /* SETNAME is for people who read CLIENT LIST: an access list may forbid it. */
  return rv;
}

static int greet(rlc__connection *c, const rlc__login *login, int64_t deadline_us) {
  const char *argv[3][3] = {{"AUTH"}, {"SELECT"}, {"CLIENT", "SETNAME", "rlcore"}};
  int argc[3] = {1, 2, 3};
  greeting step = SELECT;
  char db[12];
  int sent = 0;
  int rv = 0;

  snprintf(db, sizeof db, "%u", login->db);
  argv[SELECT][1] = db;
  if (login->user != NULL || login->password != NULL) {
    step = AUTH;
    if (login->user != NULL) {
      argv[AUTH][argc[AUTH]++] = login->user;
    }
    argv[AUTH][argc[AUTH]++] = login->password != NULL ? login->password : "";
  }
  for (int i = (int)step; i <= SETNAME && sent == 0; ++i) {
    if (i != SELECT || login->db != 0) {
      sent = send_command(c, argc[i], argv[i], deadline_us);
    }
  }
  /* A server that hung up on us may have said why before: also then its word is read. */
  for (int i = (int)step; i <= SETNAME && rv == 0 && sent != RLC__ERR_TIMEOUT; ++i) {
    redisReply *reply = NULL;

    if (i != SELECT || login->db != 0) {
      rv = receive(c, deadline_us, &reply);
      if (rv == 0) {
        rv = greeting_fault(c, (greeting)i, reply);
        freeReplyObject(reply);
      }
    }
  }
  return rv != 0 ? rv : sent;
}

/* Whether a server that was spoken to in plain acts as one that speaks TLS: it hangs up without a
 * word, or with TLS's alert, whose first byte is 0x15. */
static int may_want_tls(const rlc__connection *c, int error) {
  const redisReader *reader = c->reader.hiredis;

  return (error == RLC__ERR_UNAVAILABLE && reader->err == 0 && reader->len == 0 &&
          c->reader.received == 0) ||
         (error == RLC__ERR_PROTOCOL && strstr(reader->errstr, "\"\\x15\"") != NULL);
}

int rlc__connection_open(rlc__connection *c, const rlc__login *login, const rlc__address *address,
                         int64_t deadline_us) {
  int rv = rlc__stream_open(&c->stream, address, login->tls, login->host, deadline_us, c->why,
                            sizeof c->why);

  if (rv == 0) {
    rv = rlc__reader_open(&c->reader, c->why, sizeof c->why);
  }
  if (rv == 0) {
    rv = greet(c, login, deadline_us);
    if (login->tls == NULL && address->socket.ss_family != AF_UNIX && may_want_tls(c, rv)) {
      size_t len = strlen(c->why);

      (void)rlc__fail(0, c->why + len, sizeof c->why - len,
                      " (it may want TLS: then write rediss:// instead of redis://)");
    }
  }
  if (rv == 0 && rlc__connection_has_surplus(c)) {
    rv = surplus_fault(c);
  }
  if (rv != 0) {
    rlc__connection_close(c);
  }
  return rv;
}

void rlc__connection_init(rlc__connection *c) {
  memset(c, 0, sizeof *c);
  rlc__stream_init(&c->stream);
}

void rlc__connection_close(rlc__connection *c) {
  rlc__stream_close(&c->stream);
  rlc__reader_close(&c->reader);
}

int rlc__connection_call(rlc__connection *c, int argc, const char *const *argv, int64_t deadline_us,
                         redisReply **reply) {
  int rv = send_command(c, argc, argv, deadline_us);

  *reply = NULL;
  if (rv == 0) {
    rv = receive(c, deadline_us, reply);
  }
  if (rv == 0 && rlc__connection_has_surplus(c)) {
    freeReplyObject(*reply);
    *reply = NULL;
    rv = surplus_fault(c);
  }
  if (rv != 0) {
    rlc__connection_close(c); /* a late reply would answer the next command */
  }
  return rv;
}
