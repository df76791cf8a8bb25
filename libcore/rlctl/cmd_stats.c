/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "rlctl/rlctl.h"

/* Decisions whose time is taken, once there is a connection; the median is told. */
#define TIMED 9

static int64_t now_us(void) {
  struct timespec t;

  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Takes the time of a peek, which writes nothing. */
static rlctl_exit time_one(rlctl_store *store, const rlc_policy *policy, int64_t *us) {
  rlc_limit limit = RLC_LIMIT_INIT;
  int64_t begun = now_us();
  rlctl_exit status;

  limit.policy = policy;
  limit.key = "rlctl";
  limit.key_len = 5;
  limit.fail = RLC_FAIL_CLOSED;
  status = rlctl_store_ask(store, RLC_OP_PEEK, &limit, 1, NULL, NULL);
  *us = now_us() - begun;
  return status;
}

/* Takes the first decision's time, and the median of those that follow. */
static rlctl_exit take_times(rlctl_store *store, int64_t *first_us, int64_t *median_us) {
  int64_t times[TIMED];
  rlc_policy *policy;
  rlctl_exit status;

  if (rlc_policy_new(&policy, "rlctl", "1/s", NULL, NULL, 0) != 0) {
    return rlctl_say(RLCTL_UNAVAILABLE, "%s", rlc_strerror(RLC_ERR_NOMEM));
  }
  status = time_one(store, policy, first_us);
  for (int n = 0; n < TIMED && status == RLCTL_DONE; ++n) {
    int64_t us;
    int at = n;

    status = time_one(store, policy, &us);
    for (; at > 0 && times[at - 1] > us; --at) {
      times[at] = times[at - 1];
    }
    times[at] = us;
  }
  *median_us = status == RLCTL_DONE ? times[TIMED / 2] : 0;
  rlc_policy_del(policy);
  return status;
}

static rlctl_exit put_redis(rlctl_store *store, int json) {
  int64_t first_us = 0;
  int64_t median_us = 0;
  rlctl_exit status = take_times(store, &first_us, &median_us);

  if (status != RLCTL_DONE) {
    return status;
  }
  if (!json) {
    printf("it answers: a decision takes %.3g ms, the first with connecting took %.3g ms\n",
           (double)median_us / 1000, (double)first_us / 1000);
    for (unsigned i = 0; rlctl_store_note(store, i) != NULL; ++i) {
      printf("note: %s\n", rlctl_store_note(store, i));
    }
    return RLCTL_DONE;
  }
  printf("{\"store\": \"redis\", \"decision_us\": %" PRId64 ", \"first_us\": %" PRId64
         ", \"notes\": [", median_us, first_us);
  for (unsigned i = 0; rlctl_store_note(store, i) != NULL; ++i) {
    fputs(i > 0 ? ", " : "", stdout);
    rlctl_put_json(stdout, rlctl_store_note(store, i));
  }
  puts("]}");
  return RLCTL_DONE;
}

static rlctl_exit put_table(rlctl_store *store, int json) {
  rlc_stats stats = RLC_STATS_INIT;

  (void)rlc_limiter_get_stats(rlctl_store_limiter(store), &stats);
  if (json) {
    printf("{\"store\": \"shm\", \"slots\": %" PRIu64 ", \"slots_used\": %" PRIu64
           ", \"evicted_live\": %" PRIu64 "}\n", stats.slots, stats.slots_used, stats.evicted_live);
    return RLCTL_DONE;
  }
  printf("%" PRIu64 " of %" PRIu64 " slots used\n", stats.slots_used, stats.slots);
  if (stats.evicted_live > 0) {
    printf("%" PRIu64 " keys were forgotten too early: more slots are needed (\"size=\" in the "
           "URL of a new file)\n", stats.evicted_live);
  } else {
    puts("no key was forgotten too early");
  }
  return RLCTL_DONE;
}

rlctl_exit rlctl_stats(const rlctl_call *call) {
  rlctl_store *store = NULL;
  rlctl_exit status;

  if (call->n_words > 0) {
    char shown[RLCTL_SHOWN];

    return rlctl_say(RLCTL_USAGE, "stats takes no word: leave out \"%s\"",
                     rlctl_show(shown, call->words[0]));
  }
  status = rlctl_store_new(&store, call, 0);
  if (status == RLCTL_DONE) {
    status = (strncmp(call->store, "shm:", 4) == 0 ? put_table : put_redis)(store, call->json);
  }
  rlctl_store_del(store);
  return status;
}
