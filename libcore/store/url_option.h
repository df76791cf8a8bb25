/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_URL_OPTION_H
#define RLCORE_URL_OPTION_H

#include "store/url.h"

/* The parts of rlc__url_new. */

/* A piece of a URL's text. */
typedef struct rlc__url_slice {
  const char *at;
  size_t len;
} rlc__url_slice;

typedef struct rlc__url_parser {
  rlc__url *url;
  const char *text;
  const char *end;
  char *why;
  size_t why_size;
} rlc__url_parser;

/* Says in |why| what is wrong at |at|, and returns |error|. */
int rlc__url_fail(const rlc__url_parser *p, int error, const char *at, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Stores a copy of |s| in |*out|. Returns 0 or RLC_ERR_NOMEM. */
int rlc__url_copy(const rlc__url_parser *p, char **out, rlc__url_slice s);

/* Reads |s|, which is all digits of |base|, up to |max|. Returns 0, or -1 if it is not. */
int rlc__url_number(rlc__url_slice s, unsigned base, uint64_t max, uint64_t *out);

/* Reads "name=value&name=value" from |at| to the end of the URL. */
int rlc__url_options(rlc__url_parser *p, const char *at);

#endif
