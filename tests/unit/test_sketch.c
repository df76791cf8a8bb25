/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>

#include <cmocka.h>

#include "../../mod_ratelimit_redis/sketch.h"

enum { KEYS = 5000, ROW = 7, EPOCH = 40 };

static ratelimit_sketch sketch;
static uint64_t truth[KEYS];
static ratelimit_offender found[RATELIMIT_SKETCH_SETS * RATELIMIT_SKETCH_WAYS * 2];

static uint64_t random64(uint64_t *state) {
  uint64_t z = *state += 0x9e3779b97f4a7c15u;

  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

static uint64_t id_of(unsigned key) {
  uint64_t state = key;

  return ratelimit_sketch_id(random64(&state), ROW);
}

static unsigned set_of(uint64_t id) {
  return (unsigned)(id / RATELIMIT_SKETCH_ROWS % RATELIMIT_SKETCH_SETS);
}

static int begin(void **state) {
  (void)state;
  memset(&sketch, 0, sizeof sketch);
  memset(truth, 0, sizeof truth);
  return 0;
}

static void count(unsigned key) {
  ratelimit_sketch_add(&sketch, EPOCH, id_of(key), NULL, 0, 0);
  ++truth[key];
}

/* Holds all that the sketch says against the exact counts: its header's two promises. */
static void hold(void) {
  size_t n = ratelimit_sketch_top(&sketch, EPOCH, found, sizeof found / sizeof found[0]);
  uint64_t of_set[RATELIMIT_SKETCH_SETS] = {0};

  for (unsigned key = 0; key < KEYS; ++key) {
    of_set[set_of(id_of(key))] += truth[key];
  }
  for (unsigned key = 0; key < KEYS; ++key) {
    uint64_t bound = of_set[set_of(id_of(key))] / RATELIMIT_SKETCH_WAYS;
    const ratelimit_offender *offender = NULL;

    for (size_t i = 0; i < n; ++i) {
      offender = found[i].id == id_of(key) ? &found[i] : offender;
    }
    if (offender == NULL) {
      assert_true(truth[key] <= bound);
    } else {
      assert_true(offender->count <= truth[key]);
      assert_true(truth[key] <= offender->count + offender->error);
      assert_true(offender->error <= bound);
    }
  }
  for (size_t i = 1; i < n; ++i) {
    assert_true(found[i - 1].count >= found[i].count);
  }
}

/* Whatever the order and the shares of the keys, the bounds hold. */
static void test_bounds(void **state) {
  uint64_t seed = 1;

  (void)state;
  for (unsigned shape = 0; shape < 6; ++shape) {
    begin(NULL);
    for (unsigned i = 0; i < 60000; ++i) {
      uint64_t r = random64(&seed);
      unsigned key = (unsigned)(r % KEYS);

      if (shape == 1) { /* few have most */
        key = (unsigned)(r % (1 + r / 7 % KEYS));
      } else if (shape == 2) { /* one after the other, which pushes everybody out */
        key = i % KEYS;
      } else if (shape == 3) { /* a flood, and one that goes on in it */
        key = r % 10 == 0 ? 17 : key;
      } else if (shape == 4) { /* the heavy ones come last */
        key = i < 50000 ? key : (unsigned)(r % 5);
      } else if (shape == 5) { /* as many as there is room for */
        key = (unsigned)(r % 400);
      }
      count(key);
    }
    hold();
  }
}

/* Who has a hundredth of all denials is found, in a flood of others with new names each. */
static void test_finds_the_heavy(void **state) {
  uint64_t seed = 2;

  (void)state;
  for (unsigned i = 0; i < 100000; ++i) {
    uint64_t key = i % 100 == 0 ? 1 : 1000 + random64(&seed) % 1000000000;

    ratelimit_sketch_add(&sketch, EPOCH, ratelimit_sketch_id(random64(&key), ROW), NULL, 0, 0);
  }
  assert_true(ratelimit_sketch_top(&sketch, EPOCH, found, 1) == 1);
  assert_true(found[0].id == id_of(1));
  assert_true(found[0].count + found[0].error >= 1000);
  assert_true(found[0].count > 700);
}

/* The window before counts along, the one before that is gone, and nobody had to clear it. */
static void test_windows(void **state) {
  (void)state;
  for (uint64_t epoch = 10; epoch < 13; ++epoch) {
    for (unsigned i = 0; i < epoch; ++i) {
      ratelimit_sketch_add(&sketch, epoch, id_of(3), "k", 1, 0);
    }
    assert_int_equal(ratelimit_sketch_top(&sketch, epoch, found, 5), 1);
    assert_int_equal(found[0].count, epoch > 10 ? epoch + epoch - 1 : epoch);
    assert_int_equal(found[0].error, 0);
  }
  assert_int_equal(ratelimit_sketch_top(&sketch, 14, found, 5), 0);
}

/* Text comes back as it went in, cut where it is long; of a key without one there is none. */
static void test_text(void **state) {
  char text[RATELIMIT_SKETCH_TEXT + 10];

  (void)state;
  memset(text, 'x', sizeof text);
  ratelimit_sketch_add(&sketch, EPOCH, id_of(1), "a\0b", 3, RATELIMIT_KEY_IS_ADDRESS);
  ratelimit_sketch_add(&sketch, EPOCH, id_of(1), "other", 5, 0);
  assert_int_equal(ratelimit_sketch_top(&sketch, EPOCH, found, 5), 1);
  assert_int_equal(found[0].len, 3);
  assert_memory_equal(found[0].text, "a\0b", 3);
  assert_int_equal(found[0].flags, RATELIMIT_KEY_IS_ADDRESS);
  begin(NULL);
  ratelimit_sketch_add(&sketch, EPOCH, id_of(2), text, sizeof text, 0);
  ratelimit_sketch_top(&sketch, EPOCH, found, 5);
  assert_int_equal(found[0].len, RATELIMIT_SKETCH_TEXT);
  assert_int_equal(found[0].flags, RATELIMIT_KEY_IS_CUT);
  begin(NULL);
  ratelimit_sketch_add(&sketch, EPOCH, id_of(2), NULL, 0, 0);
  ratelimit_sketch_top(&sketch, EPOCH, found, 5);
  assert_int_equal(found[0].len, 0);
}

/* A text of which a word is another's is shown to nobody: a process was killed while it wrote. */
static void test_torn_text(void **state) {
  unsigned set = set_of(id_of(1));

  (void)state;
  for (unsigned word = 0; word < 8; ++word) {
    begin(NULL);
    ratelimit_sketch_add(&sketch, EPOCH, id_of(1), "somebody's key", 14, 0);
    atomic_fetch_xor(&sketch.texts[EPOCH % 2][set][0].words[word], 1);
    ratelimit_sketch_top(&sketch, EPOCH, found, 5);
    assert_int_equal(found[0].count, 1);
    assert_int_equal(found[0].len, 0);
  }
}

/* Who takes a place does not get the text of whom it was taken from. */
static void test_no_inherited_text(void **state) {
  unsigned set = set_of(id_of(1));
  unsigned others = 0;

  (void)state;
  ratelimit_sketch_add(&sketch, EPOCH, id_of(1), "secret", 6, 0);
  for (unsigned key = 2; others < 3 * RATELIMIT_SKETCH_WAYS; ++key) {
    if (set_of(id_of(key)) == set) {
      ratelimit_sketch_add(&sketch, EPOCH, id_of(key), NULL, 0, 0);
      ++others;
    }
  }
  for (size_t n = ratelimit_sketch_top(&sketch, EPOCH, found, 50); n > 0; --n) {
    assert_true(found[n - 1].id != id_of(1) && found[n - 1].len == 0);
  }
}

/* A row stays readable in an id, and no id is 0, which stands for a free place. */
static void test_ids(void **state) {
  (void)state;
  assert_int_equal(ratelimit_sketch_row(ratelimit_sketch_id(UINT64_MAX, 255)), 255);
  assert_int_equal(ratelimit_sketch_row(ratelimit_sketch_id(UINT64_MAX, 0)), 0);
  assert_true(ratelimit_sketch_id(0, 0) != 0);
}

enum { THREADS = 4, EACH = 100000 };

static void *crowd(void *number) {
  uint64_t seed = (uint64_t)(uintptr_t)number;

  for (unsigned i = 0; i < EACH; ++i) {
    unsigned key = i % 4 == 0 ? 1 : (unsigned)(random64(&seed) % KEYS);

    ratelimit_sketch_add(&sketch, EPOCH, id_of(key), "k", 1, 0);
  }
  return NULL;
}

/* Threads in each other's way lose next to nothing: with their counts and what was missed, sets add
 * up to all that was counted but for a few that changed hands at the same moment. */
static void test_threads(void **state) {
  pthread_t threads[THREADS];
  uint64_t sum = 0;

  (void)state;
  for (uintptr_t i = 0; i < THREADS; ++i) {
    assert_int_equal(pthread_create(&threads[i], NULL, crowd, (void *)(i + 1)), 0);
  }
  for (unsigned i = 0; i < THREADS; ++i) {
    pthread_join(threads[i], NULL);
  }
  for (unsigned set = 0; set < RATELIMIT_SKETCH_SETS; ++set) {
    for (unsigned way = 0; way < RATELIMIT_SKETCH_WAYS; ++way) {
      sum += ratelimit_word_get(&sketch.sets[EPOCH % 2][set].count[way], EPOCH);
    }
  }
  sum += atomic_load(&sketch.missed);
  assert_in_range(sum, THREADS * EACH - 100, THREADS * EACH);
  ratelimit_sketch_top(&sketch, EPOCH, found, 1);
  assert_true(found[0].id == id_of(1));
  assert_in_range(found[0].count + found[0].error, THREADS * EACH / 4 - 10,
                  THREADS * EACH / 4 + THREADS * EACH / 4 / 10);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_bounds, begin),
      cmocka_unit_test_setup(test_finds_the_heavy, begin),
      cmocka_unit_test_setup(test_windows, begin),
      cmocka_unit_test_setup(test_text, begin),
      cmocka_unit_test_setup(test_torn_text, begin),
      cmocka_unit_test_setup(test_no_inherited_text, begin),
      cmocka_unit_test(test_ids),
      cmocka_unit_test_setup(test_threads, begin)};

  return cmocka_run_group_tests(tests, NULL, NULL);
}
