/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/parser.h"

#include <inttypes.h>
#include <string.h>

#define DAY_S UINT64_C(86400)
#define WEEK_S UINT64_C(604800)
#define THURSDAY 3u
#define MAX_TICKS ((UINT64_C(1) << 49) - 1)

/* Makes days and weeks the calendar's. Shorter windows stay: a minute is one on every clock. */
static int align(parser *p) {
  char buf[SHOWN];

  for (unsigned i = 0; i < p->policy->rates; ++i) {
    rlc__rate *rate = &p->policy->rate[i];

    if (rate->calendar.span != RLC__SPAN_SECONDS || rate->window_s < DAY_S) {
      continue;
    }
    if (rate->window_s != DAY_S && rate->window_s != WEEK_S) {
      return fail_at(p, p->rate_text[i].at, "\"%s\" has no place in the calendar: write a window "
                     "of a \"day\", \"week\", \"month\" or \"year\", or leave align= out",
                     show(buf, p->rate_text[i]));
    }
    rate->calendar.span = rate->window_s == DAY_S ? RLC__SPAN_DAY : RLC__SPAN_WEEK;
  }
  return 0;
}

/* Whether the anchor is one of |rate|'s. */
static int is_anchored(const parser *p, const rlc__rate *rate) {
  switch (p->anchor_kind) {
  case RLC__ANCHOR_NONE:
    break;
  case RLC__ANCHOR_DAY:
    return rate->calendar.span == RLC__SPAN_MONTHS && rate->calendar.months < 12;
  case RLC__ANCHOR_WEEKDAY:
    return rate->calendar.span == RLC__SPAN_WEEK;
  case RLC__ANCHOR_DATE:
    return rate->calendar.months == 12;
  }
  return 0;
}

/* What "anchor=" may say of |rate|; NULL: nothing. */
static const char *anchor_of(const rlc__rate *rate) {
  if (rate->calendar.span == RLC__SPAN_WEEK) {
    return "a day from mon to sun";
  }
  if (rate->calendar.span == RLC__SPAN_MONTHS) {
    return rate->calendar.months == 12 ? "a date as in \"04-06\"" : "a day from 1 to 31";
  }
  return NULL;
}

/* Checks that an option of the calendar has windows to say something of. */
static int check_calendar(parser *p, option which) {
  static const char *const wanted[] = {"", "\"month\"", "\"week\" with align=calendar",
                                       "\"year\""};
  const rlc_policy *policy = p->policy;
  const char *at = p->option_at[which];
  const char *fitting = NULL;
  int calendar = 0, anchored = 0;
  char buf[SHOWN];

  for (unsigned i = 0; i < policy->rates; ++i) {
    const rlc__rate *rate = &policy->rate[i];

    calendar |= rate->calendar.span != RLC__SPAN_SECONDS;
    anchored |= is_anchored(p, rate);
    fitting = fitting != NULL ? fitting : anchor_of(rate);
    /* Who names a zone means all that he would see in a calendar. */
    if (which == OPTION_TZ && rate->calendar.span == RLC__SPAN_SECONDS &&
        (rate->window_s == DAY_S || rate->window_s == WEEK_S)) {
      return fail_at(p, at, "\"tz=\" does not reach \"%s\", which starts at the epoch, in UTC; "
                     "write \"align=calendar\" beside it", show(buf, p->rate_text[i]));
    }
  }
  if (which == OPTION_ANCHOR && !anchored) {
    return fail_at(p, at, "this \"anchor=\" is for a window of %s; leave it out, or write %s",
                   wanted[p->anchor_kind], fitting != NULL ? fitting : "one");
  }
  if (!calendar) {
    return fail_at(p, at, "\"%s=\" is for windows of a day, week, month or year; leave it out",
                   rlc__option_words[which]);
  }
  return 0;
}

static unsigned first_months(const rlc_policy *policy) {
  unsigned i = 0;

  while (i + 1 < policy->rates && policy->rate[i].calendar.span != RLC__SPAN_MONTHS) {
    ++i;
  }
  return policy->rate[i].calendar.months;
}

/* Gives each rate its place in the calendar, where it has one. */
static int settle_calendar(parser *p) {
  static const option options[] = {OPTION_ALIGN, OPTION_TZ, OPTION_ANCHOR};
  rlc_policy *policy = p->policy;
  const char *name = rlc__algorithm_name(policy->algorithm);
  int rv = 0;

  if (p->month_at != NULL && policy->algorithm != RLC_FIXED_WINDOW) {
    return fail_at(p, p->month_at, "windows of months and years follow the calendar, which "
                   "algorithm=%s cannot; write \"algorithm=fixed-window\" behind the rates, or "
                   "\"%s\" for the window", name, first_months(policy) == 12 ? "365day" : "30day");
  }
  for (unsigned i = 0; i < COUNT(options); ++i) {
    if (p->option_at[options[i]] != NULL && policy->algorithm != RLC_FIXED_WINDOW) {
      return fail_at(p, p->option_at[options[i]], "\"%s=\" has no meaning with algorithm=%s; leave "
                     "it out, or write algorithm=fixed-window", rlc__option_words[options[i]], name);
    }
  }
  if (p->option_at[OPTION_ALIGN] != NULL) {
    rv = align(p);
  }
  for (unsigned i = 0; rv == 0 && i < COUNT(options); ++i) {
    if (p->option_at[options[i]] != NULL) {
      rv = check_calendar(p, options[i]);
    }
  }
  for (unsigned i = 0; i < policy->rates; ++i) {
    rlc__calendar *c = &policy->rate[i].calendar;

    c->anchor = is_anchored(p, &policy->rate[i]) ? p->anchor : (rlc__anchor)RLC__ANCHOR_INIT;
    c->zone = policy->zone;
    /* In UTC these are the epoch's own windows, and need no calendar. */
    if (c->zone == NULL && (c->span == RLC__SPAN_DAY || (c->span == RLC__SPAN_WEEK &&
                                                         c->anchor.weekday == THURSDAY))) {
      c->span = RLC__SPAN_SECONDS;
    }
    if (c->span == RLC__SPAN_SECONDS) {
      memset(c, 0, sizeof *c);
    }
    policy->is_calendar |= c->span != RLC__SPAN_SECONDS;
  }
  return rv;
}

