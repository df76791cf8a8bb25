/* SPDX-License-Identifier: Apache-2.0 */
#include "access.h"

#include <string.h>

#include <apr_strings.h>

#include "answer.h"
#include "config.h"
#include "count.h"
#include "delay.h"
#include "exempt.h"
#include "handover.h"
#include "journal.h"
#include "key.h"
#include "settle.h"
#include "stores.h"

/* --- gathering ----------------------------------------------------------------------------- */

enum { EARLY = 0, LATE = 1, INSIDE = 2 };

/* A limit that has been decided for a client's request: no redirect inside httpd meets it again. */
typedef struct ratelimit_decided {
  const ratelimit_line *line;
  rlc_limit limit;
} ratelimit_decided;

/* Whether two lines count in one place for this request, with the limits made of them. */
static int same_counter(const ratelimit_line *line_a, const rlc_limit *a,
                        const ratelimit_line *line_b, const rlc_limit *b) {
  return a->key_len == b->key_len && a->group_len == b->group_len &&
         memcmp(a->key, b->key, a->key_len) == 0 &&
         memcmp(a->group, b->group, a->group_len) == 0 && strcmp(line_a->label, line_b->label) == 0;
}

static int is_decided(const ratelimit_state *state, const ratelimit_line *line,
                      const rlc_limit *limit) {
  for (int i = 0; state->decided != NULL && i < state->decided->nelts; ++i) {
    const ratelimit_decided *d = &APR_ARRAY_IDX(state->decided, i, ratelimit_decided);

    if (d->line == line || same_counter(d->line, &d->limit, line, limit)) {
      return 1;
    }
  }
  return 0;
}

static void note_decided(request_rec *r, ratelimit_state *state, const ratelimit_batch *batch) {
  if (state->decided == NULL) {
    state->decided = apr_array_make(r->pool, batch->n, sizeof(ratelimit_decided));
  }
  for (int i = 0; i < batch->n; ++i) {
    APR_ARRAY_PUSH(state->decided, ratelimit_decided) =
        (ratelimit_decided){batch->lines[i], batch->limits[i]};
  }
}

/* By what a client can gain from it. What the store's URL says is not known here: it comes last
 * but open. */
static rlc_fail stricter(rlc_fail a, rlc_fail b) {
  static const int rank[] = {[RLC_FAIL_DEFAULT] = 1, [RLC_FAIL_LOCAL] = 2, [RLC_FAIL_OPEN] = 0,
                             [RLC_FAIL_CLOSED] = 3};

  return rank[a] >= rank[b] ? a : b;
}

/* Adds a limit. One that is there already, by another line of the same name and with the same key
 * and group, is charged once, at the higher cost. Returns NULL, or what makes them contradict. */
static const char *add_limit(ratelimit_batch *batch, ratelimit_line *line, const rlc_limit *limit) {
  int at = 0;

  while (at < batch->n && !same_counter(batch->lines[at], &batch->limits[at], line, limit)) {
    ++at;
  }
  if (batch->parts == RATELIMIT_MAX_PARTS) {
    return "more lines than one request can have, which is " APR_STRINGIFY(RATELIMIT_MAX_PARTS)
           ": take some away";
  }
  batch->part[batch->parts++] = (ratelimit_part){line, limit->cost, at};
  if (at < batch->n) {
    if (strcmp(rlc_policy_get_text(batch->lines[at]->policy),
               rlc_policy_get_text(line->policy)) != 0) {
      return "two policies under one name, which cannot share a counter: give one another name=";
    }
    if (limit->cost > batch->limits[at].cost) {
      batch->limits[at].cost = limit->cost;
    }
    batch->limits[at].fail = stricter(batch->limits[at].fail, limit->fail);
    return NULL;
  }
  if (batch->n == RLC_MAX_LIMITS) {
    return "more limits than one request can have, which is " APR_STRINGIFY(RLC_MAX_LIMITS)
           ": take some away, or join rates in one policy such as \"10/s,1000/h\"";
  }
  batch->lines[batch->n] = line;
  batch->limits[batch->n] = *limit;
  batch->results[batch->n] = (rlc_result)RLC_RESULT_INIT;
  ++batch->n;
  return NULL;
}

static const char *gather(request_rec *r, const ratelimit_dir_conf *conf, int phase,
                          const ratelimit_state *state, ratelimit_batch *batch) {
  const char *address = NULL;
  const char *why = NULL;
  rlc_limit limit;

  batch->n = 0;
  batch->parts = 0;
  for (int i = 0; i < conf->lines->nelts && why == NULL; ++i) {
    ratelimit_line *line = APR_ARRAY_IDX(conf->lines, i, ratelimit_line *);

    if ((phase == INSIDE || line->late == phase) && !ratelimit_is_own_page(r, conf, line) &&
        ratelimit_make_limit(r, line, &address, &limit) && !is_decided(state, line, &limit)) {
      if (limit.fail == RLC_FAIL_DEFAULT) {
        limit.fail = ratelimit_get_fail(conf);
      }
      why = add_limit(batch, line, &limit);
    }
  }
  return why;
}

