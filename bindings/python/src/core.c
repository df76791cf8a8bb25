/* SPDX-License-Identifier: Apache-2.0 */
#include "rlpy.h"

#include <stdatomic.h>
#include <stddef.h>
#include <structmember.h>

/* The base of the package's Limiter: its verbs. SWIG's object owns the limiter; whoever is in a call,
 * holds a lease or has a queue holds that, so the last of them deletes it, whenever it is closed. */

PyTypeObject *rlpy_core_type;

typedef int verb_fn(rlc_limiter *, const rlc_limit *, size_t, rlc_result *, rlc_decision *);

int rlpy_core_check_open(const rlpy_core *core) {
  if (core->owner == NULL) {
    rlpy_raise(0, core->entries == NULL ? "the limiter was never opened: call Limiter.__init__"
                                        : "the limiter is closed");
    return -1;
  }
  return 0;
}

static void fetch_log(void) {
  if (atomic_load_explicit(&rlpy_log_waiting, memory_order_relaxed)) {
    rlpy_log_drain();
  }
}

static PyObject *decide(PyObject *self, verb_fn *verb, PyObject *const *args, Py_ssize_t nargs,
                        PyObject *kwnames) {
  rlpy_core *core = (rlpy_core *)self;
  rlc_decision decision = RLC_DECISION_INIT;
  rlc_result results[RLC_MAX_LIMITS];
  PyObject *owner;
  PyObject *answer = NULL;
  rlpy_call call;
  int rv;

  if (rlpy_call_read(&call, self, args, nargs, kwnames) != 0) {
    return NULL;
  }
  for (size_t i = 0; i < call.n; ++i) {
    results[i].size = sizeof results[i];
  }
  owner = Py_NewRef(core->owner);
  if (core->waits) {
    rlc_limiter *limiter = core->limiter;

    Py_BEGIN_ALLOW_THREADS
    rv = verb(limiter, call.limits, call.n, results, &decision);
    Py_END_ALLOW_THREADS
  } else {
    rv = verb(core->limiter, call.limits, call.n, results, &decision);
  }
  if (rv < 0) {
    rlpy_raise(rv, rlc_strerror(rv));
  } else {
    answer = rlpy_decision_new(call.n, call.entries, call.names, rv, results, &decision);
  }
  rlpy_call_drop(&call);
  Py_DECREF(owner);
  fetch_log();
  return answer;
}

static int reset(rlc_limiter *limiter, const rlc_limit *limits, size_t n, rlc_result *results,
                 rlc_decision *decision) {
  for (size_t i = 0; i < n; ++i) {
    results[i] = (rlc_result)RLC_RESULT_INIT;
  }
  decision->allowed = 1;
  return rlc_limiter_reset(limiter, limits, n);
}

static PyObject *core_check(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kw) {
  return decide(self, rlc_limiter_check, args, nargs, kw);
}

static PyObject *core_peek(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kw) {
  return decide(self, rlc_limiter_peek, args, nargs, kw);
}

static PyObject *core_charge(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                             PyObject *kw) {
  return decide(self, rlc_limiter_charge, args, nargs, kw);
}

static PyObject *core_refund(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                             PyObject *kw) {
  return decide(self, rlc_limiter_refund, args, nargs, kw);
}

static PyObject *core_grant(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kw) {
  return decide(self, rlc_limiter_grant, args, nargs, kw);
}

/* A pair: the decision, and SWIG's lease, or None. */
static PyObject *core_acquire(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                              PyObject *kw) {
  rlpy_core *core = (rlpy_core *)self;
  rlc_decision decision = RLC_DECISION_INIT;
  rlc_result results[RLC_MAX_LIMITS];
  PyObject *owner, *said, *lease;
  PyObject *answer = NULL;
  rlc_lease *taken = NULL;
  rlc_limiter *limiter;
  rlpy_call call;
  int rv;

  if (rlpy_call_read(&call, self, args, nargs, kw) != 0) {
    return NULL;
  }
  for (size_t i = 0; i < call.n; ++i) {
    results[i].size = sizeof results[i];
  }
  owner = Py_NewRef(core->owner);
  limiter = core->limiter;
  Py_BEGIN_ALLOW_THREADS
  rv = rlc_limiter_acquire(limiter, call.limits, call.n, &taken, results, &decision);
  Py_END_ALLOW_THREADS
  if (rv < 0) {
    rlpy_raise(rv, rlc_strerror(rv));
    goto leave;
  }
  lease = taken != NULL ? rlpy_new_lease(taken) : Py_NewRef(Py_None);
  if (lease == NULL) {
    rlc_lease_del(taken); /* while its policies are there */
    goto leave;
  }
  said = rlpy_decision_new(call.n, call.entries, call.names, rv, results, &decision);
  if (said != NULL) {
    answer = PyTuple_Pack(2, said, lease);
  }
  Py_DECREF(lease);
  Py_XDECREF(said);

leave:
  rlpy_call_drop(&call);
  Py_DECREF(owner);
  fetch_log();
  return answer;
}

