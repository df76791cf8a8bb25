/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "client_help.h"
#include "redis/cluster.h"

/* --- who is master ------------------------------------------------------------------------- */

static fake_server other;

/* Takes what a server of a cluster is asked: the slots, which all are |peer|'s own, where |named| by an
 * address, else by an empty host. Returns 0 for any other command. */
static int tell_slots(fake_peer *peer, int named) {
  char text[128];

  if (strcmp(peer->word[0], "CLUSTER") != 0) {
    return 0;
  }
  snprintf(text, sizeof text, "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n%s\r\n:%u\r\n",
           named ? "$9\r\n127.0.0.1" : "$0\r\n", (unsigned)peer->server->endpoint.port);
  fake_say(peer, text);
  return 1;
}

/* Says "-WORD slot host:port" of |to|. */
static void say_redirect(fake_peer *peer, const char *word, unsigned slot, const fake_server *to) {
  char text[128];

  snprintf(text, sizeof text, "-%s %u 127.0.0.1:%u\r\n", word, slot, (unsigned)to->endpoint.port);
  fake_say(peer, text);
}

static unsigned slot_of(const fake_peer *peer) {
  return rlc__cluster_slot(peer->word[1], peer->len[1]);
}

/* Counts what it is asked in |user|, and answers. */
static void lead_here(fake_peer *peer) {
  char *verbs = peer->server->user;

  while (read_own(peer)) {
    if (verbs != NULL) {
      strcat(strcat(verbs, peer->word[0]), " ");
    }
    fake_say(peer, strcmp(peer->word[0], "ASKING") == 0 ? "+OK\r\n" : ":42\r\n");
  }
}

/* Says that all slots are its own, then redirects each command with |user|'s word. */
static void redirect(fake_peer *peer) {
  while (read_own(peer)) {
    if (!tell_slots(peer, 1)) {
      say_redirect(peer, peer->server->user, slot_of(peer), &other);
    }
  }
}

static void start_cluster(fake_behaviour *serve, const char *word, char *verbs) {
  fake_server_start(&other, 1, lead_here, verbs);
  fake_server_start(&server, 1, serve, (void *)(uintptr_t)word);
  open_client(RLC__CLUSTER, 1);
}

static void stop_cluster(void) {
  stop();
  fake_server_stop(&other);
}

static void get_42(void) {
  long long number = 0;

  assert_int_equal(run(NULL, "k", LONG_US, &number, NULL), 0);
  assert_int_equal(number, 42);
}

/* MOVED leads to the server that it names, from then on. */
static void moved_test(void **state) {
  char verbs[256] = "";
  unsigned before;

  (void)state;
  start_cluster(redirect, "MOVED", verbs);
  get_42();
  assert_string_equal(verbs, "GET ");
  before = atomic_load(&server.commands);
  get_42(); /* but for a look at the slots, which the first one knows wrong */
  assert_in_range(atomic_load(&server.commands) - before, 0, 2);
  stop_cluster();
}

/* Answers the first GET, and redirects the others. */
static void answer_then_redirect(fake_peer *peer) {
  for (int commands = 0; read_own(peer);) {
    if (tell_slots(peer, 1)) {
      continue;
    }
    if (commands++ == 0) {
      fake_say(peer, ":7\r\n");
    } else {
      say_redirect(peer, peer->server->user, slot_of(peer), &other);
    }
  }
}

/* What undoes a command is for the server that ran it: no redirection takes it to another. */
static void only_test(void **state) {
  static const char *const words[] = {"MOVED", "ASK"};
  const rlc__bytes keys[] = {{"k", 1}};

  (void)state;
  for (int i = 0; i < 2; ++i) {
    char verbs[256] = "";
    rlc__request r;
    struct rlc__node *node = NULL;

    start_cluster(answer_then_redirect, words[i], verbs);
    for (int undo = 0; undo <= 1; ++undo) {
      r = (rlc__request){.command = "GET", .keys = keys, .n_keys = 1, .only = node};
      r.deadline_us = rlc__clock_monotonic_us() + LONG_US;
      if (rlc__client_begin(client, &r) == RLC_PENDING) {
        rlc__client_wait(client, &r);
      }
      assert_int_equal(r.error, undo ? RLC__ERR_REFUSED : 0);
      node = r.node;
      rlc__client_end(client, &r);
    }
    assert_string_equal(verbs, "");
    stop_cluster();
  }
}

