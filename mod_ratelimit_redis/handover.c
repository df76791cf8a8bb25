/* SPDX-License-Identifier: Apache-2.0 */
#include "handover.h"

#include <apr_tables.h>
#include <http_protocol.h>
#include <http_request.h>

static const char field[] = "RateLimit-Charged";
static const char variable[] = "RATELIMIT_CHARGED";

/* No client tells an application what has been charged. Some applications take "_" for "-". */
static int remove_forged(request_rec *r) {
  apr_table_unset(r->headers_in, field);
  apr_table_unset(r->headers_in, "RateLimit_Charged");
  return DECLINED;
}

/* Counted by the store, or in its place by this machine. A folder's own counters (.htaccess) mean
 * nothing to others. */
static int is_charged(const ratelimit_batch *batch, int i) {
  rlc_source source = batch->results[i].source;

  return batch->lines[i]->scope == NULL &&
         (source == RLC_SOURCE_STORE || source == RLC_SOURCE_FALLBACK);
}

static void set_field(request_rec *r, const ratelimit_state *state) {
  const ratelimit_server_conf *server =
      ap_get_module_config(r->server->module_config, &ratelimit_redis_module);
  char text[RLC_CHARGED_SIZE];
  size_t len = rlc_http_format_charged(text, sizeof text, server->secret, server->secret_len,
                                       (const rlc_limit *)state->charged->elts,
                                       (size_t)state->charged->nelts, apr_time_now());

  if (len > 0 && len < sizeof text) {
    apr_table_set(r->headers_in, field, text);
  }
}

static void set_variable(request_rec *r, const ratelimit_state *state) {
  const ratelimit_server_conf *server =
      ap_get_module_config(r->server->module_config, &ratelimit_redis_module);
  char text[RLC_CHARGED_SIZE];
  size_t len = rlc_http_format_charged(text, sizeof text, server->secret, server->secret_len,
                                       (const rlc_limit *)state->charged->elts,
                                       (size_t)state->charged->nelts, RLC_NEVER);

  if (len > 0 && len < sizeof text) {
    apr_table_set(r->subprocess_env, variable, text);
  }
}

void ratelimit_hand_over(request_rec *r, const ratelimit_dir_conf *conf, ratelimit_state *state,
                         const ratelimit_batch *batch) {
  request_rec *first = r;

  while (first->prev != NULL) {
    first = first->prev;
  }
  if (state->charged == NULL) {
    state->charged = apr_array_make(first->pool, batch->n, sizeof(rlc_limit));
  }
  for (int i = 0; i < batch->n && state->charged->nelts < RLC_MAX_LIMITS; ++i) {
    if (is_charged(batch, i)) {
      rlc_limit *limit = apr_array_push(state->charged);

      *limit = batch->limits[i];
      limit->name = batch->lines[i]->label;
    }
  }
  if (state->charged->nelts == 0) {
    return;
  }
  set_variable(r, state);
  if (ratelimit_get_forward(conf)) {
    set_field(r, state);
  }
}

/* A redirect inside httpd renames the variables of the request before it (REDIRECT_...). */
static int hand_on(request_rec *r) {
  const ratelimit_state *state;
  request_rec *first = r;

  if (r->prev == NULL || r->main != NULL) {
    return DECLINED;
  }
  while (first->prev != NULL) {
    first = first->prev;
  }
  state = ap_get_module_config(first->request_config, &ratelimit_redis_module);
  if (state != NULL && state->charged != NULL && state->charged->nelts > 0) {
    set_variable(r, state);
  }
  return DECLINED;
}

void ratelimit_register_handover(apr_pool_t *pool) {
  (void)pool;
  ap_hook_post_read_request(remove_forged, NULL, NULL, APR_HOOK_REALLY_FIRST);
  ap_hook_fixups(hand_on, NULL, NULL, APR_HOOK_LAST);
}
