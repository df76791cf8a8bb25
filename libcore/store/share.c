/* SPDX-License-Identifier: Apache-2.0 */
#include "store/share.h"

#include <stdatomic.h>
#include <string.h>

#include "base/memory.h"

#define PLACES 4096u

/* Never removed while the table lives, so that a reader needs no lock. */
typedef struct entry {
  char text[RLC__POLICY_TEXT_SIZE];
  rlc_policy *share;
} entry;

struct rlc__shares {
  rlc_memory memory;
  uint64_t parts;
  _Atomic(entry *) places[PLACES];
};

rlc__shares *rlc__shares_new(const rlc_memory *memory, uint64_t parts) {
  rlc__shares *shares = rlc__calloc(memory, 1, sizeof *shares);

  if (shares != NULL) {
    shares->memory = *memory;
    shares->parts = parts;
  }
  return shares;
}

static void entry_del(const rlc_memory *memory, entry *e) {
  if (e != NULL) {
    rlc_policy_del(e->share);
    rlc__free(memory, e);
  }
}

void rlc__shares_del(rlc__shares *shares) {
  rlc_memory memory;

  if (shares == NULL) {
    return;
  }
  memory = shares->memory;
  for (unsigned i = 0; i < PLACES; ++i) {
    entry_del(&memory, atomic_load(&shares->places[i]));
  }
  rlc__free(&memory, shares);
}

static entry *entry_new(const rlc__shares *shares, const rlc_policy *whole) {
  entry *e = rlc__calloc(&shares->memory, 1, sizeof *e);

  if (e == NULL) {
    return NULL;
  }
  memcpy(e->text, whole->text, sizeof e->text);
  if (rlc__policy_share(&e->share, whole, shares->parts) != 0) {
    rlc__free(&shares->memory, e);
    return NULL;
  }
  return e;
}

/* FNV-1a: the texts are the administrator's own. */
static unsigned place_of(const char *text) {
  uint32_t hash = 2166136261u;

  for (; *text != '\0'; ++text) {
    hash = (hash ^ (unsigned char)*text) * 16777619u;
  }
  return hash % PLACES;
}

const rlc_policy *rlc__shares_get(rlc__shares *shares, const rlc_policy *whole, rlc_policy **own) {
  unsigned at = place_of(whole->text);

  *own = NULL;
  if (shares->parts == 1) {
    return whole;
  }
  for (unsigned tries = 0; tries < 32; ++tries, at = (at + 1) % PLACES) {
    entry *e = atomic_load_explicit(&shares->places[at], memory_order_acquire);

    if (e == NULL) {
      entry *fresh = entry_new(shares, whole);

      if (fresh == NULL) {
        return NULL;
      }
      if (atomic_compare_exchange_strong(&shares->places[at], &e, fresh)) {
        return fresh->share;
      }
      entry_del(&shares->memory, fresh);
    }
    if (strcmp(e->text, whole->text) == 0) {
      return e->share;
    }
  }
  /* An index may have more texts than there are places. */
  return rlc__policy_share(own, whole, shares->parts) == 0 ? *own : NULL;
}
