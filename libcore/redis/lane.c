/* SPDX-License-Identifier: Apache-2.0 */
#include "redis/lane_inside.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/futex.h"
#include "redis/socket.h"

/* A connection that was not used for so long is looked at before its next use. */
#define IDLE_US INT64_C(1000000)

int rlc__lane_init(rlc__lane *lane, int64_t patience_us, _Atomic uint64_t *late,
                   _Atomic uint64_t *lost) {
  memset(lane, 0, sizeof *lane);
  lane->patience_us = patience_us;
  lane->late = late;
  lane->lost = lost;
  return pthread_mutex_init(&lane->mutex, NULL) == 0 ? 0 : RLC_ERR_SYSTEM;
}

/* --- frames -------------------------------------------------------------------------------- */

/* Frames are kept until the lane ends: who wakes a frame's thread may do so after it was given back. */
static rlc__frame *frame_new(rlc__lane *lane, char *bytes, size_t len) {
  rlc__frame *frame = lane->spare;

  if (frame == NULL) {
    frame = atomic_exchange_explicit(&lane->returned, NULL, memory_order_acquire);
  }
  if (frame != NULL) {
    lane->spare = frame->next;
    memset(frame, 0, offsetof(rlc__frame, state));
    atomic_store_explicit(&frame->state, RLC__FRAME_PENDING, memory_order_relaxed);
  } else {
    frame = calloc(1, sizeof *frame);
  }
  if (frame != NULL) {
    frame->bytes = bytes;
    frame->len = len;
  }
  return frame;
}

/* A list to which anybody adds, and from which the lock's holder takes all at once. */
void rlc__frame_free(rlc__lane *lane, rlc__frame *frame) {
  rlc__frame *first = atomic_load_explicit(&lane->returned, memory_order_relaxed);

  redisFreeSdsCommand(frame->bytes);
  frame->bytes = NULL;
  freeReplyObject(frame->reply);
  frame->reply = NULL;
  do {
    frame->next = first;
  } while (!atomic_compare_exchange_weak_explicit(&lane->returned, &first, frame,
                                                  memory_order_release, memory_order_relaxed));
}

int rlc__frame_finish(rlc__frame *frame, const rlc__waiter *own) {
  rlc__waiter *waiter = frame->waiter;
  int waiting = frame->waiting;

  atomic_store_explicit(&frame->state, RLC__FRAME_DONE, memory_order_release);
  /* A frame with a waiter is taken with the lock, which we hold: both are still there. */
  if (waiter != NULL && waiter != own) {
    rlc__waiter_call(waiter);
  }
  return waiting;
}

static void append(rlc__lane *lane, rlc__frame *frame) {
  frame->previous = lane->last;
  *(lane->last != NULL ? &lane->last->next : &lane->first) = frame;
  lane->last = frame;
  if (lane->unsent == NULL) {
    lane->unsent = frame;
  }
  ++lane->gathered;
}

/* --- the end of a connection --------------------------------------------------------------- */

void rlc__lane_close_if_left(rlc__lane *lane) {
  if (!atomic_load(&lane->is_open) && !lane->reading && !lane->writing &&
      lane->connection != NULL) {
    rlc__connection *c = lane->connection;

    rlc__connection_close(c);
    lane->connection = NULL; /* before it is freed: a process forked now looks at it */
    free(c);
  }
}

void rlc__lane_let_writer(rlc__lane *lane) {
  pthread_mutex_unlock(&lane->mutex);
  sched_yield();
  pthread_mutex_lock(&lane->mutex);
}

