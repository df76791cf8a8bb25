/* SPDX-License-Identifier: Apache-2.0 */

/* Bans, overrides and tiers as limits meet them, in a table and in Redis: what a program sets in the
 * index of a store, by its public verbs, and what becomes of decisions. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs those four first */
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "redis_server.h"
#include "rlcore/rlcore.h"

#define NOW INT64_C(1790000000000000)
#define SECOND INT64_C(1000000)
#define HOUR (3600 * SECOND)

static redis_server server;
static char folder[] = "/tmp/rlcore-index-XXXXXX";
static int64_t now;
static int opened;

/* A store, and the limiters of two programs on it; of a table that is one program's, the same twice. */
typedef struct fixture {
  char url[256];
  rlc_limiter *one;
  rlc_limiter *other;
} fixture;

static int64_t passed_in(void *user) {
  (void)user;
  return now;
}

static rlc_limiter *open_limiter(const char *url, rlc_clock_fn *clock, int display) {
  rlc_limiter *limiter;
  rlc_options *options;
  char why[RLC_MESSAGE_SIZE];

  assert_int_equal(rlc_options_new(&options, NULL), 0);
  rlc_options_set_test_clock(options, clock, NULL);
  rlc_options_set_display(options, display);
  if (rlc_limiter_new(&limiter, url, options, why, sizeof why) != 0) {
    fail_msg("%s: %s", url, why);
  }
  rlc_options_del(options);
  return limiter;
}

/* Store |which|, empty, on a test's clock. */
static void open_store(fixture *f, int which, int display) {
  rlc_policy *policy;
  rlc_limit limit = RLC_LIMIT_INIT;

  now = NOW;
  if (which == 0) {
    snprintf(f->url, sizeof f->url, "shm:%s/table%d", folder, ++opened);
  } else {
    snprintf(f->url, sizeof f->url, "%s?timeout=2s&prefix=t%d", server.url, ++opened);
    assert_int_equal(redis_server_allow(&server, f->url), 0);
  }
  f->one = open_limiter(f->url, passed_in, display);
  f->other = open_limiter(f->url, passed_in, display);
  /* There is a connection from here on. */
  assert_int_equal(rlc_policy_new(&policy, "first", "9/s", NULL, NULL, 0), 0);
  limit.policy = policy;
  assert_int_equal(rlc_limiter_peek(f->one, &limit, 1, NULL, NULL), 0);
  assert_int_equal(rlc_limiter_peek(f->other, &limit, 1, NULL, NULL), 0);
  rlc_policy_del(policy);
}

static void close_store(fixture *f) {
  rlc_limiter_del(f->one);
  rlc_limiter_del(f->other);
}

static rlc_policy *policy_of(const char *name, const char *text) {
  rlc_policy *policy;
  char why[RLC_MESSAGE_SIZE] = "";

  if (rlc_policy_new(&policy, name, text, NULL, why, sizeof why) != 0) {
    fail_msg("%s: %s", text, why);
  }
  return policy;
}

static rlc_decision ask(rlc_limiter *l, const rlc_policy *policy, const char *key, uint64_t cost,
                        const char *tier) {
  rlc_limit limit = RLC_LIMIT_INIT;
  rlc_decision d = RLC_DECISION_INIT;

  limit.policy = policy;
  limit.key = key;
  limit.key_len = strlen(key);
  limit.cost = cost;
  limit.tier = tier;
  assert_int_equal(rlc_limiter_check(l, &limit, 1, NULL, &d), 0);
  return d;
}

/* --- the penalty box ----------------------------------------------------------------------- */

