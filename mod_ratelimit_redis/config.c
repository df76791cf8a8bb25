/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <strings.h>

#include <apr_strings.h>

#include "delay.h"
#include "exempt.h"
#include "line.h"
#include "shed.h"
#include "status.h"
#include "stores.h"
#include "text.h"

static const char *const mode_words[] = {"enforce", "dry-run", "off"};
/* In the order of the bits of RATELIMIT_HEADERS_... */
static const char *const headers_words[] = {"draft-08",         "draft-07", "draft-06", "x-ratelimit",
                                            "x-ratelimit-epoch", "pk",       "off"};
enum { HEADERS_WORDS = sizeof headers_words / sizeof headers_words[0] };
const char *const ratelimit_fail_words[4] = {"", "local", "open", "closed"};

/* --- defaults ------------------------------------------------------------------------------ */

int ratelimit_get_status_access(const ratelimit_dir_conf *conf) {
  return conf->status_access != RATELIMIT_UNSET ? conf->status_access : RATELIMIT_ACCESS_LOCAL;
}

int ratelimit_get_status_keys(const ratelimit_server_conf *conf) {
  return conf->status_keys != RATELIMIT_UNSET ? conf->status_keys : RATELIMIT_KEYS_ADDRESS;
}

unsigned ratelimit_get_delay(const ratelimit_server_conf *conf) {
  return conf->delay != RATELIMIT_UNSET ? (unsigned)conf->delay : RATELIMIT_DELAY_PERCENT;
}

int ratelimit_get_mode(const ratelimit_dir_conf *conf) {
  return conf->mode != RATELIMIT_UNSET ? conf->mode : RATELIMIT_ENFORCE;
}

rlc_fail ratelimit_get_fail(const ratelimit_dir_conf *conf) {
  return conf->fail != RATELIMIT_UNSET ? (rlc_fail)conf->fail : RLC_FAIL_DEFAULT;
}

int ratelimit_get_headers(const ratelimit_dir_conf *conf) {
  return conf->headers != RATELIMIT_UNSET ? conf->headers : RATELIMIT_HEADERS_DRAFT_08;
}

int ratelimit_get_log(const ratelimit_dir_conf *conf) {
  return conf->log != RATELIMIT_UNSET ? conf->log : 60;
}

int ratelimit_get_warn(const ratelimit_dir_conf *conf) {
  return conf->warn != RATELIMIT_UNSET ? conf->warn : RATELIMIT_WARN_OFF;
}

int ratelimit_get_expose(const ratelimit_dir_conf *conf) {
  return conf->expose == 1;
}

int ratelimit_get_forward(const ratelimit_dir_conf *conf) {
  return conf->forward == 1;
}

const char *ratelimit_get_store(const ratelimit_server_conf *conf) {
  return conf->store != NULL ? conf->store : "shm:";
}

/* --- create and merge ---------------------------------------------------------------------- */

void *ratelimit_create_server_conf(apr_pool_t *pool, server_rec *s) {
  ratelimit_server_conf *conf = apr_pcalloc(pool, sizeof *conf);

  (void)s;
  conf->store = NULL;
  conf->secret = NULL;
  conf->secret_len = 0;
  conf->status_keys = RATELIMIT_UNSET;
  conf->policies = apr_hash_make(pool);
  conf->lines = apr_array_make(pool, 4, sizeof(ratelimit_line *));
  conf->delay = RATELIMIT_UNSET;
  conf->pk_place = NULL;
  conf->forward_place = NULL;
  return conf;
}

