/* SPDX-License-Identifier: Apache-2.0 */
#include "line.h"

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "cache.h"
#include "config.h"
#include "option.h"
#include "stores.h"
#include "text.h"

/* --- policies in a pool -------------------------------------------------------------------- */

/* A policy lives as long as the configuration that names it, or in .htaccess as the request. The
 * pool frees it, so each block carries its size for the sake of realloc. */
enum { BLOCK_HEAD = 16 };

static void *pool_malloc(size_t size, void *pool) {
  char *block = size < SIZE_MAX - BLOCK_HEAD ? apr_palloc(pool, size + BLOCK_HEAD) : NULL;

  if (block == NULL) {
    return NULL;
  }
  memcpy(block, &size, sizeof size);
  return block + BLOCK_HEAD;
}

static void pool_free(void *ptr, void *pool) {
  (void)ptr;
  (void)pool;
}

static void *pool_realloc(void *ptr, size_t size, void *pool) {
  void *bigger = pool_malloc(size, pool);
  size_t old = 0;

  if (bigger != NULL && ptr != NULL) {
    memcpy(&old, (char *)ptr - BLOCK_HEAD, sizeof old);
    memcpy(bigger, ptr, old < size ? old : size);
  }
  return bigger;
}

/* |memory| is NULL for the pool's. */
static const char *parse_policy(cmd_parms *cmd, const char *name, const char *text,
                                const rlc_memory *memory, rlc_policy **out) {
  rlc_memory of_pool = {cmd->pool, pool_malloc, pool_realloc, pool_free};
  char why[RLC_MESSAGE_SIZE] = "";
  rlc_policy *policy;
  int rv = rlc_policy_new(&policy, name, text, memory != NULL ? memory : &of_pool, why, sizeof why);

  *out = policy;
  if (rv == 0) {
    return NULL;
  }
  return apr_psprintf(cmd->pool, "%s: the policy \"%s\" cannot be used: %s", cmd->cmd->name,
                      ap_escape_logitem(cmd->temp_pool, text),
                      why[0] != '\0' ? why : rlc_strerror(rv));
}

const char *ratelimit_set_policy(cmd_parms *cmd, void *dir_conf, const char *name,
                                 const char *text) {
  ratelimit_server_conf *conf =
      ap_get_module_config(cmd->server->module_config, &ratelimit_redis_module);
  const char *why = ap_check_cmd_context(cmd, NOT_IN_DIR_CONTEXT | NOT_IN_HTACCESS);
  ratelimit_named *named;
  rlc_policy *policy;

  (void)dir_conf;
  if (why != NULL) {
    return why;
  }
  if (!rlc_name_ok(name)) {
    return apr_psprintf(cmd->pool, "%s: \"%s\" cannot name a policy: write a letter and then at "
                        "most %d letters, digits, \"-\" or \"_\"",
                        cmd->cmd->name, ap_escape_logitem(cmd->temp_pool, name), RLC_MAX_NAME - 1);
  }
  named = apr_hash_get(conf->policies, name, APR_HASH_KEY_STRING);
  if (named != NULL) {
    return apr_psprintf(cmd->pool, "%s: the name %s is taken (%s:%d): write another name",
                        cmd->cmd->name, name, named->file, named->file_line);
  }
  named = apr_pcalloc(cmd->pool, sizeof *named);
  named->file = cmd->directive->filename;
  named->file_line = cmd->directive->line_num;
  why = parse_policy(cmd, name, text, NULL, &policy);
  if (why == NULL) {
    named->policy = policy;
    apr_hash_set(conf->policies, name, APR_HASH_KEY_STRING, named);
  }
  return why;
}

