/* SPDX-License-Identifier: Apache-2.0 */
#include "rlpy.h"

#include <stddef.h>
#include <string.h>
#include <structmember.h>

PyTypeObject *rlpy_entry_type;

/* What the library calls a policy without a name: the string that its item begins with. */
static PyObject *label_of(const rlc_policy *policy) {
  const char *name = rlc_policy_get_name(policy);
  char item[128];

  if (name != NULL) {
    return PyUnicode_FromString(name);
  }
  rlc_http_format_policy(item, sizeof item, NULL, policy, 0);
  return PyUnicode_FromStringAndSize(item + 1, (Py_ssize_t)strcspn(item + 1, "\""));
}

static PyObject *entry_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
  const rlc_policy *policy;
  rlpy_entry *entry;
  PyObject *owner;

  (void)kwargs;
  if (!PyArg_ParseTuple(args, "O", &owner)) {
    return NULL;
  }
  policy = rlpy_get_policy(owner);
  if (policy == NULL) {
    PyErr_SetString(PyExc_TypeError, "a policy is needed");
    return NULL;
  }
  entry = (rlpy_entry *)type->tp_alloc(type, 0);
  if (entry == NULL) {
    return NULL;
  }
  Py_INCREF(owner);
  entry->owner = owner;
  entry->policy = policy;
  entry->label = label_of(policy);
  if (entry->label == NULL) {
    Py_CLEAR(entry);
  }
  return (PyObject *)entry;
}

static void entry_dealloc(rlpy_entry *entry) {
  PyTypeObject *type = Py_TYPE(entry);

  Py_XDECREF(entry->owner);
  Py_XDECREF(entry->label);
  type->tp_free(entry);
  Py_DECREF(type);
}

static PyMemberDef entry_members[] = {
    {"policy", T_OBJECT, offsetof(rlpy_entry, owner), READONLY, NULL},
    {"label", T_OBJECT, offsetof(rlpy_entry, label), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, entry_new}, {Py_tp_dealloc, entry_dealloc}, {Py_tp_members, entry_members}, {0, NULL},
};

static PyType_Spec spec = {"rlcore._rlcore.PolicyEntry", sizeof(rlpy_entry), 0, Py_TPFLAGS_DEFAULT, slots};

int rlpy_entry_add(PyObject *module) {
  return rlpy_add_type(module, &spec, &rlpy_entry_type);
}
