/* SPDX-License-Identifier: Apache-2.0 */
#include "base/waiter.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "rlcore/rlcore.h"

static _Atomic uint64_t ids;

static void watch(const rlc__waiter *waiter, int fd, uint32_t how) {
  struct epoll_event event = {.events = EPOLLIN | how, .data = {.fd = fd}};

  /* Mostly it is there already, and wants to be looked at anew. */
  if (epoll_ctl(waiter->fd, EPOLL_CTL_MOD, fd, &event) != 0) {
    (void)epoll_ctl(waiter->fd, EPOLL_CTL_ADD, fd, &event);
  }
}

int rlc__waiter_init(rlc__waiter *waiter) {
  memset(waiter, 0, sizeof *waiter);
  waiter->id = waiter->watching = atomic_fetch_add(&ids, 1) + 1;
  waiter->round = waiter->id << 40;
  waiter->fd = epoll_create1(EPOLL_CLOEXEC);
  waiter->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  waiter->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  if (waiter->fd < 0 || waiter->event < 0 || waiter->timer < 0) {
    int error = errno;

    rlc__waiter_destroy(waiter);
    errno = error;
    return RLC_ERR_SYSTEM;
  }
  watch(waiter, waiter->event, 0);
  watch(waiter, waiter->timer, 0);
  return 0;
}

void rlc__waiter_destroy(rlc__waiter *waiter) {
  int *fds[] = {&waiter->fd, &waiter->event, &waiter->timer};

  for (int i = 0; i < 3; ++i) {
    if (*fds[i] >= 0) {
      close(*fds[i]);
    }
    *fds[i] = -1;
  }
}

void rlc__waiter_call(rlc__waiter *waiter) {
  const uint64_t one = 1;

  /* Many answers come at once; the loop is told of the first. */
  if (!atomic_exchange(&waiter->called, 1)) {
    (void)!write(waiter->event, &one, sizeof one);
  }
}

/* Edge-triggered, which for who polls |waiter->fd| makes no difference until epoll_wait is called. */
void rlc__waiter_watch(const rlc__waiter *waiter, int fd) {
  watch(waiter, fd, EPOLLET);
}

void rlc__waiter_calm(rlc__waiter *waiter) {
  struct epoll_event told[16];

  while (epoll_wait(waiter->fd, told, 16, 0) == 16) {
  }
  waiter->watching = atomic_fetch_add(&ids, 1) + 1;
  waiter->calmed = 1;
}

void rlc__waiter_alarm(rlc__waiter *waiter, int64_t at_us) {
  struct itimerspec at;

  if (waiter->alarm_us != 0 && waiter->alarm_us <= at_us) {
    return;
  }
  memset(&at, 0, sizeof at);
  at.it_value.tv_sec = (time_t)(at_us / 1000000);
  at.it_value.tv_nsec = (long)(at_us % 1000000 * 1000);
  (void)timerfd_settime(waiter->timer, TFD_TIMER_ABSTIME, &at, NULL);
  waiter->alarm_us = at_us;
}

void rlc__waiter_clear(rlc__waiter *waiter, int64_t now_us) {
  uint64_t count;

  ++waiter->round;
  waiter->again = 0;
  waiter->calmed = 0;
  if (atomic_load(&waiter->called)) {
    (void)!read(waiter->event, &count, sizeof count);
    /* Whoever calls from here on writes anew; what those before had to tell is looked at next. */
    (void)atomic_exchange(&waiter->called, 0);
  }
  if (waiter->alarm_us != 0 && waiter->alarm_us <= now_us) {
    (void)!read(waiter->timer, &count, sizeof count);
    waiter->alarm_us = 0;
  }
}
