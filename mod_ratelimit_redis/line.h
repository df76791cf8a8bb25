/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RATELIMIT_LINE_H
#define RATELIMIT_LINE_H

#include <ap_expr.h>

#include "charge.h"
#include "module.h"
#include "refusal.h"

/* A RateLimitPolicy, and where it is written. */
typedef struct ratelimit_named {
  const rlc_policy *policy;
  const char *file;
  int file_line;
} ratelimit_named;

/* A RateLimit. Made once when it is read, and the same for every request it applies to. */
typedef struct ratelimit_line {
  const rlc_policy *policy;    /* NULL until its name is resolved */
  const char *policy_name;     /* NULL where the text of a policy was given */
  const char *name;            /* name=, or NULL */
  const char *label;           /* what the fields call it: its name, the policy's, or its id */
  const char *policy_items;    /* its items of RateLimit-Policy, one a rate */
  const char *quota_items;     /* the same in the drafts before 08 */
  const char *scope;           /* what goes before every key of it; NULL outside .htaccess */
  apr_size_t scope_len;
  const ap_expr_info_t *key;   /* NULL: the client's address */
  const ap_expr_info_t *group; /* NULL: none */
  const ap_expr_info_t *cost;  /* NULL: always |fixed_cost| */
  const ap_expr_info_t *when;  /* NULL: always */
  apr_uint32_t fixed_cost;
  ratelimit_charge charge;     /* what it charges when the answer is known */
  int v4_prefix;               /* bits of the address that count; -1: unset */
  int v6_prefix;
  apr_uint32_t delay_ms;       /* a refused request waits so long at most; 0: not */
  int warn;                    /* as RateLimitWarn; -1: unset */
  int by_address;              /* its key reads the client's address */
  int phase;                   /* 0: early; 1: late; -1: as its expressions need it */
  rlc_fail fail;
  ratelimit_refusal refusal;   /* what is unset is that of the request's place */
  int late;                    /* decided after authentication */
  const char *file;
  int file_line;
  unsigned row;                /* where the status page counts it; 0: not known yet */
  volatile apr_uint32_t warned; /* this process has logged that its cost is no number */
} ratelimit_line;

const char *ratelimit_set_policy(cmd_parms *cmd, void *dir_conf, const char *name,
                                 const char *text);
const char *ratelimit_set_policy_file(cmd_parms *cmd, void *dir_conf, const char *path);
const char *ratelimit_set_line(cmd_parms *cmd, void *dir_conf, const char *args);

/* Finds the policies that lines name, now that all are read, and refuses lines of one server that
 * give one name to two policies. Returns OK, or an HTTP status after it has logged what is
 * wrong. */
int ratelimit_lines_resolve(apr_pool_t *pool, apr_pool_t *temp, server_rec *main_server);

#endif
