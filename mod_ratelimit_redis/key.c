/* SPDX-License-Identifier: Apache-2.0 */
#include "key.h"

#include <string.h>
#include <strings.h>

#include <apr_atomic.h>
#include <apr_sha1.h>
#include <apr_strings.h>

#include "text.h"

enum { IPV4_PREFIX = 32, IPV6_PREFIX = 64, ADDRESS_SIZE = 64 };

int ratelimit_log_due(volatile apr_uint32_t *last) {
  apr_uint32_t now = (apr_uint32_t)apr_time_sec(apr_time_now());
  apr_uint32_t seen = apr_atomic_read32(last);

  return seen != now && apr_atomic_cas32(last, now, seen) == seen;
}

/* An expression that breaks at run time must not open a door: the line goes on to apply, by the
 * client's address, without a group, at the cost of 1. */
static void log_broken(request_rec *r, const ratelimit_line *line, const char *option,
                       const char *err) {
  static volatile apr_uint32_t last;

  if (ratelimit_log_due(&last)) {
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                  "RLR0004: %s= of the limit %s (%s:%d) cannot be evaluated: %s", option,
                  line->label, line->file, line->file_line, ap_escape_logitem(r->pool, err));
  }
}

static void log_bad_cost(request_rec *r, ratelimit_line *line) {
  static volatile apr_uint32_t last;

  /* Lines of .htaccess are new for each request, so that their own mark does not bound them. */
  if (apr_atomic_xchg32(&line->warned, 1) == 0 && ratelimit_log_due(&last)) {
    ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                  "RLR0005: cost= of the limit %s (%s:%d) gave no whole number from 0 up, and "
                  "counts as 1 whenever it does",
                  line->label, line->file, line->file_line);
  }
}

/* --- the client's address ------------------------------------------------------------------ */

/* The address that mod_remoteip leaves. A host commonly has a whole IPv6 /64 to pick from. |line|
 * may have prefixes of its own, or be NULL. */
static const char *client_address(request_rec *r, const ratelimit_line *line) {
  char buf[ADDRESS_SIZE];
  int v4 = line != NULL && line->v4_prefix > 0 ? line->v4_prefix : IPV4_PREFIX;
  int v6 = line != NULL && line->v6_prefix > 0 ? line->v6_prefix : IPV6_PREFIX;
  size_t len = rlc_http_format_address(buf, sizeof buf, r->useragent_ip, (unsigned)v4, (unsigned)v6);

  return len > 0 && len < sizeof buf ? apr_pstrmemdup(r->pool, buf, len) : r->useragent_ip;
}

/* The line whose expression this thread evaluates: its prefixes hold for %{RATELIMIT_ADDRESS}. */
static __thread const ratelimit_line *line_at_work;

static const char *address_variable(ap_expr_eval_ctx_t *ctx, const void *data) {
  (void)data;
  return client_address(ctx->r, line_at_work);
}

int ratelimit_lookup_variable(ap_expr_lookup_parms *parms) {
  if (parms->type != AP_EXPR_FUNC_VAR || strcasecmp(parms->name, "RATELIMIT_ADDRESS") != 0) {
    return DECLINED;
  }
  *parms->func = (const void *)(uintptr_t)address_variable;
  *parms->data = NULL;
  return OK;
}

/* --- what a line says of a request --------------------------------------------------------- */

static apr_uint32_t find_cost(request_rec *r, ratelimit_line *line) {
  apr_uint32_t cost;
  const char *err = NULL;
  const char *text;

  if (line->cost == NULL) {
    return line->fixed_cost;
  }
  text = ap_expr_str_exec(r, line->cost, &err);
  if (err != NULL || text == NULL) {
    log_broken(r, line, "cost", err != NULL ? err : "no result");
    return 1;
  }
  if (*text == '\0') { /* a variable that this request does not have */
    return 1;
  }
  if (!ratelimit_parse_cost(text, RLC_MAX_QUOTA, &cost)) {
    log_bad_cost(r, line);
    return 1;
  }
  return cost <= RLC_MAX_QUOTA ? cost : RLC_MAX_QUOTA;
}

static const char *find_key(request_rec *r, const ratelimit_line *line, const char **address) {
  const char *err = NULL;
  const char *key;

  if (line->key != NULL) {
    line_at_work = line;
    key = ap_expr_str_exec(r, line->key, &err);
    line_at_work = NULL;
    if (err == NULL && key != NULL) {
      return key;
    }
    log_broken(r, line, "key", err != NULL ? err : "no result");
  }
  if (line->v4_prefix > 0 || line->v6_prefix > 0) {
    return client_address(r, line);
  }
  if (*address == NULL) {
    *address = client_address(r, NULL);
  }
  return *address;
}

/* Returns "" where there is none. */
static const char *find_group(request_rec *r, const ratelimit_line *line) {
  const char *err = NULL;
  const char *group;

  if (line->group == NULL) {
    return "";
  }
  group = ap_expr_str_exec(r, line->group, &err);
  if (err == NULL && group != NULL) {
    return group;
  }
  log_broken(r, line, "group", err != NULL ? err : "no result");
  return "";
}

static int applies(request_rec *r, const ratelimit_line *line) {
  const char *err = NULL;
  int yes;

  if (line->when == NULL) {
    return 1;
  }
  yes = ap_expr_exec(r, line->when, &err);
  if (err != NULL || yes < 0) {
    log_broken(r, line, "when", err != NULL ? err : "no result");
    return 1;
  }
  return yes > 0;
}

/* A key or group that is longer than the library takes is told by a hash. The NUL keeps that apart
 * from all that are not. */
static const char *shorten(apr_pool_t *pool, const char *bytes, size_t *len) {
  static const char head[] = "\0sha1";
  apr_sha1_ctx_t sha1;
  char *hash;

  if (*len <= RLC_MAX_KEY) {
    return bytes;
  }
  hash = apr_palloc(pool, sizeof head + APR_SHA1_DIGESTSIZE);
  memcpy(hash, head, sizeof head);
  apr_sha1_init(&sha1);
  for (size_t at = 0; at < *len; at += RLC_MAX_KEY) {
    size_t left = *len - at;

    apr_sha1_update_binary(&sha1, (const unsigned char *)bytes + at,
                           (unsigned)(left < RLC_MAX_KEY ? left : RLC_MAX_KEY));
  }
  apr_sha1_final((unsigned char *)hash + sizeof head, &sha1);
  *len = sizeof head + APR_SHA1_DIGESTSIZE;
  return hash;
}

int ratelimit_make_limit(request_rec *r, ratelimit_line *line, const char **address,
                         rlc_limit *limit) {
  const char *group;
  const char *key;
  char *scoped;
  size_t len;

  *limit = (rlc_limit)RLC_LIMIT_INIT;
  if (!applies(r, line)) {
    return 0;
  }
  key = find_key(r, line, address);
  limit->cost = *key != '\0' ? find_cost(r, line) : 0;
  if (limit->cost == 0) {
    return 0;
  }
  len = strlen(key);
  if (line->scope != NULL) {
    scoped = apr_palloc(r->pool, line->scope_len + len);
    memcpy(scoped, line->scope, line->scope_len);
    memcpy(scoped + line->scope_len, key, len);
    key = scoped;
    len += line->scope_len;
  }
  limit->policy = line->policy;
  limit->name = line->name;
  limit->key = shorten(r->pool, key, &len);
  limit->key_len = len;
  limit->fail = line->fail;
  group = find_group(r, line);
  len = strlen(group);
  limit->group = shorten(r->pool, group, &len);
  limit->group_len = len;
  return 1;
}
