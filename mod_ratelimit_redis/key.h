/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RATELIMIT_KEY_H
#define RATELIMIT_KEY_H

#include "line.h"

/* Makes |limit| of |line| for this request: its key, group and cost. |*address| keeps the client's
 * address as a key from one line to the next; NULL at first. Returns 1, or 0 where the line does
 * not apply: its condition is false, its key is empty, or its cost is 0. */
int ratelimit_make_limit(request_rec *r, ratelimit_line *line, const char **address,
                         rlc_limit *limit);

/* A hook of httpd's expressions: the variable RATELIMIT_ADDRESS, the client's address as a key. */
int ratelimit_lookup_variable(ap_expr_lookup_parms *parms);

/* Returns 1 at most once in a second of this process for one |*last|, which starts at 0: a line
 * that a client can provoke is logged no more often. */
int ratelimit_log_due(volatile apr_uint32_t *last);

#endif
