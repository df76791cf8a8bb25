/* SPDX-License-Identifier: Apache-2.0 */
#include "rlpy.h"

#include <string.h>

/* What a limit is given by, in the order of the fields of the package's Limit, a named tuple. */
enum { KEY, POLICY, COST, NAME, GROUP, TIER, FAIL, FIELDS };

static const char *const field_texts[FIELDS] = {"key",   "policy", "cost", "name",
                                                "group", "tier",   "fail"};
static PyObject *field_names[FIELDS];
static PyObject *limit_type; /* the package's Limit */
static PyObject *resolve;    /* "_resolve" */

/* --- one limit ----------------------------------------------------------------------------- */

/* An own reference to the entry for |policy|, by the core's table, else by its method _resolve. */
static rlpy_entry *find_entry(PyObject *self, PyObject *policy) {
  PyObject *entry = PyDict_GetItemWithError(((rlpy_core *)self)->entries, policy);

  if (entry != NULL && Py_TYPE(entry) == rlpy_entry_type) {
    return (rlpy_entry *)Py_NewRef(entry);
  }
  if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_TypeError)) {
    return NULL;
  }
  PyErr_Clear(); /* unhashable: _resolve says what it is instead */
  entry = PyObject_CallMethodOneArg(self, resolve, policy);
  if (entry != NULL && Py_TYPE(entry) != rlpy_entry_type) {
    Py_DECREF(entry);
    PyErr_SetString(PyExc_TypeError, "_resolve returned no entry");
    return NULL;
  }
  return (rlpy_entry *)entry;
}

/* Takes the bytes of a key or group. What holds a buffer is kept until the call is dropped. */
static int take_bytes(rlpy_call *call, PyObject *object, const char *what, const void **data,
                      size_t *size) {
  rlpy_bytes *bytes = &call->buffer[call->buffers];

  if (rlpy_bytes_take(bytes, object) != 0) {
    if (PyErr_ExceptionMatches(PyExc_TypeError) && what[0] == 'g') {
      PyErr_Format(PyExc_TypeError, "a group is str or bytes, not %.100s",
                   Py_TYPE(object)->tp_name);
    }
    return -1;
  }
  if (bytes->buffer.obj != NULL) {
    ++call->buffers;
  }
  if (bytes->size > RLC_MAX_KEY) {
    rlpy_invalid("a %s of %zu bytes: the longest is %d", what, bytes->size, RLC_MAX_KEY);
    return -1;
  }
  *data = bytes->data;
  *size = bytes->size;
  return 0;
}

static const char *take_name(PyObject *object, const char *what) {
  Py_ssize_t size;
  const char *name;

  if (!PyUnicode_Check(object)) {
    PyErr_Format(PyExc_TypeError, "a %s is str, not %.100s", what, Py_TYPE(object)->tp_name);
    return NULL;
  }
  name = PyUnicode_AsUTF8AndSize(object, &size);
  if (name != NULL && (strlen(name) != (size_t)size || !rlc_name_ok(name))) {
    rlpy_invalid("%R is no %s: write a letter, then up to %d letters, digits, \"-\" or \"_\"",
                 object, what, RLC_MAX_NAME - 1);
    return NULL;
  }
  return name;
}

static int take_fail(PyObject *object, rlc_fail *fail) {
  static const char *const names[] = {[RLC_FAIL_LOCAL] = "local", [RLC_FAIL_OPEN] = "open",
                                      [RLC_FAIL_CLOSED] = "closed"};

  if (PyUnicode_Check(object)) {
    for (int i = RLC_FAIL_LOCAL; i <= RLC_FAIL_CLOSED; ++i) {
      if (PyUnicode_CompareWithASCIIString(object, names[i]) == 0) {
        *fail = (rlc_fail)i;
        return 0;
      }
    }
    rlpy_invalid("fail is %R: write \"local\", \"open\" or \"closed\"", object);
  } else {
    PyErr_Format(PyExc_TypeError, "fail is str, not %.100s", Py_TYPE(object)->tp_name);
  }
  return -1;
}

static PyObject *given(PyObject *const *value, int field) {
  return value[field] != NULL && value[field] != Py_None ? value[field] : NULL;
}

static int read_limit(rlpy_call *call, PyObject *self, PyObject *const *value) {
  rlc_limit *limit = &call->limits[call->n];

  *limit = (rlc_limit)RLC_LIMIT_INIT;
  if (value[KEY] == NULL || value[POLICY] == NULL) {
    PyErr_Format(PyExc_TypeError, "a %s is missing", field_texts[value[KEY] == NULL ? KEY : POLICY]);
    return -1;
  }
  if (take_bytes(call, value[KEY], "key", &limit->key, &limit->key_len) != 0) {
    return -1;
  }
  if (value[COST] != NULL && rlpy_cost_take(value[COST], &limit->cost) != 0) {
    return -1;
  }
  if (given(value, NAME) != NULL) {
    limit->name = take_name(value[NAME], "name");
    if (limit->name == NULL) {
      return -1;
    }
  }
  if (given(value, GROUP) != NULL &&
      take_bytes(call, value[GROUP], "group", &limit->group, &limit->group_len) != 0) {
    return -1;
  }
  if (given(value, TIER) != NULL) {
    limit->tier = take_name(value[TIER], "tier");
    if (limit->tier == NULL) {
      return -1;
    }
  }
  if (given(value, FAIL) != NULL && take_fail(value[FAIL], &limit->fail) != 0) {
    return -1;
  }
  call->entries[call->n] = find_entry(self, value[POLICY]);
  if (call->entries[call->n] == NULL) {
    return -1;
  }
  limit->policy = call->entries[call->n]->policy;
  call->names[call->n] = Py_XNewRef(given(value, NAME));
  ++call->n;
  return 0;
}

