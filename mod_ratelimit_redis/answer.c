/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"

#include <ap_mpm.h>
#include <apr_strings.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mod_core.h>
#include <util_filter.h>

#include "fields.h"
#include "text.h"

/* A refusal by fail policy: nobody knows when the store is back, and the clients should not come
 * back all at once. */
enum { BACK_SOON_S = 1, BACK_LATE_S = 5 };

/* --- environment --------------------------------------------------------------------------- */

static void set_both(request_rec *r, const char *name, const char *value) {
  apr_table_setn(r->subprocess_env, name, value);
  apr_table_setn(r->notes, name, value);
}

static const char *number(request_rec *r, apr_uint64_t n) {
  return apr_off_t_toa(r->pool, (apr_off_t)n);
}

/* For applications, and for LogFormat ("%{RATELIMIT_SOURCE}n"): the limit that binds. */
static void set_environment(request_rec *r, const ratelimit_batch *batch) {
  const rlc_decision *decision = &batch->decision;
  const rlc_result *result = &decision->result;
  apr_int64_t reset = result->reset_us > 0 ? result->reset_us : 0;

  set_both(r, "RATELIMIT_ALLOWED", decision->allowed ? "1" : "0");
  set_both(r, "RATELIMIT_SOURCE", rlc_source_name(decision->source));
  set_both(r, "RATELIMIT_NAME", batch->lines[decision->index]->label);
  set_both(r, "RATELIMIT_LIMIT", number(r, result->limit));
  set_both(r, "RATELIMIT_REMAINING", number(r, result->remaining));
  set_both(r, "RATELIMIT_RESET", number(r, (apr_uint64_t)(reset + 999999) / 1000000));
}

void ratelimit_tell(request_rec *r, const ratelimit_dir_conf *conf, ratelimit_state *state,
                    const ratelimit_batch *batch, int dry) {
  const rlc_decision *decision = &batch->decision;
  /* The second decision on a request is told of where it binds more than the first. */
  int binds =
      !state->told || !decision->allowed || decision->result.remaining < state->remaining;

  ratelimit_send_fields(r, conf, state, batch, binds, dry);
  if (binds) {
    set_environment(r, batch);
    state->told = 1;
    state->remaining = decision->allowed ? decision->result.remaining : 0;
  }
}

/* --- refusals ------------------------------------------------------------------------------ */

/* A line in .htaccess says how its own refusals look, but keeps no connection that the server ends. */
static ratelimit_refusal find_refusal(const ratelimit_dir_conf *conf, const ratelimit_line *line) {
  ratelimit_refusal refusal = ratelimit_merge_refusal(conf->refusal, line->refusal);

  if (line->scope != NULL && conf->refusal.close > 0) {
    refusal.close = 1;
  }
  return refusal;
}

int ratelimit_is_own_page(const request_rec *r, const ratelimit_dir_conf *conf,
                          const ratelimit_line *line) {
  ratelimit_refusal refusal;

  if (conf->refusal.redirect == NULL && line->refusal.redirect == NULL) {
    return 0;
  }
  refusal = find_refusal(conf, line);
  return ratelimit_is_page(r, &refusal);
}

/* One limit that asks for it is enough. */
static int ends_connection(const ratelimit_dir_conf *conf, const ratelimit_batch *batch) {
  for (int i = 0; i < batch->n; ++i) {
    ratelimit_refusal refusal = find_refusal(conf, batch->lines[i]);

    if (!batch->results[i].allowed && ratelimit_get_close(&refusal)) {
      return 1;
    }
  }
  return 0;
}

static rlc_problem find_problem(rlc_source source) {
  if (source == RLC_SOURCE_FAIL_CLOSED) {
    return RLC_PROBLEM_REDUCED_CAPACITY;
  }
  return source == RLC_SOURCE_BAN ? RLC_PROBLEM_ABNORMAL_USAGE : RLC_PROBLEM_QUOTA_EXCEEDED;
}

static const char *format_problem(request_rec *r, int status, const ratelimit_batch *batch) {
  rlc_problem problem = find_problem(batch->decision.source);
  const char *names[RLC_MAX_LIMITS];
  size_t n = 0;
  char usual[1024]; /* enough for a few names */
  size_t size;
  char *body;

  for (int i = 0; i < batch->n; ++i) {
    if (!batch->results[i].allowed) {
      names[n++] = batch->lines[i]->label;
    }
  }
  size = rlc_http_format_problem(usual, sizeof usual, problem, status, names, n) + 1;
  if (size <= sizeof usual) {
    return apr_pstrmemdup(r->pool, usual, size - 1);
  }
  body = apr_palloc(r->pool, size);
  rlc_http_format_problem(body, size, problem, status, names, n);
  return body;
}

static void set_retry_after(request_rec *r, const ratelimit_batch *batch) {
  char seconds[24];

  if (batch->decision.source == RLC_SOURCE_FAIL_CLOSED) {
    apr_table_set(r->err_headers_out, "Retry-After",
                  apr_itoa(r->pool, (int)ap_random_pick(BACK_SOON_S, BACK_LATE_S)));
  } else if (rlc_http_format_retry_after(seconds, sizeof seconds,
                                         batch->decision.result.retry_us) > 0) {
    apr_table_set(r->err_headers_out, "Retry-After", seconds);
  }
}

