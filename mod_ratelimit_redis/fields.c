/* SPDX-License-Identifier: Apache-2.0 */
#include "fields.h"

#include <apr_strings.h>

/* err_headers_out goes with every answer: errors, and what an internal redirect leads to. */
static void set_field(request_rec *r, const char *name, const char *value) {
  apr_table_setn(r->err_headers_out, name, value);
}

static const char *append(apr_pool_t *pool, const char *list, const char *more) {
  return list == NULL ? more : apr_pstrcat(pool, list, ", ", more, NULL);
}

/* While a fail policy passes or refuses everything, what is left of a quota is not known. Of a ban it is
 * told when it ends: nothing is left until then. */
static int is_counted(rlc_source source) {
  return source == RLC_SOURCE_STORE || source == RLC_SOURCE_FALLBACK || source == RLC_SOURCE_BAN;
}

/* --- draft-08, a list ---------------------------------------------------------------------- */

static const char *format_item(request_rec *r, int headers, const ratelimit_batch *batch, int i) {
  const ratelimit_server_conf *server =
      ap_get_module_config(r->server->module_config, &ratelimit_redis_module);
  char item[96];
  char partition[32] = "";
  size_t len = rlc_http_format_limit(item, sizeof item, batch->lines[i]->label,
                                     &batch->results[i]);

  if (headers & RATELIMIT_HEADERS_PK) {
    rlc_http_format_partition(partition, sizeof partition, server->secret, server->secret_len,
                              &batch->limits[i]);
  }
  return apr_pstrcat(r->pool, len < sizeof item ? item : "", partition, NULL);
}

static void send_draft_08(request_rec *r, int headers, ratelimit_state *state,
                          const ratelimit_batch *batch) {
  for (int i = 0; i < batch->n; ++i) {
    state->policy_field = append(r->pool, state->policy_field, batch->lines[i]->policy_items);
    if (is_counted(batch->results[i].source)) {
      state->limit_field = append(r->pool, state->limit_field, format_item(r, headers, batch, i));
    }
  }
  set_field(r, "RateLimit-Policy", state->policy_field);
  if (state->limit_field != NULL) {
    set_field(r, "RateLimit", state->limit_field);
  }
}

/* --- the generations that tell of one limit ------------------------------------------------ */

static void send_quotas(request_rec *r, ratelimit_state *state, const ratelimit_batch *batch) {
  for (int i = 0; i < batch->n; ++i) {
    state->policy_field = append(r->pool, state->policy_field, batch->lines[i]->quota_items);
  }
  set_field(r, "RateLimit-Policy", state->policy_field);
}

static void send_draft_07(request_rec *r, const rlc_result *result) {
  char text[80];

  rlc_http_format_draft_07(text, sizeof text, result);
  set_field(r, "RateLimit", apr_pstrdup(r->pool, text));
}

static void send_draft_06(request_rec *r, const rlc_result *result) {
  static const char *const names[] = {"RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"};
  char text[24];

  for (int part = RLC_HTTP_LIMIT; part <= RLC_HTTP_RESET; ++part) {
    rlc_http_format_draft_06(text, sizeof text, (rlc_http_part)part, result);
    set_field(r, names[part - RLC_HTTP_LIMIT], apr_pstrdup(r->pool, text));
  }
}

static void send_x_ratelimit(request_rec *r, int epoch, const rlc_result *result) {
  static const char *const names[] = {"X-RateLimit-Limit", "X-RateLimit-Remaining",
                                      "X-RateLimit-Reset"};
  char text[24];

  for (int part = RLC_HTTP_LIMIT; part <= RLC_HTTP_RESET; ++part) {
    if (epoch) {
      rlc_http_format_x_ratelimit_epoch(text, sizeof text, (rlc_http_part)part, result,
                                        apr_time_now());
    } else {
      rlc_http_format_x_ratelimit(text, sizeof text, (rlc_http_part)part, result);
    }
    set_field(r, names[part - RLC_HTTP_LIMIT], apr_pstrdup(r->pool, text));
  }
}

/* --- fields of this module ----------------------------------------------------------------- */

