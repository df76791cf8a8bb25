/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The extension module rlcore._rlcore: what rlcore.i has, and the types of src/, by which decisions are
 * made. The package's Python files are its only users.
 */
%module(package="rlcore") rlcore

%{
#include "rlpy.h"
%}

/* The GIL is free while a call may wait; the short ones keep it. */
%nothread;
%thread rlb_limiter::rlb_limiter;
%thread rlb_limiter::~rlb_limiter;
%thread rlb_limiter::ban;
%thread rlb_limiter::unban;
%thread rlb_limiter::override;
%thread rlb_limiter::set_tier;
%thread rlb_limiter::set_member;
%thread rlb_limiter::list;
%thread rlb_limiter::refresh;
%thread rlb_lease::~rlb_lease;
%thread rlb_lease::keep;
%thread rlb_lease::renew;
%thread rlb_lease::commit;
%thread rlb_lease::release;

%exception {
  rlb_code = 0;
  $action
  if (rlb_code != 0) {
    rlpy_raise(rlb_code, rlb_why);
    SWIG_fail;
  }
}

%typemap(in) (const void *bytes, size_t size) (rlpy_bytes taken = {0}) {
  if (rlpy_bytes_take(&taken, $input) != 0) {
    SWIG_fail;
  }
  $1 = (void *)taken.data;
  $2 = taken.size;
}
%typemap(freearg) (const void *bytes, size_t size) {
  rlpy_bytes_drop(&taken$argnum);
}

%apply (const void *bytes, size_t size) { (const void *secret, size_t secret_size) };

%typemap(in) (const uint64_t *costs, size_t n) (uint64_t taken[RLC_MAX_LIMITS]) {
  $1 = taken;
  if (rlpy_costs_take($input, taken, &$2) != 0) {
    SWIG_fail;
  }
}

%include "rlcore.i"

%extend rlb_options {
  /* Lines go to the sink of that number: see log.c. */
  void set_log(size_t sink) {
    rlc_options_set_log($self, rlpy_log_line, (void *)(uintptr_t)sink);
  }
}

%{
const rlc_policy *rlpy_get_policy(PyObject *object) {
  void *policy = NULL;

  SWIG_ConvertPtr(object, &policy, SWIGTYPE_p_rlb_policy, 0);
  return policy;
}

PyObject *rlpy_new_lease(rlc_lease *lease) {
  PyObject *self = NULL; /* which SWIG's macro names */

  (void)self;
  return SWIG_NewPointerObj(lease, SWIGTYPE_p_rlb_lease, SWIG_POINTER_OWN);
}

rlc_limiter *rlpy_get_limiter(PyObject *object) {
  void *limiter = NULL;

  SWIG_ConvertPtr(object, &limiter, SWIGTYPE_p_rlb_limiter, 0);
  return limiter;
}
%}

%init %{
  if (rlpy_add_types(m) != 0) {
    return NULL;
  }
%}
