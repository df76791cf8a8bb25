/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/parse.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/suggest.h"

#define MAX_TEXT 1024
/* Bytes of the text that a message repeats, escaped and with a NUL. */
#define SHOWN 48
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A piece of the text. */
typedef struct slice {
  const char *at;
  size_t len;
} slice;

typedef struct parser {
  rlc_policy *policy;
  const char *text;
  const char *at;
  const char *end;                /* blanks at the end are no part of the policy */
  slice rate_text[RLC_MAX_RATES];
  const char *algorithm_at;       /* NULL: not given */
  const char *burst_at;
  uint64_t burst;
  char *why;
  size_t why_size;
} parser;

/* A word that users of other limiters write, and what to write here. */
typedef struct hint {
  const char *word;
  const char *instead;
} hint;

static const struct {
  const char *word;
  uint64_t seconds;
} units[] = {
    {"s", 1},        {"sec", 1},       {"second", 1},   {"seconds", 1},  {"min", 60},
    {"minute", 60},  {"minutes", 60},  {"h", 3600},     {"hour", 3600},  {"hours", 3600},
    {"day", 86400},  {"days", 86400},  {"d", 86400},    {"week", 604800}, {"weeks", 604800},
    {"w", 604800},
};

/* What a misspelt unit is taken for; of equally near words the first. */
static const char *const unit_words[] = {"s",     "min",   "h",      "day",    "week",
                                         "sec",   "hour",  "second", "minute", "seconds",
                                         "hours", "days",  "weeks",  "minutes"};

static const hint other_units[] = {
    {"m", "\"m\" could be a minute or a month; write \"min\""},
    {"month", "\"month\" follows the calendar and is not available in this version; "
              "write \"30day\""},
    {"months", "\"months\" follow the calendar and are not available in this version; "
               "write \"30day\""},
    {"year", "\"year\" follows the calendar and is not available in this version; "
             "write \"365day\""},
    {"years", "\"years\" follow the calendar and are not available in this version; "
              "write \"365day\""},
    {"ms", "windows are whole seconds; write a smaller quota per \"s\""},
    {"us", "windows are whole seconds; write a smaller quota per \"s\""},
};

static const char *const algorithm_words[] = {"token-bucket", "fixed-window", "sliding-window"};

static const hint other_algorithms[] = {
    {"sliding-log", "\"sliding-log\" is not available in this version; write \"sliding-window\""},
    {"concurrency", "\"concurrency\" is not available in this version; write \"token-bucket\" with "
                    "a small burst"},
};

static const char *const option_words[] = {"algorithm", "burst"};

static const hint other_options[] = {
    {"align", "\"align=\" is not available in this version; leave it out: windows start at the "
              "epoch, in UTC"},
    {"tz", "\"tz=\" is not available in this version; leave it out: windows start in UTC"},
    {"delay", "\"delay=\" is not available in this version; leave it out: a request that does not "
              "fit is refused at once"},
    {"ban", "\"ban=\" is not available in this version; leave it out, and add a rate with a longer "
            "window, as in \"10/s,100/h\""},
};

/* Writes what is wrong at |at|, with its column. Returns RLC_ERR_POLICY. */
static int fail_at(const parser *p, const char *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int fail_at(const parser *p, const char *at, const char *format, ...) {
  char message[RLC_MESSAGE_SIZE];
  va_list args;

  va_start(args, format);
  rlc__vfail(0, message, sizeof message, format, args);
  va_end(args);
  return rlc__fail(RLC_ERR_POLICY, p->why, p->why_size, "column %zu: %s",
                   (size_t)(at - p->text) + 1, message);
}

static int is_blank(char c) {
  return c == ' ' || c == '\t';
}

static int is_digit(char c) {
  return c >= '0' && c <= '9';
}

static int slice_is(slice s, const char *word) {
  return s.len == strlen(word) && memcmp(s.at, word, s.len) == 0;
}

static const char *show(char buf[SHOWN], slice s) {
  return rlc__printable(buf, SHOWN, s.at, s.len);
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

/* Reads a quota or burst, which |what| names with its article. */
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
    return fail_at(p, unit.at, "expected a unit (s, min, h, day, week) after \"%s%s\", as in "
                   "\"%s%ss\", found %s", before_buf, count_buf, before_buf, count_buf,
                   found(p, found_buf));
  }
  return fail_at(p, window.at, "expected a window such as \"min\", \"15min\" or \"day\" after "
                 "\"%s\", found \"%s\"%s%s%s%s", before_buf, show(found_buf, window),
                 meant != NULL ? " - did you mean \"" : "", meant != NULL ? count_buf : "",
                 meant != NULL ? meant : "", meant != NULL ? "\"?" : "");
}

