/* SPDX-License-Identifier: Apache-2.0 */
#include <netdb.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"
#include "fake_server.h"
#include "redis/client.h"
#include "redis/lookup.h"
#include "redis/node.h"

#define LONG_US INT64_C(20000000) /* no test that passes waits for it */
#define SHORT_US INT64_C(60000)

static fake_server server;
static _Atomic int stop;
static rlc__addresses found;
static char why[RLC_MESSAGE_SIZE];

/* --- a name service of the test's own ------------------------------------------------------ */

static _Atomic int hangs; /* names of "hang" wait until this is 0 */
static _Atomic int calls; /* that were begun, for any name of ours */
static _Atomic int inside;
static _Atomic int moved; /* where "moves.example" is: not at its old address */

int __real_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **out);
int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **out);

int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **out) {
  const char *address = "127.0.0.1";
  int rv;

  if (strstr(host, ".example") == NULL) {
    return __real_getaddrinfo(host, service, hints, out);
  }
  atomic_fetch_add(&calls, 1);
  atomic_fetch_add(&inside, 1);
  while (strncmp(host, "hang", 4) == 0 && atomic_load(&hangs)) {
    usleep(500);
  }
  if (strncmp(host, "two", 3) == 0 || (strncmp(host, "moves", 5) == 0 && !atomic_load(&moved))) {
    address = "127.0.0.2"; /* where nobody listens */
  }
  rv = strncmp(host, "fails", 5) == 0 ? EAI_AGAIN
                                      : __real_getaddrinfo(address, service, hints, out);
  if (rv == 0 && strncmp(host, "two", 3) == 0) {
    rv = __real_getaddrinfo("127.0.0.1", service, hints, &(*out)->ai_next);
  }
  atomic_fetch_sub(&inside, 1);
  return rv;
}

static int begin(void **state) {
  (void)state;
  atomic_store(&stop, 0);
  atomic_store(&calls, 0);
  atomic_store(&moved, 0);
  return 0;
}

/* Lets every look-up end. */
static int release(void **state) {
  (void)state;
  atomic_store(&hangs, 0);
  while (atomic_load(&inside) > 0) {
    usleep(500);
  }
  usleep(5000); /* for the threads' own ends */
  return 0;
}

static int look_up(const char *name, int64_t time_us) {
  rlc__endpoint endpoint;

  assert_int_equal(rlc__endpoint_set(&endpoint, name, strlen(name), 6379), 0);
  return rlc__lookup(&found, &endpoint, rlc__clock_monotonic_us() + time_us, &stop, why,
                     sizeof why);
}

/* --- looking up ---------------------------------------------------------------------------- */

/* A name service that hangs costs each who asks its deadline, and one thread, however many ask.
 * What it says in the end, when nobody waits, is there for the next. */
static void hanging_test(void **state) {
  int64_t begun = rlc__clock_monotonic_us();

  (void)state;
  atomic_store(&hangs, 1);
  for (int i = 0; i < 4; ++i) {
    assert_int_equal(look_up("hang.example", SHORT_US), RLC__ERR_TIMEOUT);
  }
  assert_in_range(rlc__clock_monotonic_us() - begun, 4 * SHORT_US, 4 * SHORT_US + 1000000);
  assert_non_null(strstr(why, "could not be looked up in time"));
  assert_int_equal(look_up("HANG.example", 1000), RLC__ERR_TIMEOUT);
  assert_int_equal(atomic_load(&calls), 1);
  assert_int_equal(look_up("127.0.0.1", SHORT_US), 0);
  assert_int_equal(look_up("other.example", LONG_US), 0);
  release(NULL);
  assert_int_equal(look_up("hang.example", 0), 0);
  assert_int_equal(found.n, 1);
  assert_int_equal(atomic_load(&calls), 2);
  assert_int_equal(look_up("hang.example", LONG_US), 0); /* an answer is given once */
  assert_int_equal(atomic_load(&calls), 3);
}

/* What could not be looked up says why, and is asked anew. */
static void failing_test(void **state) {
  (void)state;
  for (int i = 1; i <= 2; ++i) {
    assert_int_equal(look_up("fails.example", LONG_US), RLC_ERR_SYSTEM);
    assert_non_null(strstr(why, "\"fails.example\" cannot be looked up for now"));
    assert_int_equal(atomic_load(&calls), i);
  }
}

static void *look_up_long(void *user) {
  const rlc__endpoint *endpoint = user;
  rlc__addresses *own = calloc(1, sizeof *own);
  int rv = rlc__lookup(own, endpoint, rlc__clock_monotonic_us() + LONG_US, &stop, NULL, 0);

  rv = rv == 0 ? (int)own->n : rv;
  free(own);
  return (void *)(intptr_t)rv;
}

