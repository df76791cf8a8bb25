/* SPDX-License-Identifier: Apache-2.0 */
#include "exempt.h"

#include <string.h>
#include <strings.h>

#include <ap_expr.h>
#include <apr_network_io.h>
#include <apr_strings.h>

#include "key.h"
#include "option.h"
#include "text.h"

/* One RateLimitExempt: all that it says has to hold. */
typedef struct ratelimit_exempt {
  int none;                      /* rules further out do not hold */
  int preflight;                 /* for pre-flight requests */
  apr_array_header_t *networks;  /* apr_ipsubnet_t *: for one of these; NULL: wherever from */
  const ap_expr_info_t *when;    /* NULL: always */
  const char *file;
  int file_line;
} ratelimit_exempt;

enum { IPV4_BITS = 32, IPV6_BITS = 128, ADDRESS_SIZE = 64 };

/* --- reading ------------------------------------------------------------------------------- */

#define WHAT_TO_WRITE "an address such as 192.0.2.1, a network such as 192.0.2.0/24 or " \
  "2001:db8::/32, preflight, when=\"condition\", or none"

static const char *add_network(cmd_parms *cmd, const char *text, ratelimit_exempt *rule) {
  const char *slash = strchr(text, '/');
  const char *address = apr_pstrmemdup(cmd->pool, text, slash != NULL ? (apr_size_t)(slash - text)
                                                                       : strlen(text));
  char plain[ADDRESS_SIZE];
  char network[ADDRESS_SIZE];
  apr_ipsubnet_t *subnet = NULL;
  uint32_t bits = 0;
  uint32_t most;

  /* A zone is dropped by the library, and would exempt addresses of every link. */
  if (strchr(text, '%') != NULL ||
      rlc_http_format_address(plain, sizeof plain, address, IPV4_BITS, IPV6_BITS) == 0) {
    return apr_psprintf(cmd->pool, "RateLimitExempt: \"%s\" is no network: write " WHAT_TO_WRITE,
                        ap_escape_logitem(cmd->temp_pool, text));
  }
  most = strchr(plain, ':') != NULL ? IPV6_BITS : IPV4_BITS;
  if (most == IPV4_BITS && strchr(address, ':') != NULL) {
    return apr_psprintf(cmd->pool, "RateLimitExempt: \"%s\" is an IPv4 address in IPv6: write it as "
                        "%s",
                        ap_escape_logitem(cmd->temp_pool, text), plain);
  }
  bits = most;
  if (slash != NULL && (!ratelimit_parse_cost(slash + 1, most, &bits) || bits == 0 || bits > most)) {
    return apr_psprintf(cmd->pool, "RateLimitExempt: in \"%s\" the prefix is no number from 1 to "
                        "%u: write one behind the slash",
                        ap_escape_logitem(cmd->temp_pool, text), most);
  }
  rlc_http_format_address(network, sizeof network, address, bits, bits);
  if (bits < most && strncmp(network, plain, strlen(plain)) != 0) {
    return apr_psprintf(cmd->pool, "RateLimitExempt: \"%s\" is an address in a network: write %s "
                        "for the network or %s for the address",
                        ap_escape_logitem(cmd->temp_pool, text), network, plain);
  }
  if (apr_ipsubnet_create(&subnet, plain, apr_itoa(cmd->temp_pool, (int)bits), cmd->pool) !=
      APR_SUCCESS) {
    return apr_psprintf(cmd->pool, "RateLimitExempt: this system has no such addresses as \"%s\": "
                        "leave it out",
                        ap_escape_logitem(cmd->temp_pool, text));
  }
  if (rule->networks == NULL) {
    rule->networks = apr_array_make(cmd->pool, 4, sizeof(apr_ipsubnet_t *));
  }
  APR_ARRAY_PUSH(rule->networks, apr_ipsubnet_t *) = subnet;
  return NULL;
}

static const char *read_when(cmd_parms *cmd, const char *text, ratelimit_exempt *rule) {
  const char *err = NULL;

  if (rule->when != NULL) {
    return "RateLimitExempt: when= is there twice: write it once, or in a line of its own";
  }
  rule->when = ap_expr_parse_cmd(cmd, text, AP_EXPR_FLAG_DONT_VARY, &err, NULL);
  if (err == NULL) {
    return NULL;
  }
  return apr_psprintf(cmd->pool, "RateLimitExempt: in when=\"%s\": %s: write an expression of "
                      "httpd's own, such as \"%%{REQUEST_URI} == '/health'\"",
                      ap_escape_logitem(cmd->temp_pool, text), err);
}