void *ratelimit_merge_server_conf(apr_pool_t *pool, void *base_conf, void *add_conf) {
  const ratelimit_server_conf *base = base_conf;
  const ratelimit_server_conf *add = add_conf;
  ratelimit_server_conf *conf = apr_pcalloc(pool, sizeof *conf);

  conf->store = add->store != NULL ? add->store : base->store;
  conf->secret = add->secret != NULL ? add->secret : base->secret;
  conf->secret_len = add->secret != NULL ? add->secret_len : base->secret_len;
  conf->status_keys = add->status_keys != RATELIMIT_UNSET ? add->status_keys : base->status_keys;
  conf->policies = apr_hash_overlay(pool, add->policies, base->policies);
  conf->lines = add->lines; /* the main server's are looked over as its own */
  conf->delay = add->delay != RATELIMIT_UNSET ? add->delay : base->delay;
  conf->pk_place = add->pk_place;
  conf->forward_place = add->forward_place;
  return conf;
}

void *ratelimit_create_dir_conf(apr_pool_t *pool, char *dir) {
  ratelimit_dir_conf *conf = apr_pcalloc(pool, sizeof *conf);

  (void)dir;
  conf->status_access = RATELIMIT_UNSET;
  conf->mode = RATELIMIT_UNSET;
  conf->fail = RATELIMIT_UNSET;
  conf->headers = RATELIMIT_UNSET;
  conf->refusal = RATELIMIT_REFUSAL_UNSET;
  conf->log = RATELIMIT_UNSET;
  conf->warn = RATELIMIT_UNSET;
  conf->expose = RATELIMIT_UNSET;
  conf->forward = RATELIMIT_UNSET;
  conf->exempt = NULL;
  conf->shed = NULL;
  conf->lines = NULL;
  return conf;
}

static int has_line(const apr_array_header_t *lines, const ratelimit_line *line) {
  for (int i = 0; i < lines->nelts; ++i) {
    if (APR_ARRAY_IDX(lines, i, ratelimit_line *) == line) {
      return 1;
    }
  }
  return 0;
}

/* Outer lines, then inner ones; a line that httpd brings twice counts once. */
static apr_array_header_t *merge_lines(apr_pool_t *pool, apr_array_header_t *base,
                                       apr_array_header_t *add) {
  apr_array_header_t *lines;

  if (base == NULL || add == NULL) {
    return base == NULL ? add : base;
  }
  lines = apr_array_make(pool, base->nelts + add->nelts, sizeof(ratelimit_line *));
  apr_array_cat(lines, base);
  for (int i = 0; i < add->nelts; ++i) {
    ratelimit_line *line = APR_ARRAY_IDX(add, i, ratelimit_line *);

    if (!has_line(base, line)) {
      APR_ARRAY_PUSH(lines, ratelimit_line *) = line;
    }
  }
  return lines;
}

void *ratelimit_merge_dir_conf(apr_pool_t *pool, void *base_conf, void *add_conf) {
  const ratelimit_dir_conf *base = base_conf;
  const ratelimit_dir_conf *add = add_conf;
  ratelimit_dir_conf *conf = apr_pcalloc(pool, sizeof *conf);

  conf->status_access = add->status_access != RATELIMIT_UNSET ? add->status_access
                                                              : base->status_access;
  conf->mode = add->mode != RATELIMIT_UNSET ? add->mode : base->mode;
  conf->fail = add->fail != RATELIMIT_UNSET ? add->fail : base->fail;
  conf->headers = add->headers != RATELIMIT_UNSET ? add->headers : base->headers;
  conf->refusal = ratelimit_merge_refusal(base->refusal, add->refusal);
  conf->log = add->log != RATELIMIT_UNSET ? add->log : base->log;
  conf->warn = add->warn != RATELIMIT_UNSET ? add->warn : base->warn;
  conf->expose = add->expose != RATELIMIT_UNSET ? add->expose : base->expose;
  conf->forward = add->forward != RATELIMIT_UNSET ? add->forward : base->forward;
  conf->exempt = ratelimit_merge_exempt(pool, base->exempt, add->exempt);
  conf->shed = ratelimit_merge_shed(pool, base->shed, add->shed);
  conf->lines = merge_lines(pool, base->lines, add->lines);
  return conf;
}

/* --- directives ---------------------------------------------------------------------------- */

