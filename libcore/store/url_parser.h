/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_URL_PARSER_H
#define RLCORE_URL_PARSER_H

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
  int after_secret; /* an option was a secret: what follows may be its rest, and is not shown */
} rlc__url_parser;

/* The longest URL, without the NUL. */
#define RLC__URL_MAX 2048
#define RLC__URL_MAX_DB 65535

/* Says in |why| what is wrong at |at|, and returns |error|. */
int rlc__url_fail(const rlc__url_parser *p, int error, const char *at, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Stores a copy of |s| in |*out|. Returns 0 or RLC_ERR_NOMEM. */
int rlc__url_copy(const rlc__url_parser *p, char **out, rlc__url_slice s);

/* Writes |s| with its %XX replaced by bytes to |to|, which holds |s.len| + 1 zeros. Returns 0 or
 * RLC_ERR_URL. */
int rlc__url_decode(const rlc__url_parser *p, char *to, rlc__url_slice s);
/* The same in new memory: stores it in |*out|, also on failure. Behind the text are zeros: wiping
 * strlen bytes of it leaves nothing. Returns 0, RLC_ERR_URL or RLC_ERR_NOMEM. */
int rlc__url_decode_new(const rlc__url_parser *p, char **out, rlc__url_slice s);

/* Reads |s|, which is all digits of |base|, up to |max|. Returns 0, or -1 if it is not. */
int rlc__url_number(rlc__url_slice s, unsigned base, uint64_t max, uint64_t *out);

/* Whether |s| is 1 to |most| letters, digits, "_", "." or "-": nothing to escape in a host, a key
 * of Redis, a master's or a group's name. */
int rlc__url_is_word(rlc__url_slice s, size_t most);

/* Whether |s| can be the name of a host, or its IPv4 address. */
int rlc__url_is_host(rlc__url_slice s);

/* Reads |body|, what stands between a redis scheme's colon and the options. */
int rlc__url_servers(rlc__url_parser *p, rlc__url_slice body);

/* Reads "name=value&name=value" from |at| to the end of the URL. */
int rlc__url_options(rlc__url_parser *p, const char *at);

#endif
