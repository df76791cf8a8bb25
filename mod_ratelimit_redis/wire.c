/* SPDX-License-Identifier: Apache-2.0 */
#include "wire.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <strings.h>

#include <util_filter.h>

/* Marks travel through connections with the data, and may outlive the request where those throw
 * them away late, or by another thread: so the last who knows the counter frees it. */
struct ratelimit_wire {
  atomic_uint users;
  atomic_int ended;    /* the request: nobody counts any more, and |connection| may be gone */
  int in_body;         /* the head of the answer has been written */
  atomic_ullong bytes;
  const conn_rec *connection;
};

typedef struct mark {
  ratelimit_wire *wire;
  apr_size_t bytes; /* that follow it */
} mark;

static void leave(ratelimit_wire *wire) {
  if (atomic_fetch_sub(&wire->users, 1) == 1) {
    free(wire);
  }
}

/* --- marks --------------------------------------------------------------------------------- */

/* Whoever writes to the network destroys each bucket once it is written, a mark when its turn comes.
 * Where the client has gone all are destroyed, after httpd has noted that it has. */
static void pass_mark(void *data) {
  mark *m = data;

  if (!atomic_load(&m->wire->ended) && !m->wire->connection->aborted) {
    atomic_fetch_add_explicit(&m->wire->bytes, m->bytes, memory_order_relaxed);
  }
  leave(m->wire);
  apr_bucket_free(m);
}

static apr_status_t read_mark(apr_bucket *b, const char **text, apr_size_t *len,
                              apr_read_type_e block) {
  (void)b;
  (void)block;
  *text = NULL;
  *len = 0;
  return APR_SUCCESS;
}

static const apr_bucket_type_t mark_type = {"RATELIMIT_MARK",          5,
                                            APR_BUCKET_METADATA,       pass_mark,
                                            read_mark,                 apr_bucket_setaside_noop,
                                            apr_bucket_split_notimpl,  apr_bucket_copy_notimpl};

static mark *insert_mark(ratelimit_wire *wire, apr_bucket *before) {
  apr_bucket *b = apr_bucket_alloc(sizeof *b, before->list);
  mark *m = apr_bucket_alloc(sizeof *m, before->list);

  atomic_fetch_add(&wire->users, 1);
  m->wire = wire;
  m->bytes = 0;
  APR_BUCKET_INIT(b);
  b->list = before->list;
  b->free = apr_bucket_free;
  b->type = &mark_type;
  b->length = 0;
  b->start = -1;
  b->data = m;
  APR_BUCKET_INSERT_BEFORE(before, b);
  return m;
}

/* --- the filter ---------------------------------------------------------------------------- */

static ap_filter_rec_t *wire_filter;

/* httpd writes the head of an answer by a filter that is then taken away; some answers are that alone. */
static int is_head(const ap_filter_t *f) {
  static const char head_filter[] = "http_header";

  if (f->r->header_only || AP_STATUS_IS_HEADER_ONLY(f->r->status)) {
    return 1;
  }
  for (const ap_filter_t *other = f->r->output_filters; other != f && other != NULL;
       other = other->next) {
    if (strcasecmp(other->frec->name, head_filter) == 0) {
      return 1;
    }
  }
  return 0;
}

/* A pipe tells its length when it is read. */
static apr_status_t know_length(apr_bucket *b) {
  const char *text;
  apr_size_t len;

  return b->length == (apr_size_t)-1 ? apr_bucket_read(b, &text, &len, APR_BLOCK_READ)
                                     : APR_SUCCESS;
}

