/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLPY_H
#define RLPY_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <rlcore/rlcore.h>

/* What the parts of rlcore._rlcore know of each other. Functions that return int return -1 with an
 * exception set, those that return PyObject * NULL with one. The GIL is held unless a word says no. */

/* --- rlpy.c: errors and arguments ------------------------------------------------------------ */

/* Raises what the package's set_up() was given for |code|. */
void rlpy_raise(int code, const char *message);
/* The same for RLC_ERR_INVALID, with a message as of PyErr_Format. */
void rlpy_invalid(const char *format, ...);

/* A str (as UTF-8), bytes or anything with a buffer, which is held until it is dropped. */
typedef struct rlpy_bytes {
  const void *data;
  size_t size;
  Py_buffer buffer; /* with an obj: to be released */
} rlpy_bytes;

int rlpy_bytes_take(rlpy_bytes *bytes, PyObject *object);
void rlpy_bytes_drop(rlpy_bytes *bytes);

/* Reads a sequence of numbers, or None for none. */
int rlpy_costs_take(PyObject *object, uint64_t *costs, size_t *n);
/* Reads a cost: an int from 0 to RLC_MAX_QUOTA. */
int rlpy_cost_take(PyObject *object, uint64_t *cost);

/* Adds the types and functions of these files to |module|. */
int rlpy_add_types(PyObject *module);
int rlpy_add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **type);

/* --- log.c ----------------------------------------------------------------------------------- */

/* An rlc_log_fn, for any thread, with or without the GIL: keeps the line for Python to fetch. |user| is
 * the number of the sink. */
void rlpy_log_line(rlc_log_level level, const char *id, const char *message, void *user);
extern _Atomic int rlpy_log_waiting;
/* Hands the lines that were kept to their sinks. Whatever they raise is told as unraisable. */
void rlpy_log_drain(void);
int rlpy_log_add(PyObject *module);

/* --- entry.c: a policy as limits use it ------------------------------------------------------ */

typedef struct rlpy_entry {
  PyObject_HEAD
  PyObject *owner;          /* SWIG's, of |policy| */
  const rlc_policy *policy;
  PyObject *label;          /* str: its name, or what the library calls a policy without one */
} rlpy_entry;

extern PyTypeObject *rlpy_entry_type;
int rlpy_entry_add(PyObject *module);

/* In the module's SWIG part: the object behind one of SWIG's, or NULL, without an exception. */
const rlc_policy *rlpy_get_policy(PyObject *object);
rlc_limiter *rlpy_get_limiter(PyObject *object);
/* Takes |lease| over, unless it returns NULL. */
PyObject *rlpy_new_lease(rlc_lease *lease);

/* --- decision.c ------------------------------------------------------------------------------ */

/* What was asked of one limit, and what it said. */
typedef struct rlpy_verdict {
  rlc_result result;
  rlpy_entry *entry;
  PyObject *name; /* str, or NULL: the entry's label */
} rlpy_verdict;

typedef struct rlpy_decision {
  PyObject_VAR_HEAD
  int allowed;
  int degraded;
  rlc_source source;
  unsigned index;
  rlpy_verdict verdict[1];
} rlpy_decision;

/* Makes a Decision of |n| limits: |entries| and |names| become its own, and are NULL then. |rv| is the
 * verb's. */
PyObject *rlpy_decision_new(size_t n, rlpy_entry **entries, PyObject **names, int rv,
                            const rlc_result *results, const rlc_decision *decision);
const char *rlpy_verdict_label(const rlpy_verdict *verdict);
int rlpy_decision_add(PyObject *module);

/* --- fields.c: methods of a decision ---------------------------------------------------------- */

PyObject *rlpy_decision_fields(PyObject *self, PyObject *form);
PyObject *rlpy_decision_retry_after(PyObject *self, PyObject *unused);
PyObject *rlpy_decision_problem(PyObject *self, PyObject *status);

/* --- call.c: the arguments of a verb ---------------------------------------------------------- */

typedef struct rlpy_call {
  size_t n;
  rlc_limit limits[RLC_MAX_LIMITS];
  rlpy_entry *entries[RLC_MAX_LIMITS]; /* owned */
  PyObject *names[RLC_MAX_LIMITS];     /* owned where not NULL */
  PyObject *list;                      /* owned: a tuple of the limits, where several were given */
  size_t buffers;
  rlpy_bytes buffer[RLC_MAX_LIMITS * 2]; /* keys and groups that hold a buffer */
} rlpy_call;

/* Reads the arguments of a verb: `key, policy, *, cost, name, group, tier, fail`, or one Limit, or one
 * sequence of them. |self| is the Core. */
int rlpy_call_read(rlpy_call *call, PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                   PyObject *kwnames);
void rlpy_call_drop(rlpy_call *call);
int rlpy_call_add(PyObject *module);

/* --- core.c ----------------------------------------------------------------------------------- */

typedef struct rlpy_core {
  PyObject_HEAD
  PyObject *owner;      /* SWIG's, of |limiter|; NULL: closed */
  rlc_limiter *limiter;
  PyObject *entries;    /* dict: a policy as callers give it -> Entry */
  int waits;            /* calls may wait: they let go of the GIL */
} rlpy_core;

extern PyTypeObject *rlpy_core_type;
int rlpy_core_add(PyObject *module);
/* Raises ClosedError if it is. */
int rlpy_core_check_open(const rlpy_core *core);

/* --- queue.c ---------------------------------------------------------------------------------- */

int rlpy_queue_add(PyObject *module);

#endif