/* What the file says of the store and its secret is said by a directive where there is one. */
const char *ratelimit_set_policy_file(cmd_parms *cmd, void *dir_conf, const char *path) {
  ratelimit_server_conf *conf =
      ap_get_module_config(cmd->server->module_config, &ratelimit_redis_module);
  const char *why = ap_check_cmd_context(cmd, GLOBAL_ONLY | NOT_IN_HTACCESS);
  const char *full = why == NULL ? ap_server_root_relative(cmd->pool, path) : NULL;
  rlc_memory memory = {cmd->pool, pool_malloc, pool_realloc, pool_free};
  char told[RLC_MESSAGE_SIZE] = "";
  rlc_config *file;

  (void)dir_conf;
  if (why != NULL) {
    return why;
  }
  if (full == NULL ||
      rlc_config_load(&file, full, &memory, told, sizeof told) != 0) {
    return apr_psprintf(cmd->pool, "%s: %s", cmd->cmd->name,
                        full == NULL ? "this is no path: write the path of a file" : told);
  }
  for (apr_size_t i = 0; i < rlc_config_get_policies(file); ++i) {
    const rlc_policy *policy = rlc_config_get_policy(file, i);
    const char *name = rlc_policy_get_name(policy);
    ratelimit_named *named = apr_hash_get(conf->policies, name, APR_HASH_KEY_STRING);

    if (named != NULL) {
      return apr_psprintf(cmd->pool, "%s: the name %s is taken (%s:%d): write another name",
                          cmd->cmd->name, name, named->file, named->file_line);
    }
    named = apr_pcalloc(cmd->pool, sizeof *named);
    named->policy = policy;
    named->file = cmd->directive->filename;
    named->file_line = cmd->directive->line_num;
    apr_hash_set(conf->policies, name, APR_HASH_KEY_STRING, named);
  }
  if (conf->store == NULL && rlc_config_get_store(file) != NULL) {
    conf->store = rlc_config_get_store(file);
    why = ratelimit_stores_try(cmd->pool, cmd->temp_pool, conf->store);
  }
  if (why == NULL && conf->secret == NULL && rlc_config_get_secret_file(file) != NULL) {
    why = ratelimit_stores_read_secret(cmd, rlc_config_get_secret_file(file), &conf->secret,
                                       &conf->secret_len);
  }
  return why;
}

/* --- what follows from the policy ---------------------------------------------------------- */

static const char *format_items(apr_pool_t *pool, const ratelimit_line *line, const char *label) {
  char item[160];
  const char *items = "";

  for (unsigned i = 0; i < rlc_policy_get_rates(line->policy); ++i) {
    rlc_http_format_policy(item, sizeof item, label, line->policy, i);
    items = apr_pstrcat(pool, items, i > 0 ? ", " : "", item, NULL);
  }
  return items;
}

static const char *format_quotas(apr_pool_t *pool, const rlc_policy *policy) {
  char item[80];
  const char *items = "";

  for (unsigned i = 0; i < rlc_policy_get_rates(policy); ++i) {
    rlc_http_format_quota(item, sizeof item, policy, i);
    items = apr_pstrcat(pool, items, i > 0 ? ", " : "", item, NULL);
  }
  return items;
}

static void describe(apr_pool_t *pool, ratelimit_line *line, const rlc_policy *policy) {
  line->policy = policy;
  line->label = line->name != NULL ? line->name : rlc_policy_get_name(policy);
  line->policy_items = format_items(pool, line, line->label);
  line->quota_items = format_quotas(pool, policy);
  if (line->label == NULL) {
    /* The library names it in the item, in quotes: the name that its counters have too. */
    const char *end = strchr(line->policy_items + 1, '"');

    line->label = apr_pstrmemdup(pool, line->policy_items + 1,
                                 (apr_size_t)(end - line->policy_items) - 1);
  }
}

/* Returns NULL, or what line and policy cannot be together. */
static const char *check_charge(const ratelimit_line *line) {
  if (line->charge.kind != RATELIMIT_CHARGE_NONE &&
      rlc_policy_get_algorithm(line->policy) == RLC_CONCURRENCY) {
    return "RateLimit: charge= is not for algorithm=concurrency, whose slots are free again when the "
           "request ends: leave it out, or give it a limit of its own";
  }
  return NULL;
}

static const char *use_policy(apr_pool_t *pool, ratelimit_line *line, const rlc_policy *policy) {
  describe(pool, line, policy);
  return check_charge(line);
}

