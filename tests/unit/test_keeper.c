/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs those four first */
#include <cmocka.h>

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "failing_memory.h"
#include "limiter/keeper.h"

#if defined(__SANITIZE_THREAD__)
#define THREADS_AFTER_FORK 0 /* it takes one of the child's for its parent's that had the same id */
#else
#define THREADS_AFTER_FORK 1
#endif

#define SOON_US INT64_C(20000)
#define LONG_US INT64_C(600000000)

/* A task that counts how often it ran, and when it did last. */
typedef struct counted {
  rlc__task task; /* first */
  int64_t again_us;
  _Atomic int runs;
  _Atomic int order;
  _Atomic int64_t ran_us;
  _Atomic int blocked;  /* signals were, in its thread */
  _Atomic int hold;     /* it stays in its run while this is set */
} counted;

static _Atomic int turn;

static int64_t count(rlc__task *task) {
  counted *c = (counted *)task;
  sigset_t mask;

  pthread_sigmask(SIG_SETMASK, NULL, &mask);
  atomic_store(&c->blocked, sigismember(&mask, SIGTERM) == 1 && sigismember(&mask, SIGUSR1) == 1);
  atomic_store(&c->ran_us, rlc__clock_monotonic_us());
  atomic_store(&c->order, atomic_fetch_add(&turn, 1));
  atomic_fetch_add(&c->runs, 1);
  while (atomic_load(&c->hold)) {
    usleep(200);
  }
  return c->again_us;
}

static void init(counted *c, int64_t again_us) {
  memset(c, 0, sizeof *c);
  c->task.run = count;
  c->again_us = again_us;
}

static void wait_for(counted *c, int runs) {
  int64_t until = rlc__clock_monotonic_us() + 20000000;

  while (atomic_load(&c->runs) < runs) {
    assert_true(rlc__clock_monotonic_us() < until);
    usleep(200);
  }
}

static rlc__keeper *keeper_of(void) {
  rlc__keeper *keeper;

  assert_int_equal(rlc__keeper_new(&keeper, rlc__memory_or_default(NULL)), 0);
  return keeper;
}

static int threads(void) {
  DIR *dir = opendir("/proc/self/task");
  int n = 0;

  while (readdir(dir) != NULL) {
    ++n;
  }
  closedir(dir);
  return n - 2;
}

/* The thread starts with the first task, with all signals blocked, and not before. */
static void lazy_test(void **state) {
  rlc__keeper *keeper = keeper_of();
  int before = threads();
  counted c;

  (void)state;
  init(&c, -1);
  assert_int_equal(rlc__keeper_add(keeper, &c.task, 0), 0);
  assert_int_equal(threads(), before + 1);
  wait_for(&c, 1);
  assert_int_equal(c.blocked, 1);
  rlc__keeper_del(keeper);
  rlc__keeper_del(NULL);
}

/* Tasks run in the order of their times, whatever the order in which they were added, and not before. */
static void order_test(void **state) {
  static const int due[] = {3, 1, 4, 0, 2};
  rlc__keeper *keeper = keeper_of();
  int64_t start = rlc__clock_monotonic_us() + SOON_US;
  counted c[5];

  (void)state;
  atomic_store(&turn, 0);
  for (int i = 0; i < 5; ++i) {
    init(&c[i], -1);
    assert_int_equal(rlc__keeper_add(keeper, &c[i].task, start + due[i] * 1000), 0);
  }
  for (int i = 0; i < 5; ++i) {
    wait_for(&c[i], 1);
    assert_int_equal(c[i].order, due[i]);
    assert_true(c[i].ran_us >= start + due[i] * 1000);
  }
  rlc__keeper_del(keeper);
}

/* A task runs again as long as it says so, and a keeper with tasks that wait can be deleted once they are
 * removed. */
static void again_test(void **state) {
  rlc__keeper *keeper = keeper_of();
  counted c;

  (void)state;
  init(&c, 100);
  assert_int_equal(rlc__keeper_add(keeper, &c.task, 0), 0);
  wait_for(&c, 20);
  rlc__keeper_remove(keeper, &c.task);
  rlc__keeper_remove(keeper, &c.task); /* once more does nothing */
  rlc__keeper_del(keeper);
}

