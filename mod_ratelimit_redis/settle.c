/* SPDX-License-Identifier: Apache-2.0 */
#include "settle.h"

#include <string.h>

#include <apr_strings.h>
#include <http_protocol.h>
#include <http_request.h>
#include <util_filter.h>

#include "key.h"
#include "text.h"
#include "wire.h"

/* One decision's. */
typedef struct held {
  rlc_lease *lease; /* NULL: settled */
  int parts;
  ratelimit_part part[];
} held;

struct ratelimit_dues {
  request_rec *first;        /* the client's request */
  apr_array_header_t *all;   /* held * */
  ratelimit_wire *wire;      /* NULL: no limit charges bytes */
  apr_table_t *removed;      /* fields that were taken out of the answer; NULL: none is to be */
};

/* --- what an answer costs ------------------------------------------------------------------ */

/* The request that was answered in the end. */
static request_rec *last_of(request_rec *r) {
  while (r->next != NULL) {
    r = r->next;
  }
  return r;
}

/* A field of the application's. Where its answer was an error that a page stands for, it is on the
 * request before. */
static const char *find_field(const ratelimit_dues *dues, const char *name) {
  const char *value = dues->removed != NULL ? apr_table_get(dues->removed, name) : NULL;

  for (const request_rec *r = last_of(dues->first); r != NULL && value == NULL; r = r->prev) {
    value = apr_table_get(r->headers_out, name);
    value = value != NULL ? value : apr_table_get(r->err_headers_out, name);
  }
  return value;
}

static void log_bad_charge(request_rec *r, const ratelimit_line *line, const char *what) {
  static volatile apr_uint32_t last;

  if (ratelimit_log_due(&last)) {
    ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                  "RLR0016: charge= of the limit %s (%s:%d) gave %s: what cost= reserved is charged",
                  line->label, line->file, line->file_line, what);
  }
}

/* An answer without a number charges what was reserved; so does one with something else, which is
 * logged. */
static apr_uint64_t read_units(request_rec *r, const ratelimit_line *line, const char *text,
                               apr_uint64_t reserved) {
  apr_uint32_t units;

  if (text == NULL || *text == '\0') {
    return reserved;
  }
  if (!ratelimit_parse_cost(text, RLC_MAX_QUOTA, &units)) {
    log_bad_charge(r, line, "no whole number from 0 up");
    return reserved;
  }
  return units;
}

static apr_uint64_t evaluate(request_rec *r, const ratelimit_line *line, apr_uint64_t reserved) {
  const char *err = NULL;
  const char *text = ap_expr_str_exec(r, line->charge.expr, &err);

  if (err != NULL) {
    log_bad_charge(r, line, "no value");
    return reserved;
  }
  return read_units(r, line, text, reserved);
}

static apr_uint64_t divide_up(apr_uint64_t n, apr_uint64_t by) {
  return n / by + (n % by != 0);
}

static apr_uint64_t find_units(const ratelimit_dues *dues, const ratelimit_part *part) {
  const ratelimit_charge *charge = &part->line->charge;
  request_rec *r = last_of(dues->first);
  apr_time_t took;

  switch (charge->kind) {
  case RATELIMIT_CHARGE_STATUS:
    return ratelimit_has_status(&charge->statuses, r->status) ? part->cost : 0;
  case RATELIMIT_CHARGE_BYTES:
    return ratelimit_wire_bytes(dues->wire);
  case RATELIMIT_CHARGE_KBYTES:
    return divide_up(ratelimit_wire_bytes(dues->wire), 1000);
  case RATELIMIT_CHARGE_TIME:
    took = apr_time_now() - dues->first->request_time;
    return took > 0 ? divide_up((apr_uint64_t)took, 1000) : 0;
  case RATELIMIT_CHARGE_HEADER:
    return read_units(r, part->line, find_field(dues, charge->header), part->cost);
  case RATELIMIT_CHARGE_EXPR:
    return evaluate(r, part->line, part->cost);
  default:
    return part->cost;
  }
}

/* --- settling ------------------------------------------------------------------------------ */

/* Lines that are one limit charge what the dearest of them does. */
static void settle_one(const ratelimit_dues *dues, held *h) {
  rlc_lease *lease = h->lease;
  uint64_t costs[RLC_MAX_LIMITS] = {0};

  h->lease = NULL;
  for (int i = 0; i < h->parts; ++i) {
    apr_uint64_t units = find_units(dues, &h->part[i]);
    uint64_t *cost = &costs[h->part[i].at];

    units = units < RLC_MAX_QUOTA ? units : RLC_MAX_QUOTA;
    *cost = units > *cost ? units : *cost;
  }
  /* Where the store does not answer, what was reserved stays charged, and slots end by themselves.
   * The library logs that, and nobody is left here to be told. */
  (void)rlc_lease_commit(lease, costs);
  rlc_lease_del(lease);
}

static void settle(ratelimit_dues *dues) {
  for (int i = 0; i < dues->all->nelts; ++i) {
    held *h = APR_ARRAY_IDX(dues->all, i, held *);

    if (h->lease != NULL) {
      settle_one(dues, h);
    }
  }
}

/* Runs also for requests without an answer: for those whose client has left, and at timeouts. */
static int settle_logged(request_rec *r) {
  ratelimit_state *state = ap_get_module_config(r->request_config, &ratelimit_redis_module);

  if (state != NULL && state->dues != NULL) {
    settle(state->dues);
  }
  return DECLINED;
}