/* True: the store forgot; False: it did not answer. */
static PyObject *core_reset(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kw) {
  PyObject *decision = decide(self, reset, args, nargs, kw);
  int degraded;

  if (decision == NULL) {
    return NULL;
  }
  degraded = ((rlpy_decision *)decision)->degraded;
  Py_DECREF(decision);
  return PyBool_FromLong(!degraded);
}

/* --- open and close ------------------------------------------------------------------------ */

static PyObject *core_open(PyObject *self, PyObject *args) {
  rlpy_core *core = (rlpy_core *)self;
  PyObject *owner, *entries;
  rlc_limiter *limiter;
  int waits;

  if (!PyArg_ParseTuple(args, "OO!p", &owner, &PyDict_Type, &entries, &waits)) {
    return NULL;
  }
  limiter = rlpy_get_limiter(owner);
  if (limiter == NULL) {
    PyErr_SetString(PyExc_TypeError, "a limiter is needed");
    return NULL;
  }
  Py_INCREF(entries);
  Py_XSETREF(core->entries, entries);
  Py_INCREF(owner);
  core->limiter = limiter;
  core->waits = waits;
  Py_XSETREF(core->owner, owner);
  Py_RETURN_NONE;
}

static PyObject *core_close(PyObject *self, PyObject *unused) {
  rlpy_core *core = (rlpy_core *)self;

  (void)unused;
  core->limiter = NULL;
  Py_CLEAR(core->owner);
  fetch_log();
  Py_RETURN_NONE;
}

static int core_traverse(PyObject *self, visitproc visit, void *arg) {
  Py_VISIT(((rlpy_core *)self)->entries);
  Py_VISIT(Py_TYPE(self));
  return 0;
}

static int core_clear(PyObject *self) {
  rlpy_core *core = (rlpy_core *)self;

  core->limiter = NULL;
  Py_CLEAR(core->owner);
  Py_CLEAR(core->entries);
  return 0;
}

static void core_dealloc(PyObject *self) {
  PyTypeObject *type = Py_TYPE(self);

  PyObject_GC_UnTrack(self);
  core_clear(self);
  type->tp_free(self);
  Py_DECREF(type);
}

#define VERB(name, function, doc)                                                       \
  {name, (PyCFunction)(void (*)(void))function, METH_FASTCALL | METH_KEYWORDS, doc}

static PyMethodDef methods[] = {
    VERB("check", core_check,
         "check(key, policy, cost=1, *, name=None, group=None, tier=None, fail=None)\n"
         "check(limits)\n\n"
         "Charges every limit its cost if all of them allow it, and none otherwise. Returns a\n"
         "Decision; a denial is no exception. Costs are in quota units; 0 asks only."),
    VERB("peek", core_peek,
         "peek(key, policy, cost=1, *, name=None, group=None, tier=None, fail=None)\n"
         "peek(limits)\n\n"
         "Answers what check would, and charges nothing."),
    VERB("charge", core_charge,
         "charge(key, policy, cost=1, *, name=None, group=None, tier=None, fail=None)\n"
         "charge(limits)\n\n"
         "Charges every limit its cost whether or not there is room, down to an empty capacity\n"
         "and the policy's debt: for what is known only afterwards. `charged` says how much."),
    VERB("refund", core_refund,
         "refund(key, policy, cost=1, *, name=None, group=None, tier=None, fail=None)\n"
         "refund(limits)\n\n"
         "Gives back the cost, up to the full capacity and only into the current window."),
    VERB("grant", core_grant,
         "grant(key, policy, cost=1, *, name=None, group=None, tier=None, fail=None)\n"
         "grant(limits)\n\n"
         "Charges every limit as much of its cost as all of them have room for, the same number of\n"
         "units each; `charged` says how many. Denied where that is none. Costs are at least 1."),
    VERB("_acquire", core_acquire, NULL),
    VERB("reset", core_reset,
         "reset(key, policy, *, name=None, group=None)\n"
         "reset(limits)\n\n"
         "Forgets the state: the full capacity is there again. Returns whether the store did."),
    {"_open", core_open, METH_VARARGS, NULL},
    {"_close", core_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"_raw", T_OBJECT, offsetof(rlpy_core, owner), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_dealloc, core_dealloc}, {Py_tp_traverse, core_traverse}, {Py_tp_clear, core_clear},
    {Py_tp_methods, methods},      {Py_tp_members, members},        {0, NULL},
};

static PyType_Spec spec = {"rlcore._rlcore.Core", sizeof(rlpy_core), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots};

int rlpy_core_add(PyObject *module) {
  return rlpy_add_type(module, &spec, &rlpy_core_type);
}