/* What waits for later can be had to run now, and what would run now later. */
static void run_now_test(void **state) {
  rlc__keeper *keeper = keeper_of();
  counted c;
  counted other;

  (void)state;
  init(&c, LONG_US);
  init(&other, -1);
  assert_int_equal(rlc__keeper_add(keeper, &c.task, rlc__clock_monotonic_us() + LONG_US), 0);
  assert_int_equal(rlc__keeper_add(keeper, &other.task, rlc__clock_monotonic_us() + SOON_US), 0);
  assert_int_equal(rlc__keeper_add(keeper, &other.task, rlc__clock_monotonic_us() + LONG_US), 0);
  assert_int_equal(rlc__keeper_add(keeper, &c.task, 0), 0);
  wait_for(&c, 1);
  usleep(2 * SOON_US);
  assert_int_equal(c.runs, 1);
  assert_int_equal(other.runs, 0);
  rlc__keeper_remove(keeper, &c.task);
  rlc__keeper_remove(keeper, &other.task);
  rlc__keeper_del(keeper);
}

/* Added while it runs, it runs once more at that time, not at the one that it returns. */
static void add_while_running_test(void **state) {
  rlc__keeper *keeper = keeper_of();
  counted c;

  (void)state;
  init(&c, LONG_US);
  atomic_store(&c.hold, 1);
  assert_int_equal(rlc__keeper_add(keeper, &c.task, 0), 0);
  wait_for(&c, 1);
  assert_int_equal(rlc__keeper_add(keeper, &c.task, 0), 0);
  atomic_store(&c.hold, 0);
  wait_for(&c, 2);
  rlc__keeper_remove(keeper, &c.task);
  rlc__keeper_del(keeper);
}

static void *let_go(void *user) {
  usleep(SOON_US);
  atomic_store((_Atomic int *)user, 0);
  return NULL;
}

/* Remove waits until the run is over, and the task is not run again though it wants to: its memory may go. */
static void remove_while_running_test(void **state) {
  rlc__keeper *keeper = keeper_of();
  counted *c = malloc(sizeof *c);
  pthread_t thread;

  (void)state;
  init(c, 0);
  atomic_store(&c->hold, 1);
  assert_int_equal(rlc__keeper_add(keeper, &c->task, 0), 0);
  wait_for(c, 1);
  assert_int_equal(pthread_create(&thread, NULL, let_go, &c->hold), 0);
  rlc__keeper_remove(keeper, &c->task);
  assert_int_equal(c->hold, 0);
  assert_int_equal(c->runs, 1);
  pthread_join(thread, NULL);
  memset(c, 0xff, sizeof *c);
  free(c);
  usleep(1000);
  rlc__keeper_del(keeper);
}

static _Atomic int freed;

static int64_t free_itself(rlc__task *task) {
  memset(task, 0xff, sizeof *task);
  free(task);
  atomic_fetch_add(&freed, 1);
  return -1;
}

/* A task that returns -1 may have freed itself. */
static void free_itself_test(void **state) {
  rlc__keeper *keeper = keeper_of();

  (void)state;
  for (int i = 0; i < 100; ++i) {
    rlc__task *task = calloc(1, sizeof *task);

    task->run = free_itself;
    assert_int_equal(rlc__keeper_add(keeper, task, 0), 0);
  }
  while (atomic_load(&freed) < 100) {
    usleep(200);
  }
  rlc__keeper_del(keeper);
}

#define THREADS 4
#define EACH 250

typedef struct crowd {
  rlc__keeper *keeper;
  counted c[EACH];
} crowd;

static void *come_and_go(void *user) {
  crowd *all = user;

  for (int i = 0; i < EACH; ++i) {
    init(&all->c[i], i % 3 == 0 ? -1 : 500);
    (void)rlc__keeper_add(all->keeper, &all->c[i].task,
                          rlc__clock_monotonic_us() + i * 37 % 1000);
  }
  for (int i = 0; i < EACH; ++i) {
    wait_for(&all->c[i], 1);
    if (i % 2 == 0) {
      rlc__keeper_remove(all->keeper, &all->c[i].task);
    }
  }
  for (int i = 1; i < EACH; i += 2) {
    rlc__keeper_remove(all->keeper, &all->c[i].task);
  }
  return NULL;
}

/* Many threads add and remove many tasks: each runs, and none after it was removed. */
static void many_test(void **state) {
  static crowd all[THREADS];
  rlc__keeper *keeper = keeper_of();
  pthread_t thread[THREADS];
  int runs[THREADS][EACH];

  (void)state;
  for (int t = 0; t < THREADS; ++t) {
    all[t].keeper = keeper;
    assert_int_equal(pthread_create(&thread[t], NULL, come_and_go, &all[t]), 0);
  }
  for (int t = 0; t < THREADS; ++t) {
    pthread_join(thread[t], NULL);
  }
  for (int t = 0; t < THREADS; ++t) {
    for (int i = 0; i < EACH; ++i) {
      runs[t][i] = all[t].c[i].runs;
      assert_true(runs[t][i] >= 1 && (i % 3 != 0 || runs[t][i] == 1));
    }
  }
  usleep(3000);
  for (int t = 0; t < THREADS; ++t) {
    for (int i = 0; i < EACH; ++i) {
      assert_int_equal(all[t].c[i].runs, runs[t][i]);
    }
  }
  rlc__keeper_del(keeper);
}

