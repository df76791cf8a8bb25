/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/waiter.h"
#include "limiter/batch.h"
#include "limiter/limiter.h"

/* After so many looks in a row that found nothing, what keeps the descriptor readable is taken to be
 * nothing that is waited for: a late reply, or the end of an idle connection. */
#define VAIN_LOOKS 2u

/* A decision under way; the copies of keys, groups and names lie behind it. */
typedef struct ticket {
  struct ticket *next;
  struct ticket *previous;
  void *user;
  void *pending; /* the store's */
  rlc__batch batch;
} ticket;

struct rlc_queue {
  rlc_limiter *limiter;
  rlc__waiter waiter;
  ticket *first; /* in the order in which they were submitted */
  ticket *last;
  ticket *at;    /* the next to look at in this round */
  int in_round;
  unsigned found; /* since nothing more was */
  unsigned vain;  /* looks in a row that found nothing */
  size_t n;
};

int rlc_queue_new(rlc_queue **out, rlc_limiter *limiter) {
  rlc_queue *queue;
  int rv;

  *out = NULL;
  if (limiter == NULL) {
    return RLC_ERR_INVALID;
  }
  queue = rlc__calloc(&limiter->memory, 1, sizeof *queue);
  if (queue == NULL) {
    return RLC_ERR_NOMEM;
  }
  queue->limiter = limiter;
  rv = rlc__waiter_init(&queue->waiter);
  if (rv != 0) {
    rlc__free(&limiter->memory, queue);
    return rv;
  }
  *out = queue;
  return 0;
}

static void drop(rlc_queue *queue, ticket *t) {
  if (queue->at == t) {
    queue->at = t->next;
  }
  *(t->previous != NULL ? &t->previous->next : &queue->first) = t->next;
  *(t->next != NULL ? &t->next->previous : &queue->last) = t->previous;
  --queue->n;
  rlc__rules_end(&t->batch);
  rlc__free(&queue->limiter->memory, t);
}

void rlc_queue_del(rlc_queue *queue) {
  rlc_limiter *limiter;

  if (queue == NULL) {
    return;
  }
  limiter = queue->limiter;
  while (queue->first != NULL) {
    limiter->store->ops->abandon(limiter->store, queue->first->pending);
    drop(queue, queue->first);
  }
  if (limiter->store->ops->unwatch != NULL) {
    limiter->store->ops->unwatch(limiter->store, &queue->waiter);
  }
  rlc__waiter_destroy(&queue->waiter);
  rlc__free(&limiter->memory, queue);
}

int rlc_queue_get_fd(const rlc_queue *queue) {
  return queue != NULL ? queue->waiter.fd : -1;
}

size_t rlc_queue_get_pending(const rlc_queue *queue) {
  return queue != NULL ? queue->n : 0;
}

/* --- submit -------------------------------------------------------------------------------- */

/* Gives what the store has decided, which returned |rv|. */
static int give(rlc_limiter *limiter, rlc__batch *b, int rv, rlc_result *results,
                rlc_decision *decision) {
  if (rv == 0) {
    rv = rlc__batch_give(b, limiter->counters, results, decision);
    rlc__rules_after(limiter->rules, b);
  } else {
    rv = RLC_ERR_FOREIGN;
  }
  rlc__rules_end(b);
  return rv;
}

/* Makes a ticket of |b|, with keys, groups and names of its own. Returns NULL without memory. */
static ticket *ticket_new(const rlc_queue *queue, const rlc__batch *b, void *user) {
  size_t size = sizeof(ticket) + rlc__items_size(b->items, b->call.n);
  ticket *t = rlc__calloc(&queue->limiter->memory, 1, size);

  if (t == NULL) {
    return NULL;
  }
  t->user = user;
  t->batch = *b;
  t->batch.call.items = t->batch.items;
  rlc__items_own(t->batch.items, b->call.n, (char *)(t + 1));
  return t;
}

