/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_LOG_H
#define RLCORE_LOG_H

#include "rlcore/rlcore.h"

typedef struct rlc__log {
  rlc_log_fn *fn; /* NULL: nobody listens */
  void *user;
} rlc__log;

/* Formats one line (cut at RLC_MESSAGE_SIZE) and hands it to the listener. |id| is "RLCnnnn", once
 * in the whole source. */
void rlc__log_write(const rlc__log *log, rlc_log_level level, const char *id, const char *format,
                    ...) __attribute__((format(printf, 4, 5)));

#endif
