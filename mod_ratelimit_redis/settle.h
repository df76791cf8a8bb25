/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RATELIMIT_SETTLE_H
#define RATELIMIT_SETTLE_H

#include "answer.h"

/*
 * What becomes of limits when the answer is known. Those with charge= have reserved their cost when the
 * request came, those of algorithm=concurrency hold slots; other limits of the same decision go with
 * them. All that is held is settled once, when the request ends: in httpd's log phase, which comes when
 * the answer has been written or given up; and if a request should end without, with its memory.
 */

/* Whether a decision takes what has to be settled: then it is rlc_limiter_acquire that makes it. */
int ratelimit_is_held(const ratelimit_batch *batch);
/* Notes what it took. |r| is the request that was decided, |state| that of the client's. */
void ratelimit_hold(request_rec *r, ratelimit_state *state, const ratelimit_batch *batch,
                    rlc_lease *lease);

void ratelimit_register_settle(apr_pool_t *pool);

#endif
