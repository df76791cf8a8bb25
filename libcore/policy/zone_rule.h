/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_ZONE_RULE_H
#define RLCORE_ZONE_RULE_H

#include <stddef.h>
#include <stdint.h>

/* The rule at the end of a time zone's file, for the years after its table: a TZ string of POSIX
 * with the extensions of RFC 8536 (times of -167 to 167 hours), as in "CET-1CEST,M3.5.0,M10.5.0/3"
 * or "<-02>2<-01>,M3.5.0/-1,M10.5.0/0". Pure. */

/* A day of each year, and a time of it by the clock. */
typedef struct rlc__rule_date {
  char kind;      /* 'J': day 1 .. 365, February 29 does not count; '0': day 0 .. 365; 'M' */
  unsigned month; /* 'M': the |week|th |day| (0 Sunday) of the month, 5 being the last */
  unsigned week;
  unsigned day;
  int32_t time_s;
} rlc__rule_date;

typedef struct rlc__zone_rule {
  int32_t standard_s; /* seconds ahead of UTC */
  int32_t daylight_s;
  int has_daylight;
  rlc__rule_date start; /* of daylight saving, by standard time */
  rlc__rule_date end;   /* by daylight time */
} rlc__zone_rule;

/* Reads |text|, all of it. Returns 0, or -1 where it is no such string. */
int rlc__zone_rule_read(rlc__zone_rule *rule, const char *text, size_t len);

/* The seconds since 1970 at which daylight saving starts and ends in |year|; for a rule that has
 * it. */
void rlc__zone_rule_year(const rlc__zone_rule *rule, int64_t year, int64_t *start_s,
                         int64_t *end_s);

#endif
