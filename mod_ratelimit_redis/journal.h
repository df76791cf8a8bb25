/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RATELIMIT_JOURNAL_H
#define RATELIMIT_JOURNAL_H

#include "answer.h"

/* What the error log tells of requests. The processes of this httpd write it together: what was told
 * of is in memory that they share. */

/* Makes that memory, in the parent. Returns OK, or an HTTP status after it has logged why not. */
int ratelimit_journal_open(apr_pool_t *pconf, server_rec *main_server);

/* Tells of a refusal (|dry|: of what would have been one), once an offender and interval. */
void ratelimit_journal_refusal(request_rec *r, const ratelimit_dir_conf *conf,
                               const ratelimit_batch *batch, int dry);
/* Returns 1 once in ten seconds of all processes: to who then says that requests are shed. */
int ratelimit_journal_load_due(void);
/* Tells, once, where a proxy seems to stand in front and limits count its address for everybody's. */
void ratelimit_journal_forwarded(request_rec *r, const ratelimit_batch *batch);

#endif
