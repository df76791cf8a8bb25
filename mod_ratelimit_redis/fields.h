/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RATELIMIT_FIELDS_H
#define RATELIMIT_FIELDS_H

#include "answer.h"

/* Adds the header fields that tell of |batch| to the answer, in the generations that
 * RateLimitHeaders asks for. |binds|: of all that was decided for this request so far, this batch
 * has the limit that binds. |dry|: a refusal is told of and not made. Limits that are nearly used
 * up, and those that would have refused, are said in environment and notes, too. */
void ratelimit_send_fields(request_rec *r, const ratelimit_dir_conf *conf, ratelimit_state *state,
                           const ratelimit_batch *batch, int binds, int dry);

#endif
