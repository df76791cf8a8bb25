/* SPDX-License-Identifier: Apache-2.0 */
#include "redis/lane_inside.h"

#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/futex.h"
#include "redis/socket.h"

/* Threads to be woken, once the lock is let go: else each would run into it. */
typedef struct calls {
  rlc__frame *frame[RLC__LANE_BATCH + 1]; /* a batch, and who is to read on */
  unsigned n;
} calls;

static void make_calls(calls *c) {
  for (unsigned i = 0; i < c->n; ++i) {
    rlc__futex_wake_one(&c->frame[i]->state);
  }
  c->n = 0;
}

/* --- handing out --------------------------------------------------------------------------- */

/* What one turn of reading has brought. */
typedef struct batch {
  redisReply *reply[RLC__LANE_BATCH];
  unsigned n;
  int error; /* what comes after the replies: 0, RLC__ERR_TIMEOUT for nothing yet, or why it broke */
} batch;

/* Makes replies of what was read last, with |error|, without the lock: the connection's reading side is
 * ours while `reading` is set. */
static void parse(rlc__lane *lane, batch *b, int error) {
  b->n = 0;
  b->error = error;
  while (b->error == 0 && b->n < RLC__LANE_BATCH) {
    b->error = rlc__connection_next(lane->connection, &b->reply[b->n]);
    if (b->error != 0 || b->reply[b->n] == NULL) {
      return;
    }
    ++b->n;
  }
}

/* Gives |reply| to the oldest command. */
static void hand_out(rlc__lane *lane, redisReply *reply, const rlc__frame *own,
                     const rlc__waiter *waiter, calls *c) {
  rlc__frame *frame = lane->first;

  lane->first = frame->next;
  *(lane->first != NULL ? &lane->first->previous : &lane->last) = NULL;
  --lane->under_way;
  if (frame->nobody) {
    if (!frame->needed) {
      atomic_fetch_add_explicit(lane->late, 1, memory_order_relaxed);
    }
    freeReplyObject(reply);
    rlc__frame_free(lane, frame);
    return;
  }
  frame->reply = reply;
  if (rlc__frame_finish(frame, waiter) && frame != own) {
    c->frame[c->n++] = frame;
  }
}

/* Hands out |b| and writes what has gathered meanwhile. The thread of |own|, and |waiter|, are the
 * caller's; the others are added to |c|, which is empty. */
static void hand_out_all(rlc__lane *lane, batch *b, const rlc__frame *own,
                         const rlc__waiter *waiter, calls *c) {
  if (b->error != RLC__ERR_TIMEOUT) {
    lane->progress_us = rlc__clock_monotonic_us();
  }
  for (unsigned i = 0; i < b->n; ++i) {
    while (lane->first == lane->unsent && lane->writing) {
      rlc__lane_let_writer(lane); /* the reply overtook the writer's own account */
    }
    if (!atomic_load(&lane->is_open) || lane->first == NULL || lane->first == lane->unsent) {
      freeReplyObject(b->reply[i]);
      rlc__lane_lose(lane, RLC__ERR_PROTOCOL, "the server answered more than it was asked");
    } else {
      hand_out(lane, b->reply[i], own, waiter, c);
    }
  }
  if (b->error != 0 && b->error != RLC__ERR_TIMEOUT) {
    rlc__lane_lose(lane, b->error, lane->connection->why);
  }
  rlc__lane_flush(lane);
}

/* --- reading ------------------------------------------------------------------------------- */

/* Whether a nap ends before the deadline, and nothing else is waited for. */
static int can_nap(const rlc__stream *stream, short events, int64_t deadline_us) {
  return stream->ssl == NULL && events == POLLIN &&
         deadline_us - rlc__clock_monotonic_us() > RLC__STREAM_NAP_US;
}

/* Reads for all until |own| has its reply, the connection ends, or time is up. Who is to be woken is
 * left in |c|. */