/* Asks until the key is banned. Returns how long the ban lasts, and stores how many denials that took. */
static int64_t provoke(fixture *f, const rlc_policy *policy, int *denials) {
  for (*denials = 0; *denials < 20;) {
    rlc_decision d = ask(f->one, policy, "mallory", 1, NULL);

    assert_int_equal(rlc_limiter_refresh(f->other), 0);
    if (d.source == RLC_SOURCE_BAN) {
      assert_int_equal(ask(f->other, policy, "mallory", 1, NULL).result.retry_us,
                       d.result.retry_us);
      return d.result.retry_us;
    }
    *denials += !d.allowed;
    assert_int_equal(rlc_limiter_refresh(f->one), 0);
  }
  return 0;
}

/* A ban is as long as the policy says, twice as long at each repeat, at most the longest; forgiven after as
 * much time without as the last one lasted. It ends to the microsecond, in every program. */
static void escalation_test(void **state) {
  static const int64_t lengths[] = {60, 120, 240, 300, 300};

  for (int which = 0; which < 2; ++which) {
    rlc_policy *login = policy_of("login", "1/week ban=3/10min:1min:5min");
    fixture f;
    int denials;

    open_store(&f, which, 0);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; ++i) {
      assert_int_equal(provoke(&f, login, &denials), lengths[i] * SECOND);
      assert_int_equal(denials, 3);
      now += lengths[i] * SECOND - 1;
      assert_int_equal(ask(f.other, login, "mallory", 1, NULL).source, RLC_SOURCE_BAN);
      now += 1;
      assert_int_equal(ask(f.other, login, "mallory", 0, NULL).source, RLC_SOURCE_STORE);
    }
    now += 300 * SECOND;
    assert_int_equal(provoke(&f, login, &denials), 60 * SECOND);
    close_store(&f);
    rlc_policy_del(login);
  }
  (void)state;
}

/* Denials of several programs are one count; those too far apart are none. */
static void window_test(void **state) {
  for (int which = 0; which < 2; ++which) {
    rlc_policy *login = policy_of("login", "1/week ban=4/min:1h");
    fixture f;

    open_store(&f, which, 0);
    (void)ask(f.one, login, "mallory", 1, NULL);
    for (int i = 0; i < 9; ++i) {
      now += 21 * SECOND;
      assert_int_equal(ask(f.one, login, "mallory", 1, NULL).source, RLC_SOURCE_STORE);
      assert_int_equal(rlc_limiter_refresh(f.one), 0);
    }
    now += 61 * SECOND;
    for (int i = 0; i < 2; ++i) {
      assert_int_equal(ask(f.one, login, "mallory", 1, NULL).source, RLC_SOURCE_STORE);
      assert_int_equal(ask(f.other, login, "mallory", 1, NULL).source, RLC_SOURCE_STORE);
    }
    assert_int_equal(rlc_limiter_refresh(f.one), 0);
    assert_int_equal(rlc_limiter_refresh(f.other), 0);
    assert_int_equal(rlc_limiter_refresh(f.one), 0);
    assert_int_equal(ask(f.one, login, "mallory", 1, NULL).source, RLC_SOURCE_BAN);
    assert_int_equal(ask(f.other, login, "mallory", 1, NULL).source, RLC_SOURCE_BAN);
    close_store(&f);
    rlc_policy_del(login);
  }
  (void)state;
}

typedef struct seen {
  rlc_entry entry;
  unsigned n;
} seen;

static int see(const rlc_entry *entry, void *user) {
  seen *s = user;

  s->entry = *entry;
  ++s->n;
  return 0;
}

/* Unban frees the key at once, forgets what came before, and leaves the counter as it is; what is listed
 * tells who it was only where that was asked for. */
