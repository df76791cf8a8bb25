/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "rlctl/rlctl.h"

/* How long an answer may take where the URL does not say: a person waits, not a request. */
#define TIMEOUT_US INT64_C(1000000)
/* A program keeps its connections; rlctl has to open one first, and gives that so much time though
 * the URL gives less to a decision. */
#define CONNECT_US INT64_C(1000000)
/* Fewer than make the library leave a store alone. */
#define MOST_PEEKS 3
#define NOTES 4

struct rlctl_store {
  rlc_limiter *limiter;
  int reached;           /* it has been, once */
  pthread_mutex_t mutex; /* over what follows: the library logs from a thread of its own */
  char said[RLC_MESSAGE_SIZE];      /* why a decision was not made, "" if it was */
  char trouble[RLC_MESSAGE_SIZE];   /* the last line that was worth a warning */
  char note[NOTES][RLC_MESSAGE_SIZE];
  unsigned notes;
};

static int64_t now_us(void) {
  struct timespec t;

  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Whether |id| is the library's message |number|, "0301". */
static int is(const char *id, const char *number) {
  return strlen(id) > 3 && strncmp(id + 3, number, strlen(number)) == 0;
}

static void hear(rlc_log_level level, const char *id, const char *message, void *user) {
  rlctl_store *store = user;
  char *to = NULL;

  pthread_mutex_lock(&store->mutex);
  if (is(id, "0301")) {
    to = store->said;
  } else if (is(id, "0303") || is(id, "0304")) {
    to = store->notes < NOTES ? store->note[store->notes++] : NULL;
  } else if (level <= RLC_LOG_WARNING && !is(id, "01")) {
    to = store->trouble; /* those tell of the fail policy, which never decides here */
  }
  if (to != NULL) {
    strncpy(to, message, RLC_MESSAGE_SIZE - 1);
  }
  pthread_mutex_unlock(&store->mutex);
}

/* --- opening ------------------------------------------------------------------------------- */

static int digit_of(char c) {
  const char *digits = "0123456789abcdef";
  const char *at = c != '\0' ? strchr(digits, c >= 'A' && c <= 'F' ? c + ('a' - 'A') : c) : NULL;

  return at != NULL ? (int)(at - digits) : -1;
}

/* Whether the file of "shm:/path" is there, as far as can be told. */
static int table_is_there(const char *url) {
  size_t len = strcspn(url + 4, "?");
  char *path = strndup(url + 4, len);
  struct stat st;
  char *to = path;
  int rv;

  for (const char *from = path; path != NULL && *from != '\0'; ++from) {
    if (from[0] == '%' && digit_of(from[1]) >= 0 && digit_of(from[2]) >= 0) {
      *to++ = (char)(digit_of(from[1]) * 16 + digit_of(from[2]));
      from += 2;
    } else {
      *to++ = *from;
    }
  }
  if (path == NULL) {
    return 1;
  }
  *to = '\0';
  rv = stat(path, &st) == 0 || errno != ENOENT;
  free(path);
  return rv;
}

static rlctl_exit check_url(const rlctl_call *call, int makes) {
  const char *url = call->store;
  char shown[RLCTL_SHOWN];

  if (url == NULL) {
    return rlctl_say(RLCTL_USAGE, "%s asks a store: write it as in \"--store redis://host\" or "
                     "\"--store shm:/path\", or give RLCTL_STORE in the environment, where a "
                     "password is not seen by others", call->name);
  }
  if (strncmp(url, "memory:", 7) == 0 || (strncmp(url, "shm:", 4) == 0 && url[4] != '/')) {
    return rlctl_say(RLCTL_USAGE, "\"%.*s:\" is memory of one program, which rlctl cannot reach: "
                     "write a store that programs share, shm:/path or redis://host",
                     (int)strcspn(url, ":"), url);
  }
  if (!makes && strncmp(url, "shm:/", 5) == 0 && !table_is_there(url)) {
    return rlctl_say(RLCTL_UNAVAILABLE, "there is no table \"%s\": the program that uses it makes "
                     "it, or \"rlctl check\"", rlctl_show(shown, url + 4));
  }
  return RLCTL_DONE;
}

static rlctl_exit open_limiter(rlctl_store *store, const rlctl_call *call) {
  rlc_options *options;
  rlctl_exit status = RLCTL_DONE;
  char why[RLC_MESSAGE_SIZE] = "";
  int rv;

  if (rlc_options_new(&options, NULL) != 0) {
    return rlctl_say(RLCTL_UNAVAILABLE, "%s", rlc_strerror(RLC_ERR_NOMEM));
  }
  rlc_options_set_log(options, hear, store);
  (void)rlc_options_set_timeout_us(options, TIMEOUT_US);
  (void)rlc_options_set_fail(options, RLC_FAIL_CLOSED);
  if (call->secret_file != NULL) {
    status = rlctl_secret_read(options, call->secret_file);
  }
  if (status == RLCTL_DONE) {
    rv = rlc_limiter_new(&store->limiter, call->store, options, why, sizeof why);
    if (rv == RLC_ERR_URL || rv == RLC_ERR_UNSUPPORTED) {
      status = rlctl_say(RLCTL_USAGE, "the store's URL: %s", why);
    } else if (rv != 0) {
      status = rlctl_say(RLCTL_UNAVAILABLE, "the store cannot be used: %s", why);
    }
  }
  rlc_options_del(options);
  return status;
}

rlctl_exit rlctl_store_new(rlctl_store **out, const rlctl_call *call, int makes) {
  rlctl_store *store = NULL;
  rlctl_exit status = check_url(call, makes);

  *out = NULL;
  if (status != RLCTL_DONE) {
    return status;
  }
  store = calloc(1, sizeof *store);
  if (store == NULL || pthread_mutex_init(&store->mutex, NULL) != 0) {
    free(store);
    return rlctl_say(RLCTL_UNAVAILABLE, "%s", rlc_strerror(RLC_ERR_NOMEM));
  }
  status = open_limiter(store, call);
  if (status == RLCTL_DONE) {
    *out = store;
    store = NULL;
  }
  rlctl_store_del(store);
  return status;
}

void rlctl_store_del(rlctl_store *store) {
  if (store != NULL) {
    rlc_limiter_del(store->limiter);
    pthread_mutex_destroy(&store->mutex);
    free(store);
  }
}

rlc_limiter *rlctl_store_limiter(rlctl_store *store) {
  return store->limiter;
}

const char *rlctl_store_note(rlctl_store *store, unsigned i) {
  const char *note;

  pthread_mutex_lock(&store->mutex);
  note = i < store->notes ? store->note[i] : NULL; /* which is not written again */
  pthread_mutex_unlock(&store->mutex);
  return note;
}

/* --- asking -------------------------------------------------------------------------------- */

static int call_verb(rlc_limiter *limiter, rlc_op op, const rlc_limit *limits, size_t n,
                     rlc_result *results, rlc_decision *decision) {
  switch (op) {
  case RLC_OP_PEEK:
    return rlc_limiter_peek(limiter, limits, n, results, decision);
  case RLC_OP_CHARGE:
    return rlc_limiter_charge(limiter, limits, n, results, decision);
  case RLC_OP_REFUND:
    return rlc_limiter_refund(limiter, limits, n, results, decision);
  case RLC_OP_RESET:
    return rlc_limiter_reset(limiter, limits, n);
  case RLC_OP_GRANT:
    return rlc_limiter_grant(limiter, limits, n, results, decision);
  case RLC_OP_CHECK:
    break;
  }
  return rlc_limiter_check(limiter, limits, n, results, decision);
}

/* Says why the store did not decide. */
static rlctl_exit say_why(rlctl_store *store, const rlc_stats *stats) {
  rlc_reason reason = stats->store_refused > 0       ? RLC_REASON_REFUSED
                      : stats->store_timeouts > 0    ? RLC_REASON_TIMEOUT
                      : stats->store_unavailable > 0 ? RLC_REASON_UNAVAILABLE
                                                     : RLC_REASON_PROTOCOL;
  int answered = reason == RLC_REASON_REFUSED || reason == RLC_REASON_PROTOCOL;
  const char *line;

  /* What is known of the connection tells more than that there was none in time. */
  pthread_mutex_lock(&store->mutex);
  line = stats->connects == 0 && store->trouble[0] != '\0' ? store->trouble : store->said;
  line = line[0] != '\0' ? line : rlc_reason_text(reason);
  (void)rlctl_say(RLCTL_DONE, "%s%s", answered ? "" : "the store did not answer: ", line);
  pthread_mutex_unlock(&store->mutex);
  return answered ? RLCTL_REFUSED : RLCTL_UNAVAILABLE;
}

/* Waits until there is a connection, or something to tell of it, or |until|. */
static void await_connection(rlctl_store *store, int64_t until) {
  const struct timespec pause = {0, 2000000};
  int trouble = 0;
  rlc_stats stats = RLC_STATS_INIT;

  while (stats.connects == 0 && !trouble && now_us() < until) {
    nanosleep(&pause, NULL);
    (void)rlc_limiter_get_stats(store->limiter, &stats);
    pthread_mutex_lock(&store->mutex);
    trouble = store->trouble[0] != '\0';
    pthread_mutex_unlock(&store->mutex);
  }
}

/* A peek, which changes nothing and may be repeated, opens the connection. Returns whether the
 * store could be reached; what it refuses to a peek it may do for the verb. */
static int reach(rlctl_store *store, const rlc_limit *limits, size_t n) {
  int64_t until = now_us() + CONNECT_US;
  rlc_stats stats = RLC_STATS_INIT;

  for (int tries = 0; tries < MOST_PEEKS; ++tries) {
    if (rlc_limiter_peek(store->limiter, limits, n, NULL, NULL) != RLC_DEGRADED) {
      return 1;
    }
    (void)rlc_limiter_get_stats(store->limiter, &stats);
    if (stats.store_timeouts == 0 || now_us() >= until) {
      break;
    }
    await_connection(store, until);
  }
  return stats.store_refused > 0 || stats.store_timeouts + stats.store_unavailable == 0;
}

rlctl_exit rlctl_store_reach(rlctl_store *store) {
  rlc_limit limit = RLC_LIMIT_INIT;
  rlc_policy *policy;
  rlctl_exit status;

  if (rlc_policy_new(&policy, "rlctl", "1/s", NULL, NULL, 0) != 0) {
    return rlctl_say(RLCTL_UNAVAILABLE, "%s", rlc_strerror(RLC_ERR_NOMEM));
  }
  limit.policy = policy;
  limit.fail = RLC_FAIL_CLOSED;
  status = rlctl_store_ask(store, RLC_OP_PEEK, &limit, 1, NULL, NULL);
  rlc_policy_del(policy);
  return status;
}

rlctl_exit rlctl_store_say(rlctl_store *store, int rv) {
  rlctl_exit status = RLCTL_UNAVAILABLE;

  switch (rv) {
  case 0:
    return RLCTL_DONE;
  case RLC_ERR_INVALID:
    return rlctl_say(RLCTL_USAGE, "%s", rlc_strerror(rv));
  case RLC_ERR_FULL:
    return rlctl_say(RLCTL_REFUSED, "the store's index is full: take entries away that are not needed "
                     "(\"rlctl list\")");
  case RLC_ERR_STORE:
    break;
  default:
    return rlctl_say(RLCTL_UNAVAILABLE, "%s", rlc_strerror(rv));
  }
  pthread_mutex_lock(&store->mutex);
  if (store->said[0] != '\0') {
    status = rlctl_say(RLCTL_REFUSED, "%s", store->said);
  } else {
    (void)rlctl_say(RLCTL_UNAVAILABLE, "the store did not answer in time");
  }
  pthread_mutex_unlock(&store->mutex);
  return status;
}

rlctl_exit rlctl_store_ask(rlctl_store *store, rlc_op op, rlc_limit *limits, size_t n,
                           rlc_result *results, rlc_decision *decision) {
  rlc_stats stats = RLC_STATS_INIT;
  int rv = RLC_DEGRADED;
  int indexed = 0;

  if (store->reached || reach(store, limits, n)) {
    store->reached = 1;
    /* What a person is told goes by the index as it is now. */
    indexed = results != NULL ? rlc_limiter_refresh(store->limiter) : 0;
    rv = call_verb(store->limiter, op, limits, n, results, decision);
  }
  switch (rv) {
  case 0:
    return indexed == 0 ? RLCTL_DONE
                        : rlctl_say(RLCTL_DONE, "bans, overrides and tiers could not be read, and were "
                                    "passed over");
  case RLC_DEGRADED:
    (void)rlc_limiter_get_stats(store->limiter, &stats);
    return say_why(store, &stats);
  case RLC_ERR_INVALID:
    return rlctl_say(RLCTL_USAGE, "two limits of one name and key have different policies, or are "
                     "granted in one call: give each a --name");
  default:
    return rlctl_say(RLCTL_UNAVAILABLE, "the store cannot be used: %s", rlc_strerror(rv));
  }
}