/* Puts a mark before each piece of data, and cuts large ones up. */
static apr_status_t mark_all(ap_filter_t *f, apr_bucket_brigade *bb) {
  ratelimit_wire *wire = f->ctx;
  mark *m = NULL;

  for (apr_bucket *b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb);
       b = APR_BUCKET_NEXT(b)) {
    apr_status_t rv = APR_BUCKET_IS_METADATA(b) ? APR_SUCCESS : know_length(b);

    if (rv != APR_SUCCESS) {
      return rv;
    }
    if (APR_BUCKET_IS_METADATA(b)) {
      continue;
    }
    if (m == NULL || m->bytes >= RATELIMIT_WIRE_STEP) {
      m = insert_mark(wire, b);
    }
    if (b->length > RATELIMIT_WIRE_STEP - m->bytes) {
      apr_bucket_split(b, RATELIMIT_WIRE_STEP - m->bytes);
    }
    m->bytes += b->length;
  }
  return ap_pass_brigade(f->next, bb);
}

/* A stream of HTTP/2 ends its request when the connection has taken the last of it, and the connection
 * takes no more than it has room for: here a piece counts when its turn comes to be handed over. */
static apr_status_t pass_in_steps(ap_filter_t *f, apr_bucket_brigade *bb) {
  ratelimit_wire *wire = f->ctx;
  apr_bucket_brigade *step = apr_brigade_create(f->r->pool, f->c->bucket_alloc);
  apr_status_t rv = APR_SUCCESS;

  while (rv == APR_SUCCESS && !APR_BRIGADE_EMPTY(bb) && !f->c->aborted) {
    apr_size_t bytes = 0;

    while (!APR_BRIGADE_EMPTY(bb) && bytes < RATELIMIT_WIRE_STEP && rv == APR_SUCCESS) {
      apr_bucket *b = APR_BRIGADE_FIRST(bb);

      if (!APR_BUCKET_IS_METADATA(b)) {
        rv = know_length(b);
        if (rv == APR_SUCCESS && b->length > RATELIMIT_WIRE_STEP - bytes) {
          apr_bucket_split(b, RATELIMIT_WIRE_STEP - bytes);
        }
        bytes += rv == APR_SUCCESS ? b->length : 0;
      }
      APR_BUCKET_REMOVE(b);
      APR_BRIGADE_INSERT_TAIL(step, b);
    }
    atomic_fetch_add(&wire->bytes, bytes);
    if (rv == APR_SUCCESS) {
      rv = ap_pass_brigade(f->next, step);
    }
    apr_brigade_cleanup(step);
  }
  return rv == APR_SUCCESS && f->c->aborted ? APR_ECONNABORTED : rv;
}

static apr_status_t count_body(ap_filter_t *f, apr_bucket_brigade *bb) {
  ratelimit_wire *wire = f->ctx;

  wire->in_body = wire->in_body || !is_head(f);
  if (!wire->in_body) {
    return ap_pass_brigade(f->next, bb);
  }
  return f->r->proto_num < HTTP_VERSION(2, 0) ? mark_all(f, bb) : pass_in_steps(f, bb);
}

/* --- life ---------------------------------------------------------------------------------- */

static apr_status_t end(void *data) {
  ratelimit_wire *wire = data;

  atomic_store(&wire->ended, 1);
  leave(wire);
  return APR_SUCCESS;
}

ratelimit_wire *ratelimit_wire_start(request_rec *r) {
  ratelimit_wire *wire = calloc(1, sizeof *wire);

  if (wire == NULL) {
    ap_abort_on_oom();
    return NULL;
  }
  atomic_init(&wire->users, 1);
  wire->connection = r->connection;
  apr_pool_cleanup_register(r->pool, wire, end, apr_pool_cleanup_null);
  /* Of a protocol's filters, which all answers to a request pass: also those to which it is led
   * inside httpd, and errors. */
  ap_add_output_filter_handle(wire_filter, wire, r, r->connection);
  return wire;
}

apr_uint64_t ratelimit_wire_bytes(const ratelimit_wire *wire) {
  return atomic_load(&wire->bytes);
}

void ratelimit_register_wire(apr_pool_t *pool) {
  (void)pool;
  wire_filter = ap_register_output_filter("RATELIMIT_WIRE", count_body, NULL,
                                          (ap_filter_type)(AP_FTYPE_TRANSCODE - 1));
}
