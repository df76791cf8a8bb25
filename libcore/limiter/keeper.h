/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_KEEPER_H
#define RLCORE_KEEPER_H

#include <stdint.h>

#include "rlcore/rlcore.h"

/*
 * The helper thread of a limiter: runs tasks at their time. It is started with the first task, all
 * signals blocked, and started anew in a process forked since, when a task is added there: a child
 * begins without tasks.
 */
typedef struct rlc__keeper rlc__keeper;

/* A task is its owner's memory, cleared before it is first added. */
typedef struct rlc__task rlc__task;
struct rlc__task {
  /* Runs in the helper thread, without a lock. Returns in how many microseconds to run again, or -1: no
   * more; after that the thread does not touch the task, which may be freed in |run| itself. */
  int64_t (*run)(rlc__task *task);
  int64_t due_us;      /* CLOCK_MONOTONIC */
  rlc__task *next;     /* the keeper's */
  rlc__task *previous;
  int state;
};

/* Returns 0 or RLC_ERR_NOMEM. No thread is started here. */
int rlc__keeper_new(rlc__keeper **out, const rlc_memory *memory);
/* Ends the thread. No task is left. */
void rlc__keeper_del(rlc__keeper *keeper);
/* Has |task| run at |due_us| or soon after; one that is added already runs then instead. Returns 0 or
 * RLC_ERR_SYSTEM (no thread). Safe from every thread. */
int rlc__keeper_add(rlc__keeper *keeper, rlc__task *task, int64_t due_us);
/* Returns when |task| neither runs nor will. Not from a task. */
void rlc__keeper_remove(rlc__keeper *keeper, rlc__task *task);

#endif
