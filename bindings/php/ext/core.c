/* SPDX-License-Identifier: Apache-2.0 */
#include "rlphp.h"

#include <stdatomic.h>

/* The base of the front's Limiter: its verbs. */

static zend_class_entry *core_ce;
static zend_object_handlers handlers;

typedef int verb_fn(rlc_limiter *, const rlc_limit *, size_t, rlc_result *, rlc_decision *);

#define THIS_CORE RLPHP_OF(rlphp_core, Z_OBJ_P(ZEND_THIS))

static zend_object *make(zend_class_entry *ce) {
  rlphp_core *core = zend_object_alloc(sizeof *core, ce);

  zend_object_std_init(&core->std, ce);
  object_properties_init(&core->std, ce);
  core->std.handlers = &handlers;
  core->handle = NULL;
  ZVAL_UNDEF(&core->log);
  return &core->std;
}

static void let_go(rlphp_core *core) {
  rlphp_handle *handle = core->handle;

  core->handle = NULL;
  if (handle != NULL) {
    if (handle->teller == core) {
      handle->teller = NULL;
    }
    rlphp_handle_unref(handle);
  }
}

static void free_object(zend_object *std) {
  rlphp_core *core = RLPHP_OF(rlphp_core, std);

  let_go(core);
  zval_ptr_dtor(&core->log);
  zend_object_std_dtor(std);
}

/* A closure that logs may hold the limiter itself. */
static HashTable *get_gc(zend_object *std, zval **table, int *n) {
  zend_get_gc_buffer *buffer = zend_get_gc_buffer_create();

  zend_get_gc_buffer_add_zval(buffer, &RLPHP_OF(rlphp_core, std)->log);
  zend_get_gc_buffer_use(buffer, table, n);
  return zend_std_get_properties(std);
}

static int check_open(const rlphp_core *core) {
  if (core->handle == NULL) {
    rlphp_throw(0, "the limiter is closed, or was never opened");
    return -1;
  }
  return 0;
}

static void fetch_log(void) {
  if (UNEXPECTED(atomic_load_explicit(&rlphp_log_waiting, memory_order_relaxed)) &&
      EG(exception) == NULL) {
    rlphp_log_drain(1);
  }
}

/* --- verbs --------------------------------------------------------------------------------- */

static int decide(zend_execute_data *execute_data, zval *return_value, verb_fn *verb, int many) {
  rlphp_core *core = THIS_CORE;
  rlc_decision decision = RLC_DECISION_INIT;
  rlc_result results[RLC_MAX_LIMITS];
  rlphp_call call;
  int rv;

  if (check_open(core) != 0 || rlphp_call_read(&call, core->handle, execute_data, many) != 0) {
    return RLC_ERR_INVALID;
  }
  for (size_t i = 0; i < call.n; ++i) {
    results[i].size = sizeof results[i];
  }
  rv = verb(core->handle->limiter, call.limits, call.n, results, &decision);
  if (rv < 0) {
    rlphp_call_drop(&call);
    rlphp_throw(rv, rlc_strerror(rv));
  } else {
    rlphp_decision_make(return_value, &call, rv, results, &decision);
  }
  fetch_log();
  return rv;
}

