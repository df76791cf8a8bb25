/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "fake_server.h"
#include "redis/connection.h"

#define LONG_US INT64_C(20000000) /* no test that passes waits for it */
#define SHORT_US INT64_C(60000)

static fake_server server;
static rlc__connection c;
static rlc__login login;
static redisReply *reply;

static void begin(int tcp, fake_behaviour *serve, void *user) {
  rlc__connection_init(&c);
  login = (rlc__login){NULL, NULL, 0, NULL, NULL};
  reply = NULL;
  fake_server_start(&server, tcp, serve, user);
}

static void end(void) {
  freeReplyObject(reply);
  rlc__connection_close(&c);
  fake_server_stop(&server);
}

/* Connects if need be, and asks with a command of one word. */
static int ask(const char *word, int64_t time_us) {
  int64_t deadline = rlc__clock_monotonic_us() + time_us;
  int rv = 0;

  freeReplyObject(reply);
  reply = NULL;
  if (c.stream.fd < 0) {
    rv = rlc__connection_open(&c, &login, &server.addresses.at[0], deadline);
  }
  return rv != 0 ? rv : rlc__connection_call(&c, 1, &word, deadline, &reply);
}

/* Asserts that asking ends at its deadline, not before and not much later, in |error|. */
static void assert_ends_in_time(const char *word, int error) {
  int64_t start = rlc__clock_monotonic_us();

  assert_int_equal(ask(word, SHORT_US), error);
  assert_in_range(rlc__clock_monotonic_us() - start, SHORT_US, SHORT_US + 1000000);
  assert_null(reply);
  assert_int_equal(c.stream.fd, -1);
}

/* Asserts that asking fails in |error| because of what the server does, and the connection goes. */
static void assert_fails(int error, const char *part) {
  assert_int_equal(ask("PING", LONG_US), error);
  assert_non_null(strstr(c.why, part));
  assert_null(reply);
  assert_int_equal(c.stream.fd, -1);
}

/* --- replies ------------------------------------------------------------------------------- */

static void count_up(fake_peer *peer) {
  char text[16];

  while (fake_read(peer)) {
    snprintf(text, sizeof text, ":%u\r\n",
             peer->number * 100 + atomic_load(&peer->server->commands));
    fake_say(peer, text);
  }
}

/* Commands and replies go in turn over one connection, by unix socket and by TCP. */
static void turn_test(void **state) {
  (void)state;
  for (int tcp = 0; tcp < 2; ++tcp) {
    begin(tcp, count_up, NULL);
    for (int i = 1; i <= 3; ++i) {
      assert_int_equal(ask("PING", LONG_US), 0);
      assert_int_equal(reply->integer, i);
    }
    assert_int_equal(atomic_load(&server.connections), 1);
    end();
  }
}

static const char pieces[] = "*3\r\n:1\r\n$4\r\na\r\nb\r\n+OK\r\n";

static void split(fake_peer *peer) {
  for (size_t at = 1; fake_read(peer); ++at) {
    fake_write(peer, pieces, at);
    fake_wait_taken(peer);
    fake_write(peer, pieces + at, sizeof pieces - 1 - at);
  }
}

/* A reply that comes in two parts is whole, wherever it was cut. */
static void split_test(void **state) {
  (void)state;
  begin(0, split, NULL);
  for (size_t at = 1; at < sizeof pieces - 1; ++at) {
    assert_int_equal(ask("PING", LONG_US), 0);
    assert_int_equal(reply->elements, 3);
    assert_int_equal(reply->element[0]->integer, 1);
    assert_memory_equal(reply->element[1]->str, "a\r\nb", 4);
    assert_string_equal(reply->element[2]->str, "OK");
  }
  assert_int_equal(atomic_load(&server.connections), 1);
  end();
}

static void say_user(fake_peer *peer) {
  while (fake_read(peer)) {
    fake_say(peer, peer->server->user);
  }
}

