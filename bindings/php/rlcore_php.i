/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The extension rlcore: what rlcore.i has, in classes RateLimit_Raw_..., and the classes of ext/, by which
 * decisions are made. The PHP files of front/ are its only users.
 */
%module rlcore

%{
#include "rlphp.h"

/* The names of constants are short: they stay in a class, and out of everybody's way. */
#undef SWIG_LONG_CONSTANT
#define SWIG_LONG_CONSTANT(name, value)
#undef SWIG_STRING_CONSTANT
#define SWIG_STRING_CONSTANT(name, value)

/* SWIG's object for a limiter may be left when the limiter is closed. What a function is given first is
 * its |arg1|; for one without arguments there is this. */
static const char arg1;
#define RLPHP_IS_USABLE(object)                                                                  \
  _Generic((object),                                                                             \
      rlc_limiter *: rlphp_handle_is_open((const rlc_limiter *)(uintptr_t)(object)),            \
      rlc_policy *: (uintptr_t)(object) != 0, default: 1)
%}

%exception {
  if (!RLPHP_IS_USABLE(arg1)) {
    rlphp_throw(0, "the object is closed");
    SWIG_fail;
  }
  rlb_code = 0;
  $action
  if (rlb_code != 0) {
    rlphp_throw(rlb_code, rlb_why);
    SWIG_fail;
  }
}

/* --- arguments: no conversions, no NUL, a handle that is still there -------------------------- */

%typemap(in) const char * {
  if (rlphp_text_take(&$input, (const char **)&$1) != 0) {
    SWIG_fail;
  }
}
%typemap(in) (const void *bytes, size_t size) {
  if (Z_TYPE($input) != IS_STRING) {
    zend_type_error("a key is string, not %s", zend_zval_type_name(&$input));
    SWIG_fail;
  }
  $1 = (void *)Z_STRVAL($input);
  $2 = Z_STRLEN($input);
}
%apply (const void *bytes, size_t size) { (const void *secret, size_t secret_size) };
%typemap(in) (const uint64_t *costs, size_t n) {
  $1 = NULL;
  $2 = 0;
}
%typemap(in) rlb_clock *clock {
  if (Z_TYPE($input) != IS_OBJECT || Z_OBJCE($input) != rlphp_clock_ce) {
    zend_type_error("a clock is a RateLimit\\Clock, not %s", zend_zval_type_name(&$input));
    SWIG_fail;
  }
  $1 = (rlb_clock *)(void *)rlphp_clock_of(Z_OBJ($input));
}

/* --- results ---------------------------------------------------------------------------------- */

/* SWIG 4.1 forgets what the read of a property makes: structs are arrays. */
%typemap(out) uint64_t {
  RETVAL_LONG($1 > (uint64_t)ZEND_LONG_MAX ? ZEND_LONG_MAX : (zend_long)$1);
}
%typemap(out) rlc_stats * {
  array_init(return_value);
  rlphp_stats(return_value, $1);
  free($1);
}
%typemap(out) const rlc_entry * {
  array_init(return_value);
  rlphp_entry(return_value, $1);
}

%{
static void rlphp_stats(zval *out, const rlc_stats *stats) {
#define NUMBER(name) add_assoc_long(out, #name, (zend_long)stats->name)
  NUMBER(allowed);
  NUMBER(denied);
  NUMBER(fallback);
  NUMBER(fail_open);
  NUMBER(fail_closed);
  NUMBER(store_errors);
  NUMBER(store_timeouts);
  NUMBER(store_unavailable);
  NUMBER(store_refused);
  NUMBER(breaker_opened);
  NUMBER(breaker);
  NUMBER(breaker_reason);
  NUMBER(connects);
  NUMBER(connections_lost);
  NUMBER(resent);
  NUMBER(late_replies);
  NUMBER(slots);
  NUMBER(slots_used);
  NUMBER(evicted_live);
  NUMBER(banned);
  NUMBER(leases_lost);
  NUMBER(index_entries);
#undef NUMBER
}

static void rlphp_entry(zval *out, const rlc_entry *entry) {
  add_assoc_long(out, "kind", (zend_long)entry->kind);
  add_assoc_string(out, "key", entry->key);
  add_assoc_string(out, "name", entry->name);
  add_assoc_string(out, "tier", entry->tier);
  add_assoc_string(out, "policy", entry->policy);
  add_assoc_string(out, "display", entry->display);
  add_assoc_long(out, "left_us", (zend_long)entry->left_us);
  add_assoc_long(out, "level", (zend_long)entry->level);
}
%}

%include "rlcore.i"

%extend rlb_options {
  /* Lines are those of the sink of that number: see log.c. */
  void set_log(size_t sink) {
    rlc_options_set_log($self, rlphp_log_line, (void *)(uintptr_t)sink);
  }
}

%{
/* What somebody has already taken is nobody else's. */
static void *take(zval *raw, swig_type_info *type) {
  void *taken = NULL;

  if (SWIG_ConvertPtr(raw, &taken, type, 0) < 0 || !SWIG_Z_FETCH_OBJ_P(raw)->newobject) {
    return NULL;
  }
  SWIG_Z_FETCH_OBJ_P(raw)->newobject = 0;
  return taken;
}

rlc_policy *rlphp_take_policy(zval *raw) {
  return take(raw, SWIGTYPE_p_rlb_policy);
}

rlc_limiter *rlphp_take_limiter(zval *raw) {
  return take(raw, SWIGTYPE_p_rlb_limiter);
}

void rlphp_end_raw(zval *raw) {
  SWIG_Z_FETCH_OBJ_P(raw)->ptr = NULL;
}

void rlphp_give_limiter(zval *raw, rlc_limiter *limiter) {
  SWIG_SetPointerZval(raw, limiter, SWIGTYPE_p_rlb_limiter, 0);
}
%}

%minit %{
  if (rlphp_minit() != SUCCESS) {
    return FAILURE;
  }
%}
/* SWIG registers its classes after that: they are sealed before the first line of PHP runs. */
%rinit %{
  rlphp_seal();
%}
%mshutdown %{
  rlphp_mshutdown();
%}
%rshutdown %{
  rlphp_log_drain(0);
%}
