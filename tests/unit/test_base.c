/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs those four first */
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/options.h"
#include "base/siphash.h"
#include "base/suggest.h"
#include "failing_memory.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The version of the library is that of its header. */
static void test_version(void **state) {
  (void)state;
  assert_string_equal(rlc_version(), RLC_VERSION);
}

/* Every error has a sentence of its own, and an unknown number the general one. */
static void test_strerror(void **state) {
  static const int errors[] = {RLC_OK, RLC_DEGRADED, RLC_ERR_INVALID, RLC_ERR_POLICY, RLC_ERR_URL,
                               RLC_ERR_NOMEM, RLC_ERR_SYSTEM, RLC_ERR_FOREIGN, RLC_ERR_UNSUPPORTED,
                               RLC__ERR_TIMEOUT, RLC__ERR_UNAVAILABLE, RLC__ERR_REFUSED,
                               RLC__ERR_PROTOCOL, 4711};

  (void)state;
  for (size_t i = 0; i < COUNT(errors); ++i) {
    const char *sentence = rlc_strerror(errors[i]);

    assert_true(strlen(sentence) > 5 && sentence[strlen(sentence) - 1] != '.');
    for (size_t j = 0; j < i; ++j) {
      assert_string_not_equal(sentence, rlc_strerror(errors[j]));
    }
  }
  assert_string_equal(rlc_strerror(4711), "Unknown error");
}

/* Sources have the names that the header promises. */
static void test_source_names(void **state) {
  (void)state;
  assert_string_equal(rlc_source_name(RLC_SOURCE_STORE), "store");
  assert_string_equal(rlc_source_name(RLC_SOURCE_FALLBACK), "fallback");
  assert_string_equal(rlc_source_name(RLC_SOURCE_FAIL_OPEN), "fail-open");
  assert_string_equal(rlc_source_name(RLC_SOURCE_FAIL_CLOSED), "fail-closed");
  assert_string_equal(rlc_source_name((rlc_source)0), "none");
}

/* A failure returns its error, and its sentence is cut to the buffer; no buffer is no harm. */
static void test_fail(void **state) {
  char why[8] = "?";

  (void)state;
  assert_int_equal(rlc__fail(-7, why, sizeof why, "%s %d", "number", 12345), -7);
  assert_string_equal(why, "number ");
  assert_int_equal(rlc__fail(-8, NULL, 100, "%d", 1), -8);
  assert_int_equal(rlc__fail(-9, why, 0, "x"), -9);
  assert_string_equal(why, "number ");
}

/* Bytes from outside are shown as printable ASCII. */
static void test_printable(void **state) {
  char buf[64];

  (void)state;
  assert_string_equal(rlc__printable(buf, sizeof buf, "a b~", 4), "a b~");
  assert_string_equal(rlc__printable(buf, sizeof buf, "\n\"\\\0\xff\x7f", 6),
                      "\\x0a\\x22\\x5c\\x00\\xff\\x7f");
  assert_string_equal(rlc__printable(buf, sizeof buf, NULL, 0), "");
}

/* What does not fit ends with dots, never within an escape, and never past the buffer. */
static void test_printable_cut(void **state) {
  static const char *const expected[] = {"", "", "", "...", "a...", "ab...", "ab...", "ab...",
                                         "ab...", "ab\\x0a..."};

  (void)state;
  for (size_t size = 1; size <= COUNT(expected); ++size) {
    char buf[16];

    memset(buf, '#', sizeof buf);
    assert_string_equal(rlc__printable(buf, size, "ab\ncdefghijk", 12), expected[size - 1]);
    assert_int_equal(buf[size], '#');
  }
}

/* Text that just fits is not cut. */
static void test_printable_fits(void **state) {
  char buf[8];

  (void)state;
  assert_string_equal(rlc__printable(buf, 8, "abcdefg", 7), "abcdefg");
  assert_string_equal(rlc__printable(buf, 7, "abcdefg", 7), "abc...");
  assert_string_equal(rlc__printable(buf, 0, "abcdefg", 7), "");
}

