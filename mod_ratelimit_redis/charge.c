/* SPDX-License-Identifier: Apache-2.0 */
#include "charge.h"

#include <string.h>
#include <strings.h>

#include <apr_lib.h>
#include <apr_strings.h>

#include "text.h"

static const char *const bare_words[] = {"bytes", "kbytes", "time"};

static const char *read_statuses(cmd_parms *cmd, const char *text, ratelimit_charge *charge) {
  charge->kind = RATELIMIT_CHARGE_STATUS;
  if (ratelimit_parse_statuses(text, &charge->statuses)) {
    return NULL;
  }
  return apr_psprintf(cmd->pool, "RateLimit: in charge=\"status:%s\" is no list of statuses: write "
                      "numbers from 200 to 599, or classes from 2xx to 5xx, with commas between "
                      "them, as in charge=status:401,403 or charge=status:4xx",
                      ap_escape_logitem(cmd->temp_pool, text));
}

/* A token, by RFC 9110, section 5.6.2. */
static int is_field_name(const char *text) {
  const char *c = text;

  while (*c != '\0' && (apr_isalnum(*c) || strchr("!#$%&'*+-.^_`|~", *c) != NULL)) {
    ++c;
  }
  return c > text && *c == '\0';
}

/* What httpd needs to send the answer is not to be taken out of it. */
static int is_ours(const char *name) {
  static const char *const names[] = {"Connection", "Content-Encoding", "Content-Length",
                                      "Content-Range", "Content-Type", "Location", "Retry-After",
                                      "Transfer-Encoding", "Upgrade", "WWW-Authenticate"};

  return ratelimit_find_word(names, sizeof names / sizeof names[0], name) >= 0;
}

static const char *read_header(cmd_parms *cmd, const char *text, ratelimit_charge *charge) {
  const char *comma = strchr(text, ',');
  const char *name = comma != NULL ? apr_pstrmemdup(cmd->pool, text, (apr_size_t)(comma - text))
                                   : text;

  charge->kind = RATELIMIT_CHARGE_HEADER;
  charge->header = name;
  charge->removes = comma != NULL;
  if (!is_field_name(name) || (comma != NULL && strcasecmp(comma + 1, "remove") != 0)) {
    return apr_psprintf(cmd->pool, "RateLimit: in charge=\"header:%s\" is no name of a field: write "
                        "one, as in charge=header:X-Cost, or with \",remove\" to take the field out "
                        "of the answer",
                        ap_escape_logitem(cmd->temp_pool, text));
  }
  if (charge->removes && is_ours(name)) {
    return apr_psprintf(cmd->pool, "RateLimit: an answer cannot do without %s: leave \",remove\" "
                        "out of charge=",
                        name);
  }
  return NULL;
}

const char *ratelimit_read_charge(cmd_parms *cmd, const char *text, unsigned flags,
                                  ratelimit_charge *charge) {
  const char *err = NULL;
  int at;

  if (strncasecmp(text, "status:", 7) == 0) {
    return read_statuses(cmd, text + 7, charge);
  }
  if (strncasecmp(text, "header:", 7) == 0) {
    return read_header(cmd, text + 7, charge);
  }
  at = ratelimit_find_word(bare_words, sizeof bare_words / sizeof bare_words[0], text);
  if (at >= 0) {
    charge->kind = (ratelimit_charge_kind)(RATELIMIT_CHARGE_BYTES + at);
    return NULL;
  }
  if (!ratelimit_expr_varies(text)) {
    return apr_psprintf(cmd->pool, "RateLimit: charge=\"%s\" is nothing that a limit can charge: "
                        "write status:401, bytes, kbytes, time, header:X-Cost, or an expression "
                        "such as \"%%{resp:X-Cost}\"",
                        ap_escape_logitem(cmd->temp_pool, text));
  }
  charge->kind = RATELIMIT_CHARGE_EXPR;
  charge->expr = ap_expr_parse_cmd(cmd, text,
                                   flags | AP_EXPR_FLAG_STRING_RESULT | AP_EXPR_FLAG_DONT_VARY,
                                   &err, NULL);
  if (err == NULL) {
    return NULL;
  }
  return apr_psprintf(cmd->pool, "RateLimit: in charge=\"%s\": %s: write an expression of httpd's "
                      "own, such as \"%%{resp:X-Cost}\"",
                      ap_escape_logitem(cmd->temp_pool, text), err);
}