/* Those who ask together are answered together by one look-up. */
static void together_test(void **state) {
  rlc__endpoint endpoint;
  pthread_t thread[4];
  void *rv;

  (void)state;
  atomic_store(&hangs, 1);
  assert_int_equal(rlc__endpoint_set(&endpoint, "hang.example", 12, 6379), 0);
  for (int i = 0; i < 4; ++i) {
    assert_int_equal(pthread_create(&thread[i], NULL, look_up_long, &endpoint), 0);
  }
  usleep(20000);
  atomic_store(&hangs, 0);
  for (int i = 0; i < 4; ++i) {
    pthread_join(thread[i], &rv);
    assert_int_equal((intptr_t)rv, 1);
  }
  assert_in_range(atomic_load(&calls), 1, 4);
}

/* However many names hang, threads are bounded. */
static void bounded_test(void **state) {
  char name[32];

  (void)state;
  atomic_store(&hangs, 1);
  for (int i = 0; i < 80; ++i) {
    snprintf(name, sizeof name, "hang-%d.example", i);
    assert_int_equal(look_up(name, 0), RLC__ERR_TIMEOUT);
  }
  assert_non_null(strstr(why, "too many names"));
  while (atomic_load(&inside) < 64) {
    usleep(500);
  }
  assert_int_equal(atomic_load(&calls), 64);
  release(NULL);
  for (int i = 0; i < 64; ++i) { /* take the answers out */
    snprintf(name, sizeof name, "hang-%d.example", i);
    assert_int_equal(look_up(name, LONG_US), 0);
  }
}

