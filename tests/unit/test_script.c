/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "redis/connection.h"
#include "redis/script.h"
#include "redis_server.h"

static const rlc__script *const scripts[] = {
    &rlc__script_token_bucket,
    &rlc__script_fixed_window,
    &rlc__script_sliding_window,
    &rlc__script_log,
    &rlc__script_several,
};

static rlc__connection c;
static rlc__login login;
static rlc__addresses addresses;
static redisReply *reply;

static redis_server real;

static int start_real(void **state) {
  (void)state;
  rlc__connection_init(&c);
  return redis_server_start(&real) != 0 ||
         rlc__resolve_path(&addresses, real.socket, NULL, 0) != 0;
}

static int stop_real(void **state) {
  (void)state;
  freeReplyObject(reply);
  reply = NULL;
  rlc__connection_close(&c);
  redis_server_stop(&real);
  return 0;
}

static int ask_words(int argc, const char *const *argv) {
  int64_t deadline = rlc__clock_monotonic_us() + 20000000;
  int rv = 0;

  freeReplyObject(reply);
  reply = NULL;
  if (c.stream.fd < 0) {
    rv = rlc__connection_open(&c, &login, &addresses.at[0], deadline);
  }
  return rv != 0 ? rv : rlc__connection_call(&c, argc, argv, deadline, &reply);
}

/* Asks the real server with the words of |line|. */
static int ask(const char *line) {
  char copy[128];
  const char *argv[8];
  int argc = 0;

  snprintf(copy, sizeof copy, "%s", line);
  for (char *word = strtok(copy, " "); word != NULL; word = strtok(NULL, " ")) {
    argv[argc++] = word;
  }
  return ask_words(argc, argv);
}

/* A real server computes the same hash of each script, and forgets scripts when told to. */
static void hash_test(void **state) {
  char line[128];

  (void)state;
  for (size_t i = 0; i < sizeof scripts / sizeof *scripts; ++i) {
    char *text = calloc(1, scripts[i]->len + 1);
    const char *argv[] = {"SCRIPT", "LOAD", text};

    memcpy(text, scripts[i]->text, scripts[i]->len);
    assert_int_equal(strlen(text), scripts[i]->len);
    assert_int_equal(ask_words(3, argv), 0);
    free(text);
    assert_int_equal(reply->type, REDIS_REPLY_STRING);
    assert_string_equal(reply->str, scripts[i]->sha1);
    snprintf(line, sizeof line, "SCRIPT EXISTS %s", scripts[i]->sha1);
    assert_int_equal(ask("SCRIPT FLUSH"), 0);
    assert_int_equal(ask(line), 0);
    assert_int_equal(reply->element[0]->integer, 0);
  }
}

/* A database, a user name and a password are given to a real server as it wants them. */
static void login_test(void **state) {
  (void)state;
  login.db = 5;
  assert_int_equal(ask("SET which five"), 0);
  assert_int_equal(ask("CLIENT GETNAME"), 0);
  assert_string_equal(reply->str, "rlcore");
  assert_int_equal(ask("ACL SETUSER web on >tomtom ~* +@all"), 0);
  assert_int_equal(ask("CONFIG SET requirepass other"), 0);
  rlc__connection_close(&c);
  login.user = "web";
  login.password = "wrong";
  assert_int_equal(ask("GET which"), RLC__ERR_REFUSED);
  assert_non_null(strstr(c.why, "WRONGPASS"));
  login.password = "tomtom";
  assert_int_equal(ask("GET which"), 0);
  assert_string_equal(reply->str, "five");
  rlc__connection_close(&c);
  login.user = NULL;
  login.password = "other";
  assert_int_equal(ask("GET which"), 0);
  assert_string_equal(reply->str, "five");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(hash_test, start_real, stop_real),
      cmocka_unit_test_setup_teardown(login_test, start_real, stop_real),
  };
  return cmocka_run_group_tests_name("script", tests, NULL, NULL);
}
