/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "fake_server.h"
#include "redis/script.h"
#include "redis_server.h"

static const rlc__script *const scripts[] = {
    &rlc__script_token_bucket,
    &rlc__script_fixed_window,
    &rlc__script_sliding_window,
    &rlc__script_several,
};

static rlc__connection c;
static redisReply *reply;

static int run(rlc__server *server, const rlc__script *script) {
  const rlc__bytes keys[] = {{"k1", 2}, {"k2", 2}}, args[] = {{"a\0b", 3}};

  freeReplyObject(reply);
  return rlc__script_run(&c, server, script, keys, 2, args, 1,
                         rlc__clock_monotonic_us() + 20000000, &reply);
}

static void reset_client(void) {
  freeReplyObject(reply);
  reply = NULL;
  rlc__connection_close(&c);
}

/* --- against a fake server ----------------------------------------------------------------- */

/* Keeps each command's verb, and what EVAL brought. */
typedef struct seen {
  char verbs[64];
  char *text;
  size_t len;
  const char *answer_eval;
} seen;

static void know_nothing(fake_peer *peer) {
  seen *s = peer->server->user;

  while (fake_read(peer)) {
    strcat(strcat(s->verbs, peer->word[0]), " ");
    if (strcmp(peer->word[0], "EVAL") == 0 && s->text == NULL) {
      s->len = peer->len[1];
      s->text = calloc(1, s->len + 1);
      memcpy(s->text, peer->word[1], s->len);
    }
    fake_say(peer, strcmp(peer->word[0], "EVAL") == 0 ? s->answer_eval
                                                      : "-NOSCRIPT No matching script.\r\n");
  }
}

/* A server that does not know the script gets its text once, byte for byte, on the same
 * connection. */
static void noscript_test(void **state) {
  seen s = {.answer_eval = ":7\r\n"};
  fake_server server;

  (void)state;
  fake_server_start(&server, 0, know_nothing, &s);
  assert_int_equal(run(&server.address, &rlc__script_several), 0);
  assert_int_equal(reply->integer, 7);
  assert_string_equal(s.verbs, "EVALSHA EVAL ");
  assert_int_equal(s.len, rlc__script_several.len);
  assert_memory_equal(s.text, rlc__script_several.text, s.len);
  assert_int_equal(atomic_load(&server.connections), 1);
  reset_client();
  fake_server_stop(&server);
  free(s.text);
}

/* A server that says so again is not asked for ever. */
static void noscript_twice_test(void **state) {
  seen s = {.answer_eval = "-NOSCRIPT Still not.\r\n"};
  fake_server server;

  (void)state;
  fake_server_start(&server, 0, know_nothing, &s);
  assert_int_equal(run(&server.address, &rlc__script_several), RLC__ERR_REFUSED);
  assert_null(reply);
  assert_string_equal(c.why, "the server refused: NOSCRIPT Still not.");
  assert_string_equal(s.verbs, "EVALSHA EVAL ");
  reset_client();
  fake_server_stop(&server);
  free(s.text);
}

static void check_words(fake_peer *peer) {
  static const char sha1[] = "EVALSHA";

  while (fake_read(peer)) {
    int right = peer->words == 6 && strcmp(peer->word[0], sha1) == 0 && peer->len[1] == 40 &&
                strcmp(peer->word[1], rlc__script_token_bucket.sha1) == 0 &&
                strcmp(peer->word[2], "2") == 0 && strcmp(peer->word[3], "k1") == 0 &&
                strcmp(peer->word[4], "k2") == 0 && peer->len[5] == 3 &&
                memcmp(peer->word[5], "a\0b", 3) == 0;

    fake_say(peer, right ? ":1\r\n" : ":0\r\n");
  }
}

/* The command is the hash, the number of keys, the keys, and the argument with its NUL. */
static void words_test(void **state) {
  fake_server server;

  (void)state;
  fake_server_start(&server, 0, check_words, NULL);
  assert_int_equal(run(&server.address, &rlc__script_token_bucket), 0);
  assert_int_equal(reply->integer, 1);
  reset_client();
  fake_server_stop(&server);
}