int ratelimit_choose(cmd_parms *cmd, const char *const *words, int n, const char *text,
                     const char *what, const char **why) {
  const char *list = "";
  int at = ratelimit_find_word(words, n, text);

  *why = NULL;
  if (at >= 0 && *text != '\0') {
    return at;
  }
  for (int i = 0; i < n; ++i) {
    if (words[i][0] != '\0') {
      list = apr_pstrcat(cmd->temp_pool, list, *list == '\0' ? "" : i < n - 1 ? ", " : " or ",
                         words[i], NULL);
    }
  }
  *why = apr_psprintf(cmd->pool, "%s: \"%s\" is no %s: write %s", cmd->cmd->name,
                      ap_escape_logitem(cmd->temp_pool, text), what, list);
  return -1;
}

/* Settings of a place are the server's: AllowOverrideList could hand them to .htaccess otherwise. */
#define NOT_IN_PLACE (NOT_IN_LIMIT | NOT_IN_HTACCESS)

static const char *set_mode(cmd_parms *cmd, void *dir_conf, const char *text) {
  ratelimit_dir_conf *conf = dir_conf;
  const char *why = ap_check_cmd_context(cmd, NOT_IN_PLACE);
  int at = why == NULL ? ratelimit_choose(cmd, mode_words, 3, text, "mode", &why) : -1;

  conf->mode = at >= 0 ? at : conf->mode;
  return why;
}

static const char *set_fail(cmd_parms *cmd, void *dir_conf, const char *text) {
  ratelimit_dir_conf *conf = dir_conf;
  const char *why = ap_check_cmd_context(cmd, NOT_IN_PLACE);
  int at = why == NULL
               ? ratelimit_choose(cmd, ratelimit_fail_words, 4, text, "fail policy", &why)
               : -1;

  conf->fail = at >= 0 ? at : conf->fail;
  return why;
}

static int has_several(int bits) {
  return (bits & (bits - 1)) != 0;
}

static const char *set_headers(cmd_parms *cmd, void *dir_conf, int argc, char *const argv[]) {
  static const int drafts =
      RATELIMIT_HEADERS_DRAFT_08 | RATELIMIT_HEADERS_DRAFT_07 | RATELIMIT_HEADERS_DRAFT_06;
  ratelimit_server_conf *server =
      ap_get_module_config(cmd->server->module_config, &ratelimit_redis_module);
  ratelimit_dir_conf *conf = dir_conf;
  const char *why = ap_check_cmd_context(cmd, NOT_IN_PLACE);
  int bits = 0;
  int off = 0;

  if (why == NULL && argc == 0) {
    return "RateLimitHeaders takes one argument or more, as in: RateLimitHeaders draft-08";
  }
  for (int i = 0; i < argc && why == NULL; ++i) {
    int at = ratelimit_choose(cmd, headers_words, HEADERS_WORDS, argv[i], "form of the fields",
                              &why);

    off = off || at == HEADERS_WORDS - 1;
    bits |= at >= 0 && at < HEADERS_WORDS - 1 ? 1 << at : 0;
  }
  if (why != NULL) {
    return why;
  }
  if (off && argc > 1) {
    return "RateLimitHeaders: off stands alone: take it away, or the others";
  }
  if (has_several(bits & drafts)) {
    return "RateLimitHeaders: two drafts write the same fields in different ways: write one of "
           "draft-08, draft-07 and draft-06";
  }
  if (has_several(bits & (RATELIMIT_HEADERS_X | RATELIMIT_HEADERS_X_EPOCH))) {
    return "RateLimitHeaders: X-RateLimit-Reset is either seconds from now or a point in time: "
           "write x-ratelimit or x-ratelimit-epoch";
  }
  if (bits & RATELIMIT_HEADERS_PK && !(bits & RATELIMIT_HEADERS_DRAFT_08)) {
    return "RateLimitHeaders: only draft-08 has a partition key: write \"draft-08 pk\"";
  }
  if (bits & RATELIMIT_HEADERS_PK) {
    server->pk_place = apr_psprintf(cmd->pool, "%s:%d", cmd->directive->filename,
                                    cmd->directive->line_num);
  }
  conf->headers = bits;
  return NULL;
}