/* Bytes that are no reply, or more of one than any command gives, are told at once, not at the
 * deadline; and the connection is closed. */
static void garbage_test(void **state) {
  char *const said[] = {
      "HTTP/1.1 400 Bad Request\r\n", "\r\n", "$999999999\r\n", "$99999999999999999999\r\n",
      "*2147483647\r\n", "*20001\r\n", "*-7\r\n",
      "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n",
      ":1\r\n:2\r\n",
  };

  (void)state;
  for (size_t i = 0; i < sizeof said / sizeof *said; ++i) {
    begin(0, say_user, said[i]);
    assert_fails(RLC__ERR_PROTOCOL, "the server");
    end();
  }
}

static void never_ending(fake_peer *peer) {
  char line[4096];

  memset(line, 'a', sizeof line);
  line[0] = '+';
  if (fake_read(peer)) {
    fake_write(peer, line, sizeof line);
    line[0] = 'a';
    for (int i = 0; i < 2 * RLC__MAX_REPLY / (int)sizeof line; ++i) {
      fake_write(peer, line, sizeof line);
    }
    fake_wait_left(peer);
  }
}

/* A line without an end is given up. */
static void never_ending_test(void **state) {
  (void)state;
  begin(0, never_ending, NULL);
  assert_fails(RLC__ERR_PROTOCOL, "more than 4194304 bytes");
  end();
}

static void hang_up_after_user(fake_peer *peer) {
  if (fake_read(peer)) {
    fake_say(peer, peer->server->user);
  }
}

/* A server that leaves before its reply is whole may have run the command: it is not sent again. */
static void eof_test(void **state) {
  char *const said[] = {"", ":4", "*2\r\n:1\r\n"};

  (void)state;
  for (size_t i = 0; i < sizeof said / sizeof *said; ++i) {
    begin(0, hang_up_after_user, said[i]);
    assert_fails(RLC__ERR_UNAVAILABLE, "closed the connection before");
    assert_int_equal(atomic_load(&server.commands), 1);
    end();
  }
}

/* --- deadlines ----------------------------------------------------------------------------- */

static void be_silent(fake_peer *peer) {
  while (fake_read(peer)) {
  }
}

/* A server that reads and never answers costs the deadline and no more. */
static void silence_test(void **state) {
  (void)state;
  begin(0, be_silent, NULL);
  assert_ends_in_time("PING", RLC__ERR_TIMEOUT);
  end();
}

/* So does one that accepts the connection and says not even that it was greeted. */
static void deaf_test(void **state) {
  (void)state;
  begin(1, fake_wait_stop, NULL);
  assert_ends_in_time("PING", RLC__ERR_TIMEOUT);
  end();
}

static void greet_and_go_deaf(fake_peer *peer) {
  fake_say(peer, "+OK\r\n");
  fake_wait_stop(peer);
}

/* A command that is half written at the deadline is given up with its connection. */
static void unread_test(void **state) {
  size_t size = 8 * 1024 * 1024;
  char *word = malloc(size);

  (void)state;
  memset(word, 'a', size);
  word[size - 1] = '\0';
  begin(0, greet_and_go_deaf, NULL);
  assert_ends_in_time(word, RLC__ERR_TIMEOUT);
  assert_non_null(strstr(c.why, "take the command"));
  end();
  free(word);
}

static void drip(fake_peer *peer) {
  if (fake_read(peer)) {
    fake_say(peer, "$1000000\r\n");
    for (int i = 0; i < 1000000; ++i) {
      char byte = 'a';

      if (send(peer->fd, &byte, 1, MSG_NOSIGNAL) != 1) {
        return;
      }
    }
  }
}

/* A server that always has one byte more to say is late like any other. */
static void drip_test(void **state) {
  (void)state;
  begin(0, drip, NULL);
  assert_ends_in_time("PING", RLC__ERR_TIMEOUT);
  end();
}

static void no_action(int signal) {
  (void)signal;
}

