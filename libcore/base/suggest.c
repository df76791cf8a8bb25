/* SPDX-License-Identifier: Apache-2.0 */
#include "base/suggest.h"

#include <string.h>

/* Longer words than the grammar's longest are no typing errors. */
#define LONGEST 40
#define FARTHEST 2

static char lower(char c) {
  return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static size_t least(size_t a, size_t b) {
  return a < b ? a : b;
}

/* The edit distance with swaps of neighbours ("optimal string alignment"), row by row. */
static size_t distance(const char *a, size_t alen, const char *b, size_t blen) {
  size_t rows[3][LONGEST + 1];
  size_t *above = rows[0], *row = rows[1], *two_above = rows[2];

  for (size_t j = 0; j <= blen; ++j) {
    above[j] = j;
  }
  for (size_t i = 1; i <= alen; ++i) {
    size_t *spare = two_above;

    row[0] = i;
    for (size_t j = 1; j <= blen; ++j) {
      char x = lower(a[i - 1]), y = lower(b[j - 1]);

      row[j] = least(above[j - 1] + (x != y), least(above[j], row[j - 1]) + 1);
      if (i > 1 && j > 1 && x == lower(b[j - 2]) && lower(a[i - 2]) == y) {
        row[j] = least(row[j], two_above[j - 2] + 1);
      }
    }
    two_above = above;
    above = row;
    row = spare;
  }
  return above[blen];
}

const char *rlc__suggest(const char *text, size_t len, const char *const *words, size_t n) {
  const char *best = NULL;
  size_t best_distance = FARTHEST + 1;

  if (len == 0 || len > LONGEST) {
    return NULL;
  }
  for (size_t i = 0; i < n; ++i) {
    size_t word_len = strlen(words[i]);
    size_t d = word_len <= LONGEST ? distance(text, len, words[i], word_len) : best_distance;

    if (d < best_distance && d < least(len, word_len + 1)) {
      best = words[i];
      best_distance = d;
    }
  }
  return best;
}
