/* SPDX-License-Identifier: Apache-2.0 */
#include "rlphp.h"

#include <stdarg.h>
#include <string.h>

#include <ext/spl/spl_exceptions.h>
#include <zend_exceptions.h>

/* --- exceptions ---------------------------------------------------------------------------- */

static const struct {
  int code;
  const char *name;
} kinds[] = {
    {RLC_ERR_INVALID, "RateLimit\\InvalidException"},
    {0, "RateLimit\\ClosedException"},
    {RLC_ERR_POLICY, "RateLimit\\PolicyException"},
    {RLC_ERR_URL, "RateLimit\\UrlException"},
    {RLC_ERR_NOMEM, "RateLimit\\OutOfMemoryException"},
    {RLC_ERR_SYSTEM, "RateLimit\\SystemException"},
    {RLC_ERR_FOREIGN, "RateLimit\\ForeignException"},
    {RLC_ERR_UNSUPPORTED, "RateLimit\\UnsupportedException"},
    {RLC_ERR_STORE, "RateLimit\\StoreException"},
    {RLC_ERR_FULL, "RateLimit\\FullException"},
    {RLC_ERR_LOST, "RateLimit\\LostException"},
};
#define KINDS (sizeof kinds / sizeof kinds[0])
static zend_class_entry *classes[KINDS];
static zend_class_entry *base;

void rlphp_throw(int code, const char *message) {
  zend_class_entry *ce = base;

  for (size_t i = 0; i < KINDS; ++i) {
    if (kinds[i].code == code) {
      ce = classes[i];
    }
  }
  zend_throw_exception(ce, message, code);
}

void rlphp_invalid(const char *format, ...) {
  char text[RLC_MESSAGE_SIZE];
  va_list list;

  va_start(list, format);
  ap_php_vsnprintf(text, sizeof text, format, list);
  va_end(list);
  rlphp_throw(RLC_ERR_INVALID, text);
}

static void add_exceptions(void) {
  zend_class_entry entry;

  INIT_CLASS_ENTRY(entry, "RateLimit\\Exception", NULL);
  base = zend_register_internal_class_ex(&entry, spl_ce_RuntimeException);
  for (size_t i = 0; i < KINDS; ++i) {
    INIT_CLASS_ENTRY_EX(entry, kinds[i].name, strlen(kinds[i].name), NULL);
    /* Closed is Invalid too, which is before it. */
    classes[i] = zend_register_internal_class_ex(&entry, kinds[i].code == 0 ? classes[0] : base);
  }
}

/* --- arguments ----------------------------------------------------------------------------- */

int rlphp_name_check(const zend_string *name, const char *what) {
  if (strlen(ZSTR_VAL(name)) != ZSTR_LEN(name) || !rlc_name_ok(ZSTR_VAL(name))) {
    rlphp_invalid("\"%.64s\" is no %s: write a letter, then up to %d letters, digits, \"-\" or \"_\"",
                  ZSTR_VAL(name), what, RLC_MAX_NAME - 1);
    return -1;
  }
  return 0;
}

int rlphp_text_take(zval *value, const char **text) {
  ZVAL_DEREF(value);
  *text = NULL;
  if (Z_TYPE_P(value) == IS_NULL) {
    return 0;
  }
  if (Z_TYPE_P(value) != IS_STRING) {
    zend_type_error("a text is string, not %s", zend_zval_type_name(value));
    return -1;
  }
  if (strlen(Z_STRVAL_P(value)) != Z_STRLEN_P(value)) {
    rlphp_invalid("a text has a NUL in it");
    return -1;
  }
  *text = Z_STRVAL_P(value);
  return 0;
}

/* --- the extension ------------------------------------------------------------------------- */

zend_class_entry *rlphp_class(const char *name, const zend_function_entry *methods, int final,
                              zend_object_handlers *handlers, size_t offset,
                              void (*free_fn)(zend_object *),
                              zend_object *(*make)(zend_class_entry *)) {
  zend_class_entry entry;
  zend_class_entry *ce;

  INIT_CLASS_ENTRY_EX(entry, name, strlen(name), methods);
  ce = zend_register_internal_class(&entry);
  ce->create_object = make;
  ce->ce_flags |= ZEND_ACC_NOT_SERIALIZABLE;
  if (final) {
    ce->ce_flags |= ZEND_ACC_FINAL | ZEND_ACC_NO_DYNAMIC_PROPERTIES;
  }
  memcpy(handlers, &std_object_handlers, sizeof *handlers);
  handlers->offset = (int)offset;
  handlers->free_obj = free_fn;
  handlers->clone_obj = NULL;
  return ce;
}

int rlphp_minit(void) {
  add_exceptions();
  rlphp_policy_add();
  rlphp_clock_add();
  rlphp_limit_add();
  rlphp_decision_add();
  rlphp_lease_add();
  rlphp_core_add();
  return SUCCESS;
}

void rlphp_seal(void) {
  static int sealed;
  zend_class_entry *ce;

  if (sealed) {
    return;
  }
  sealed = 1;
  ZEND_HASH_FOREACH_PTR(CG(class_table), ce) {
    if (strncmp(ZSTR_VAL(ce->name), "RateLimit_Raw_", 14) == 0) {
      ce->ce_flags |= ZEND_ACC_FINAL | ZEND_ACC_NOT_SERIALIZABLE;
    }
  } ZEND_HASH_FOREACH_END();
}

void rlphp_mshutdown(void) {
  rlphp_handles_end();
}
