/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/ban.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "policy/parser.h"

#define TIMES_LONGEST 16u
#define EXAMPLE "\"ban=5/10min:1h\""

/* The longest ban where none is given: that of the fifth in a row. */
static uint64_t usual_longest(const rlc__ban *ban) {
  return ban->first_s < RLC__MAX_WINDOW_S / TIMES_LONGEST ? ban->first_s * TIMES_LONGEST
                                                          : RLC__MAX_WINDOW_S;
}

/* --- reading ------------------------------------------------------------------------------- */

/* Takes from |rest| what stands before |stop|, and |stop| itself where it is there. */
static slice cut(slice *rest, char stop) {
  const char *at = rest->len > 0 ? memchr(rest->at, stop, rest->len) : NULL;
  slice head = {rest->at, at != NULL ? (size_t)(at - rest->at) : rest->len};
  size_t taken = head.len + (at != NULL);

  rest->at += taken;
  rest->len -= taken;
  return head;
}

static uint64_t number_of(slice *s) {
  uint64_t value = 0;

  for (; s->len > 0 && *s->at >= '0' && *s->at <= '9'; ++s->at, --s->len) {
    value = value < UINT64_C(1) << 40 ? value * 10 + (uint64_t)(*s->at - '0') : value;
  }
  return value;
}

static int read_denials(parser *p, slice s, rlc__ban *ban) {
  char buf[SHOWN];
  slice rest = s;
  uint64_t n = number_of(&rest);

  if (s.len == 0 || rest.len > 0) {
    return fail_at(p, s.at, "expected a number of denials, as in " EXAMPLE ", found \"%s\"",
                   show(buf, s));
  }
  if (n < 1 || n > RLC_MAX_QUOTA) {
    return fail_at(p, s.at, "expected a number of denials from 1 to %u, found \"%s\"",
                   RLC_MAX_QUOTA, show(buf, s));
  }
  ban->most = (uint32_t)n;
  return 0;
}

/* Reads `[n]unit`, which stands for |what|, "a window". */
static int read_time(parser *p, slice s, const char *what, uint64_t *seconds) {
  char buf[SHOWN];
  slice unit = s;
  uint64_t n = number_of(&unit);
  uint64_t each = rlc__unit_seconds(unit.at, unit.len);

  if (unit.len == s.len) {
    n = 1;
  }
  if (unit.len > 0 && (memcmp(unit.at, "m", 1) == 0 || memcmp(unit.at, "y", 1) == 0) && each == 0) {
    return fail_at(p, s.at, "expected %s whose length is known, in s, min, h, day or week; found "
                   "\"%s\"", what, show(buf, s));
  }
  if (each == 0) {
    return fail_at(p, s.at, "expected %s such as \"10min\", \"1h\" or \"day\", found \"%s\"", what,
                   show(buf, s));
  }
  if (n == 0 || n > RLC__MAX_WINDOW_S / each) {
    return fail_at(p, s.at, "expected %s from \"1s\" to \"%" PRIu64 "day\", found \"%s\"", what,
                   RLC__MAX_WINDOW_S / 86400, show(buf, s));
  }
  *seconds = n * each;
  return 0;
}

/* What stands behind the window: `time[:longest]`. */
static int read_lengths(parser *p, slice rest, rlc__ban *ban) {
  slice first = cut(&rest, ':');
  int has_longest = first.at + first.len != rest.at;
  char buf[SHOWN], first_buf[SHOWN];
  int rv = read_time(p, first, "a ban's length", &ban->first_s);

  if (rv != 0) {
    return rv;
  }
  ban->longest_s = usual_longest(ban);
  if (!has_longest) {
    return 0;
  }
  rv = read_time(p, rest, "the longest ban's length", &ban->longest_s);
  if (rv == 0 && ban->longest_s < ban->first_s) {
    rv = fail_at(p, rest.at, "the longest ban, \"%s\", is shorter than the first, \"%s\"; exchange "
                 "them", show(buf, rest), show(first_buf, first));
  }
  return rv;
}

int rlc__ban_read(parser *p, slice value) {
  rlc__ban *ban = &p->policy->ban;
  slice rest = value;
  slice denials = cut(&rest, '/');
  int has_window = denials.at + denials.len != rest.at;
  slice window;
  char buf[SHOWN];
  int rv = read_denials(p, denials, ban);

  if (rv != 0) {
    return rv;
  }
  if (!has_window) {
    return fail_at(p, rest.at, "expected \"/\", a window, \":\" and a time after \"%s\", as in "
                   EXAMPLE, show(buf, denials));
  }
  window = cut(&rest, ':');
  rv = read_time(p, window, "a window", &ban->within_s);
  if (rv == 0 && window.at + window.len == rest.at) {
    rv = fail_at(p, rest.at, "expected \":\" and how long the key is banned after \"%s\", as in "
                 EXAMPLE, show(buf, value));
  }
  return rv == 0 ? read_lengths(p, rest, ban) : rv;
}

/* --- writing ------------------------------------------------------------------------------- */

/* A window is written as in rates, "5/min"; a time always has its number, "1h". */
static size_t put_time(char *to, size_t size, char before, uint64_t seconds) {
  static const struct {
    const char *name;
    uint64_t seconds;
  } units[] = {{"week", 604800}, {"day", 86400}, {"h", 3600}, {"min", 60}, {"s", 1}};
  unsigned i = 0;
  int n;

  while (seconds % units[i].seconds != 0) {
    ++i;
  }
  if (before == '/' && seconds == units[i].seconds) {
    n = snprintf(to, size, "/%s", units[i].name);
  } else {
    n = snprintf(to, size, "%c%" PRIu64 "%s", before, seconds / units[i].seconds, units[i].name);
  }
  return n > 0 ? (size_t)n : 0;
}

void rlc__ban_format(const rlc__ban *ban, char buf[RLC__BAN_TEXT]) {
  int n = snprintf(buf, RLC__BAN_TEXT, "%" PRIu32, ban->most);
  size_t len = n > 0 ? (size_t)n : 0;

  len += put_time(buf + len, RLC__BAN_TEXT - len, '/', ban->within_s);
  len += put_time(buf + len, RLC__BAN_TEXT - len, ':', ban->first_s);
  if (ban->longest_s != usual_longest(ban)) {
    (void)put_time(buf + len, RLC__BAN_TEXT - len, ':', ban->longest_s);
  }
}
