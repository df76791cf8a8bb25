/* SPDX-License-Identifier: Apache-2.0 */
#include "rlpy.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

/* Decisions without waiting: submit(op, future, ...) and complete(), for one event loop. */

/* What waits: the references that complete() gives on. */
typedef struct ticket {
  struct ticket *next;
  struct ticket **link; /* what points to this one */
  PyObject *future;
  size_t n;
  PyObject *refs[]; /* the entries of |n| limits, then their names, which may be NULL */
} ticket;

typedef struct rlpy_queue {
  PyObject_HEAD
  PyObject *owner; /* SWIG's, of the limiter */
  rlc_queue *queue;
  ticket *tickets;
  pid_t pid;
} rlpy_queue;

static PyTypeObject *queue_type;

static PyObject *queue_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
  PyObject *core;
  rlpy_queue *self;
  int rv;

  (void)kwargs;
  if (!PyArg_ParseTuple(args, "O!", rlpy_core_type, &core) ||
      rlpy_core_check_open((rlpy_core *)core) != 0) {
    return NULL;
  }
  self = (rlpy_queue *)type->tp_alloc(type, 0);
  if (self == NULL) {
    return NULL;
  }
  self->owner = Py_NewRef(((rlpy_core *)core)->owner);
  self->pid = getpid();
  rv = rlc_queue_new(&self->queue, ((rlpy_core *)core)->limiter);
  if (rv != 0) {
    rlpy_raise(rv, rlc_strerror(rv));
    Py_DECREF(self);
    return NULL;
  }
  return (PyObject *)self;
}

static ticket *ticket_new(rlpy_queue *self, PyObject *future, size_t n) {
  ticket *t = calloc(1, sizeof *t + n * 2 * sizeof t->refs[0]);

  if (t != NULL) {
    t->n = n;
    t->future = Py_NewRef(future);
    t->next = self->tickets;
    t->link = &self->tickets;
    if (t->next != NULL) {
      t->next->link = &t->next;
    }
    self->tickets = t;
  }
  return t;
}

static void ticket_del(ticket *t) {
  *t->link = t->next;
  if (t->next != NULL) {
    t->next->link = t->link;
  }
  for (size_t i = 0; i < t->n * 2; ++i) {
    Py_XDECREF(t->refs[i]);
  }
  Py_DECREF(t->future);
  free(t);
}

/* Ends the queue. In a process forked since it is not ours to end: its descriptors are those of the
 * parent too. */
static void queue_end(rlpy_queue *self) {
  rlc_queue *queue = self->queue;

  self->queue = NULL;
  if (queue != NULL && self->pid == getpid()) {
    rlc_queue_del(queue);
  }
}

static void queue_dealloc(rlpy_queue *self) {
  PyTypeObject *type = Py_TYPE(self);

  queue_end(self);
  while (self->tickets != NULL) {
    ticket_del(self->tickets);
  }
  Py_XDECREF(self->owner);
  type->tp_free(self);
  Py_DECREF(type);
}

static int check_usable(const rlpy_queue *self) {
  if (self->queue == NULL || self->pid != getpid()) {
    rlpy_raise(0, "the queue is closed, or another process's");
    return -1;
  }
  return 0;
}

/* submit(op, future, core, ...): a Decision where it was made at once, else None. */
static PyObject *queue_submit(rlpy_queue *self, PyObject *const *args, Py_ssize_t nargs,
                              PyObject *kwnames) {
  rlc_decision decision = RLC_DECISION_INIT;
  rlc_result results[RLC_MAX_LIMITS];
  PyObject *answer = NULL;
  rlpy_call call;
  ticket *t;
  long op;
  int rv;

  if (nargs < 4) {
    PyErr_SetString(PyExc_TypeError, "a limit is missing: write a key and a policy, or Limits");
    return NULL;
  }
  op = PyLong_AsLong(args[0]);
  if (op == -1 && PyErr_Occurred()) {
    return NULL;
  }
  if (!PyObject_TypeCheck(args[2], rlpy_core_type)) {
    PyErr_SetString(PyExc_TypeError, "a limiter is needed");
    return NULL;
  }
  if (rlpy_call_read(&call, args[2], args + 3, nargs - 3, kwnames) != 0) {
    return NULL;
  }
  t = check_usable(self) == 0 ? ticket_new(self, args[1], call.n) : NULL;
  if (t == NULL) {
    if (!PyErr_Occurred()) {
      PyErr_NoMemory();
    }
    goto leave;
  }
  for (size_t i = 0; i < call.n; ++i) {
    results[i].size = sizeof results[i];
  }
  rv = rlc_queue_submit(self->queue, (rlc_op)op, call.limits, call.n, t, results, &decision);
  if (rv == RLC_PENDING) {
    /* Keys and names are the library's own by now. */
    for (size_t i = 0; i < call.n; ++i) {
      t->refs[i] = (PyObject *)call.entries[i];
      t->refs[call.n + i] = call.names[i];
      call.entries[i] = NULL;
      call.names[i] = NULL;
    }
    answer = Py_NewRef(Py_None);
    goto leave;
  }
  ticket_del(t);
  if (rv < 0) {
    rlpy_raise(rv, rlc_strerror(rv));
  } else {
    answer = rlpy_decision_new(call.n, call.entries, call.names, rv, results, &decision);
  }

leave:
  rlpy_call_drop(&call);
  return answer;
}