/* --- the arguments of a verb --------------------------------------------------------------- */

static int is_limit(PyObject *object) {
  return (PyObject *)Py_TYPE(object) == limit_type;
}

static int read_list(rlpy_call *call, PyObject *self, PyObject *list) {
  Py_ssize_t n;

  /* A tuple of our own: nobody changes it while the GIL is free. */
  if (is_limit(list)) {
    call->list = PyTuple_Pack(1, list);
  } else if (PyUnicode_Check(list) || PyBytes_Check(list)) {
    PyErr_SetString(PyExc_TypeError, "a policy is missing: write a key and a policy, or Limits");
    return -1;
  } else {
    call->list = PySequence_Tuple(list);
  }
  if (call->list == NULL) {
    return -1;
  }
  n = PyTuple_GET_SIZE(call->list);
  if (n < 1 || n > RLC_MAX_LIMITS) {
    rlpy_invalid("%zd limits: write 1 to %d", n, RLC_MAX_LIMITS);
    return -1;
  }
  for (Py_ssize_t i = 0; i < n; ++i) {
    PyObject *limit = PyTuple_GET_ITEM(call->list, i);

    if (!is_limit(limit)) {
      PyErr_Format(PyExc_TypeError, "a limit is an rlcore.Limit, not %.100s",
                   Py_TYPE(limit)->tp_name);
      return -1;
    }
    if (read_limit(call, self, &PyTuple_GET_ITEM(limit, 0)) != 0) {
      return -1;
    }
  }
  return 0;
}

static int find_field(PyObject *name) {
  for (int i = 0; i < FIELDS; ++i) {
    if (name == field_names[i]) {
      return i;
    }
  }
  for (int i = 0; i < FIELDS; ++i) {
    if (PyUnicode_Compare(name, field_names[i]) == 0) {
      return i;
    }
  }
  return -1;
}

static int read_one(rlpy_call *call, PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                    PyObject *kwnames) {
  PyObject *value[FIELDS] = {NULL};

  if (nargs > COST + 1) {
    PyErr_Format(PyExc_TypeError, "%zd arguments without a name: key, policy and cost may have none",
                 nargs);
    return -1;
  }
  for (Py_ssize_t i = 0; i < nargs; ++i) {
    value[i] = args[i];
  }
  for (Py_ssize_t i = 0; kwnames != NULL && i < PyTuple_GET_SIZE(kwnames); ++i) {
    PyObject *name = PyTuple_GET_ITEM(kwnames, i);
    int field = find_field(name);

    if (field < 0 || value[field] != NULL) {
      PyErr_Format(PyExc_TypeError, field < 0 ? "there is no argument %R" : "%R is given twice",
                   name);
      return -1;
    }
    value[field] = args[nargs + i];
  }
  return read_limit(call, self, value);
}

int rlpy_call_read(rlpy_call *call, PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                   PyObject *kwnames) {
  call->n = 0;
  call->buffers = 0;
  call->list = NULL;
  if (rlpy_core_check_open((rlpy_core *)self) != 0) {
    return -1;
  }
  if ((nargs == 1 && kwnames == NULL ? read_list(call, self, args[0])
                                     : read_one(call, self, args, nargs, kwnames)) != 0 ||
      /* once more: code of the caller's own may have run meanwhile */
      rlpy_core_check_open((rlpy_core *)self) != 0) {
    rlpy_call_drop(call);
    return -1;
  }
  return 0;
}

void rlpy_call_drop(rlpy_call *call) {
  for (size_t i = 0; i < call->n; ++i) {
    Py_XDECREF(call->entries[i]);
    Py_XDECREF(call->names[i]);
  }
  for (size_t i = 0; i < call->buffers; ++i) {
    rlpy_bytes_drop(&call->buffer[i]);
  }
  Py_XDECREF(call->list);
  call->n = 0;
  call->buffers = 0;
  call->list = NULL;
}

/* --- the module ---------------------------------------------------------------------------- */

static PyObject *set_limit(PyObject *self, PyObject *type) {
  (void)self;
  if (!PyType_Check(type) || !PyType_IsSubtype((PyTypeObject *)type, &PyTuple_Type)) {
    PyErr_SetString(PyExc_TypeError, "a named tuple is needed");
    return NULL;
  }
  Py_INCREF(type);
  Py_XSETREF(limit_type, type);
  Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"set_limit", set_limit, METH_O, "The class of Limit."},
    {NULL, NULL, 0, NULL},
};

int rlpy_call_add(PyObject *module) {
  for (int i = 0; i < FIELDS; ++i) {
    field_names[i] = PyUnicode_InternFromString(field_texts[i]);
    if (field_names[i] == NULL) {
      return -1;
    }
  }
  resolve = PyUnicode_InternFromString("_resolve");
  return resolve != NULL ? PyModule_AddFunctions(module, functions) : -1;
}
