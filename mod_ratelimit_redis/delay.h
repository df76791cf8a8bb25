/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RATELIMIT_DELAY_H
#define RATELIMIT_DELAY_H

#include "answer.h"

/*
 * delay=: a request that a limit refuses waits for its turn, and is asked about again. Nothing is
 * reserved for it: when its wait is over it is decided like any other, so that no more passes than
 * without. Requests of one key line up: each waits for those that came before it.
 *
 * Who waits has a worker. So waiting has its end in time, at most delay=, and in places: a part of the
 * workers, RateLimitDelay. A place is the process's until a time that is written in it: one whose
 * process was killed is free when that has come.
 */
typedef struct ratelimit_wait {
  unsigned tries;
  int place;               /* its index plus 1; 0: none */
  apr_uint64_t mark;       /* what is written there */
  apr_uint64_t begun_us;
  apr_uint64_t latest_us;  /* no wait goes beyond */
} ratelimit_wait;

enum { RATELIMIT_DELAY_PERCENT = 10, RATELIMIT_DELAY_MOST_PERCENT = 50 };

/* Makes the places, in the parent. Returns OK, or an HTTP status after it has logged why not. */
int ratelimit_delay_open(apr_pool_t *pconf, server_rec *main_server);

/* The request has been refused, by a decision that was enforced. Returns 1 if it has waited and shall
 * be decided once more, else 0. |*wait| begins as zeros. */
int ratelimit_delay(request_rec *r, const ratelimit_batch *batch, ratelimit_wait *wait);

/* Ends what ratelimit_delay has begun, if it has. */
void ratelimit_delay_end(request_rec *r, const ratelimit_batch *batch, ratelimit_wait *wait);

#endif