/* Reads `[n]unit`. |rate| starts where its quota does. */
static int read_window(parser *p, slice rate, uint64_t *seconds) {
  char buf[SHOWN];
  slice window = {p->at, 0};
  uint64_t count;
  slice digits = read_number(p, &count);
  slice unit = read_until(p, ',');
  uint64_t unit_s = 0;

  window.len = digits.len + unit.len;
  for (size_t i = 0; i < COUNT(units); ++i) {
    if (slice_is(unit, units[i].word)) {
      unit_s = units[i].seconds;
    }
  }
  if (unit_s == 0) {
    return fail_unit(p, rate, window, unit);
  }
  count = digits.len == 0 ? 1 : count;
  if (count == 0) {
    return fail_at(p, window.at, "expected a window of at least \"1%.*s\", found \"%s\"",
                   (int)unit.len, unit.at, show(buf, window));
  }
  if (count > RLC__MAX_WINDOW_S / unit_s) {
    return fail_at(p, window.at, "expected a window of at most \"%" PRIu64 "day\", found \"%s\"",
                   RLC__MAX_WINDOW_S / 86400, show(buf, window));
  }
  *seconds = count * unit_s;
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
  rv = read_window(p, rate, &into->window_s);
  if (rv != 0) {
    return rv;
  }
  rate.len = (size_t)(p->at - rate.at);
  for (unsigned i = 0; i < policy->rates; ++i) {
    if (policy->rate[i].window_s == into->window_s) {
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
  return fail_at(p, value.at, "expected token-bucket, fixed-window or sliding-window after "
                 "\"algorithm=\", found \"%s\"%s%s%s", show(buf, value),
                 meant != NULL ? " - did you mean \"" : "", meant != NULL ? meant : "",
                 meant != NULL ? "\"?" : "");
}

/* Says what is wrong with |name|, which is no option of this version. */
static int fail_option(parser *p, slice name) {
  char buf[SHOWN];
  const char *instead = hint_for(other_options, COUNT(other_options), name);
  const char *meant = rlc__suggest(name.at, name.len, option_words, COUNT(option_words));

  if (instead != NULL) {
    return fail_at(p, name.at, "%s", instead);
  }
  if (name.len == 0) {
    p->at = name.at;
    return fail_at(p, name.at, "expected an option (algorithm=, burst=), found %s", found(p, buf));
  }
  if (is_digit(name.at[0]) || name.at[0] == ',') {
    return fail_at(p, name.at, "expected an option such as \"burst=20\", found \"%s\"; rates are "
                   "joined by a comma alone, as in \"10/s,1000/h\"", show(buf, name));
  }
  return fail_at(p, name.at, "expected an option (algorithm=, burst=), found \"%s\"%s%s%s",
                 show(buf, name), meant != NULL ? " - did you mean \"" : "",
                 meant != NULL ? meant : "", meant != NULL ? "=\"?" : "");
}

/* Reads `name=value`. What the options mean together is for prepare(). */
static int read_option(parser *p) {
  char buf[SHOWN];
  slice name = read_until(p, '=');
  int is_burst = slice_is(name, "burst");
  const char **seen = is_burst ? &p->burst_at : &p->algorithm_at;
  int rv;

  if (!is_burst && !slice_is(name, "algorithm")) {
    return fail_option(p, name);
  }
  if (p->at == p->end || *p->at != '=') {
    return fail_at(p, p->at, "expected \"=\" and a value after \"%.*s\", found %s", (int)name.len,
                   name.at, found(p, buf));
  }
  if (*seen != NULL) {
    return fail_at(p, name.at, "\"%.*s=\" is given twice; leave one out", (int)name.len, name.at);
  }
  *seen = name.at;
  ++p->at;
  if (!is_burst) {
    return read_algorithm(p, read_until(p, ' '));
  }
  rv = read_amount(p, "a burst", "20", &p->burst);
  if (rv == 0 && p->at < p->end && !is_blank(*p->at)) {
    rv = fail_at(p, p->at, "expected a space or the end after \"burst=%" PRIu64 "\", found %s",
                 p->burst, found(p, buf));
  }
  return rv;
}

/* Computes what the algorithms need, once all options are known. */
static int prepare(parser *p) {
  rlc_policy *policy = p->policy;
  char buf[SHOWN];
  uint64_t nearest;

  if (p->burst_at != NULL) {
    if (policy->algorithm != RLC_TOKEN_BUCKET) {
      return fail_at(p, p->burst_at, "\"burst=\" has no meaning with algorithm=%s; leave it out, "
                     "or write algorithm=token-bucket", rlc__algorithm_name(policy->algorithm));
    }
    policy->rate[0].capacity = p->burst;
  }
  for (unsigned i = 0; i < policy->rates; ++i) {
    rlc__rate *rate = &policy->rate[i];

    if (rlc__rate_prepare(rate, policy->algorithm, &nearest) == 0) {
      continue;
    }
    show(buf, p->rate_text[i]);
    /* Without |nearest| it is the burst that cannot be counted, and only rate 0 has one. */
    if (nearest > 0) {
      return fail_at(p, p->rate_text[i].at, "\"%s\" cannot be counted exactly in microseconds; "
                     "write a quota of %" PRIu64 ", or algorithm=fixed-window", buf, nearest);
    }
    return fail_at(p, p->burst_at, "at \"%s\" this burst would take %" PRIu64 " years to refill; "
                   "write a burst of at most %" PRIu64, buf,
                   rate->capacity * rate->window_s / rate->quota / (365 * 86400),
                   ((UINT64_C(1) << 49) - 1) / rate->unit_ticks);
  }
  return 0;
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
  return prepare(&p);
}

const char *rlc__algorithm_name(rlc_algorithm algorithm) {
  return algorithm_words[algorithm - RLC_TOKEN_BUCKET];
}
