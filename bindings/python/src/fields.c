/* SPDX-License-Identifier: Apache-2.0 */
#include "rlpy.h"

#include <string.h>
#include <time.h>

/* What HTTP is told of a decision: the same that mod_ratelimit_redis sends. */

/* While a fail policy passes or refuses everything, what is left of a quota is not known. */
static int is_counted(rlc_source source) {
  return source == RLC_SOURCE_STORE || source == RLC_SOURCE_FALLBACK || source == RLC_SOURCE_BAN;
}

/* --- lists --------------------------------------------------------------------------------- */

/* A field's value that grows by items with ", " between them. */
typedef struct value {
  char text[RLC_MAX_LIMITS * RLC_MAX_RATES * 130];
  size_t len;
} value;

static void add_item(value *v, const char *item) {
  size_t len = strlen(item);

  if (v->len + len + 2 < sizeof v->text) {
    if (v->len > 0) {
      memcpy(v->text + v->len, ", ", 2);
      v->len += 2;
    }
    memcpy(v->text + v->len, item, len);
    v->len += len;
  }
}

/* Appends the pair (|name|, |text|) to |fields|. */
static int add_field(PyObject *fields, const char *name, const char *text, size_t len) {
  PyObject *pair = Py_BuildValue("(ss#)", name, text, (Py_ssize_t)len);
  int rv = pair != NULL ? PyList_Append(fields, pair) : -1;

  Py_XDECREF(pair);
  return rv;
}

/* RateLimit-Policy, of drafts 08 and later or of those before. */
static int add_policies(PyObject *fields, const rlpy_decision *d, int draft_08) {
  char item[128];
  value v;

  v.len = 0;
  for (Py_ssize_t i = 0; i < Py_SIZE(d); ++i) {
    const rlc_policy *policy = d->verdict[i].entry->policy;
    const char *label = rlpy_verdict_label(&d->verdict[i]);

    if (label == NULL) {
      return -1;
    }
    for (unsigned rate = 0; rate < rlc_policy_get_rates(policy); ++rate) {
      if (draft_08) {
        rlc_http_format_policy(item, sizeof item, label, policy, rate);
      } else {
        rlc_http_format_quota(item, sizeof item, policy, rate);
      }
      add_item(&v, item);
    }
  }
  return add_field(fields, "RateLimit-Policy", v.text, v.len);
}

static int add_draft_08(PyObject *fields, const rlpy_decision *d) {
  char item[128];
  value v;

  v.len = 0;
  for (Py_ssize_t i = 0; i < Py_SIZE(d); ++i) {
    if (is_counted(d->verdict[i].result.source)) {
      const char *label = rlpy_verdict_label(&d->verdict[i]);

      if (label == NULL) {
        return -1;
      }
      rlc_http_format_limit(item, sizeof item, label, &d->verdict[i].result);
      add_item(&v, item);
    }
  }
  return v.len > 0 ? add_field(fields, "RateLimit", v.text, v.len) : 0;
}

/* --- generations that tell of one limit ---------------------------------------------------- */

static int add_parts(PyObject *fields, const char *prefix, int form, const rlc_result *result) {
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
    if (add_field(fields, name, text, strlen(text)) != 0) {
      return -1;
    }
  }
  return 0;
}

static int add_draft_07(PyObject *fields, const rlc_result *result) {
  char text[80];

  rlc_http_format_draft_07(text, sizeof text, result);
  return add_field(fields, "RateLimit", text, strlen(text));
}

/* _fields(form): a list of pairs, in the form that RateLimitHeaders calls so. */
PyObject *rlpy_decision_fields(PyObject *self, PyObject *form) {
  const rlpy_decision *d = (rlpy_decision *)self;
  const rlc_result *result = &d->verdict[d->index].result;
  int tells = is_counted(d->source);
  const char *text = PyUnicode_Check(form) ? PyUnicode_AsUTF8(form) : "";
  PyObject *fields = PyList_New(0);
  int rv = -1;

  if (text == NULL || fields == NULL) {
    Py_XDECREF(fields);
    return NULL;
  }
  if (strcmp(text, "draft-08") == 0) {
    rv = add_policies(fields, d, 1) != 0 || add_draft_08(fields, d) != 0;
  } else if (strcmp(text, "draft-07") == 0) {
    rv = add_policies(fields, d, 0) != 0 || (tells && add_draft_07(fields, result) != 0);
  } else if (strcmp(text, "draft-06") == 0) {
    rv = add_policies(fields, d, 0) != 0 ||
         (tells && add_parts(fields, "RateLimit-", '6', result) != 0);
  } else if (strcmp(text, "x-ratelimit") == 0) {
    rv = tells && add_parts(fields, "X-RateLimit-", 'x', result) != 0;
  } else if (strcmp(text, "x-ratelimit-epoch") == 0) {
    rv = tells && add_parts(fields, "X-RateLimit-", 'e', result) != 0;
  } else {
    rlpy_invalid("%R is no form of the fields: write draft-08, draft-07, draft-06, x-ratelimit or "
                 "x-ratelimit-epoch", form);
  }
  if (rv != 0) {
    Py_CLEAR(fields);
  }
  return fields;
}

/* --- refusals ------------------------------------------------------------------------------ */

/* _retry_after(): the value of Retry-After, or "" where no wait helps. */
PyObject *rlpy_decision_retry_after(PyObject *self, PyObject *unused) {
  const rlpy_decision *d = (rlpy_decision *)self;
  char text[24];

  (void)unused;
  rlc_http_format_retry_after(text, sizeof text, d->verdict[d->index].result.retry_us);
  return PyUnicode_FromString(text);
}

static rlc_problem find_problem(rlc_source source) {
  if (source == RLC_SOURCE_FAIL_CLOSED) {
    return RLC_PROBLEM_REDUCED_CAPACITY;
  }
  return source == RLC_SOURCE_BAN ? RLC_PROBLEM_ABNORMAL_USAGE : RLC_PROBLEM_QUOTA_EXCEEDED;
}

/* _problem(status): the body in application/problem+json, which names the limits that refused. */
PyObject *rlpy_decision_problem(PyObject *self, PyObject *status) {
  const rlpy_decision *d = (rlpy_decision *)self;
  rlc_problem problem = find_problem(d->source);
  const char *names[RLC_MAX_LIMITS];
  int code = (int)PyLong_AsLong(status);
  PyObject *body;
  char none[1];
  size_t size;
  size_t n = 0;

  if (code == -1 && PyErr_Occurred()) {
    return NULL;
  }
  for (Py_ssize_t i = 0; i < Py_SIZE(self); ++i) {
    if (!d->verdict[i].result.allowed) {
      names[n] = rlpy_verdict_label(&d->verdict[i]);
      if (names[n++] == NULL) {
        return NULL;
      }
    }
  }
  size = rlc_http_format_problem(none, sizeof none, problem, code, names, n);
  body = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
  if (body != NULL) {
    /* A bytes object has room for the NUL behind it. */
    rlc_http_format_problem(PyBytes_AS_STRING(body), size + 1, problem, code, names, n);
  }
  return body;
}