/* ASK leads there this once, after ASKING. */
static void ask_test(void **state) {
  char verbs[256] = "";

  (void)state;
  start_cluster(redirect, "ASK", verbs);
  get_42();
  get_42();
  assert_string_equal(verbs, "ASKING GET ASKING GET ");
  stop_cluster();
}

static void redirect_falsely(fake_peer *peer) {
  while (read_own(peer)) {
    if (!tell_slots(peer, 1)) {
      say_redirect(peer, "MOVED", slot_of(peer) ^ 1, &other);
    }
  }
}

/* A server that speaks of another slot than it was asked for leads nowhere. */
static void other_slot_test(void **state) {
  char why[RLC_MESSAGE_SIZE];

  (void)state;
  start_cluster(redirect_falsely, NULL, NULL);
  assert_int_equal(run(NULL, "k", LONG_US, NULL, why), RLC__ERR_REFUSED);
  assert_non_null(strstr(why, "the server refused: MOVED "));
  assert_int_equal(atomic_load(&other.commands), 0);
  stop_cluster();
}

static void redirect_back(fake_peer *peer) {
  while (read_own(peer)) {
    if (!tell_slots(peer, 1)) {
      say_redirect(peer, "MOVED", slot_of(peer), peer->server == &server ? &other : &server);
    }
  }
}

/* Servers that send a command to each other for ever are left after some tries, or at the deadline. */
static void moved_storm_test(void **state) {
  char why[RLC_MESSAGE_SIZE];
  int64_t begun;

  (void)state;
  fake_server_start(&other, 1, redirect_back, NULL);
  fake_server_start(&server, 1, redirect_back, NULL);
  open_client(RLC__CLUSTER, 1);
  assert_int_equal(run(NULL, "k", LONG_US, NULL, why), RLC__ERR_REFUSED);
  assert_non_null(strstr(why, "MOVED"));
  assert_in_range(atomic_load(&server.commands) + atomic_load(&other.commands), 2, 40);
  begun = rlc__clock_monotonic_us();
  assert_true(run(NULL, "k", 25000, NULL, NULL) < 0);
  assert_in_range(rlc__clock_monotonic_us() - begun, 0, 1000000);
  stop_cluster();
}

/* A redirection to a server that never answers ends at the deadline. */
static void moved_nowhere_test(void **state) {
  int64_t begun;

  (void)state;
  fake_server_start(&other, 1, ignore, NULL);
  fake_server_start(&server, 1, redirect, (void *)(uintptr_t)"MOVED");
  open_client(RLC__CLUSTER, 1);
  begun = rlc__clock_monotonic_us();
  assert_true(run(NULL, "k", SHORT_US, NULL, NULL) < 0);
  assert_in_range(rlc__clock_monotonic_us() - begun, 0, SHORT_US + 1000000);
  stop_cluster();
}

/* Tells its slots without a host, then says what |user| says. */
static void refuse_in_turn(fake_peer *peer) {
  const char *const *says = peer->server->user;

  while (read_own(peer)) {
    if (!tell_slots(peer, 0)) {
      fake_say(peer, says[atomic_fetch_add(&turn, 1)]);
    }
  }
}

/* A server whose host is empty in the slots is the one that was asked. TRYAGAIN and CLUSTERDOWN pass. */
static void cluster_again_test(void **state) {
  const char *const says[] = {"-CLUSTERDOWN The cluster is down\r\n",
                              "-TRYAGAIN Multiple keys request during rehashing of slot\r\n",
                              "-CLUSTERDOWN Hash slot not served\r\n", ":42\r\n"};

  (void)state;
  atomic_store(&turn, 0);
  fake_server_start(&server, 1, refuse_in_turn, (void *)(uintptr_t)says);
  open_client(RLC__CLUSTER, 1);
  get_42();
  assert_int_equal(atomic_load(&turn), 4);
  stop();
}

