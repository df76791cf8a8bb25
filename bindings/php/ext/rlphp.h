/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLPHP_H
#define RLPHP_H

#include <php.h>

#include <rlcore/rlcore.h>

/* What the parts of the extension know of each other. Functions that return int return -1 with an
 * exception thrown. */

/* --- rlphp.c: exceptions and classes --------------------------------------------------------- */

/* Throws the exception that stands for |code|, or ClosedException for 0. */
void rlphp_throw(int code, const char *message);
/* InvalidException, with a message as of printf. */
void rlphp_invalid(const char *format, ...) ZEND_ATTRIBUTE_FORMAT(printf, 1, 2);
/* Checks a name of a limit or tier, as |what| says. */
int rlphp_name_check(const zend_string *name, const char *what);
/* Reads a string without NUL, or null where |or_null|. */
int rlphp_text_take(zval *value, const char **text);
/* Registers a class whose objects can be neither copied nor serialized. */
zend_class_entry *rlphp_class(const char *name, const zend_function_entry *methods, int final,
                              zend_object_handlers *handlers, size_t offset,
                              void (*free_fn)(zend_object *), zend_object *(*make)(zend_class_entry *));
int rlphp_minit(void);
/* None of SWIG's objects may be made without its constructor, nor be copied. */
void rlphp_seal(void);
void rlphp_mshutdown(void);

#define RLPHP_OF(type, object) ((type *)(void *)((char *)(object) - offsetof(type, std)))

/* --- policy.c -------------------------------------------------------------------------------- */

/* Lives longer than a request. */
typedef struct rlphp_policy {
  unsigned refs;
  int named; /* by the limiter's option `policies` */
  rlc_policy *policy;
  char label[RLC_MAX_NAME + 1]; /* its name, or what the library calls a policy without one */
} rlphp_policy;

extern zend_class_entry *rlphp_policy_ce;
/* Takes |policy| over. NULL without memory, with nothing thrown. */
rlphp_policy *rlphp_policy_new(rlc_policy *policy);
void rlphp_policy_unref(rlphp_policy *policy);
/* Of an object of rlphp_policy_ce. */
rlphp_policy *rlphp_policy_of(zend_object *object);
void rlphp_policy_add(void);
/* In the SWIG part: the policy or limiter behind one of SWIG's objects, which is ours from then on. */
rlc_policy *rlphp_take_policy(zval *raw);
rlc_limiter *rlphp_take_limiter(zval *raw);
/* The object behind |raw|, which was taken, is no more. */
void rlphp_end_raw(zval *raw);
/* One of SWIG's objects for a limiter that stays ours. */
void rlphp_give_limiter(zval *raw, rlc_limiter *limiter);

/* --- clock.c --------------------------------------------------------------------------------- */

typedef struct rlphp_clock {
  _Atomic int64_t now_us; /* first: rlcore.i's rlb_clock */
  unsigned refs;
} rlphp_clock;

extern zend_class_entry *rlphp_clock_ce;
rlphp_clock *rlphp_clock_of(zend_object *object);
void rlphp_clock_unref(rlphp_clock *clock);
void rlphp_clock_add(void);

/* --- handle.c: limiters, some of which outlive requests --------------------------------------- */

typedef struct rlphp_handle {
  struct rlphp_handle *next;
  unsigned refs;
  rlc_limiter *limiter;
  zend_string *key;    /* by which open() finds it again; NULL: it ends with its objects */
  HashTable policies;  /* name or text -> rlphp_policy */
  size_t texts;        /* of those, the ones without a name */
  rlphp_clock *clock;
  zend_long sink;      /* whose log lines are this limiter's */
  struct rlphp_core *teller; /* the object that has them told, or NULL */
} rlphp_handle;

rlphp_handle *rlphp_handle_find(const zend_string *key);
rlphp_handle *rlphp_handle_by_sink(zend_long sink);
/* Takes |limiter| over. NULL with an exception. */
rlphp_handle *rlphp_handle_new(rlc_limiter *limiter, zend_long sink, rlphp_clock *clock);
/* Keeps it until the worker ends, for those who ask for |key|. */
int rlphp_handle_keep(rlphp_handle *handle, const zend_string *key);
void rlphp_handle_unref(rlphp_handle *handle);
/* Whether |limiter| is one of this thread's that is open. */
int rlphp_handle_is_open(const rlc_limiter *limiter);
/* An own reference to the policy that is written so; NULL with an exception. */
rlphp_policy *rlphp_handle_policy(rlphp_handle *handle, zend_string *text);
int rlphp_handle_name(rlphp_handle *handle, zend_string *name, const char *text);
void rlphp_handles_end(void);

/* --- limit.c: what is asked -------------------------------------------------------------------- */

typedef struct rlphp_ask {
  zend_string *key;
  zend_object *policy; /* one of these two */
  zend_string *text;
  zend_long cost;
  zend_string *name;
  zend_string *group;
  zend_string *tier;
  zend_string *fail;
} rlphp_ask;

typedef struct rlphp_call {
  size_t n;
  rlc_limit limits[RLC_MAX_LIMITS];
  rlphp_policy *policies[RLC_MAX_LIMITS]; /* owned */
  zend_string *names[RLC_MAX_LIMITS];     /* of whom called */
} rlphp_call;

/* Reads a verb's arguments: those of one limit, or, where |many|, an array of Limit. */
int rlphp_call_read(rlphp_call *call, rlphp_handle *handle, zend_execute_data *execute_data, int many);
void rlphp_call_drop(rlphp_call *call);
void rlphp_limit_add(void);

/* --- decision.c ------------------------------------------------------------------------------ */

typedef struct rlphp_verdict {
  rlc_result result;
  rlphp_policy *policy;
  zend_string *name; /* or NULL: the policy's */
} rlphp_verdict;

typedef struct rlphp_decision {
  size_t n;
  int allowed;
  int degraded;
  rlc_source source;
  unsigned index;
  rlphp_verdict *verdict;
  rlphp_verdict one;
  zend_object std;
} rlphp_decision;

/* Makes a Decision of what |call| asked, whose policies become its own. |rv| is the verb's. */
void rlphp_decision_make(zval *out, rlphp_call *call, int rv, const rlc_result *results,
                         const rlc_decision *decision);
const char *rlphp_verdict_label(const rlphp_verdict *verdict);
void rlphp_decision_add(void);

/* --- fields.c: methods of a decision ---------------------------------------------------------- */

PHP_METHOD(RateLimit_Decision, fields);
PHP_METHOD(RateLimit_Decision, retryAfterField);
PHP_METHOD(RateLimit_Decision, problem);

/* --- core.c and lease.c ------------------------------------------------------------------------ */

typedef struct rlphp_core {
  rlphp_handle *handle; /* NULL: closed, or never opened */
  zval log;             /* who gets log lines; undefined: PHP's error log */
  zend_object std;
} rlphp_core;

void rlphp_core_add(void);
void rlphp_lease_add(void);
/* Makes a Lease of |lease|, which may be NULL and becomes its own, and of the Decision |decision|. */
void rlphp_lease_make(zval *out, rlphp_handle *handle, rlc_lease *lease, zval *decision, size_t n,
                      int commits);

/* --- log.c ----------------------------------------------------------------------------------- */

/* An rlc_log_fn, for any thread: keeps the line for rlphp_log_drain. |user| is the sink's number. */
void rlphp_log_line(rlc_log_level level, const char *id, const char *message, void *user);
extern _Atomic int rlphp_log_waiting;
/* Tells the lines that were kept. Code of the user's may run. */
void rlphp_log_drain(int may_call);

#endif
