/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/calendar.h"

#include <string.h>

#include "base/error.h"
#include "base/suggest.h"
#include "policy/civil.h"

#define DAY_S 86400
/* No zone is further from UTC: see zone.c. */
#define FARTHEST_S (26 * 3600)

static const char *const weekdays[] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

/* --- windows ------------------------------------------------------------------------------- */

/* Windows have numbers, ascending with time. Returns the day that window |number| begins on. */
static int64_t first_day(const rlc__calendar *c, int64_t number) {
  int64_t month, year;
  unsigned length;

  switch (c->span) {
  case RLC__SPAN_SECONDS:
  case RLC__SPAN_DAY:
    break;
  case RLC__SPAN_WEEK:
    return number * 7 + (int64_t)c->anchor.weekday - 3; /* day 0 was a Thursday */
  case RLC__SPAN_MONTHS:
    month = number * c->months + c->anchor.month - 1; /* since January of the year 0 */
    year = rlc__floor_div(month, 12);
    month = month - year * 12 + 1;
    length = rlc__days_in_month(year, (unsigned)month);
    return rlc__days_of(year, (unsigned)month,
                        c->anchor.day < length ? c->anchor.day : length);
  }
  return number;
}

/* Returns the last window that begins on |day| or before. */
static int64_t number_of(const rlc__calendar *c, int64_t day) {
  rlc__date date;
  int64_t number;

  switch (c->span) {
  case RLC__SPAN_SECONDS:
  case RLC__SPAN_DAY:
    break;
  case RLC__SPAN_WEEK:
    return rlc__floor_div(day - (int64_t)c->anchor.weekday + 3, 7);
  case RLC__SPAN_MONTHS:
    date = rlc__date_of(day);
    number = rlc__floor_div(date.year * 12 + date.month - c->anchor.month, c->months);
    return first_day(c, number) > day ? number - 1 : number;
  }
  return day;
}

/* Returns the first instant at which local time is at the midnight that |day| begins with, or past
 * it. */
static int64_t begin_of(const rlc__calendar *c, int64_t day) {
  int64_t local_s = day * DAY_S;
  int64_t from_s = local_s - FARTHEST_S; /* nowhere is it so late yet */

  for (;;) {
    int64_t until_s;
    int64_t at_s = local_s - rlc__zone_ahead(c->zone, from_s, &until_s);

    if (at_s < until_s) {
      return at_s > from_s ? at_s : from_s;
    }
    from_s = until_s;
  }
}

/* The same for window |number|. */
static int64_t start_of(const rlc__calendar *c, int64_t number) {
  return begin_of(c, first_day(c, number));
}

/* The window that |at_s| lies in, and its number: the last that has begun. */
static rlc__window find(const rlc__calendar *c, int64_t at_s, int64_t *number) {
  int64_t until_s;
  int64_t local_s = at_s + rlc__zone_ahead(c->zone, at_s, &until_s);
  rlc__window w;

  *number = number_of(c, rlc__floor_div(local_s, DAY_S));
  w.end_s = start_of(c, *number + 1);
  if (w.end_s > at_s) {
    w.start_s = start_of(c, *number);
    return w;
  }
  /* The clock went back over a midnight that had begun a window. */
  do {
    ++*number;
    w.start_s = w.end_s;
    w.end_s = start_of(c, *number + 1);
  } while (w.end_s <= at_s);
  return w;
}

rlc__window rlc__calendar_window(const rlc__calendar *calendar, int64_t at_s) {
  int64_t number;

  return find(calendar, at_s, &number);
}

void rlc__calendar_around(const rlc__calendar *calendar, int64_t at_s, int64_t bounds[4]) {
  int64_t number;
  rlc__window w = find(calendar, at_s, &number);

  bounds[1] = w.start_s;
  bounds[2] = w.end_s;
  /* Where a zone left out a whole day, that day's window is empty: it is passed over. */
  for (int64_t before = number - 1; (bounds[0] = start_of(calendar, before)) >= w.start_s;
       --before) {
  }
  for (int64_t after = number + 2; (bounds[3] = start_of(calendar, after)) <= w.end_s; ++after) {
  }
}

unsigned rlc__months_days(unsigned months) {
  static const unsigned days[] = {0, 31, 62, 92, 123, 0, 184, 0, 0, 0, 0, 0, 366};

  return days[months];
}

unsigned rlc__months_fewest_days(unsigned months) {
  static const unsigned days[] = {0, 28, 59, 89, 120, 0, 181, 0, 0, 0, 0, 0, 365};

  return days[months];
}

/* --- anchors ------------------------------------------------------------------------------- */

const char *rlc__weekday_name(unsigned weekday) {
  return weekdays[weekday];
}

/* Takes a number of one or two digits. Returns how many, or 0. */
static size_t take_number(const char *text, size_t len, unsigned *out) {
  size_t n = 0;

  for (*out = 0; n < len && n < 2 && text[n] >= '0' && text[n] <= '9'; ++n) {
    *out = *out * 10 + (unsigned)(text[n] - '0');
  }
  return n;
}

rlc__anchor_kind rlc__anchor_read(rlc__anchor *out, const char *text, size_t len, char *why,
                                  size_t why_size) {
  const char *meant = rlc__suggest(text, len, weekdays, 7);
  char shown[48];
  unsigned first, second;
  size_t n = take_number(text, len, &first);
  size_t m;

  *out = (rlc__anchor)RLC__ANCHOR_INIT;
  for (unsigned i = 0; i < 7; ++i) {
    if (len == 3 && memcmp(text, weekdays[i], 3) == 0) {
      out->weekday = i;
      return RLC__ANCHOR_WEEKDAY;
    }
  }
  if (n > 0 && n == len && first >= 1 && first <= 31) {
    out->day = first;
    return RLC__ANCHOR_DAY;
  }
  rlc__printable(shown, sizeof shown, text, len);
  if (n > 0 && n < len && text[n] == '-' && first >= 1 && first <= 12) {
    m = take_number(text + n + 1, len - n - 1, &second);
    if (m > 0 && n + 1 + m == len && second >= 1 && second <= rlc__days_in_month(2000, first)) {
      out->month = first;
      out->day = second;
      return RLC__ANCHOR_DATE;
    }
    if (m > 0 && n + 1 + m == len && second > 0) {
      rlc__fail(0, why, why_size, "no year has a day \"%s\"; write \"%02u-%02u\"", shown, first,
                rlc__days_in_month(2000, first));
      return RLC__ANCHOR_NONE;
    }
  }
  rlc__fail(0, why, why_size,
            "expected a day of the month (\"31\"), of the week (\"sun\") or of the year "
            "(\"04-06\") after \"anchor=\", found \"%s\"%s%s%s", shown,
            meant != NULL ? " - did you mean \"" : "", meant != NULL ? meant : "",
            meant != NULL ? "\"?" : "");
  return RLC__ANCHOR_NONE;
}
