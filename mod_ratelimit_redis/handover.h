/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RATELIMIT_HANDOVER_H
#define RATELIMIT_HANDOVER_H

#include "answer.h"

/* Tells the application behind what has been charged, so that it does not charge it again: in its
 * environment, and where RateLimitForward says so in a field of the request that a proxy brings it. */
void ratelimit_hand_over(request_rec *r, const ratelimit_dir_conf *conf, ratelimit_state *state,
                         const ratelimit_batch *batch);

void ratelimit_register_handover(apr_pool_t *pool);

#endif
