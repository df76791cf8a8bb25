/* SPDX-License-Identifier: Apache-2.0 */
#include "line.h"

#include <string.h>

#include <apr_strings.h>

#include "config.h"
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

static const char *parse_policy(cmd_parms *cmd, const char *name, const char *text,
                                const rlc_policy **out) {
  rlc_memory memory = {cmd->pool, pool_malloc, pool_realloc, pool_free};
  char why[RLC_MESSAGE_SIZE] = "";
  rlc_policy *policy;
  int rv = rlc_policy_new(&policy, name, text, &memory, why, sizeof why);

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
  const char *why = ap_check_cmd_context(cmd, NOT_IN_DIR_CONTEXT);
  ratelimit_named *named;

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
  why = parse_policy(cmd, name, text, &named->policy);
  if (why == NULL) {
    apr_hash_set(conf->policies, name, APR_HASH_KEY_STRING, named);
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

static void use_policy(apr_pool_t *pool, ratelimit_line *line, const rlc_policy *policy) {
  line->policy = policy;
  line->label = line->name != NULL ? line->name : rlc_policy_get_name(policy);
  line->policy_items = format_items(pool, line, line->label);
  if (line->label == NULL) {
    /* The library names it in the item, in quotes: the name that its counters have too. */
    const char *end = strchr(line->policy_items + 1, '"');

    line->label = apr_pstrmemdup(pool, line->policy_items + 1,
                                 (apr_size_t)(end - line->policy_items) - 1);
  }
}

static const char *find_policy(apr_pool_t *pool, ratelimit_line *line, apr_hash_t *policies) {
  ratelimit_named *named = apr_hash_get(policies, line->policy_name, APR_HASH_KEY_STRING);
  const char *known = "";

  if (named != NULL) {
    use_policy(pool, line, named->policy);
    return NULL;
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

/* --- RateLimit ----------------------------------------------------------------------------- */

enum { OPT_NAME, OPT_KEY, OPT_COST, OPT_WHEN, OPT_FAIL, OPT_GROUP, OPT_CHARGE, OPTIONS };

static const char *const option_names[OPTIONS] = {"name", "key",   "cost",  "when",
                                                  "fail", "group", "charge"};

static const char *read_expr(cmd_parms *cmd, const char *option, const char *text, unsigned flags,
                             ratelimit_line *line, const ap_expr_info_t **out) {
  const char *err = NULL;

  flags |= AP_EXPR_FLAG_DONT_VARY;
  if (line->scope != NULL) {
    flags |= AP_EXPR_FLAG_RESTRICTED | AP_EXPR_FLAG_RESTRICTED_FILE_FUNC;
  }
  *out = ap_expr_parse_cmd(cmd, text, flags, &err, NULL);
  if (err != NULL) {
    return apr_psprintf(cmd->pool, "RateLimit: in %s=\"%s\": %s: write an expression of httpd's "
                        "own, such as \"%%{HTTP:X-API-Key}\" for a value or "
                        "\"%%{REQUEST_METHOD} == 'POST'\" for a condition",
                        option, ap_escape_logitem(cmd->temp_pool, text), err);
  }
  if (ratelimit_expr_reads_user(text)) {
    line->late = 1;
  }
  return NULL;
}

static const char *read_option(cmd_parms *cmd, ratelimit_line *line, int option,
                               const char *text) {
  const char *why = NULL;
  apr_uint32_t cost;
  int at;

  switch (option) {
  case OPT_NAME:
    line->name = text;
    if (!rlc_name_ok(text)) {
      why = apr_psprintf(cmd->pool, "RateLimit: name=\"%s\" cannot name a limit: write a letter "
                         "and then at most %d letters, digits, \"-\" or \"_\"",
                         ap_escape_logitem(cmd->temp_pool, text), RLC_MAX_NAME - 1);
    }
    return why;
  case OPT_KEY:
    return read_expr(cmd, "key", text, AP_EXPR_FLAG_STRING_RESULT, line, &line->key);
  case OPT_GROUP:
    return read_expr(cmd, "group", text, AP_EXPR_FLAG_STRING_RESULT, line, &line->group);
  case OPT_WHEN:
    return read_expr(cmd, "when", text, 0, line, &line->when);
  case OPT_COST:
    if (ratelimit_expr_varies(text)) {
      return read_expr(cmd, "cost", text, AP_EXPR_FLAG_STRING_RESULT, line, &line->cost);
    }
    if (!ratelimit_parse_cost(text, RLC_MAX_QUOTA, &cost) || cost > RLC_MAX_QUOTA) {
      return apr_psprintf(cmd->pool, "RateLimit: cost=\"%s\" is no cost: write a whole number from "
                          "0 to %u, or an expression such as cost=\"%%{ENV:api_cost}\"",
                          ap_escape_logitem(cmd->temp_pool, text), RLC_MAX_QUOTA);
    }
    line->fixed_cost = cost;
    return NULL;
  case OPT_FAIL:
    at = ratelimit_choose(cmd, ratelimit_fail_words, 4, text, "fail policy", &why);
    line->fail = at >= 0 ? (rlc_fail)at : RLC_FAIL_DEFAULT;
    return why;
  default:
    return "RateLimit: charge= is not available in this version: leave it out";
  }
}

static const char *unknown_option(cmd_parms *cmd, const ratelimit_word *word) {
  static const char *const of_policy[] = {"algorithm", "burst", "align", "tz", "anchor",
                                          "delay", "ban"};

  if (word->name == NULL) {
    return apr_psprintf(cmd->pool, "RateLimit: \"%s\" is one argument too many: write the policy "
                        "first, in quotes if it has spaces, and then name=, key=, cost=, when=, "
                        "fail= or group=, with quotes around a value that has spaces",
                        ap_escape_logitem(cmd->temp_pool, word->value));
  }
  if (ratelimit_find_word(of_policy, sizeof of_policy / sizeof of_policy[0], word->name) >= 0) {
    return apr_psprintf(cmd->pool, "RateLimit: %s= belongs to the policy: write both in one pair "
                        "of quotes, as in \"100/min %s=%s\"",
                        word->name, word->name, ap_escape_logitem(cmd->temp_pool, word->value));
  }
  return apr_psprintf(cmd->pool, "RateLimit: there is no option %s=: write name=, key=, cost=, "
                      "when=, fail= or group=",
                      ap_escape_logitem(cmd->temp_pool, word->name));
}

static const char *bad_quotes(ratelimit_words got) {
  if (got == RATELIMIT_WORDS_OPEN) {
    return "RateLimit: a quote is not closed: write one at the end of the value";
  }
  return got == RATELIMIT_WORDS_JOINED
             ? "RateLimit: text follows a closing quote: write a space between them"
             : NULL;
}

static const char *read_options(cmd_parms *cmd, ratelimit_line *line, char *rest) {
  ratelimit_word word;
  ratelimit_words got;
  unsigned seen = 0;
  const char *why;
  int option;

  while ((got = ratelimit_next_word(&rest, &word)) == RATELIMIT_WORDS_ONE) {
    option = word.name != NULL ? ratelimit_find_word(option_names, OPTIONS, word.name) : -1;
    if (option < 0) {
      return unknown_option(cmd, &word);
    }
    if (seen & 1u << option) {
      return apr_psprintf(cmd->pool, "RateLimit: %s= is there twice: write it once",
                          option_names[option]);
    }
    seen |= 1u << option;
    why = read_option(cmd, line, option, word.value);
    if (why != NULL) {
      return why;
    }
  }
  return bad_quotes(got);
}

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
  line->file = cmd->directive->filename;
  line->file_line = cmd->directive->line_num;
  if (in_htaccess) {
    set_scope(cmd, line);
  }
  got = ratelimit_next_word(&rest, &word);
  why = bad_quotes(got);
  if (why != NULL) {
    return why;
  }
  if (got == RATELIMIT_WORDS_END || word.name != NULL) {
    return "RateLimit: the policy comes first: write the name of a RateLimitPolicy, or a policy in "
           "quotes such as \"100/min\"";
  }
  policy = word.value;
  why = read_options(cmd, line, rest);
  if (why == NULL && *policy >= '0' && *policy <= '9') {
    const rlc_policy *parsed;

    why = parse_policy(cmd, NULL, policy, &parsed);
    if (why == NULL) {
      use_policy(cmd->pool, line, parsed);
    }
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
