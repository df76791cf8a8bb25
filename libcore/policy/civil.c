/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/civil.h"

/* A year that begins on March 1 has its leap day at the end, and its months a regular length; 400
 * of them have 146,097 days. 719,468 days lie between 0000-03-01 and 1970-01-01. */
#define DAYS_IN_ERA 146097
#define DAYS_TO_EPOCH 719468

int64_t rlc__days_of(int64_t year, unsigned month, unsigned day) {
  int64_t y = month <= 2 ? year - 1 : year;
  int64_t era = rlc__floor_div(y, 400);
  int64_t year_of_era = y - era * 400;
  int64_t day_of_year = (153 * (int64_t)(month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

  return era * DAYS_IN_ERA + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 +
         day_of_year - DAYS_TO_EPOCH;
}

rlc__date rlc__date_of(int64_t days) {
  int64_t z = days + DAYS_TO_EPOCH;
  int64_t era = rlc__floor_div(z, DAYS_IN_ERA);
  int64_t day_of_era = z - era * DAYS_IN_ERA;
  int64_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  int64_t month = (5 * day_of_year + 2) / 153; /* 0 is March */
  rlc__date date;

  date.day = (unsigned)(day_of_year - (153 * month + 2) / 5 + 1);
  date.month = (unsigned)(month < 10 ? month + 3 : month - 9);
  date.year = year_of_era + era * 400 + (date.month <= 2);
  return date;
}

int rlc__is_leap(int64_t year) {
  return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

unsigned rlc__days_in_month(int64_t year, unsigned month) {
  static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

  return month == 2 && rlc__is_leap(year) ? 29 : days[month - 1];
}

unsigned rlc__weekday_of(int64_t days) {
  int64_t from_monday = days + 3; /* 1970-01-01 was a Thursday */

  return (unsigned)(from_monday - rlc__floor_div(from_monday, 7) * 7);
}
