/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RATELIMIT_CACHE_H
#define RATELIMIT_CACHE_H

#include "line.h"

/*
 * httpd reads .htaccess anew for each request. What a process has made of a policy there it keeps, so
 * that the policy's text is parsed once, and the file of its time zone read once. The room is bounded:
 * texts that find none are parsed each time, as without. Entries stay as long as the process.
 */

/* Sets the policy of |line|, and what follows from it, from the cache. |name| is the policy's, or NULL
 * for one that is |text| alone. Returns 0 if it is not there. */
int ratelimit_cache_get(ratelimit_line *line, const char *name, const char *text);

/* Keeps them. Returns 1, or 0 where there is no room. The policy has to stay as long as the process: if
 * it is nobody else's, it is the cache's from then on. */
int ratelimit_cache_put(const ratelimit_line *line, const char *name, const char *text);

#endif
