/* SPDX-License-Identifier: Apache-2.0 */
#include "rlphp.h"

#include <string.h>

/* RateLimit\Limit, and what verbs are asked. */

typedef struct object {
  rlphp_ask ask; /* with its own references; without a key: never constructed */
  zend_object std;
} object;

static zend_class_entry *limit_ce;
static zend_object_handlers handlers;

/* The arguments of one limit, borrowed from the caller. */
static int read_ask(rlphp_ask *ask, zend_execute_data *execute_data) {
  memset(ask, 0, sizeof *ask);
  ask->cost = 1;
  ZEND_PARSE_PARAMETERS_START(2, 7)
    Z_PARAM_STR(ask->key)
    Z_PARAM_OBJ_OF_CLASS_OR_STR(ask->policy, rlphp_policy_ce, ask->text)
    Z_PARAM_OPTIONAL
    Z_PARAM_LONG(ask->cost)
    Z_PARAM_STR_OR_NULL(ask->name)
    Z_PARAM_STR_OR_NULL(ask->group)
    Z_PARAM_STR_OR_NULL(ask->tier)
    Z_PARAM_STR_OR_NULL(ask->fail)
  ZEND_PARSE_PARAMETERS_END_EX(return -1);
  return 0;
}

static int read_fail(const zend_string *text, rlc_fail *fail) {
  static const char *const names[] = {[RLC_FAIL_LOCAL] = "local", [RLC_FAIL_OPEN] = "open",
                                      [RLC_FAIL_CLOSED] = "closed"};

  for (int i = RLC_FAIL_LOCAL; i <= RLC_FAIL_CLOSED; ++i) {
    if (strcmp(ZSTR_VAL(text), names[i]) == 0 && ZSTR_LEN(text) == strlen(names[i])) {
      *fail = (rlc_fail)i;
      return 0;
    }
  }
  rlphp_invalid("fail is \"%.64s\": write \"local\", \"open\" or \"closed\"", ZSTR_VAL(text));
  return -1;
}

static int add_ask(rlphp_call *call, rlphp_handle *handle, const rlphp_ask *ask) {
  rlc_limit *limit = &call->limits[call->n];
  rlphp_policy *policy;

  *limit = (rlc_limit)RLC_LIMIT_INIT;
  if (ZSTR_LEN(ask->key) > RLC_MAX_KEY || (ask->group != NULL && ZSTR_LEN(ask->group) > RLC_MAX_KEY)) {
    int key = ZSTR_LEN(ask->key) > RLC_MAX_KEY;

    rlphp_invalid("a %s of %zu bytes: the longest is %d", key ? "key" : "group",
                  key ? ZSTR_LEN(ask->key) : ZSTR_LEN(ask->group), RLC_MAX_KEY);
    return -1;
  }
  if (ask->cost < 0 || ask->cost > (zend_long)RLC_MAX_QUOTA) {
    rlphp_invalid("cost is " ZEND_LONG_FMT ": write 0 to %u", ask->cost, RLC_MAX_QUOTA);
    return -1;
  }
  if ((ask->name != NULL && rlphp_name_check(ask->name, "name") != 0) ||
      (ask->tier != NULL && rlphp_name_check(ask->tier, "tier") != 0) ||
      (ask->fail != NULL && read_fail(ask->fail, &limit->fail) != 0)) {
    return -1;
  }
  if (ask->policy != NULL) {
    policy = rlphp_policy_of(ask->policy);
    if (policy == NULL) {
      rlphp_invalid("a Policy was never made: call Policy::__construct");
      return -1;
    }
    ++policy->refs;
  } else {
    policy = rlphp_handle_policy(handle, ask->text);
    if (policy == NULL) {
      return -1;
    }
  }
  limit->policy = policy->policy;
  limit->key = ZSTR_VAL(ask->key);
  limit->key_len = ZSTR_LEN(ask->key);
  limit->cost = (uint64_t)ask->cost;
  limit->name = ask->name != NULL ? ZSTR_VAL(ask->name) : NULL;
  limit->tier = ask->tier != NULL ? ZSTR_VAL(ask->tier) : NULL;
  if (ask->group != NULL) {
    limit->group = ZSTR_VAL(ask->group);
    limit->group_len = ZSTR_LEN(ask->group);
  }
  call->policies[call->n] = policy;
  call->names[call->n] = ask->name;
  ++call->n;
  return 0;
}

static int read_many(rlphp_call *call, rlphp_handle *handle, zend_execute_data *execute_data) {
  HashTable *list;
  zval *value;

  ZEND_PARSE_PARAMETERS_START(1, 1)
    Z_PARAM_ARRAY_HT(list)
  ZEND_PARSE_PARAMETERS_END_EX(return -1);
  if (zend_hash_num_elements(list) < 1 || zend_hash_num_elements(list) > RLC_MAX_LIMITS) {
    rlphp_invalid("%u limits: write 1 to %d", zend_hash_num_elements(list), RLC_MAX_LIMITS);
    return -1;
  }
  ZEND_HASH_FOREACH_VAL(list, value) {
    ZVAL_DEREF(value);
    if (Z_TYPE_P(value) != IS_OBJECT || Z_OBJCE_P(value) != limit_ce) {
      zend_type_error("a limit is a RateLimit\\Limit, not %s", zend_zval_type_name(value));
      return -1;
    }
    if (add_ask(call, handle, &RLPHP_OF(object, Z_OBJ_P(value))->ask) != 0) {
      return -1;
    }
  } ZEND_HASH_FOREACH_END();
  return 0;
}

