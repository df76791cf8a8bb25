/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_TZIF_HELP_H
#define RLCORE_TZIF_HELP_H

/* Files of time zones, written by the book (RFC 9636), for tests that must not change with the
 * system's. */

#include <stdint.h>
#include <string.h>

typedef struct tzif {
  unsigned char bytes[4096];
  size_t len;
} tzif;

static inline void put_byte(tzif *file, unsigned value) {
  file->bytes[file->len++] = (unsigned char)value;
}

static inline void put_big(tzif *file, int64_t value, int bytes) {
  while (bytes-- > 0) {
    put_byte(file, (unsigned)((uint64_t)value >> 8 * bytes & 255));
  }
}

/* A header and its block: |n| changes at |at|, each to the type of |type|, and |types| offsets. */
static inline void put_block(tzif *file, int version, int bytes, size_t n, const int64_t *at,
                             const unsigned char *type, size_t types, const int32_t *ahead) {
  memcpy(file->bytes + file->len, "TZif", 4);
  file->len += 4;
  put_byte(file, (unsigned)version);
  for (int i = 0; i < 15; ++i) {
    put_byte(file, 0);
  }
  put_big(file, 0, 4);
  put_big(file, 0, 4);
  put_big(file, 0, 4);
  put_big(file, (int64_t)n, 4);
  put_big(file, (int64_t)types, 4);
  put_big(file, 4, 4);
  for (size_t i = 0; i < n; ++i) {
    put_big(file, at[i], bytes);
  }
  for (size_t i = 0; i < n; ++i) {
    put_byte(file, type[i]);
  }
  for (size_t i = 0; i < types; ++i) {
    put_big(file, ahead[i], 4);
    put_byte(file, 0);
    put_byte(file, 0);
  }
  memcpy(file->bytes + file->len, "ABC", 4);
  file->len += 4;
}

static inline void put_footer(tzif *file, const char *rule) {
  put_byte(file, '\n');
  memcpy(file->bytes + file->len, rule, strlen(rule));
  file->len += strlen(rule);
  put_byte(file, '\n');
}

/* A file of version 3 without a table: its rule holds for all times. */
static inline tzif tzif_of_rule(const char *rule) {
  static const int32_t ahead = 0;
  tzif file;

  memset(&file, 0, sizeof file);
  put_block(&file, '3', 4, 0, NULL, NULL, 1, &ahead);
  put_block(&file, '3', 8, 0, NULL, NULL, 1, &ahead);
  put_footer(&file, rule);
  return file;
}

#endif
