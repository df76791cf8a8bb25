/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Takes calls from its stdin, makes each on every store, and tells all that came back: what oracles
 * are held against. The time is the line's. By the public interface alone.
 *
 *     stepper URL [URL ...]
 *
 * A line is one call, of columns that tabs part; the last four once for each limit:
 *
 *     op  now_us  name  policy  key  cost  ...     check, peek, charge, refund, grant, reset, acquire
 *     op  now_us  number  used  ...                commit, release, renew: of the acquire of that number,
 *                                                  the first being 0; commit with a cost for each limit
 *     forget  now_us                               deletes what was acquired; numbers begin anew
 *     policy  text                                 is it one?
 *
 * The answer to a call is a line from each store:
 *
 *     rv allowed index source
 *         (allowed source rate_index limit remaining window_us retry_us reset_us charged) ...
 *
 * and only |rv| of a reset and of what is acquired already; that to a policy its canonical text, or "refused" and why. An empty line
 * asks for all answers since the last: whoever writes many calls at once can do that before reading.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rlcore/rlcore.h"

#define STORES 4
#define KNOWN 128 /* policies that are kept; more than one call can have */
#define COLUMNS (2 + 4 * RLC_MAX_LIMITS)

typedef int verb(rlc_limiter *limiter, const rlc_limit *limits, size_t n, rlc_result *results,
                 rlc_decision *decision);

#define LEASES 1024

/* Of each store, by their number; NULL: it was denied, or is gone. */
static rlc_lease *leases[STORES][LEASES];
static size_t acquired;

static int64_t now;

static int64_t passed_in(void *user) {
  (void)user;
  return now;
}

static void die(const char *what, const char *why) {
  fprintf(stderr, "stepper: %s: %s\n", what, why);
  exit(2);
}

static rlc_limiter *open_store(const char *url) {
  rlc_options *options;
  rlc_limiter *limiter;
  char why[RLC_MESSAGE_SIZE];

  if (rlc_options_new(&options, NULL) != 0) {
    die(url, "out of memory");
  }
  rlc_options_set_test_clock(options, passed_in, NULL);
  if (rlc_limiter_new(&limiter, url, options, why, sizeof why) != 0) {
    die(url, why);
  }
  rlc_options_del(options);
  return limiter;
}

/* The policy of |text|. The one that was not asked for the longest gives way; none of this call's. */
static const rlc_policy *find_policy(const char *text) {
  static struct {
    char *text;
    rlc_policy *policy;
    uint64_t asked;
  } known[KNOWN];
  static uint64_t asked;
  char why[RLC_MESSAGE_SIZE];
  unsigned oldest = 0;

  ++asked;
  for (unsigned i = 0; i < KNOWN; ++i) {
    if (known[i].text != NULL && strcmp(known[i].text, text) == 0) {
      known[i].asked = asked;
      return known[i].policy;
    }
    oldest = known[i].asked < known[oldest].asked ? i : oldest;
  }
  rlc_policy_del(known[oldest].policy);
  free(known[oldest].text);
  known[oldest].asked = asked;
  known[oldest].text = strdup(text);
  if (known[oldest].text == NULL ||
      rlc_policy_new(&known[oldest].policy, NULL, text, NULL, why, sizeof why) != 0) {
    die(text, known[oldest].text == NULL ? "out of memory" : why);
  }
  return known[oldest].policy;
}

static size_t split(char *line, char **column) {
  size_t n = 0;

  line[strcspn(line, "\n")] = '\0';
  for (char *at = line; at != NULL; ++n) {
    char *tab = strchr(at, '\t');

    if (n == COLUMNS) {
      die(line, "too many columns");
    }
    column[n] = at;
    if (tab != NULL) {
      *tab++ = '\0';
    }
    at = tab;
  }
  return n;
}

static verb *find_verb(const char *op) {
  static const struct {
    const char *name;
    verb *call;
  } verbs[] = {{"check", rlc_limiter_check},
               {"peek", rlc_limiter_peek},
               {"charge", rlc_limiter_charge},
               {"refund", rlc_limiter_refund},
               {"grant", rlc_limiter_grant}};

  for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; ++i) {
    if (strcmp(op, verbs[i].name) == 0) {
      return verbs[i].call;
    }
  }
  return NULL; /* a reset, which has no results */
}

static void tell(FILE *out, int rv, const rlc_decision *d, const rlc_result *results, size_t n) {
  fprintf(out, "%d %d %u %s", rv, d->allowed, d->index, rlc_source_name(d->source));
  for (size_t i = 0; i < n; ++i) {
    const rlc_result *r = &results[i];

    fprintf(out, " (%d %s %u %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRId64 " %" PRId64 " %" PRIu64
            ")",
            r->allowed, rlc_source_name(r->source), r->rate_index, r->limit, r->remaining,
            r->window_us, r->retry_us, r->reset_us, r->charged);
  }
  if (memcmp(&d->result, &results[d->index], sizeof d->result) != 0) {
    fputs(" and the decision's result is another than that of its index", out);
  }
  putc('\n', out);
}

