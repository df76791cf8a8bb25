/* SPDX-License-Identifier: Apache-2.0 */
#include "rlphp.h"

#include <string.h>
#include <time.h>

#include <zend_smart_str.h>

/* What HTTP is told of a decision: the same that mod_ratelimit_redis sends. */

#define THIS_DECISION RLPHP_OF(rlphp_decision, Z_OBJ_P(ZEND_THIS))

/* While a fail policy passes or refuses everything, what is left of a quota is not known. */
static int is_counted(rlc_source source) {
  return source == RLC_SOURCE_STORE || source == RLC_SOURCE_FALLBACK || source == RLC_SOURCE_BAN;
}

static void add_item(smart_str *value, const char *item) {
  if (value->s != NULL) {
    smart_str_appends(value, ", ");
  }
  smart_str_appends(value, item);
}

static void add_value(zval *fields, const char *name, smart_str *value) {
  if (value->s != NULL) {
    smart_str_0(value);
    add_assoc_str(fields, name, value->s);
  }
}

/* RateLimit-Policy, of drafts 08 and later or of those before. */
static void add_policies(zval *fields, const rlphp_decision *d, int draft_08) {
  smart_str value = {NULL, 0};
  char item[128];

  for (size_t i = 0; i < d->n; ++i) {
    const rlc_policy *policy = d->verdict[i].policy->policy;

    for (unsigned rate = 0; rate < rlc_policy_get_rates(policy); ++rate) {
      if (draft_08) {
        rlc_http_format_policy(item, sizeof item, rlphp_verdict_label(&d->verdict[i]), policy, rate);
      } else {
        rlc_http_format_quota(item, sizeof item, policy, rate);
      }
      add_item(&value, item);
    }
  }
  add_value(fields, "RateLimit-Policy", &value);
}

static void add_draft_08(zval *fields, const rlphp_decision *d) {
  smart_str value = {NULL, 0};
  char item[128];

  for (size_t i = 0; i < d->n; ++i) {
    if (is_counted(d->verdict[i].result.source)) {
      rlc_http_format_limit(item, sizeof item, rlphp_verdict_label(&d->verdict[i]),
                            &d->verdict[i].result);
      add_item(&value, item);
    }
  }
  add_value(fields, "RateLimit", &value);
}

static void add_parts(zval *fields, const char *prefix, int form, const rlc_result *result) {
  static const char *const names[] = {"Limit", "Remaining", "Reset"};
  char name[32];
  char text[32];

  for (int part = RLC_HTTP_LIMIT; part <= RLC_HTTP_RESET; ++part) {
    struct timespec now;

    snprintf(name, sizeof name, "%s%s", prefix, names[part - RLC_HTTP_LIMIT]);
    if (form == '6') {
      rlc_http_format_draft_06(text, sizeof text, (rlc_http_part)part, result);
    } else if (form == 'x') {
      rlc_http_format_x_ratelimit(text, sizeof text, (rlc_http_part)part, result);
    } else {
      clock_gettime(CLOCK_REALTIME, &now);
      rlc_http_format_x_ratelimit_epoch(text, sizeof text, (rlc_http_part)part, result,
                                        (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    }
    add_assoc_string(fields, name, text);
  }
}

PHP_METHOD(RateLimit_Decision, fields) {
  const rlphp_decision *d = THIS_DECISION;
  const rlc_result *result = &d->verdict[d->index].result;
  int tells = is_counted(d->source);
  char draft_08[] = "draft-08";
  char *form = draft_08;
  size_t size = 0;
  char text[80];

  ZEND_PARSE_PARAMETERS_START(0, 1)
    Z_PARAM_OPTIONAL
    Z_PARAM_STRING(form, size)
  ZEND_PARSE_PARAMETERS_END();
  array_init(return_value);
  if (strcmp(form, "draft-08") == 0) {
    add_policies(return_value, d, 1);
    add_draft_08(return_value, d);
  } else if (strcmp(form, "draft-07") == 0) {
    add_policies(return_value, d, 0);
    if (tells) {
      rlc_http_format_draft_07(text, sizeof text, result);
      add_assoc_string(return_value, "RateLimit", text);
    }
  } else if (strcmp(form, "draft-06") == 0) {
    add_policies(return_value, d, 0);
    if (tells) {
      add_parts(return_value, "RateLimit-", '6', result);
    }
  } else if (strcmp(form, "x-ratelimit") == 0 || strcmp(form, "x-ratelimit-epoch") == 0) {
    if (tells) {
      add_parts(return_value, "X-RateLimit-", form[11] == '\0' ? 'x' : 'e', result);
    }
  } else {
    rlphp_invalid("\"%.64s\" is no form of the fields: write draft-08, draft-07, draft-06, "
                  "x-ratelimit or x-ratelimit-epoch", form);
  }
}

/* The value of Retry-After, or "" where no wait helps. */
PHP_METHOD(RateLimit_Decision, retryAfterField) {
  const rlphp_decision *d = THIS_DECISION;
  char text[24];

  ZEND_PARSE_PARAMETERS_NONE();
  rlc_http_format_retry_after(text, sizeof text, d->verdict[d->index].result.retry_us);
  RETURN_STRING(text);
}

static rlc_problem find_problem(rlc_source source) {
  if (source == RLC_SOURCE_FAIL_CLOSED) {
    return RLC_PROBLEM_REDUCED_CAPACITY;
  }
  return source == RLC_SOURCE_BAN ? RLC_PROBLEM_ABNORMAL_USAGE : RLC_PROBLEM_QUOTA_EXCEEDED;
}

/* The body in application/problem+json, which names the limits that refused. */
PHP_METHOD(RateLimit_Decision, problem) {
  const rlphp_decision *d = THIS_DECISION;
  rlc_problem problem = find_problem(d->source);
  const char *names[RLC_MAX_LIMITS];
  zend_string *body;
  zend_long status;
  char none[1];
  size_t size;
  size_t n = 0;

  ZEND_PARSE_PARAMETERS_START(1, 1)
    Z_PARAM_LONG(status)
  ZEND_PARSE_PARAMETERS_END();
  if (status < 400 || status > 599) {
    rlphp_invalid("status is " ZEND_LONG_FMT ": write 400 to 599", status);
    RETURN_THROWS();
  }
  for (size_t i = 0; i < d->n; ++i) {
    if (!d->verdict[i].result.allowed) {
      names[n++] = rlphp_verdict_label(&d->verdict[i]);
    }
  }
  size = rlc_http_format_problem(none, sizeof none, problem, (int)status, names, n);
  body = zend_string_alloc(size, 0);
  rlc_http_format_problem(ZSTR_VAL(body), size + 1, problem, (int)status, names, n);
  RETURN_NEW_STR(body);
}
