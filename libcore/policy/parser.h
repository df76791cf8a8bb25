/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_PARSER_H
#define RLCORE_PARSER_H

#include <stdarg.h>
#include <stddef.h>

#include "base/error.h"
#include "policy/parse.h"

/* What the reader of a policy's text, parse.c, and settle.c have in common. */

/* Bytes of the text that a message repeats, escaped and with a NUL. */
#define SHOWN 48
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

typedef enum option {
  OPTION_ALGORITHM,
  OPTION_BURST,
  OPTION_ALIGN,
  OPTION_TZ,
  OPTION_ANCHOR,
  OPTION_BAN,
  OPTION_DEBT
} option;

#define RLC__OPTIONS 7

/* A piece of the text. */
typedef struct slice {
  const char *at;
  size_t len;
} slice;

typedef struct parser {
  rlc_policy *policy;
  const char *text;
  const char *at;
  const char *end;                /* blanks at the end are no part of the policy */
  slice rate_text[RLC_MAX_RATES];
  const char *option_at[RLC__OPTIONS]; /* by option; NULL: not given */
  const char *month_at;           /* the first window of months or years; NULL: there is none */
  uint64_t burst;
  uint64_t debt;
  rlc__anchor anchor;
  rlc__anchor_kind anchor_kind;
  char *why;
  size_t why_size;
} parser;

/* The names of the options, by their number. */
extern const char *const rlc__option_words[RLC__OPTIONS];

/* How many seconds the unit |at| ("min") has; 0 for months, years and what is none. */
uint64_t rlc__unit_seconds(const char *at, size_t len);

/* Reads what stands behind "ban=". Returns 0, or RLC_ERR_POLICY with a sentence. */
int rlc__ban_read(parser *p, slice value);

/* Decides what the options mean together, and computes what the algorithms need. Returns 0, or
 * RLC_ERR_POLICY with a sentence. */
int rlc__policy_settle(parser *p);

/* Writes what is wrong at |at|, with its column. Returns RLC_ERR_POLICY. */
static inline int fail_at(const parser *p, const char *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static inline int fail_at(const parser *p, const char *at, const char *format, ...) {
  char message[RLC_MESSAGE_SIZE];
  va_list args;

  va_start(args, format);
  rlc__vfail(0, message, sizeof message, format, args);
  va_end(args);
  return rlc__fail(RLC_ERR_POLICY, p->why, p->why_size, "column %zu: %s",
                   (size_t)(at - p->text) + 1, message);
}

static inline const char *show(char buf[SHOWN], slice s) {
  return rlc__printable(buf, SHOWN, s.at, s.len);
}

#endif
