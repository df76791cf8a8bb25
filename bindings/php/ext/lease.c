/* SPDX-License-Identifier: Apache-2.0 */
#include "rlphp.h"

/* RateLimit\Lease. It holds its limiter and, by its Decision's policies, what the library's lease needs:
 * PHP ends objects in any order when a request ends. */

typedef struct object {
  rlphp_handle *handle;
  rlc_lease *lease; /* NULL: settled, or nothing was taken */
  int commits;      /* what its end means */
  size_t n;
  rlphp_policy *policies[RLC_MAX_LIMITS];
  zval decision;
  zend_object std;
} object;

static zend_class_entry *lease_ce;
static zend_object_handlers handlers;

#define THIS_LEASE RLPHP_OF(object, Z_OBJ_P(ZEND_THIS))

static zend_object *make(zend_class_entry *ce) {
  object *o = zend_object_alloc(sizeof *o, ce);

  zend_object_std_init(&o->std, ce);
  o->std.handlers = &handlers;
  o->handle = NULL;
  o->lease = NULL;
  o->commits = 0;
  o->n = 0;
  ZVAL_UNDEF(&o->decision);
  return &o->std;
}

static void free_object(zend_object *std) {
  object *o = RLPHP_OF(object, std);

  if (o->lease != NULL && o->commits) {
    rlc_lease_commit(o->lease, NULL);
  }
  rlc_lease_del(o->lease);
  for (size_t i = 0; i < o->n; ++i) {
    rlphp_policy_unref(o->policies[i]);
  }
  rlphp_handle_unref(o->handle);
  zval_ptr_dtor(&o->decision);
  zend_object_std_dtor(std);
}

void rlphp_lease_make(zval *out, rlphp_handle *handle, rlc_lease *lease, zval *decision, size_t n,
                      int commits) {
  object *o = RLPHP_OF(object, make(lease_ce));
  rlphp_decision *d = RLPHP_OF(rlphp_decision, Z_OBJ_P(decision));

  ++handle->refs;
  o->handle = handle;
  o->lease = lease;
  o->commits = commits;
  o->n = n;
  for (size_t i = 0; i < n; ++i) {
    o->policies[i] = d->verdict[i].policy;
    ++o->policies[i]->refs;
  }
  ZVAL_COPY_VALUE(&o->decision, decision);
  ZVAL_OBJ(out, &o->std);
}

static zend_function *no_constructor(zend_object *std) {
  zend_throw_error(NULL, "a %s comes from a Limiter", ZSTR_VAL(std->ce->name));
  return NULL;
}

/* Throws where |rv| is an error. */
static void tell(int rv) {
  if (rv < 0) {
    rlphp_throw(rv, rlc_strerror(rv));
  }
}

static int check_held(const object *o) {
  if (o->lease == NULL) {
    rlphp_throw(0, "the lease is settled, or nothing was taken");
    return -1;
  }
  return 0;
}

/* Ends the library's lease: it is settled whatever the store said. */
static void end(object *o) {
  rlc_lease *lease = o->lease;

  o->lease = NULL;
  rlc_lease_del(lease);
}

static PHP_METHOD(RateLimit_Lease, decision) {
  ZEND_PARSE_PARAMETERS_NONE();
  RETURN_COPY(&THIS_LEASE->decision);
}

static PHP_METHOD(RateLimit_Lease, allowed) {
  ZEND_PARSE_PARAMETERS_NONE();
  RETURN_BOOL(RLPHP_OF(rlphp_decision, Z_OBJ(THIS_LEASE->decision))->allowed);
}

static PHP_METHOD(RateLimit_Lease, settled) {
  ZEND_PARSE_PARAMETERS_NONE();
  RETURN_BOOL(THIS_LEASE->lease == NULL);
}