/* What a log can keep. A time stamp for each unit is the price of being exact. */
static int check_log(parser *p) {
  const rlc_policy *policy = p->policy;
  int leases = policy->algorithm == RLC_CONCURRENCY;
  char buf[SHOWN];

  if (leases && policy->rates > 1) {
    return fail_at(p, p->rate_text[1].at, "concurrency has one quota, of what may be under way at "
                   "once, and one window, after which a slot is free again; leave \"%s\" out, or "
                   "make it a limit of its own", show(buf, p->rate_text[1]));
  }
  for (unsigned i = 0; i < policy->rates; ++i) {
    if (policy->rate[i].quota > RLC_MAX_LOG) {
      return fail_at(p, p->rate_text[i].at, "\"%s\" would keep a time stamp for each of %" PRIu64
                     " units, and %u is the most; %s", show(buf, p->rate_text[i]),
                     policy->rate[i].quota, RLC_MAX_LOG,
                     leases ? "write a smaller quota"
                            : "write \"algorithm=sliding-window\", which keeps two numbers");
    }
  }
  return 0;
}

/* Gives each rate the debt, where there is one. A capacity and its debt are one number to count in. */
static int settle_debt(parser *p) {
  rlc_policy *policy = p->policy;
  unsigned most = rlc__is_log(policy->algorithm) ? RLC_MAX_LOG : RLC_MAX_QUOTA;
  const char *at = p->option_at[OPTION_DEBT];

  if (at != NULL && policy->algorithm == RLC_CONCURRENCY) {
    return fail_at(p, at, "\"debt=\" has no meaning with algorithm=%s; leave it out: what is held "
                   "comes back when it is released", rlc__algorithm_name(policy->algorithm));
  }
  for (unsigned i = 0; at != NULL && i < policy->rates; ++i) {
    rlc__rate *rate = &policy->rate[i];

    rate->debt = p->debt;
    if (rate->capacity + rate->debt > most) {
      return rate->capacity < most
                 ? fail_at(p, at, "a capacity of %" PRIu64 " and this debt are more than %u "
                           "together; write a debt of at most %" PRIu64, rate->capacity,
                           most, most - rate->capacity)
                 : fail_at(p, at, "a capacity of %" PRIu64 " leaves no room for a debt; leave "
                           "\"debt=\" out", rate->capacity);
    }
  }
  return 0;
}

/* The burst could be counted, and with the debt it cannot. |shown| is the rate. */
static int fail_debt(const parser *p, const rlc__rate *rate, const char *shown) {
  uint64_t most = MAX_TICKS / rate->unit_ticks - rate->capacity;
  const char *at = p->option_at[OPTION_DEBT];

  return most > 0 ? fail_at(p, at, "at \"%s\" this debt would take %" PRIu64 " years to pay back; "
                            "write a debt of at most %" PRIu64, shown,
                            rate->debt * rate->window_s / rate->quota / (365 * 86400), most)
                  : fail_at(p, at, "\"%s\" leaves no room for a debt; leave \"debt=\" out", shown);
}

int rlc__policy_settle(parser *p) {
  rlc_policy *policy = p->policy;
  const char *burst_at = p->option_at[OPTION_BURST];
  char buf[SHOWN];
  uint64_t nearest;
  int rv;

  if (burst_at != NULL) {
    if (policy->algorithm != RLC_TOKEN_BUCKET) {
      return fail_at(p, burst_at, "\"burst=\" has no meaning with algorithm=%s; leave it out, "
                     "or write algorithm=token-bucket", rlc__algorithm_name(policy->algorithm));
    }
    policy->rate[0].capacity = p->burst;
  }
  rv = settle_calendar(p);
  if (rv == 0 && rlc__is_log(policy->algorithm)) {
    rv = check_log(p);
  }
  if (rv == 0) {
    rv = settle_debt(p);
  }
  if (rv != 0) {
    return rv;
  }
  for (unsigned i = 0; i < policy->rates; ++i) {
    rlc__rate *rate = &policy->rate[i];

    if (rlc__rate_prepare(rate, policy->algorithm, &nearest) == 0) {
      continue;
    }
    show(buf, p->rate_text[i]);
    if (nearest > 0) {
      return fail_at(p, p->rate_text[i].at, "\"%s\" cannot be counted exactly in microseconds; "
                     "write a quota of %" PRIu64 ", or algorithm=fixed-window", buf, nearest);
    }
    if (p->option_at[OPTION_DEBT] != NULL && rate->capacity <= MAX_TICKS / rate->unit_ticks) {
      return fail_debt(p, rate, buf);
    }
    /* Without |nearest| it is the burst that cannot be counted, and only rate 0 has one. */
    return fail_at(p, burst_at, "at \"%s\" this burst would take %" PRIu64 " years to refill; "
                   "write a burst of at most %" PRIu64, buf,
                   rate->capacity * rate->window_s / rate->quota / (365 * 86400),
                   MAX_TICKS / rate->unit_ticks);
  }
  return 0;
}
