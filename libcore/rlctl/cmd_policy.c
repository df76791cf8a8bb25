/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "rlctl/rlctl.h"

#define DAY_US (UINT64_C(86400) * 1000000)
/* How shared memory keeps time stamps: store/blocks.h. */
#define BLOCK_WORDS UINT64_C(14)
#define BLOCK_BYTES UINT64_C(128)

__extension__ typedef unsigned __int128 uint128;

/* A rate, and what follows from it. */
typedef struct facts {
  rlc_algorithm algorithm;
  const char *text;
  int len;
  uint64_t quota;
  uint64_t window_us;
  uint64_t capacity;
  uint64_t refill_us; /* the longest wait until the full capacity is there again */
  uint64_t debt;
  uint64_t repay_us;  /* a bucket's: what the debt takes to be paid back */
  unsigned early_us;  /* less than so much earlier than exact arithmetic has it may one pass */
  uint64_t at_once;
  uint64_t in_window;
  uint64_t in_day;
  int is_calendar; /* windows begin with days, weeks, months or years */
} facts;

static uint64_t bound_of(const rlc_policy *policy, unsigned index, uint64_t span_us) {
  uint64_t most = 0;

  (void)rlc_policy_get_bound(policy, index, span_us, &most);
  return most;
}

/* Months and years are always the calendar's, days and weeks where the policy says so. */
static int is_calendar(const rlc_policy *policy, const facts *f) {
  return memmem(f->text, (size_t)f->len, "month", 5) != NULL ||
         memmem(f->text, (size_t)f->len, "year", 4) != NULL ||
         (strstr(rlc_policy_get_text(policy), " align=calendar") != NULL &&
          (f->window_us == DAY_US || f->window_us == 7 * DAY_US));
}

static facts facts_of(const rlc_policy *policy, unsigned index) {
  facts f = {.algorithm = rlc_policy_get_algorithm(policy)};

  f.len = rlctl_rate_text(policy, index, &f.text);
  (void)rlc_policy_get_rate(policy, index, &f.quota, &f.window_us, &f.capacity);
  f.debt = rlc_policy_get_debt(policy);
  switch (f.algorithm) {
  case RLC_TOKEN_BUCKET:
    f.repay_us = (uint64_t)(((uint128)f.debt * f.window_us + f.quota - 1) / f.quota);
    f.refill_us =
        (uint64_t)(((uint128)f.capacity * f.window_us + f.quota - 1) / f.quota);
    f.early_us = f.window_us % f.quota != 0 ? 2 : 0;
    break;
  case RLC_FIXED_WINDOW:
    f.refill_us = f.window_us;
    f.is_calendar = is_calendar(policy, &f);
    break;
  case RLC_SLIDING_WINDOW:
    f.refill_us = 2 * f.window_us;
    break;
  case RLC_SLIDING_LOG:
  case RLC_CONCURRENCY:
    f.refill_us = f.window_us;
    break;
  }
  f.at_once = bound_of(policy, index, 0);
  f.in_window = bound_of(policy, index, f.window_us);
  f.in_day = bound_of(policy, index, DAY_US);
  return f;
}

static uint64_t least_of(const rlc_policy *policy, uint64_t span_us) {
  uint64_t least = UINT64_MAX;

  for (unsigned i = 0; i < rlc_policy_get_rates(policy); ++i) {
    uint64_t most = bound_of(policy, i, span_us);

    least = most < least ? most : least;
  }
  return least;
}

static const char *name_of(rlc_algorithm algorithm) {
  switch (algorithm) {
  case RLC_FIXED_WINDOW:
    return "fixed-window";
  case RLC_SLIDING_WINDOW:
    return "sliding-window";
  case RLC_SLIDING_LOG:
    return "sliding-log";
  case RLC_CONCURRENCY:
    return "concurrency";
  case RLC_TOKEN_BUCKET:
    break;
  }
  return "token-bucket";
}

/* --- for people ---------------------------------------------------------------------------- */

/* "second", "15 min": what stands behind "in any". */
static void put_span(uint64_t us) {
  static const struct {
    const char *name;
    uint64_t us;
  } words[] = {{"second", 1000000}, {"minute", 60000000}, {"hour", 3600000000}, {"day", DAY_US}};

  for (size_t i = 0; i < sizeof words / sizeof *words; ++i) {
    if (us == words[i].us) {
      fputs(words[i].name, stdout);
      return;
    }
  }
  rlctl_put_duration(stdout, (int64_t)us);
}