static const char *find_policy(apr_pool_t *pool, ratelimit_line *line, apr_hash_t *policies) {
  ratelimit_named *named = apr_hash_get(policies, line->policy_name, APR_HASH_KEY_STRING);
  const char *known = "";

  if (named != NULL && line->scope != NULL &&
      ratelimit_cache_get(line, line->policy_name, rlc_policy_get_text(named->policy))) {
    line->policy = named->policy; /* a virtual host's own may read the same */
    return check_charge(line);
  }
  if (named != NULL) {
    const char *why = use_policy(pool, line, named->policy);

    if (why == NULL && line->scope != NULL) {
      ratelimit_cache_put(line, line->policy_name, rlc_policy_get_text(named->policy));
    }
    return why;
  }
  for (apr_hash_index_t *i = apr_hash_first(pool, policies); i != NULL; i = apr_hash_next(i)) {
    known = apr_pstrcat(pool, known, *known == '\0' ? "" : ", ", apr_hash_this_key(i), NULL);
  }
  return apr_psprintf(pool, "RateLimit: no policy is called %s: write \"RateLimitPolicy %s "
                      "100/min\" in the server's configuration, or name one that is there (%s)",
                      line->policy_name, line->policy_name, *known == '\0' ? "none is" : known);
}

static const char *find_clash(apr_pool_t *pool, const ratelimit_line *line,
                              const ratelimit_line *other) {
  if (strcmp(line->label, other->label) != 0 ||
      strcmp(rlc_policy_get_text(line->policy), rlc_policy_get_text(other->policy)) == 0) {
    return NULL;
  }
  return apr_psprintf(pool, "RateLimit: the name %s stands for \"%s\" here and for \"%s\" at "
                      "%s:%d, and one counter cannot obey two policies: write another name=",
                      line->label, rlc_policy_get_text(line->policy),
                      rlc_policy_get_text(other->policy), other->file, other->file_line);
}

/* What a policy does not go with. */
static const char *find_misfit(const ratelimit_line *line) {
  return line->delay_ms > 0 && rlc_policy_get_algorithm(line->policy) == RLC_CONCURRENCY
             ? "RateLimit: delay= waits until a quota is there again, and algorithm=concurrency knows "
               "no such time: leave delay= out"
             : NULL;
}

/* --- RateLimit ----------------------------------------------------------------------------- */

/* A limit from .htaccess counts for its folder alone. The NULs keep it apart from every key that
 * the server's own lines can make, for those are C strings. */
static void set_scope(cmd_parms *cmd, ratelimit_line *line) {
  const char *folder = ap_make_dirstr_parent(cmd->temp_pool, cmd->directive->filename);
  apr_size_t len = strlen(folder);
  char *scope = apr_palloc(cmd->pool, len + 6);

  memcpy(scope, "\0dir\0", 5);
  memcpy(scope + 5, folder, len + 1);
  line->scope = scope;
  line->scope_len = len + 6;
}

static void *plain_malloc(size_t size, void *unused) {
  (void)unused;
  return malloc(size);
}

static void *plain_realloc(void *ptr, size_t size, void *unused) {
  (void)unused;
  return realloc(ptr, size);
}

static void plain_free(void *ptr, void *unused) {
  (void)unused;
  free(ptr);
}

static apr_status_t drop_policy(void *policy) {
  rlc_policy_del(policy);
  return APR_SUCCESS;
}

/* The policy that is written in the line. One of .htaccess stays beyond the request, if there is room. */
static const char *set_text(cmd_parms *cmd, ratelimit_line *line, const char *text) {
  static const rlc_memory plain = {NULL, plain_malloc, plain_realloc, plain_free};
  rlc_policy *policy;
  const char *why;

  if (line->scope != NULL && ratelimit_cache_get(line, NULL, text)) {
    return check_charge(line);
  }
  why = parse_policy(cmd, NULL, text, line->scope != NULL ? &plain : NULL, &policy);
  if (why == NULL) {
    why = use_policy(cmd->pool, line, policy);
    if (line->scope != NULL && !ratelimit_cache_put(line, NULL, text)) {
      apr_pool_cleanup_register(cmd->pool, policy, drop_policy, apr_pool_cleanup_null);
    }
  }
  return why;
}

