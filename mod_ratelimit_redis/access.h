/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RATELIMIT_ACCESS_H
#define RATELIMIT_ACCESS_H

#include "answer.h"

/* What has been decided for a request, on the request that the client sent. */
ratelimit_state *ratelimit_get_state(request_rec *r);

/* Decide the limits that do not read the user, and those that do. Both return DECLINED where the
 * request may go on, or the status that ends it. */
int ratelimit_check_early(request_rec *r);
int ratelimit_check_late(request_rec *r);
/* Decides what a redirect inside httpd has added by the time that the answer is made. */
int ratelimit_check_inside(request_rec *r);

#endif