/* Memory comes zeroed, a product that overflows is refused, and a failure is NULL. */
static void test_memory(void **state) {
  failing_memory m = {1, 0};
  rlc_memory memory = failing_functions(&m);
  char *zeros = rlc__calloc(&memory, 3, 5);

  (void)state;
  assert_non_null(zeros);
  assert_memory_equal(zeros, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 15);
  assert_null(rlc__calloc(&memory, SIZE_MAX / 2, 3));
  assert_null(rlc__strndup(&memory, "x", 1));
  rlc__free(&memory, zeros);
  rlc__free(&memory, NULL);
  assert_int_equal(m.held, 0);
}

/* The default functions work, and a copy ends with a NUL. */
static void test_memory_default(void **state) {
  const rlc_memory *memory = rlc__memory_or_default(NULL);
  char *copy = rlc__strndup(memory, "abcdef", 3);

  (void)state;
  assert_string_equal(copy, "abc");
  copy = rlc__realloc(memory, copy, 100);
  assert_string_equal(copy, "abc");
  rlc__wipe(copy, 3);
  assert_memory_equal(copy, "\0\0\0", 3);
  rlc__free(memory, copy);
  assert_ptr_equal(rlc__memory_or_default(memory), memory);
}

/* Clocks go forward, and the wall clock is of this century. */
static void test_clocks(void **state) {
  int64_t mono = rlc__clock_monotonic_us();
  int64_t boot = rlc__clock_boottime_us();

  (void)state;
  assert_true(mono > 0 && rlc__clock_monotonic_us() >= mono);
  assert_true(boot > 0 && rlc__clock_boottime_us() >= boot);
  assert_true(rlc__clock_wall_us() > INT64_C(1500000000000000));
}

typedef struct heard {
  rlc_log_level level;
  char id[16];
  char message[RLC_MESSAGE_SIZE + 1];
} heard;

static void listen_to(rlc_log_level level, const char *id, const char *message, void *user) {
  heard *h = user;

  h->level = level;
  snprintf(h->id, sizeof h->id, "%s", id);
  snprintf(h->message, sizeof h->message, "%s", message);
  errno = EPERM;
}

/* A line reaches the listener, cut to the size of messages, and errno survives it. */
static void test_log(void **state) {
  heard h = {0};
  rlc__log log = {listen_to, &h};

  (void)state;
  errno = EAGAIN;
  rlc__log_write(&log, RLC_LOG_WARNING, "RLC9999", "%*d", RLC_MESSAGE_SIZE + 50, 1);
  assert_int_equal(errno, EAGAIN);
  assert_int_equal(h.level, RLC_LOG_WARNING);
  assert_string_equal(h.id, "RLC9999");
  assert_int_equal(strlen(h.message), RLC_MESSAGE_SIZE - 1);
}

/* Without a listener nothing happens. */
static void test_log_nobody(void **state) {
  rlc__log log = {NULL, NULL};

  (void)state;
  rlc__log_write(&log, RLC_LOG_ERROR, "RLC9999", "%d", 1);
  rlc__log_write(NULL, RLC_LOG_ERROR, "RLC9999", "%d", 1);
}

static int64_t a_clock(void *user) {
  return *(int64_t *)user;
}

/* What was not set is remembered as such, and what was set is there. */
static void test_options(void **state) {
  rlc_options *options;
  int64_t now = 42;

  (void)state;
  assert_int_equal(rlc_options_new(&options, NULL), 0);
  assert_int_equal(options->set, 0);
  assert_int_equal(rlc_options_set_timeout_us(options, 1000), 0);
  assert_int_equal(rlc_options_set_fail(options, RLC_FAIL_CLOSED), 0);
  rlc_options_set_shm_fd(options, 3);
  rlc_options_set_test_clock(options, a_clock, &now);
  rlc_options_set_log(options, listen_to, &now);
  assert_int_equal(options->set, RLC__OPT_TIMEOUT | RLC__OPT_FAIL | RLC__OPT_SHM_FD |
                                     RLC__OPT_CLOCK);
  assert_int_equal(options->timeout_us, 1000);
  assert_int_equal(options->fail, RLC_FAIL_CLOSED);
  assert_int_equal(options->shm_fd, 3);
  assert_int_equal(options->clock(options->clock_user), 42);
  assert_ptr_equal(options->log.fn, listen_to);
  rlc_options_del(options);
}

