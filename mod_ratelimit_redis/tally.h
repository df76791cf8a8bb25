/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RATELIMIT_TALLY_H
#define RATELIMIT_TALLY_H

#include "sketch.h"

/*
 * What the status page tells of: counts of all processes, in memory that the parent maps and its
 * children inherit. Everything has a fixed size; nothing has a lock. Times are seconds of a clock
 * that only goes forward, the same in all processes. Knows neither httpd nor APR.
 */

/* What became of a decision, and of a limit in it. */
typedef enum ratelimit_kind {
  RATELIMIT_ALLOWED = 0,
  RATELIMIT_DENIED = 1,
  RATELIMIT_DRY = 2,      /* denied, and let pass: RateLimitMode dry-run */
  RATELIMIT_DEGRADED = 3, /* of the decisions of any kind: by the fail policy */
  RATELIMIT_KINDS = 4
} ratelimit_kind;

enum {
  RATELIMIT_ROWS = RATELIMIT_SKETCH_ROWS,
  RATELIMIT_ROW_ALL = 0,    /* decisions, whatever their limits */
  RATELIMIT_ROW_OTHERS = 1, /* limits for which no row was left */
  RATELIMIT_ROW_FIRST = 2,  /* and from here on a row a limit */

  RATELIMIT_FAST = 120,     /* steps of 5 seconds: the last 10 minutes */
  RATELIMIT_FAST_S = 5,
  RATELIMIT_SLOW = 144,     /* steps of 10 minutes: the last 24 hours */
  RATELIMIT_SLOW_S = 600,
  RATELIMIT_WINDOW_S = 600, /* of offenders and latencies; two of them are kept */

  RATELIMIT_LATENCIES = 24, /* up to 250 ns, 500 ns ... 1.05 s, and more */
  RATELIMIT_SOURCES = 8,    /* a place for each rlc_source */

  RATELIMIT_NAME_SIZE = 40,
  RATELIMIT_POLICY_SIZE = 160,
  RATELIMIT_HASH_KEY = 16
};

typedef struct ratelimit_row {
  ratelimit_word id; /* a hash of the name; 0: free */
  ratelimit_word generation;
  ratelimit_word name[RATELIMIT_NAME_SIZE / 8];
  ratelimit_word policy[RATELIMIT_POLICY_SIZE / 8];
  ratelimit_word total[RATELIMIT_KINDS];
  ratelimit_word fast[RATELIMIT_FAST][RATELIMIT_KINDS];
} ratelimit_row;

typedef struct ratelimit_tally {
  uint64_t layout;                      /* what it was made by */
  uint8_t hash_key[RATELIMIT_HASH_KEY]; /* of names and keys; never shown */
  int64_t since;                        /* seconds since 1970 */
  ratelimit_word generation;            /* one more with each configuration */
  ratelimit_word restarted;             /* seconds since 1970 */
  ratelimit_word trouble;               /* when the store last failed, and why */
  ratelimit_word sources[RATELIMIT_SOURCES];
  ratelimit_word shed;        /* refused while httpd had too much to do */
  ratelimit_word delayed;     /* passed after they had waited */
  ratelimit_word latency_sum; /* nanoseconds */
  ratelimit_word latency[RATELIMIT_LATENCIES];
  ratelimit_word recent_latency[2][RATELIMIT_LATENCIES];
  ratelimit_word slow[RATELIMIT_SLOW][RATELIMIT_KINDS];
  ratelimit_sketch offenders;
  ratelimit_row rows[RATELIMIT_ROWS];
} ratelimit_tally;

/* Begins in zeroed memory of sizeof(ratelimit_tally). */
void ratelimit_tally_init(ratelimit_tally *tally, const uint8_t *hash_key, int64_t wall_s);
/* Whether memory of an earlier configuration can be used: another version may have made it. */
int ratelimit_tally_fits(const ratelimit_tally *tally);

/* A new configuration begins; rows that it does not name are of an older one. */
void ratelimit_tally_restart(ratelimit_tally *tally, int64_t wall_s);

/* Finds or takes the row of the limit |name|, whose hash is |id|. Never fails: the last is
 * RATELIMIT_ROW_OTHERS. */
unsigned ratelimit_tally_row(ratelimit_tally *tally, uint64_t id, const char *name);
/* Says that the configuration has this limit, and its policy. */
void ratelimit_tally_describe(ratelimit_tally *tally, unsigned row, const char *policy);
/* Whether rows are taken that the configuration no longer has. */
int ratelimit_tally_has_old(const ratelimit_tally *tally);

/* Count once: a limit's outcome, a decision, how long it took. */
void ratelimit_tally_add(ratelimit_tally *tally, unsigned row, ratelimit_kind kind, uint64_t now_s);
void ratelimit_tally_add_slow(ratelimit_tally *tally, ratelimit_kind kind, uint64_t now_s);
void ratelimit_tally_add_latency(ratelimit_tally *tally, uint64_t now_s, uint64_t ns);

/* Returns 1 to one caller a second, who then says why the store failed. */
int ratelimit_tally_trouble_due(const ratelimit_tally *tally, uint64_t now_s);
void ratelimit_tally_set_trouble(ratelimit_tally *tally, uint64_t now_s, unsigned reason);

/* A text that stands in words; |size| is their bytes. */
void ratelimit_tally_read_text(char *to, const ratelimit_word *from, size_t size);

/* Where a latency counts, and the most that counts there; UINT64_MAX for the last. */
unsigned ratelimit_latency_index(uint64_t ns);
uint64_t ratelimit_latency_bound(unsigned index);

#endif
