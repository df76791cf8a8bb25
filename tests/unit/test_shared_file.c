/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "failing_memory.h"
#include "rlcore/rlcore.h"

static int parse(rlc_config **config, const char *text, const rlc_memory *memory, char *why) {
  *why = '\0';
  return rlc_config_parse(config, "/etc/limits", text, strlen(text), memory, why, RLC_MESSAGE_SIZE);
}

static const char whole[] = "# shared by all\n"
                            "store redis://app:s3cret@h/0\n"
                            "\n"
                            "  secret-file  \"/etc/a secret\"\r\n"
                            "policy api \"10/s,1000/h burst=20\"\n"
                            "policy\tdaily 5000/day   algorithm=fixed-window  \n"
                            "# the end";

/* Store, secret and policies, with comments, blanks and quotes. */
static void whole_test(void **state) {
  char why[RLC_MESSAGE_SIZE];
  rlc_config *config;

  (void)state;
  assert_int_equal(parse(&config, whole, NULL, why), 0);
  assert_string_equal(rlc_config_get_store(config), "redis://app:s3cret@h/0");
  assert_string_equal(rlc_config_get_secret_file(config), "/etc/a secret");
  assert_int_equal(rlc_config_get_policies(config), 2);
  assert_string_equal(rlc_policy_get_name(rlc_config_get_policy(config, 0)), "api");
  assert_int_equal(rlc_policy_get_rates(rlc_config_find_policy(config, "api")), 2);
  assert_int_equal(rlc_policy_get_algorithm(rlc_config_find_policy(config, "daily")),
                   RLC_FIXED_WINDOW);
  assert_null(rlc_config_find_policy(config, "other"));
  assert_null(rlc_config_get_policy(config, 2));
  rlc_config_del(config);
}

/* Nothing said is nothing set. */
static void empty_test(void **state) {
  char why[RLC_MESSAGE_SIZE];
  rlc_config *config;

  (void)state;
  assert_int_equal(parse(&config, "", NULL, why), 0);
  assert_null(rlc_config_get_store(config));
  assert_null(rlc_config_get_secret_file(config));
  assert_int_equal(rlc_config_get_policies(config), 0);
  rlc_config_del(config);
  rlc_config_del(NULL);
}

/* What is wrong is told with file and line, and what to write. */
static void wrong_test(void **state) {
  static const struct {
    const char *text;
    int error;
    const char *why;
  } cases[] = {
      {"stor shm:", RLC_ERR_INVALID, "/etc/limits:1: expected \"store\", \"secret-file\""},
      {"\n\npolicy 1st 1/s", RLC_ERR_INVALID, "/etc/limits:3: \"1st\" cannot name a policy"},
      {"policy", RLC_ERR_INVALID, ":1: \"\" cannot name a policy"},
      {"policy a", RLC_ERR_POLICY, ":1: the policy a cannot be used: column 1"},
      {"#\npolicy a 1/fortnight", RLC_ERR_POLICY, ":2: the policy a cannot be used: column 3"},
      {"policy a 1/s\npolicy b 1/s\npolicy a 2/s", RLC_ERR_INVALID,
       ":3: the name a is taken in line 1: write another"},
      {"store redis://app:s3cret@h/zero", RLC_ERR_URL, ":1: the store cannot be used: column"},
      {"store", RLC_ERR_URL, ":1: the store cannot be used: column 1"},
      {"store shm:\nstore shm:", RLC_ERR_INVALID, ":2: a second store"},
      {"secret-file here", RLC_ERR_INVALID, ":1: expected an absolute path"},
      {"secret-file", RLC_ERR_INVALID, ":1: expected an absolute path"},
      {"secret-file /a\nsecret-file /b", RLC_ERR_INVALID, ":2: a second secret"},
      {"\001\"", RLC_ERR_INVALID, "found \"\\x01\\x22\""},
  };

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
    char why[RLC_MESSAGE_SIZE];
    rlc_config *config;

    assert_int_equal(parse(&config, cases[i].text, NULL, why), cases[i].error);
    assert_null(config);
    if (strstr(why, cases[i].why) == NULL || strstr(why, "s3cret") != NULL) {
      fail_msg("%s: %s", cases[i].text, why);
    }
  }
}

