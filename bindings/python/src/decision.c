/* SPDX-License-Identifier: Apache-2.0 */
#include "rlpy.h"

#include <stddef.h>

/* Decision and Result. Both are read by the same functions: a Result is its Decision and a place in it;
 * what a Decision says beside `allowed` and `source` is said by the result that binds. */

static PyTypeObject *decision_type;
static PyTypeObject *result_type;
static PyObject *source_names[RLC_SOURCE_BAN + 1];

typedef struct rlpy_result {
  PyObject_HEAD
  rlpy_decision *decision;
  size_t index;
} rlpy_result;

static const rlpy_verdict *verdict_of(PyObject *self) {
  if (Py_TYPE(self) == decision_type) {
    const rlpy_decision *decision = (rlpy_decision *)self;

    return &decision->verdict[decision->index];
  }
  return &((rlpy_result *)self)->decision->verdict[((rlpy_result *)self)->index];
}

static PyObject *seconds(int64_t us) {
  return PyFloat_FromDouble((double)us / 1e6);
}

static PyObject *name_of(const rlpy_verdict *verdict) {
  return verdict->name != NULL ? verdict->name : verdict->entry->label;
}

/* --- what both have ------------------------------------------------------------------------ */

static PyObject *get_name(PyObject *self, void *unused) {
  (void)unused;
  return Py_NewRef(name_of(verdict_of(self)));
}

static PyObject *get_limit(PyObject *self, void *unused) {
  (void)unused;
  return PyLong_FromUnsignedLongLong(verdict_of(self)->result.limit);
}

static PyObject *get_remaining(PyObject *self, void *unused) {
  (void)unused;
  return PyLong_FromUnsignedLongLong(verdict_of(self)->result.remaining);
}

static PyObject *get_charged(PyObject *self, void *unused) {
  (void)unused;
  return PyLong_FromUnsignedLongLong(verdict_of(self)->result.charged);
}

static PyObject *get_rate_index(PyObject *self, void *unused) {
  (void)unused;
  return PyLong_FromUnsignedLong(verdict_of(self)->result.rate_index);
}

static PyObject *get_window(PyObject *self, void *unused) {
  (void)unused;
  return seconds((int64_t)verdict_of(self)->result.window_us);
}

static PyObject *get_reset(PyObject *self, void *unused) {
  (void)unused;
  return seconds(verdict_of(self)->result.reset_us);
}

static PyObject *get_retry_after(PyObject *self, void *unused) {
  int64_t us = verdict_of(self)->result.retry_us;

  (void)unused;
  if (us == RLC_NEVER) {
    Py_RETURN_NONE;
  }
  return seconds(us);
}

static PyObject *source(rlc_source source) {
  if ((unsigned)source > RLC_SOURCE_BAN) {
    source = (rlc_source)0;
  }
  return Py_NewRef(source_names[source]);
}

#define BOTH                                                                                      \
  {"name", get_name, NULL, "What the limit is called.", NULL},                                    \
      {"limit", get_limit, NULL, "Its capacity, in quota units: the most at once.", NULL},        \
      {"remaining", get_remaining, NULL, "Of it, what could pass now, in quota units.", NULL},    \
      {"charged", get_charged, NULL, "The quota units that the call took.", NULL},                \
      {"rate_index", get_rate_index, NULL, "Which rate of the policy binds, from 0.", NULL},      \
      {"window", get_window, NULL, "That rate's window, in seconds.", NULL},                      \
      {"reset", get_reset, NULL, "Seconds until the full capacity is there again.", NULL},        \
      {"retry_after", get_retry_after, NULL,                                                      \
       "Seconds after which the same call would pass; 0.0 if it did; None: never.", NULL}

/* --- Result -------------------------------------------------------------------------------- */

static PyObject *result_get_allowed(PyObject *self, void *unused) {
  (void)unused;
  return PyBool_FromLong(verdict_of(self)->result.allowed);
}

static PyObject *result_get_source(PyObject *self, void *unused) {
  (void)unused;
  return source(verdict_of(self)->result.source);
}

static int result_bool(PyObject *self) {
  return verdict_of(self)->result.allowed;
}

static PyObject *result_repr(PyObject *self) {
  const rlpy_verdict *v = verdict_of(self);

  return PyUnicode_FromFormat("<rlcore.Result %U %s, %llu of %llu remaining>", name_of(v),
                              v->result.allowed ? "allowed" : "denied",
                              (unsigned long long)v->result.remaining,
                              (unsigned long long)v->result.limit);
}

static void result_dealloc(rlpy_result *self) {
  PyTypeObject *type = Py_TYPE(self);

  Py_DECREF(self->decision);
  type->tp_free(self);
  Py_DECREF(type);
}

