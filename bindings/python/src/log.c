/* SPDX-License-Identifier: Apache-2.0 */
#include "rlpy.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The library logs from threads that Python does not know, and while it holds locks. To take the GIL
 * there would be a deadlock to come, so lines wait in a list, which is a push and no lock (a fork finds
 * it whole), until the next call from Python, or the interpreter, fetches them. */

typedef struct line {
  struct line *next;
  uintptr_t sink;
  pid_t pid;
  rlc_log_level level;
  char id[16];
  char text[RLC_MESSAGE_SIZE];
} line;

static _Atomic(line *) newest;
static _Atomic int finished; /* there is no interpreter any more */
_Atomic int rlpy_log_waiting;
static PyObject *sinks; /* dict: number -> callable(level, id, message) */

static int drain_pending(void *unused) {
  (void)unused;
  rlpy_log_drain();
  return 0;
}

void rlpy_log_line(rlc_log_level level, const char *id, const char *message, void *user) {
  line *l;

  if (atomic_load(&finished)) {
    return;
  }
  l = malloc(sizeof *l);
  if (l == NULL) {
    return;
  }
  l->sink = (uintptr_t)user;
  l->pid = getpid();
  l->level = level;
  strncpy(l->id, id, sizeof l->id - 1);
  l->id[sizeof l->id - 1] = '\0';
  strncpy(l->text, message, sizeof l->text - 1);
  l->text[sizeof l->text - 1] = '\0';
  l->next = atomic_load(&newest);
  while (!atomic_compare_exchange_weak(&newest, &l->next, l)) {
  }
  /* One that is under way already fetches this line too. Where there is no room, the next call does. */
  if (!atomic_exchange(&rlpy_log_waiting, 1)) {
    Py_AddPendingCall(drain_pending, NULL);
  }
}

static void tell(const line *l) {
  PyObject *number = PyLong_FromSize_t(l->sink);
  PyObject *sink = number != NULL ? PyDict_GetItemWithError(sinks, number) : NULL;

  if (sink != NULL) {
    PyObject *text = PyUnicode_DecodeUTF8(l->text, (Py_ssize_t)strlen(l->text), "replace");
    PyObject *answer = NULL;

    Py_INCREF(sink);
    if (text != NULL) {
      answer = PyObject_CallFunction(sink, "isO", (int)l->level, l->id, text);
    }
    if (answer == NULL) {
      PyErr_WriteUnraisable(sink);
    }
    Py_XDECREF(answer);
    Py_XDECREF(text);
    Py_DECREF(sink);
  } else if (PyErr_Occurred()) {
    PyErr_WriteUnraisable(NULL);
  }
  Py_XDECREF(number);
}

void rlpy_log_drain(void) {
  PyObject *type, *value, *trace;
  line *l;
  line *oldest = NULL;

  atomic_store(&rlpy_log_waiting, 0);
  l = atomic_exchange(&newest, NULL);
  while (l != NULL) {
    line *next = l->next;

    l->next = oldest;
    oldest = l;
    l = next;
  }
  if (oldest == NULL) {
    return;
  }
  PyErr_Fetch(&type, &value, &trace);
  while (oldest != NULL) {
    line *next = oldest->next;

    if (oldest->pid == getpid()) { /* else the parent of this process tells it */
      tell(oldest);
    }
    free(oldest);
    oldest = next;
  }
  PyErr_Restore(type, value, trace);
}

static PyObject *set_sinks(PyObject *self, PyObject *dict) {
  (void)self;
  if (!PyDict_Check(dict)) {
    PyErr_SetString(PyExc_TypeError, "a dict is needed");
    return NULL;
  }
  Py_INCREF(dict);
  Py_XSETREF(sinks, dict);
  Py_RETURN_NONE;
}

static PyObject *drain_log(PyObject *self, PyObject *unused) {
  (void)self;
  (void)unused;
  rlpy_log_drain();
  Py_RETURN_NONE;
}

/* At the interpreter's end: threads of the library may still be there and log. */
static PyObject *end_log(PyObject *self, PyObject *unused) {
  (void)self;
  (void)unused;
  rlpy_log_drain();
  atomic_store(&finished, 1);
  Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"set_sinks", set_sinks, METH_O, "Who gets log lines, by the numbers of Options.set_log."},
    {"drain_log", drain_log, METH_NOARGS, "Hands waiting lines to their sinks."},
    {"end_log", end_log, METH_NOARGS, "The same, and no lines are taken any more."},
    {NULL, NULL, 0, NULL},
};

int rlpy_log_add(PyObject *module) {
  sinks = PyDict_New();
  return sinks != NULL ? PyModule_AddFunctions(module, functions) : -1;
}
