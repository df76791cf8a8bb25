/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "failing_memory.h"
#include "policy/civil.h"
#include "policy/zone.h"
#include "policy/zone_rule.h"
#include "tzif_help.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define H 3600

static char why[RLC_MESSAGE_SIZE];

static int read_zone(rlc__zone **out, const tzif *file) {
  return rlc__zone_read(out, file->bytes, file->len, rlc__memory_or_default(NULL), why,
                        sizeof why);
}

static rlc__zone *zone_of(const tzif *file) {
  rlc__zone *zone;

  if (read_zone(&zone, file) != 0) {
    fail_msg("%s", why);
  }
  return zone;
}

static int64_t ahead(const rlc__zone *zone, int64_t at_s) {
  int64_t until_s;

  return rlc__zone_ahead(zone, at_s, &until_s);
}

static int load(rlc__zone **out, const char *name) {
  why[0] = '\0';
  return rlc__zone_load(out, name, strlen(name), rlc__memory_or_default(NULL), why, sizeof why);
}

/* --- dates ----------------------------------------------------------------------------------- */

/* Every day of four centuries follows the one before, and is told the same both ways. */
static void dates_test(void **state) {
  rlc__date last = rlc__date_of(-1000);

  (void)state;
  assert_int_equal(rlc__days_of(1970, 1, 1), 0);
  assert_int_equal(rlc__days_of(2000, 2, 29), 11016);
  assert_int_equal(rlc__days_of(2400, 3, 1), 157114);
  assert_int_equal(rlc__weekday_of(0), 3);
  assert_int_equal(rlc__weekday_of(-4), 6);
  for (int64_t day = -999; day < 147000; ++day) {
    rlc__date date = rlc__date_of(day);
    int next = last.day == rlc__days_in_month(last.year, last.month);

    assert_int_equal(rlc__days_of(date.year, date.month, date.day), day);
    assert_int_equal(date.day, next ? 1 : last.day + 1);
    assert_int_equal(date.month, next ? last.month % 12 + 1 : last.month);
    assert_int_equal(date.year, last.year + (next && last.month == 12));
    last = date;
  }
}

/* --- the system's zones ---------------------------------------------------------------------- */

static uint64_t seed = 7;

static int64_t below(int64_t n) {
  seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (int64_t)((seed >> 16) % (uint64_t)n);
}

/* What the C library says of the zone that TZ names. */
static int64_t libc_ahead(int64_t at_s) {
  time_t at = (time_t)at_s;
  struct tm tm;

  assert_non_null(localtime_r(&at, &tm));
  return tm.tm_gmtoff;
}

static void compare(const rlc__zone *zone, const char *name, int64_t at_s) {
  int64_t until_s;
  int64_t told = rlc__zone_ahead(zone, at_s, &until_s);

  if (told != libc_ahead(at_s)) {
    fail_msg("%s at %lld: %lld, and the C library %lld", name, (long long)at_s, (long long)told,
             (long long)libc_ahead(at_s));
  }
  assert_true(until_s > at_s);
}

/* All zones of the system's list, at random times up to 2100 and around each change: as the C library
 * has them. */
static void system_test(void **state) {
  FILE *list = fopen("/usr/share/zoneinfo/zone.tab", "r");
  char line[256];
  unsigned zones = 0;

  (void)state;
  assert_non_null(list);
  while (fgets(line, sizeof line, list) != NULL) {
    char name[64], tz[72];
    rlc__zone *zone;
    int64_t at_s = 0;

    if (line[0] == '#' || sscanf(line, "%*s %*s %63s", name) != 1) {
      continue;
    }
    if (load(&zone, name) != 0) {
      fail_msg("%s", why);
    }
    snprintf(tz, sizeof tz, ":%s", name);
    setenv("TZ", tz, 1);
    tzset();
    for (int i = 0; i < 40; ++i) {
      compare(zone, name, below(INT64_C(4102444800)));
    }
    for (int i = 0; i < 300; ++i) {
      (void)rlc__zone_ahead(zone, at_s, &at_s);
      if (at_s > INT64_C(4102444800)) {
        break;
      }
      compare(zone, name, at_s - 1);
      compare(zone, name, at_s);
    }
    rlc__zone_del(zone);
    ++zones;
  }
  unsetenv("TZ");
  fclose(list);
  assert_true(zones > 300);
}