static PyGetSetDef result_getset[] = {
    BOTH,
    {"allowed", result_get_allowed, NULL, "Whether this limit alone lets the request pass.", NULL},
    {"source", result_get_source, NULL, "Who said so.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot result_slots[] = {
    {Py_tp_dealloc, result_dealloc}, {Py_tp_getset, result_getset}, {Py_tp_repr, result_repr},
    {Py_nb_bool, result_bool},       {Py_tp_doc, "What one limit of a call says."},
    {0, NULL},
};

static PyType_Spec result_spec = {"rlcore.Result", sizeof(rlpy_result), 0,
                                  Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, result_slots};

/* --- Decision ------------------------------------------------------------------------------ */

static PyObject *decision_get_allowed(PyObject *self, void *unused) {
  (void)unused;
  return PyBool_FromLong(((rlpy_decision *)self)->allowed);
}

static PyObject *decision_get_degraded(PyObject *self, void *unused) {
  (void)unused;
  return PyBool_FromLong(((rlpy_decision *)self)->degraded);
}

static PyObject *decision_get_source(PyObject *self, void *unused) {
  (void)unused;
  return source(((rlpy_decision *)self)->source);
}

static PyObject *decision_get_index(PyObject *self, void *unused) {
  (void)unused;
  return PyLong_FromUnsignedLong(((rlpy_decision *)self)->index);
}

static PyObject *decision_get_limits(PyObject *self, void *unused) {
  PyObject *limits = PyTuple_New(Py_SIZE(self));

  (void)unused;
  for (Py_ssize_t i = 0; limits != NULL && i < Py_SIZE(self); ++i) {
    rlpy_result *result = (rlpy_result *)result_type->tp_alloc(result_type, 0);

    if (result == NULL) {
      Py_CLEAR(limits);
      break;
    }
    Py_INCREF(self);
    result->decision = (rlpy_decision *)self;
    result->index = (size_t)i;
    PyTuple_SET_ITEM(limits, i, (PyObject *)result);
  }
  return limits;
}

static int decision_bool(PyObject *self) {
  return ((rlpy_decision *)self)->allowed;
}

static PyObject *decision_repr(PyObject *self) {
  const rlpy_decision *d = (rlpy_decision *)self;
  const rlpy_verdict *v = verdict_of(self);

  return PyUnicode_FromFormat("<rlcore.Decision %s by %U: %U, %llu of %llu remaining>",
                              d->allowed ? "allowed" : "denied", source_names[d->source],
                              name_of(v), (unsigned long long)v->result.remaining,
                              (unsigned long long)v->result.limit);
}

static void decision_dealloc(rlpy_decision *self) {
  PyTypeObject *type = Py_TYPE(self);

  for (Py_ssize_t i = 0; i < Py_SIZE(self); ++i) {
    Py_XDECREF(self->verdict[i].entry);
    Py_XDECREF(self->verdict[i].name);
  }
  PyObject_Free(self);
  Py_DECREF(type);
}

const char *rlpy_verdict_label(const rlpy_verdict *verdict) {
  return PyUnicode_AsUTF8(name_of(verdict));
}

static PyMethodDef decision_methods[] = {
    {"_fields", rlpy_decision_fields, METH_O, NULL},
    {"_retry_after", rlpy_decision_retry_after, METH_NOARGS, NULL},
    {"_problem", rlpy_decision_problem, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef decision_getset[] = {
    BOTH,
    {"allowed", decision_get_allowed, NULL,
     "Whether every limit allows; then all were charged, else none was.", NULL},
    {"source", decision_get_source, NULL,
     "Who decided: \"store\", \"fallback\", \"fail-open\", \"fail-closed\" or \"ban\".", NULL},
    {"degraded", decision_get_degraded, NULL,
     "Whether the store did not answer, and the fail policy decided for a limit.", NULL},
    {"index", decision_get_index, NULL, "Which limit of the call binds, from 0.", NULL},
    {"limits", decision_get_limits, NULL, "What each limit of the call says.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot decision_slots[] = {
    {Py_tp_dealloc, decision_dealloc}, {Py_tp_getset, decision_getset},
    {Py_tp_methods, decision_methods}, {Py_tp_repr, decision_repr},
    {Py_nb_bool, decision_bool},       {Py_tp_doc, "What all limits of a call say together."},
    {0, NULL},
};

static PyType_Spec decision_spec = {
    "rlcore.Decision", offsetof(rlpy_decision, verdict), sizeof(rlpy_verdict),
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, decision_slots};

PyObject *rlpy_decision_new(size_t n, rlpy_entry **entries, PyObject **names, int rv,
                            const rlc_result *results, const rlc_decision *decision) {
  rlpy_decision *self = PyObject_NewVar(rlpy_decision, decision_type, (Py_ssize_t)n);

  if (self == NULL) {
    return NULL;
  }
  self->allowed = decision->allowed;
  self->degraded = rv == RLC_DEGRADED;
  self->source = decision->source;
  self->index = decision->index < n ? decision->index : 0;
  for (size_t i = 0; i < n; ++i) {
    self->verdict[i].result = results[i];
    self->verdict[i].entry = entries[i];
    self->verdict[i].name = names[i];
    entries[i] = NULL;
    names[i] = NULL;
  }
  return (PyObject *)self;
}

int rlpy_decision_add(PyObject *module) {
  for (int i = 0; i <= RLC_SOURCE_BAN; ++i) {
    source_names[i] = PyUnicode_InternFromString(rlc_source_name((rlc_source)i));
    if (source_names[i] == NULL) {
      return -1;
    }
  }
  return rlpy_add_type(module, &decision_spec, &decision_type) != 0 ||
                 rlpy_add_type(module, &result_spec, &result_type) != 0
             ? -1
             : 0;
}
