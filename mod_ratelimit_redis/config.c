/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <apr_strings.h>

#include "line.h"
#include "stores.h"
#include "text.h"

static const char *const mode_words[] = {"enforce", "dry-run", "off"};
static const char *const headers_words[] = {"draft-08", "off"};
const char *const ratelimit_fail_words[4] = {"", "local", "open", "closed"};

/* --- defaults ------------------------------------------------------------------------------ */

int ratelimit_get_mode(const ratelimit_dir_conf *conf) {
  return conf->mode != RATELIMIT_UNSET ? conf->mode : RATELIMIT_ENFORCE;
}

rlc_fail ratelimit_get_fail(const ratelimit_dir_conf *conf) {
  return conf->fail != RATELIMIT_UNSET ? (rlc_fail)conf->fail : RLC_FAIL_DEFAULT;
}

int ratelimit_get_headers(const ratelimit_dir_conf *conf) {
  return conf->headers != RATELIMIT_UNSET ? conf->headers : RATELIMIT_HEADERS_DRAFT_08;
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
  conf->policies = apr_hash_make(pool);
  conf->lines = apr_array_make(pool, 4, sizeof(ratelimit_line *));
  return conf;
}

void *ratelimit_merge_server_conf(apr_pool_t *pool, void *base_conf, void *add_conf) {
  const ratelimit_server_conf *base = base_conf;
  const ratelimit_server_conf *add = add_conf;
  ratelimit_server_conf *conf = apr_pcalloc(pool, sizeof *conf);

  conf->store = add->store != NULL ? add->store : base->store;
  conf->secret = add->secret != NULL ? add->secret : base->secret;
  conf->secret_len = add->secret != NULL ? add->secret_len : base->secret_len;
  conf->policies = apr_hash_overlay(pool, add->policies, base->policies);
  conf->lines = add->lines; /* the main server's are looked over as its own */
  return conf;
}

void *ratelimit_create_dir_conf(apr_pool_t *pool, char *dir) {
  ratelimit_dir_conf *conf = apr_pcalloc(pool, sizeof *conf);

  (void)dir;
  conf->mode = RATELIMIT_UNSET;
  conf->fail = RATELIMIT_UNSET;
  conf->headers = RATELIMIT_UNSET;
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

  conf->mode = add->mode != RATELIMIT_UNSET ? add->mode : base->mode;
  conf->fail = add->fail != RATELIMIT_UNSET ? add->fail : base->fail;
  conf->headers = add->headers != RATELIMIT_UNSET ? add->headers : base->headers;
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

static const char *set_mode(cmd_parms *cmd, void *dir_conf, const char *text) {
  ratelimit_dir_conf *conf = dir_conf;
  const char *why = ap_check_cmd_context(cmd, NOT_IN_LIMIT);
  int at = why == NULL ? ratelimit_choose(cmd, mode_words, 3, text, "mode", &why) : -1;

  conf->mode = at >= 0 ? at : conf->mode;
  return why;
}

static const char *set_fail(cmd_parms *cmd, void *dir_conf, const char *text) {
  ratelimit_dir_conf *conf = dir_conf;
  const char *why = ap_check_cmd_context(cmd, NOT_IN_LIMIT);
  int at = why == NULL
               ? ratelimit_choose(cmd, ratelimit_fail_words, 4, text, "fail policy", &why)
               : -1;

  conf->fail = at >= 0 ? at : conf->fail;
  return why;
}

static const char *set_headers(cmd_parms *cmd, void *dir_conf, const char *text) {
  ratelimit_dir_conf *conf = dir_conf;
  const char *why = ap_check_cmd_context(cmd, NOT_IN_LIMIT);
  int at = why == NULL
               ? ratelimit_choose(cmd, headers_words, 2, text, "form of the fields", &why)
               : -1;

  conf->headers = at >= 0 ? at : conf->headers;
  return why;
}

static const char *set_store(cmd_parms *cmd, void *dir_conf, const char *url) {
  ratelimit_server_conf *conf =
      ap_get_module_config(cmd->server->module_config, &ratelimit_redis_module);
  const char *why = ap_check_cmd_context(cmd, GLOBAL_ONLY);

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
  const char *why = ap_check_cmd_context(cmd, GLOBAL_ONLY);

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
    AP_INIT_TAKE1("RateLimitMode", set_mode, NULL, RSRC_CONF | ACCESS_CONF,
                  "enforce, dry-run or off"),
    AP_INIT_TAKE1("RateLimitFail", set_fail, NULL, RSRC_CONF | ACCESS_CONF,
                  "what happens while the store cannot answer: open, closed or local"),
    AP_INIT_TAKE1("RateLimitHeaders", set_headers, NULL, RSRC_CONF | ACCESS_CONF,
                  "the form of the RateLimit fields: draft-08 or off"),
    /* OR_LIMIT alone, for .htaccess, would not hold at the server's own level. */
    AP_INIT_RAW_ARGS("RateLimit", ratelimit_set_line, NULL, RSRC_CONF | ACCESS_CONF | OR_LIMIT,
                     "a policy, and name=, key=, cost=, when=, fail= or group= as wanted"),
    {NULL, {NULL}, NULL, 0, RAW_ARGS, NULL}};
