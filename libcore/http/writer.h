/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_WRITER_H
#define RLCORE_WRITER_H

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Writes text into a buffer that may be too small: what does not fit is counted all the same. */
typedef struct rlc__writer {
  char *buf;
  size_t size;
  size_t len; /* of all text so far, written or not */
} rlc__writer;

static inline void rlc__write(rlc__writer *w, const char *text, size_t len) {
  if (w->len < w->size && len < w->size - w->len) {
    memcpy(w->buf + w->len, text, len);
  }
  w->len += len;
}

static inline void rlc__write_text(rlc__writer *w, const char *text) {
  rlc__write(w, text, strlen(text));
}

static inline void rlc__write_number(rlc__writer *w, uint64_t number) {
  char digits[24];

  rlc__write(w, digits, (size_t)snprintf(digits, sizeof digits, "%" PRIu64, number));
}

/* Ends the text. Returns its length; the buffer holds all of it, or "". */
static inline size_t rlc__write_end(rlc__writer *w) {
  if (w->size > 0) {
    w->buf[w->len < w->size ? w->len : 0] = '\0';
  }
  return w->len;
}

#endif
