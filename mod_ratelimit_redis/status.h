/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RATELIMIT_STATUS_H
#define RATELIMIT_STATUS_H

#include "module.h"

/* The handler "ratelimit-status", its directives, and its section in mod_status' page. */

const char *ratelimit_set_status_access(cmd_parms *cmd, void *dir_conf, const char *text);
const char *ratelimit_set_status_keys(cmd_parms *cmd, void *dir_conf, const char *text);

void ratelimit_register_status(apr_pool_t *pool);

#endif
