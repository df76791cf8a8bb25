/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/parser.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/suggest.h"

#define MAX_TEXT 1024

/* A word that users of other limiters write, and what to write here. */
typedef struct hint {
  const char *word;
  const char *instead;
} hint;

static const struct {
  const char *word;
  uint64_t seconds;
  unsigned months; /* else */
} units[] = {
    {"s", 1, 0},            {"sec", 1, 0},          {"second", 1, 0},       {"seconds", 1, 0},
    {"min", 60, 0},         {"minute", 60, 0},      {"minutes", 60, 0},     {"h", 3600, 0},
    {"hour", 3600, 0},      {"hours", 3600, 0},     {"day", 86400, 0},      {"days", 86400, 0},
    {"d", 86400, 0},        {"week", 604800, 0},    {"weeks", 604800, 0},   {"w", 604800, 0},
    {"month", 0, 1},        {"months", 0, 1},       {"year", 0, 12},        {"years", 0, 12},
};

/* What a misspelt unit is taken for; of equally near words the first. */
static const char *const unit_words[] = {"s",     "min",  "h",      "day",     "week",   "sec",
                                         "hour",  "second", "minute", "seconds", "hours",  "days",
                                         "weeks", "minutes", "month", "year",    "months", "years"};

static const hint other_units[] = {
    {"m", "\"m\" could be a minute or a month; write \"min\" or \"month\""},
    {"quarter", "write \"3month\""},
    {"ms", "windows are whole seconds; write a smaller quota per \"s\""},
    {"us", "windows are whole seconds; write a smaller quota per \"s\""},
};

static const char *const algorithm_words[] = {"token-bucket", "fixed-window", "sliding-window",
                                              "sliding-log", "concurrency"};

static const hint other_algorithms[] = {
    {"sliding-window-log", "write \"sliding-log\""},
    {"sliding-window-counter", "write \"sliding-window\""},
    {"log", "write \"sliding-log\""},
    {"semaphore", "write \"concurrency\""},
    {"concurrent", "write \"concurrency\""},
    {"concurrent-requests", "write \"concurrency\""},
    {"gcra", "write \"token-bucket\", which is that"},
    {"leaky-bucket", "write \"token-bucket\", which is that as a meter"},
};

const char *const rlc__option_words[RLC__OPTIONS] = {"algorithm", "burst", "align", "tz",
                                                     "anchor", "ban", "debt"};

#define OPTIONS "an option (algorithm=, burst=, align=, tz=, anchor=, ban=, debt=)"

static const hint other_options[] = {
    {"timezone", "write \"tz=\""},
    {"zone", "write \"tz=\""},
    {"delay", "\"delay=\" is no part of a policy: in Apache write it beside the policy, as in "
              "RateLimit \"10/s\" delay=2s"},
};

static int is_blank(char c) {
  return c == ' ' || c == '\t';
}

static int is_digit(char c) {
  return c >= '0' && c <= '9';
}

static int slice_is(slice s, const char *word) {
  return s.len == strlen(word) && memcmp(s.at, word, s.len) == 0;
}

/* What stands at the parser's place, for the end of a sentence: `"mni"`, `a space`, `nothing`. */
static const char *found(const parser *p, char buf[SHOWN]) {
  char shown[SHOWN - 2];
  const char *stop = p->at;

  if (p->at == p->end) {
    return "nothing";
  }
  if (is_blank(*p->at)) {
    return "a space";
  }
  for (++stop; stop < p->end && !is_blank(*stop) && *stop != ','; ++stop) {
  }
  rlc__printable(shown, sizeof shown, p->at, (size_t)(stop - p->at));
  snprintf(buf, SHOWN, "\"%s\"", shown);
  return buf;
}

/* Returns what to say of |word|, or NULL where it is none of |hints|. */
static const char *hint_for(const hint *hints, size_t n, slice word) {
  for (size_t i = 0; i < n; ++i) {
    if (slice_is(word, hints[i].word)) {
      return hints[i].instead;
    }
  }
  return NULL;
}

/* Reads digits into |*out|, which stays at a value above every maximum once it is there. */
static slice read_number(parser *p, uint64_t *out) {
  slice digits = {p->at, 0};
  uint64_t value = 0;

  for (; p->at < p->end && is_digit(*p->at); ++p->at, ++digits.len) {
    value = value < UINT64_C(1) << 40 ? value * 10 + (uint64_t)(*p->at - '0') : value;
  }
  *out = value;
  return digits;
}

