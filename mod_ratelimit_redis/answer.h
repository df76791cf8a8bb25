/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RATELIMIT_ANSWER_H
#define RATELIMIT_ANSWER_H

#include "config.h"
#include "line.h"

/* The limits that one call decides, side by side with the lines they come from. */
typedef struct ratelimit_batch {
  int n;
  ratelimit_line *lines[RLC_MAX_LIMITS];
  rlc_limit limits[RLC_MAX_LIMITS];
  rlc_result results[RLC_MAX_LIMITS];
  rlc_decision decision;
} ratelimit_batch;

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

void ratelimit_register_answer(apr_pool_t *pool);

#endif
