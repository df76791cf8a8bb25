/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RATELIMIT_FORMATS_H
#define RATELIMIT_FORMATS_H

#include "sink.h"
#include "view.h"

/* What programs read. ratelimit_redis.conf says what their members mean, which stays: new ones are
 * added, and none changes its meaning. */

/* ?format=json */
void ratelimit_put_json_view(const ratelimit_sink *sink, const ratelimit_view *view);

/* ?format=prometheus: OpenMetrics 1.0 text. No label holds what a client has sent. */
void ratelimit_put_openmetrics(const ratelimit_sink *sink, const ratelimit_view *view);

/* A section of mod_status' page, or its lines of "?auto". It holds no key: who may see mod_status
 * need not be who may see ours. */
void ratelimit_put_section(const ratelimit_sink *sink, const ratelimit_view *view);
void ratelimit_put_section_auto(const ratelimit_sink *sink, const ratelimit_view *view);

#endif