static void unban_test(void **state) {
  for (int which = 0; which < 4; ++which) {
    rlc_policy *login = policy_of("login", "1/week ban=3/10min:1min");
    char hash[17];
    seen s = {.n = 0};
    fixture f;
    int denials;

    open_store(&f, which % 2, which / 2);
    assert_int_equal(provoke(&f, login, &denials), 60 * SECOND);
    assert_int_equal(rlc_limiter_list(f.other, see, &s), 0);
    assert_int_equal(rlc_limiter_hash(f.other, "mallory", 7, hash), 0);
    assert_int_equal(s.n, 1);
    assert_int_equal(s.entry.kind, RLC_ENTRY_BAN);
    assert_string_equal(s.entry.key, hash);
    assert_string_equal(s.entry.name, "login");
    assert_int_equal(s.entry.left_us, 60 * SECOND);
    assert_int_equal(s.entry.level, 1);
    assert_string_equal(s.entry.display, which / 2 ? "mallory" : "");
    assert_int_equal(rlc_limiter_unban(f.other, "login", "mallory", 7), 0);
    assert_int_equal(rlc_limiter_unban(f.other, "login", "mallory", 7), RLC_ERR_LOST);
    assert_int_equal(rlc_limiter_refresh(f.one), 0);
    assert_int_equal(ask(f.one, login, "mallory", 0, NULL).source, RLC_SOURCE_STORE);
    assert_int_equal(ask(f.one, login, "mallory", 0, NULL).result.remaining, 0);
    assert_int_equal(provoke(&f, login, &denials), 60 * SECOND);
    assert_int_equal(denials, 3);
    close_store(&f);
    rlc_policy_del(login);
  }
  (void)state;
}

/* A key is banned in every group, and by the policy that an override gave it. */
static void ruled_ban_test(void **state) {
  for (int which = 0; which < 2; ++which) {
    rlc_policy *login = policy_of("login", "1/week");
    rlc_limit limit = RLC_LIMIT_INIT;
    rlc_decision d = RLC_DECISION_INIT;
    fixture f;

    open_store(&f, which, 0);
    assert_int_equal(rlc_limiter_override(f.one, "login", "mallory", 7, "2/week ban=1/min:1h", NULL,
                                          NULL, 0), 0);
    for (int i = 0; i < 3; ++i) {
      assert_int_equal(ask(f.one, login, "mallory", 1, NULL).source, RLC_SOURCE_STORE);
    }
    assert_int_equal(rlc_limiter_refresh(f.one), 0);
    limit.policy = login;
    limit.key = "mallory";
    limit.key_len = 7;
    limit.group = "g";
    limit.group_len = 1;
    assert_int_equal(rlc_limiter_check(f.one, &limit, 1, NULL, &d), 0);
    assert_int_equal(d.source, RLC_SOURCE_BAN);
    assert_int_equal(d.result.limit, 2);
    close_store(&f);
    rlc_policy_del(login);
  }
  (void)state;
}

/* --- overrides and tiers ------------------------------------------------------------------- */

/* Neither resets what was counted nor lets more pass than the looser of the two would have. */
static void override_test(void **state) {
  static const char *const algorithms[] = {"", " algorithm=fixed-window",
                                           " algorithm=sliding-window", " algorithm=sliding-log"};

  for (int which = 0; which < 8; ++which) {
    char text[64], more[64], less[64];
    rlc_policy *api;
    fixture f;
    int passed = 0;

    snprintf(text, sizeof text, "10/week%s", algorithms[which / 2]);
    snprintf(more, sizeof more, "15/week%s", algorithms[which / 2]);
    snprintf(less, sizeof less, "5/week%s", algorithms[which / 2]);
    api = policy_of("api", text);
    open_store(&f, which % 2, 0);
    for (int i = 0; i < 7; ++i) {
      passed += ask(f.one, api, "alice", 1, NULL).allowed;
    }
    assert_int_equal(rlc_limiter_override(f.other, "api", "alice", 5, less, "Alice", NULL, 0), 0);
    assert_int_equal(rlc_limiter_refresh(f.one), 0);
    assert_int_equal(ask(f.one, api, "alice", 1, NULL).allowed, 0);
    assert_int_equal(ask(f.one, api, "alice", 1, NULL).result.limit, 5);
    assert_int_equal(rlc_limiter_override(f.other, "api", "alice", 5, more, NULL, NULL, 0), 0);
    assert_int_equal(rlc_limiter_refresh(f.one), 0);
    for (int i = 0; i < 20; ++i) {
      passed += ask(f.one, api, "alice", 1, NULL).allowed;
    }
    assert_true(passed >= 10 && passed <= 15);
    assert_int_equal(rlc_limiter_override(f.other, "api", "alice", 5, NULL, NULL, NULL, 0), 0);
    assert_int_equal(rlc_limiter_refresh(f.one), 0);
    assert_int_equal(ask(f.one, api, "alice", 1, NULL).allowed, 0);
    assert_int_equal(ask(f.one, api, "alice", 1, NULL).result.limit, 10);
    assert_int_equal(ask(f.one, api, "bob", 10, NULL).allowed, 1);
    close_store(&f);
    rlc_policy_del(api);
  }
  (void)state;
}