/* Signals neither end a wait nor lengthen it. */
static void signal_test(void **state) {
  const struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
  struct sigaction act = {.sa_handler = no_action};
  sigset_t alarm;

  (void)state;
  sigemptyset(&alarm);
  sigaddset(&alarm, SIGALRM);
  sigaction(SIGALRM, &act, NULL);
  pthread_sigmask(SIG_BLOCK, &alarm, NULL); /* the server's threads inherit it */
  begin(0, be_silent, NULL);
  pthread_sigmask(SIG_UNBLOCK, &alarm, NULL);
  setitimer(ITIMER_REAL, &often, NULL);
  assert_ends_in_time("PING", RLC__ERR_TIMEOUT);
  setitimer(ITIMER_REAL, &never, NULL);
  end();
}

/* --- refusals ------------------------------------------------------------------------------ */

/* A server's error is passed on, and the connection goes on. */
static void error_test(void **state) {
  char *const said[] = {
      "-LOADING Redis is loading the dataset in memory\r\n", "-READONLY You can't write\r\n",
      "-BUSY Redis is busy\r\n", "-MASTERDOWN Link is down\r\n", "-OOM command not allowed\r\n",
      "-NOAUTH Authentication required.\r\n", "-NOPERM no permissions\r\n", "-\r\n",
  };

  (void)state;
  for (size_t i = 0; i < sizeof said / sizeof *said; ++i) {
    begin(0, say_user, said[i]);
    assert_int_equal(ask("PING", LONG_US), 0);
    assert_int_equal(reply->type, REDIS_REPLY_ERROR);
    assert_int_equal(reply->len, strlen(said[i]) - 3);
    assert_memory_equal(reply->str, said[i] + 1, strlen(said[i]) - 3);
    assert_int_equal(ask("PING", LONG_US), 0);
    assert_int_equal(atomic_load(&server.connections), 1);
    end();
  }
}

/* What a server says is escaped before people see it. */
static void escape_test(void **state) {
  (void)state;
  begin(0, say_user, "-ERR \x1b[31mred\r\n");
  server.greets = 0;
  login.db = 1;
  assert_fails(RLC__ERR_REFUSED, "the server refused: ERR \\x1b[31mred");
  end();
}

static void record(fake_peer *peer) {
  char *seen = peer->server->user;

  while (fake_read(peer)) {
    for (int i = 0; i < peer->words; ++i) {
      strcat(seen, peer->word[i]);
      strcat(seen, i + 1 < peer->words ? " " : ";");
    }
    fake_say(peer, "+OK\r\n");
  }
}

/* Who is given a user, a password and a database introduces himself with them, in that order. */
static void greeting_test(void **state) {
  char seen[256] = "";

  (void)state;
  begin(0, record, seen);
  server.greets = 0;
  login.user = "apache";
  login.password = "tomtom";
  login.db = 3;
  assert_int_equal(ask("PING", LONG_US), 0);
  assert_string_equal(seen, "AUTH apache tomtom;SELECT 3;CLIENT SETNAME rlcore;PING;");
  end();
}

static void refuse_step(fake_peer *peer) {
  while (fake_read(peer)) {
    fake_say(peer, strcmp(peer->word[0], peer->server->user) != 0 ? "+OK\r\n"
                   : strcmp(peer->word[0], "AUTH") == 0
                       ? "-WRONGPASS not tomtom\r\n"
                       : "-ERR I do not know this\r\n");
  }
}

/* A rejected password is told, and not repeated, though the server does. */
static void password_test(void **state) {
  (void)state;
  begin(0, refuse_step, "AUTH");
  server.greets = 0;
  login.password = "tomtom";
  assert_fails(RLC__ERR_REFUSED, "rejected the user name or password (WRONGPASS)");
  assert_null(strstr(c.why, "tomtom"));
  end();
}

