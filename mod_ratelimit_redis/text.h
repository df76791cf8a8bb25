/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RATELIMIT_TEXT_H
#define RATELIMIT_TEXT_H

#include <stdint.h>

/*
 * The parts of the module that only read text. They know neither httpd nor APR, so that a small
 * test program can hold them to their word.
 */

/* One argument of a directive. In `key="%{HTTP:X-Key}"` |name| is "key" and |value| what stands
 * between the quotes. An argument without "=" has no |name|, and |value| is all of it. */
typedef struct ratelimit_word {
  const char *name;
  const char *value;
} ratelimit_word;

typedef enum ratelimit_words {
  RATELIMIT_WORDS_END = 0,      /* nothing is left */
  RATELIMIT_WORDS_ONE = 1,      /* |word| holds the next argument */
  RATELIMIT_WORDS_OPEN = -1,    /* a quote is not closed */
  RATELIMIT_WORDS_JOINED = -2   /* text follows a closing quote without a space */
} ratelimit_words;

/* Cuts the next argument off |*rest|, in place, and moves |*rest| behind it. Quotes, single or
 * double, may stand around the whole argument or around what follows its first "="; in them a
 * backslash takes its meaning from a quote of that kind and from another backslash. */
ratelimit_words ratelimit_next_word(char **rest, ratelimit_word *word);

/* Returns the place of |text| among the |n| |words|, in any case of letters, or -1. */
int ratelimit_find_word(const char *const *words, int n, const char *text);

/* Reads a whole number from 0 up. What is above |max| becomes |max| + 1: it is a number, and one
 * that can never pass. Returns 1, or 0 if |text| is no such number. */
int ratelimit_parse_cost(const char *text, uint32_t max, uint32_t *cost);

/* Reads a time such as "90s", "10min", "1h" or "1day", from a second to a day. Returns 1, or 0 if |text|
 * is no such time. */
int ratelimit_parse_interval(const char *text, uint32_t *seconds);

/* Reads a time such as "500ms" or "2s", from a millisecond to |most_ms|. Returns 1, or 0 if |text| is
 * no such time. */
int ratelimit_parse_delay(const char *text, uint32_t most_ms, uint32_t *ms);

/* Reads a part of something, from "1%" up to |max| percent. Returns 1, or 0 if |text| is none. */
int ratelimit_parse_percent(const char *text, uint32_t max, uint32_t *percent);

/* Whether an expression reads something: without a "%" it is the same for every request. */
int ratelimit_expr_varies(const char *text);
/* Whether an expression reads what only authentication sets. */
int ratelimit_expr_reads_user(const char *text);

/* Whether an answer in application/problem+json pleases a client that sent |accept| (NULL: none)
 * better than a page of HTML. application/json counts as the same wish; where both please alike,
 * a client that named HTML gets HTML. */
int ratelimit_wants_problem(const char *accept);

#endif
