/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"
#include "fake_server.h"
#include "redis/pool.h"

#define THREADS 4
#define ROUNDS 500

static fake_server server;
static rlc__pool *pool;

/* Answers with the number of the connection. */
static void tell_number(fake_peer *peer) {
  char text[16];

  snprintf(text, sizeof text, ":%u\r\n", peer->number);
  while (fake_read(peer)) {
    fake_say(peer, text);
  }
}

static int begin(void **state) {
  (void)state;
  fake_server_start(&server, 0, tell_number, NULL);
  return rlc__pool_new(&pool, 3, rlc__memory_or_default(NULL));
}

static int begin_threads(void **state) {
  (void)state;
  fake_server_start(&server, 0, tell_number, NULL);
  return rlc__pool_new(&pool, THREADS, rlc__memory_or_default(NULL));
}

static int end(void **state) {
  (void)state;
  rlc__pool_del(pool);
  fake_server_stop(&server);
  return 0;
}

/* Returns the number of the connection that answered over |link|, or -1. */
static int ask(rlc__link *link) {
  const char *argv[] = {"PING"};
  size_t len[] = {4};
  redisReply *reply;
  int number = -1;

  if (rlc__connection_ask(&link->connection, &server.address, 1, argv, len,
                          rlc__clock_monotonic_us() + 20000000, &reply) == 0) {
    number = (int)reply->integer;
  }
  freeReplyObject(reply);
  return number;
}

/* One decision after the other uses one connection. */
static void one_test(void **state) {
  (void)state;
  for (int i = 0; i < 5; ++i) {
    rlc__link *link = rlc__pool_get(pool);

    assert_int_equal(ask(link), 0);
    rlc__pool_put(pool, link);
  }
  assert_int_equal(atomic_load(&server.connections), 1);
}

/* The connection used last goes out first; beyond the most that are kept, they are closed. */
static void most_test(void **state) {
  rlc__link *link[5];

  (void)state;
  for (int i = 0; i < 5; ++i) {
    link[i] = rlc__pool_get(pool);
    assert_int_equal(ask(link[i]), i);
  }
  for (int i = 0; i < 5; ++i) {
    rlc__pool_put(pool, link[i]);
  }
  for (int i = 0; i < 4; ++i) {
    link[i] = rlc__pool_get(pool);
  }
  assert_int_equal(ask(link[0]), 2);
  assert_int_equal(ask(link[1]), 1);
  assert_int_equal(ask(link[2]), 0);
  assert_int_equal(link[3]->connection.fd, -1);
  for (int i = 0; i < 4; ++i) {
    rlc__pool_put(pool, link[i]);
  }
}

/* What failed does not come back. */
static void failed_test(void **state) {
  rlc__link *link = rlc__pool_get(pool);

  (void)state;
  assert_int_equal(ask(link), 0);
  rlc__connection_close(&link->connection);
  rlc__pool_put(pool, link);
  link = rlc__pool_get(pool);
  assert_int_equal(ask(link), 1);
  rlc__pool_put(pool, link);
}

/* In the child: |lent| was in use at the fork, |idle| was not. Returns what went wrong, or 0. */
static int use_in_child(int lent, int idle) {
  rlc__link *link = rlc__pool_get(pool);
  int number;

  if (fcntl(lent, F_GETFD) != -1 || fcntl(idle, F_GETFD) != -1) {
    return 1; /* the parent's connections are still open here */
  }
  number = ask(link);
  if (number != 2) {
    return 2; /* not a connection of our own */
  }
  rlc__pool_put(pool, link);
  return 0;
}

/* A forked child closes what it inherited and connects anew; the parent's connections, the one in
 * use as well, go on as if nothing had been. */
static void fork_test(void **state) {
  rlc__link *lent = rlc__pool_get(pool), *idle = rlc__pool_get(pool);
  int status = -1;
  pid_t pid;

  (void)state;
  assert_int_equal(ask(lent), 0);
  assert_int_equal(ask(idle), 1);
  rlc__pool_put(pool, idle);
  pid = fork();
  if (pid == 0) {
    _exit(use_in_child(lent->connection.fd, idle->connection.fd));
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(status, 0);
  assert_int_equal(ask(lent), 0);
  rlc__pool_put(pool, lent);
  lent = rlc__pool_get(pool);
  assert_int_equal(ask(lent), 0);
  idle = rlc__pool_get(pool);
  assert_int_equal(ask(idle), 1);
  rlc__pool_put(pool, idle);
  rlc__pool_put(pool, lent);
}

/* A child that only ends what it inherited leaves the parent's connection alone. */
static void del_in_child_test(void **state) {
  rlc__link *link = rlc__pool_get(pool);
  int status = -1;
  pid_t pid;

  (void)state;
  assert_int_equal(ask(link), 0);
  rlc__pool_put(pool, link);
  pid = fork();
  if (pid == 0) {
    rlc__pool_del(pool);
    pool = NULL;
    _exit(0);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(status, 0);
  link = rlc__pool_get(pool);
  assert_int_equal(ask(link), 0);
  rlc__pool_put(pool, link);
}

static void *work(void *user) {
  int *wrong = user;

  for (int i = 0; i < ROUNDS; ++i) {
    rlc__link *link = rlc__pool_get(pool);

    *wrong += ask(link) < 0;
    rlc__pool_put(pool, link);
  }
  return NULL;
}

static int work_in_threads(void) {
  pthread_t thread[THREADS];
  int wrong[THREADS] = {0};
  int all = 0;

  for (int i = 0; i < THREADS; ++i) {
    all += pthread_create(&thread[i], NULL, work, &wrong[i]);
  }
  for (int i = 0; i < THREADS; ++i) {
    pthread_join(thread[i], NULL);
    all += wrong[i];
  }
  return all;
}

/* Threads that decide together have no more connections than there are threads. */
static void threads_test(void **state) {
  (void)state;
  assert_int_equal(work_in_threads(), 0);
  assert_in_range(atomic_load(&server.connections), 1, THREADS);
}

/* Not with gcc's address sanitizer, whose own locks a child may inherit held. */
#ifndef __SANITIZE_ADDRESS__
static void *fork_often(void *user) {
  int *wrong = user;

  for (int i = 0; i < 8; ++i) {
    pid_t pid = fork();
    int status = -1;

    if (pid == 0) {
      rlc__link *link;

      alarm(30); /* a lock that nobody holds any more fails the test, and does not stop it */
      link = rlc__pool_get(pool);
      _exit(link == NULL || ask(link) < 0);
    }
    *wrong += waitpid(pid, &status, 0) != pid || status != 0;
  }
  return NULL;
}

/* Processes forked in the middle of other threads' decisions, with locks held, can decide. */
static void fork_threads_test(void **state) {
  pthread_t forker;
  int wrong = 0;

  (void)state;
  assert_int_equal(pthread_create(&forker, NULL, fork_often, &wrong), 0);
  assert_int_equal(work_in_threads(), 0);
  pthread_join(forker, NULL);
  assert_int_equal(wrong, 0);
}
#endif

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(one_test, begin, end),
      cmocka_unit_test_setup_teardown(most_test, begin, end),
      cmocka_unit_test_setup_teardown(failed_test, begin, end),
      cmocka_unit_test_setup_teardown(fork_test, begin, end),
      cmocka_unit_test_setup_teardown(del_in_child_test, begin, end),
      cmocka_unit_test_setup_teardown(threads_test, begin_threads, end),
#ifndef __SANITIZE_ADDRESS__
      cmocka_unit_test_setup_teardown(fork_threads_test, begin_threads, end),
#endif
  };
  return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
