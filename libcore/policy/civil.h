/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_CIVIL_H
#define RLCORE_CIVIL_H

#include <stdint.h>

/* Dates of the Gregorian calendar, and days since 1970-01-01. Pure; any year within a million. */

typedef struct rlc__date {
  int64_t year;
  unsigned month; /* 1 .. 12 */
  unsigned day;   /* 1 .. 31 */
} rlc__date;

int64_t rlc__days_of(int64_t year, unsigned month, unsigned day);
rlc__date rlc__date_of(int64_t days);
int rlc__is_leap(int64_t year);
unsigned rlc__days_in_month(int64_t year, unsigned month);
/* 0 Monday .. 6 Sunday. */
unsigned rlc__weekday_of(int64_t days);

/* a / b rounded down, where b > 0. */
static inline int64_t rlc__floor_div(int64_t a, int64_t b) {
  return a / b - (a % b < 0);
}

#endif
