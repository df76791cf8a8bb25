/* SPDX-License-Identifier: Apache-2.0 */
#include "rlphp.h"

#include <stdlib.h>
#include <string.h>

/* The base of the front's Policy: holds what SWIG's object made, and outlives both where a limiter or a
 * decision still needs it. */

typedef struct object {
  rlphp_policy *policy;
  zval raw; /* SWIG's, which looks at the same */
  zend_object std;
} object;

zend_class_entry *rlphp_policy_ce;
static zend_object_handlers handlers;

rlphp_policy *rlphp_policy_new(rlc_policy *policy) {
  rlphp_policy *p = calloc(1, sizeof *p);
  const char *name = rlc_policy_get_name(policy);
  char item[128];

  if (p == NULL) {
    rlc_policy_del(policy);
    return NULL;
  }
  p->refs = 1;
  p->policy = policy;
  if (name == NULL) {
    /* The string that its item begins with. */
    rlc_http_format_policy(item, sizeof item, NULL, policy, 0);
    item[1 + strcspn(item + 1, "\"")] = '\0';
    name = item + 1;
  }
  memcpy(p->label, name, strnlen(name, sizeof p->label - 1));
  return p;
}

void rlphp_policy_unref(rlphp_policy *policy) {
  if (policy != NULL && --policy->refs == 0) {
    rlc_policy_del(policy->policy);
    free(policy);
  }
}

rlphp_policy *rlphp_policy_of(zend_object *std) {
  return RLPHP_OF(object, std)->policy;
}

static zend_object *make(zend_class_entry *ce) {
  object *o = zend_object_alloc(sizeof *o, ce);

  zend_object_std_init(&o->std, ce);
  object_properties_init(&o->std, ce);
  o->std.handlers = &handlers;
  o->policy = NULL;
  ZVAL_UNDEF(&o->raw);
  return &o->std;
}

static void free_object(zend_object *std) {
  object *o = RLPHP_OF(object, std);

  if (!Z_ISUNDEF(o->raw)) {
    rlphp_end_raw(&o->raw);
    zval_ptr_dtor(&o->raw);
  }
  rlphp_policy_unref(o->policy);
  zend_object_std_dtor(std);
}

static PHP_METHOD(RateLimit_Native_Policy, __construct) {
  object *o = RLPHP_OF(object, Z_OBJ_P(ZEND_THIS));
  rlc_policy *policy;
  zval *raw;

  ZEND_PARSE_PARAMETERS_START(1, 1)
    Z_PARAM_OBJECT(raw)
  ZEND_PARSE_PARAMETERS_END();
  if (o->policy != NULL) {
    rlphp_invalid("a Policy is made once");
    RETURN_THROWS();
  }
  policy = rlphp_take_policy(raw);
  if (policy == NULL) {
    zend_type_error("a policy is needed");
    RETURN_THROWS();
  }
  o->policy = rlphp_policy_new(policy);
  if (o->policy == NULL) {
    rlphp_end_raw(raw);
    rlphp_throw(RLC_ERR_NOMEM, rlc_strerror(RLC_ERR_NOMEM));
    RETURN_THROWS();
  }
  ZVAL_COPY(&o->raw, raw);
}

static PHP_METHOD(RateLimit_Native_Policy, label) {
  const rlphp_policy *policy = rlphp_policy_of(Z_OBJ_P(ZEND_THIS));

  ZEND_PARSE_PARAMETERS_NONE();
  RETURN_STRING(policy != NULL ? policy->label : "");
}

ZEND_BEGIN_ARG_INFO_EX(construct_info, 0, 0, 1)
  ZEND_ARG_OBJ_INFO(0, raw, RateLimit_Raw_Policy, 0)
ZEND_END_ARG_INFO()
ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(label_info, 0, 0, IS_STRING, 0)
ZEND_END_ARG_INFO()

static const zend_function_entry methods[] = {
    ZEND_ME(RateLimit_Native_Policy, __construct, construct_info, ZEND_ACC_PUBLIC)
    ZEND_ME(RateLimit_Native_Policy, label, label_info, ZEND_ACC_PUBLIC)
    ZEND_FE_END
};

void rlphp_policy_add(void) {
  rlphp_policy_ce = rlphp_class("RateLimit\\Native\\Policy", methods, 0, &handlers,
                                offsetof(object, std), free_object, make);
}
