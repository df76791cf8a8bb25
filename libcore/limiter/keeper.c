/* SPDX-License-Identifier: Apache-2.0 */
#include "limiter/keeper.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/futex.h"
#include "base/memory.h"

#define NEVER_US INT64_C(3600000000) /* from now: a sleep with nothing to do */

/* Of this process alone: a forked child finds zeros here (MADV_WIPEONFORK), so an open lock, no tasks and
 * no thread, whatever its parent was in the middle of. */
typedef struct page {
  pthread_mutex_t mutex; /* over all that is not atomic, and the tasks' links */
  int generation;        /* what |state| of a task in the list is; 0: nobody was here yet */
  int started;
  int stop;
  int removed;           /* the task that runs is not to run again */
  pthread_t thread;
  rlc__task *first;      /* by |due_us| */
  rlc__task *last;
  rlc__task *running;
  _Atomic uint32_t kicks; /* the thread is to look again */
  _Atomic uint32_t turns; /* tasks that have run */
} page;

struct rlc__keeper {
  rlc_memory memory;
  page *page;
  int generation; /* of no list of a process from which this one descends; under the page's lock */
};

int rlc__keeper_new(rlc__keeper **out, const rlc_memory *memory) {
  rlc__keeper *keeper = rlc__calloc(memory, 1, sizeof *keeper);
  void *own;

  *out = NULL;
  if (keeper == NULL) {
    return RLC_ERR_NOMEM;
  }
  own = mmap(NULL, sizeof(page), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (own == MAP_FAILED || madvise(own, sizeof(page), MADV_WIPEONFORK) != 0) {
    if (own != MAP_FAILED) {
      munmap(own, sizeof(page));
    }
    rlc__free(memory, keeper);
    return RLC_ERR_NOMEM;
  }
  keeper->memory = *memory;
  keeper->page = own;
  *out = keeper;
  return 0;
}

static page *lock(rlc__keeper *keeper) {
  page *p = keeper->page;

  pthread_mutex_lock(&p->mutex);
  if (p->generation == 0) {
    p->generation = ++keeper->generation;
  }
  return p;
}

static void kick(page *p) {
  atomic_fetch_add(&p->kicks, 1);
  rlc__futex_wake_all(&p->kicks);
}

void rlc__keeper_del(rlc__keeper *keeper) {
  rlc_memory memory;
  page *p;
  int started;

  if (keeper == NULL) {
    return;
  }
  p = lock(keeper);
  p->stop = 1;
  started = p->started;
  kick(p);
  pthread_mutex_unlock(&p->mutex);
  if (started) {
    pthread_join(p->thread, NULL);
  }
  munmap(p, sizeof *p);
  memory = keeper->memory;
  rlc__free(&memory, keeper);
}

/* --- the list ------------------------------------------------------------------------------ */

/* Links of a task that a parent had in its list mean nothing: its |state| is an older generation. */
static int is_in(const page *p, const rlc__task *task) {
  return task->state == p->generation;
}

static void put_in(page *p, rlc__task *task, int64_t due_us) {
  rlc__task *before = p->last;

  /* From the end: most tasks come again after the same time, and go last. */
  while (before != NULL && before->due_us > due_us) {
    before = before->previous;
  }
  task->due_us = due_us;
  task->state = p->generation;
  task->previous = before;
  task->next = before != NULL ? before->next : p->first;
  *(task->next != NULL ? &task->next->previous : &p->last) = task;
  *(before != NULL ? &before->next : &p->first) = task;
}

static void take_out(page *p, rlc__task *task) {
  *(task->next != NULL ? &task->next->previous : &p->last) = task->previous;
  *(task->previous != NULL ? &task->previous->next : &p->first) = task->next;
  task->next = task->previous = NULL;
  task->state = 0;
}

/* --- the thread ---------------------------------------------------------------------------- */

/* Runs |task|, without the lock. */
static void run_one(page *p, rlc__task *task) {
  int64_t again_us;

  take_out(p, task);
  p->running = task;
  p->removed = 0;
  pthread_mutex_unlock(&p->mutex);
  again_us = task->run(task);
  pthread_mutex_lock(&p->mutex);
  /* Whoever added it meanwhile said when; and after -1 it may be no more. */
  if (again_us >= 0 && !p->removed && !is_in(p, task)) {
    put_in(p, task, rlc__clock_monotonic_us() + again_us);
  }
  p->running = NULL;
  atomic_fetch_add(&p->turns, 1);
  rlc__futex_wake_all(&p->turns);
}

static void *run(void *user) {
  page *p = user;

  pthread_mutex_lock(&p->mutex);
  while (!p->stop) {
    int64_t now = rlc__clock_monotonic_us();
    uint32_t seen = atomic_load(&p->kicks);
    int64_t next = p->first != NULL ? p->first->due_us : now + NEVER_US;

    if (next <= now) {
      run_one(p, p->first);
      continue;
    }
    pthread_mutex_unlock(&p->mutex);
    rlc__futex_wait(&p->kicks, seen, next);
    pthread_mutex_lock(&p->mutex);
  }
  pthread_mutex_unlock(&p->mutex);
  return NULL;
}

/* Returns 0, or what pthread_create said. */
static int start(page *p) {
  sigset_t all;
  sigset_t before;
  int error = 0;

  if (!p->started) {
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&p->thread, NULL, run, p);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    p->started = error == 0;
  }
  return error;
}

int rlc__keeper_add(rlc__keeper *keeper, rlc__task *task, int64_t due_us) {
  page *p = lock(keeper);
  int error = start(p);

  if (error == 0) {
    if (is_in(p, task)) {
      take_out(p, task);
    }
    put_in(p, task, due_us);
    if (p->first == task) {
      kick(p);
    }
  }
  pthread_mutex_unlock(&p->mutex);
  errno = error != 0 ? error : errno;
  return error == 0 ? 0 : RLC_ERR_SYSTEM;
}

void rlc__keeper_remove(rlc__keeper *keeper, rlc__task *task) {
  page *p = lock(keeper);

  if (is_in(p, task)) {
    take_out(p, task);
  }
  while (p->running == task) {
    uint32_t seen = atomic_load(&p->turns);

    p->removed = 1;
    pthread_mutex_unlock(&p->mutex);
    rlc__futex_wait(&p->turns, seen, rlc__clock_monotonic_us() + NEVER_US);
    pthread_mutex_lock(&p->mutex);
    if (is_in(p, task)) { /* its run had it added */
      take_out(p, task);
    }
  }
  pthread_mutex_unlock(&p->mutex);
}
