/* SPDX-License-Identifier: Apache-2.0 */
#include "status.h"

#include <string.h>
#include <strings.h>

#include <apr_base64.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_main.h>
#include <http_protocol.h>
#include <http_request.h>
#include <http_vhost.h>
#include <mod_status.h>

#include "config.h"
#include "count.h"
#include "formats.h"
#include "key.h"
#include "load.h"
#include "page.h"
#include "stores.h"

/* --- directives ---------------------------------------------------------------------------- */

static const char *const access_words[] = {"local", "require"};
static const char *const key_words[] = {"address", "hashed", "plain"};

const char *ratelimit_set_status_access(cmd_parms *cmd, void *dir_conf, const char *text) {
  ratelimit_dir_conf *conf = dir_conf;
  const char *why = ap_check_cmd_context(cmd, NOT_IN_LIMIT | NOT_IN_HTACCESS);
  int at = why == NULL ? ratelimit_choose(cmd, access_words, 2, text, "kind of access", &why) : -1;

  conf->status_access = at >= 0 ? at : conf->status_access;
  return why;
}

const char *ratelimit_set_status_keys(cmd_parms *cmd, void *dir_conf, const char *text) {
  ratelimit_server_conf *conf =
      ap_get_module_config(cmd->server->module_config, &ratelimit_redis_module);
  const char *why = ap_check_cmd_context(cmd, GLOBAL_ONLY | NOT_IN_HTACCESS);
  int at = why == NULL ? ratelimit_choose(cmd, key_words, 3, text, "way to show keys", &why) : -1;

  (void)dir_conf;
  conf->status_keys = at >= 0 ? at : conf->status_keys;
  return why;
}

/* --- who may see it ------------------------------------------------------------------------ */

static apr_ipsubnet_t *loopback_v4;
static apr_ipsubnet_t *loopback_v6;

static int is_this_host(const request_rec *r, apr_sockaddr_t *address) {
  return apr_ipsubnet_test(loopback_v4, address) || apr_ipsubnet_test(loopback_v6, address) ||
         apr_sockaddr_equal(r->connection->local_addr, address);
}

/* A proxy on this host brings strangers, and says so in one of these, which mod_remoteip takes away
 * where it has put their address in the place of the proxy's. */
static int is_forwarded(const request_rec *r) {
  static const char *const fields[] = {"Forwarded",        "X-Forwarded-For", "X-Forwarded-Host",
                                       "X-Forwarded-Proto", "X-Real-IP",      "X-Client-IP",
                                       "True-Client-IP",   "CF-Connecting-IP", "Via"};

  for (size_t i = 0; i < sizeof fields / sizeof fields[0]; ++i) {
    if (apr_table_get(r->headers_in, fields[i]) != NULL) {
      return 1;
    }
  }
  return 0;
}

/* A page elsewhere can have its own name looked up as 127.0.0.1, and a browser on this host then
 * asks us in its name and lets it read the answer. So the name has to be one of ours. */
static int is_own_name(request_rec *r) {
  apr_ipsubnet_t *address;

  return r->hostname == NULL || strcasecmp(r->hostname, "localhost") == 0 ||
         apr_ipsubnet_create(&address, r->hostname, NULL, r->pool) == APR_SUCCESS ||
         ap_matches_request_vhost(r, r->hostname, r->server->port); /* whatever the port */
}

/* From this host, and on nobody's behalf. A Require that lets others in may be one that was meant
 * for the whole site, and is inherited here: so it counts only where somebody says that it does. */
static int may_see(request_rec *r) {
  static volatile apr_uint32_t last;
  const ratelimit_dir_conf *conf =
      ap_get_module_config(r->per_dir_config, &ratelimit_redis_module);

  if (ratelimit_get_status_access(conf) == RATELIMIT_ACCESS_REQUIRE ||
      (is_this_host(r, r->connection->client_addr) && is_this_host(r, r->useragent_addr) &&
       !is_forwarded(r) && is_own_name(r))) {
    return 1;
  }
  if (APLOGrinfo(r) && ratelimit_log_due(&last)) {
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                  "RLR0031: ratelimit-status is for clients on this host: write "
                  "\"RateLimitPageAccess require\" beside the Require lines that let others in");
  }
  return 0;
}

