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

#include "redis_server.h"
#include "rlcore/rlcore.h"

/* The rows of tests/vectors, through each store by the public API: same answers to the last
 * integer. The time is passed in. */

#define COLUMNS 11 /* and why, which is for people */

static int64_t now;

static int64_t passed_in(void *user) {
  (void)user;
  return now;
}

/* Cuts |line| at its tabs. Returns how many columns there were, at most COLUMNS. */
static int split(char *line, char **column) {
  int n = 0;

  line[strcspn(line, "\n")] = '\0';
  while (n < COLUMNS && line != NULL) {
    column[n++] = line;
    line = strchr(line, '\t');
    if (line != NULL) {
      *line++ = '\0';
    }
  }
  return n;
}

static void run_row(rlc_limiter *limiter, const char *name, char **column, int row,
                    const char *file) {
  rlc_limit limit = RLC_LIMIT_INIT;
  rlc_decision d = RLC_DECISION_INIT;
  rlc_policy *policy;
  char why[RLC_MESSAGE_SIZE] = "";
  char told[160];
  char expected[160];
  int rv = -1;

  if (rlc_policy_new(&policy, NULL, column[1], NULL, why, sizeof why) != 0) {
    fail_msg("%s:%d: %s", file, row, why);
  }
  now = strtoll(column[3], NULL, 10);
  limit.policy = policy;
  limit.name = name;
  limit.key = column[2];
  limit.key_len = strlen(column[2]);
  limit.cost = strtoull(column[4], NULL, 10);
  if (strcmp(column[0], "check") == 0) {
    rv = rlc_limiter_check(limiter, &limit, 1, NULL, &d);
  } else if (strcmp(column[0], "peek") == 0) {
    rv = rlc_limiter_peek(limiter, &limit, 1, NULL, &d);
  } else if (strcmp(column[0], "charge") == 0) {
    rv = rlc_limiter_charge(limiter, &limit, 1, NULL, &d);
  } else if (strcmp(column[0], "refund") == 0) {
    rv = rlc_limiter_refund(limiter, &limit, 1, NULL, &d);
  } else if (strcmp(column[0], "grant") == 0) {
    rv = rlc_limiter_grant(limiter, &limit, 1, NULL, &d);
  } else if (strcmp(column[0], "reset") == 0) {
    rv = rlc_limiter_reset(limiter, &limit, 1);
  }
  assert_int_equal(rv, 0);
  rlc_policy_del(policy);
  if (strcmp(column[0], "reset") == 0) {
    return;
  }
  snprintf(told, sizeof told, "%d %u %llu %llu %lld %lld", d.allowed, d.result.rate_index,
           (unsigned long long)d.result.limit, (unsigned long long)d.result.remaining,
           (long long)d.result.retry_us, (long long)d.result.reset_us);
  snprintf(expected, sizeof expected, "%s %s %s %s %s %s", column[5], column[6], column[7],
           column[8], strcmp(column[9], "-") == 0 ? "-1" : column[9], column[10]);
  if (strcmp(told, expected) != 0) {
    fail_msg("%s:%d: %s %s cost %s: told %s, expected %s", file, row, column[0], column[1],
             column[4], told, expected);
  }
}

/* |limit|: what all limits are called, where policies change under their name; or NULL. */
static void run_file(const char *url, const char *name, const char *limit) {
  const char *folder = getenv("RLC_VECTORS") != NULL ? getenv("RLC_VECTORS") : "tests/vectors";
  rlc_limiter *limiter;
  rlc_options *options;
  char why[RLC_MESSAGE_SIZE] = "";
  char file[512];
  char line[1024];
  char *column[COLUMNS];
  int rows = 0;
  FILE *in;

  snprintf(file, sizeof file, "%s/%s.tsv", folder, name);
  in = fopen(file, "r");
  if (in == NULL) {
    fail_msg("%s: %s", file, strerror(errno));
  }
  assert_int_equal(rlc_options_new(&options, NULL), 0);
  rlc_options_set_test_clock(options, passed_in, NULL);
  if (rlc_limiter_new(&limiter, url, options, why, sizeof why) != 0) {
    fail_msg("%s: %s", url, why);
  }
  assert_non_null(fgets(line, sizeof line, in)); /* the header */
  while (fgets(line, sizeof line, in) != NULL) {
    assert_int_equal(split(line, column), COLUMNS);
    run_row(limiter, limit, column, ++rows + 1, file);
  }
  fclose(in);
  assert_true(rows > 200); /* a reader that read no line fails */
  rlc_limiter_del(limiter);
  rlc_options_del(options);
}

static void run_files(const char *url) {
  run_file(url, "calendar", NULL);
  run_file(url, "token-bucket", NULL);
  run_file(url, "fixed-window", NULL);
  run_file(url, "sliding-window", NULL);
  run_file(url, "sliding-log", NULL);
  run_file(url, "concurrency", NULL);
  run_file(url, "debt", NULL);
  run_file(url, "changes", "changing");
}

/* The C algorithms in memory of the process. */
static void memory_test(void **state) {
  (void)state;
  run_files("memory:");
}

/* The same in shared memory. */
static void shm_test(void **state) {
  (void)state;
  run_files("shm:");
}

/* The Lua in a real server, with no fail policy to hide behind. */
static void redis_test(void **state) {
  redis_server server;
  char url[200];

  (void)state;
  assert_int_equal(redis_server_start(&server), 0);
  snprintf(url, sizeof url, "%s?fail=closed&timeout=10s", server.url);
  run_files(url);
  redis_server_stop(&server);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(memory_test),
      cmocka_unit_test(shm_test),
      cmocka_unit_test(redis_test),
  };
  return cmocka_run_group_tests_name("vectors", tests, NULL, NULL);
}