/* In the child: it has no tasks and no thread until one is added, and its parent's may be added anew.
 * Returns 0, or the number of what was wrong. */
static int begin_anew(rlc__keeper *keeper, counted *c) {
  int before = threads();
  rlc__task *nowhere = (rlc__task *)(uintptr_t)8;

  alarm(30);
  usleep(2000);
  if (threads() != before) {
    return 1;
  }
  rlc__keeper_remove(keeper, &c->task); /* not in its list: nothing happens, and nobody is waited for */
  if (!THREADS_AFTER_FORK) {
    return 0;
  }
  atomic_store(&c->runs, 0);
  c->task.next = c->task.previous = nowhere; /* what they were means nothing here */
  if (rlc__keeper_add(keeper, &c->task, 0) != 0 || threads() != before + 1) {
    return 2;
  }
  while (atomic_load(&c->runs) < 3) {
    usleep(200);
  }
  return 0;
}

/* A child, and a child of it while its own thread runs. Does not return. */
static void descend(rlc__keeper *keeper, counted *c) {
  int failed = begin_anew(keeper, c);
  pid_t pid = failed == 0 ? fork() : -1;
  int status = -1;

  if (pid == 0) {
    failed = begin_anew(keeper, c);
  } else if (pid > 0 && (waitpid(pid, &status, 0) != pid || status != 0)) {
    failed = 3;
  }
  rlc__keeper_remove(keeper, &c->task);
  rlc__keeper_del(keeper);
  _exit(failed);
}

/* A fork while a task runs leaves the child neither its run nor its thread, nor a lock that nobody will
 * open. */
static void fork_test(void **state) {
  rlc__keeper *keeper = keeper_of();
  counted c;
  counted busy;

  (void)state;
  init(&c, 50);
  init(&busy, 0); /* so that forks meet the lock held */
  assert_int_equal(rlc__keeper_add(keeper, &c.task, 0), 0);
  assert_int_equal(rlc__keeper_add(keeper, &busy.task, 0), 0);
  wait_for(&c, 1);
  for (int i = 0; i < 20; ++i) {
    int status;
    pid_t pid = fork();

    if (pid == 0) {
      descend(keeper, &c);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
  }
  wait_for(&c, c.runs + 2); /* the parent's goes on */
  rlc__keeper_remove(keeper, &busy.task);
  rlc__keeper_remove(keeper, &c.task);
  rlc__keeper_del(keeper);
}

/* A child that deletes the keeper does not wait for its parent's thread. */
static void delete_in_child_test(void **state) {
  rlc__keeper *keeper = keeper_of();
  int status;
  counted c;
  pid_t pid;

  (void)state;
  init(&c, LONG_US);
  assert_int_equal(rlc__keeper_add(keeper, &c.task, 0), 0);
  pid = fork();
  if (pid == 0) {
    alarm(30);
    rlc__keeper_del(keeper);
    _exit(0);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(status, 0);
  rlc__keeper_remove(keeper, &c.task);
  rlc__keeper_del(keeper);
}

/* Without memory there is no keeper, and nothing is lost. */
static void no_memory_test(void **state) {
  failing_memory failing = {0};
  rlc_memory memory = failing_functions(&failing);
  rlc__keeper *keeper;

  (void)state;
  assert_int_equal(rlc__keeper_new(&keeper, &memory), RLC_ERR_NOMEM);
  assert_null(keeper);
}

static void *nothing(void *user) {
  return user;
}

int main(void) {
  pthread_t first;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(lazy_test),
      cmocka_unit_test(order_test),
      cmocka_unit_test(again_test),
      cmocka_unit_test(run_now_test),
      cmocka_unit_test(add_while_running_test),
      cmocka_unit_test(remove_while_running_test),
      cmocka_unit_test(free_itself_test),
      cmocka_unit_test(many_test),
      cmocka_unit_test(fork_test),
      cmocka_unit_test(delete_in_child_test),
      cmocka_unit_test(no_memory_test),
  };

  /* ThreadSanitizer has a thread of its own from the first on. */
  if (pthread_create(&first, NULL, nothing, NULL) != 0 || pthread_join(first, NULL) != 0) {
    return 1;
  }
  return cmocka_run_group_tests(tests, NULL, NULL);
}