static void be_busy(fake_peer *peer) {
  while (fake_read(peer)) {
    fake_say(peer, "-BUSY Redis is busy running a script.\r\n");
  }
}

/* Any other error is told, and the script's text not sent: the command may have run. */
static void refusal_test(void **state) {
  fake_server server;

  (void)state;
  fake_server_start(&server, 0, be_busy, NULL);
  assert_int_equal(run(&server.address, &rlc__script_several), RLC__ERR_REFUSED);
  assert_null(reply);
  assert_non_null(strstr(c.why, "BUSY"));
  assert_int_equal(atomic_load(&server.commands), 1);
  reset_client();
  fake_server_stop(&server);
}

/* --- against a real one -------------------------------------------------------------------- */

static redis_server real;
static rlc__server real_address;

static int start_real(void **state) {
  (void)state;
  memset(&real_address, 0, sizeof real_address);
  rlc__connection_init(&c);
  return redis_server_start(&real) != 0 ||
         rlc__resolve_path(&real_address.addresses, real.socket, NULL, 0) != 0;
}

static int stop_real(void **state) {
  (void)state;
  reset_client();
  redis_server_stop(&real);
  return 0;
}

/* Asks the real server with the words of |line|. */
static int ask(const char *line) {
  char copy[128];
  const char *argv[8];
  size_t len[8];
  int argc = 0;

  snprintf(copy, sizeof copy, "%s", line);
  for (char *word = strtok(copy, " "); word != NULL; word = strtok(NULL, " ")) {
    argv[argc] = word;
    len[argc++] = strlen(word);
  }
  freeReplyObject(reply);
  return rlc__connection_ask(&c, &real_address, argc, argv, len,
                             rlc__clock_monotonic_us() + 20000000, &reply);
}

/* A real server computes the same hash of each script, and forgets scripts when told to. */
static void hash_test(void **state) {
  char line[128];

  (void)state;
  for (size_t i = 0; i < sizeof scripts / sizeof *scripts; ++i) {
    const char *argv[] = {"SCRIPT", "LOAD", (const char *)scripts[i]->text};
    size_t len[] = {6, 4, scripts[i]->len};

    freeReplyObject(reply);
    assert_int_equal(rlc__connection_ask(&c, &real_address, 3, argv, len,
                                         rlc__clock_monotonic_us() + 20000000, &reply),
                     0);
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
  real_address.db = 5;
  assert_int_equal(ask("SET which five"), 0);
  assert_int_equal(ask("CLIENT GETNAME"), 0);
  assert_string_equal(reply->str, "rlcore");
  assert_int_equal(ask("ACL SETUSER web on >tomtom ~* +@all"), 0);
  assert_int_equal(ask("CONFIG SET requirepass other"), 0);
  rlc__connection_close(&c);
  real_address.user = "web";
  real_address.password = "wrong";
  assert_int_equal(ask("GET which"), RLC__ERR_REFUSED);
  assert_non_null(strstr(c.why, "WRONGPASS"));
  real_address.password = "tomtom";
  assert_int_equal(ask("GET which"), 0);
  assert_string_equal(reply->str, "five");
  rlc__connection_close(&c);
  real_address.user = NULL;
  real_address.password = "other";
  assert_int_equal(ask("GET which"), 0);
  assert_string_equal(reply->str, "five");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(noscript_test),
      cmocka_unit_test(noscript_twice_test),
      cmocka_unit_test(words_test),
      cmocka_unit_test(refusal_test),
      cmocka_unit_test_setup_teardown(hash_test, start_real, stop_real),
      cmocka_unit_test_setup_teardown(login_test, start_real, stop_real),
  };
  rlc__connection_init(&c);
  return cmocka_run_group_tests_name("script", tests, NULL, NULL);
}
