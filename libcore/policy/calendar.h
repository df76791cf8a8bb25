/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_CALENDAR_H
#define RLCORE_CALENDAR_H

#include <stddef.h>
#include <stdint.h>

#include "policy/zone.h"

/*
 * Windows of the calendar: local days, weeks, and months or whole divisors of a year. Pure.
 *
 * A window begins at the first instant at which local time has come to the first midnight of its
 * days: where a clock change leaves that midnight out, at the change; where it brings it twice, at
 * the first. Each instant lies in the last window that has begun, so windows follow each other
 * without a gap, and none begins twice.
 */

typedef enum rlc__span {
  RLC__SPAN_SECONDS = 0, /* not the calendar's: windows start at the epoch */
  RLC__SPAN_DAY,
  RLC__SPAN_WEEK,
  RLC__SPAN_MONTHS
} rlc__span;

/* On which day windows begin. */
typedef struct rlc__anchor {
  unsigned month; /* 1 .. 12: of a year; the windows of several months begin in January */
  unsigned day;   /* of the month, 1 .. 31, or its last day where it has fewer */
  unsigned weekday; /* 0 Monday .. 6 Sunday */
} rlc__anchor;

#define RLC__ANCHOR_INIT {1, 1, 0}

typedef struct rlc__calendar {
  rlc__span span;
  unsigned months; /* 1, 2, 3, 4, 6 or 12 */
  rlc__anchor anchor;
  const rlc__zone *zone; /* NULL: UTC */
} rlc__calendar;

/* Seconds since 1970; a window reaches from its start to before its end. */
typedef struct rlc__window {
  int64_t start_s;
  int64_t end_s;
} rlc__window;

/* Returns the window of |calendar|, whose span is not seconds, that |at_s| lies in. */
rlc__window rlc__calendar_window(const rlc__calendar *calendar, int64_t at_s);

/* The same with its neighbours: where the window before begins, its own start and end, and where the
 * window after ends. */
void rlc__calendar_around(const rlc__calendar *calendar, int64_t at_s, int64_t bounds[4]);

/* What an anchor is an anchor of, as it is written. */
typedef enum rlc__anchor_kind {
  RLC__ANCHOR_NONE = 0,
  RLC__ANCHOR_DAY,     /* "31" */
  RLC__ANCHOR_WEEKDAY, /* "sun" */
  RLC__ANCHOR_DATE     /* "04-06" */
} rlc__anchor_kind;

/* Reads an anchor into |out|. Returns its kind, or RLC__ANCHOR_NONE with a sentence in |why|. */
rlc__anchor_kind rlc__anchor_read(rlc__anchor *out, const char *text, size_t len, char *why,
                                  size_t why_size);

/* "mon" .. "sun". */
const char *rlc__weekday_name(unsigned weekday);

/* The most days that |months| from any anchor have, and the fewest. */
unsigned rlc__months_days(unsigned months);
unsigned rlc__months_fewest_days(unsigned months);

#endif
