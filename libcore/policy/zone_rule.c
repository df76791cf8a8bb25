/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/zone_rule.h"

#include <string.h>

#include "policy/civil.h"

#define DAY_S 86400

/* What is left of the text. */
typedef struct cursor {
  const char *at;
  const char *end;
} cursor;

static int next_is(const cursor *c, char wanted) {
  return c->at < c->end && *c->at == wanted;
}

static int take(cursor *c, char wanted) {
  if (!next_is(c, wanted)) {
    return 0;
  }
  ++c->at;
  return 1;
}

static int is_digit(char ch) {
  return ch >= '0' && ch <= '9';
}

static int is_letter(char ch) {
  return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z');
}

/* Takes a number of |least| to |most|. Returns 0 for anything else. */
static int take_number(cursor *c, unsigned least, unsigned most, unsigned *out) {
  const char *start = c->at;
  unsigned value = 0;

  for (; c->at < c->end && is_digit(*c->at) && value <= most; ++c->at) {
    value = value * 10 + (unsigned)(*c->at - '0');
  }
  *out = value;
  return c->at > start && value >= least && value <= most;
}

/* Takes a zone's abbreviation, which is of no interest: letters, or anything between < and >. */
static int take_name(cursor *c) {
  const char *start;
  size_t len;

  if (take(c, '<')) {
    for (start = c->at; c->at < c->end && (is_letter(*c->at) || is_digit(*c->at) ||
                                           *c->at == '+' || *c->at == '-');
         ++c->at) {
    }
    len = (size_t)(c->at - start);
    return len >= 3 && take(c, '>');
  }
  for (start = c->at; c->at < c->end && is_letter(*c->at); ++c->at) {
  }
  return c->at - start >= 3;
}

/* Takes [+-]hh[:mm[:ss]] in seconds. */
static int take_time(cursor *c, unsigned most_hours, int32_t *out) {
  unsigned hours = 0, minutes = 0, seconds = 0;
  int negative = take(c, '-');
  int32_t value;

  if (!negative) {
    (void)take(c, '+');
  }
  if (!take_number(c, 0, most_hours, &hours) ||
      (take(c, ':') && (!take_number(c, 0, 59, &minutes) ||
                        (take(c, ':') && !take_number(c, 0, 59, &seconds))))) {
    return 0;
  }
  value = (int32_t)(hours * 3600 + minutes * 60 + seconds);
  *out = negative ? -value : value;
  return 1;
}

static int take_date(cursor *c, rlc__rule_date *date) {
  int good;

  memset(date, 0, sizeof *date);
  date->time_s = 2 * 3600;
  if (take(c, 'M')) {
    date->kind = 'M';
    good = take_number(c, 1, 12, &date->month) && take(c, '.') &&
           take_number(c, 1, 5, &date->week) && take(c, '.') && take_number(c, 0, 6, &date->day);
  } else if (take(c, 'J')) {
    date->kind = 'J';
    good = take_number(c, 1, 365, &date->day);
  } else {
    date->kind = '0';
    good = take_number(c, 0, 365, &date->day);
  }
  return good && (!take(c, '/') || take_time(c, 167, &date->time_s));
}

int rlc__zone_rule_read(rlc__zone_rule *rule, const char *text, size_t len) {
  cursor c = {text, text + len};
  int32_t behind_s = 0; /* POSIX counts to the west */

  memset(rule, 0, sizeof *rule);
  if (!take_name(&c) || !take_time(&c, 24, &behind_s)) {
    return -1;
  }
  rule->standard_s = -behind_s;
  if (c.at == c.end) {
    return 0;
  }
  rule->has_daylight = 1;
  if (!take_name(&c)) {
    return -1;
  }
  behind_s -= 3600;
  if (!next_is(&c, ',') && !take_time(&c, 24, &behind_s)) {
    return -1;
  }
  rule->daylight_s = -behind_s;
  return take(&c, ',') && take_date(&c, &rule->start) && take(&c, ',') &&
                 take_date(&c, &rule->end) && c.at == c.end
             ? 0
             : -1;
}

/* The local second of |date| in |year|. */
static int64_t local_of(const rlc__rule_date *date, int64_t year) {
  int64_t days = rlc__days_of(year, 1, 1);

  if (date->kind == 'J') {
    days += (int64_t)date->day - 1 + (date->day >= 60 && rlc__is_leap(year));
  } else if (date->kind == '0') {
    days += date->day;
  } else {
    int64_t first = rlc__days_of(year, date->month, 1);
    unsigned weekday = (rlc__weekday_of(first) + 1) % 7; /* 0 Sunday */
    unsigned ahead = (date->day + 7 - weekday) % 7 + 7 * (date->week - 1);

    days = first + ahead;
    if (ahead >= rlc__days_in_month(year, date->month)) {
      days -= 7;
    }
  }
  return days * DAY_S + date->time_s;
}

void rlc__zone_rule_year(const rlc__zone_rule *rule, int64_t year, int64_t *start_s,
                         int64_t *end_s) {
  *start_s = local_of(&rule->start, year) - rule->standard_s;
  *end_s = local_of(&rule->end, year) - rule->daylight_s;
}