/* The time in which a unit comes back, to four digits. */
static void put_interval(const facts *f) {
  double us = (double)f->window_us / (double)f->quota;

  if (us >= 60e6) {
    rlctl_put_duration(stdout, (int64_t)us);
  } else if (us >= 1e6) {
    printf("%.4g s", us / 1e6);
  } else if (us >= 1e3) {
    printf("%.4g ms", us / 1e3);
  } else {
    printf("%.4g us", us);
  }
}

static void put_rate(const facts *f) {
  printf("\n%.*s\n  %" PRIu64 " at once; ", f->len, f->text, f->at_once);
  switch (f->algorithm) {
  case RLC_TOKEN_BUCKET:
    fputs("one comes back each ", stdout);
    put_interval(f);
    fputs(", all in ", stdout);
    rlctl_put_duration(stdout, (int64_t)f->refill_us);
    break;
  case RLC_FIXED_WINDOW:
    if (f->is_calendar) {
      fputs("all come back when the calendar's next window begins", stdout);
      break;
    }
    fputs("all come back when a window begins: each ", stdout);
    put_span(f->window_us);
    fputs(" from 1970 on, UTC", stdout);
    break;
  case RLC_SLIDING_WINDOW:
    fputs("they come back evenly within the next window, all in ", stdout);
    rlctl_put_duration(stdout, (int64_t)f->refill_us);
    fputs(" at most", stdout);
    break;
  case RLC_SLIDING_LOG:
    fputs("each unit comes back ", stdout);
    rlctl_put_duration(stdout, (int64_t)f->window_us);
    fputs(" after it was taken", stdout);
    break;
  case RLC_CONCURRENCY:
    fputs("a slot is free when it is given back, or ", stdout);
    rlctl_put_duration(stdout, (int64_t)f->window_us);
    puts(" after it\n  was taken or renewed last");
    return; /* how often slots are taken is up to who gives them back */
  }
  printf("\n  at most %" PRIu64 " in any ", f->in_window);
  put_span(f->window_us);
  if (f->window_us != DAY_US) {
    printf(", %" PRIu64 " in any day", f->in_day);
  }
  putchar('\n');
  if (f->debt > 0) {
    printf("  charges may go %" PRIu64 " beyond that, and nothing passes until it is paid back", f->debt);
    if (f->algorithm == RLC_TOKEN_BUCKET) {
      fputs(": in ", stdout);
      rlctl_put_duration(stdout, (int64_t)f->repay_us);
    }
    putchar('\n');
  }
  if (f->early_us > 0) {
    puts("  counted in ticks of 1 to 2 us, since no whole number of microseconds brings one back:\n"
         "  a request may pass a tick too early");
  }
}

static int is_log(const rlc_policy *policy) {
  rlc_algorithm algorithm = rlc_policy_get_algorithm(policy);

  return algorithm == RLC_SLIDING_LOG || algorithm == RLC_CONCURRENCY;
}

/* The most units that the state of a key has. */
static uint64_t units_of(const rlc_policy *policy) {
  uint64_t quota, window_us, units = 0, longest = 0;

  for (unsigned i = 0; rlc_policy_get_rate(policy, i, &quota, &window_us, NULL) == 0; ++i) {
    if (window_us > longest) {
      longest = window_us;
      units = quota + rlc_policy_get_debt(policy);
    }
  }
  return units;
}

static uint64_t redis_bytes(const rlc_policy *policy) {
  return 8 * (1 + units_of(policy));
}

static uint64_t shm_bytes(const rlc_policy *policy) {
  return (1 + units_of(policy) + BLOCK_WORDS - 1) / BLOCK_WORDS * BLOCK_BYTES;
}

/* What a time stamp for each unit takes. */
static void put_memory(const rlc_policy *policy) {
  printf("\nmemory\n  8 bytes a unit in Redis: %" PRIu64 " a key, up to twice that where it has grown; in shm\n"
         "  blocks of %" PRIu64 " bytes for %" PRIu64 " units: %" PRIu64 " a key\n",
         redis_bytes(policy), BLOCK_BYTES, BLOCK_WORDS, shm_bytes(policy));
}