/* Settings can be taken back to the default. */
static void test_options_unset(void **state) {
  rlc_options *options;
  int64_t now = 42;

  (void)state;
  assert_int_equal(rlc_options_new(&options, NULL), 0);
  rlc_options_set_fail(options, RLC_FAIL_OPEN);
  rlc_options_set_fail(options, RLC_FAIL_DEFAULT);
  rlc_options_set_shm_fd(options, 0);
  rlc_options_set_shm_fd(options, -1);
  rlc_options_set_test_clock(options, a_clock, &now);
  rlc_options_set_test_clock(options, NULL, &now);
  assert_int_equal(options->set, 0);
  rlc_options_del(options);
  rlc_options_del(NULL);
}

/* Values out of range are refused and change nothing. */
static void test_options_refused(void **state) {
  rlc_options *options;
  char secret[1025] = "0123456789abcdef";

  (void)state;
  assert_int_equal(rlc_options_new(&options, NULL), 0);
  assert_int_equal(rlc_options_set_timeout_us(options, 999), RLC_ERR_INVALID);
  assert_int_equal(rlc_options_set_timeout_us(options, 60000001), RLC_ERR_INVALID);
  assert_int_equal(rlc_options_set_fail(options, (rlc_fail)4), RLC_ERR_INVALID);
  assert_int_equal(rlc_options_set_secret(options, secret, 15), RLC_ERR_INVALID);
  assert_int_equal(rlc_options_set_secret(options, secret, 1025), RLC_ERR_INVALID);
  assert_int_equal(rlc_options_set_secret(options, NULL, 16), RLC_ERR_INVALID);
  assert_int_equal(options->set, 0);
  rlc_options_del(options);
}

/* A secret is copied with its NULs; a second one takes its place, and one that is refused does
 * not. */
static void test_options_secret(void **state) {
  rlc_options *options;
  char secret[20] = "0123\0" "56789012345678";

  (void)state;
  assert_int_equal(rlc_options_new(&options, NULL), 0);
  assert_int_equal(rlc_options_set_secret(options, "an older secret, longer", 23), 0);
  assert_int_equal(rlc_options_set_secret(options, secret, sizeof secret), 0);
  assert_int_equal(rlc_options_set_secret(options, secret, 1), RLC_ERR_INVALID);
  assert_int_equal(options->secret_size, sizeof secret);
  assert_memory_equal(options->secret, secret, sizeof secret);
  rlc_options_del(options);
}

/* Where memory runs out nothing is held, and a secret that was set stays. */
static void test_options_nomem(void **state) {
  failing_memory m = {0, 0};
  rlc_memory memory = failing_functions(&m);
  rlc_options *options = (rlc_options *)&m;

  (void)state;
  assert_int_equal(rlc_options_new(&options, &memory), RLC_ERR_NOMEM);
  assert_null(options);
  m.left = 2;
  assert_int_equal(rlc_options_new(&options, &memory), 0);
  assert_int_equal(rlc_options_set_secret(options, "0123456789abcdef", 16), 0);
  assert_int_equal(rlc_options_set_secret(options, "0123456789ABCDEF", 16), RLC_ERR_NOMEM);
  assert_memory_equal(options->secret, "0123456789abcdef", 16);
  rlc_options_del(options);
  assert_int_equal(m.held, 0);
}