/* --- deciding ------------------------------------------------------------------------------ */

ratelimit_state *ratelimit_get_state(request_rec *r) {
  ratelimit_state *state;

  while (r->prev != NULL) {
    r = r->prev;
  }
  state = ap_get_module_config(r->request_config, &ratelimit_redis_module);

  if (state == NULL) {
    state = apr_pcalloc(r->pool, sizeof *state);
    ap_set_module_config(r->request_config, &ratelimit_redis_module, state);
  }
  return state;
}

/* Lines that contradict each other are a mistake of the configuration. A dry run says so too. */
static int log_contradiction(request_rec *r, const char *why, int dry) {
  static volatile apr_uint32_t last;

  if (ratelimit_log_due(&last)) {
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "RLR0008: RateLimit: this request meets %s", why);
  }
  return dry ? DECLINED : HTTP_INTERNAL_SERVER_ERROR;
}

/* Takes what the limits ask for: for good, or until the request has ended. Returns as
 * rlc_limiter_check. */
static int take(request_rec *r, ratelimit_state *state, ratelimit_batch *batch) {
  rlc_lease *lease = NULL;
  int rv;

  batch->decision = (rlc_decision)RLC_DECISION_INIT;
  if (!ratelimit_is_held(batch)) {
    return rlc_limiter_check(ratelimit_limiter(), batch->limits, (size_t)batch->n, batch->results,
                             &batch->decision);
  }
  rv = rlc_limiter_acquire(ratelimit_limiter(), batch->limits, (size_t)batch->n, &lease,
                           batch->results, &batch->decision);
  if (lease != NULL) {
    ratelimit_hold(r, state, batch, lease);
  }
  return rv;
}

static int decide(request_rec *r, const ratelimit_dir_conf *conf, ratelimit_state *state,
                  int phase) {
  ratelimit_batch batch;
  const char *why = gather(r, conf, phase, state, &batch);
  int dry = ratelimit_get_mode(conf) == RATELIMIT_DRY_RUN;
  ratelimit_wait wait = {0};
  apr_uint64_t begun;
  int rv;

  if (why != NULL) {
    return log_contradiction(r, why, dry);
  }
  if (batch.n == 0) {
    return DECLINED;
  }
  do {
    begun = ratelimit_count_clock();
    rv = take(r, state, &batch);
  } while (rv >= 0 && !batch.decision.allowed && !dry && ratelimit_delay(r, &batch, &wait));
  ratelimit_delay_end(r, &batch, &wait);
  if (rv < 0) {
    return log_contradiction(r, "limits that the library does not take", dry);
  }
  ratelimit_journal_forwarded(r, &batch);
  ratelimit_count(&batch, dry, begun);
  note_decided(r, state, &batch);
  ratelimit_tell(r, conf, state, &batch, dry);
  if (batch.decision.allowed) {
    ratelimit_hand_over(r, conf, state, &batch);
    return DECLINED;
  }
  ratelimit_journal_refusal(r, conf, &batch, dry);
  return dry ? DECLINED : ratelimit_refuse(r, conf, state, &batch);
}

/* A subrequest is not counted, nor is the page of an error. */
static int is_inner(const request_rec *r) {
  if (r->main != NULL) {
    return 1;
  }
  for (const request_rec *prev = r->prev; prev != NULL; prev = prev->prev) {
    if (prev->status != HTTP_OK) {
      return 1;
    }
  }
  return 0;
}

/* Conditions are not asked for nothing. */
static int has_lines(const ratelimit_dir_conf *conf, int phase) {
  for (int i = 0; i < conf->lines->nelts; ++i) {
    if (phase == INSIDE || APR_ARRAY_IDX(conf->lines, i, ratelimit_line *)->late == phase) {
      return 1;
    }
  }
  return 0;
}

/* A request is counted once by each limit it meets, on whatever way through httpd: a redirect
 * inside (DirectoryIndex, mod_rewrite) adds the limits of the place that it leads to. */
static int check(request_rec *r, int phase) {
  const ratelimit_dir_conf *conf =
      ap_get_module_config(r->per_dir_config, &ratelimit_redis_module);
  ratelimit_state *state;

  if (conf->lines == NULL || is_inner(r) || ratelimit_get_mode(conf) == RATELIMIT_OFF) {
    return DECLINED;
  }
  state = ratelimit_get_state(r);
  if (phase == INSIDE && state->lines == conf->lines) {
    return DECLINED;
  }
  if (phase != LATE) { /* MultiViews changes the place between the two */
    state->lines = conf->lines;
  }
  if (conf->exempt != NULL && has_lines(conf, phase) && ratelimit_is_exempt(r, conf->exempt)) {
    return DECLINED;
  }
  return decide(r, conf, state, phase);
}

int ratelimit_check_early(request_rec *r) {
  return check(r, EARLY);
}

int ratelimit_check_late(request_rec *r) {
  return check(r, LATE);
}

int ratelimit_check_inside(request_rec *r) {
  return check(r, INSIDE);
}