/* A forked child has none of its parent's threads: it looks up by itself. */
static void fork_test(void **state) {
  pid_t child;
  int status;

  (void)state;
  atomic_store(&hangs, 1);
  assert_int_equal(look_up("hang.example", 1000), RLC__ERR_TIMEOUT);
  child = fork();
  if (child == 0) {
    atomic_store(&hangs, 0);
    _exit(look_up("hang.example", LONG_US) == 0 && found.n == 1 ? 0 : 1);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  release(NULL);
  assert_int_equal(look_up("hang.example", LONG_US), 0);
  assert_int_equal(atomic_load(&calls), 1);
}

/* --- dialing ------------------------------------------------------------------------------- */

static void answer(fake_peer *peer) {
  while (fake_read(peer)) {
    fake_say(peer, strcmp(peer->word[0], "INFO") == 0 ? "$0\r\n\r\n" : ":1\r\n");
  }
}

static rlc__addresses addresses;
static _Atomic int look_again;

/* Connects to |name| at the server's port and hangs up. */
static int dial(const char *name, int64_t time_us) {
  const rlc__login login = {NULL, NULL, 0, NULL, NULL};
  _Atomic(rlc__connection *) c;
  rlc__endpoint endpoint;
  int rv;

  assert_int_equal(rlc__endpoint_set(&endpoint, name, strlen(name), server.endpoint.port), 0);
  rv = rlc__node_dial(&endpoint, &addresses, &look_again, &login,
                      rlc__clock_monotonic_us() + time_us, &stop, &c, why);
  assert_int_equal(rv == 0, c != NULL);
  if (rv == 0) {
    rlc__connection_close(c);
    free(c);
  }
  return rv;
}

static void start(void) {
  fake_server_start(&server, 1, answer, NULL);
  memset(&addresses, 0, sizeof addresses);
  atomic_store(&look_again, 0);
}

/* All addresses of a name are tried, and the one that answered comes first the next time. */
static void in_turn_test(void **state) {
  (void)state;
  start();
  assert_int_equal(dial("two.example", LONG_US), 0);
  assert_int_equal(addresses.n, 2);
  assert_memory_equal(&addresses.at[0].socket, &server.addresses.at[0].socket,
                      server.addresses.at[0].len);
  assert_int_equal(dial("two.example", LONG_US), 0);
  assert_int_equal(atomic_load(&calls), 1);
  fake_server_stop(&server);
  assert_int_equal(dial("two.example", LONG_US), RLC__ERR_UNAVAILABLE);
  assert_non_null(strstr(why, "Connection refused"));
}

/* A name that has moved is looked up anew once its old address has failed. While that hangs, what
 * was known is tried again. */
static void moving_test(void **state) {
  (void)state;
  start();
  assert_int_equal(dial("moves.example", LONG_US), RLC__ERR_UNAVAILABLE);
  assert_int_equal(look_again, 1);
  atomic_store(&moved, 1);
  assert_int_equal(dial("moves.example", LONG_US), 0);
  assert_int_equal(look_again, 0);
  assert_int_equal(dial("moves.example", LONG_US), 0);
  assert_int_equal(atomic_load(&calls), 2);
  atomic_store(&look_again, 1);
  atomic_store(&hangs, 1);
  assert_int_equal(dial("hang.example", SHORT_US), 0);
  fake_server_stop(&server);
}

/* Dialing ends at its deadline, and at once where the client ends; nothing is left over. */
static void stopped_test(void **state) {
  int64_t begun = rlc__clock_monotonic_us();

  (void)state;
  start();
  atomic_store(&hangs, 1);
  assert_int_equal(dial("hang.example", SHORT_US), RLC__ERR_TIMEOUT);
  assert_in_range(rlc__clock_monotonic_us() - begun, SHORT_US, SHORT_US + 1000000);
  atomic_store(&stop, 1);
  assert_int_equal(dial("hang.example", LONG_US), RLC__ERR_TIMEOUT);
  assert_in_range(rlc__clock_monotonic_us() - begun, SHORT_US, SHORT_US + 1000000);
  assert_int_equal(dial("127.0.0.1", LONG_US), RLC__ERR_UNAVAILABLE);
  assert_int_equal(atomic_load(&server.connections), 0);
  fake_server_stop(&server);
}

/* --- decisions ----------------------------------------------------------------------------- */

static rlc__client *client;

static void open_client(const char *name) {
  const rlc__log log = {NULL, NULL};
  rlc__endpoint endpoint;
  rlc__client_config config = {
      .servers = &endpoint, .n = 1, .connections = 1, .timeout_us = 25000};

  assert_int_equal(rlc__endpoint_set(&endpoint, name, strlen(name), server.endpoint.port), 0);
  assert_int_equal(rlc__client_new(&client, &config, rlc__memory_or_default(NULL), &log), 0);
}

static int run(int64_t time_us) {
  const rlc__bytes keys[] = {{"k", 1}};
  rlc__request r = {.command = "GET",
                    .keys = keys,
                    .n_keys = 1,
                    .deadline_us = rlc__clock_monotonic_us() + time_us};

  if (rlc__client_begin(client, &r) == RLC_PENDING) {
    rlc__client_wait(client, &r);
  }
  rlc__client_end(client, &r);
  return r.error;
}

static void *run_some(void *user) {
  int *wrong = user;

  for (int i = 0; i < 5; ++i) {
    int64_t begun = rlc__clock_monotonic_us();
    int error = run(20000);

    *wrong += error != RLC__ERR_TIMEOUT && error != RLC__ERR_UNAVAILABLE;
    *wrong += rlc__clock_monotonic_us() - begun > 1020000;
  }
  return NULL;
}

/* While the name service hangs decisions end at their deadlines, and the client can be ended. */
static void client_test(void **state) {
  pthread_t thread[4];
  int wrong[4] = {0};
  int64_t begun;

  (void)state;
  start();
  atomic_store(&hangs, 1);
  open_client("hang.example");
  for (int i = 0; i < 4; ++i) {
    assert_int_equal(pthread_create(&thread[i], NULL, run_some, &wrong[i]), 0);
  }
  for (int i = 0; i < 4; ++i) {
    pthread_join(thread[i], NULL);
    assert_int_equal(wrong[i], 0);
  }
  assert_int_equal(atomic_load(&calls), 1);
  begun = rlc__clock_monotonic_us();
  rlc__client_del(client);
  assert_in_range(rlc__clock_monotonic_us() - begun, 0, 1000000);
  fake_server_stop(&server);
}

/* A name service that is slower than any attempt to connect serves, in the end. */
static void slow_test(void **state) {
  (void)state;
  start();
  atomic_store(&hangs, 1);
  open_client("hang.example");
  assert_true(run(SHORT_US) < 0);
  usleep(300000); /* longer than the first attempt */
  atomic_store(&hangs, 0);
  for (int64_t end = rlc__clock_monotonic_us() + LONG_US; run(SHORT_US) != 0;) {
    assert_true(rlc__clock_monotonic_us() < end);
  }
  assert_int_equal(atomic_load(&calls), 1);
  rlc__client_del(client);
  fake_server_stop(&server);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(hanging_test, begin, release),
      cmocka_unit_test_setup_teardown(failing_test, begin, release),
      cmocka_unit_test_setup_teardown(together_test, begin, release),
      cmocka_unit_test_setup_teardown(bounded_test, begin, release),
      cmocka_unit_test_setup_teardown(fork_test, begin, release),
      cmocka_unit_test_setup_teardown(in_turn_test, begin, release),
      cmocka_unit_test_setup_teardown(moving_test, begin, release),
      cmocka_unit_test_setup_teardown(stopped_test, begin, release),
      cmocka_unit_test_setup_teardown(client_test, begin, release),
      cmocka_unit_test_setup_teardown(slow_test, begin, release),
  };
  return cmocka_run_group_tests_name("lookup", tests, NULL, NULL);
}
