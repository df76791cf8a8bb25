/* SPDX-License-Identifier: Apache-2.0 */
#include "rlphp.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <SAPI.h>

/* The library logs from threads that PHP does not know, and while it holds locks. So lines wait in a list,
 * which is a push and no lock (a fork finds it whole), until the next call from PHP or the request's
 * end. */

#define MOST_LINES 1000

typedef struct line {
  struct line *next;
  uintptr_t sink;
  pid_t pid;
  rlc_log_level level;
  char id[16];
  char text[RLC_MESSAGE_SIZE];
} line;

static _Atomic(line *) newest;
static _Atomic int count; /* since the last drain */
_Atomic int rlphp_log_waiting;

void rlphp_log_line(rlc_log_level level, const char *id, const char *message, void *user) {
  line *l;

  /* A worker that nobody asks anything tells the first ones when it is asked again. */
  if (atomic_fetch_add(&count, 1) >= MOST_LINES) {
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
  atomic_store(&rlphp_log_waiting, 1);
}

static void tell(const line *l, int may_call) {
  rlphp_handle *handle = rlphp_handle_by_sink((zend_long)l->sink);
  char text[RLC_MESSAGE_SIZE + 32];

  if (may_call && handle != NULL && handle->teller != NULL) {
    zval args[3], answer, function;

    ZVAL_COPY(&function, &handle->teller->log);
    ZVAL_LONG(&args[0], (zend_long)l->level);
    ZVAL_STRING(&args[1], l->id);
    ZVAL_STRING(&args[2], l->text);
    ZVAL_UNDEF(&answer);
    call_user_function(NULL, NULL, &function, &answer, 3, args);
    zval_ptr_dtor(&args[1]);
    zval_ptr_dtor(&args[2]);
    zval_ptr_dtor(&answer);
    zval_ptr_dtor(&function);
  } else if (l->level <= RLC_LOG_WARNING) {
    snprintf(text, sizeof text, "rlcore: %s: %s", l->id, l->text);
    php_log_err(text);
  }
}

void rlphp_log_drain(int may_call) {
  line *l;
  line *oldest = NULL;

  atomic_store(&rlphp_log_waiting, 0);
  atomic_store(&count, 0);
  l = atomic_exchange(&newest, NULL);
  while (l != NULL) {
    line *next = l->next;

    l->next = oldest;
    oldest = l;
    l = next;
  }
  while (oldest != NULL) {
    line *next = oldest->next;

    if (oldest->pid == getpid()) { /* else the parent of this process tells it */
      tell(oldest, may_call && EG(exception) == NULL);
    }
    free(oldest);
    oldest = next;
  }
}
