/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_WAITER_H
#define RLCORE_WAITER_H

#include <stdatomic.h>
#include <stdint.h>

/*
 * A descriptor for an event loop: readable when something that its owner waits for may have happened.
 * The owner is one thread; the others call it. It belongs to the process that made it.
 */
typedef struct rlc__waiter {
  int fd;            /* of epoll: what the event loop polls */
  int event;
  int timer;
  uint64_t id;       /* of no other waiter, before or after */
  uint64_t round;    /* of no other time between two clears, of any waiter */
  uint64_t watching; /* of no other time between two calms, of any waiter */
  int calmed;        /* in this round: what is waited for is to be watched again */
  int again;         /* something was begun in this round: look once more */
  _Atomic int called;
  int64_t alarm_us;  /* what the timer is set to; 0: to nothing */
} rlc__waiter;

/* Returns 0 or RLC_ERR_SYSTEM. */
int rlc__waiter_init(rlc__waiter *waiter);
void rlc__waiter_destroy(rlc__waiter *waiter);

/* Makes it readable. From any thread. */
void rlc__waiter_call(rlc__waiter *waiter);
/* Makes it readable while |fd| is, until |fd| is closed or the waiter calmed. From any thread. */
void rlc__waiter_watch(const rlc__waiter *waiter, int fd);
/* Makes it readable at |at_us| of CLOCK_MONOTONIC, if it is not before. */
void rlc__waiter_alarm(rlc__waiter *waiter, int64_t at_us);
/* Takes calls and a past alarm back: what happens from now on makes it readable again. Another round
 * begins. */
void rlc__waiter_clear(rlc__waiter *waiter, int64_t now_us);
/* No descriptor that is readable by now makes it so any more, unless it is watched again or more comes:
 * nobody may be there to read it. Of one that was closed while a forked process had it this is the only
 * way: epoll goes on to tell of it, and cannot be told to stop. */
void rlc__waiter_calm(rlc__waiter *waiter);

#endif