/* --- what it shows ------------------------------------------------------------------------- */

static void put_to_client(void *r, const char *text, size_t len) {
  while (len > 0) { /* ap_rwrite takes an int */
    int n = len < 65536 ? (int)len : 65536;

    ap_rwrite(text, n, r);
    text += n;
    len -= (size_t)n;
  }
}

static ratelimit_view *take_view(request_rec *r) {
  server_rec *main_server = ap_server_conf != NULL ? ap_server_conf : r->server;
  const ratelimit_server_conf *conf =
      ap_get_module_config(main_server->module_config, &ratelimit_redis_module);
  const char *url = ratelimit_get_store(conf);
  ratelimit_view *view = apr_palloc(r->pool, sizeof *view);
  ratelimit_view_told told = {.server = r->server->server_hostname,
                              .store = apr_pstrmemdup(r->pool, url, strcspn(url, ":")),
                              .now_s = ratelimit_count_clock() / 1000000000u,
                              .wall_s = apr_time_sec(apr_time_now()),
                              .stats = RLC_STATS_INIT};
  int keys = ratelimit_get_status_keys(conf);

  told.busy = ratelimit_load_percent();
  told.keys = keys == RATELIMIT_KEYS_PLAIN    ? RATELIMIT_SHOW_ALL
              : keys == RATELIMIT_KEYS_HASHED ? RATELIMIT_SHOW_NONE
                                              : RATELIMIT_SHOW_ADDRESS;
  if (ratelimit_limiter() != NULL) {
    rlc_limiter_get_stats(ratelimit_limiter(), &told.stats);
  }
  ratelimit_view_take(view, ratelimit_counts(), &told);
  return view;
}

/* --- the handler --------------------------------------------------------------------------- */

enum { REFRESH_S = 5, LONGEST_REFRESH_S = 3600 };

typedef enum ratelimit_format { PAGE, JSON, OPENMETRICS } ratelimit_format;

/* What stands behind "?". */
typedef struct ratelimit_wish {
  ratelimit_format format;
  unsigned refresh_s;
} ratelimit_wish;

/* Returns NULL, or what is wrong with |args|. */
static const char *read_wish(request_rec *r, ratelimit_wish *wish) {
  char *rest = apr_pstrdup(r->pool, r->args != NULL ? r->args : "");
  char *word;
  char *state;

  *wish = (ratelimit_wish){PAGE, REFRESH_S};
  for (word = apr_strtok(rest, "&", &state); word != NULL; word = apr_strtok(NULL, "&", &state)) {
    if (strcmp(word, "format=json") == 0) {
      wish->format = JSON;
    } else if (strcmp(word, "format=prometheus") == 0) {
      wish->format = OPENMETRICS;
    } else if (strncmp(word, "format=", 7) == 0 && strcmp(word, "format=html") != 0) {
      return "There is no such format: write format=html, format=json or format=prometheus.\n";
    } else if (strcmp(word, "refresh=off") == 0) {
      wish->refresh_s = 0;
    } else if (strncmp(word, "refresh=", 8) == 0) {
      apr_int64_t s = apr_atoi64(word + 8);

      wish->refresh_s = s < 1 ? 1 : s > LONGEST_REFRESH_S ? LONGEST_REFRESH_S : (unsigned)s;
    }
  }
  return NULL;
}

/* A new one with each answer: nobody who gets text into the page can name it. */
static const char *make_nonce(apr_pool_t *pool) {
  unsigned char bytes[18];
  char *text = apr_palloc(pool, (apr_size_t)apr_base64_encode_len(sizeof bytes));

  if (apr_generate_random_bytes(bytes, sizeof bytes) != APR_SUCCESS) {
    return NULL;
  }
  apr_base64_encode_binary(text, bytes, sizeof bytes);
  return text;
}

