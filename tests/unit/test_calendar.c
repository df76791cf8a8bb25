/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "policy/policy.h"
#include "tzif_help.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static rlc_policy *policy_of(const char *text) {
  rlc_policy *policy;
  char why[RLC_MESSAGE_SIZE] = "";

  if (rlc_policy_new(&policy, NULL, text, NULL, why, sizeof why) != 0) {
    fail_msg("%s: %s", text, why);
  }
  return policy;
}

/* The bounds around an instant are its window's and its neighbours'. */
static void check_around(const rlc__calendar *c, int64_t at_s, rlc__window w) {
  int64_t bounds[4];

  rlc__calendar_around(c, at_s, bounds);
  assert_true(bounds[1] == w.start_s && bounds[2] == w.end_s);
  assert_true(rlc__calendar_window(c, w.start_s - 1).start_s == bounds[0]);
  assert_true(rlc__calendar_window(c, w.start_s - 1).end_s == w.start_s);
  assert_true(rlc__calendar_window(c, w.end_s).start_s == w.end_s);
  assert_true(rlc__calendar_window(c, w.end_s).end_s == bounds[3]);
}

/* The table of awkward cases that the oracle has worked out by Python's zones: nights of clock changes,
 * midnights that are not there or there twice, leap years, anchors on the 31st. */
static void cases_test(void **state) {
  const char *folder = getenv("RLC_VECTORS") != NULL ? getenv("RLC_VECTORS") : "tests/vectors";
  char file[512];
  char line[512];
  FILE *in;
  int rows = 0;

  (void)state;
  snprintf(file, sizeof file, "%s/windows.tsv", folder);
  in = fopen(file, "r");
  if (in == NULL) {
    fail_msg("%s: %s", file, strerror(errno));
  }
  assert_non_null(fgets(line, sizeof line, in)); /* the header */
  while (fgets(line, sizeof line, in) != NULL) {
    char text[200];
    long long at_s, start_s, end_s;
    rlc_policy *policy;
    rlc__window w;

    assert_int_equal(sscanf(line, "%199[^\t]\t%lld\t%lld\t%lld", text, &at_s, &start_s, &end_s), 4);
    policy = policy_of(text);
    ++rows;
    if (policy->is_calendar) {
      w = rlc__calendar_window(&policy->rate[0].calendar, at_s);
      if (w.start_s != start_s || w.end_s != end_s) {
        fail_msg("%s:%d: %s at %lld: told %lld to %lld, expected %lld to %lld", file, rows + 1, text,
                 at_s, (long long)w.start_s, (long long)w.end_s, start_s, end_s);
      }
      check_around(&policy->rate[0].calendar, at_s, w);
    } else {
      assert_int_equal(policy->rate[0].window_s, end_s - start_s);
      assert_int_equal(start_s % (end_s - start_s), 0);
    }
    rlc_policy_del(policy);
  }
  fclose(in);
  assert_true(rows > 800); /* a reader that read no line fails */
}

/* Through fifty years windows follow each other, none empty, none longer than its kind may be. */
static void succession_test(void **state) {
  static const struct {
    const char *text;
    int64_t least_h, most_h;
  } cases[] = {
      {"1/day algorithm=fixed-window align=calendar tz=Europe/Paris", 23, 25},
      {"1/day algorithm=fixed-window align=calendar tz=America/St_Johns", 22, 26},
      {"1/week algorithm=fixed-window align=calendar tz=Australia/Lord_Howe anchor=sun", 167, 169},
      {"1/month algorithm=fixed-window tz=America/Sao_Paulo", 28 * 24 - 1, 31 * 24 + 1},
      {"1/month algorithm=fixed-window anchor=31", 28 * 24, 31 * 24},
      {"1/2month algorithm=fixed-window anchor=30", 59 * 24, 62 * 24},
      {"1/3month algorithm=fixed-window anchor=29", 89 * 24, 92 * 24},
      {"1/4month algorithm=fixed-window", 120 * 24, 123 * 24},
      {"1/6month algorithm=fixed-window anchor=31", 181 * 24, 184 * 24},
      {"1/year algorithm=fixed-window anchor=02-29", 365 * 24, 366 * 24},
  };

  (void)state;
  for (size_t i = 0; i < COUNT(cases); ++i) {
    rlc_policy *policy = policy_of(cases[i].text);
    const rlc__calendar *c = &policy->rate[0].calendar;
    rlc__window w = rlc__calendar_window(c, 0);

    while (w.end_s < INT64_C(1700000000)) {
      rlc__window next = rlc__calendar_window(c, w.end_s);

      assert_true(next.start_s == w.end_s);
      assert_true(rlc__calendar_window(c, next.end_s - 1).start_s == next.start_s);
      assert_in_range(next.end_s - next.start_s, cases[i].least_h * 3600, cases[i].most_h * 3600);
      w = next;
    }
    if (c->span == RLC__SPAN_MONTHS && c->zone == NULL) {
      assert_int_equal(policy->rate[0].window_s, cases[i].most_h * 3600);
    }
    rlc_policy_del(policy);
  }
}

/* Zones that nobody has, as a file may tell of them: days that are skipped, or come again and again. */
static void strange_zone_test(void **state) {
  static const int64_t at[] = {100000000, 100003600, 100007200, 100010800, 100014400, 200000000};
  static const unsigned char kind[] = {1, 0, 1, 0, 1, 0};
  static const int32_t ahead[] = {-89999, 93599};
  tzif file = {{0}, 0};
  rlc__zone *zone;

  (void)state;
  put_block(&file, 0, 4, COUNT(at), at, kind, 2, ahead);
  assert_int_equal(rlc__zone_read(&zone, file.bytes, file.len, rlc__memory_or_default(NULL), NULL,
                                  0), 0);
  for (unsigned span = RLC__SPAN_DAY; span <= RLC__SPAN_MONTHS; ++span) {
    rlc__calendar c = {(rlc__span)span, span == RLC__SPAN_MONTHS, RLC__ANCHOR_INIT, zone};
    rlc__window w = rlc__calendar_window(&c, 99000000);

    for (int64_t at_s = 99000000; at_s < 201000000; at_s += at_s < 101000000 ? 601 : 86399) {
      rlc__window next = rlc__calendar_window(&c, at_s);

      assert_true(next.start_s <= at_s && at_s < next.end_s);
      assert_true(next.start_s == w.start_s || next.start_s >= w.end_s);
      check_around(&c, at_s, next);
      w = next;
    }
  }
  rlc__zone_del(zone);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(cases_test),
      cmocka_unit_test(succession_test),
      cmocka_unit_test(strange_zone_test),
  };

  return cmocka_run_group_tests_name("calendar", tests, NULL, NULL);
}