static const char *set_status(cmd_parms *cmd, void *dir_conf, const char *text) {
  ratelimit_dir_conf *conf = dir_conf;
  const char *why = ap_check_cmd_context(cmd, NOT_IN_PLACE);

  return why != NULL ? why : ratelimit_read_status(cmd, NULL, text, &conf->refusal);
}

static const char *set_redirect(cmd_parms *cmd, void *dir_conf, const char *text) {
  ratelimit_dir_conf *conf = dir_conf;
  const char *why = ap_check_cmd_context(cmd, NOT_IN_PLACE);

  return why != NULL ? why : ratelimit_read_redirect(cmd, NULL, text, 0, &conf->refusal);
}

static const char *set_close(cmd_parms *cmd, void *dir_conf, const char *text) {
  ratelimit_dir_conf *conf = dir_conf;
  const char *why = ap_check_cmd_context(cmd, NOT_IN_PLACE);

  return why != NULL ? why : ratelimit_read_close(cmd, NULL, text, &conf->refusal);
}

static const char *set_exempt(cmd_parms *cmd, void *dir_conf, const char *args) {
  ratelimit_dir_conf *conf = dir_conf;
  const char *why = ap_check_cmd_context(cmd, NOT_IN_PLACE);

  return why != NULL ? why : ratelimit_read_exempt(cmd, args, &conf->exempt);
}

static const char *set_shed(cmd_parms *cmd, void *dir_conf, const char *args) {
  ratelimit_dir_conf *conf = dir_conf;
  const char *why = ap_check_cmd_context(cmd, NOT_IN_PLACE);

  return why != NULL ? why : ratelimit_read_shed(cmd, args, &conf->shed);
}

static const char *set_delay(cmd_parms *cmd, void *dir_conf, const char *text) {
  ratelimit_server_conf *conf =
      ap_get_module_config(cmd->server->module_config, &ratelimit_redis_module);
  const char *why = ap_check_cmd_context(cmd, GLOBAL_ONLY | NOT_IN_HTACCESS);
  uint32_t percent;

  (void)dir_conf;
  if (why != NULL) {
    return why;
  }
  if (!ratelimit_parse_percent(text, RATELIMIT_DELAY_MOST_PERCENT, &percent)) {
    return apr_psprintf(cmd->pool, "RateLimitDelay: \"%s\" is no part of the workers: write one from "
                        "1%% to %d%%, such as 10%%",
                        ap_escape_logitem(cmd->temp_pool, text), RATELIMIT_DELAY_MOST_PERCENT);
  }
  conf->delay = (int)percent;
  return NULL;
}

static const char *set_log(cmd_parms *cmd, void *dir_conf, const char *text) {
  ratelimit_dir_conf *conf = dir_conf;
  const char *why = ap_check_cmd_context(cmd, NOT_IN_PLACE);
  uint32_t seconds = RATELIMIT_LOG_OFF;

  if (why == NULL && strcasecmp(text, "off") != 0 && !ratelimit_parse_interval(text, &seconds)) {
    why = apr_psprintf(cmd->pool, "RateLimitLog: \"%s\" is no time between lines: write one from 1s "
                       "to 1day, such as 60s, 10min or 1h, or off",
                       ap_escape_logitem(cmd->temp_pool, text));
  }
  conf->log = (int)seconds;
  return why;
}

const char *ratelimit_read_warn(cmd_parms *cmd, const char *what, const char *text, int *warn) {
  uint32_t percent;

  if (strcasecmp(text, "off") == 0) {
    *warn = RATELIMIT_WARN_OFF;
    return NULL;
  }
  if (!ratelimit_parse_percent(text, 100, &percent)) {
    return apr_psprintf(cmd->pool, "%s\"%s\" is no part of a quota: write one from 1%% to 100%%, such "
                        "as 80%%, or off",
                        what, ap_escape_logitem(cmd->temp_pool, text));
  }
  *warn = (int)percent;
  return NULL;
}