static void set_fields(request_rec *r, const char *type, const char *nonce) {
  apr_table_t *out = r->headers_out;

  ap_set_content_type(r, type);
  apr_table_setn(out, "Cache-Control", "no-store");
  apr_table_setn(out, "X-Content-Type-Options", "nosniff");
  apr_table_setn(out, "Referrer-Policy", "no-referrer");
  apr_table_setn(out, "Cross-Origin-Resource-Policy", "same-origin");
  apr_table_setn(out, "X-Frame-Options", "DENY");
  apr_table_setn(out, "Content-Security-Policy",
                 nonce == NULL
                     ? "default-src 'none'; frame-ancestors 'none'"
                     : apr_pstrcat(r->pool, "default-src 'none'; style-src 'nonce-", nonce,
                                   "'; base-uri 'none'; form-action 'none'; "
                                   "frame-ancestors 'none'", NULL));
}

static void send_view(request_rec *r, const ratelimit_wish *wish, const ratelimit_view *view) {
  const ratelimit_sink sink = {put_to_client, r};
  const char *nonce;

  switch (wish->format) {
  case JSON:
    set_fields(r, "application/json", NULL);
    ratelimit_put_json_view(&sink, view);
    return;
  case OPENMETRICS:
    set_fields(r, "application/openmetrics-text; version=1.0.0; charset=utf-8", NULL);
    ratelimit_put_openmetrics(&sink, view);
    return;
  default:
    /* Without a nonce the page comes without its looks. */
    nonce = make_nonce(r->pool);
    set_fields(r, "text/html; charset=utf-8", nonce);
    ratelimit_put_page(&sink, view, nonce != NULL ? nonce : "", wish->refresh_s);
  }
}

static int handle(request_rec *r) {
  ratelimit_wish wish;
  const char *wrong;

  if (r->handler == NULL || strcmp(r->handler, "ratelimit-status") != 0) {
    return DECLINED;
  }
  if (!may_see(r)) {
    return HTTP_FORBIDDEN;
  }
  ap_allow_standard_methods(r, REPLACE_ALLOW, M_GET, -1);
  if (r->method_number != M_GET) {
    return HTTP_METHOD_NOT_ALLOWED;
  }
  wrong = read_wish(r, &wish);
  if (wrong != NULL) {
    r->status = HTTP_BAD_REQUEST;
    set_fields(r, "text/plain; charset=utf-8", NULL);
    ap_rputs(wrong, r);
    return OK;
  }
  send_view(r, &wish, take_view(r));
  return OK;
}

/* --- mod_status ---------------------------------------------------------------------------- */

static int add_section(request_rec *r, int flags) {
  const ratelimit_sink sink = {put_to_client, r};

  if ((flags & AP_STATUS_SHORT) != 0) {
    ratelimit_put_section_auto(&sink, take_view(r));
  } else {
    ratelimit_put_section(&sink, take_view(r));
  }
  return OK;
}

/* The parent makes the counts before it forks, and not when the first reading of the configuration is
 * thrown away. */
static int open_counts(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s) {
  (void)pconf;
  (void)plog;
  (void)ptemp;
  if (ap_state_query(AP_SQ_MAIN_STATE) != AP_SQ_MS_CREATE_PRE_CONFIG) {
    ratelimit_count_open(s);
  }
  return OK;
}

void ratelimit_register_status(apr_pool_t *pool) {
  apr_ipsubnet_create(&loopback_v4, "127.0.0.0", "8", pool);
  apr_ipsubnet_create(&loopback_v6, "::1", NULL, pool);
  ap_hook_post_config(open_counts, NULL, NULL, APR_HOOK_MIDDLE);
  ap_hook_handler(handle, NULL, NULL, APR_HOOK_MIDDLE);
  APR_OPTIONAL_HOOK(ap, status_hook, add_section, NULL, NULL, APR_HOOK_MIDDLE);
}
