/* SPDX-License-Identifier: Apache-2.0 */
#include "redis/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/memory.h"
#include "redis/gate.h"
#include "redis/socket.h"

void rlc__stream_init(rlc__stream *s) {
  memset(s, 0, sizeof *s);
  s->fd = -1;
  (void)pthread_mutex_init(&s->lock, NULL); /* cannot fail without attributes */
}

void rlc__stream_close(rlc__stream *s) {
  int fd = s->fd;

  s->fd = -1; /* first: a process forked just now must not close a number that is used again */
  if (s->ssl != NULL && rlc__gate_enter() == 0) {
    SSL_free(s->ssl);
    rlc__gate_leave();
  }
  s->ssl = NULL;
  if (s->wire != NULL) {
    rlc__wipe(s->wire, sizeof *s->wire); /* it may hold the password */
    free(s->wire);
    s->wire = NULL;
  }
  s->owed = 0;
  if (fd >= 0) {
    close(fd);
  }
}

void rlc__stream_forget(rlc__stream *s) {
  int fd = s->fd;

  s->fd = -1;
  if (fd >= 0) {
    close(fd);
  }
}

/* --- reading and writing ------------------------------------------------------------------- */

/* To a call on |s->ssl|. While the process ends, nothing is read or written any more: -1 with
 * EAGAIN, after a pause, since poll may say otherwise. */
static int enter(rlc__stream *s) {
  if (rlc__gate_enter() != 0) {
    usleep(1000);
    errno = EAGAIN;
    return -1;
  }
  pthread_mutex_lock(&s->lock);
  return 0;
}

static void leave(rlc__stream *s) {
  pthread_mutex_unlock(&s->lock);
  rlc__gate_leave();
}

/* Turns what OpenSSL answered into read(2)'s answers. */
static ssize_t translate(const rlc__stream *s, int rv) {
  switch (SSL_get_error(s->ssl, rv)) {
  case SSL_ERROR_WANT_READ:
    errno = EAGAIN;
    return -1;
  case SSL_ERROR_ZERO_RETURN:
    return 0;
  case SSL_ERROR_SYSCALL:
    if (errno == 0 || rv == 0) {
      return 0;
    }
    return -1;
  default:
#ifdef SSL_R_UNEXPECTED_EOF_WHILE_READING
    /* OpenSSL 3 calls an end without a goodbye an error of its own. */
    if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
      return 0;
    }
#endif
    errno = EPROTO;
    return -1;
  }
}

ssize_t rlc__stream_nap(rlc__stream *s, void *buf, size_t size) {
  ssize_t n = recv(s->fd, buf, size, 0);

  if (n < 0 && errno == EINTR) {
    errno = EAGAIN;
  }
  return n;
}

/* Lets |fd| sleep for a nap where a call does not say otherwise. */
static void allow_naps(int fd) {
  const struct timeval nap = {0, 4000};
  int flags = fcntl(fd, F_GETFL);

  if (flags >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &nap, sizeof nap) == 0) {
    (void)fcntl(fd, F_SETFL, flags & ~O_NONBLOCK); /* else a nap is one look */
  }
}

