/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RATELIMIT_EVENTS_H
#define RATELIMIT_EVENTS_H

#include "module.h"

/* Those of count.c that need no decision. */

/* Nanoseconds of a clock that only goes forward. */
apr_uint64_t ratelimit_count_clock(void);

/* Count a request that was refused by RateLimitShed; one that passed after it had waited. */
void ratelimit_count_shed(void);
void ratelimit_count_delayed(void);

#endif
