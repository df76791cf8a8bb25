/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_STREAM_H
#define RLCORE_STREAM_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "redis/resolve.h"
#include "redis/tls.h"

/*
 * A connected socket, with TLS on it or without. Reading and writing never wait, raise no SIGPIPE,
 * and may be done by two threads at once, one of each. Deadlines are CLOCK_MONOTONIC microseconds.
 */
typedef struct rlc__stream {
  int fd;               /* -1: closed */
  SSL *ssl;             /* NULL: plain */
  rlc__tls_wire *wire;  /* with |ssl|: between it and |fd| */
  pthread_mutex_t lock; /* around calls on |ssl|: it can do one thing at a time */
  int owed;             /* a byte that was written is not told as written yet */
} rlc__stream;

/* Makes |s| a closed stream. */
void rlc__stream_init(rlc__stream *s);
/* Connects a closed stream and, with |tls|, shakes hands with the server named |host|. Returns 0, or
 * RLC__ERR_TIMEOUT or _UNAVAILABLE with a sentence in |why|; then |s| is closed. */
int rlc__stream_open(rlc__stream *s, const rlc__address *address, const rlc__tls *tls,
                     const char *host, int64_t deadline_us, char *why, size_t why_size);
/* Closes without a word, also without waiting for one. A closed stream stays as it is. No thread may
 * be reading or writing. */
void rlc__stream_close(rlc__stream *s);
/* What a forked child does with its parent's stream: closes the descriptor and touches nothing
 * else, since another thread may have been in the middle of anything. */
void rlc__stream_forget(rlc__stream *s);

/* As read(2) on a non-blocking socket: how many bytes, 0 at the stream's end, -1 with errno
 * (EAGAIN: wait for POLLIN; EPROTO: TLS broke). Never EINTR. */
ssize_t rlc__stream_read(rlc__stream *s, void *buf, size_t size);
/* The same for a plain stream, but where nothing has come it sleeps a few milliseconds for it, and no
 * longer than RLC__STREAM_NAP_US: a timer of the kernel's coarse clock costs less than poll's, and one
 * system call does for two. EAGAIN also where a signal came. */
ssize_t rlc__stream_nap(rlc__stream *s, void *buf, size_t size);
#define RLC__STREAM_NAP_US INT64_C(20000) /* two ticks of the slowest kernel, which has 100 a second */
/* As writev(2); EAGAIN: wait for POLLOUT. What it has not told as written may be other bytes the
 * next time, but for the rest of a part that was begun, or the only byte of a single part. */
ssize_t rlc__stream_write(rlc__stream *s, const struct iovec *parts, int n);
/* Whether bytes lie in TLS's buffer that poll does not tell of. */
int rlc__stream_has_pending(rlc__stream *s);
/* What the |error| that this thread's last call left in errno means, in words. */
const char *rlc__stream_reason(int error, char *buf, size_t size);

#endif
