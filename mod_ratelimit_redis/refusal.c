/* SPDX-License-Identifier: Apache-2.0 */
#include "refusal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <apr_strings.h>
#include <http_protocol.h>

#include "key.h"
#include "text.h"

/* --- defaults ------------------------------------------------------------------------------ */

int ratelimit_get_status(const ratelimit_refusal *refusal) {
  return refusal->status != 0 ? refusal->status : HTTP_TOO_MANY_REQUESTS;
}

int ratelimit_get_close(const ratelimit_refusal *refusal) {
  return refusal->close > 0;
}

ratelimit_refusal ratelimit_merge_refusal(ratelimit_refusal base, ratelimit_refusal add) {
  ratelimit_refusal merged;

  merged.status = add.status != 0 ? add.status : base.status;
  merged.redirect = add.redirect != NULL ? add.redirect : base.redirect;
  merged.close = add.close >= 0 ? add.close : base.close;
  return merged;
}

/* --- reading ------------------------------------------------------------------------------- */

/* How a sentence about a value begins: `RateLimitStatus: "x"`, or `RateLimit: status="x"`. */
static const char *begin(cmd_parms *cmd, const char *option, const char *text) {
  return apr_psprintf(cmd->temp_pool, "%s: %s%s\"%s\"", cmd->cmd->name,
                      option != NULL ? option : "", option != NULL ? "=" : "",
                      ap_escape_logitem(cmd->temp_pool, text));
}

/* What httpd can send, and what means a refusal without asking for more than that: 401, 407 and 426
 * are challenges. */
static int is_refusal(int status) {
  int unknown = ap_index_of_response(HTTP_INTERNAL_SERVER_ERROR);

  if (status < 400 || status > 599 || status == HTTP_UNAUTHORIZED ||
      status == HTTP_PROXY_AUTHENTICATION_REQUIRED || status == HTTP_UPGRADE_REQUIRED) {
    return 0;
  }
  return status == HTTP_INTERNAL_SERVER_ERROR || ap_index_of_response(status) != unknown;
}

const char *ratelimit_read_status(cmd_parms *cmd, const char *option, const char *text,
                                  ratelimit_refusal *refusal) {
  uint32_t status = 0;

  if (!ratelimit_parse_cost(text, 999, &status) || !is_refusal((int)status)) {
    return apr_psprintf(cmd->pool, "%s is no status of a refusal: write 429, or another from 400 to "
                        "599 that httpd knows and that is no challenge (401, 407, 426)",
                        begin(cmd, option, text));
  }
  refusal->status = (int)status;
  return NULL;
}

const char *ratelimit_read_close(cmd_parms *cmd, const char *option, const char *text,
                                 ratelimit_refusal *refusal) {
  if (strcasecmp(text, "on") != 0 && strcasecmp(text, "off") != 0) {
    return apr_psprintf(cmd->pool, "%s is neither on nor off: write one of them",
                        begin(cmd, option, text));
  }
  refusal->close = strcasecmp(text, "on") == 0;
  return NULL;
}

/* A URL that a header field can carry, and that nobody takes for something else: in it "//" at the
 * start would name a host. */
static int is_url(const char *url) {
  const char *rest = url;

  if (strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0) {
    rest = strstr(url, "://") + 3;
    if (*rest == '\0' || *rest == '/' || *rest == '?' || *rest == '#') {
      return 0;
    }
  } else if (*url != '/' || url[1] == '/' || url[1] == '\\') {
    return 0;
  }
  for (; *rest != '\0'; ++rest) {
    if (*rest <= 0x20 || *rest >= 0x7f || strchr("\"<>\\^`{|}", *rest) != NULL) {
      return 0;
    }
  }
  return 1;
}