int ratelimit_refuse(request_rec *r, const ratelimit_dir_conf *conf, ratelimit_state *state,
                     const ratelimit_batch *batch) {
  ratelimit_refusal refusal = find_refusal(conf, batch->lines[batch->decision.index]);
  int by_quota = batch->decision.source != RLC_SOURCE_FAIL_CLOSED;
  int wants_problem = ratelimit_wants_problem(apr_table_get(r->headers_in, "Accept"));
  const char *page = by_quota && !wants_problem ? ratelimit_find_page(r, &refusal) : NULL;

  /* RFC 6585, section 4: such an answer must not be stored by a cache. */
  apr_table_setn(r->err_headers_out, "Cache-Control", "no-store");
  if (ends_connection(conf, batch)) {
    r->connection->keepalive = AP_CONN_CLOSE;
  }
  if (page != NULL) {
    /* 303 makes a GET of every method. It has no Retry-After, which would ask to wait before the
     * page (RFC 9110, section 10.2.3). */
    apr_table_setn(r->headers_out, "Location", page);
    state->refused = HTTP_SEE_OTHER;
    return state->refused;
  }
  state->refused = by_quota ? ratelimit_get_status(&refusal) : HTTP_SERVICE_UNAVAILABLE;
  set_retry_after(r, batch);
  if (wants_problem) {
    state->problem = format_problem(r, state->refused, batch);
  }
  return state->refused;
}

int ratelimit_refuse_load(request_rec *r, ratelimit_state *state) {
  char body[512];
  int async = 0;

  apr_table_setn(r->err_headers_out, "Cache-Control", "no-store");
  apr_table_set(r->err_headers_out, "Retry-After",
                apr_itoa(r->pool, (int)ap_random_pick(BACK_SOON_S, BACK_LATE_S)));
  /* Where a connection that is kept has a worker, that worker is what is missing. */
  if (ap_mpm_query(AP_MPMQ_IS_ASYNC, &async) != APR_SUCCESS || !async) {
    r->connection->keepalive = AP_CONN_CLOSE;
  }
  state->refused = HTTP_SERVICE_UNAVAILABLE;
  if (ratelimit_wants_problem(apr_table_get(r->headers_in, "Accept"))) {
    rlc_http_format_problem(body, sizeof body, RLC_PROBLEM_REDUCED_CAPACITY, state->refused, NULL, 0);
    state->problem = apr_pstrdup(r->pool, body);
  }
  return state->refused;
}

/* --- the body in problem+json -------------------------------------------------------------- */

static ap_filter_rec_t *problem_filter;

/* Stands in front of the page that httpd makes of an error: takes the page away, and sends the body
 * in its place when the page ends. */
static apr_status_t send_problem(ap_filter_t *f, apr_bucket_brigade *page) {
  request_rec *r = f->r;
  const char *body = f->ctx;
  apr_size_t len = strlen(body);
  apr_bucket *next;
  int ends = 0;

  for (apr_bucket *b = APR_BRIGADE_FIRST(page); b != APR_BRIGADE_SENTINEL(page); b = next) {
    next = APR_BUCKET_NEXT(b);
    if (APR_BUCKET_IS_EOS(b)) {
      ends = 1;
    } else if (!APR_BUCKET_IS_METADATA(b) || APR_BUCKET_IS_FLUSH(b)) {
      apr_bucket_delete(b);
    }
  }
  if (!ends) {
    apr_brigade_cleanup(page);
    return APR_SUCCESS;
  }
  ap_set_content_type(r, "application/problem+json");
  ap_set_content_length(r, (apr_off_t)len);
  if (!r->header_only) {
    APR_BRIGADE_INSERT_HEAD(page, apr_bucket_pool_create(body, len, r->pool,
                                                         r->connection->bucket_alloc));
  }
  ap_remove_output_filter(f);
  return ap_pass_brigade(f->next, page);
}

/* httpd is about to send an error. If it is our refusal, unless an ErrorDocument says how it shall
 * look, we send our own body. */
static void insert_problem(request_rec *r) {
  request_rec *first = r;
  const ratelimit_state *state;

  while (first->prev != NULL) {
    first = first->prev;
  }
  state = ap_get_module_config(first->request_config, &ratelimit_redis_module);
  if (r->main != NULL || state == NULL || state->problem == NULL || r->status != state->refused ||
      ap_response_code_string(r, ap_index_of_response(r->status)) != NULL) {
    return;
  }
  ap_add_output_filter_handle(problem_filter, (void *)(uintptr_t)state->problem, r, r->connection);
}

void ratelimit_register_answer(apr_pool_t *pool) {
  (void)pool;
  problem_filter = ap_register_output_filter("RATELIMIT_PROBLEM", send_problem, NULL,
                                             AP_FTYPE_RESOURCE);
  /* An error's filters are the only place where its body can be replaced and its headers kept. */
  ap_hook_insert_error_filter(insert_problem, NULL, NULL, APR_HOOK_LAST);
}
