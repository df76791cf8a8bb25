/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The table of contents of the module. A request meets it twice: access.c gathers the limits that
 * apply, asks the library for a decision, and answer.c tells of it. What is configured is in
 * config.c (settings and how they merge) and line.c (policies and limits), what a limit is counted
 * by in key.c, and the life of the store in stores.c.
 */

#include "module.h"

#include <http_core.h>
#include <http_request.h>

#include "access.h"
#include "answer.h"
#include "config.h"
#include "line.h"
#include "stores.h"

static int check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s) {
  (void)plog;
  return ratelimit_lines_resolve(pconf, ptemp, s);
}

static int post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s) {
  (void)plog;
  (void)ptemp;
  /* httpd reads its configuration twice at the start, and throws the first away. */
  if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG) {
    return OK;
  }
  return ratelimit_stores_open(pconf, s);
}

static void register_hooks(apr_pool_t *pool) {
  /* Names of policies are resolved when all files have been read, which `httpd -t` does too. */
  ap_hook_check_config(check_config, NULL, NULL, APR_HOOK_MIDDLE);
  /* The parent opens the store, as root and before it forks: children inherit what is mapped. */
  ap_hook_post_config(post_config, NULL, NULL, APR_HOOK_MIDDLE);
  /* The last thing before access control and authentication, so that what they refuse is counted
   * too, and after mod_setenvif, so that expressions see its variables. Unlike the access checker,
   * its verdict stands under "Satisfy any", and it does not run for subrequests. */
  ap_hook_header_parser(ratelimit_check_early, NULL, NULL, APR_HOOK_LAST);
  /* The first phase after authentication that runs for each request, also where none was asked. */
  ap_hook_fixups(ratelimit_check_late, NULL, NULL, APR_HOOK_REALLY_FIRST);
  /* DirectoryIndex, MultiViews and FallbackResource change the place without another phase. */
  ap_hook_handler(ratelimit_check_inside, NULL, NULL, APR_HOOK_REALLY_FIRST);
  ratelimit_register_answer(pool);
}

module AP_MODULE_DECLARE_DATA ratelimit_redis_module = {STANDARD20_MODULE_STUFF,
                                                        ratelimit_create_dir_conf,
                                                        ratelimit_merge_dir_conf,
                                                        ratelimit_create_server_conf,
                                                        ratelimit_merge_server_conf,
                                                        ratelimit_commands,
                                                        register_hooks,
                                                        0};