#define VERB(name)                                                              \
  static PHP_METHOD(RateLimit_Core, name) {                                          \
    decide(execute_data, return_value, rlc_limiter_##name, 0);                  \
  }                                                                             \
  static PHP_METHOD(RateLimit_Core, name##All) {                                     \
    decide(execute_data, return_value, rlc_limiter_##name, 1);                  \
  }

VERB(check)
VERB(peek)
VERB(charge)
VERB(refund)
VERB(grant)

/* True: the store forgot; false: it did not answer. */
static void forget(zend_execute_data *execute_data, zval *return_value, int many) {
  rlphp_core *core = THIS_CORE;
  rlphp_call call;
  int rv;

  if (check_open(core) != 0 || rlphp_call_read(&call, core->handle, execute_data, many) != 0) {
    return;
  }
  rv = rlc_limiter_reset(core->handle->limiter, call.limits, call.n);
  rlphp_call_drop(&call);
  if (rv < 0) {
    rlphp_throw(rv, rlc_strerror(rv));
  }
  RETVAL_BOOL(rv == 0);
  fetch_log();
}

static PHP_METHOD(RateLimit_Core, reset) {
  forget(execute_data, return_value, 0);
}

static PHP_METHOD(RateLimit_Core, resetAll) {
  forget(execute_data, return_value, 1);
}

static void lease(zend_execute_data *execute_data, zval *return_value, int many, int commits) {
  rlphp_core *core = THIS_CORE;
  rlc_decision decision = RLC_DECISION_INIT;
  rlc_result results[RLC_MAX_LIMITS];
  rlc_lease *taken = NULL;
  rlphp_call call;
  zval said;
  size_t n;
  int rv;

  if (check_open(core) != 0 || rlphp_call_read(&call, core->handle, execute_data, many) != 0) {
    return;
  }
  n = call.n;
  for (size_t i = 0; i < n; ++i) {
    results[i].size = sizeof results[i];
  }
  rv = rlc_limiter_acquire(core->handle->limiter, call.limits, n, &taken, results, &decision);
  if (rv < 0) {
    rlphp_call_drop(&call);
    rlphp_throw(rv, rlc_strerror(rv));
  } else {
    rlphp_decision_make(&said, &call, rv, results, &decision);
    rlphp_lease_make(return_value, core->handle, taken, &said, n, commits);
  }
  fetch_log();
}

static PHP_METHOD(RateLimit_Core, acquire) {
  lease(execute_data, return_value, 0, 0);
}

static PHP_METHOD(RateLimit_Core, acquireAll) {
  lease(execute_data, return_value, 1, 0);
}

/* --- open and close ------------------------------------------------------------------------ */

/* find(key, log): whether a limiter of that key is there, which is this object's from now on. */
static PHP_METHOD(RateLimit_Core, find) {
  rlphp_core *core = THIS_CORE;
  rlphp_handle *handle;
  zend_string *key;
  zval *log;

  ZEND_PARSE_PARAMETERS_START(2, 2)
    Z_PARAM_STR(key)
    Z_PARAM_ZVAL(log)
  ZEND_PARSE_PARAMETERS_END();
  handle = rlphp_handle_find(key);
  if (handle == NULL) {
    RETURN_FALSE;
  }
  ++handle->refs;
  let_go(core);
  core->handle = handle;
  zval_ptr_dtor(&core->log);
  ZVAL_COPY(&core->log, log);
  if (Z_TYPE_P(log) != IS_NULL) {
    handle->teller = core;
  }
  RETURN_TRUE;
}

/* install(key, raw, sink, policies, clock, log): the limiter that SWIG made becomes this object's. */
static PHP_METHOD(RateLimit_Core, install) {
  rlphp_core *core = THIS_CORE;
  zend_string *key, *name;
  zval *raw, *log, *text;
  zend_object *clock = NULL;
  HashTable *policies;
  rlphp_handle *handle;
  rlc_limiter *limiter;
  zend_long sink;

  ZEND_PARSE_PARAMETERS_START(6, 6)
    Z_PARAM_STR_OR_NULL(key)
    Z_PARAM_OBJECT(raw)
    Z_PARAM_LONG(sink)
    Z_PARAM_ARRAY_HT(policies)
    Z_PARAM_OBJ_OF_CLASS_OR_NULL(clock, rlphp_clock_ce)
    Z_PARAM_ZVAL(log)
  ZEND_PARSE_PARAMETERS_END();
  limiter = rlphp_take_limiter(raw);
  if (limiter == NULL) {
    zend_type_error("a limiter is needed");
    RETURN_THROWS();
  }
  let_go(core);
  handle = rlphp_handle_new(limiter, sink, clock != NULL ? rlphp_clock_of(clock) : NULL);
  if (handle == NULL) {
    RETURN_THROWS();
  }
  ZEND_HASH_FOREACH_STR_KEY_VAL(policies, name, text) {
    const char *given;

    if (rlphp_text_take(text, &given) != 0 || name == NULL || given == NULL ||
        rlphp_handle_name(handle, name, given) != 0) {
      if (EG(exception) == NULL) {
        rlphp_invalid("policies: write names and texts, [\"api\" => \"10/s\"]");
      }
      rlphp_handle_unref(handle);
      RETURN_THROWS();
    }
  } ZEND_HASH_FOREACH_END();
  if (key != NULL && rlphp_handle_keep(handle, key) != 0) {
    rlphp_handle_unref(handle);
    RETURN_THROWS();
  }
  core->handle = handle;
  zval_ptr_dtor(&core->log);
  ZVAL_COPY(&core->log, log);
  if (Z_TYPE_P(log) != IS_NULL) {
    handle->teller = core;
  }
}

/* SWIG's object for what is not a decision. */
static PHP_METHOD(RateLimit_Core, raw) {
  ZEND_PARSE_PARAMETERS_NONE();
  if (check_open(THIS_CORE) == 0) {
    rlphp_give_limiter(return_value, THIS_CORE->handle->limiter);
  }
}

static PHP_METHOD(RateLimit_Core, policyText) {
  rlphp_core *core = THIS_CORE;
  rlphp_policy *policy;
  zend_string *name;

  ZEND_PARSE_PARAMETERS_START(1, 1)
    Z_PARAM_STR(name)
  ZEND_PARSE_PARAMETERS_END();
  if (check_open(core) != 0) {
    RETURN_THROWS();
  }
  policy = zend_hash_find_ptr(&core->handle->policies, name);
  if (policy == NULL || !policy->named) {
    RETURN_STR_COPY(name);
  }
  RETURN_STRING(rlc_policy_get_text(policy->policy));
}

static PHP_METHOD(RateLimit_Core, close) {
  ZEND_PARSE_PARAMETERS_NONE();
  fetch_log();
  let_go(THIS_CORE);
}

static PHP_METHOD(RateLimit_Core, isClosed) {
  ZEND_PARSE_PARAMETERS_NONE();
  RETURN_BOOL(THIS_CORE->handle == NULL);
}

/* --- the class ----------------------------------------------------------------------------- */

#define ONE_INFO(info, class)                                                                     \
  ZEND_BEGIN_ARG_WITH_RETURN_OBJ_INFO_EX(info, 0, 2, class, 0)                                     \
    ZEND_ARG_TYPE_INFO(0, key, IS_STRING, 0)                                                       \
    ZEND_ARG_OBJ_TYPE_MASK(0, policy, RateLimit\\Native\\Policy, MAY_BE_STRING, NULL)              \
    ZEND_ARG_TYPE_INFO_WITH_DEFAULT_VALUE(0, cost, IS_LONG, 0, "1")                                \
    ZEND_ARG_TYPE_INFO_WITH_DEFAULT_VALUE(0, name, IS_STRING, 1, "null")                           \
    ZEND_ARG_TYPE_INFO_WITH_DEFAULT_VALUE(0, group, IS_STRING, 1, "null")                          \
    ZEND_ARG_TYPE_INFO_WITH_DEFAULT_VALUE(0, tier, IS_STRING, 1, "null")                           \
    ZEND_ARG_TYPE_INFO_WITH_DEFAULT_VALUE(0, fail, IS_STRING, 1, "null")                           \
  ZEND_END_ARG_INFO()
#define MANY_INFO(info, class)                                                                    \
  ZEND_BEGIN_ARG_WITH_RETURN_OBJ_INFO_EX(info, 0, 1, class, 0)                                     \
    ZEND_ARG_TYPE_INFO(0, limits, IS_ARRAY, 0)                                                     \
  ZEND_END_ARG_INFO()

ONE_INFO(decide_info, RateLimit\\Decision)
MANY_INFO(decide_all_info, RateLimit\\Decision)
ONE_INFO(lease_info, RateLimit\\Lease)
MANY_INFO(lease_all_info, RateLimit\\Lease)

ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(reset_info, 0, 2, _IS_BOOL, 0)
  ZEND_ARG_TYPE_INFO(0, key, IS_STRING, 0)
  ZEND_ARG_OBJ_TYPE_MASK(0, policy, RateLimit\\Native\\Policy, MAY_BE_STRING, NULL)
  ZEND_ARG_TYPE_INFO_WITH_DEFAULT_VALUE(0, cost, IS_LONG, 0, "1")
  ZEND_ARG_TYPE_INFO_WITH_DEFAULT_VALUE(0, name, IS_STRING, 1, "null")
  ZEND_ARG_TYPE_INFO_WITH_DEFAULT_VALUE(0, group, IS_STRING, 1, "null")
  ZEND_ARG_TYPE_INFO_WITH_DEFAULT_VALUE(0, tier, IS_STRING, 1, "null")
  ZEND_ARG_TYPE_INFO_WITH_DEFAULT_VALUE(0, fail, IS_STRING, 1, "null")
ZEND_END_ARG_INFO()
ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(reset_all_info, 0, 1, _IS_BOOL, 0)
  ZEND_ARG_TYPE_INFO(0, limits, IS_ARRAY, 0)
ZEND_END_ARG_INFO()
ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(find_info, 0, 2, _IS_BOOL, 0)
  ZEND_ARG_TYPE_INFO(0, key, IS_STRING, 0)
  ZEND_ARG_INFO(0, log)
ZEND_END_ARG_INFO()
ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(install_info, 0, 6, IS_VOID, 0)
  ZEND_ARG_TYPE_INFO(0, key, IS_STRING, 1)
  ZEND_ARG_OBJ_INFO(0, raw, RateLimit_Raw_Limiter, 0)
  ZEND_ARG_TYPE_INFO(0, sink, IS_LONG, 0)
  ZEND_ARG_TYPE_INFO(0, policies, IS_ARRAY, 0)
  ZEND_ARG_OBJ_INFO(0, clock, RateLimit\\Clock, 1)
  ZEND_ARG_INFO(0, log)
ZEND_END_ARG_INFO()
ZEND_BEGIN_ARG_WITH_RETURN_OBJ_INFO_EX(raw_info, 0, 0, RateLimit_Raw_Limiter, 0)
ZEND_END_ARG_INFO()
ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(text_info, 0, 1, IS_STRING, 0)
  ZEND_ARG_TYPE_INFO(0, name, IS_STRING, 0)
ZEND_END_ARG_INFO()
ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(close_info, 0, 0, IS_VOID, 0)
ZEND_END_ARG_INFO()
ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(closed_info, 0, 0, _IS_BOOL, 0)
ZEND_END_ARG_INFO()

static const zend_function_entry methods[] = {
    ZEND_ME(RateLimit_Core, check, decide_info, ZEND_ACC_PUBLIC)
    ZEND_ME(RateLimit_Core, checkAll, decide_all_info, ZEND_ACC_PUBLIC)
    ZEND_ME(RateLimit_Core, peek, decide_info, ZEND_ACC_PUBLIC)
    ZEND_ME(RateLimit_Core, peekAll, decide_all_info, ZEND_ACC_PUBLIC)
    ZEND_ME(RateLimit_Core, charge, decide_info, ZEND_ACC_PUBLIC)
    ZEND_ME(RateLimit_Core, chargeAll, decide_all_info, ZEND_ACC_PUBLIC)
    ZEND_ME(RateLimit_Core, refund, decide_info, ZEND_ACC_PUBLIC)
    ZEND_ME(RateLimit_Core, refundAll, decide_all_info, ZEND_ACC_PUBLIC)
    ZEND_ME(RateLimit_Core, grant, decide_info, ZEND_ACC_PUBLIC)
    ZEND_ME(RateLimit_Core, grantAll, decide_all_info, ZEND_ACC_PUBLIC)
    ZEND_ME(RateLimit_Core, reset, reset_info, ZEND_ACC_PUBLIC)
    ZEND_ME(RateLimit_Core, resetAll, reset_all_info, ZEND_ACC_PUBLIC)
    ZEND_ME(RateLimit_Core, acquire, lease_info, ZEND_ACC_PUBLIC)
    ZEND_ME(RateLimit_Core, acquireAll, lease_all_info, ZEND_ACC_PUBLIC)
    ZEND_ME(RateLimit_Core, close, close_info, ZEND_ACC_PUBLIC)
    ZEND_ME(RateLimit_Core, isClosed, closed_info, ZEND_ACC_PUBLIC)
    ZEND_ME(RateLimit_Core, find, find_info, ZEND_ACC_PROTECTED)
    ZEND_ME(RateLimit_Core, install, install_info, ZEND_ACC_PROTECTED)
    ZEND_ME(RateLimit_Core, raw, raw_info, ZEND_ACC_PROTECTED)
    ZEND_ME(RateLimit_Core, policyText, text_info, ZEND_ACC_PROTECTED)
    ZEND_FE_END
};

void rlphp_core_add(void) {
  core_ce = rlphp_class("RateLimit\\Native\\Core", methods, 0, &handlers,
                        offsetof(rlphp_core, std), free_object, make);
  handlers.get_gc = get_gc;
}