static const uint8_t sip_key[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/* SipHash-1-3 of 0, 1, 2, ... bytes 00 01 02 ..., from another implementation, one that also gives
 * the published SipHash-2-4 vectors. */
static void test_siphash(void **state) {
  static const uint64_t expected[] = {
      0xabac0158050fc4dc, 0xc9f49bf37d57ca93, 0x82cb9b024dc7d44d, 0x8bf80ab8e7ddf7fb,
      0xcf75576088d38328, 0xdef9d52f49533b67, 0xc50d2b50c59f22a7, 0xd3927d989bb11140,
      0x369095118d299a8e, 0x25a48eb36c063de4, 0x79de85ee92ff097f, 0x70c118c1f94dc352,
      0x78a384b157b4d9a2, 0x306f760c1229ffa7, 0x605aa111c0f95d34, 0xd320d86d2a519956,
      0xcc4fdd1a7d908b66};
  uint8_t data[64];
  uint64_t folded = 0;

  (void)state;
  for (unsigned n = 0; n < sizeof data; ++n) {
    uint64_t hash = rlc__siphash(sip_key, data, n);

    data[n] = (uint8_t)n;
    folded = (folded << 1 | folded >> 63) ^ hash;
    if (n < COUNT(expected)) {
      assert_true(hash == expected[n]);
    }
  }
  assert_true(folded == 0x7f4d5086694f99aa);
}

/* The hash of two strings is that of the bytes its header names. */
static void test_siphash2(void **state) {
  char many[300];
  uint8_t joined[400];

  (void)state;
  memset(many, 'a', sizeof many);
  assert_true(rlc__siphash2(sip_key, "192.0.2.1", 9, "api", 3, 7) == 0xddefff5cc7232619);
  assert_true(rlc__siphash2(sip_key, NULL, 0, NULL, 0, 0) == 0x403e4b0d4f19f787);
  assert_true(rlc__siphash2(sip_key, "12345678", 8, many, 300, UINT64_C(1) << 63) ==
              0xcd5c3a13e07ea864);
  memset(joined, 0, sizeof joined);
  for (unsigned alen = 0; alen < 40; ++alen) {
    unsigned padded = (alen + 7) / 8 * 8;

    memset(joined, 0, sizeof joined);
    joined[0] = 5;
    joined[8] = (uint8_t)alen;
    memset(joined + 16, 'a', alen);
    memset(joined + 16 + padded, 'a', alen % 11);
    assert_true(rlc__siphash2(sip_key, many, alen, many, alen % 11, 5) ==
                rlc__siphash(sip_key, joined, 16 + padded + alen % 11));
  }
}

/* Where one string ends and the other begins makes a difference, and so do NULs and the salt. */
static void test_siphash2_unambiguous(void **state) {
  uint64_t hashes[6];

  (void)state;
  hashes[0] = rlc__siphash2(sip_key, "ab", 2, "c", 1, 0);
  hashes[1] = rlc__siphash2(sip_key, "a", 1, "bc", 2, 0);
  hashes[2] = rlc__siphash2(sip_key, "ab", 3, "c", 1, 0);
  hashes[3] = rlc__siphash2(sip_key, "ab", 2, "c", 2, 0);
  hashes[4] = rlc__siphash2(sip_key, "ab", 2, "c", 1, 1);
  hashes[5] = rlc__siphash2(sip_key, "", 0, "abc", 3, 0);
  for (size_t i = 0; i < COUNT(hashes); ++i) {
    for (size_t j = 0; j < i; ++j) {
      assert_true(hashes[i] != hashes[j]);
    }
  }
}

/* A word with up to two mistakes finds the one that was meant; another finds none. */
static void test_suggest(void **state) {
  static const char *const words[] = {"s", "min", "h", "day", "fixed-window"};
  static const struct {
    const char *text;
    const char *meant;
  } cases[] = {{"mni", "min"}, {"MIN", "min"}, {"mn", "min"}, {"dya", "day"}, {"hr", "h"},
               {"days", "day"}, {"S", "s"}, {"fixd_window", "fixed-window"}, {"", NULL},
               {"x", NULL}, {"xyz", NULL}, {"fortnight", NULL},
               {"a-word-that-is-longer-than-any-other", NULL}};

  (void)state;
  for (size_t i = 0; i < COUNT(cases); ++i) {
    const char *meant =
        rlc__suggest(cases[i].text, strlen(cases[i].text), words, COUNT(words));

    if (cases[i].meant == NULL) {
      assert_null(meant);
    } else {
      assert_non_null(meant);
      assert_string_equal(meant, cases[i].meant);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_version),
      cmocka_unit_test(test_strerror),
      cmocka_unit_test(test_source_names),
      cmocka_unit_test(test_fail),
      cmocka_unit_test(test_printable),
      cmocka_unit_test(test_printable_cut),
      cmocka_unit_test(test_printable_fits),
      cmocka_unit_test(test_memory),
      cmocka_unit_test(test_memory_default),
      cmocka_unit_test(test_clocks),
      cmocka_unit_test(test_log),
      cmocka_unit_test(test_log_nobody),
      cmocka_unit_test(test_options),
      cmocka_unit_test(test_options_unset),
      cmocka_unit_test(test_options_refused),
      cmocka_unit_test(test_options_secret),
      cmocka_unit_test(test_options_nomem),
      cmocka_unit_test(test_siphash),
      cmocka_unit_test(test_siphash2),
      cmocka_unit_test(test_siphash2_unambiguous),
      cmocka_unit_test(test_suggest),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