static const char *set_warn(cmd_parms *cmd, void *dir_conf, const char *text) {
  ratelimit_dir_conf *conf = dir_conf;
  const char *why = ap_check_cmd_context(cmd, NOT_IN_PLACE);

  return why != NULL ? why : ratelimit_read_warn(cmd, "RateLimitWarn: ", text, &conf->warn);
}

static const char *set_expose(cmd_parms *cmd, void *dir_conf, int on) {
  ratelimit_dir_conf *conf = dir_conf;
  const char *why = ap_check_cmd_context(cmd, NOT_IN_PLACE);

  conf->expose = on != 0;
  return why;
}

static const char *set_forward(cmd_parms *cmd, void *dir_conf, int on) {
  ratelimit_server_conf *server =
      ap_get_module_config(cmd->server->module_config, &ratelimit_redis_module);
  ratelimit_dir_conf *conf = dir_conf;
  const char *why = ap_check_cmd_context(cmd, NOT_IN_PLACE);

  if (why == NULL && on) {
    server->forward_place = apr_psprintf(cmd->pool, "%s:%d", cmd->directive->filename,
                                         cmd->directive->line_num);
  }
  conf->forward = on != 0;
  return why;
}

static const char *set_store(cmd_parms *cmd, void *dir_conf, const char *url) {
  ratelimit_server_conf *conf =
      ap_get_module_config(cmd->server->module_config, &ratelimit_redis_module);
  const char *why = ap_check_cmd_context(cmd, GLOBAL_ONLY | NOT_IN_HTACCESS);

  (void)dir_conf;
  if (why == NULL) {
    why = ratelimit_stores_try(cmd->pool, cmd->temp_pool, url);
    conf->store = url;
  }
  return why;
}

static const char *set_secret_file(cmd_parms *cmd, void *dir_conf, const char *path) {
  ratelimit_server_conf *conf =
      ap_get_module_config(cmd->server->module_config, &ratelimit_redis_module);
  const char *why = ap_check_cmd_context(cmd, GLOBAL_ONLY | NOT_IN_HTACCESS);

  (void)dir_conf;
  if (why == NULL) {
    why = ratelimit_stores_read_secret(cmd, path, &conf->secret, &conf->secret_len);
  }
  return why;
}

