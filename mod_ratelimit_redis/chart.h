/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RATELIMIT_CHART_H
#define RATELIMIT_CHART_H

#include "sink.h"
#include "view.h"

/* Pictures in SVG, stretched by the page to whatever width there is: text beside them is HTML.
 * Their colours are the style sheet's, by the classes a (allowed), w (dry run) and d (denied). */

/* Steps of time as stacked bars, with a scale, and for each bar what it says when pointed at.
 * |heading| is the id of the heading that names it. */
void ratelimit_put_chart(const ratelimit_sink *sink, const uint64_t (*steps)[RATELIMIT_KINDS],
                         unsigned n, unsigned step_s, const char *heading);

/* The same, small and without a scale. */
void ratelimit_put_spark(const ratelimit_sink *sink, const uint64_t (*steps)[RATELIMIT_KINDS],
                         unsigned n);

/* A bar that is filled to |part| of |whole|, by the class |fill|. */
void ratelimit_put_bar(const ratelimit_sink *sink, uint64_t part, uint64_t whole,
                       const char *fill);

/* How many decisions took how long. */
void ratelimit_put_latencies(const ratelimit_sink *sink,
                             const uint64_t latency[RATELIMIT_LATENCIES]);

/* A round number that has a half, the least that is not below |n|: where a scale ends. */
uint64_t ratelimit_nice(uint64_t n);

#endif