void rlc__lane_lose(rlc__lane *lane, int error, const char *why) {
  rlc__frame *frame;
  int begun = 1;

  /* A write does not wait, and what it reads must stay until it has told how far it came. */
  lane->ending = 1;
  while (lane->writing) {
    rlc__lane_let_writer(lane);
  }
  lane->ending = 0;
  if (!atomic_load(&lane->is_open)) {
    return;
  }
  frame = lane->first;
  atomic_store(&lane->is_open, 0);
  atomic_fetch_add_explicit(lane->lost, 1, memory_order_relaxed);
  (void)rlc__fail(error, lane->why, sizeof lane->why, "%s", why);
  lane->first = lane->last = NULL;
  while (frame != NULL) {
    rlc__frame *next = frame->next;

    begun = begun && frame != lane->unsent;
    frame->error = begun || frame->sent > 0 ? error : RLC__ERR_UNAVAILABLE;
    if (frame->nobody) {
      rlc__frame_free(lane, frame);
    } else if (rlc__frame_finish(frame, NULL)) {
      rlc__futex_wake_one(&frame->state);
    }
    frame = next;
  }
  lane->unsent = NULL;
  lane->under_way = lane->gathered = 0;
  lane->full = 0;
  /* Whoever waits for the socket comes back. */
  (void)shutdown(lane->connection->stream.fd, SHUT_RDWR);
  rlc__lane_close_if_left(lane);
}

void rlc__lane_cut(rlc__lane *lane, int silent_only, int64_t since_us, const char *why) {
  pthread_mutex_lock(&lane->mutex);
  if ((!silent_only || lane->under_way > 0) && (since_us == 0 || lane->progress_us < since_us)) {
    rlc__lane_lose(lane, RLC__ERR_UNAVAILABLE, why);
  }
  pthread_mutex_unlock(&lane->mutex);
}

static void free_list(rlc__frame *frame) {
  while (frame != NULL) {
    rlc__frame *next = frame->next;

    free(frame);
    frame = next;
  }
}

void rlc__lane_destroy(rlc__lane *lane) {
  rlc__lane_cut(lane, 0, 0, "the client was ended");
  free_list(lane->spare);
  free_list(atomic_load(&lane->returned));
  pthread_mutex_destroy(&lane->mutex);
}

void rlc__lane_forget(rlc__lane *lane) {
  if (lane->connection != NULL) {
    rlc__stream_forget(&lane->connection->stream);
  }
}

int rlc__lane_install(rlc__lane *lane, rlc__connection *c) {
  int rv = -1;

  pthread_mutex_lock(&lane->mutex);
  if (lane->connection == NULL) {
    lane->connection = c;
    lane->watched_by = 0;
    lane->progress_us = rlc__clock_monotonic_us();
    atomic_store(&lane->is_open, 1);
    rv = 0;
  }
  pthread_mutex_unlock(&lane->mutex);
  return rv;
}

/* --- writing ------------------------------------------------------------------------------- */

/* Frees a command that nobody waits for any more and nothing was written of. No thread is writing. */
static void drop(rlc__lane *lane, rlc__frame *frame) {
  *(frame->previous != NULL ? &frame->previous->next : &lane->first) = frame->next;
  *(frame->next != NULL ? &frame->next->previous : &lane->last) = frame->previous;
  if (lane->unsent == frame) {
    lane->unsent = frame->next;
  }
  --lane->gathered;
  rlc__frame_free(lane, frame);
}

static int is_to_drop(const rlc__frame *frame) {
  return frame->nobody && !frame->needed && frame->sent == 0;
}

void rlc__lane_abandon(rlc__lane *lane, rlc__frame *frame) {
  frame->nobody = 1;
  frame->waiting = 0;
  frame->waiter = NULL;
  if (!lane->writing && is_to_drop(frame)) { /* else who writes next drops it */
    drop(lane, frame);
  }
}

/* Lays out what is written next, without what nobody waits for. Returns how many parts. */
static int lay_out(rlc__lane *lane, struct iovec part[RLC__LANE_BATCH]) {
  rlc__frame *next;
  int parts = 0;

  for (rlc__frame *f = lane->unsent; f != NULL && parts < RLC__LANE_BATCH; f = next) {
    next = f->next;
    if (is_to_drop(f)) {
      drop(lane, f);
    } else {
      part[parts].iov_base = f->bytes + f->sent;
      part[parts++].iov_len = f->len - f->sent;
    }
  }
  return parts;
}

/* Counts |n| bytes as written. */
static void advance(rlc__lane *lane, size_t n) {
  while (lane->unsent != NULL && n > 0) {
    rlc__frame *frame = lane->unsent;
    size_t rest = frame->len - frame->sent;

    if (frame->sent == 0) {
      ++lane->under_way;
      --lane->gathered;
    }
    if (n < rest) {
      frame->sent += n;
      return;
    }
    n -= rest;
    frame->sent = frame->len;
    lane->unsent = frame->next;
  }
}

