/* SPDX-License-Identifier: Apache-2.0 */
#include "rlphp.h"

#include <string.h>

/* Decision and Result, which are only read, by methods. A Result is its Decision and a place in it; what a
 * Decision says beside allowed() and source() is said by the result that binds. */

typedef struct result {
  zend_object *decision; /* owned */
  size_t index;
  zend_object std;
} result;

static zend_class_entry *decision_ce, *result_ce;
static zend_object_handlers decision_handlers, result_handlers;
static zend_string *source_names[RLC_SOURCE_BAN + 1];

static const rlphp_verdict *verdict_of(zend_object *std) {
  const rlphp_decision *d;

  if (std->ce == decision_ce) {
    d = RLPHP_OF(rlphp_decision, std);
    return &d->verdict[d->index];
  }
  d = RLPHP_OF(rlphp_decision, RLPHP_OF(result, std)->decision);
  return &d->verdict[RLPHP_OF(result, std)->index];
}

const char *rlphp_verdict_label(const rlphp_verdict *verdict) {
  return verdict->name != NULL ? ZSTR_VAL(verdict->name) : verdict->policy->label;
}

#define THIS_VERDICT verdict_of(Z_OBJ_P(ZEND_THIS))
#define THIS_DECISION RLPHP_OF(rlphp_decision, Z_OBJ_P(ZEND_THIS))

static void return_source(zval *return_value, rlc_source source) {
  RETURN_INTERNED_STR(source_names[(unsigned)source <= RLC_SOURCE_BAN ? source : 0]);
}

static zend_long number(uint64_t n) {
  return n > (uint64_t)ZEND_LONG_MAX ? ZEND_LONG_MAX : (zend_long)n;
}

/* --- what both have ------------------------------------------------------------------------ */

static PHP_METHOD(RateLimit_Both, name) {
  const rlphp_verdict *v = THIS_VERDICT;

  ZEND_PARSE_PARAMETERS_NONE();
  if (v->name != NULL) {
    RETURN_STR_COPY(v->name);
  }
  RETURN_STRING(v->policy->label);
}

static PHP_METHOD(RateLimit_Both, limit) {
  ZEND_PARSE_PARAMETERS_NONE();
  RETURN_LONG(number(THIS_VERDICT->result.limit));
}

static PHP_METHOD(RateLimit_Both, remaining) {
  ZEND_PARSE_PARAMETERS_NONE();
  RETURN_LONG(number(THIS_VERDICT->result.remaining));
}

static PHP_METHOD(RateLimit_Both, charged) {
  ZEND_PARSE_PARAMETERS_NONE();
  RETURN_LONG(number(THIS_VERDICT->result.charged));
}

static PHP_METHOD(RateLimit_Both, rateIndex) {
  ZEND_PARSE_PARAMETERS_NONE();
  RETURN_LONG((zend_long)THIS_VERDICT->result.rate_index);
}

static PHP_METHOD(RateLimit_Both, window) {
  ZEND_PARSE_PARAMETERS_NONE();
  RETURN_DOUBLE((double)THIS_VERDICT->result.window_us / 1e6);
}

static PHP_METHOD(RateLimit_Both, reset) {
  ZEND_PARSE_PARAMETERS_NONE();
  RETURN_DOUBLE((double)THIS_VERDICT->result.reset_us / 1e6);
}

static PHP_METHOD(RateLimit_Both, retryAfter) {
  ZEND_PARSE_PARAMETERS_NONE();
  if (THIS_VERDICT->result.retry_us == RLC_NEVER) {
    RETURN_NULL();
  }
  RETURN_DOUBLE((double)THIS_VERDICT->result.retry_us / 1e6);
}

/* --- Result -------------------------------------------------------------------------------- */

static PHP_METHOD(RateLimit_Result, allowed) {
  ZEND_PARSE_PARAMETERS_NONE();
  RETURN_BOOL(THIS_VERDICT->result.allowed);
}

