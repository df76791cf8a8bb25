/* SPDX-License-Identifier: Apache-2.0 */
#include "rlpy.h"

#include <string.h>

/* --- errors -------------------------------------------------------------------------------- */

static PyObject *errors; /* dict: code -> class, as set_up() was given */

void rlpy_raise(int code, const char *message) {
  PyObject *number = PyLong_FromLong(code);
  PyObject *type = number != NULL && errors != NULL ? PyDict_GetItemWithError(errors, number) : NULL;
  PyObject *text = PyUnicode_DecodeUTF8(message, (Py_ssize_t)strlen(message), "replace");

  if (type == NULL) {
    type = PyExc_RuntimeError;
  }
  if (number != NULL && text != NULL) {
    PyObject *error = PyObject_CallFunctionObjArgs(type, text, number, NULL);

    if (error != NULL) {
      PyErr_SetObject((PyObject *)Py_TYPE(error), error);
      Py_DECREF(error);
    }
  }
  Py_XDECREF(number);
  Py_XDECREF(text);
}

void rlpy_invalid(const char *format, ...) {
  PyObject *text;
  va_list list;

  va_start(list, format);
  text = PyUnicode_FromFormatV(format, list);
  va_end(list);
  if (text != NULL) {
    const char *message = PyUnicode_AsUTF8(text);

    if (message != NULL) {
      rlpy_raise(RLC_ERR_INVALID, message);
    }
    Py_DECREF(text);
  }
}

/* --- arguments ----------------------------------------------------------------------------- */

int rlpy_bytes_take(rlpy_bytes *bytes, PyObject *object) {
  bytes->buffer.obj = NULL;
  if (PyUnicode_Check(object)) {
    Py_ssize_t size;

    bytes->data = PyUnicode_AsUTF8AndSize(object, &size);
    bytes->size = (size_t)size;
    return bytes->data != NULL ? 0 : -1;
  }
  if (PyBytes_Check(object)) {
    bytes->data = PyBytes_AS_STRING(object);
    bytes->size = (size_t)PyBytes_GET_SIZE(object);
    return 0;
  }
  if (!PyObject_CheckBuffer(object)) {
    PyErr_Format(PyExc_TypeError, "a key is str or bytes, not %.100s", Py_TYPE(object)->tp_name);
    return -1;
  }
  if (PyObject_GetBuffer(object, &bytes->buffer, PyBUF_SIMPLE) != 0) {
    bytes->buffer.obj = NULL;
    return -1;
  }
  bytes->data = bytes->buffer.buf;
  bytes->size = (size_t)bytes->buffer.len;
  return 0;
}

void rlpy_bytes_drop(rlpy_bytes *bytes) {
  if (bytes->buffer.obj != NULL) {
    PyBuffer_Release(&bytes->buffer);
  }
}

int rlpy_cost_take(PyObject *object, uint64_t *cost) {
  int overflow;
  long long n;

  if (!PyLong_Check(object)) {
    PyErr_Format(PyExc_TypeError, "cost is an int, not %.100s", Py_TYPE(object)->tp_name);
    return -1;
  }
  n = PyLong_AsLongLongAndOverflow(object, &overflow);
  if (n == -1 && PyErr_Occurred()) {
    return -1;
  }
  if (overflow != 0 || n < 0 || n > (long long)RLC_MAX_QUOTA) {
    rlpy_invalid("cost is %R: write 0 to %u", object, RLC_MAX_QUOTA);
    return -1;
  }
  *cost = (uint64_t)n;
  return 0;
}

int rlpy_costs_take(PyObject *object, uint64_t *costs, size_t *n) {
  PyObject *list;

  *n = 0;
  if (object == Py_None) {
    return 0;
  }
  list = PySequence_Tuple(object);
  if (list == NULL) {
    return -1;
  }
  if (PyTuple_GET_SIZE(list) > RLC_MAX_LIMITS) {
    rlpy_invalid("%zd costs: a lease has %d limits at most", PyTuple_GET_SIZE(list),
                 RLC_MAX_LIMITS);
    Py_DECREF(list);
    return -1;
  }
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(list); ++i) {
    if (rlpy_cost_take(PyTuple_GET_ITEM(list, i), &costs[i]) != 0) {
      Py_DECREF(list);
      return -1;
    }
  }
  *n = (size_t)PyTuple_GET_SIZE(list);
  Py_DECREF(list);
  return 0;
}

/* --- the module ---------------------------------------------------------------------------- */

static PyObject *set_errors(PyObject *self, PyObject *dict) {
  (void)self;
  if (!PyDict_Check(dict)) {
    PyErr_SetString(PyExc_TypeError, "a dict is needed");
    return NULL;
  }
  Py_INCREF(dict);
  Py_XSETREF(errors, dict);
  Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"set_errors", set_errors, METH_O, "The classes to raise, by code."},
    {NULL, NULL, 0, NULL},
};

int rlpy_add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **type) {
  *type = (PyTypeObject *)PyType_FromSpec(spec);
  return *type != NULL ? PyModule_AddType(module, *type) : -1;
}

int rlpy_add_types(PyObject *module) {
  return PyModule_AddFunctions(module, functions) != 0 || rlpy_log_add(module) != 0 ||
                 rlpy_entry_add(module) != 0 || rlpy_decision_add(module) != 0 ||
                 rlpy_call_add(module) != 0 || rlpy_core_add(module) != 0 ||
                 rlpy_queue_add(module) != 0
             ? -1
             : 0;
}