/* Reads a quota, burst or debt, which |what| names with its article. */
static int read_amount(parser *p, const char *what, const char *example, uint64_t *out) {
  char buf[SHOWN];
  const char *start = p->at;
  slice digits = read_number(p, out);

  if (digits.len == 0) {
    return fail_at(p, start, "expected %s such as \"%s\", found %s", what, example, found(p, buf));
  }
  if (*out < 1 || *out > RLC_MAX_QUOTA) {
    return fail_at(p, start, "expected %s from 1 to %u, found \"%s\"", what, RLC_MAX_QUOTA,
                   show(buf, digits));
  }
  return 0;
}

/* Takes all up to a blank, |stop| or the end: bad bytes too, so that a message can show them. */
static slice read_until(parser *p, char stop) {
  slice s = {p->at, 0};

  for (; p->at < p->end && !is_blank(*p->at) && *p->at != stop; ++p->at, ++s.len) {
  }
  return s;
}

/* Says what is wrong with |unit|, which is none. |rate| is where the rate starts, |window| where
 * its window does. */
static int fail_unit(parser *p, slice rate, slice window, slice unit) {
  const char *instead = hint_for(other_units, COUNT(other_units), unit);
  const char *meant = rlc__suggest(unit.at, unit.len, unit_words, COUNT(unit_words));
  slice count = {window.at, window.len - unit.len};
  slice before = {rate.at, (size_t)(window.at - rate.at)};
  char count_buf[SHOWN], before_buf[SHOWN], found_buf[SHOWN];

  if (instead != NULL) {
    return fail_at(p, unit.at, "%s", instead);
  }
  show(count_buf, count);
  show(before_buf, before);
  if (window.len == 0) {
    return fail_at(p, window.at,
                   "expected a window such as \"min\", \"15min\" or \"day\" after \"%s\", found %s",
                   before_buf, found(p, found_buf));
  }
  if (unit.len == 0) {
    return fail_at(p, unit.at, "expected a unit (s, min, h, day, week, month, year) after \"%s%s\", "
                   "as in \"%s%ss\", found %s", before_buf, count_buf, before_buf, count_buf,
                   found(p, found_buf));
  }
  return fail_at(p, window.at, "expected a window such as \"min\", \"15min\" or \"day\" after "
                 "\"%s\", found \"%s\"%s%s%s%s", before_buf, show(found_buf, window),
                 meant != NULL ? " - did you mean \"" : "", meant != NULL ? count_buf : "",
                 meant != NULL ? meant : "", meant != NULL ? "\"?" : "");
}

/* Reads the window of |count| units of |unit_months|, which is |window| in the text. */
static int read_months(parser *p, slice window, uint64_t count, unsigned unit_months,
                       rlc__rate *into) {
  char buf[SHOWN];

  if (count > 12 / unit_months || 12 % (count * unit_months) != 0) {
    return fail_at(p, window.at, "expected months that divide a year: \"month\", \"2month\", "
                   "\"3month\", \"4month\", \"6month\" or \"year\"; found \"%s\"",
                   show(buf, window));
  }
  if (p->month_at == NULL) {
    p->month_at = window.at;
  }
  into->calendar.span = RLC__SPAN_MONTHS;
  into->calendar.months = (unsigned)count * unit_months;
  into->window_s = rlc__months_days(into->calendar.months) * UINT64_C(86400);
  return 0;
}

uint64_t rlc__unit_seconds(const char *at, size_t len) {
  for (size_t i = 0; i < COUNT(units); ++i) {
    if (slice_is((slice){at, len}, units[i].word)) {
      return units[i].seconds;
    }
  }
  return 0;
}

/* Reads `[n]unit` into |into|. |rate| starts where its quota does. */
static int read_window(parser *p, slice rate, rlc__rate *into) {
  char buf[SHOWN];
  slice window = {p->at, 0};
  uint64_t count;
  slice digits = read_number(p, &count);
  slice unit = read_until(p, ',');
  size_t which = 0;

  window.len = digits.len + unit.len;
  while (which < COUNT(units) && !slice_is(unit, units[which].word)) {
    ++which;
  }
  if (which == COUNT(units)) {
    return fail_unit(p, rate, window, unit);
  }
  count = digits.len == 0 ? 1 : count;
  if (count == 0) {
    return fail_at(p, window.at, "expected a window of at least \"1%.*s\", found \"%s\"",
                   (int)unit.len, unit.at, show(buf, window));
  }
  memset(&into->calendar, 0, sizeof into->calendar);
  if (units[which].months > 0) {
    return read_months(p, window, count, units[which].months, into);
  }
  if (count > RLC__MAX_WINDOW_S / units[which].seconds) {
    return fail_at(p, window.at, "expected a window of at most \"%" PRIu64 "day\", found \"%s\"",
                   RLC__MAX_WINDOW_S / 86400, show(buf, window));
  }
  into->window_s = count * units[which].seconds;
  return 0;
}