int rlphp_call_read(rlphp_call *call, rlphp_handle *handle, zend_execute_data *execute_data,
                    int many) {
  rlphp_ask ask;
  int rv;

  call->n = 0;
  if (many) {
    rv = read_many(call, handle, execute_data);
  } else {
    rv = read_ask(&ask, execute_data) != 0 ? -1 : add_ask(call, handle, &ask);
  }
  if (rv != 0) {
    rlphp_call_drop(call);
  }
  return rv;
}

void rlphp_call_drop(rlphp_call *call) {
  for (size_t i = 0; i < call->n; ++i) {
    rlphp_policy_unref(call->policies[i]);
  }
  call->n = 0;
}

/* --- the class ----------------------------------------------------------------------------- */

static zend_object *make(zend_class_entry *ce) {
  object *o = zend_object_alloc(sizeof *o, ce);

  memset(&o->ask, 0, sizeof o->ask);
  zend_object_std_init(&o->std, ce);
  o->std.handlers = &handlers;
  /* What a constructor that failed leaves is a limit all the same. */
  o->ask.key = ZSTR_EMPTY_ALLOC();
  o->ask.text = ZSTR_EMPTY_ALLOC();
  return &o->std;
}

static void drop(zend_string *string) {
  if (string != NULL) {
    zend_string_release(string);
  }
}

static void drop_ask(rlphp_ask *ask) {
  drop(ask->key);
  drop(ask->text);
  drop(ask->name);
  drop(ask->group);
  drop(ask->tier);
  drop(ask->fail);
  if (ask->policy != NULL) {
    OBJ_RELEASE(ask->policy);
  }
}

static void free_object(zend_object *std) {
  drop_ask(&RLPHP_OF(object, std)->ask);
  zend_object_std_dtor(std);
}

static zend_string *keep(zend_string *string) {
  return string != NULL ? zend_string_copy(string) : NULL;
}

static PHP_METHOD(RateLimit_Limit, __construct) {
  object *o = RLPHP_OF(object, Z_OBJ_P(ZEND_THIS));
  rlphp_ask ask, old;

  if (read_ask(&ask, execute_data) != 0) {
    RETURN_THROWS();
  }
  old = o->ask;
  o->ask = ask;
  keep(ask.key);
  keep(ask.text);
  keep(ask.name);
  keep(ask.group);
  keep(ask.tier);
  keep(ask.fail);
  if (ask.policy != NULL) {
    GC_ADDREF(ask.policy);
  }
  drop_ask(&old);
}

static PHP_METHOD(RateLimit_Limit, key) {
  ZEND_PARSE_PARAMETERS_NONE();
  RETURN_STR_COPY(RLPHP_OF(object, Z_OBJ_P(ZEND_THIS))->ask.key);
}

static PHP_METHOD(RateLimit_Limit, cost) {
  ZEND_PARSE_PARAMETERS_NONE();
  RETURN_LONG(RLPHP_OF(object, Z_OBJ_P(ZEND_THIS))->ask.cost);
}

ZEND_BEGIN_ARG_INFO_EX(construct_info, 0, 0, 2)
  ZEND_ARG_TYPE_INFO(0, key, IS_STRING, 0)
  ZEND_ARG_OBJ_TYPE_MASK(0, policy, RateLimit\\Native\\Policy, MAY_BE_STRING, NULL)
  ZEND_ARG_TYPE_INFO_WITH_DEFAULT_VALUE(0, cost, IS_LONG, 0, "1")
  ZEND_ARG_TYPE_INFO_WITH_DEFAULT_VALUE(0, name, IS_STRING, 1, "null")
  ZEND_ARG_TYPE_INFO_WITH_DEFAULT_VALUE(0, group, IS_STRING, 1, "null")
  ZEND_ARG_TYPE_INFO_WITH_DEFAULT_VALUE(0, tier, IS_STRING, 1, "null")
  ZEND_ARG_TYPE_INFO_WITH_DEFAULT_VALUE(0, fail, IS_STRING, 1, "null")
ZEND_END_ARG_INFO()
ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(key_info, 0, 0, IS_STRING, 0)
ZEND_END_ARG_INFO()
ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(cost_info, 0, 0, IS_LONG, 0)
ZEND_END_ARG_INFO()

static const zend_function_entry methods[] = {
    ZEND_ME(RateLimit_Limit, __construct, construct_info, ZEND_ACC_PUBLIC)
    ZEND_ME(RateLimit_Limit, key, key_info, ZEND_ACC_PUBLIC)
    ZEND_ME(RateLimit_Limit, cost, cost_info, ZEND_ACC_PUBLIC)
    ZEND_FE_END
};

void rlphp_limit_add(void) {
  limit_ce = rlphp_class("RateLimit\\Limit", methods, 1, &handlers, offsetof(object, std),
                         free_object, make);
}