/* What a server went on to refuse until the deadline is told. */
static void refused_to_the_end_test(void **state) {
  const char *says[64];
  char why[RLC_MESSAGE_SIZE];

  (void)state;
  for (int i = 0; i < 64; ++i) {
    says[i] = "-TRYAGAIN Multiple keys request during rehashing of slot\r\n";
  }
  atomic_store(&turn, 0);
  fake_server_start(&server, 1, refuse_in_turn, (void *)(uintptr_t)says);
  open_client(RLC__CLUSTER, 1);
  assert_int_equal(run(NULL, "k", SHORT_US, NULL, why), RLC__ERR_TIMEOUT);
  assert_non_null(strstr(why, "until the deadline the server refused: TRYAGAIN"));
  assert_in_range(atomic_load(&turn), 2, 12); /* with growing pauses */
  stop();
}

/* A cluster's server behind a plain URL is no store: the message says what to write. */
static void no_cluster_test(void **state) {
  const char *const says[] = {"-MOVED 1 127.0.0.1:1\r\n", NULL};
  char why[RLC_MESSAGE_SIZE];

  (void)state;
  assert_int_equal(try_says(says, NULL, why), RLC__ERR_REFUSED);
  assert_non_null(strstr(why, "redis+cluster://"));
  assert_int_equal(atomic_load(&turn), 1);
}

/* --- a server that is master no more ------------------------------------------------------- */

/* The first connection leads to what is a replica by now, the next ones, as through a balancer, to a
 * master. With |user| they lead to the replica too. */
static void demote(fake_peer *peer) {
  int is_master = peer->number > 0 && peer->server->user == NULL;

  while (fake_read(peer)) {
    if (strcmp(peer->word[0], "ROLE") == 0) {
      fake_say(peer, is_master ? "*1\r\n$6\r\nmaster\r\n" : "*1\r\n$5\r\nslave\r\n");
    } else if (strcmp(peer->word[0], "INFO") == 0) {
      fake_say(peer, "$0\r\n\r\n");
    } else {
      fake_say(peer, is_master ? ":42\r\n"
                               : "-READONLY You can't write against a read only replica.\r\n");
    }
  }
}

/* READONLY behind one name: it is looked up and connected anew, and the command goes there. */
static void demoted_test(void **state) {
  rlc__client_stats stats;

  (void)state;
  start(1, demote, NULL, 1);
  while (run(NULL, "k", LONG_US, NULL, NULL) == RLC__ERR_UNAVAILABLE) {
    /* It was asked once more when its connection gave way, and may have run. */
  }
  get_42();
  rlc__client_get_stats(client, &stats);
  assert_int_equal(stats.lost, 1);
  stop();
}

/* Where that is the same replica, nothing is gained: connections stay, looks are seldom. */
static void still_demoted_test(void **state) {
  rlc__client_stats stats;
  char why[RLC_MESSAGE_SIZE];

  (void)state;
  start(1, demote, &server, 1);
  assert_int_equal(run(NULL, "k", 500000, NULL, why), RLC__ERR_TIMEOUT);
  assert_non_null(strstr(why, "READONLY"));
  rlc__client_get_stats(client, &stats);
  assert_int_equal(stats.lost, 0);
  assert_in_range(atomic_load(&server.connections), 2, 8);
  stop();
}

/* --- sentinels ----------------------------------------------------------------------------- */

static void be_sentinel(fake_peer *peer) {
  char text[128];

  while (fake_read(peer)) {
    snprintf(text, sizeof text, "*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%u\r\n",
             snprintf(NULL, 0, "%u", (unsigned)other.endpoint.port),
             (unsigned)other.endpoint.port);
    fake_say(peer, text);
  }
}

/* Decisions go to the master that a sentinel names. */
static void sentinel_test(void **state) {
  (void)state;
  fake_server_start(&other, 1, lead_here, NULL);
  fake_server_start(&server, 1, be_sentinel, NULL);
  open_client(RLC__SENTINEL, 1);
  get_42();
  assert_int_equal(atomic_load(&server.connections), 1); /* which is kept */
  stop_cluster();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(moved_test),
      cmocka_unit_test(only_test),
      cmocka_unit_test(ask_test),
      cmocka_unit_test(other_slot_test),
      cmocka_unit_test(moved_storm_test),
      cmocka_unit_test(moved_nowhere_test),
      cmocka_unit_test(cluster_again_test),
      cmocka_unit_test(refused_to_the_end_test),
      cmocka_unit_test(no_cluster_test),
      cmocka_unit_test(demoted_test),
      cmocka_unit_test(still_demoted_test),
      cmocka_unit_test(sentinel_test),
  };

  return cmocka_run_group_tests_name("client_masters", tests, NULL, NULL);
}
