/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs those four first */
#include <cmocka.h>

#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "offenders.h"

enum { NOW = 1000000, MINUTE = 60 };

static ratelimit_offenders *table;

static int make_table(void **state) {
  (void)state;
  table = mmap(NULL, sizeof *table, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return table == MAP_FAILED;
}

static int drop_table(void **state) {
  (void)state;
  return munmap(table, sizeof *table);
}

/* An offender whose entry is in |set|. */
static uint64_t offender(uint32_t n, uint32_t set) {
  return (uint64_t)(2 * n + 1) << 32 | set;
}

static int note(uint64_t hash, uint32_t now_s) {
  ratelimit_due due = {0, 0};

  return ratelimit_offenders_note(table, hash, now_s, MINUTE, &due);
}

/* One line an interval, which says how many refusals had none. */
static void test_one_line(void **state) {
  ratelimit_due due = {9, 9};

  (void)state;
  assert_int_equal(ratelimit_offenders_note(table, offender(1, 5), NOW, MINUTE, &due), 1);
  assert_int_equal(due.more, 0);
  assert_int_equal(due.left_out, 0);
  for (uint32_t i = 0; i < 100; ++i) {
    assert_int_equal(note(offender(1, 5), NOW + i % MINUTE), 0);
  }
  assert_int_equal(ratelimit_offenders_note(table, offender(1, 5), NOW + MINUTE, MINUTE, &due), 1);
  assert_int_equal(due.more, 100);
  assert_int_equal(ratelimit_offenders_note(table, offender(1, 5), NOW + 2 * MINUTE, MINUTE, &due),
                   1);
  assert_int_equal(due.more, 0);
}

/* Others have lines of their own, also in the same set. */
static void test_others(void **state) {
  (void)state;
  for (uint32_t n = 0; n < RATELIMIT_OFFENDER_WAYS; ++n) {
    assert_int_equal(note(offender(n, 7), NOW), 1);
  }
  for (uint32_t n = 0; n < RATELIMIT_OFFENDER_WAYS; ++n) {
    assert_int_equal(note(offender(n, 7), NOW + 1), 0);
  }
  assert_int_equal(note(offender(0, 8), NOW), 1);
}

/* A full set forgets whom it told of longest ago; what that one had without a line is not lost. */
static void test_full_set(void **state) {
  ratelimit_due due = {0, 0};

  (void)state;
  for (uint32_t n = 0; n < RATELIMIT_OFFENDER_WAYS; ++n) {
    assert_int_equal(note(offender(n, 7), NOW + n), 1);
  }
  assert_int_equal(note(offender(0, 7), NOW + 9), 0);
  assert_int_equal(ratelimit_offenders_note(table, offender(50, 7), NOW + 10, MINUTE, &due), 1);
  assert_int_equal(due.more, 0);
  assert_int_equal(due.left_out, 1);
  assert_int_equal(note(offender(3, 7), NOW + 11), 0);
  assert_int_equal(note(offender(0, 7), NOW + 11), 1);
}

/* However many offenders there are, a second has so many lines; the next tells how many had none. */
static void test_flood(void **state) {
  ratelimit_due due = {0, 0};
  int lines = 0;

  (void)state;
  for (uint32_t n = 0; n < 5000; ++n) {
    lines += note(offender(n, n), NOW);
  }
  assert_int_equal(lines, RATELIMIT_LINES_PER_S);
  assert_int_equal(ratelimit_offenders_note(table, offender(9000, 9000), NOW + 1, MINUTE, &due), 1);
  assert_int_equal(due.left_out, 5000 - RATELIMIT_LINES_PER_S);
  assert_int_equal(ratelimit_offenders_note(table, offender(9001, 9001), NOW + 1, MINUTE, &due), 1);
  assert_int_equal(due.left_out, 0);
}

/* Who had no line for that reason has one as soon as there is one. */
static void test_flood_then_line(void **state) {
  (void)state;
  for (uint32_t n = 0; n < 100; ++n) {
    note(offender(n, n), NOW);
  }
  assert_int_equal(note(offender(99, 99), NOW + 1), 1);
}

/* A clock that is set back does not silence the log. */
static void test_clock_back(void **state) {
  (void)state;
  assert_int_equal(note(offender(1, 1), NOW), 1);
  assert_int_equal(note(offender(1, 1), NOW - 3600), 1);
  assert_int_equal(note(offender(1, 1), NOW - 3590), 0);
}

/* At no time is there an entry that looks free, or a hash that has no place. */
static void test_edges(void **state) {
  (void)state;
  assert_int_equal(note(0, 0), 1);
  assert_int_equal(note(0, 0), 0);
  assert_int_equal(note(UINT64_MAX, UINT32_MAX), 1);
  assert_int_equal(note(UINT64_MAX, UINT32_MAX), 0);
}

/* Processes that refuse the same offender write one line together, and no refusal is lost. */
static void test_processes(void **state) {
  enum { PROCESSES = 4, CALLS = 20000 };
  ratelimit_due due = {0, 0};
  int lines = 0;

  (void)state;
  for (int i = 0; i < PROCESSES; ++i) {
    pid_t child = fork();

    assert_int_not_equal(child, -1);
    if (child == 0) {
      int mine = 0;

      for (int n = 0; n < CALLS; ++n) {
        mine += note(offender(1, 1), NOW);
      }
      _exit(mine);
    }
  }
  for (int i = 0; i < PROCESSES; ++i) {
    int status;

    assert_int_not_equal(wait(&status), -1);
    assert_true(WIFEXITED(status));
    lines += WEXITSTATUS(status);
  }
  assert_int_equal(lines, 1);
  assert_int_equal(ratelimit_offenders_note(table, offender(1, 1), NOW + MINUTE, MINUTE, &due), 1);
  assert_int_equal(due.more + due.left_out, PROCESSES * CALLS - 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_one_line, make_table, drop_table),
      cmocka_unit_test_setup_teardown(test_others, make_table, drop_table),
      cmocka_unit_test_setup_teardown(test_full_set, make_table, drop_table),
      cmocka_unit_test_setup_teardown(test_flood, make_table, drop_table),
      cmocka_unit_test_setup_teardown(test_flood_then_line, make_table, drop_table),
      cmocka_unit_test_setup_teardown(test_clock_back, make_table, drop_table),
      cmocka_unit_test_setup_teardown(test_edges, make_table, drop_table),
      cmocka_unit_test_setup_teardown(test_processes, make_table, drop_table),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
