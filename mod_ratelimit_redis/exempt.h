/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RATELIMIT_EXEMPT_H
#define RATELIMIT_EXEMPT_H

#include <apr_tables.h>

#include "module.h"

/* Reads a RateLimitExempt into |*rules| (ratelimit_exempt *, NULL: none yet). Returns NULL, or a
 * sentence. */
const char *ratelimit_read_exempt(cmd_parms *cmd, const char *args, apr_array_header_t **rules);
/* Inner rules add to outer ones; "none" among them drops what is further out. Either may be NULL. */
apr_array_header_t *ratelimit_merge_exempt(apr_pool_t *pool, apr_array_header_t *base,
                                           apr_array_header_t *add);
/* Whether one of |rules| exempts this request, which is then said in environment and notes. */
int ratelimit_is_exempt(request_rec *r, const apr_array_header_t *rules);

#endif
