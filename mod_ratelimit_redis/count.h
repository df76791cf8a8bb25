/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RATELIMIT_COUNT_H
#define RATELIMIT_COUNT_H

#include "answer.h"
#include "events.h"
#include "tally.h"

/* Makes the counts that the status page tells of, or finds those of before a restart, and gives
 * each limit of the configuration its row. Called by the parent, before it forks. Without memory
 * for them nothing is counted, which the error log says. */
void ratelimit_count_open(server_rec *main_server);

/* The counts, or NULL. */
ratelimit_tally *ratelimit_counts(void);

/* Counts a decision, which was begun at |begun|; |dry| says that nobody is refused for it. */
void ratelimit_count(const ratelimit_batch *batch, int dry, apr_uint64_t begun);

#endif