/* A database that the server does not have is an error; a name that it does not take is none. */
static void step_test(void **state) {
  (void)state;
  begin(0, refuse_step, "SELECT");
  server.greets = 0;
  login.db = 99;
  assert_fails(RLC__ERR_REFUSED, "the server refused: ERR I do not know this");
  end();
  begin(0, refuse_step, "CLIENT");
  server.greets = 0;
  assert_int_equal(ask("PING", LONG_US), 0);
  end();
}

static void turn_away(fake_peer *peer) {
  fake_say(peer, "-ERR max number of clients reached\r\n");
}

/* A server that is full says so before it hangs up, and is heard. */
static void full_test(void **state) {
  (void)state;
  begin(0, turn_away, NULL);
  assert_fails(RLC__ERR_REFUSED, "max number of clients");
  end();
}

/* --- connections --------------------------------------------------------------------------- */

/* Nobody there: the reason is told, and nothing waits. */
static void nobody_test(void **state) {
  (void)state;
  for (int tcp = 0; tcp < 2; ++tcp) {
    begin(tcp, count_up, NULL);
    fake_server_stop(&server);
    assert_fails(RLC__ERR_UNAVAILABLE, tcp ? "Connection refused" : "No such file");
  }
}

/* A unix socket whose queue is full refuses at once; until the deadline it is tried again. */
static void queue_test(void **state) {
  rlc__connection waiting[8];
  int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  rlc__address *at;

  (void)state;
  begin(0, count_up, NULL);
  at = &server.addresses.at[0];
  unlink(server.path);
  assert_int_equal(bind(listener, (struct sockaddr *)&at->socket, at->len), 0);
  assert_int_equal(listen(listener, 0), 0);
  for (int i = 0; i < 8; ++i) {
    rlc__connection_init(&waiting[i]);
    rlc__connection_open(&waiting[i], &login, at, rlc__clock_monotonic_us() + 1000);
  }
  for (int full = 0; !full;) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

    full = connect(fd, (struct sockaddr *)&at->socket, at->len) != 0 && errno == EAGAIN;
    close(fd);
  }
  assert_ends_in_time("PING", RLC__ERR_TIMEOUT);
  close(listener);
  end();
}

/* Addresses need no look-up; what cannot be one is told, as is a path longer than a socket's. */
static void resolve_test(void **state) {
  char why[RLC_MESSAGE_SIZE] = "", path[200];
  rlc__addresses a;

  (void)state;
  assert_int_equal(rlc__resolve_host(&a, "::1", 6379, why, sizeof why), 0);
  assert_string_equal(a.name, "[::1]:6379");
  assert_int_equal(a.at[0].socket.ss_family, AF_INET6);
  assert_int_equal(rlc__resolve_host(&a, "no host\n", 6379, why, sizeof why), RLC_ERR_URL);
  assert_non_null(strstr(why, "the host \"no host\\x0a\" has no address"));
  memset(path, 'p', sizeof path);
  path[108] = '\0';
  assert_int_equal(rlc__resolve_path(&a, path, why, sizeof why), RLC_ERR_URL);
  assert_non_null(strstr(why, "1 to 107 bytes"));
  path[107] = '\0';
  assert_int_equal(rlc__resolve_path(&a, path, why, sizeof why), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(turn_test),     cmocka_unit_test(split_test),
      cmocka_unit_test(garbage_test),  cmocka_unit_test(never_ending_test),
      cmocka_unit_test(eof_test),      cmocka_unit_test(silence_test),
      cmocka_unit_test(deaf_test),     cmocka_unit_test(unread_test),
      cmocka_unit_test(drip_test),     cmocka_unit_test(signal_test),
      cmocka_unit_test(error_test),    cmocka_unit_test(escape_test),
      cmocka_unit_test(greeting_test), cmocka_unit_test(password_test),
      cmocka_unit_test(step_test),     cmocka_unit_test(full_test),
      cmocka_unit_test(nobody_test),   cmocka_unit_test(queue_test),
      cmocka_unit_test(resolve_test),
  };
  return cmocka_run_group_tests_name("connection", tests, NULL, NULL);
}
