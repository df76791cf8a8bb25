/* SPDX-License-Identifier: Apache-2.0 */
#include "rlphp.h"

#include <stdlib.h>

/* RateLimit\Clock: time that passes when a test says so. Counted, since limiters and leases may end
 * after it when a request does. */

typedef struct object {
  rlphp_clock *clock;
  zend_object std;
} object;

zend_class_entry *rlphp_clock_ce;
static zend_object_handlers handlers;

rlphp_clock *rlphp_clock_of(zend_object *std) {
  return RLPHP_OF(object, std)->clock;
}

void rlphp_clock_unref(rlphp_clock *clock) {
  if (clock != NULL && --clock->refs == 0) {
    free(clock);
  }
}

static zend_object *make(zend_class_entry *ce) {
  object *o = zend_object_alloc(sizeof *o, ce);

  zend_object_std_init(&o->std, ce);
  object_properties_init(&o->std, ce);
  o->std.handlers = &handlers;
  o->clock = calloc(1, sizeof *o->clock);
  if (o->clock == NULL) {
    zend_error_noreturn(E_ERROR, "Out of memory");
  }
  o->clock->refs = 1;
  return &o->std;
}

static void free_object(zend_object *std) {
  rlphp_clock_unref(rlphp_clock_of(std));
  zend_object_std_dtor(std);
}

static PHP_METHOD(RateLimit_Clock, __construct) {
  zend_long now_us = 0;

  ZEND_PARSE_PARAMETERS_START(1, 1)
    Z_PARAM_LONG(now_us)
  ZEND_PARSE_PARAMETERS_END();
  rlphp_clock_of(Z_OBJ_P(ZEND_THIS))->now_us = now_us;
}

static PHP_METHOD(RateLimit_Clock, set) {
  zend_long now_us;

  ZEND_PARSE_PARAMETERS_START(1, 1)
    Z_PARAM_LONG(now_us)
  ZEND_PARSE_PARAMETERS_END();
  rlphp_clock_of(Z_OBJ_P(ZEND_THIS))->now_us = now_us;
}

static PHP_METHOD(RateLimit_Clock, now) {
  ZEND_PARSE_PARAMETERS_NONE();
  RETURN_LONG((zend_long)rlphp_clock_of(Z_OBJ_P(ZEND_THIS))->now_us);
}

static PHP_METHOD(RateLimit_Clock, advance) {
  double seconds;

  ZEND_PARSE_PARAMETERS_START(1, 1)
    Z_PARAM_DOUBLE(seconds)
  ZEND_PARSE_PARAMETERS_END();
  if (!(seconds > -1e9 && seconds < 1e9)) {
    rlphp_invalid("a clock is moved by less than 1e9 seconds");
    RETURN_THROWS();
  }
  rlphp_clock_of(Z_OBJ_P(ZEND_THIS))->now_us += (int64_t)(seconds * 1e6 + (seconds < 0 ? -0.5 : 0.5));
}

ZEND_BEGIN_ARG_INFO_EX(construct_info, 0, 0, 1)
  ZEND_ARG_TYPE_INFO(0, nowUs, IS_LONG, 0)
ZEND_END_ARG_INFO()
ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(set_info, 0, 1, IS_VOID, 0)
  ZEND_ARG_TYPE_INFO(0, nowUs, IS_LONG, 0)
ZEND_END_ARG_INFO()
ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(now_info, 0, 0, IS_LONG, 0)
ZEND_END_ARG_INFO()
ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(advance_info, 0, 1, IS_VOID, 0)
  ZEND_ARG_TYPE_INFO(0, seconds, IS_DOUBLE, 0)
ZEND_END_ARG_INFO()

static const zend_function_entry methods[] = {
    ZEND_ME(RateLimit_Clock, __construct, construct_info, ZEND_ACC_PUBLIC)
    ZEND_ME(RateLimit_Clock, set, set_info, ZEND_ACC_PUBLIC)
    ZEND_ME(RateLimit_Clock, now, now_info, ZEND_ACC_PUBLIC)
    ZEND_ME(RateLimit_Clock, advance, advance_info, ZEND_ACC_PUBLIC)
    ZEND_FE_END
};

void rlphp_clock_add(void) {
  rlphp_clock_ce = rlphp_class("RateLimit\\Clock", methods, 1, &handlers, offsetof(object, std),
                               free_object, make);
}
