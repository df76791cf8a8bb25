/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RATELIMIT_STATUSES_H
#define RATELIMIT_STATUSES_H

#include <stdint.h>

/* A set of HTTP statuses. */
typedef struct ratelimit_statuses {
  uint32_t bits[19];
} ratelimit_statuses;

/* Reads a list such as "401", "401,403" or "4xx,500", of statuses from 200 to 599. Returns 1, or 0 if
 * |text| is no such list. */
int ratelimit_parse_statuses(const char *text, ratelimit_statuses *statuses);
int ratelimit_has_status(const ratelimit_statuses *statuses, int status);

#endif