static PHP_METHOD(RateLimit_Result, source) {
  ZEND_PARSE_PARAMETERS_NONE();
  return_source(return_value, THIS_VERDICT->result.source);
}

static void free_result(zend_object *std) {
  if (RLPHP_OF(result, std)->decision != NULL) {
    OBJ_RELEASE(RLPHP_OF(result, std)->decision);
  }
  zend_object_std_dtor(std);
}

static zend_function *no_constructor(zend_object *std) {
  zend_throw_error(NULL, "a %s comes from a Limiter", ZSTR_VAL(std->ce->name));
  return NULL;
}

static zend_object *make_result(zend_class_entry *ce) {
  result *r = zend_object_alloc(sizeof *r, ce);

  zend_object_std_init(&r->std, ce);
  r->std.handlers = &result_handlers;
  r->decision = NULL;
  r->index = 0;
  return &r->std;
}

/* --- Decision ------------------------------------------------------------------------------ */

static zend_object *make_decision(zend_class_entry *ce) {
  rlphp_decision *d = zend_object_alloc(sizeof *d, ce);

  zend_object_std_init(&d->std, ce);
  d->std.handlers = &decision_handlers;
  d->n = 0;
  d->verdict = &d->one;
  return &d->std;
}

static void free_decision(zend_object *std) {
  rlphp_decision *d = RLPHP_OF(rlphp_decision, std);

  for (size_t i = 0; i < d->n; ++i) {
    rlphp_policy_unref(d->verdict[i].policy);
    if (d->verdict[i].name != NULL) {
      zend_string_release(d->verdict[i].name);
    }
  }
  if (d->verdict != &d->one) {
    efree(d->verdict);
  }
  zend_object_std_dtor(std);
}

void rlphp_decision_make(zval *out, rlphp_call *call, int rv, const rlc_result *results,
                         const rlc_decision *decision) {
  rlphp_decision *d = RLPHP_OF(rlphp_decision, make_decision(decision_ce));

  if (call->n > 1) {
    d->verdict = safe_emalloc(call->n, sizeof *d->verdict, 0);
  }
  d->n = call->n;
  d->allowed = decision->allowed;
  d->degraded = rv == RLC_DEGRADED;
  d->source = decision->source;
  d->index = decision->index < d->n ? decision->index : 0;
  for (size_t i = 0; i < d->n; ++i) {
    d->verdict[i].result = results[i];
    d->verdict[i].policy = call->policies[i];
    d->verdict[i].name = call->names[i] != NULL ? zend_string_copy(call->names[i]) : NULL;
  }
  call->n = 0;
  ZVAL_OBJ(out, &d->std);
}

static PHP_METHOD(RateLimit_Decision, allowed) {
  ZEND_PARSE_PARAMETERS_NONE();
  RETURN_BOOL(THIS_DECISION->allowed);
}

static PHP_METHOD(RateLimit_Decision, source) {
  ZEND_PARSE_PARAMETERS_NONE();
  return_source(return_value, THIS_DECISION->source);
}

static PHP_METHOD(RateLimit_Decision, degraded) {
  ZEND_PARSE_PARAMETERS_NONE();
  RETURN_BOOL(THIS_DECISION->degraded);
}

static PHP_METHOD(RateLimit_Decision, index) {
  ZEND_PARSE_PARAMETERS_NONE();
  RETURN_LONG((zend_long)THIS_DECISION->index);
}

static PHP_METHOD(RateLimit_Decision, limits) {
  rlphp_decision *d = THIS_DECISION;

  ZEND_PARSE_PARAMETERS_NONE();
  array_init_size(return_value, (uint32_t)d->n);
  for (size_t i = 0; i < d->n; ++i) {
    result *r = RLPHP_OF(result, make_result(result_ce));

    GC_ADDREF(&d->std);
    r->decision = &d->std;
    r->index = i;
    add_next_index_object(return_value, &r->std);
  }
}