/* What a tier is worth is one entry for all its members, whoever says that they are. */
static void tier_test(void **state) {
  for (int which = 0; which < 2; ++which) {
    rlc_policy *api = policy_of("api", "1/week");
    fixture f;

    open_store(&f, which, 0);
    assert_int_equal(rlc_limiter_set_tier(f.one, "pro", "api", "100/week", NULL, 0), 0);
    assert_int_equal(rlc_limiter_set_tier(f.one, "free", "api", "2/week", NULL, 0), 0);
    assert_int_equal(rlc_limiter_set_member(f.one, "alice", 5, "pro", "Alice"), 0);
    assert_int_equal(rlc_limiter_refresh(f.other), 0);
    assert_int_equal(ask(f.other, api, "alice", 1, NULL).result.limit, 100);
    assert_int_equal(ask(f.other, api, "alice", 1, "free").result.limit, 100);
    assert_int_equal(ask(f.other, api, "bob", 1, "free").result.limit, 2);
    assert_int_equal(ask(f.other, api, "carol", 1, NULL).result.limit, 1);
    assert_int_equal(rlc_limiter_set_tier(f.one, "pro", "api", "7/week", NULL, 0), 0);
    assert_int_equal(rlc_limiter_set_member(f.one, "bob", 3, "pro", NULL), 0);
    assert_int_equal(rlc_limiter_refresh(f.other), 0);
    assert_int_equal(ask(f.other, api, "alice", 1, NULL).result.limit, 7);
    assert_true(ask(f.other, api, "alice", 0, NULL).result.remaining < 6);
    assert_int_equal(ask(f.other, api, "bob", 1, "free").result.limit, 7);
    assert_int_equal(rlc_limiter_set_member(f.one, "alice", 5, NULL, NULL), 0);
    assert_int_equal(rlc_limiter_refresh(f.other), 0);
    assert_int_equal(ask(f.other, api, "alice", 1, NULL).result.limit, 1);
    close_store(&f);
    rlc_policy_del(api);
  }
  (void)state;
}

/* A lease's policy is the one that was in force, though that is replaced while it lives. */
static void lease_test(void **state) {
  for (int which = 0; which < 2; ++which) {
    rlc_policy *slots = policy_of("slots", "1/min algorithm=concurrency");
    rlc_limit limit = RLC_LIMIT_INIT;
    rlc_lease *leases[3];
    rlc_lease *none;
    fixture f;

    open_store(&f, which, 0);
    limit.policy = slots;
    limit.key = "alice";
    limit.key_len = 5;
    assert_int_equal(rlc_limiter_override(f.one, "slots", "alice", 5,
                                          "3/min algorithm=concurrency", NULL, NULL, 0), 0);
    for (int i = 0; i < 3; ++i) {
      assert_int_equal(rlc_limiter_acquire(f.one, &limit, 1, &leases[i], NULL, NULL), 0);
      assert_non_null(leases[i]);
    }
    for (int i = 0; i < 100; ++i) {
      char text[64];

      snprintf(text, sizeof text, "%d/min algorithm=concurrency", 4 + i % 50);
      assert_int_equal(rlc_limiter_override(f.one, "slots", "alice", 5, text, NULL, NULL, 0), 0);
    }
    assert_int_equal(rlc_limiter_ban(f.one, "slots", "alice", 5, HOUR, NULL), 0);
    assert_int_equal(rlc_limiter_acquire(f.one, &limit, 1, &none, NULL, NULL), 0);
    assert_null(none);
    for (int i = 0; i < 3; ++i) {
      assert_int_equal(rlc_lease_renew(leases[i]), 0); /* a ban takes nothing back */
      assert_int_equal(rlc_lease_release(leases[i]), 0);
      rlc_lease_del(leases[i]);
    }
    close_store(&f);
    rlc_policy_del(slots);
  }
  (void)state;
}