static void append(rlc_queue *queue, ticket *t) {
  t->previous = queue->last;
  *(queue->last != NULL ? &queue->last->next : &queue->first) = t;
  queue->last = t;
  ++queue->n;
}

int rlc_queue_submit(rlc_queue *queue, rlc_op op, const rlc_limit *limits, size_t n, void *user,
                     rlc_result *results, rlc_decision *decision) {
  static const rlc__op ops[] = {[RLC_OP_CHECK] = RLC__OP_CHECK,
                                [RLC_OP_PEEK] = RLC__OP_PEEK,
                                [RLC_OP_CHARGE] = RLC__OP_CHARGE,
                                [RLC_OP_REFUND] = RLC__OP_REFUND,
                                [RLC_OP_RESET] = RLC__OP_RESET,
                                [RLC_OP_GRANT] = RLC__OP_GRANT};
  rlc_limiter *limiter;
  rlc__batch b;
  ticket *t;
  int rv;

  if (queue == NULL || (int)op < RLC_OP_CHECK || op > RLC_OP_GRANT) {
    return RLC_ERR_INVALID;
  }
  limiter = queue->limiter;
  rv = rlc__batch_read(&b, ops[op], limits, n, results, decision);
  if (rv != 0) {
    return rv;
  }
  rlc__limiter_set_times(limiter, &b.call);
  if (!rlc__rules_before(limiter->rules, &b, 1)) {
    return give(limiter, &b, 0, results, decision);
  }
  if (limiter->store->ops->submit == NULL) {
    rv = limiter->store->ops->decide(limiter->store, &b.call);
    return give(limiter, &b, rv, results, decision);
  }
  rlc__rules_keep(&b);
  t = ticket_new(queue, &b, user);
  if (t == NULL) {
    rlc__rules_end(&b);
    return RLC_ERR_NOMEM;
  }
  rv = limiter->store->ops->submit(limiter->store, &t->batch.call, &queue->waiter, &t->pending);
  if (rv == RLC_PENDING) {
    append(queue, t);
    rlc__waiter_alarm(&queue->waiter, t->batch.call.deadline_us);
    return rv;
  }
  rv = give(limiter, &t->batch, rv, results, decision);
  rlc__free(&limiter->memory, t);
  return rv;
}

/* --- complete ------------------------------------------------------------------------------ */

static int can_take(const ticket *t, const rlc_result *results, const rlc_decision *decision) {
  if (decision != NULL && (decision->size < sizeof *decision ||
                           decision->result.size < sizeof decision->result)) {
    return 0;
  }
  return results == NULL || rlc__batch_fits(&t->batch, results);
}

int rlc_queue_complete(rlc_queue *queue, void **user, rlc_result *results, rlc_decision *decision) {
  rlc_limiter *limiter;

  if (queue == NULL || user == NULL) {
    return RLC_ERR_INVALID;
  }
  limiter = queue->limiter;
  *user = NULL;
  /* What was sent again in this round may have been answered behind its back: another round. */
  while (!queue->in_round || queue->at != NULL || queue->waiter.again) {
    ticket *t = queue->at;
    int rv;

    if (t == NULL) {
      rlc__waiter_clear(&queue->waiter, rlc__clock_monotonic_us());
      if (queue->vain >= VAIN_LOOKS) {
        rlc__waiter_calm(&queue->waiter);
        queue->vain = 0;
      }
      queue->at = queue->first;
      queue->in_round = 1;
      continue;
    }
    if (!can_take(t, results, decision)) {
      return RLC_ERR_INVALID;
    }
    rv = limiter->store->ops->advance(limiter->store, t->pending);
    if (rv == RLC_PENDING) {
      queue->at = t->next;
      continue;
    }
    *user = t->user;
    ++queue->found;
    rv = give(limiter, &t->batch, rv, results, decision);
    drop(queue, t);
    return rv;
  }
  queue->in_round = 0;
  queue->vain = queue->found > 0 ? 0 : queue->vain + 1;
  queue->found = 0;
  return RLC_PENDING;
}