/* At most 1000 policies, all of which are there. */
static void most_test(void **state) {
  char *text = malloc(64 * 1024);
  char why[RLC_MESSAGE_SIZE];
  rlc_config *config;
  size_t len = 0;

  (void)state;
  assert_non_null(text);
  for (int i = 0; i < 1001; ++i) {
    if (i == 1000) {
      assert_int_equal(parse(&config, text, NULL, why), 0);
      assert_int_equal(rlc_config_get_policies(config), 1000);
      assert_non_null(rlc_config_find_policy(config, "p999"));
      rlc_config_del(config);
    }
    len += (size_t)snprintf(text + len, 64 * 1024 - len, "policy p%d 1/s\n", i);
  }
  assert_int_equal(parse(&config, text, NULL, why), RLC_ERR_INVALID);
  assert_non_null(strstr(why, ":1001: more than 1000 policies"));
  free(text);
}

/* A file is read where it is one, and only its owner and group may write it. */
static void load_test(void **state) {
  char path[] = "/tmp/rlcore-config-XXXXXX";
  int fd = mkstemp(path);
  char why[RLC_MESSAGE_SIZE] = "";
  rlc_config *config;

  (void)state;
  assert_true(fd >= 0);
  assert_int_equal(write(fd, whole, sizeof whole - 1), (ssize_t)sizeof whole - 1);
  assert_int_equal(rlc_config_load(&config, path, NULL, why, sizeof why), 0);
  assert_int_equal(rlc_config_get_policies(config), 2);
  rlc_config_del(config);
  assert_int_equal(fchmod(fd, 0602), 0);
  assert_int_equal(rlc_config_load(&config, path, NULL, why, sizeof why), RLC_ERR_SYSTEM);
  assert_non_null(strstr(why, "every user may write into"));
  assert_int_equal(fchmod(fd, 0600), 0);
  assert_int_equal(ftruncate(fd, 256 * 1024 + 1), 0);
  assert_int_equal(rlc_config_load(&config, path, NULL, why, sizeof why), RLC_ERR_SYSTEM);
  assert_non_null(strstr(why, "has more than 262144 bytes"));
  close(fd);
  unlink(path);
  assert_int_equal(rlc_config_load(&config, path, NULL, why, sizeof why), RLC_ERR_SYSTEM);
  assert_non_null(strstr(why, "cannot be read: No such file"));
  assert_int_equal(rlc_config_load(&config, "/tmp", NULL, why, sizeof why), RLC_ERR_SYSTEM);
  assert_non_null(strstr(why, "is no regular file"));
  assert_null(config);
}

/* Wherever memory ends, nothing is left, and it is said. */
static void memory_test(void **state) {
  int rv = RLC_ERR_NOMEM;

  (void)state;
  for (int i = 0; rv == RLC_ERR_NOMEM; ++i) {
    failing_memory m = {i, 0};
    rlc_memory memory = failing_functions(&m);
    char why[RLC_MESSAGE_SIZE];
    rlc_config *config;

    rv = parse(&config, whole, &memory, why);
    assert_true(rv == 0 || rv == RLC_ERR_NOMEM);
    assert_true((config != NULL) == (rv == 0));
    rlc_config_del(config);
    assert_int_equal(m.held, 0);
    assert_true(i < 200);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(whole_test), cmocka_unit_test(empty_test), cmocka_unit_test(wrong_test),
      cmocka_unit_test(most_test), cmocka_unit_test(load_test),
      cmocka_unit_test(memory_test),
  };

  return cmocka_run_group_tests_name("shared_file", tests, NULL, NULL);
}
