/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_LANE_H
#define RLCORE_LANE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/waiter.h"
#include "redis/connection.h"

/*
 * A connection that threads share. Commands are written in the order they were posted and answered in
 * that order. Whoever posts also writes, unless what is under way is more than what has gathered: then
 * it gathers on, and travels together when answers have come. One of those who wait reads for all, and
 * hands the reading on when it has its own answer.
 *
 * A command belongs to the lane: a caller that leaves at its deadline disturbs nobody. If the command
 * had not been written it never is; else its late reply is dropped in its turn.
 */
typedef struct rlc__frame rlc__frame;

typedef struct rlc__lane {
  /* What those read who look for a lane, apart from what its users write all the time. */
  _Atomic int is_open;
  _Atomic unsigned users; /* callers that chose this lane */
  char why[RLC_MESSAGE_SIZE]; /* why it was closed */

  pthread_mutex_t mutex; /* over what follows and `why`; `connection` is read by who reads, written by
                            who writes */
  rlc__connection *connection; /* NULL: closed, and nobody uses it any more */
  rlc__frame *first;  /* the oldest without a reply */
  rlc__frame *last;
  rlc__frame *unsent; /* the oldest that was not wholly written */
  rlc__frame *spare;  /* for the next commands */
  _Atomic(rlc__frame *) returned; /* the same, from threads without the lock */
  unsigned under_way; /* written, at least begun */
  unsigned gathered;  /* not begun */
  int reading;        /* a thread is at it */
  int writing;
  int ending;         /* no further write: somebody waits for the writer */
  int full;           /* the kernel takes no more for now */
  int64_t progress_us;  /* when bytes came last, or the first command after a pause was sent */
  _Atomic uint64_t pumped; /* the waiter's round in which the lane was pumped last */
  uint64_t watched_by;  /* the waiter that watches the connection, of several the last: its `watching` */
  int64_t patience_us;  /* a server that is silent for longer is given up */
  _Atomic uint64_t *late;
  _Atomic uint64_t *lost;
} rlc__lane;

/* Returns 0 or RLC_ERR_SYSTEM. |late| and |lost| count replies to nobody, and lost connections. */
int rlc__lane_init(rlc__lane *lane, int64_t patience_us, _Atomic uint64_t *late,
                   _Atomic uint64_t *lost);
/* Nobody may be using it. */
void rlc__lane_destroy(rlc__lane *lane);
/* What a forked child does with its parent's. */
void rlc__lane_forget(rlc__lane *lane);

/* Gives a closed lane the open connection |c|, of calloc, and takes it over. Returns 0; or -1, and takes
 * nothing, where the lane is open or its last users have not left yet. */
int rlc__lane_install(rlc__lane *lane, rlc__connection *c);
/* Ends the connection: whoever waits on it gets RLC__ERR_UNAVAILABLE and |why|. With |silent_only| only
 * where commands are waiting for an answer; and unless |since_us| is 0 only where nothing has come since
 * then, nor a first command been sent. */
void rlc__lane_cut(rlc__lane *lane, int silent_only, int64_t since_us, const char *why);

/* Posts a command in the Redis protocol, which is taken over also on failure (redisFreeSdsCommand), after
 * ASKING where that is set. |waiter| is called when there is something for `poll` or `pump`; NULL for
 * who waits. Returns 0 and a frame, or RLC__ERR_UNAVAILABLE for a closed lane. */
int rlc__lane_post(rlc__lane *lane, int asking, rlc__waiter *waiter, char *bytes, size_t len,
                   rlc__frame **out);

/* Waits for the reply of |frame|, which is gone afterwards. Returns 0 and a reply, which may be an error
 * reply; RLC__ERR_TIMEOUT; or why the lane was closed, with a sentence in |why|. |*unsent| then tells
 * whether the command for certain has not been sent. */
int rlc__lane_wait(rlc__lane *lane, rlc__frame *frame, int64_t deadline_us, redisReply **reply,
                   int *unsent, char why[RLC_MESSAGE_SIZE]);
/* The same without waiting: returns RLC_PENDING, and leaves |frame| as it is, where there is no reply
 * yet and the deadline is not |past|. Reads nothing. */
int rlc__lane_poll(rlc__lane *lane, rlc__frame *frame, int past, redisReply **reply, int *unsent,
                   char why[RLC_MESSAGE_SIZE]);
/* Reads and hands out what has come, and writes what has gathered, without waiting; once in a round of
 * |waiter|, which is the caller's own and not called. Reads nothing while another thread does. */
void rlc__lane_pump(rlc__lane *lane, rlc__waiter *waiter);
/* Leaves |frame| without waiting. */
void rlc__lane_leave(rlc__lane *lane, rlc__frame *frame);

#endif
