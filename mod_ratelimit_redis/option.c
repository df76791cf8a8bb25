/* SPDX-License-Identifier: Apache-2.0 */
#include "option.h"

#include <string.h>

#include <apr_strings.h>

#include "config.h"
#include "text.h"

enum {
  OPT_NAME,
  OPT_KEY,
  OPT_V4PREFIX,
  OPT_V6PREFIX,
  OPT_COST,
  OPT_WHEN,
  OPT_PHASE,
  OPT_FAIL,
  OPT_GROUP,
  OPT_STATUS,
  OPT_REDIRECT,
  OPT_CLOSE,
  OPT_WARN,
  OPT_DELAY,
  OPT_CHARGE,
  OPTIONS
};

static const char *const option_names[OPTIONS] = {
    "name",  "key",      "v4prefix", "v6prefix", "cost", "when",  "phase",
    "fail",  "group",    "status",   "redirect", "close", "warn",  "delay",
    "charge"};
/* For sentences. */
#define OPTION_LIST \
  "name=, key=, v4prefix=, v6prefix=, cost=, when=, phase=, fail=, group=, status=, redirect=, " \
  "close=, warn=, charge= or delay="

/* --- values -------------------------------------------------------------------------------- */

/* Expressions in .htaccess may not read files. */
static unsigned expr_flags(const ratelimit_line *line) {
  return line->scope != NULL ? AP_EXPR_FLAG_RESTRICTED | AP_EXPR_FLAG_RESTRICTED_FILE_FUNC : 0;
}

static const char *read_expr(cmd_parms *cmd, const char *option, const char *text, unsigned flags,
                             ratelimit_line *line, const ap_expr_info_t **out) {
  const char *err = NULL;

  flags |= AP_EXPR_FLAG_DONT_VARY | expr_flags(line);
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

static const char *const phase_words[] = {"early", "late"};

static const char *read_prefix(cmd_parms *cmd, const char *option, const char *text, unsigned most,
                               int *prefix) {
  uint32_t bits;

  if (!ratelimit_parse_cost(text, most, &bits) || bits == 0 || bits > most) {
    return apr_psprintf(cmd->pool, "RateLimit: %s=\"%s\" is no length of a prefix: write a number "
                        "from 1 to %u",
                        option, ap_escape_logitem(cmd->temp_pool, text), most);
  }
  *prefix = (int)bits;
  return NULL;
}

/* The longest that a worker may be held: clients have given up by then. */
enum { DELAY_MOST_MS = 30000 };

static const char *read_delay(cmd_parms *cmd, const char *text, ratelimit_line *line) {
  if (line->scope != NULL) {
    return "RateLimit: delay= gives requests workers to wait in, which are the server's to give: "
           "leave it out in .htaccess";
  }
  if (!ratelimit_parse_delay(text, DELAY_MOST_MS, &line->delay_ms)) {
    return apr_psprintf(cmd->pool, "RateLimit: delay=\"%s\" is no time to wait: write one from 1ms to "
                        "30s, such as 500ms or 2s",
                        ap_escape_logitem(cmd->temp_pool, text));
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
  case OPT_V4PREFIX:
    return read_prefix(cmd, "v4prefix", text, 32, &line->v4_prefix);
  case OPT_V6PREFIX:
    return read_prefix(cmd, "v6prefix", text, 128, &line->v6_prefix);
  case OPT_PHASE:
    line->phase = ratelimit_choose(cmd, phase_words, 2, text, "phase of a request", &why);
    return why;
  case OPT_WARN:
    return ratelimit_read_warn(cmd, "RateLimit: warn=", text, &line->warn);
  case OPT_DELAY:
    return read_delay(cmd, text, line);
  case OPT_STATUS:
    return ratelimit_read_status(cmd, "status", text, &line->refusal);
  case OPT_REDIRECT:
    return ratelimit_read_redirect(cmd, "redirect", text, expr_flags(line), &line->refusal);
  case OPT_CLOSE:
    return ratelimit_read_close(cmd, "close", text, &line->refusal);
  default:
    return ratelimit_read_charge(cmd, text, expr_flags(line), &line->charge);
  }
}

/* --- all of them --------------------------------------------------------------------------- */

/* What only all options together tell. |key| is the text of key=, or NULL. */
static const char *settle_options(ratelimit_line *line, const char *key) {
  if ((line->v4_prefix >= 0 || line->v6_prefix >= 0) && key != NULL &&
      strcasestr(key, "RATELIMIT_ADDRESS") == NULL) {
    return "RateLimit: v4prefix= and v6prefix= are for the client's address, which this key= does "
           "not read: leave them out, or put %{RATELIMIT_ADDRESS} into the key";
  }
  line->by_address = key == NULL || strcasestr(key, "RATELIMIT_ADDRESS") != NULL ||
                     strcasestr(key, "REMOTE_ADDR") != NULL;
  if (line->phase >= 0) {
    line->late = line->phase;
  }
  return NULL;
}

static const char *unknown_option(cmd_parms *cmd, const ratelimit_word *word) {
  static const char *const of_policy[] = {"algorithm", "burst", "align", "tz", "anchor",
                                          "ban", "debt"};

  if (word->name == NULL) {
    return apr_psprintf(cmd->pool, "RateLimit: \"%s\" is one argument too many: write the policy "
                        "first, in quotes if it has spaces, and then " OPTION_LIST ", with "
                        "quotes around a value that has spaces",
                        ap_escape_logitem(cmd->temp_pool, word->value));
  }
  if (ratelimit_find_word(of_policy, sizeof of_policy / sizeof of_policy[0], word->name) >= 0) {
    return apr_psprintf(cmd->pool, "RateLimit: %s= belongs to the policy: write both in one pair "
                        "of quotes, as in \"100/min %s=%s\"",
                        word->name, word->name, ap_escape_logitem(cmd->temp_pool, word->value));
  }
  return apr_psprintf(cmd->pool, "RateLimit: there is no option %s=: write " OPTION_LIST,
                      ap_escape_logitem(cmd->temp_pool, word->name));
}

const char *ratelimit_bad_quotes(cmd_parms *cmd, ratelimit_words got) {
  const char *why = NULL;

  if (got == RATELIMIT_WORDS_OPEN) {
    why = "a quote is not closed: write one at the end of the value";
  } else if (got == RATELIMIT_WORDS_JOINED) {
    why = "text follows a closing quote: write a space between them";
  }
  return why != NULL ? apr_pstrcat(cmd->pool, cmd->cmd->name, ": ", why, NULL) : NULL;
}

const char *ratelimit_read_options(cmd_parms *cmd, ratelimit_line *line, char *rest) {
  ratelimit_word word;
  ratelimit_words got;
  unsigned seen = 0;
  const char *key = NULL;
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
    key = option == OPT_KEY ? word.value : key;
  }
  why = ratelimit_bad_quotes(cmd, got);
  return why != NULL ? why : settle_options(line, key);
}