/* --- the classes --------------------------------------------------------------------------- */

ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(string_info, 0, 0, IS_STRING, 0)
ZEND_END_ARG_INFO()
ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(long_info, 0, 0, IS_LONG, 0)
ZEND_END_ARG_INFO()
ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(bool_info, 0, 0, _IS_BOOL, 0)
ZEND_END_ARG_INFO()
ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(double_info, 0, 0, IS_DOUBLE, 0)
ZEND_END_ARG_INFO()
ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(double_or_null_info, 0, 0, IS_DOUBLE, 1)
ZEND_END_ARG_INFO()
ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(array_info, 0, 0, IS_ARRAY, 0)
ZEND_END_ARG_INFO()
ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(fields_info, 0, 0, IS_ARRAY, 0)
  ZEND_ARG_TYPE_INFO_WITH_DEFAULT_VALUE(0, form, IS_STRING, 0, "\"draft-08\"")
ZEND_END_ARG_INFO()
ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(problem_info, 0, 1, IS_STRING, 0)
  ZEND_ARG_TYPE_INFO(0, status, IS_LONG, 0)
ZEND_END_ARG_INFO()

#define BOTH                                                                  \
  ZEND_ME(RateLimit_Both, name, string_info, ZEND_ACC_PUBLIC)                 \
  ZEND_ME(RateLimit_Both, limit, long_info, ZEND_ACC_PUBLIC)                  \
  ZEND_ME(RateLimit_Both, remaining, long_info, ZEND_ACC_PUBLIC)              \
  ZEND_ME(RateLimit_Both, charged, long_info, ZEND_ACC_PUBLIC)                \
  ZEND_ME(RateLimit_Both, rateIndex, long_info, ZEND_ACC_PUBLIC)              \
  ZEND_ME(RateLimit_Both, window, double_info, ZEND_ACC_PUBLIC)               \
  ZEND_ME(RateLimit_Both, reset, double_info, ZEND_ACC_PUBLIC)                \
  ZEND_ME(RateLimit_Both, retryAfter, double_or_null_info, ZEND_ACC_PUBLIC)

static const zend_function_entry decision_methods[] = {
    BOTH
    ZEND_ME(RateLimit_Decision, allowed, bool_info, ZEND_ACC_PUBLIC)
    ZEND_ME(RateLimit_Decision, source, string_info, ZEND_ACC_PUBLIC)
    ZEND_ME(RateLimit_Decision, degraded, bool_info, ZEND_ACC_PUBLIC)
    ZEND_ME(RateLimit_Decision, index, long_info, ZEND_ACC_PUBLIC)
    ZEND_ME(RateLimit_Decision, limits, array_info, ZEND_ACC_PUBLIC)
    ZEND_ME(RateLimit_Decision, fields, fields_info, ZEND_ACC_PUBLIC)
    ZEND_ME(RateLimit_Decision, retryAfterField, string_info, ZEND_ACC_PUBLIC)
    ZEND_ME(RateLimit_Decision, problem, problem_info, ZEND_ACC_PUBLIC)
    ZEND_FE_END
};

static const zend_function_entry result_methods[] = {
    BOTH
    ZEND_ME(RateLimit_Result, allowed, bool_info, ZEND_ACC_PUBLIC)
    ZEND_ME(RateLimit_Result, source, string_info, ZEND_ACC_PUBLIC)
    ZEND_FE_END
};

void rlphp_decision_add(void) {
  for (int i = 0; i <= RLC_SOURCE_BAN; ++i) {
    const char *name = rlc_source_name((rlc_source)i);

    source_names[i] = zend_string_init_interned(name, strlen(name), 1);
  }
  decision_ce = rlphp_class("RateLimit\\Decision", decision_methods, 1, &decision_handlers,
                            offsetof(rlphp_decision, std), free_decision, make_decision);
  result_ce = rlphp_class("RateLimit\\Result", result_methods, 1, &result_handlers,
                          offsetof(result, std), free_result, make_result);
  decision_handlers.get_constructor = no_constructor;
  result_handlers.get_constructor = no_constructor;
}