/* What `ban=` says. */
static void put_bans(const rlc_policy *policy) {
  uint64_t denials, window_us, first_us, longest_us;

  if (!rlc_policy_get_ban(policy, &denials, &window_us, &first_us, &longest_us)) {
    return;
  }
  printf("\nbans\n  a key that is denied %" PRIu64 " time%s within ", denials, denials > 1 ? "s" : "");
  rlctl_put_duration(stdout, (int64_t)window_us);
  fputs(" is banned for ", stdout);
  rlctl_put_duration(stdout, (int64_t)first_us);
  if (longest_us > first_us) {
    fputs(";\n  twice as long at each repeat, up to ", stdout);
    rlctl_put_duration(stdout, (int64_t)longest_us);
    fputs(", until it kept quiet for as long", stdout);
  }
  putchar('\n');
}

static void put_text(const rlc_policy *policy, const char *name) {
  printf("%s\n  %s; named %s where it is given no name\n", rlc_policy_get_text(policy),
         name_of(rlc_policy_get_algorithm(policy)), name);
  for (unsigned i = 0; i < rlc_policy_get_rates(policy); ++i) {
    facts f = facts_of(policy, i);

    put_rate(&f);
  }
  if (rlc_policy_get_rates(policy) > 1) {
    printf("\ntogether\n  %" PRIu64 " at once; at most %" PRIu64 " in any day\n",
           least_of(policy, 0), least_of(policy, DAY_US));
  }
  if (is_log(policy)) {
    put_memory(policy);
  }
  put_bans(policy);
}

/* --- for programs -------------------------------------------------------------------------- */

/* A bound, or null where there is none. */
static void put_bound(const char *name, uint64_t most) {
  if (most == UINT64_MAX) {
    printf("\"%s\": null", name);
  } else {
    printf("\"%s\": %" PRIu64, name, most);
  }
}

static void put_most(uint64_t at_once, uint64_t in_day) {
  put_bound("most_at_once", at_once);
  fputs(", ", stdout);
  put_bound("most_in_day", in_day);
}

static void put_json(const rlc_policy *policy, const char *name) {
  uint64_t denials, window_us, first_us, longest_us;

  fputs("{\"policy\": ", stdout);
  rlctl_put_json(stdout, rlc_policy_get_text(policy));
  fputs(", \"name\": ", stdout);
  rlctl_put_json(stdout, name);
  printf(", \"algorithm\": \"%s\", \"rates\": [", name_of(rlc_policy_get_algorithm(policy)));
  for (unsigned i = 0; i < rlc_policy_get_rates(policy); ++i) {
    facts f = facts_of(policy, i);

    printf("%s{\"rate\": \"%.*s\", \"quota\": %" PRIu64 ", \"window_us\": %" PRIu64
           ", \"capacity\": %" PRIu64 ", \"refill_us\": %" PRIu64 ", \"early_us\": %u, ",
           i > 0 ? ", " : "", f.len, f.text, f.quota, f.window_us, f.capacity, f.refill_us,
           f.early_us);
    put_bound("most_in_window", f.in_window);
    fputs(", ", stdout);
    put_most(f.at_once, f.in_day);
    putchar('}');
  }
  fputs("], ", stdout);
  put_most(least_of(policy, 0), least_of(policy, DAY_US));
  if (rlc_policy_get_debt(policy) > 0) {
    printf(", \"debt\": %" PRIu64, rlc_policy_get_debt(policy));
  }
  if (is_log(policy)) {
    printf(", \"redis_bytes\": %" PRIu64 ", \"shm_bytes\": %" PRIu64, redis_bytes(policy),
           shm_bytes(policy));
  }
  if (rlc_policy_get_ban(policy, &denials, &window_us, &first_us, &longest_us)) {
    printf(", \"ban\": {\"denials\": %" PRIu64 ", \"window_us\": %" PRIu64 ", \"first_us\": %" PRIu64
           ", \"longest_us\": %" PRIu64 "}", denials, window_us, first_us, longest_us);
  }
  puts("}");
}

rlctl_exit rlctl_policy(const rlctl_call *call) {
  char name[RLC_MAX_NAME + 1];
  rlctl_exit status;
  rlc_policy *policy;

  if (call->n_words != 1) {
    return rlctl_say(RLCTL_USAGE, "policy expects one policy, in quotes where it has a blank, as "
                     "in \"rlctl policy '10/s burst=20'\"");
  }
  status = rlctl_policy_new(&policy, call, call->words[0]);
  if (status != RLCTL_DONE) {
    return status;
  }
  rlctl_policy_name(policy, name);
  (call->json ? put_json : put_text)(policy, name);
  rlc_policy_del(policy);
  return RLCTL_DONE;
}
