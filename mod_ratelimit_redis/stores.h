/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RATELIMIT_STORES_H
#define RATELIMIT_STORES_H

#include "module.h"

/* The limiter of this httpd: made by the parent after the configuration has been read, used by the
 * children. NULL before that. */
rlc_limiter *ratelimit_limiter(void);

/* Whether |url| can be used: opens it and closes it again, without making a file. Returns NULL, or
 * a sentence in |pool|. */
const char *ratelimit_stores_try(apr_pool_t *pool, apr_pool_t *temp, const char *url);

/* Reads a secret into the configuration's memory. Returns NULL, or a sentence. */
const char *ratelimit_stores_read_secret(cmd_parms *cmd, const char *path, const char **secret,
                                         apr_size_t *len);

/* Opens the store for good. Returns OK, or an HTTP status after it has logged why not. */
int ratelimit_stores_open(apr_pool_t *pconf, server_rec *main_server);

#endif
