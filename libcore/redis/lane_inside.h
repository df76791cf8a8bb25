/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_LANE_INSIDE_H
#define RLCORE_LANE_INSIDE_H

#include "redis/lane.h"

/* What lane.c, which writes and ends lanes, and lane_read.c, which reads and hands out, share. Functions
 * are called with the lane's lock held, unless they say otherwise. */

/* Commands that one write takes, and replies that one turn of reading hands out. */
#define RLC__LANE_BATCH 64
/* When a full socket buffer is tried again, where nobody waits for it to empty. */
#define RLC__LANE_FULL_US INT64_C(1000)

/* PENDING; TO_READ: its thread is called to read for all; DONE: there is a reply or an error. Who sees
 * DONE may take the frame without the lock, so setting it is the last that a lane does to a frame, but
 * for waking at its address. */
enum { RLC__FRAME_PENDING, RLC__FRAME_TO_READ, RLC__FRAME_DONE };

struct rlc__frame {
  rlc__frame *next;
  rlc__frame *previous; /* in the lane's list */
  char *bytes;
  size_t len;
  size_t sent;
  redisReply *reply;
  int error;
  int waiting;         /* a thread is in wait */
  int nobody;          /* no thread wants the reply */
  int needed;          /* written even if nobody wants the reply: ASKING was */
  rlc__waiter *waiter; /* whom to call when it is done, NULL: a thread */
  _Atomic uint32_t state; /* last: what is before it is cleared for each use */
};

static inline int rlc__frame_is_done(const rlc__frame *frame) {
  return atomic_load_explicit(&frame->state, memory_order_acquire) == RLC__FRAME_DONE;
}

/* Gives |frame| back, with or without the lock. */
void rlc__frame_free(rlc__lane *lane, rlc__frame *frame);
/* Makes |frame| done. Returns whether its thread is to be woken. The event loop of |own| is not called:
 * it is the caller's. */
int rlc__frame_finish(rlc__frame *frame, const rlc__waiter *own);

/* Sees to it that |waiter| hears of what comes. */
void rlc__lane_watch(rlc__lane *lane, rlc__waiter *waiter);
/* Writes what has gathered, if that is due. Lets go of the lock meanwhile. */
void rlc__lane_flush(rlc__lane *lane);
/* Lets the thread that is writing take the lock. */
void rlc__lane_let_writer(rlc__lane *lane);
/* Ends the connection for everybody. */
void rlc__lane_lose(rlc__lane *lane, int error, const char *why);
/* The last of those who read and write closes. */
void rlc__lane_close_if_left(rlc__lane *lane);
/* Leaves a frame that is not done. */
void rlc__lane_abandon(rlc__lane *lane, rlc__frame *frame);

#endif
