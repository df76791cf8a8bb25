/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RATELIMIT_LOAD_H
#define RATELIMIT_LOAD_H

#include "module.h"

/* How much httpd has to do. */

/* Returns how many requests httpd can serve at once: MaxRequestWorkers; 1 at least. Known once the
 * configuration has been checked. */
unsigned ratelimit_load_workers(void);

/* Returns how many percent of them are busy, as it was 50 ms ago at most. */
unsigned ratelimit_load_percent(void);

#endif