/* Whether so much of the quota is used that the answer warns. */
static int nears_limit(const ratelimit_dir_conf *conf, const ratelimit_line *line,
                       const rlc_result *result) {
  apr_uint64_t warn = (apr_uint64_t)(line->warn >= 0 ? line->warn : ratelimit_get_warn(conf));

  return warn > 0 && result->allowed && is_counted(result->source) &&
         result->remaining <= result->limit &&
         (result->limit - result->remaining) * 100 >= result->limit * warn;
}

/* Tells, in a field and in environment and notes, of the limits that refuse, or else of those that are
 * nearly used up. The second decision on a request adds to the first. Labels have no character that a
 * string would escape. */
static void send_labels(request_rec *r, const ratelimit_dir_conf *conf, const char *field,
                        const char *variable, const ratelimit_batch *batch, int refusing) {
  const char *strings = NULL;
  const char *names = NULL;

  for (int i = 0; i < batch->n; ++i) {
    const rlc_result *result = &batch->results[i];

    if (refusing ? !result->allowed : nears_limit(conf, batch->lines[i], result)) {
      const char *label = batch->lines[i]->label;

      names = append(r->pool, names, label);
      strings = append(r->pool, strings, apr_pstrcat(r->pool, "\"", label, "\"", NULL));
    }
  }
  if (names == NULL) {
    return;
  }
  apr_table_mergen(r->subprocess_env, variable, names);
  apr_table_mergen(r->notes, variable, names);
  if (ratelimit_get_headers(conf) == RATELIMIT_HEADERS_OFF) {
    return;
  }
  apr_table_mergen(r->err_headers_out, field, strings);
  if (ratelimit_get_expose(conf) && apr_table_get(r->headers_in, "Origin") != NULL) {
    apr_table_mergen(r->err_headers_out, "Access-Control-Expose-Headers", field);
  }
}

/* --- for scripts of other origins (CORS) --------------------------------------------------- */

/* Scripts see only what this names. Where the site has named others it adds to them. */
static void expose(request_rec *r, int headers) {
  static const struct {
    int bits;
    const char *names;
  } forms[] = {
      {RATELIMIT_HEADERS_DRAFT_08 | RATELIMIT_HEADERS_DRAFT_07, "RateLimit, RateLimit-Policy"},
      {RATELIMIT_HEADERS_DRAFT_06,
       "RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, RateLimit-Policy"},
      {RATELIMIT_HEADERS_X | RATELIMIT_HEADERS_X_EPOCH,
       "X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset"}};
  const char *names = "Retry-After";

  if (apr_table_get(r->headers_in, "Origin") == NULL) {
    return;
  }
  for (size_t i = 0; i < sizeof forms / sizeof forms[0]; ++i) {
    if (headers & forms[i].bits) {
      names = append(r->pool, names, forms[i].names);
    }
  }
  apr_table_mergen(r->err_headers_out, "Access-Control-Expose-Headers", names);
}

void ratelimit_send_fields(request_rec *r, const ratelimit_dir_conf *conf, ratelimit_state *state,
                           const ratelimit_batch *batch, int binds, int dry) {
  const rlc_result *result = &batch->decision.result;
  int headers = ratelimit_get_headers(conf);
  int tells = binds && is_counted(batch->decision.source);

  if (ratelimit_get_expose(conf) && !state->exposed) {
    state->exposed = 1;
    expose(r, headers);
  }
  if (headers & RATELIMIT_HEADERS_DRAFT_08) {
    send_draft_08(r, headers, state, batch);
  } else if (headers & (RATELIMIT_HEADERS_DRAFT_07 | RATELIMIT_HEADERS_DRAFT_06)) {
    send_quotas(r, state, batch);
  }
  if (headers & RATELIMIT_HEADERS_DRAFT_07 && tells) {
    send_draft_07(r, result);
  }
  if (headers & RATELIMIT_HEADERS_DRAFT_06 && tells) {
    send_draft_06(r, result);
  }
  if (headers & (RATELIMIT_HEADERS_X | RATELIMIT_HEADERS_X_EPOCH) && tells) {
    send_x_ratelimit(r, (headers & RATELIMIT_HEADERS_X_EPOCH) != 0, result);
  }
  if (batch->decision.allowed) {
    send_labels(r, conf, "X-RateLimit-Warning", "RATELIMIT_WARNING", batch, 0);
  } else if (dry) {
    send_labels(r, conf, "X-RateLimit-Dry-Run", "RATELIMIT_DRY_RUN", batch, 1);
  }
}