static void read_for_all(rlc__lane *lane, const rlc__frame *own, int64_t deadline_us, calls *c) {
  rlc__stream *stream = &lane->connection->stream;
  int more = 0;

  lane->reading = 1;
  while (atomic_load(&lane->is_open) && (more || !rlc__frame_is_done(own))) {
    short events = lane->full ? POLLIN | POLLOUT : POLLIN;
    batch b = {.n = 0, .error = RLC__ERR_TIMEOUT};
    int late = 0;

    pthread_mutex_unlock(&lane->mutex);
    make_calls(c);
    if (more) {
      parse(lane, &b, 0); /* there may be replies in what was read before */
    } else if (can_nap(stream, events, deadline_us)) {
      parse(lane, &b, rlc__connection_nap(lane->connection));
    } else if (rlc__stream_has_pending(stream) ||
               rlc__socket_wait(stream->fd, events, deadline_us) == 0) {
      parse(lane, &b, rlc__connection_fill(lane->connection));
    } else {
      late = 1;
    }
    if (!late) {
      more = b.n == RLC__LANE_BATCH;
      /* A server that sends drop by drop is late as well. */
      late = rlc__socket_is_past(deadline_us);
    }
    pthread_mutex_lock(&lane->mutex);
    lane->full = 0;
    hand_out_all(lane, &b, own, NULL, c);
    if (late && !more) {
      break;
    }
  }
  lane->reading = 0;
  rlc__lane_close_if_left(lane);
}

/* Calls one of those who wait to read on. While the kernel takes no more, all: whoever reads may have
 * gone to sleep before, and then one of the others writes on. */
static void pass_on(rlc__lane *lane, calls *c) {
  int passed = lane->reading;

  for (rlc__frame *frame = lane->first; frame != NULL && (!passed || lane->full);
       frame = frame->next) {
    if (!frame->waiting) {
      continue;
    }
    atomic_store(&frame->state, RLC__FRAME_TO_READ);
    if (passed) {
      rlc__futex_wake_one(&frame->state);
    } else {
      c->frame[c->n++] = frame;
      passed = 1;
    }
  }
}

/* --- waiting ------------------------------------------------------------------------------- */

/* What is left of a frame that is done: its reply or its error. Needs no lock for a reply. */
static int take(rlc__lane *lane, rlc__frame *frame, redisReply **reply, int *unsent,
                char why[RLC_MESSAGE_SIZE]) {
  int rv = frame->error;

  *reply = frame->reply;
  frame->reply = NULL;
  *unsent = rv != 0 && frame->sent == 0;
  if (rv != 0) {
    pthread_mutex_lock(&lane->mutex);
    memcpy(why, lane->why, RLC_MESSAGE_SIZE);
    pthread_mutex_unlock(&lane->mutex);
  }
  rlc__frame_free(lane, frame);
  return rv;
}

/* Leaves a frame at its deadline, and a server that has been silent for too long. */
static int give_up(rlc__lane *lane, rlc__frame *frame, char why[RLC_MESSAGE_SIZE]) {
  rlc__lane_abandon(lane, frame);
  if (lane->under_way > 0 && rlc__clock_monotonic_us() - lane->progress_us > lane->patience_us) {
    rlc__lane_lose(lane, RLC__ERR_UNAVAILABLE,
                   "the server is silent: its connection was given up");
  }
  return rlc__fail(RLC__ERR_TIMEOUT, why, RLC_MESSAGE_SIZE, "the server did not answer in time");
}

/* Reads, or sleeps while another thread does, until |frame| is done: returns 0; or gives it up at its
 * deadline. Called without the lock. */