/* Reads `quota/window` and adds it to the policy. */
static int read_rate(parser *p) {
  rlc_policy *policy = p->policy;
  slice rate = {p->at, 0};
  char buf[SHOWN], shown[SHOWN];
  rlc__rate *into;
  int rv;

  if (policy->rates == RLC_MAX_RATES) {
    return fail_at(p, p->at, "expected at most %d rates, found one more", RLC_MAX_RATES);
  }
  into = &policy->rate[policy->rates];
  rv = read_amount(p, policy->rates == 0 ? "a quota" : "a quota after the comma", "100",
                   &into->quota);
  if (rv != 0) {
    return rv;
  }
  if (p->at == p->end || *p->at != '/') {
    slice quota = {rate.at, (size_t)(p->at - rate.at)};

    return fail_at(p, p->at, "expected \"/\" and a window such as \"min\" after \"%s\", found %s",
                   show(shown, quota), found(p, buf));
  }
  ++p->at;
  rv = read_window(p, rate, into);
  if (rv != 0) {
    return rv;
  }
  rate.len = (size_t)(p->at - rate.at);
  for (unsigned i = 0; i < policy->rates; ++i) {
    if (policy->rate[i].window_s == into->window_s &&
        policy->rate[i].calendar.months == into->calendar.months) {
      return fail_at(p, rate.at, "\"%s\" has the same window as \"%s\", and the larger of the two "
                     "would never bind; leave that one out", show(buf, rate),
                     show(shown, p->rate_text[i]));
    }
  }
  into->capacity = into->quota;
  p->rate_text[policy->rates++] = rate;
  return 0;
}

static int read_algorithm(parser *p, slice value) {
  char buf[SHOWN];
  const char *instead = hint_for(other_algorithms, COUNT(other_algorithms), value);
  const char *meant = rlc__suggest(value.at, value.len, algorithm_words, COUNT(algorithm_words));

  for (unsigned i = 0; i < COUNT(algorithm_words); ++i) {
    if (slice_is(value, algorithm_words[i])) {
      p->policy->algorithm = (rlc_algorithm)(RLC_TOKEN_BUCKET + i);
      return 0;
    }
  }
  if (instead != NULL) {
    return fail_at(p, value.at, "%s", instead);
  }
  return fail_at(p, value.at, "expected token-bucket, fixed-window, sliding-window, sliding-log or "
                 "concurrency after \"algorithm=\", found \"%s\"%s%s%s", show(buf, value),
                 meant != NULL ? " - did you mean \"" : "", meant != NULL ? meant : "",
                 meant != NULL ? "\"?" : "");
}

/* Says what is wrong with |name|, which is no option of this version. */
static int fail_option(parser *p, slice name) {
  char buf[SHOWN];
  const char *instead = hint_for(other_options, COUNT(other_options), name);
  const char *meant = rlc__suggest(name.at, name.len, rlc__option_words, RLC__OPTIONS);

  if (instead != NULL) {
    return fail_at(p, name.at, "%s", instead);
  }
  if (name.len == 0) {
    p->at = name.at;
    return fail_at(p, name.at, "expected " OPTIONS ", found %s", found(p, buf));
  }
  if (is_digit(name.at[0]) || name.at[0] == ',') {
    return fail_at(p, name.at, "expected an option such as \"burst=20\", found \"%s\"; rates are "
                   "joined by a comma alone, as in \"10/s,1000/h\"", show(buf, name));
  }
  return fail_at(p, name.at, "expected " OPTIONS ", found \"%s\"%s%s%s",
                 show(buf, name), meant != NULL ? " - did you mean \"" : "",
                 meant != NULL ? meant : "", meant != NULL ? "=\"?" : "");
}

/* Reads the number behind |which|, "burst=" or "debt=", which |what| names with its article. */
static int read_option_amount(parser *p, option which, const char *what, uint64_t *out) {
  char buf[SHOWN];
  int rv = read_amount(p, what, "20", out);

  if (rv == 0 && p->at < p->end && !is_blank(*p->at)) {
    rv = fail_at(p, p->at, "expected a space or the end after \"%s=%" PRIu64 "\", found %s",
                 rlc__option_words[which], *out, found(p, buf));
  }
  return rv;
}