const char *ratelimit_set_line(cmd_parms *cmd, void *dir_conf, const char *args) {
  ratelimit_dir_conf *conf = dir_conf;
  ratelimit_server_conf *server =
      ap_get_module_config(cmd->server->module_config, &ratelimit_redis_module);
  int in_htaccess = cmd->pool == cmd->temp_pool;
  ratelimit_line *line = apr_pcalloc(cmd->pool, sizeof *line);
  char *rest = apr_pstrdup(cmd->pool, args);
  const char *why = ap_check_cmd_context(cmd, NOT_IN_LIMIT);
  ratelimit_words got;
  ratelimit_word word;
  const char *policy;

  if (why != NULL) {
    return why;
  }
  line->fixed_cost = 1;
  line->refusal = RATELIMIT_REFUSAL_UNSET;
  line->v4_prefix = -1;
  line->v6_prefix = -1;
  line->phase = -1;
  line->warn = -1;
  line->file = cmd->directive->filename;
  line->file_line = cmd->directive->line_num;
  if (in_htaccess) {
    set_scope(cmd, line);
  }
  got = ratelimit_next_word(&rest, &word);
  why = ratelimit_bad_quotes(cmd, got);
  if (why != NULL) {
    return why;
  }
  if (got == RATELIMIT_WORDS_END || word.name != NULL) {
    return "RateLimit: the policy comes first: write the name of a RateLimitPolicy, or a policy in "
           "quotes such as \"100/min\"";
  }
  policy = word.value;
  why = ratelimit_read_options(cmd, line, rest);
  if (why == NULL && *policy >= '0' && *policy <= '9') {
    why = set_text(cmd, line, policy);
  } else if (why == NULL) {
    line->policy_name = policy;
    if (!rlc_name_ok(policy)) {
      why = apr_psprintf(cmd->pool, "RateLimit: \"%s\" is no policy: write the name of a "
                         "RateLimitPolicy, or a policy that begins with a number such as "
                         "\"100/min\"",
                         ap_escape_logitem(cmd->temp_pool, policy));
    } else if (in_htaccess) {
      why = find_policy(cmd->pool, line, server->policies);
    }
  }
  if (why != NULL) {
    return why;
  }
  if (conf->lines == NULL) {
    conf->lines = apr_array_make(cmd->pool, 2, sizeof(ratelimit_line *));
  }
  for (int i = 0; in_htaccess && i < conf->lines->nelts; ++i) {
    why = find_clash(cmd->pool, line, APR_ARRAY_IDX(conf->lines, i, ratelimit_line *));
    if (why != NULL) {
      return why;
    }
  }
  APR_ARRAY_PUSH(conf->lines, ratelimit_line *) = line;
  if (!in_htaccess) {
    APR_ARRAY_PUSH(server->lines, ratelimit_line *) = line;
  }
  return NULL;
}

/* --- when all is read ---------------------------------------------------------------------- */

/* |labels| are those of all servers so far: there is one store, so one name is one counter in all
 * of them, and two policies under it would undo each other. */
static int check_lines(apr_pool_t *pool, apr_pool_t *temp, const server_rec *s,
                       const ratelimit_server_conf *conf, apr_hash_t *labels) {
  int status = OK;

  for (int i = 0; i < conf->lines->nelts; ++i) {
    ratelimit_line *line = APR_ARRAY_IDX(conf->lines, i, ratelimit_line *);
    ratelimit_line *other = NULL;
    const char *why = NULL;

    if (line->policy == NULL) {
      why = find_policy(pool, line, conf->policies);
    }
    if (why == NULL) {
      why = find_misfit(line);
    }
    if (why == NULL) {
      other = apr_hash_get(labels, line->label, APR_HASH_KEY_STRING);
    }
    if (other != NULL) {
      why = find_clash(temp, line, other);
    } else if (why == NULL) {
      apr_hash_set(labels, line->label, APR_HASH_KEY_STRING, line);
    }
    if (why != NULL) {
      ap_log_error(APLOG_MARK, APLOG_ERR | APLOG_STARTUP, 0, s, "RLR0003: %s:%d: %s", line->file,
                   line->file_line, why);
      status = HTTP_INTERNAL_SERVER_ERROR;
    }
  }
  return status;
}

int ratelimit_lines_resolve(apr_pool_t *pool, apr_pool_t *temp, server_rec *main_server) {
  const ratelimit_server_conf *main_conf =
      ap_get_module_config(main_server->module_config, &ratelimit_redis_module);
  apr_hash_t *labels = apr_hash_make(temp);
  int status = check_lines(pool, temp, main_server, main_conf, labels);

  for (server_rec *s = main_server->next; s != NULL; s = s->next) {
    const ratelimit_server_conf *conf =
        ap_get_module_config(s->module_config, &ratelimit_redis_module);

    if (conf != main_conf) {
      int found = check_lines(pool, temp, s, conf, labels);

      status = status == OK ? found : status;
    }
  }
  return status;
}