/* TZ in the environment says nothing here. */
static void environment_test(void **state) {
  rlc__zone *zone;

  (void)state;
  setenv("TZ", "America/New_York", 1);
  setenv("TZDIR", "/nonexistent", 1);
  assert_int_equal(load(&zone, "Asia/Kathmandu"), 0);
  assert_int_equal(ahead(zone, 1700000000), 5 * H + 45 * 60);
  rlc__zone_del(zone);
  unsetenv("TZ");
  unsetenv("TZDIR");
}

/* --- names ----------------------------------------------------------------------------------- */

/* UTC needs no file, under names that are nothing else. */
static void utc_test(void **state) {
  static const char *const names[] = {"UTC", "Etc/UTC"};

  (void)state;
  rlc__zone_set_folder("/nonexistent");
  for (size_t i = 0; i < COUNT(names); ++i) {
    rlc__zone *zone = (rlc__zone *)why;

    assert_int_equal(load(&zone, names[i]), 0);
    assert_null(zone);
  }
  rlc__zone_set_folder(NULL);
  assert_int_equal(ahead(NULL, 1700000000), 0);
  assert_true(rlc__zone_is_utc(NULL));
}

/* Without the system's files every other zone is refused, with the package's name. */
static void missing_test(void **state) {
  rlc__zone *zone = (rlc__zone *)why;

  (void)state;
  rlc__zone_set_folder("/nonexistent");
  assert_int_equal(load(&zone, "Europe/Paris"), RLC_ERR_POLICY);
  rlc__zone_set_folder(NULL);
  assert_null(zone);
  assert_non_null(strstr(why, "/nonexistent, which is not there: install the package tzdata"));
}

/* What is in the folder and no zone: a list, a folder, a pipe, a file of something else. */
static void folder_test(void **state) {
  char folder[] = "/tmp/rlc-test-zone-XXXXXX";
  char path[64];
  rlc__zone *zone;
  tzif file = tzif_of_rule("<+03>-3");
  FILE *out;

  (void)state;
  assert_non_null(mkdtemp(folder));
  rlc__zone_set_folder(folder);
  snprintf(path, sizeof path, "%s/Pipe", folder);
  assert_int_equal(mkfifo(path, 0600), 0);
  assert_int_equal(load(&zone, "Pipe"), RLC_ERR_POLICY);
  assert_non_null(strstr(why, "no time zone is called \"Pipe\"; write a name such as"));
  unlink(path);
  snprintf(path, sizeof path, "%s/Good", folder);
  out = fopen(path, "w");
  assert_int_equal(fwrite(file.bytes, file.len, 1, out), 1);
  fclose(out);
  assert_int_equal(load(&zone, "Good"), 0);
  assert_int_equal(ahead(zone, 0), 3 * H);
  rlc__zone_del(zone);
  assert_int_equal(load(&zone, "Good/Better"), RLC_ERR_POLICY);
  assert_non_null(strstr(why, "no time zone is called"));
  out = fopen(path, "w");
  for (int i = 0; i < 70000; ++i) {
    fputc('x', out);
  }
  fclose(out);
  assert_int_equal(load(&zone, "Good"), RLC_ERR_POLICY);
  assert_non_null(strstr(why, "cannot be read: File too large"));
  assert_int_equal(truncate(path, 1000), 0);
  assert_int_equal(load(&zone, "Good"), RLC_ERR_POLICY);
  assert_non_null(strstr(why, "is damaged: install tzdata anew"));
  assert_null(zone);
  unlink(path);
  rlc__zone_set_folder(NULL);
  assert_int_equal(rmdir(folder), 0);
}

/* --- files ----------------------------------------------------------------------------------- */

static const int64_t times[] = {100, 200, 300};
static const unsigned char kinds[] = {1, 0, 2};
static const int32_t offsets[] = {H, 2 * H, -H};