const command_rec ratelimit_commands[] = {
    AP_INIT_TAKE1("RateLimitStore", set_store, NULL, RSRC_CONF,
                  "the URL of the store that counts: shm:, shm:/path, redis://host, ..."),
    AP_INIT_TAKE1("RateLimitSecretFile", set_secret_file, NULL, RSRC_CONF,
                  "a file of 16 to 1024 bytes that keys the hashes in Redis key names"),
    AP_INIT_TAKE2("RateLimitPolicy", ratelimit_set_policy, NULL, RSRC_CONF,
                  "a name and the policy it stands for, as in: api \"10/s,1000/h burst=20\""),
    AP_INIT_TAKE1("RateLimitPolicyFile", ratelimit_set_policy_file, NULL, RSRC_CONF,
                  "a file with policies, store and secret that other programs read, too"),
    AP_INIT_TAKE1("RateLimitMode", set_mode, NULL, RSRC_CONF | ACCESS_CONF,
                  "enforce, dry-run or off"),
    AP_INIT_TAKE1("RateLimitFail", set_fail, NULL, RSRC_CONF | ACCESS_CONF,
                  "what happens while the store cannot answer: open, closed or local"),
    AP_INIT_TAKE_ARGV("RateLimitHeaders", set_headers, NULL, RSRC_CONF | ACCESS_CONF,
                      "the form of the RateLimit fields: one draft, x-ratelimit or "
                      "x-ratelimit-epoch, pk; or off"),
    AP_INIT_TAKE1("RateLimitStatus", set_status, NULL, RSRC_CONF | ACCESS_CONF,
                  "the status of refusals: 429, or another from 400 to 599"),
    AP_INIT_TAKE1("RateLimitRedirect", set_redirect, NULL, RSRC_CONF | ACCESS_CONF,
                  "the page that browsers are led to in place of a refusal, or off"),
    AP_INIT_TAKE1("RateLimitClose", set_close, NULL, RSRC_CONF | ACCESS_CONF,
                  "on or off: whether a refusal ends the connection"),
    AP_INIT_RAW_ARGS("RateLimitExempt", set_exempt, NULL, RSRC_CONF | ACCESS_CONF,
                     "who is not limited: networks, preflight, when=condition; or none"),
    AP_INIT_RAW_ARGS("RateLimitShed", set_shed, NULL, RSRC_CONF | ACCESS_CONF,
                     "from what part of busy workers on requests are refused, and when=condition "
                     "for which; or off"),
    AP_INIT_TAKE1("RateLimitDelay", set_delay, NULL, RSRC_CONF,
                  "the part of the workers that may wait for delay= at once, such as 10%"),
    AP_INIT_TAKE1("RateLimitLog", set_log, NULL, RSRC_CONF | ACCESS_CONF,
                  "the time between two lines of the error log about one offender, or off"),
    AP_INIT_TAKE1("RateLimitWarn", set_warn, NULL, RSRC_CONF | ACCESS_CONF,
                  "the part of a quota from which answers warn, such as 80%, or off"),
    AP_INIT_FLAG("RateLimitExpose", set_expose, NULL, RSRC_CONF | ACCESS_CONF,
                 "on or off: whether scripts of other origins may read the fields"),
    AP_INIT_FLAG("RateLimitForward", set_forward, NULL, RSRC_CONF | ACCESS_CONF,
                 "on or off: whether applications behind a proxy are told what was charged"),
    AP_INIT_TAKE1("RateLimitPageAccess", ratelimit_set_status_access, NULL,
                  RSRC_CONF | ACCESS_CONF,
                  "who may see ratelimit-status: local, or require for whom Require lets in"),
    AP_INIT_TAKE1("RateLimitPageKeys", ratelimit_set_status_keys, NULL, RSRC_CONF,
                  "how ratelimit-status shows keys: address, hashed or plain"),
    /* OR_LIMIT alone, for .htaccess, would not hold at the server's own level. */
    AP_INIT_RAW_ARGS("RateLimit", ratelimit_set_line, NULL, RSRC_CONF | ACCESS_CONF | OR_LIMIT,
                     "a policy, and name=, key=, cost=, when=, fail= or group= as wanted"),
    {NULL, {NULL}, NULL, 0, RAW_ARGS, NULL}};

/* --- when all is read ---------------------------------------------------------------------- */

int ratelimit_check_settings(server_rec *main_server) {
  int status = OK;

  for (server_rec *s = main_server; s != NULL; s = s->next) {
    const ratelimit_server_conf *conf =
        ap_get_module_config(s->module_config, &ratelimit_redis_module);

    if (conf->pk_place != NULL && conf->secret == NULL) {
      ap_log_error(APLOG_MARK, APLOG_ERR | APLOG_STARTUP, 0, s,
                   "RLR0010: %s: RateLimitHeaders: pk needs a secret, for without one a key can be "
                   "found by trying: write RateLimitSecretFile in the server's configuration",
                   conf->pk_place);
      status = HTTP_INTERNAL_SERVER_ERROR;
    }
    if (conf->forward_place != NULL && conf->secret == NULL) {
      ap_log_error(APLOG_MARK, APLOG_ERR | APLOG_STARTUP, 0, s,
                   "RLR0017: %s: RateLimitForward: an application can only tell by a secret that the "
                   "field is not a client's: write RateLimitSecretFile in the server's configuration",
                   conf->forward_place);
      status = HTTP_INTERNAL_SERVER_ERROR;
    }
  }
  return status;
}
