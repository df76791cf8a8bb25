/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_BREAKER_H
#define RLCORE_BREAKER_H

#include <stdatomic.h>
#include <stdint.h>

#include "rlcore/rlcore.h"

/* Keeps a process from asking a store that does not answer. It opens after RLC__BREAKER_FAILURES
 * failures in a row, or once RLC__BREAKER_TIMEOUTS decisions within RLC__BREAKER_WINDOW_US came to
 * nothing at their deadline and were no fewer than those that did not. It stays open for a jittered
 * time that doubles with each failed probe, then lets one caller probe. Times are CLOCK_MONOTONIC
 * microseconds, passed in. Lock-free. */
#define RLC__BREAKER_FAILURES 5u
#define RLC__BREAKER_TIMEOUTS 20u
#define RLC__BREAKER_WINDOW_US INT64_C(1000000)
#define RLC__BREAKER_FIRST_US INT64_C(100000)
#define RLC__BREAKER_LONGEST_US INT64_C(2000000)
/* A prober that has not told for so long is let be: an event loop may never have asked its queue. No
 * timeout is longer. */
#define RLC__BREAKER_PROBE_US INT64_C(60000000)

typedef struct rlc__breaker {
  _Atomic int64_t open_until_us; /* 0: closed */
  _Atomic int64_t opened_us;     /* when it opened first */
  _Atomic unsigned failures;     /* in a row */
  _Atomic unsigned timeouts;     /* since |window_us|; 0: there is no window */
  _Atomic unsigned others;       /* decisions in the window that were no time-outs */
  _Atomic int64_t window_us;
  _Atomic unsigned opened;       /* how often */
  _Atomic unsigned backoff;      /* failed probes in a row */
  _Atomic int probing;           /* the process whose thread probes, or 0 */
  _Atomic int64_t probing_us;    /* since when */
  _Atomic uint32_t random;
} rlc__breaker;

typedef enum rlc__breaker_pass {
  RLC__BREAKER_STOP, /* do not ask the store */
  RLC__BREAKER_GO,
  RLC__BREAKER_PROBE /* ask; you are the only one */
} rlc__breaker_pass;

typedef enum rlc__breaker_outcome {
  RLC__BREAKER_WORKED,
  RLC__BREAKER_FAILED,
  RLC__BREAKER_TIMED_OUT
} rlc__breaker_outcome;

void rlc__breaker_init(rlc__breaker *breaker, uint32_t seed);
/* Every GO and PROBE is answered by one rlc__breaker_report; a PROBE that found nothing out yet by
 * one rlc__breaker_postpone, after which the next caller probes on. */
rlc__breaker_pass rlc__breaker_ask(rlc__breaker *breaker, int64_t now_us);
/* Lets the next caller probe, before its time. A closed one stays as it is. */
void rlc__breaker_hasten(rlc__breaker *breaker, int64_t now_us);
void rlc__breaker_postpone(rlc__breaker *breaker);
/* Returns 1 if this report opened the breaker for failures in a row, 2 for too many time-outs, -1 if
 * it closed it, else 0; |*open_us| then is how long it was open. */
int rlc__breaker_report(rlc__breaker *breaker, rlc__breaker_pass pass, rlc__breaker_outcome outcome,
                        int64_t now_us, int64_t *open_us);
/* Whether it is closed, or open for so long that somebody may probe. Changes nothing, and is answered by
 * nothing. */
int rlc__breaker_lets_pass(const rlc__breaker *breaker, int64_t now_us);
rlc_breaker rlc__breaker_state(const rlc__breaker *breaker);

#endif