/* A file of version 1 has a table alone: its last offset stays. */
static void version_1_test(void **state) {
  tzif file = {{0}, 0};
  rlc__zone *zone;
  int64_t until_s;

  (void)state;
  put_block(&file, 0, 4, 3, times, kinds, 3, offsets);
  zone = zone_of(&file);
  assert_int_equal(rlc__zone_ahead(zone, 99, &until_s), H);
  assert_int_equal(until_s, 100);
  assert_int_equal(rlc__zone_ahead(zone, 100, &until_s), 2 * H);
  assert_int_equal(until_s, 200);
  assert_int_equal(rlc__zone_ahead(zone, 299, &until_s), H);
  assert_int_equal(rlc__zone_ahead(zone, 300, &until_s), -H);
  assert_true(until_s == INT64_MAX);
  rlc__zone_del(zone);
}

/* From version 2 on the first block is passed over, whatever it says; then the rule goes on. */
static void version_4_test(void **state) {
  static const int64_t early[] = {-5000000000, 1000000000};
  static const unsigned char kind[] = {0, 1};
  static const int32_t offset[] = {H, 2 * H};
  tzif file = {{0}, 0};
  rlc__zone *zone;

  (void)state;
  put_block(&file, '4', 4, 3, times, kinds, 3, offsets);
  put_block(&file, '4', 8, 2, early, kind, 2, offset);
  put_footer(&file, "CET-1CEST,M3.5.0,M10.5.0/3");
  zone = zone_of(&file);
  assert_int_equal(ahead(zone, -6000000000), H);
  assert_int_equal(ahead(zone, 999999999), H);
  assert_int_equal(ahead(zone, 1000000000), 2 * H);
  assert_int_equal(ahead(zone, 1004230799), 2 * H); /* 2001-10-28 01:00 UTC, less a second */
  assert_int_equal(ahead(zone, 1004230800), H);
  assert_int_equal(ahead(zone, 4078602000), 2 * H); /* 2099-03-31 */
  rlc__zone_del(zone);
}

/* Rules of every form: the offset in January, in July, and the year's first change. */
static void rules_test(void **state) {
  static const struct {
    const char *rule;
    int64_t january, july, change;
  } cases[] = {
      {"UTC0", 0, 0, INT64_MAX},
      {"<+0545>-5:45", 20700, 20700, INT64_MAX},
      {"<-03>3", -3 * H, -3 * H, INT64_MAX},
      {"ABC-24:59:59", 89999, 89999, INT64_MAX},
      {"EST5EDT,M3.2.0,M11.1.0", -5 * H, -4 * H, 1678604400},
      {"EST5EDT,M3.2.0/2:00:00,M11.1.0/02", -5 * H, -4 * H, 1678604400},
      {"<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", 11 * H, 37800, 1680361200}, /* Lord Howe */
      {"<-02>2<-01>,M3.5.0/-1,M10.5.0/0", -2 * H, -H, 1679792400},        /* Nuuk */
      {"IST-2IDT,M3.4.4/26,M10.5.0", 2 * H, 3 * H, 1679616000}, /* Friday before the last Sunday */
      {"EET-2EEST,M3.4.4/50,M10.4.4/50", 2 * H, 3 * H, 1679702400},     /* Gaza */
      {"IST-1GMT0,M10.5.0,M3.5.0/1", 0, H, 1679792400},                /* Dublin */
      {"AAA0BBB,J60,J300", 0, H, 1677636000},                         /* March 1 */
      {"AAA0BBB,59,300", 0, H, 1677636000},                            /* the same without leap */
      {"AAA0BBB,J1/-167,J300", H, H, 1698368400},
      {"XXX3EDT4,0/0,J365/23", -4 * H, -4 * H, INT64_MAX}, /* daylight saving all year */
  };

  (void)state;
  for (size_t i = 0; i < COUNT(cases); ++i) {
    tzif file = tzif_of_rule(cases[i].rule);
    rlc__zone *zone = zone_of(&file);
    int64_t change;
    int64_t january = rlc__zone_ahead(zone, 1673740800, &change); /* 2023-01-15 */
    int64_t july = ahead(zone, 1689379200);

    if (january != cases[i].january || july != cases[i].july || change != cases[i].change) {
      fail_msg("%s: %lld, %lld, change at %lld", cases[i].rule, (long long)january,
               (long long)july, (long long)change);
    }
    rlc__zone_del(zone);
  }
}