static PHP_METHOD(RateLimit_Lease, commit) {
  object *o = THIS_LEASE;
  uint64_t costs[RLC_MAX_LIMITS];
  uint32_t n = 0;
  zval *args = NULL;
  int rv;

  ZEND_PARSE_PARAMETERS_START(0, -1)
    Z_PARAM_VARIADIC('*', args, n)
  ZEND_PARSE_PARAMETERS_END();
  if (n > 0 && n != o->n) {
    rlphp_invalid("%u costs for %zu limits", n, o->n);
    RETURN_THROWS();
  }
  for (uint32_t i = 0; i < n; ++i) {
    if (Z_TYPE(args[i]) != IS_LONG) {
      zend_argument_type_error(i + 1, "must be of type int, %s given", zend_zval_type_name(&args[i]));
      RETURN_THROWS();
    }
    if (Z_LVAL(args[i]) < 0 || Z_LVAL(args[i]) > (zend_long)RLC_MAX_QUOTA) {
      rlphp_invalid("cost is " ZEND_LONG_FMT ": write 0 to %u", Z_LVAL(args[i]), RLC_MAX_QUOTA);
      RETURN_THROWS();
    }
    costs[i] = (uint64_t)Z_LVAL(args[i]);
  }
  if (check_held(o) != 0) {
    RETURN_THROWS();
  }
  rv = rlc_lease_commit(o->lease, n > 0 ? costs : NULL);
  end(o);
  tell(rv);
}

static PHP_METHOD(RateLimit_Lease, release) {
  object *o = THIS_LEASE;
  int rv;

  ZEND_PARSE_PARAMETERS_NONE();
  if (check_held(o) != 0) {
    RETURN_THROWS();
  }
  rv = rlc_lease_release(o->lease);
  end(o);
  tell(rv);
}

static PHP_METHOD(RateLimit_Lease, renew) {
  ZEND_PARSE_PARAMETERS_NONE();
  if (check_held(THIS_LEASE) == 0) {
    tell(rlc_lease_renew(THIS_LEASE->lease));
  }
}

static PHP_METHOD(RateLimit_Lease, keep) {
  ZEND_PARSE_PARAMETERS_NONE();
  if (check_held(THIS_LEASE) == 0) {
    tell(rlc_lease_keep(THIS_LEASE->lease));
  }
}

ZEND_BEGIN_ARG_WITH_RETURN_OBJ_INFO_EX(decision_info, 0, 0, RateLimit\\Decision, 0)
ZEND_END_ARG_INFO()
ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(bool_info, 0, 0, _IS_BOOL, 0)
ZEND_END_ARG_INFO()
ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(void_info, 0, 0, IS_VOID, 0)
ZEND_END_ARG_INFO()
ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(commit_info, 0, 0, IS_VOID, 0)
  ZEND_ARG_VARIADIC_TYPE_INFO(0, costs, IS_LONG, 0)
ZEND_END_ARG_INFO()

static const zend_function_entry methods[] = {
    ZEND_ME(RateLimit_Lease, decision, decision_info, ZEND_ACC_PUBLIC)
    ZEND_ME(RateLimit_Lease, allowed, bool_info, ZEND_ACC_PUBLIC)
    ZEND_ME(RateLimit_Lease, settled, bool_info, ZEND_ACC_PUBLIC)
    ZEND_ME(RateLimit_Lease, commit, commit_info, ZEND_ACC_PUBLIC)
    ZEND_ME(RateLimit_Lease, release, void_info, ZEND_ACC_PUBLIC)
    ZEND_ME(RateLimit_Lease, renew, void_info, ZEND_ACC_PUBLIC)
    ZEND_ME(RateLimit_Lease, keep, void_info, ZEND_ACC_PUBLIC)
    ZEND_FE_END
};

void rlphp_lease_add(void) {
  lease_ce = rlphp_class("RateLimit\\Lease", methods, 1, &handlers, offsetof(object, std),
                         free_object, make);
  handlers.get_constructor = no_constructor;
}