static int await(rlc__lane *lane, rlc__frame *frame, int64_t deadline_us,
                 char why[RLC_MESSAGE_SIZE]) {
  calls c;
  int rv = 0;

  c.n = 0;
  pthread_mutex_lock(&lane->mutex);
  frame->waiting = 1;
  while (!rlc__frame_is_done(frame)) {
    /* What is there already is seen even past the deadline. */
    if (!lane->reading) {
      read_for_all(lane, frame, deadline_us, &c);
    } else {
      int64_t until_us = deadline_us;

      if (lane->full && rlc__clock_monotonic_us() + RLC__LANE_FULL_US < deadline_us) {
        until_us = rlc__clock_monotonic_us() + RLC__LANE_FULL_US;
      }
      atomic_store(&frame->state, RLC__FRAME_PENDING);
      pthread_mutex_unlock(&lane->mutex);
      make_calls(&c);
      rlc__futex_wait(&frame->state, RLC__FRAME_PENDING, until_us);
      /* Whoever has its reply needs nothing else of the lane: who handed it out reads, or sees to it
       * that somebody does. */
      if (rlc__frame_is_done(frame)) {
        return 0;
      }
      pthread_mutex_lock(&lane->mutex);
      if (lane->full) {
        rlc__lane_flush(lane);
      }
    }
    if (!rlc__frame_is_done(frame) && rlc__socket_is_past(deadline_us)) {
      rv = give_up(lane, frame, why);
      break;
    }
  }
  pass_on(lane, &c);
  pthread_mutex_unlock(&lane->mutex);
  make_calls(&c);
  return rv;
}

int rlc__lane_wait(rlc__lane *lane, rlc__frame *frame, int64_t deadline_us, redisReply **reply,
                   int *unsent, char why[RLC_MESSAGE_SIZE]) {
  int rv = rlc__frame_is_done(frame) ? 0 : await(lane, frame, deadline_us, why);

  *reply = NULL;
  *unsent = 0;
  return rv == 0 ? take(lane, frame, reply, unsent, why) : rv;
}

int rlc__lane_poll(rlc__lane *lane, rlc__frame *frame, int past, redisReply **reply, int *unsent,
                   char why[RLC_MESSAGE_SIZE]) {
  int done = rlc__frame_is_done(frame);
  int rv = RLC__ERR_TIMEOUT;

  *reply = NULL;
  *unsent = 0;
  /* Of many that wait together most are not done: those cost no lock. */
  if (!past && !done) {
    return RLC_PENDING;
  }
  /* Also for one that is done: who finished it may be about to call the waiter, with the lock held. */
  pthread_mutex_lock(&lane->mutex);
  done = rlc__frame_is_done(frame);
  if (!done) {
    rv = give_up(lane, frame, why);
  }
  pthread_mutex_unlock(&lane->mutex);
  return done ? take(lane, frame, reply, unsent, why) : rv;
}

void rlc__lane_pump(rlc__lane *lane, rlc__waiter *waiter) {
  calls c;

  c.n = 0;
  if (atomic_exchange(&lane->pumped, waiter->round) == waiter->round) {
    return;
  }
  pthread_mutex_lock(&lane->mutex);
  if (lane->full && atomic_load(&lane->is_open)) {
    rlc__lane_flush(lane);
  }
  /* Before it is read: what another thread leaves unread is then told of. */
  if (waiter->calmed && atomic_load(&lane->is_open)) {
    rlc__lane_watch(lane, waiter);
  }
  if (!lane->reading && atomic_load(&lane->is_open)) {
    batch b = {.n = 0, .error = 0};

    lane->reading = 1;
    while (b.error == 0 && atomic_load(&lane->is_open)) {
      pthread_mutex_unlock(&lane->mutex);
      make_calls(&c);
      parse(lane, &b, b.n == RLC__LANE_BATCH ? 0 : rlc__connection_fill(lane->connection));
      pthread_mutex_lock(&lane->mutex);
      hand_out_all(lane, &b, NULL, waiter, &c);
    }
    lane->reading = 0;
    rlc__lane_close_if_left(lane);
    pass_on(lane, &c);
  }
  if (lane->full && atomic_load(&lane->is_open)) {
    rlc__waiter_alarm(waiter, rlc__clock_monotonic_us() + RLC__LANE_FULL_US);
  }
  pthread_mutex_unlock(&lane->mutex);
  make_calls(&c);
}

void rlc__lane_leave(rlc__lane *lane, rlc__frame *frame) {
  pthread_mutex_lock(&lane->mutex);
  if (rlc__frame_is_done(frame)) {
    rlc__frame_free(lane, frame);
  } else {
    rlc__lane_abandon(lane, frame);
  }
  pthread_mutex_unlock(&lane->mutex);
}
