/* SPDX-License-Identifier: Apache-2.0 */

/* Preloaded, it puts a program's wall clock and boot clock ahead by SKEW_SECONDS: a client whose
 * clock is wrong. The monotonic clock, which only measures waits, stays. */

#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long skew(void) {
  const char *text = getenv("SKEW_SECONDS");

  return text == NULL ? 0 : strtol(text, NULL, 10);
}

int clock_gettime(clockid_t clock, struct timespec *t) {
  static int (*real)(clockid_t, struct timespec *);
  int rv;

  if (real == NULL) {
    real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  }
  rv = real(clock, t);
  if (rv == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE ||
                  clock == CLOCK_BOOTTIME)) {
    t->tv_sec += skew();
  }
  return rv;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone) {
  struct timespec now;

  (void)zone;
  clock_gettime(CLOCK_REALTIME, &now);
  t->tv_sec = now.tv_sec;
  t->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *out) {
  struct timespec now;

  clock_gettime(CLOCK_REALTIME, &now);
  if (out != NULL) {
    *out = now.tv_sec;
  }
  return now.tv_sec;
}