/* Takes host and path out of a URL. A path that an expression gives is not known beforehand. */
static void find_parts(apr_pool_t *pool, ratelimit_redirect *redirect) {
  const char *path = redirect->url;
  apr_size_t len;
  char *plain;

  if (*path != '/') {
    const char *host = strstr(path, "://") + 3;

    len = strcspn(host, "/?#");
    path = host + len;
    redirect->host = apr_pstrmemdup(pool, host, len < strcspn(host, ":") ? len
                                                                        : strcspn(host, ":"));
  }
  len = strcspn(path, "?#");
  path = len > 0 ? apr_pstrmemdup(pool, path, len) : "/";
  plain = apr_pstrdup(pool, path);
  if ((redirect->expr == NULL || strstr(path, "%{") == NULL) && ap_unescape_url(plain) == OK) {
    redirect->path = plain;
  }
}

const char *ratelimit_read_redirect(cmd_parms *cmd, const char *option, const char *text,
                                    unsigned flags, ratelimit_refusal *refusal) {
  ratelimit_redirect *redirect = apr_pcalloc(cmd->pool, sizeof *redirect);
  const char *err = NULL;
  const char *fixed = text;

  refusal->redirect = redirect;
  if (strcasecmp(text, "off") == 0) {
    return NULL;
  }
  redirect->url = text;
  if (strstr(text, "%{") != NULL) {
    redirect->expr = ap_expr_parse_cmd(
        cmd, text, flags | AP_EXPR_FLAG_STRING_RESULT | AP_EXPR_FLAG_DONT_VARY, &err, NULL);
    if (err != NULL) {
      return apr_psprintf(cmd->pool, "%s: %s: write an expression of httpd's own, such as "
                          "\"/slow.html?from=%%{escape:%%{REQUEST_URI}}\"",
                          begin(cmd, option, text), err);
    }
    /* Where it leads is the configuration's to say, not the request's. */
    fixed = apr_pstrmemdup(cmd->temp_pool, text, strcspn(text, "%"));
  }
  if (!is_url(fixed) || (redirect->expr != NULL && *fixed != '/' &&
                         strchr(strstr(fixed, "://") + 3, '/') == NULL)) {
    return apr_psprintf(cmd->pool, "%s is no place to lead people to: write a path such as "
                        "/slow.html, a URL that begins with https:// and a host, or off; an "
                        "expression may follow these and a slash",
                        begin(cmd, option, text));
  }
  find_parts(cmd->pool, redirect);
  return NULL;
}

/* --- for a request ------------------------------------------------------------------------- */

int ratelimit_is_page(const request_rec *r, const ratelimit_refusal *refusal) {
  const ratelimit_redirect *redirect = refusal->redirect;
  const char *path;

  if (redirect == NULL || redirect->path == NULL) {
    return 0;
  }
  while (r->prev != NULL) {
    r = r->prev;
  }
  /* What the client asked for; DirectoryIndex and others change r->uri. */
  path = r->parsed_uri.path;
  return path != NULL && strcmp(redirect->path, path) == 0 &&
         (redirect->host == NULL ||
          (r->hostname != NULL && strcasecmp(redirect->host, r->hostname) == 0));
}

const char *ratelimit_find_page(request_rec *r, const ratelimit_refusal *refusal) {
  static volatile apr_uint32_t last;
  const ratelimit_redirect *redirect = refusal->redirect;
  const char *err = NULL;
  const char *url;

  if (redirect == NULL || redirect->url == NULL) {
    return NULL;
  }
  if (redirect->expr == NULL) {
    return redirect->url;
  }
  url = ap_expr_str_exec(r, redirect->expr, &err);
  if (err == NULL && url != NULL && is_url(url)) {
    return url;
  }
  if (ratelimit_log_due(&last)) {
    ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                  "RLR0011: the redirect of a refusal, \"%s\", gave no URL (%s), and the status is "
                  "sent instead: put %%{escape:...} around what comes from the request",
                  redirect->url, err != NULL ? ap_escape_logitem(r->pool, err) : "it has characters "
                                               "that no URL has");
  }
  return NULL;
}