/* February 29 does not count in a J rule, and does in one without. */
static void leap_rule_test(void **state) {
  rlc__zone_rule rule;
  int64_t start_s, end_s;

  (void)state;
  assert_int_equal(rlc__zone_rule_read(&rule, "AAA0BBB,J60/0,59/0", 18), 0);
  rlc__zone_rule_year(&rule, 2024, &start_s, &end_s);
  assert_int_equal(start_s, 86400 * rlc__days_of(2024, 3, 1));
  assert_int_equal(end_s, 86400 * rlc__days_of(2024, 2, 29) - H);
}

/* What is no rule. */
static void no_rule_test(void **state) {
  static const char *const texts[] = {
      "", "U", "UT0", "UTC", "UTC+", "UTC25", "UTC1:60", "UTC1:00:60", "UTC0 ", "<UTC", "<>0",
      "<A B>0", "<+1>0", "UTC0X", "EST5EDT", "EST5EDT,", "EST5EDT,M3.2.0", "EST5EDT,M3.2.0,",
      "EST5EDT,M0.2.0,M11.1.0", "EST5EDT,M13.2.0,M11.1.0", "EST5EDT,M3.0.0,M11.1.0",
      "EST5EDT,M3.6.0,M11.1.0", "EST5EDT,M3.2.7,M11.1.0", "EST5EDT,M3.2,M11.1.0",
      "EST5EDT,J0,J1", "EST5EDT,J1,J366", "EST5EDT,0,366", "EST5EDT,M3.2.0/168,M11.1.0",
      "EST5EDT,M3.2.0/-168,M11.1.0", "EST5EDT,M3.2.0,M11.1.0,", "EST5EDT,M3.2.0,M11.1.0 ",
      "EST5EDT25,M3.2.0,M11.1.0", "EST99999999999999999999EDT,0,1", "EST5ED,0,1", "E5EDT,0,1",
  };

  (void)state;
  for (size_t i = 0; i < COUNT(texts); ++i) {
    rlc__zone_rule rule;

    if (rlc__zone_rule_read(&rule, texts[i], strlen(texts[i])) == 0) {
      fail_msg("`%s` was taken for a rule", texts[i]);
    }
  }
}

/* --- hostile files --------------------------------------------------------------------------- */

static tzif good_file(void) {
  tzif file = {{0}, 0};

  put_block(&file, '2', 4, 3, times, kinds, 3, offsets);
  put_block(&file, '2', 8, 3, times, kinds, 3, offsets);
  put_footer(&file, "EST5EDT,M3.2.0,M11.1.0");
  return file;
}

/* Cut short anywhere it is damaged, and nothing past its end is read. */
static void cut_test(void **state) {
  tzif file = good_file();

  (void)state;
  for (size_t len = 0; len <= file.len; ++len) {
    unsigned char *bytes = malloc(len > 0 ? len : 1);
    rlc__zone *zone = (rlc__zone *)why;
    int rv;

    assert_non_null(bytes);
    memcpy(bytes, file.bytes, len);
    rv = rlc__zone_read(&zone, bytes, len, rlc__memory_or_default(NULL), why, sizeof why);
    assert_int_equal(rv, len == file.len ? 0 : RLC_ERR_POLICY);
    assert_true(len == file.len || zone == NULL);
    rlc__zone_del(zone);
    free(bytes);
  }
}