/* complete(): a list of (future, Decision or exception), of what was decided by now. */
static PyObject *queue_complete(rlpy_queue *self, PyObject *unused) {
  PyObject *list;
  int rv;

  (void)unused;
  if (check_usable(self) != 0) {
    return NULL;
  }
  list = PyList_New(0);
  while (list != NULL && self->queue != NULL) {
    rlc_decision decision = RLC_DECISION_INIT;
    rlc_result results[RLC_MAX_LIMITS];
    PyObject *answer, *pair;
    void *user;
    ticket *t;

    for (size_t i = 0; i < RLC_MAX_LIMITS; ++i) {
      results[i].size = sizeof results[i];
    }
    rv = rlc_queue_complete(self->queue, &user, results, &decision);
    t = user;
    if (t == NULL) {
      break; /* RLC_PENDING */
    }
    if (rv < 0) {
      PyObject *type, *trace;

      rlpy_raise(rv, rlc_strerror(rv));
      PyErr_Fetch(&type, &answer, &trace);
      PyErr_NormalizeException(&type, &answer, &trace);
      Py_XDECREF(type);
      Py_XDECREF(trace);
    } else {
      answer = rlpy_decision_new(t->n, (rlpy_entry **)t->refs, t->refs + t->n, rv, results, &decision);
    }
    pair = answer != NULL ? PyTuple_Pack(2, t->future, answer) : NULL;
    Py_XDECREF(answer);
    ticket_del(t);
    if (pair == NULL || PyList_Append(list, pair) != 0) {
      Py_CLEAR(list);
    }
    Py_XDECREF(pair);
  }
  if (list != NULL && atomic_load_explicit(&rlpy_log_waiting, memory_order_relaxed)) {
    rlpy_log_drain();
  }
  return list;
}

static PyObject *queue_get_fd(rlpy_queue *self, PyObject *unused) {
  (void)unused;
  return check_usable(self) == 0 ? PyLong_FromLong(rlc_queue_get_fd(self->queue)) : NULL;
}

static PyObject *queue_get_pending(rlpy_queue *self, PyObject *unused) {
  (void)unused;
  return PyLong_FromSize_t(self->queue != NULL ? rlc_queue_get_pending(self->queue) : 0);
}

/* close(): the futures of what was pending, which nobody answers any more. */
static PyObject *queue_close(rlpy_queue *self, PyObject *unused) {
  PyObject *list = PyList_New(0);

  (void)unused;
  queue_end(self);
  while (list != NULL && self->tickets != NULL) {
    if (PyList_Append(list, self->tickets->future) != 0) {
      Py_CLEAR(list);
    } else {
      ticket_del(self->tickets);
    }
  }
  Py_CLEAR(self->owner);
  return list;
}

#define FUNCTION(f) (PyCFunction)(void (*)(void))f

static PyMethodDef methods[] = {
    {"submit", FUNCTION(queue_submit), METH_FASTCALL | METH_KEYWORDS, NULL},
    {"complete", FUNCTION(queue_complete), METH_NOARGS, NULL},
    {"get_fd", FUNCTION(queue_get_fd), METH_NOARGS, NULL},
    {"get_pending", FUNCTION(queue_get_pending), METH_NOARGS, NULL},
    {"close", FUNCTION(queue_close), METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, queue_new}, {Py_tp_dealloc, queue_dealloc}, {Py_tp_methods, methods}, {0, NULL},
};

static PyType_Spec spec = {"rlcore._rlcore.Queue", sizeof(rlpy_queue), 0, Py_TPFLAGS_DEFAULT, slots};

int rlpy_queue_add(PyObject *module) {
  return rlpy_add_type(module, &spec, &queue_type);
}
