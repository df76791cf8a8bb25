/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RATELIMIT_MODULE_H
#define RATELIMIT_MODULE_H

/* What every unit of the module includes. Its messages carry ids, RLR0001 and on, each of which
 * stands once in the source; those of the library carry its own, RLC0001 and on. */

#include <httpd.h>
#include <http_config.h>
#include <http_log.h>

#include <rlcore/rlcore.h>

APLOG_USE_MODULE(ratelimit_redis);

#endif
