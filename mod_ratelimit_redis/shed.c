/* SPDX-License-Identifier: Apache-2.0 */
#include "shed.h"

#include <strings.h>

#include <ap_expr.h>
#include <apr_strings.h>

#include "access.h"
#include "answer.h"
#include "events.h"
#include "exempt.h"
#include "journal.h"
#include "key.h"
#include "load.h"
#include "option.h"
#include "text.h"

/* One RateLimitShed. */
typedef struct ratelimit_shed {
  int off;                    /* rules further out do not hold */
  unsigned percent;           /* from so many busy workers on */
  const ap_expr_info_t *when; /* NULL: always */
  const char *file;
  int file_line;
} ratelimit_shed;

/* --- reading ------------------------------------------------------------------------------- */

#define WHAT_TO_WRITE "a part of the workers from 1% to 100%, such as 80%, and when=\"condition\" for " \
  "the requests that matter least, or off"

static const char *read_percent(cmd_parms *cmd, const char *text, unsigned *percent) {
  uint32_t n;

  if (!ratelimit_parse_percent(text, 100, &n)) {
    return apr_psprintf(cmd->pool, "RateLimitShed: \"%s\" is no part of the workers: write %s",
                        ap_escape_logitem(cmd->temp_pool, text), WHAT_TO_WRITE);
  }
  *percent = n;
  return NULL;
}

static const char *read_when(cmd_parms *cmd, const char *text, ratelimit_shed *rule) {
  const char *err = NULL;

  if (rule->when != NULL) {
    return "RateLimitShed: when= is there twice: write it once, or in a line of its own";
  }
  if (ratelimit_expr_reads_user(text)) {
    return "RateLimitShed: when= reads the user, who is not known yet: requests are shed before "
           "authentication, which is work too; write a condition on the request";
  }
  rule->when = ap_expr_parse_cmd(cmd, text, AP_EXPR_FLAG_DONT_VARY, &err, NULL);
  if (err == NULL) {
    return NULL;
  }
  return apr_psprintf(cmd->pool, "RateLimitShed: in when=\"%s\": %s: write an expression of "
                      "httpd's own, such as \"%%{REQUEST_URI} =~ m#^/search#\"",
                      ap_escape_logitem(cmd->temp_pool, text), err);
}

static const char *read_word(cmd_parms *cmd, const ratelimit_word *word, ratelimit_shed *rule) {
  if (word->name != NULL) {
    return strcasecmp(word->name, "when") == 0
               ? read_when(cmd, word->value, rule)
               : apr_psprintf(cmd->pool, "RateLimitShed: there is no option %s=: write %s",
                              ap_escape_logitem(cmd->temp_pool, word->name), WHAT_TO_WRITE);
  }
  if (rule->percent != 0 || rule->off) {
    return apr_psprintf(cmd->pool, "RateLimitShed: \"%s\" is one argument too many: write %s",
                        ap_escape_logitem(cmd->temp_pool, word->value), WHAT_TO_WRITE);
  }
  if (strcasecmp(word->value, "off") == 0) {
    rule->off = 1;
    return NULL;
  }
  return read_percent(cmd, word->value, &rule->percent);
}

const char *ratelimit_read_shed(cmd_parms *cmd, const char *args, apr_array_header_t **rules) {
  ratelimit_shed *rule = apr_pcalloc(cmd->pool, sizeof *rule);
  char *rest = apr_pstrdup(cmd->pool, args);
  ratelimit_words got;
  ratelimit_word word;
  const char *why = NULL;

  rule->file = cmd->directive->filename;
  rule->file_line = cmd->directive->line_num;
  while (why == NULL && (got = ratelimit_next_word(&rest, &word)) == RATELIMIT_WORDS_ONE) {
    why = read_word(cmd, &word, rule);
  }
  if (why == NULL) {
    why = ratelimit_bad_quotes(cmd, got);
  }
  if (why != NULL) {
    return why;
  }
  if (rule->percent == 0 && !rule->off) {
    return apr_psprintf(cmd->pool, "RateLimitShed: it does not say from when on: write %s",
                        WHAT_TO_WRITE);
  }
  if (rule->off && rule->when != NULL) {
    return "RateLimitShed: off stands alone: take it away, or the condition";
  }
  if (*rules == NULL) {
    *rules = apr_array_make(cmd->pool, 2, sizeof(ratelimit_shed *));
  }
  APR_ARRAY_PUSH(*rules, ratelimit_shed *) = rule;
  return NULL;
}

apr_array_header_t *ratelimit_merge_shed(apr_pool_t *pool, apr_array_header_t *base,
                                         apr_array_header_t *add) {
  if (base == NULL || add == NULL) {
    return base == NULL ? add : base;
  }
  for (int i = 0; i < add->nelts; ++i) {
    if (APR_ARRAY_IDX(add, i, ratelimit_shed *)->off) {
      return add;
    }
  }
  return apr_array_append(pool, base, add);
}

/* --- for a request ------------------------------------------------------------------------- */

/* A condition that cannot be evaluated sheds nothing. */
static int holds(request_rec *r, const ratelimit_shed *rule) {
  static volatile apr_uint32_t last;
  const char *err = NULL;
  int yes = rule->when == NULL ? 1 : ap_expr_exec(r, rule->when, &err);

  if (err == NULL && yes >= 0) {
    return yes > 0;
  }
  if (ratelimit_log_due(&last)) {
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                  "RLR0019: when= of RateLimitShed (%s:%d) cannot be evaluated, and sheds nothing: "
                  "%s",
                  rule->file, rule->file_line,
                  err != NULL ? ap_escape_logitem(r->pool, err) : "no result");
  }
  return 0;
}

static const ratelimit_shed *find_rule(request_rec *r, const apr_array_header_t *rules,
                                       unsigned percent) {
  for (int i = 0; i < rules->nelts; ++i) {
    const ratelimit_shed *rule = APR_ARRAY_IDX(rules, i, ratelimit_shed *);

    if (!rule->off && percent >= rule->percent && holds(r, rule)) {
      return rule;
    }
  }
  return NULL;
}

static void tell(request_rec *r, const ratelimit_shed *rule, unsigned percent, int dry) {
  if (ratelimit_journal_load_due()) {
    ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                  "RLR0020: %s%u%% of the workers are busy: requests %s refused by RateLimitShed "
                  "%u%% (%s:%d)",
                  dry ? "dry run: " : "", percent, dry ? "would be" : "are", rule->percent,
                  rule->file, rule->file_line);
  }
}

int ratelimit_check_load(request_rec *r) {
  const ratelimit_dir_conf *conf =
      ap_get_module_config(r->per_dir_config, &ratelimit_redis_module);
  const ratelimit_shed *rule;
  unsigned percent;
  int dry;

  if (conf->shed == NULL || r->main != NULL || r->prev != NULL ||
      ratelimit_get_mode(conf) == RATELIMIT_OFF) {
    return DECLINED;
  }
  percent = ratelimit_load_percent();
  rule = find_rule(r, conf->shed, percent);
  if (rule == NULL || (conf->exempt != NULL && ratelimit_is_exempt(r, conf->exempt))) {
    return DECLINED;
  }
  dry = ratelimit_get_mode(conf) == RATELIMIT_DRY_RUN;
  tell(r, rule, percent, dry);
  if (dry) {
    return DECLINED;
  }
  ratelimit_count_shed();
  return ratelimit_refuse_load(r, ratelimit_get_state(r));
}