static void make_call(FILE *out, rlc_limiter *const *limiters, size_t stores, char **column,
                      size_t columns) {
  rlc_limit limits[RLC_MAX_LIMITS];
  size_t n = (columns - 2) / 4;
  verb *call = find_verb(column[0]);
  int acquires = strcmp(column[0], "acquire") == 0;

  if (columns != 2 + 4 * n || n == 0 ||
      (call == NULL && !acquires && strcmp(column[0], "reset") != 0) || acquired == LEASES) {
    die(column[0], "no such call");
  }
  now = strtoll(column[1], NULL, 10);
  for (size_t i = 0; i < n; ++i) {
    char **own = column + 2 + 4 * i;

    limits[i] = (rlc_limit)RLC_LIMIT_INIT;
    limits[i].name = own[0];
    limits[i].policy = find_policy(own[1]);
    limits[i].key = own[2];
    limits[i].key_len = strlen(own[2]);
    limits[i].cost = strtoull(own[3], NULL, 10);
  }
  for (size_t i = 0; i < stores; ++i) {
    rlc_result results[RLC_MAX_LIMITS];
    rlc_decision d = RLC_DECISION_INIT;

    if (call == NULL && !acquires) {
      fprintf(out, "%d\n", rlc_limiter_reset(limiters[i], limits, n));
      continue;
    }
    for (size_t j = 0; j < n; ++j) {
      results[j] = (rlc_result)RLC_RESULT_INIT;
    }
    if (acquires) {
      tell(out, rlc_limiter_acquire(limiters[i], limits, n, &leases[i][acquired], results, &d), &d,
           results, n);
    } else {
      tell(out, call(limiters[i], limits, n, results, &d), &d, results, n);
    }
  }
  acquired += acquires != 0;
}

/* What is done with the leases of a number. Returns 0 if the line is about something else. */
static int settle(FILE *out, size_t stores, char **column, size_t columns) {
  size_t number = columns > 2 ? strtoul(column[2], NULL, 10) : 0;
  uint64_t used[RLC_MAX_LIMITS] = {0};

  if (strcmp(column[0], "commit") != 0 && strcmp(column[0], "release") != 0 &&
      strcmp(column[0], "renew") != 0) {
    return 0;
  }
  if (number >= acquired) {
    die(column[0], "no such lease");
  }
  now = strtoll(column[1], NULL, 10);
  for (size_t i = 3; i < columns; ++i) {
    used[i - 3] = strtoull(column[i], NULL, 10);
  }
  for (size_t i = 0; i < stores; ++i) {
    rlc_lease *lease = leases[i][number];

    fprintf(out, "%d\n",
            column[0][0] == 'c'   ? rlc_lease_commit(lease, columns > 3 ? used : NULL)
            : column[0][2] == 'l' ? rlc_lease_release(lease)
                                  : rlc_lease_renew(lease));
  }
  return 1;
}

static void forget(FILE *out, size_t stores, const char *when) {
  now = strtoll(when, NULL, 10);
  for (size_t i = 0; i < stores; ++i) {
    for (size_t j = 0; j < acquired; ++j) {
      rlc_lease_del(leases[i][j]);
      leases[i][j] = NULL;
    }
    fputs("0\n", out);
  }
  acquired = 0;
}

static void try_policy(FILE *out, const char *text) {
  rlc_policy *policy;
  char why[RLC_MESSAGE_SIZE];

  if (rlc_policy_new(&policy, NULL, text, NULL, why, sizeof why) != 0) {
    fprintf(out, "refused: %s\n", why);
    return;
  }
  fprintf(out, "%s\n", rlc_policy_get_text(policy));
  rlc_policy_del(policy);
}

int main(int argc, char **argv) {
  rlc_limiter *limiters[STORES];
  size_t stores = (size_t)argc - 1;
  char *line = NULL;
  size_t size = 0;
  char *answers = NULL;
  size_t answers_size;
  FILE *out = open_memstream(&answers, &answers_size);

  if (argc < 2 || stores > STORES || out == NULL) {
    die("usage", "stepper URL [URL ...], at most 4");
  }
  for (size_t i = 0; i < stores; ++i) {
    limiters[i] = open_store(argv[1 + i]);
  }
  while (getline(&line, &size, stdin) > 0) {
    char *column[COLUMNS];
    size_t n;

    if (line[0] == '\n') {
      fflush(out);
      fwrite(answers, 1, answers_size, stdout);
      fflush(stdout);
      rewind(out);
      continue;
    }
    n = split(line, column);
    if (n == 2 && strcmp(column[0], "policy") == 0) {
      try_policy(out, column[1]);
    } else if (n == 2 && strcmp(column[0], "forget") == 0) {
      forget(out, stores, column[1]);
    } else if (!settle(out, stores, column, n)) {
      make_call(out, limiters, stores, column, n);
    }
  }
  forget(out, stores, "0");
  for (size_t i = 0; i < stores; ++i) {
    rlc_limiter_del(limiters[i]);
  }
  fclose(out);
  free(answers);
  free(line);
  return 0;
}