/* A request that was never logged: nobody knows its answer. Reservations stay charged. */
static apr_status_t settle_forgotten(void *data) {
  ratelimit_dues *dues = data;

  for (int i = 0; i < dues->all->nelts; ++i) {
    held *h = APR_ARRAY_IDX(dues->all, i, held *);

    if (h->lease != NULL) {
      (void)rlc_lease_commit(h->lease, NULL);
      rlc_lease_del(h->lease);
      h->lease = NULL;
    }
  }
  return APR_SUCCESS;
}

/* --- fields that are taken out ------------------------------------------------------------- */

static ap_filter_rec_t *remove_filter;

static void take_out(ratelimit_dues *dues, apr_table_t *fields, const char *name) {
  const char *value = apr_table_get(fields, name);

  if (value != NULL) {
    apr_table_set(dues->removed, name, value);
    apr_table_unset(fields, name);
  }
}

static apr_status_t remove_fields(ap_filter_t *f, apr_bucket_brigade *bb) {
  ratelimit_dues *dues = f->ctx;

  for (int i = 0; i < dues->all->nelts; ++i) {
    const held *h = APR_ARRAY_IDX(dues->all, i, held *);

    for (int j = 0; j < h->parts; ++j) {
      const ratelimit_charge *charge = &h->part[j].line->charge;

      if (charge->removes) {
        take_out(dues, f->r->err_headers_out, charge->header);
        take_out(dues, f->r->headers_out, charge->header);
      }
    }
  }
  ap_remove_output_filter(f);
  return ap_pass_brigade(f->next, bb);
}

/* Each request that httpd makes of the client's has filters of its own. */
static void insert_remover(request_rec *r) {
  request_rec *first = r;
  const ratelimit_state *state;

  while (first->prev != NULL) {
    first = first->prev;
  }
  state = ap_get_module_config(first->request_config, &ratelimit_redis_module);
  if (r->main != NULL || state == NULL || state->dues == NULL || state->dues->removed == NULL) {
    return;
  }
  for (const ap_filter_t *f = r->output_filters; f != NULL; f = f->next) {
    if (f->frec == remove_filter) {
      return;
    }
  }
  ap_add_output_filter_handle(remove_filter, state->dues, r, r->connection);
}

/* --- holding ------------------------------------------------------------------------------- */

static int is_slot(const ratelimit_line *line) {
  return rlc_policy_get_algorithm(line->policy) == RLC_CONCURRENCY;
}

int ratelimit_is_held(const ratelimit_batch *batch) {
  for (int i = 0; i < batch->parts; ++i) {
    const ratelimit_line *line = batch->part[i].line;

    if (line->charge.kind != RATELIMIT_CHARGE_NONE || is_slot(line)) {
      return 1;
    }
  }
  return 0;
}

static ratelimit_dues *make_dues(ratelimit_state *state, request_rec *first) {
  if (state->dues == NULL) {
    state->dues = apr_pcalloc(first->pool, sizeof *state->dues);
    state->dues->first = first;
    state->dues->all = apr_array_make(first->pool, 2, sizeof(held *));
    apr_pool_cleanup_register(first->pool, state->dues, settle_forgotten, apr_pool_cleanup_null);
  }
  return state->dues;
}

void ratelimit_hold(request_rec *r, ratelimit_state *state, const ratelimit_batch *batch,
                    rlc_lease *lease) {
  request_rec *first = r;
  ratelimit_dues *dues;
  int slots = 0;
  held *h;

  while (first->prev != NULL) {
    first = first->prev;
  }
  dues = make_dues(state, first);
  h = apr_palloc(first->pool, sizeof *h + (apr_size_t)batch->parts * sizeof h->part[0]);
  h->lease = lease;
  h->parts = batch->parts;
  memcpy(h->part, batch->part, (apr_size_t)batch->parts * sizeof h->part[0]);
  APR_ARRAY_PUSH(dues->all, held *) = h;
  for (int i = 0; i < h->parts; ++i) {
    const ratelimit_charge *charge = &h->part[i].line->charge;

    slots = slots || is_slot(h->part[i].line);
    if (dues->wire == NULL && (charge->kind == RATELIMIT_CHARGE_BYTES ||
                               charge->kind == RATELIMIT_CHARGE_KBYTES)) {
      dues->wire = ratelimit_wire_start(r);
    }
    if (dues->removed == NULL && charge->removes) {
      dues->removed = apr_table_make(first->pool, 2);
    }
  }
  if (slots) {
    (void)rlc_lease_keep(lease); /* else they end with the policy's window, by law */
  }
  if (dues->removed != NULL) {
    insert_remover(r); /* the phase that inserts filters may have passed */
  }
}

void ratelimit_register_settle(apr_pool_t *pool) {
  ratelimit_register_wire(pool);
  /* First, so that logs do not wait for others, and a module that ends the phase ends nothing here. */
  ap_hook_log_transaction(settle_logged, NULL, NULL, APR_HOOK_REALLY_FIRST);
  ap_hook_insert_filter(insert_remover, NULL, NULL, APR_HOOK_LAST);
  ap_hook_insert_error_filter(insert_remover, NULL, NULL, APR_HOOK_LAST);
  /* Behind a cache, so that what it has stored is charged too, and before the head is written. */
  remove_filter = ap_register_output_filter("RATELIMIT_REMOVE", remove_fields, NULL,
                                            (ap_filter_type)(AP_FTYPE_PROTOCOL - 1));
}