static int read_align(parser *p, slice value) {
  char buf[SHOWN];

  if (slice_is(value, "calendar")) {
    return 0;
  }
  return fail_at(p, value.at, "expected \"calendar\" after \"align=\", found \"%s\"; leave it out "
                 "for windows that start at the epoch, in UTC", show(buf, value));
}

static int read_tz(parser *p, slice value) {
  char why[RLC_MESSAGE_SIZE];
  int rv = rlc__zone_load(&p->policy->zone, value.at, value.len, &p->policy->memory, why,
                          sizeof why);

  if (rv == RLC_ERR_NOMEM) {
    return rlc__fail(rv, p->why, p->why_size, "%s", why);
  }
  if (rv != 0) {
    return fail_at(p, value.at, "%s", why);
  }
  if (p->policy->zone != NULL) {
    memcpy(p->policy->zone_name, value.at, value.len);
  }
  return 0;
}

static int read_anchor(parser *p, slice value) {
  char why[RLC_MESSAGE_SIZE];

  p->anchor_kind = rlc__anchor_read(&p->anchor, value.at, value.len, why, sizeof why);
  return p->anchor_kind == RLC__ANCHOR_NONE ? fail_at(p, value.at, "%s", why) : 0;
}

/* Reads `name=value`. What the options mean together is for settle.c. */
static int read_option(parser *p) {
  char buf[SHOWN];
  slice name = read_until(p, '=');
  unsigned which = 0;

  while (which < RLC__OPTIONS && !slice_is(name, rlc__option_words[which])) {
    ++which;
  }
  if (which == RLC__OPTIONS) {
    return fail_option(p, name);
  }
  if (p->at == p->end || *p->at != '=') {
    return fail_at(p, p->at, "expected \"=\" and a value after \"%.*s\", found %s", (int)name.len,
                   name.at, found(p, buf));
  }
  if (p->option_at[which] != NULL) {
    return fail_at(p, name.at, "\"%.*s=\" is given twice; leave one out", (int)name.len, name.at);
  }
  p->option_at[which] = name.at;
  ++p->at;
  switch ((option)which) {
  case OPTION_ALGORITHM:
    break;
  case OPTION_BURST:
    return read_option_amount(p, OPTION_BURST, "a burst", &p->burst);
  case OPTION_ALIGN:
    return read_align(p, read_until(p, ' '));
  case OPTION_TZ:
    return read_tz(p, read_until(p, ' '));
  case OPTION_ANCHOR:
    return read_anchor(p, read_until(p, ' '));
  case OPTION_BAN:
    return rlc__ban_read(p, read_until(p, ' '));
  case OPTION_DEBT:
    return read_option_amount(p, OPTION_DEBT, "a debt", &p->debt);
  }
  return read_algorithm(p, read_until(p, ' '));
}

int rlc__policy_parse(rlc_policy *policy, const char *text, char *why, size_t why_size) {
  size_t len = strnlen(text, MAX_TEXT + 1);
  parser p = {.policy = policy, .text = text, .at = text, .end = text + len, .why = why,
              .why_size = why_size};
  int rv;

  policy->algorithm = RLC_TOKEN_BUCKET;
  policy->rates = 0;
  if (len > MAX_TEXT) {
    return fail_at(&p, text + MAX_TEXT, "expected a policy of at most %d bytes, found more",
                   MAX_TEXT);
  }
  /* Blanks around the policy are trimmed, so that behind a blank there is always something. */
  for (; p.end > p.at && is_blank(p.end[-1]); --p.end) {
  }
  for (; p.at < p.end && is_blank(*p.at); ++p.at) {
  }
  if (p.at == p.end) {
    return fail_at(&p, text, "expected a policy such as \"100/min\", found nothing");
  }
  for (;;) {
    rv = read_rate(&p);
    if (rv != 0) {
      return rv;
    }
    if (p.at == p.end || *p.at != ',') {
      break;
    }
    ++p.at;
  }
  while (p.at < p.end) {
    for (; is_blank(*p.at); ++p.at) {
    }
    rv = read_option(&p);
    if (rv != 0) {
      return rv;
    }
  }
  return rlc__policy_settle(&p);
}

const char *rlc__algorithm_name(rlc_algorithm algorithm) {
  return algorithm_words[algorithm - RLC_TOKEN_BUCKET];
}
