/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RATELIMIT_REFUSAL_H
#define RATELIMIT_REFUSAL_H

#include <ap_expr.h>

#include "module.h"

/* The page that people are led to in place of a refusal. */
typedef struct ratelimit_redirect {
  const char *url;             /* NULL: none, "off" */
  const ap_expr_info_t *expr;  /* what gives the URL; NULL: |url| is the same for all requests */
  const char *host;            /* the page's host; NULL where the URL is a path */
  const char *path;            /* the page's path, unescaped; NULL: not known beforehand */
} ratelimit_redirect;

/* How a refusal looks. What is unset is the next outer place's. */
typedef struct ratelimit_refusal {
  int status;                          /* 0: unset */
  const ratelimit_redirect *redirect;  /* NULL: unset */
  int close;                           /* 1: ends the connection; 0: keeps it; -1: unset */
} ratelimit_refusal;

#define RATELIMIT_REFUSAL_UNSET ((ratelimit_refusal){0, NULL, -1})

ratelimit_refusal ratelimit_merge_refusal(ratelimit_refusal base, ratelimit_refusal add);
/* What holds where nothing is set. */
int ratelimit_get_status(const ratelimit_refusal *refusal);
int ratelimit_get_close(const ratelimit_refusal *refusal);

/* Read the value of a directive (|option| NULL) or of an option of RateLimit. They return NULL, or a
 * sentence. |flags| are those of ap_expr_parse_cmd. */
const char *ratelimit_read_status(cmd_parms *cmd, const char *option, const char *text,
                                  ratelimit_refusal *refusal);
const char *ratelimit_read_redirect(cmd_parms *cmd, const char *option, const char *text,
                                    unsigned flags, ratelimit_refusal *refusal);
const char *ratelimit_read_close(cmd_parms *cmd, const char *option, const char *text,
                                 ratelimit_refusal *refusal);

/* Whether this is a request for the very page: that one is neither counted nor led to itself. */
int ratelimit_is_page(const request_rec *r, const ratelimit_refusal *refusal);
/* Returns where to lead the request, or NULL: nowhere. */
const char *ratelimit_find_page(request_rec *r, const ratelimit_refusal *refusal);

#endif
