/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The table of contents of the module. A request meets it twice: access.c gathers the limits that
 * apply, asks the library for a decision, and answer.c tells of it: in fields (fields.c), by a refusal
 * (refusal.c) and in the error log (journal.c). Before that shed.c may refuse it, and delay.c may have it
 * wait. What is configured is in config.c (settings and how
 * they merge), line.c (policies and limits), option.c (what a limit may say) and exempt.c (for whom
 * none holds), what a limit is counted by in key.c, and the life of the store in stores.c.
 */

#include "module.h"

#include <http_core.h>
#include <http_request.h>

#include "access.h"
#include "answer.h"
#include "config.h"
#include "delay.h"
#include "handover.h"
#include "journal.h"
#include "key.h"
#include "line.h"
#include "settle.h"
#include "shed.h"
#include "status.h"
#include "stores.h"

static int check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s) {
  int lines = ratelimit_lines_resolve(pconf, ptemp, s);
  int settings = ratelimit_check_settings(s);

  (void)plog;
  return lines != OK ? lines : settings;
}

static int post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s) {
  (void)plog;
  (void)ptemp;
  /* httpd reads its configuration twice at the start, and throws the first away. */
  if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG) {
    return OK;
  }
  if (ratelimit_journal_open(pconf, s) != OK || ratelimit_delay_open(pconf, s) != OK) {
    return HTTP_INTERNAL_SERVER_ERROR;
  }
  return ratelimit_stores_open(pconf, s);
}

static void register_hooks(apr_pool_t *pool) {
  /* Names of policies are resolved when all files have been read, which `httpd -t` does too. */
  ap_hook_check_config(check_config, NULL, NULL, APR_HOOK_MIDDLE);
  /* The parent opens the store, as root and before it forks: children inherit what is mapped. */
  ap_hook_post_config(post_config, NULL, NULL, APR_HOOK_MIDDLE);
  /* Before anything is charged. Earlier phases do not know the place. */
  ap_hook_header_parser(ratelimit_check_load, NULL, NULL, APR_HOOK_LAST - 1);
  /* The last thing before access control and authentication, so that what they refuse is counted
   * too, and after mod_setenvif, so that expressions see its variables. Unlike the access checker,
   * its verdict stands under "Satisfy any", and it does not run for subrequests. */
  ap_hook_header_parser(ratelimit_check_early, NULL, NULL, APR_HOOK_LAST);
  /* The first phase after authentication that runs for each request, also where none was asked. */
  ap_hook_fixups(ratelimit_check_late, NULL, NULL, APR_HOOK_REALLY_FIRST);
  /* DirectoryIndex, MultiViews and FallbackResource change the place without another phase. */
  ap_hook_handler(ratelimit_check_inside, NULL, NULL, APR_HOOK_REALLY_FIRST);
  /* A variable for keys of several parts: expressions are parsed while the files are read. */
  ap_hook_expr_lookup(ratelimit_lookup_variable, NULL, NULL, APR_HOOK_MIDDLE);
  ratelimit_register_answer(pool);
  /* Applications learn what has been charged from this module alone. */
  ratelimit_register_handover(pool);
  /* What is known only after the answer is charged then, and what was held is given back. */
  ratelimit_register_settle(pool);
  /* What has become of requests is counted in count.c and shown by status.c. The counts (tally.c,
   * sketch.c), what is seen of them (view.c) and the formats know neither httpd nor APR. */
  ratelimit_register_status(pool);
}

module AP_MODULE_DECLARE_DATA ratelimit_redis_module = {STANDARD20_MODULE_STUFF,
                                                        ratelimit_create_dir_conf,
                                                        ratelimit_merge_dir_conf,
                                                        ratelimit_create_server_conf,
                                                        ratelimit_merge_server_conf,
                                                        ratelimit_commands,
                                                        register_hooks,
                                                        0};