ssize_t rlc__stream_read(rlc__stream *s, void *buf, size_t size) {
  ssize_t n;

  if (s->ssl == NULL) {
    do {
      n = recv(s->fd, buf, size, MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    return n;
  }
  if (enter(s) != 0) {
    return -1;
  }
  if (!s->owed) { /* else the answer to a command could come before it is told as written */
    (void)rlc__tls_drain(s->wire); /* if that fails, so does reading */
  }
  ERR_clear_error();
  errno = 0;
  n = SSL_read(s->ssl, buf, size > INT32_MAX ? INT32_MAX : (int)size);
  n = n > 0 ? n : translate(s, (int)n);
  leave(s);
  return n;
}

/* Gathers the bytes of one record from |parts|. Returns how many. No part behind the first begins
 * with the record's last byte: see write_tls. */
static size_t gather(char record[RLC__TLS_RECORD], const struct iovec *parts, int n) {
  size_t len = 0;

  for (int i = 0; i < n && len < RLC__TLS_RECORD; ++i) {
    size_t room = RLC__TLS_RECORD - len;
    size_t take = parts[i].iov_len < room ? parts[i].iov_len : room;

    if (len > 0 && take == 1) {
      break;
    }
    memcpy(record + len, parts[i].iov_base, take);
    len += take;
  }
  return len;
}

/* A record that is stuck on the wire goes out as it is, whatever the caller would write by then. So
 * all but its last byte is told as written: the caller takes nothing of it back, and comes again
 * for the last, which is told once the wire is free. */
static ssize_t write_tls(rlc__stream *s, const struct iovec *parts, int n) {
  ssize_t sent = -1;

  if (enter(s) != 0) {
    return -1;
  }
  if (rlc__tls_drain(s->wire) != 0) {
    /* errno is set */
  } else if (s->owed) {
    s->owed = 0;
    sent = 1;
  } else {
    size_t len = gather(s->wire->record, parts, n);
    int rv;

    ERR_clear_error();
    errno = 0;
    rv = SSL_write(s->ssl, s->wire->record, (int)len);
    sent = rv > 0 ? rv : translate(s, rv);
    if (sent == 0) {
      errno = EPIPE;
      sent = -1;
    } else if (sent > 0 && s->wire->len > 0) {
      s->owed = 1;
      --sent;
      if (sent == 0) {
        errno = EAGAIN;
        sent = -1;
      }
    }
  }
  leave(s);
  return sent;
}

ssize_t rlc__stream_write(rlc__stream *s, const struct iovec *parts, int n) {
  struct msghdr message;
  ssize_t sent;

  if (s->ssl != NULL) {
    return write_tls(s, parts, n);
  }
  memset(&message, 0, sizeof message);
  message.msg_iov = (struct iovec *)(uintptr_t)parts; /* sendmsg only reads it */
  message.msg_iovlen = (size_t)n;
  do {
    sent = sendmsg(s->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (sent < 0 && errno == EINTR);
  return sent;
}

int rlc__stream_has_pending(rlc__stream *s) {
  int pending = 0;

  if (s->ssl != NULL && enter(s) == 0) {
    pending = SSL_pending(s->ssl) > 0;
    leave(s);
  }
  return pending;
}

const char *rlc__stream_reason(int error, char *buf, size_t size) {
  if (error == EPROTO && !rlc__gate_is_closed() && ERR_peek_error() != 0) {
    rlc__tls_reason(buf, size);
  } else {
    (void)rlc__fail(0, buf, size, "%s", strerror(error));
  }
  return buf;
}

/* --- opening ------------------------------------------------------------------------------- */

static int shake_hands(rlc__stream *s, int64_t deadline_us, char *why, size_t why_size) {
  for (;;) {
    int rv, waits;

    if (enter(s) != 0) {
      return rlc__fail(RLC__ERR_TIMEOUT, why, why_size, "the process ends");
    }
    ERR_clear_error();
    errno = 0;
    rv = SSL_connect(s->ssl);
    waits = rv != 1 && SSL_get_error(s->ssl, rv) == SSL_ERROR_WANT_READ;
    if (rv != 1 && !waits) {
      rlc__tls_explain(s->ssl, rv, why, why_size);
    }
    leave(s);
    if (!waits) {
      return rv == 1 ? 0 : RLC__ERR_UNAVAILABLE;
    }
    if (rlc__socket_is_past(deadline_us) ||
        rlc__socket_wait(s->fd, rlc__tls_drain(s->wire) == 0 ? POLLIN : POLLIN | POLLOUT,
                         deadline_us) != 0) {
      int begun = BIO_number_read(SSL_get_rbio(s->ssl)) > 0;

      return rlc__fail(RLC__ERR_TIMEOUT, why, why_size,
                       "the server did not %s TLS's handshake in time%s",
                       begun ? "finish" : "answer",
                       begun ? ""
                             : ": it may speak no TLS (then write redis:// instead of rediss://)");
    }
  }
}

int rlc__stream_open(rlc__stream *s, const rlc__address *address, const rlc__tls *tls,
                     const char *host, int64_t deadline_us, char *why, size_t why_size) {
  int rv = 0;

  if (rlc__socket_connect(&s->fd, address, deadline_us) != 0) {
    return rlc__fail(errno == ETIMEDOUT ? RLC__ERR_TIMEOUT : RLC__ERR_UNAVAILABLE, why, why_size,
                     "cannot connect: %s", strerror(errno));
  }
  if (tls == NULL) {
    allow_naps(s->fd);
  }
  if (tls != NULL) {
    s->wire = calloc(1, sizeof *s->wire);
    if (s->wire != NULL && rlc__gate_enter() == 0) {
      s->wire->fd = s->fd;
      s->ssl = rlc__tls_session(tls, s->wire, host);
      rlc__gate_leave();
    }
    rv = s->ssl != NULL ? shake_hands(s, deadline_us, why, why_size)
                        : rlc__fail(RLC__ERR_UNAVAILABLE, why, why_size, "out of memory");
  }
  if (rv != 0) {
    rlc__stream_close(s);
  }
  return rv;
}
