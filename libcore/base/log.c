/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

void rlc__log_write(const rlc__log *log, rlc_log_level level, const char *id, const char *format,
                    ...) {
  char line[RLC_MESSAGE_SIZE];
  /* Whoever logs often does so between a failed call and the reading of its errno. */
  int saved = errno;
  va_list args;
  int n;

  if (log == NULL || log->fn == NULL) {
    return;
  }
  va_start(args, format);
  n = vsnprintf(line, sizeof line, format, args);
  va_end(args);
  if (n < 0) {
    line[0] = '\0';
  }
  log->fn(level, id, line, log->user);
  errno = saved;
}
