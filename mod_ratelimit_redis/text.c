/* SPDX-License-Identifier: Apache-2.0 */
#include "text.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

static int is_space(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static int is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static int is_digit(char c) {
  return c >= '0' && c <= '9';
}

/* --- arguments of a directive -------------------------------------------------------------- */

ratelimit_words ratelimit_next_word(char **rest, ratelimit_word *word) {
  char *from = *rest;
  char *to;
  char quote = '\0';
  int is_name = 1; /* letters, and digits behind them: the "=" of "10/s burst=20" ends none */

  word->name = NULL;
  word->value = NULL;
  while (is_space(*from)) {
    ++from;
  }
  if (*from == '\0') {
    *rest = from;
    return RATELIMIT_WORDS_END;
  }
  to = from;
  word->value = to;
  if (*from == '"' || *from == '\'') {
    quote = *from++;
  }
  while (*from != '\0' && (quote != '\0' ? *from != quote : !is_space(*from))) {
    if (quote != '\0' && from[0] == '\\' && (from[1] == quote || from[1] == '\\')) {
      ++from;
    }
    if (*from == '=' && is_name && to > word->value) {
      is_name = 0;
      word->name = word->value;
      *to++ = '\0';
      ++from;
      word->value = to;
      if (quote == '\0' && (*from == '"' || *from == '\'')) {
        quote = *from++;
      }
    } else {
      is_name = is_name && (is_letter(*from) || (to > word->value && is_digit(*from)));
      *to++ = *from++;
    }
  }
  if (quote != '\0') {
    if (*from == '\0') {
      return RATELIMIT_WORDS_OPEN;
    }
    ++from;
    if (*from != '\0' && !is_space(*from)) {
      return RATELIMIT_WORDS_JOINED;
    }
  }
  *rest = *from != '\0' ? from + 1 : from;
  *to = '\0';
  return RATELIMIT_WORDS_ONE;
}

int ratelimit_find_word(const char *const *words, int n, const char *text) {
  for (int i = 0; i < n; ++i) {
    if (strcasecmp(words[i], text) == 0) {
      return i;
    }
  }
  return -1;
}

/* --- expressions --------------------------------------------------------------------------- */

int ratelimit_parse_cost(const char *text, uint32_t max, uint32_t *cost) {
  uint64_t n = 0;

  *cost = 0;
  if (*text == '\0') {
    return 0;
  }
  for (; *text != '\0'; ++text) {
    if (*text < '0' || *text > '9') {
      return 0;
    }
    if (n <= max) {
      n = n * 10 + (uint64_t)(*text - '0');
    }
  }
  *cost = n <= max ? (uint32_t)n : max + 1;
  return 1;
}

int ratelimit_parse_percent(const char *text, uint32_t max, uint32_t *percent) {
  uint32_t n = 0;

  for (; is_digit(*text); ++text) {
    if (n <= max) {
      n = n * 10 + (uint32_t)(*text - '0');
    }
  }
  *percent = n;
  return strcmp(text, "%") == 0 && n > 0 && n <= max;
}

int ratelimit_parse_interval(const char *text, uint32_t *seconds) {
  static const struct {
    const char *unit;
    uint32_t seconds;
  } units[] = {{"s", 1}, {"min", 60}, {"h", 3600}, {"day", 86400}};
  uint32_t n = 0;
  int digits = 0;

  *seconds = 0;
  for (; is_digit(*text) && n <= 86400; ++text, ++digits) {
    n = n * 10 + (uint32_t)(*text - '0');
  }
  if (digits == 0 || n == 0 || n > 86400) {
    return 0;
  }
  for (size_t i = 0; i < sizeof units / sizeof units[0]; ++i) {
    if (strcasecmp(text, units[i].unit) == 0 && n <= 86400 / units[i].seconds) {
      *seconds = n * units[i].seconds;
      return 1;
    }
  }
  return 0;
}

int ratelimit_parse_delay(const char *text, uint32_t most_ms, uint32_t *ms) {
  uint32_t n = 0;
  int digits = 0;

  *ms = 0;
  for (; is_digit(*text) && n <= most_ms; ++text, ++digits) {
    n = n * 10 + (uint32_t)(*text - '0');
  }
  if (digits > 0 && strcasecmp(text, "s") == 0 && n <= most_ms / 1000) {
    n *= 1000;
  } else if (digits == 0 || strcasecmp(text, "ms") != 0) {
    return 0;
  }
  if (n == 0 || n > most_ms) {
    return 0;
  }
  *ms = n;
  return 1;
}

int ratelimit_expr_varies(const char *text) {
  return strchr(text, '%') != NULL;
}

int ratelimit_expr_reads_user(const char *text) {
  /* The last two begin the variables that authentication providers set. */
  static const char *const names[] = {"REMOTE_USER", "REMOTE_IDENT", "AUTH_TYPE", "AUTHENTICATE_",
                                      "AUTHORIZE_"};

  for (size_t i = 0; i < sizeof names / sizeof names[0]; ++i) {
    if (strcasestr(text, names[i]) != NULL) {
      return 1;
    }
  }
  return 0;
}

/* --- Accept -------------------------------------------------------------------------------- */

/* How well a media range fits a type: the more exactly it is named, the more it says. */
enum { FIT_NONE = 0, FIT_ANY = 1, FIT_TYPE = 2, FIT_ALIAS = 3, FIT_EXACT = 4 };

typedef struct wish {
  int fit;
  int quality; /* in thousandths */
} wish;

static int same(const char *at, size_t len, const char *text) {
  return strlen(text) == len && strncasecmp(at, text, len) == 0;
}

/* Reads "0.8" from |at| up to |end|; anything unreadable counts as 1. */
static int read_quality(const char *at, const char *end) {
  int quality = 0;
  int digit = 100;

  if (at == end || (*at != '0' && *at != '1')) {
    return 1000;
  }
  quality = (*at++ - '0') * 1000;
  if (at < end && *at == '.') {
    for (++at; at < end && *at >= '0' && *at <= '9' && digit > 0; ++at) {
      quality += (*at - '0') * digit;
      digit /= 10;
    }
  }
  return quality < 1000 ? quality : 1000;
}

/* Finds q= among the parameters, which are all that is left of one media range. */
static int find_quality(const char *at, const char *end) {
  while (at < end) {
    if (*at == ';' || is_space(*at)) {
      ++at;
      continue;
    }
    if (end - at >= 2 && (*at == 'q' || *at == 'Q') && at[1] == '=') {
      return read_quality(at + 2, end);
    }
    while (at < end && *at != ';') {
      ++at;
    }
  }
  return 1000;
}

static void note(wish *w, int fit, int quality) {
  if (fit > w->fit || (fit == w->fit && quality > w->quality)) {
    w->fit = fit;
    w->quality = quality;
  }
}

static void read_range(const char *at, const char *end, wish *problem, wish *html) {
  size_t len = 0;
  int quality;

  while (at + len < end && at[len] != ';' && !is_space(at[len])) {
    ++len;
  }
  quality = find_quality(at + len, end);
  if (same(at, len, "*/*")) {
    note(problem, FIT_ANY, quality);
    note(html, FIT_ANY, quality);
  } else if (same(at, len, "application/*")) {
    note(problem, FIT_TYPE, quality);
  } else if (same(at, len, "application/json")) {
    note(problem, FIT_ALIAS, quality);
  } else if (same(at, len, "application/problem+json")) {
    note(problem, FIT_EXACT, quality);
  } else if (same(at, len, "text/*")) {
    note(html, FIT_TYPE, quality);
  } else if (same(at, len, "text/html")) {
    note(html, FIT_EXACT, quality);
  }
}

int ratelimit_wants_problem(const char *accept) {
  wish problem = {FIT_NONE, 0};
  wish html = {FIT_NONE, 0};
  const char *end;

  if (accept == NULL || *accept == '\0') {
    return 1;
  }
  for (; *accept != '\0'; accept = *end != '\0' ? end + 1 : end) {
    while (is_space(*accept)) {
      ++accept;
    }
    end = accept + strcspn(accept, ",");
    read_range(accept, end, &problem, &html);
  }
  if (problem.quality == 0) {
    return 0;
  }
  if (problem.quality != html.quality) {
    return problem.quality > html.quality;
  }
  return html.fit < FIT_TYPE || problem.fit > html.fit;
}