static const char *read_word(cmd_parms *cmd, const ratelimit_word *word, ratelimit_exempt *rule) {
  if (word->name != NULL) {
    if (strcasecmp(word->name, "when") == 0) {
      return read_when(cmd, word->value, rule);
    }
    return apr_psprintf(cmd->pool, "RateLimitExempt: there is no option %s=: write " WHAT_TO_WRITE,
                        ap_escape_logitem(cmd->temp_pool, word->name));
  }
  if (strcasecmp(word->value, "preflight") == 0) {
    rule->preflight = 1;
    return NULL;
  }
  if (strcasecmp(word->value, "none") == 0) {
    rule->none = 1;
    return NULL;
  }
  return add_network(cmd, word->value, rule);
}

const char *ratelimit_read_exempt(cmd_parms *cmd, const char *args, apr_array_header_t **rules) {
  ratelimit_exempt *rule = apr_pcalloc(cmd->pool, sizeof *rule);
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
  if (!rule->none && !rule->preflight && rule->networks == NULL && rule->when == NULL) {
    return "RateLimitExempt: it does not say whom: write " WHAT_TO_WRITE;
  }
  if (rule->none && (rule->preflight || rule->networks != NULL || rule->when != NULL)) {
    return "RateLimitExempt: none stands alone: write the others in a line of their own";
  }
  if (*rules == NULL) {
    *rules = apr_array_make(cmd->pool, 2, sizeof(ratelimit_exempt *));
  }
  APR_ARRAY_PUSH(*rules, ratelimit_exempt *) = rule;
  return NULL;
}

apr_array_header_t *ratelimit_merge_exempt(apr_pool_t *pool, apr_array_header_t *base,
                                           apr_array_header_t *add) {
  if (base == NULL || add == NULL) {
    return base == NULL ? add : base;
  }
  for (int i = 0; i < add->nelts; ++i) {
    if (APR_ARRAY_IDX(add, i, ratelimit_exempt *)->none) {
      return add;
    }
  }
  return apr_array_append(pool, base, add);
}

/* --- for a request ------------------------------------------------------------------------- */

/* What a browser asks by itself before it sends a request to another origin (the Fetch standard). */
static int is_preflight(const request_rec *r) {
  return r->method_number == M_OPTIONS && apr_table_get(r->headers_in, "Origin") != NULL &&
         apr_table_get(r->headers_in, "Access-Control-Request-Method") != NULL;
}

static int is_inside(const request_rec *r, const apr_array_header_t *networks) {
  for (int i = 0; i < networks->nelts; ++i) {
    if (apr_ipsubnet_test(APR_ARRAY_IDX(networks, i, apr_ipsubnet_t *), r->useragent_addr)) {
      return 1;
    }
  }
  return 0;
}

/* A condition that cannot be evaluated exempts nobody. */
static int holds(request_rec *r, const ratelimit_exempt *rule) {
  static volatile apr_uint32_t last;
  const char *err = NULL;
  int yes = ap_expr_exec(r, rule->when, &err);

  if (err == NULL && yes >= 0) {
    return yes > 0;
  }
  if (ratelimit_log_due(&last)) {
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                  "RLR0012: when= of RateLimitExempt (%s:%d) cannot be evaluated, and exempts "
                  "nobody: %s",
                  rule->file, rule->file_line,
                  err != NULL ? ap_escape_logitem(r->pool, err) : "no result");
  }
  return 0;
}

int ratelimit_is_exempt(request_rec *r, const apr_array_header_t *rules) {
  for (int i = 0; rules != NULL && i < rules->nelts; ++i) {
    const ratelimit_exempt *rule = APR_ARRAY_IDX(rules, i, ratelimit_exempt *);

    if (!rule->none && (!rule->preflight || is_preflight(r)) &&
        (rule->networks == NULL || is_inside(r, rule->networks)) &&
        (rule->when == NULL || holds(r, rule))) {
      apr_table_setn(r->subprocess_env, "RATELIMIT_EXEMPT", "1");
      apr_table_setn(r->notes, "RATELIMIT_EXEMPT", "1");
      return 1;
    }
  }
  return 0;
}