/* Any byte may be another: the file is refused, or makes a zone that answers. */
static void byte_test(void **state) {
  static const unsigned char others[] = {0, 1, 0x7f, 0x80, 0xff, '\n'};

  (void)state;
  for (size_t i = 0; i < good_file().len; ++i) {
    for (size_t k = 0; k < sizeof others; ++k) {
      tzif file = good_file();
      rlc__zone *zone;

      file.bytes[i] = others[k];
      if (read_zone(&zone, &file) == 0) {
        for (int64_t at_s = -1000; at_s < 5000000000; at_s += 7777777) {
          int64_t until_s;
          int64_t told = rlc__zone_ahead(zone, at_s, &until_s);

          assert_true(told > -26 * H && told < 26 * H && until_s > at_s);
        }
        rlc__zone_del(zone);
      }
    }
  }
}

/* Numbers that no file has. */
static void numbers_test(void **state) {
  static const int64_t back[] = {100, 100, 99};
  static const unsigned char far_kinds[] = {1, 0, 3};
  static const int32_t far_east[] = {93600}, far_west[] = {-90000};
  tzif files[7];

  (void)state;
  memset(files, 0, sizeof files);
  put_block(&files[0], 0, 4, 3, back, kinds, 3, offsets);
  put_block(&files[1], 0, 4, 3, times, far_kinds, 3, offsets);
  put_block(&files[2], 0, 4, 0, NULL, NULL, 1, far_east);
  put_block(&files[3], 0, 4, 0, NULL, NULL, 1, far_west);
  put_block(&files[4], 0, 4, 0, NULL, NULL, 0, NULL);
  put_block(&files[5], 0, 4, 0, NULL, NULL, 1, offsets);
  files[5].bytes[28] = 0xff; /* leap seconds by the million */
  put_block(&files[6], '2', 4, 0, NULL, NULL, 1, offsets);
  for (size_t i = 0; i < COUNT(files); ++i) {
    rlc__zone *zone;

    assert_int_equal(read_zone(&zone, &files[i]), RLC_ERR_POLICY);
    assert_null(zone);
    assert_string_equal(why, "is damaged: install tzdata anew");
  }
}

/* A zone that counts leap seconds is none for a clock that does not. */
static void leap_second_test(void **state) {
  tzif file = {{0}, 0};
  rlc__zone *zone;

  (void)state;
  put_block(&file, 0, 4, 0, NULL, NULL, 1, offsets);
  file.bytes[31] = 1;
  put_big(&file, 78796800, 4);
  put_big(&file, 1, 4);
  assert_int_equal(read_zone(&zone, &file), RLC_ERR_POLICY);
  assert_non_null(strstr(why, "leap seconds"));
}

/* A reference more keeps it; the last one given back ends it. */
static void references_test(void **state) {
  failing_memory m = {0, 0};
  rlc_memory memory = failing_functions(&m);
  tzif file = good_file();
  rlc__zone *zone;

  (void)state;
  assert_int_equal(rlc__zone_read(&zone, file.bytes, file.len, &memory, why, sizeof why),
                   RLC_ERR_NOMEM);
  assert_null(zone);
  m.left = 1;
  assert_int_equal(rlc__zone_read(&zone, file.bytes, file.len, &memory, why, sizeof why), 0);
  assert_ptr_equal(rlc__zone_keep(zone), zone);
  rlc__zone_del(zone);
  assert_int_equal(m.held, 1);
  rlc__zone_del(zone);
  assert_int_equal(m.held, 0);
  rlc__zone_del(NULL);
  assert_null(rlc__zone_keep(NULL));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(dates_test),       cmocka_unit_test(system_test),
      cmocka_unit_test(environment_test), cmocka_unit_test(utc_test),
      cmocka_unit_test(missing_test),     cmocka_unit_test(folder_test),
      cmocka_unit_test(version_1_test),   cmocka_unit_test(version_4_test),
      cmocka_unit_test(rules_test),       cmocka_unit_test(leap_rule_test),
      cmocka_unit_test(no_rule_test),     cmocka_unit_test(cut_test),
      cmocka_unit_test(byte_test),        cmocka_unit_test(numbers_test),
      cmocka_unit_test(leap_second_test), cmocka_unit_test(references_test),
  };

  return cmocka_run_group_tests_name("zone", tests, NULL, NULL);
}