/* --- processes ----------------------------------------------------------------------------- */

static void sleep_ms(int ms) {
  struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};

  nanosleep(&t, NULL);
}

/* In a process of its own: asks until a limit of 77 is told, and the key is banned. Tells when it is
 * ready. Returns 0 if both came within 2 s of what the parent then does. */
static int wait_for_both(const char *url, int ready) {
  rlc_limiter *l = open_limiter(url, NULL, 0);
  rlc_policy *api = policy_of("api", "9/s");
  rlc_limit limit = RLC_LIMIT_INIT;
  rlc_decision d = RLC_DECISION_INIT;
  int limited = 0, banned = 0;

  limit.policy = api;
  for (int i = 0; i < 400 && !(limited && banned); ++i) {
    limit.key = "alice";
    limit.key_len = 5;
    (void)rlc_limiter_check(l, &limit, 1, NULL, &d);
    limited |= d.result.limit == 77;
    limit.key = "mallory";
    limit.key_len = 7;
    (void)rlc_limiter_check(l, &limit, 1, NULL, &d);
    banned |= d.source == RLC_SOURCE_BAN;
    if (i == 20 && (limited || banned || write(ready, "r", 1) != 1)) {
      return 1;
    }
    sleep_ms(5);
  }
  rlc_limiter_del(l);
  rlc_policy_del(api);
  return !(limited && banned);
}

/* A ban and an override that one program sets are in force in another within 2 s, on the stores' own
 * clocks. */
static void processes_test(void **state) {
  for (int which = 0; which < 2; ++which) {
    fixture f;
    int ready[2];
    char byte;
    pid_t child;
    int status;

    open_store(&f, which, 0);
    close_store(&f);
    assert_int_equal(pipe(ready), 0);
    child = fork();
    if (child == 0) {
      _exit(wait_for_both(f.url, ready[1]));
    }
    f.one = open_limiter(f.url, NULL, 0);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    (void)rlc_limiter_refresh(f.one); /* connects */
    for (int i = 0; i < 100 && rlc_limiter_refresh(f.one) != 0; ++i) {
      sleep_ms(10);
    }
    assert_int_equal(rlc_limiter_ban(f.one, "api", "mallory", 7, HOUR, NULL), 0);
    assert_int_equal(rlc_limiter_override(f.one, "api", "alice", 5, "77/s", NULL, NULL, 0), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    rlc_limiter_del(f.one);
    close(ready[0]);
    close(ready[1]);
  }
  (void)state;
}

static int begin(void **state) {
  (void)state;
  return mkdtemp(folder) != NULL ? redis_server_start(&server) : -1;
}

static int end(void **state) {
  (void)state;
  for (int i = 1; i <= opened; ++i) {
    char path[64];

    snprintf(path, sizeof path, "%s/table%d", folder, i);
    unlink(path);
  }
  rmdir(folder);
  redis_server_stop(&server);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(escalation_test), cmocka_unit_test(window_test),
      cmocka_unit_test(unban_test),      cmocka_unit_test(ruled_ban_test),
      cmocka_unit_test(override_test),   cmocka_unit_test(tier_test),
      cmocka_unit_test(lease_test),      cmocka_unit_test(processes_test),
  };

  return cmocka_run_group_tests(tests, begin, end);
}
