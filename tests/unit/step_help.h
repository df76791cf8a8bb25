/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_STEP_HELP_H
#define RLCORE_STEP_HELP_H

/* Running a child instruction by instruction, for tests of what others see between two of them. */

#include "table_help.h"

#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <sys/ptrace.h>

#define MOST_POINTS 20000

/* Where to stop a child: in numbers of instructions, ascending. */
typedef struct points {
  size_t n;
  unsigned long at[MOST_POINTS];
} points;

/* Keeps this process and its children on one processor, where stepping is many times faster.
 * Returns what to give back to leave_processor. */
static inline cpu_set_t stay_on_processor(void) {
  cpu_set_t all;
  cpu_set_t one;

  assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
  CPU_ZERO(&one);
  CPU_SET((size_t)sched_getcpu(), &one);
  sched_setaffinity(0, sizeof one, &one);
  return all;
}

static inline void leave_processor(cpu_set_t all) {
  sched_setaffinity(0, sizeof all, &all);
}

/* What a child does to be stepped: it calls this before the action, and raises SIGSTOP after. */
static inline void wait_for_steps(void) {
  if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) {
    _exit(77);
  }
  raise(SIGSTOP);
}

static inline void expect_steps(pid_t child) {
  int status;

  assert_int_equal(waitpid(child, &status, 0), child);
  if (!WIFSTOPPED(status)) {
    fail_msg("this test needs ptrace, which this system refuses");
  }
}

/* Lets |child| run one instruction. Returns 0 where it has come to its end. */
static inline int step(pid_t child) {
  int status;

  assert_int_equal(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL), 0);
  assert_int_equal(waitpid(child, &status, 0), child);
  return WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP;
}

/* Steps |child| to its end, kills it, and fills |p|: after each instruction that wrote to |region|,
 * and after every |stride|th. |look|, if given, is called at each of these. */
static inline void find_points(points *p, pid_t child, const rlc__region *region,
                               unsigned long stride, void (*look)(unsigned long at, void *arg),
                               void *arg) {
  unsigned char *before = malloc(region->size);
  unsigned long total = 0;

  assert_non_null(before);
  memcpy(before, region->header, region->size);
  p->n = 0;
  expect_steps(child);
  while (step(child)) {
    int wrote = memcmp(before, region->header, region->size) != 0;

    ++total;
    if (wrote) {
      memcpy(before, region->header, region->size);
    }
    if (wrote || total % stride == 0) {
      assert_true(p->n < MOST_POINTS);
      p->at[p->n++] = total;
      if (look != NULL) {
        look(total, arg);
      }
    }
  }
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  free(before);
  assert_true(total > 100 && p->n > 0);
}

#endif