/* Writes what has gathered, if that is due: when nothing is under way, or no more than what waits. So a
 * lone caller is never held up, and many find each other. */
void rlc__lane_flush(rlc__lane *lane) {
  while (atomic_load(&lane->is_open) && !lane->ending && !lane->writing && lane->unsent != NULL &&
         (lane->unsent->sent > 0 || lane->gathered >= lane->under_way)) {
    struct iovec part[RLC__LANE_BATCH];
    int parts = lay_out(lane, part);
    ssize_t n;
    int error;

    if (parts == 0) {
      return;
    }
    if (lane->under_way == 0) {
      lane->progress_us = rlc__clock_monotonic_us();
    }
    lane->writing = 1;
    pthread_mutex_unlock(&lane->mutex);
    n = rlc__stream_write(&lane->connection->stream, part, parts);
    error = errno;
    pthread_mutex_lock(&lane->mutex);
    lane->writing = 0;
    if (!atomic_load(&lane->is_open)) {
      rlc__lane_close_if_left(lane);
    } else if (n >= 0) {
      lane->full = 0;
      advance(lane, (size_t)n);
    } else if (error == EAGAIN) {
      lane->full = 1;
      return;
    } else {
      char why[RLC_MESSAGE_SIZE];
      char reason[RLC_MESSAGE_SIZE / 2];

      rlc__fail(0, why, sizeof why, "the connection was lost: %s",
                rlc__stream_reason(error, reason, sizeof reason));
      rlc__lane_lose(lane, RLC__ERR_UNAVAILABLE, why);
    }
  }
}

/* Whether the server has left, or said something unasked, while the lane was idle for long. */
static int is_stale(const rlc__lane *lane) {
  return lane->first == NULL && !lane->reading &&
         rlc__clock_monotonic_us() - lane->progress_us > IDLE_US &&
         rlc__socket_wait(lane->connection->stream.fd, POLLIN, 0) == 0;
}

void rlc__lane_watch(rlc__lane *lane, rlc__waiter *waiter) {
  if (lane->watched_by != waiter->watching) {
    rlc__waiter_watch(waiter, lane->connection->stream.fd);
    lane->watched_by = waiter->watching;
  }
  if (lane->full) {
    rlc__waiter_alarm(waiter, rlc__clock_monotonic_us() + RLC__LANE_FULL_US);
  }
}

int rlc__lane_post(rlc__lane *lane, int asking, rlc__waiter *waiter, char *bytes, size_t len,
                   rlc__frame **out) {
  rlc__frame *before = NULL;
  rlc__frame *frame = NULL;

  *out = NULL;
  pthread_mutex_lock(&lane->mutex);
  if (atomic_load(&lane->is_open) && is_stale(lane)) {
    rlc__lane_lose(lane, RLC__ERR_UNAVAILABLE, "the server closed the idle connection");
  }
  if (atomic_load(&lane->is_open)) {
    frame = frame_new(lane, bytes, len);
  }
  if (frame != NULL && asking) {
    const char *words[] = {"ASKING"};
    char *text = NULL;
    long long size = redisFormatSdsCommandArgv(&text, 1, words, NULL);

    before = size > 0 ? frame_new(lane, text, (size_t)size) : NULL;
    if (before == NULL) {
      rlc__frame_free(lane, frame);
      pthread_mutex_unlock(&lane->mutex);
      return RLC__ERR_UNAVAILABLE;
    }
    before->nobody = before->needed = frame->needed = 1;
    append(lane, before);
  }
  if (frame != NULL) {
    frame->waiter = waiter;
    append(lane, frame);
    rlc__lane_flush(lane);
    if (waiter != NULL && lane->connection != NULL) {
      rlc__lane_watch(lane, waiter);
    }
    *out = frame;
  } else {
    redisFreeSdsCommand(bytes);
  }
  pthread_mutex_unlock(&lane->mutex);
  return frame != NULL ? 0 : RLC__ERR_UNAVAILABLE;
}
