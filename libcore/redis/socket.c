/* SPDX-License-Identifier: Apache-2.0 */
#include "redis/socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"

/* How long a full listening queue of a unix socket is left alone: poll cannot wait for it. */
#define QUEUE_PAUSE_US 1000

int rlc__socket_is_past(int64_t deadline_us) {
  return rlc__clock_monotonic_us() >= deadline_us;
}

int rlc__socket_wait(int fd, short events, int64_t deadline_us) {
  struct pollfd wanted = {fd, events, 0};
  int n;

  do {
    int64_t left = deadline_us - rlc__clock_monotonic_us();
    struct timespec time = {0, 0};

    if (left > 0) {
      time.tv_sec = (time_t)(left / 1000000);
      time.tv_nsec = (long)(left % 1000000 * 1000);
    }
    n = ppoll(&wanted, 1, &time, NULL);
  } while (n < 0 && errno == EINTR);
  return n == 0 ? RLC__ERR_TIMEOUT : 0;
}

static int is_queue_full(const struct sockaddr *to, int error) {
  return to->sa_family == AF_UNIX && error == EAGAIN;
}

/* Returns 0 or an errno. */
static int finish_connecting(int fd, int64_t deadline_us) {
  socklen_t size = sizeof(int);
  int error = 0;

  if (rlc__socket_wait(fd, POLLOUT, deadline_us) != 0) {
    return ETIMEDOUT;
  }
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

int rlc__socket_connect(int *out, const rlc__address *address, int64_t deadline_us) {
  const struct sockaddr *to = (const struct sockaddr *)&address->socket;
  const int on = 1;
  int error;
  int fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

  *out = fd;
  if (fd < 0) {
    return -1;
  }
  if (to->sa_family != AF_UNIX) {
    /* Neither is needed for an answer to be right: a refusal is no reason to stop. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  }
  error = connect(fd, to, address->len) == 0 ? 0 : errno;
  while (is_queue_full(to, error)) {
    int64_t pause_us = rlc__clock_monotonic_us() + QUEUE_PAUSE_US;

    (void)rlc__socket_wait(-1, 0, pause_us < deadline_us ? pause_us : deadline_us);
    if (rlc__socket_is_past(deadline_us)) {
      error = ETIMEDOUT;
    } else {
      error = connect(fd, to, address->len) == 0 ? 0 : errno;
    }
  }
  if (error == EINPROGRESS || error == EINTR) {
    error = finish_connecting(fd, deadline_us);
  }
  if (error != 0) {
    *out = -1;
    close(fd);
    errno = error;
    return -1;
  }
  return 0;
}
