/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../mod_ratelimit_redis/view.h"

#define NOW 5000u

static ratelimit_tally *tally;
static ratelimit_view view;
static const uint8_t hash_key[RATELIMIT_HASH_KEY] = {1, 2, 3};

static int begin(void **state) {
  (void)state;
  tally = mmap(NULL, sizeof *tally, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ratelimit_tally_init(tally, hash_key, 77);
  ratelimit_tally_restart(tally, 78);
  return tally == MAP_FAILED;
}

static int end(void **state) {
  (void)state;
  return munmap(tally, sizeof *tally);
}

static void take(uint64_t now_s) {
  ratelimit_view_told told = {.server = "s", .store = "shm", .now_s = now_s, .wall_s = 100,
                              .stats = RLC_STATS_INIT};

  ratelimit_view_take(&view, tally, &told);
}

static void add(unsigned row, ratelimit_kind kind, uint64_t now_s) {
  ratelimit_tally_add(tally, row, kind, now_s);
}

/* --- words and steps ----------------------------------------------------------------------- */

/* What an older epoch left counts nothing, and one that is late does not undo a newer one. */
static void test_words(void **state) {
  ratelimit_word word = 0;

  (void)state;
  ratelimit_word_add(&word, 5, 2);
  ratelimit_word_add(&word, 5, 1);
  assert_int_equal(ratelimit_word_get(&word, 5), 3);
  assert_int_equal(ratelimit_word_get(&word, 6), 0);
  ratelimit_word_add(&word, 125, 1);
  assert_int_equal(ratelimit_word_get(&word, 125), 1);
  ratelimit_word_add(&word, 5, 1);
  assert_int_equal(ratelimit_word_get(&word, 125), 1);
  assert_int_equal(ratelimit_word_get(&word, 5), 0);
}

/* An epoch has 24 bits: one that has gone round, and one far from a fresh word's 0, still count. */
static void test_words_go_round(void **state) {
  ratelimit_word word = 0;

  (void)state;
  ratelimit_word_add(&word, 0xfffffe, 1);
  assert_int_equal(ratelimit_word_get(&word, 0xfffffe), 1);
  ratelimit_word_add(&word, 0x1000076, 1);
  assert_int_equal(ratelimit_word_get(&word, 0x1000076), 1);
  ratelimit_word_add(&word, 0x1800000, 1);
  assert_int_equal(ratelimit_word_get(&word, 0x1800000), 1);
}

/* Each request stands in its steps of five seconds and of ten minutes, while those are shown. */
static void test_steps(void **state) {
  (void)state;
  add(RATELIMIT_ROW_ALL, RATELIMIT_ALLOWED, NOW);
  add(RATELIMIT_ROW_ALL, RATELIMIT_DENIED, NOW - 5);
  add(RATELIMIT_ROW_ALL, RATELIMIT_DRY, NOW - 595);
  ratelimit_tally_add_slow(tally, RATELIMIT_DENIED, NOW - 1200);
  take(NOW);
  assert_int_equal(view.fast[RATELIMIT_FAST - 1][RATELIMIT_ALLOWED], 1);
  assert_int_equal(view.fast[RATELIMIT_FAST - 2][RATELIMIT_DENIED], 1);
  assert_int_equal(view.fast[0][RATELIMIT_DRY], 1);
  assert_int_equal(view.slow[RATELIMIT_SLOW - 3][RATELIMIT_DENIED], 1);
  assert_int_equal(ratelimit_decisions(view.recent), 3);
  take(NOW + 5);
  assert_int_equal(ratelimit_decisions(view.recent), 2);
  take(NOW + 600);
  assert_int_equal(ratelimit_decisions(view.recent), 0);
  assert_int_equal(ratelimit_decisions(view.total), 3);
  take(NOW + 86400);
  assert_int_equal(view.slow[RATELIMIT_SLOW - 3][RATELIMIT_DENIED], 0);
}

/* Soon after the machine has started there is no time before: it is shown as empty. */
static void test_early(void **state) {
  (void)state;
  add(RATELIMIT_ROW_ALL, RATELIMIT_ALLOWED, 3);
  take(3);
  assert_int_equal(ratelimit_decisions(view.recent), 1);
  assert_int_equal(view.fast[RATELIMIT_FAST - 1][RATELIMIT_ALLOWED], 1);
}

/* --- rows ---------------------------------------------------------------------------------- */

/* A name has one row, whoever asks; more names than rows share one. */
static void test_rows(void **state) {
  unsigned seen[RATELIMIT_ROWS] = {0};
  char name[16];

  (void)state;
  for (unsigned i = 1; i <= 300; ++i) {
    unsigned row;

    snprintf(name, sizeof name, "n%u", i);
    row = ratelimit_tally_row(tally, i * 254u, name);
    assert_int_equal(ratelimit_tally_row(tally, i * 254u, name), row);
    assert_in_range(row, RATELIMIT_ROW_OTHERS, RATELIMIT_ROWS - 1);
    assert_int_equal(row == RATELIMIT_ROW_OTHERS, i > RATELIMIT_ROWS - RATELIMIT_ROW_FIRST);
    assert_true(seen[row] == 0 || row == RATELIMIT_ROW_OTHERS);
    seen[row] = 1;
  }
}

/* A row taken by a process that was killed before it wrote the name gets it from the next. */
static void test_row_without_name(void **state) {
  char name[RATELIMIT_NAME_SIZE];
  unsigned row = ratelimit_tally_row(tally, 99, "api");

  (void)state;
  atomic_store(&tally->rows[row].name[0], 0);
  assert_int_equal(ratelimit_tally_row(tally, 99, "api"), row);
  ratelimit_tally_read_text(name, tally->rows[row].name, sizeof name);
  assert_string_equal(name, "api");
}

/* The configuration's limits are shown from the start, others once they have counted something, and
 * those that it no longer has as what they are. The most denied comes first. */
static void test_view_rows(void **state) {
  unsigned calm = ratelimit_tally_row(tally, 11, "calm");
  unsigned hot = ratelimit_tally_row(tally, 12, "hot");
  unsigned folder = ratelimit_tally_row(tally, 13, "folder");

  (void)state;
  ratelimit_tally_describe(tally, calm, "1/s");
  ratelimit_tally_describe(tally, hot, "2/s");
  add(calm, RATELIMIT_ALLOWED, NOW);
  add(hot, RATELIMIT_DENIED, NOW);
  take(NOW);
  assert_int_equal(view.n_rows, 2);
  assert_string_equal(view.rows[0].name, "hot");
  assert_string_equal(view.rows[1].name, "calm");
  assert_string_equal(view.rows[1].policy, "1/s");
  add(folder, RATELIMIT_ALLOWED, NOW);
  assert_true(ratelimit_tally_has_old(tally));
  ratelimit_tally_restart(tally, 80);
  ratelimit_tally_describe(tally, hot, "3/s");
  take(NOW);
  assert_int_equal(view.n_rows, 3);
  assert_true(view.rows[0].configured);
  assert_string_equal(view.rows[0].policy, "3/s");
  assert_false(view.rows[1].configured || view.rows[2].configured);
}

/* --- latencies ----------------------------------------------------------------------------- */

/* Each latency counts in the first bucket whose bound is not below it. */
static void test_latency_index(void **state) {
  (void)state;
  for (unsigned i = 0; i < RATELIMIT_LATENCIES - 1; ++i) {
    assert_int_equal(ratelimit_latency_index(ratelimit_latency_bound(i)), i);
    assert_int_equal(ratelimit_latency_index(ratelimit_latency_bound(i) + 1), i + 1);
  }
  assert_int_equal(ratelimit_latency_index(0), 0);
  assert_int_equal(ratelimit_latency_index(UINT64_MAX), RATELIMIT_LATENCIES - 1);
}

/* A quantile lies in the bucket where the exact one does. */
static void test_quantiles(void **state) {
  uint64_t latency[RATELIMIT_LATENCIES] = {0};

  (void)state;
  assert_int_equal(ratelimit_view_quantile(latency, 500), 0);
  latency[3] = 990;
  latency[10] = 10;
  assert_in_range(ratelimit_view_quantile(latency, 500), 1001, 2000);
  assert_int_equal(ratelimit_view_quantile(latency, 990), 2000);
  assert_in_range(ratelimit_view_quantile(latency, 991), 128001, 256000);
  latency[RATELIMIT_LATENCIES - 1] = 100000;
  assert_int_equal(ratelimit_view_quantile(latency, 999),
                   ratelimit_latency_bound(RATELIMIT_LATENCIES - 2));
}

/* The page's latencies are of the last minutes, the exported ones of all time. */
static void test_latencies(void **state) {
  (void)state;
  ratelimit_tally_add_latency(tally, NOW, 300);
  take(NOW + 600);
  assert_int_equal(view.recent_latency[1], 1);
  take(NOW + 1200);
  assert_int_equal(view.recent_latency[1], 0);
  assert_int_equal(view.latency[1], 1);
  assert_int_equal(view.latency_sum, 300);
}

/* --- the store ----------------------------------------------------------------------------- */

/* The state goes by who has decided in the last seconds. */
static void test_store_state(void **state) {
  (void)state;
  take(NOW);
  assert_int_equal(view.state, RATELIMIT_STORE_IDLE);
  assert_true(view.trouble_ago == UINT64_MAX);
  add(RATELIMIT_ROW_ALL, RATELIMIT_ALLOWED, NOW);
  take(NOW);
  assert_int_equal(view.state, RATELIMIT_STORE_ANSWERS);
  add(RATELIMIT_ROW_ALL, RATELIMIT_DENIED, NOW);
  add(RATELIMIT_ROW_ALL, RATELIMIT_DEGRADED, NOW);
  assert_true(ratelimit_tally_trouble_due(tally, NOW));
  ratelimit_tally_set_trouble(tally, NOW, RLC_REASON_TIMEOUT);
  assert_false(ratelimit_tally_trouble_due(tally, NOW));
  take(NOW + 2);
  assert_int_equal(view.state, RATELIMIT_STORE_UNSTEADY);
  assert_int_equal(view.reason, RLC_REASON_TIMEOUT);
  assert_int_equal(view.trouble_ago, 2);
  add(RATELIMIT_ROW_ALL, RATELIMIT_DEGRADED, NOW);
  take(NOW + 2);
  assert_int_equal(view.state, RATELIMIT_STORE_AWAY);
  take(NOW + 15);
  assert_int_equal(view.state, RATELIMIT_STORE_IDLE);
}

/* Sources beside the store are counted, and the store has the rest. */
static void test_sources(void **state) {
  (void)state;
  for (int i = 0; i < 5; ++i) {
    add(RATELIMIT_ROW_ALL, RATELIMIT_ALLOWED, NOW);
  }
  atomic_store(&tally->sources[RLC_SOURCE_FALLBACK], 2);
  take(NOW);
  assert_int_equal(view.sources[RLC_SOURCE_STORE], 3);
  atomic_store(&tally->sources[RLC_SOURCE_FALLBACK], 9);
  take(NOW);
  assert_int_equal(view.sources[RLC_SOURCE_STORE], 0);
}

/* --- offenders ----------------------------------------------------------------------------- */

/* What may be a secret is shown to nobody who did not ask for it, also where its text was kept. */
static void test_offenders_shown(void **state) {
  static const char *const expected[3][2] = {
      {"192.0.2.1", "#"}, {"#", "#"}, {"192.0.2.1", "key\\x00"}};
  ratelimit_view_told told = {.server = "s", .store = "shm", .now_s = NOW,
                              .stats = RLC_STATS_INIT};
  unsigned row = ratelimit_tally_row(tally, 5, "api");

  (void)state;
  for (int i = 0; i < 2; ++i) {
    ratelimit_sketch_add(&tally->offenders, NOW / RATELIMIT_WINDOW_S,
                         ratelimit_sketch_id(0x123456789abcd00, row), "192.0.2.1", 9,
                         RATELIMIT_KEY_IS_ADDRESS);
  }
  ratelimit_sketch_add(&tally->offenders, NOW / RATELIMIT_WINDOW_S,
                       ratelimit_sketch_id(0x23456789abcde00, row), "key\0", 4, 0);
  for (told.keys = RATELIMIT_SHOW_ADDRESS; told.keys <= RATELIMIT_SHOW_ALL; ++told.keys) {
    ratelimit_view_take(&view, tally, &told);
    assert_int_equal(view.n_offenders, 2);
    for (int i = 0; i < 2; ++i) {
      const char *want = expected[told.keys][i];

      assert_string_equal(view.offenders[i].limit, "api");
      if (want[0] == '#') {
        assert_string_equal(view.offenders[i].key, i == 0 ? "#0123456789ab" : "#023456789abc");
        assert_string_equal(view.offenders[i].shown, "hashed");
      } else {
        assert_string_equal(view.offenders[i].key, want);
        assert_string_equal(view.offenders[i].shown, i == 0 ? "address" : "plain");
      }
    }
  }
}

/* --- processes ----------------------------------------------------------------------------- */

static void hammer(unsigned n) {
  for (unsigned i = 0; n == 0 || i < n; ++i) {
    unsigned row = ratelimit_tally_row(tally, 1 + i % 50, "some");

    ratelimit_tally_add(tally, RATELIMIT_ROW_ALL, RATELIMIT_DENIED, NOW + i / 4096);
    ratelimit_tally_add(tally, row, RATELIMIT_DENIED, NOW + i / 4096);
    ratelimit_tally_add_latency(tally, NOW, i);
    ratelimit_sketch_add(&tally->offenders, NOW / RATELIMIT_WINDOW_S,
                         ratelimit_sketch_id((uint64_t)(i % 999) << 20, row), "key", 3, 0);
  }
}

/* Processes count together, and lose nothing. */
static void test_processes(void **state) {
  (void)state;
  for (int i = 0; i < 4; ++i) {
    if (fork() == 0) {
      hammer(20000);
      _exit(0);
    }
  }
  for (int i = 0; i < 4; ++i) {
    int status = -1;

    wait(&status);
    assert_int_equal(status, 0);
  }
  take(NOW + 5);
  assert_int_equal(view.total[RATELIMIT_DENIED], 80000);
  assert_int_equal(view.recent[RATELIMIT_DENIED], 80000);
  assert_int_equal(view.n_rows, 50);
}

/* Whatever process is killed, and wherever, the rest go on: there is nothing that it could hold. */
static void test_killed(void **state) {
  (void)state;
  for (unsigned i = 0; i < 40; ++i) {
    uint64_t before;
    pid_t child = fork();

    if (child == 0) {
      hammer(0);
    }
    usleep(500 + i * 37);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    before = atomic_load(&tally->rows[RATELIMIT_ROW_ALL].total[RATELIMIT_DENIED]);
    hammer(100);
    take(NOW);
    assert_int_equal(view.total[RATELIMIT_DENIED], before + 100);
  }
}

/* Memory of another version is not taken for ours. */
static void test_fits(void **state) {
  (void)state;
  assert_true(ratelimit_tally_fits(tally));
  tally->layout ^= 1;
  assert_false(ratelimit_tally_fits(tally));
}

/* Without counts there is a view all the same, of nothing. */
static void test_no_tally(void **state) {
  ratelimit_view_told told = {.server = "s", .store = "shm", .now_s = NOW,
                              .stats = RLC_STATS_INIT};
  uint64_t steps[RATELIMIT_FAST][RATELIMIT_KINDS];

  (void)state;
  ratelimit_view_take(&view, NULL, &told);
  ratelimit_view_steps(&view, RATELIMIT_ROW_ALL, steps);
  assert_int_equal(view.n_rows, 0);
  assert_int_equal(steps[5][0], 0);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_words),          TEST(test_words_go_round), TEST(test_steps),
      TEST(test_early),          TEST(test_rows),           TEST(test_row_without_name),
      TEST(test_view_rows),      TEST(test_latency_index),  TEST(test_quantiles),
      TEST(test_latencies),      TEST(test_store_state),    TEST(test_sources),
      TEST(test_offenders_shown), TEST(test_processes),     TEST(test_killed),
      TEST(test_fits),           TEST(test_no_tally)};

  return cmocka_run_group_tests(tests, NULL, NULL);
}
