/* SPDX-License-Identifier: Apache-2.0 */
#ifndef URL_HELP_H
#define URL_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs those four first */
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "store/url.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A URL that is none, the column at fault, and key words of the sentence. */
typedef struct wrong_url {
  const char *text;
  unsigned column;
  const char *words;
} wrong_url;

static inline rlc__url *url_of(const char *text) {
  rlc__url *url;
  char why[RLC_MESSAGE_SIZE] = "";

  if (rlc__url_new(&url, text, NULL, why, sizeof why) != 0) {
    fail_msg("%s: %s", text, why);
  }
  return url;
}

/* Equal strings, or both absent. */
static inline void assert_text(const char *text, const char *expected) {
  if (expected == NULL) {
    assert_null(text);
  } else {
    assert_non_null(text);
    assert_string_equal(text, expected);
  }
}

/* Each is refused as it says, in whole: a sentence that was cut has no last word. */
static inline void assert_wrong(const wrong_url *cases, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    rlc__url *url = (rlc__url *)&url;
    char why[RLC_MESSAGE_SIZE] = "";
    char column[32];

    if (rlc__url_new(&url, cases[i].text, NULL, why, sizeof why) != RLC_ERR_URL || url != NULL) {
      fail_msg("`%s` is not refused as it should be: %s", cases[i].text, why);
    }
    snprintf(column, sizeof column, "column %u: ", cases[i].column);
    if (strncmp(why, column, strlen(column)) != 0 || strstr(why, cases[i].words) == NULL) {
      fail_msg("`%s`: expected `%s... %s`, got `%s`", cases[i].text, column, cases[i].words, why);
    }
    assert_true(strlen(why) < RLC_MESSAGE_SIZE - 1);
    assert_int_equal(rlc__url_new(&url, cases[i].text, NULL, NULL, 0), RLC_ERR_URL);
    assert_null(url);
  }
}

#endif
