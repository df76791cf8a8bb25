/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RATELIMIT_SHED_H
#define RATELIMIT_SHED_H

#include "config.h"

/* RateLimitShed: what is refused while httpd has too much to do. */

/* Adds what |args| say to |*rules|. Returns NULL or a sentence. */
const char *ratelimit_read_shed(cmd_parms *cmd, const char *args, apr_array_header_t **rules);
/* Rules further in are added; "off" takes those further out away. */
apr_array_header_t *ratelimit_merge_shed(apr_pool_t *pool, apr_array_header_t *base,
                                         apr_array_header_t *add);

/* A hook: 503 for a request that is to wait for better times, else DECLINED. */
int ratelimit_check_load(request_rec *r);

#endif
