/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RATELIMIT_VIEW_H
#define RATELIMIT_VIEW_H

#include <rlcore/rlcore.h>

#include "tally.h"

/* All that the status handler can tell, at one moment: what every format is written from. */

enum { RATELIMIT_OFFENDERS = 20 };

/* Whether the store decides, going by the last ten seconds or so of all processes. */
typedef enum ratelimit_store_state {
  RATELIMIT_STORE_IDLE = 0,     /* nothing was decided */
  RATELIMIT_STORE_ANSWERS = 1,  /* it decided everything */
  RATELIMIT_STORE_UNSTEADY = 2, /* some was decided by the fail policy */
  RATELIMIT_STORE_AWAY = 3      /* everything was */
} ratelimit_store_state;

typedef struct ratelimit_view_row {
  unsigned row;
  int configured; /* the server's own configuration has it */
  char name[RATELIMIT_NAME_SIZE];
  char policy[RATELIMIT_POLICY_SIZE]; /* "" where it is not known */
  uint64_t total[RATELIMIT_KINDS];
  uint64_t recent[RATELIMIT_KINDS]; /* of the last ten minutes */
} ratelimit_view_row;

typedef struct ratelimit_view_offender {
  char limit[RATELIMIT_NAME_SIZE];
  char key[300];     /* ready to be shown, before it is escaped */
  const char *shown; /* "address", "plain" or "hashed" */
  uint64_t denied;   /* at least */
  uint64_t error;    /* and at most so many more */
} ratelimit_view_offender;

/* What the server tells, and the tally cannot know. */
typedef struct ratelimit_view_told {
  const char *server; /* its name */
  const char *store;  /* its kind, "redis+cluster": the rest of the URL may hold secrets */
  int keys;           /* RATELIMIT_SHOW_... */
  unsigned busy;      /* percent of the workers */
  uint64_t now_s;     /* by the tally's clock */
  int64_t wall_s;     /* by that of the wall */
  rlc_stats stats;
} ratelimit_view_told;

enum { RATELIMIT_SHOW_ADDRESS = 0, RATELIMIT_SHOW_NONE = 1, RATELIMIT_SHOW_ALL = 2 };

typedef struct ratelimit_view {
  ratelimit_view_told told;
  const ratelimit_tally *tally;
  int64_t since_s;
  int64_t restarted_s;
  ratelimit_store_state state;
  rlc_reason reason;    /* why the store failed last */
  uint64_t trouble_ago; /* seconds; UINT64_MAX: never */
  uint64_t total[RATELIMIT_KINDS];
  uint64_t recent[RATELIMIT_KINDS];
  uint64_t sources[RATELIMIT_SOURCES];
  uint64_t shed;    /* refused by RateLimitShed */
  uint64_t delayed; /* passed by delay= */
  uint64_t fast[RATELIMIT_FAST][RATELIMIT_KINDS]; /* the oldest first; the last is under way */
  uint64_t slow[RATELIMIT_SLOW][RATELIMIT_KINDS];
  uint64_t latency[RATELIMIT_LATENCIES];
  uint64_t latency_sum;
  uint64_t recent_latency[RATELIMIT_LATENCIES];
  uint64_t missed; /* denials that are not in the list of offenders */
  size_t n_rows;   /* most denied first */
  ratelimit_view_row rows[RATELIMIT_ROWS];
  size_t n_offenders;
  ratelimit_view_offender offenders[RATELIMIT_OFFENDERS];
} ratelimit_view;

/* Fills |view| from |tally|; NULL stands for one that has counted nothing. */
void ratelimit_view_take(ratelimit_view *view, const ratelimit_tally *tally,
                         const ratelimit_view_told *told);

/* The last ten minutes of a row, the oldest step first. */
void ratelimit_view_steps(const ratelimit_view *view, unsigned row,
                          uint64_t steps[RATELIMIT_FAST][RATELIMIT_KINDS]);

/* Allowed, denied and dry together. */
uint64_t ratelimit_decisions(const uint64_t counts[RATELIMIT_KINDS]);

/* The nanoseconds within which |per_mille| of all took: an estimate between the bounds that were
 * counted. 0 where nothing was. */
uint64_t ratelimit_view_quantile(const uint64_t latency[RATELIMIT_LATENCIES], unsigned per_mille);

/* "answers", "unsteady", "away" or "idle". */
const char *ratelimit_store_state_name(ratelimit_store_state state);

/* "closed", "open", "half-open" or "none". */
const char *ratelimit_breaker_name(rlc_breaker breaker);

#endif
