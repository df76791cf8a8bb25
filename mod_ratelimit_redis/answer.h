/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RATELIMIT_ANSWER_H
#define RATELIMIT_ANSWER_H

#include "config.h"
#include "line.h"

/* A line of a decision, and which of its limits it is: several lines may be one. */
typedef struct ratelimit_part {
  const ratelimit_line *line;
  apr_uint64_t cost;         /* by this line alone */
  int at;
} ratelimit_part;

enum { RATELIMIT_MAX_PARTS = 2 * RLC_MAX_LIMITS };

/* The limits that one call decides, side by side with the lines they come from. */
typedef struct ratelimit_batch {
  int n;
  int parts;
  ratelimit_part part[RATELIMIT_MAX_PARTS];
  ratelimit_line *lines[RLC_MAX_LIMITS];
  rlc_limit limits[RLC_MAX_LIMITS];
  rlc_result results[RLC_MAX_LIMITS];
  rlc_decision decision;
} ratelimit_batch;

typedef struct ratelimit_dues ratelimit_dues;

/* What has been decided for a request, on the request that the client sent. */
typedef struct ratelimit_state {
  apr_array_header_t *decided;      /* ratelimit_decided: what has been decided so far */
  const apr_array_header_t *lines;  /* those last looked through for this request */
  int refused;               /* the status of the refusal, or 0 */
  int told;                  /* the environment tells of a decision */
  apr_uint64_t remaining;    /* of which so many units are left */
  const char *policy_field;  /* RateLimit-Policy so far, or NULL */
  const char *limit_field;   /* RateLimit so far, or NULL */
  int exposed;               /* the fields are named to scripts of other origins */
  const char *problem;       /* the body in problem+json, or NULL */
  apr_array_header_t *charged; /* rlc_limit: what the application behind is told of; NULL: nothing */
  ratelimit_dues *dues;      /* what is settled when the request ends; NULL: nothing */
} ratelimit_state;

/* Tells of a decision in header fields, environment and notes. |dry|: refusals are not made. */
void ratelimit_tell(request_rec *r, const ratelimit_dir_conf *conf, ratelimit_state *state,
                    const ratelimit_batch *batch, int dry);
/* Whether this is a request for the page that refusals by |line| lead to: it is shown, also under a
 * limit that covers it. */
int ratelimit_is_own_page(const request_rec *r, const ratelimit_dir_conf *conf,
                          const ratelimit_line *line);
/* Prepares the refusal of the request and returns its status, 429 or 503 if nothing else is set. */
int ratelimit_refuse(request_rec *r, const ratelimit_dir_conf *conf, ratelimit_state *state,
                     const ratelimit_batch *batch);

/* The same for a request that is refused because httpd has too much to do: 503. */
int ratelimit_refuse_load(request_rec *r, ratelimit_state *state);

void ratelimit_register_answer(apr_pool_t *pool);

#endif
