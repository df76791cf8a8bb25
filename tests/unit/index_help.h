/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_INDEX_HELP_H
#define RLCORE_INDEX_HELP_H

/* The contract of the index, which each store's test runs; and how it is asked. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "store/store.h"

#define NOW INT64_C(1800057600000000)
#define SECOND INT64_C(1000000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define PATIENCE (20 * SECOND)

/* --- asking -------------------------------------------------------------------------------- */

/* What somebody knows of an index. */
typedef struct reader {
  uint64_t version;
  int64_t now_us;
  int all;      /* the last news were all there is */
  size_t heard; /* entries of the last news */
  size_t n;
  rlc__entry entry[RLC_MAX_ENTRIES + 8];
} reader;

static inline int same_entry(const rlc__entry *a, const rlc__entry *b) {
  return a->kind == b->kind && memcmp(a->hash, b->hash, sizeof a->hash) == 0 &&
         strcmp(a->name, b->name) == 0 &&
         (a->kind != RLC_ENTRY_TIER || strcmp(a->tier, b->tier) == 0);
}

static inline rlc__entry *find_entry(reader *r, const rlc__entry *e) {
  for (size_t i = 0; i < r->n; ++i) {
    if (same_entry(&r->entry[i], e)) {
      return &r->entry[i];
    }
  }
  return NULL;
}

static inline void learn(reader *r, const rlc__entry *e) {
  rlc__entry *known = r->n < 2000 ? find_entry(r, e) : NULL; /* the full index is read once */

  if (known == NULL && !e->gone) {
    assert_true(r->n < sizeof r->entry / sizeof *r->entry);
    known = &r->entry[r->n++];
  }
  if (known != NULL && e->gone) {
    *known = r->entry[--r->n];
  } else if (known != NULL) {
    *known = *e;
  }
}

typedef struct hearing {
  reader *reader;
  rlc__index_call *call;
} hearing;

static inline void hear(const rlc__entry *e, void *user) {
  hearing *h = user;

  if (h->reader->heard++ == 0 && h->call->all) {
    h->reader->n = 0;
  }
  assert_true(rlc__entry_ok(e));
  learn(h->reader, e);
}

static inline int read_news(rlc__store *store, reader *r, int64_t now_us) {
  hearing h = {r, NULL};
  rlc__index_call call;
  int rv;

  memset(&call, 0, sizeof call);
  call.op = RLC__INDEX_NEWS;
  call.version = r->version;
  call.fn = hear;
  call.user = &h;
  call.now_us = now_us;
  call.deadline_us = rlc__clock_monotonic_us() + PATIENCE;
  h.call = &call;
  r->heard = 0;
  rv = store->ops->index(store, &call);
  if (rv == 0) {
    if (call.all && r->heard == 0) {
      r->n = 0;
    }
    r->version = call.version;
    r->all = call.all;
    r->now_us = call.store_now_us;
  }
  return rv;
}

static inline int change(rlc__store *store, rlc__index_op op, const rlc__entry *e, int64_t now_us) {
  rlc__index_call call;

  memset(&call, 0, sizeof call);
  call.op = op;
  call.entry = e;
  call.now_us = now_us;
  call.deadline_us = rlc__clock_monotonic_us() + PATIENCE;
  return store->ops->index(store, &call);
}

static inline int put(rlc__store *store, const rlc__entry *e, int64_t now_us) {
  return change(store, RLC__INDEX_PUT, e, now_us);
}

static inline int drop(rlc__store *store, const rlc__entry *e, int64_t now_us) {
  return change(store, RLC__INDEX_DROP, e, now_us);
}

/* Returns how many bans had no room. */
static inline size_t deny(rlc__store *store, const rlc__denials *d, size_t n, int64_t now_us) {
  rlc__index_call call;

  memset(&call, 0, sizeof call);
  call.op = RLC__INDEX_DENIED;
  call.denials = d;
  call.n = n;
  call.now_us = now_us;
  call.deadline_us = rlc__clock_monotonic_us() + PATIENCE;
  assert_int_equal(store->ops->index(store, &call), 0);
  return call.dropped;
}

static inline rlc__entry entry_of(rlc__store *store, rlc_entry_kind kind, const char *key,
                                  const char *name) {
  rlc__entry e;

  memset(&e, 0, sizeof e);
  e.kind = kind;
  if (kind != RLC_ENTRY_TIER) {
    assert_int_equal(store->ops->identify(store, key, strlen(key), e.hash), 0);
  }
  snprintf(e.name, sizeof e.name, "%s", name);
  return e;
}

static inline rlc__entry ban_of(rlc__store *store, const char *key, int64_t for_us) {
  rlc__entry e = entry_of(store, RLC_ENTRY_BAN, key, "login");

  e.until_us = for_us;
  return e;
}

static inline rlc__entry override_of(rlc__store *store, const char *key, const char *policy) {
  rlc__entry e = entry_of(store, RLC_ENTRY_OVERRIDE, key, "api");

  snprintf(e.policy, sizeof e.policy, "%s", policy);
  return e;
}

static inline rlc__entry tier_of(rlc__store *store, const char *tier, const char *policy) {
  rlc__entry e = entry_of(store, RLC_ENTRY_TIER, "", "api");

  snprintf(e.tier, sizeof e.tier, "%s", tier);
  snprintf(e.policy, sizeof e.policy, "%s", policy);
  return e;
}

static inline rlc__entry member_of(rlc__store *store, const char *key, const char *tier) {
  rlc__entry e = entry_of(store, RLC_ENTRY_MEMBER, key, "");

  snprintf(e.tier, sizeof e.tier, "%s", tier);
  return e;
}

static inline rlc__denials denials_of(rlc__store *store, const char *key, uint32_t count) {
  rlc__denials d;

  memset(&d, 0, sizeof d);
  assert_int_equal(store->ops->identify(store, key, strlen(key), d.hash), 0);
  strcpy(d.name, "login");
  d.count = count;
  d.most = 5;
  d.within_us = 10 * MINUTE;
  d.first_us = HOUR;
  d.longest_us = 6 * HOUR;
  return d;
}

static inline void set_display(char *display, unsigned char *len, const char *text) {
  *len = (unsigned char)strlen(text);
  memcpy(display, text, *len);
}

static inline reader *new_reader(void) {
  reader *r = calloc(1, sizeof *r);

  assert_non_null(r);
  return r;
}

/* What a new reader is told of |key|'s ban: its end, or 0. */
static inline int64_t ban_end(rlc__store *store, const char *key, int64_t now_us, uint32_t *level) {
  reader *r = new_reader();
  rlc__entry ban = ban_of(store, key, 1);
  rlc__entry *found;
  int64_t end = 0;

  assert_int_equal(read_news(store, r, now_us), 0);
  found = find_entry(r, &ban);
  if (found != NULL) {
    end = found->until_us;
    *level = found->level;
  }
  free(r);
  return end;
}

/* --- the contract -------------------------------------------------------------------------- */

/* A key's hash is the same each time, and another's is another. */
static inline void contract_identify(rlc__store *store) {
  char a[RLC__ENTRY_HASH + 1] = "", b[RLC__ENTRY_HASH], c[RLC__ENTRY_HASH];

  assert_int_equal(store->ops->identify(store, "k\0x", 3, a), 0);
  assert_int_equal(store->ops->identify(store, "k\0x", 3, b), 0);
  assert_int_equal(store->ops->identify(store, "k\0y", 3, c), 0);
  assert_memory_equal(a, b, sizeof b);
  assert_memory_not_equal(a, c, sizeof c);
  assert_int_equal(strspn(a, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
                   RLC__ENTRY_HASH);
}

/* Each kind is put, told as it was given, replaced, dropped; and a second drop finds none. */
static inline void contract_kinds(rlc__store *store) {
  rlc__entry e[4] = {ban_of(store, "k", HOUR), override_of(store, "k", "10/s,1000/h burst=20"),
                     tier_of(store, "pro", "100/min"), member_of(store, "k", "pro")};
  reader *r = new_reader();

  memset(e[1].policy, 'p', sizeof e[1].policy - 1);
  set_display(e[0].display, &e[0].display_len, "k");
  memcpy(e[1].display, "\0\xff\n", 3);
  e[1].display_len = 3;
  memset(e[3].tier, 't', RLC_MAX_NAME);
  memset(e[3].display, 'd', RLC_MAX_DISPLAY);
  e[3].display_len = RLC_MAX_DISPLAY;
  assert_int_equal(read_news(store, r, NOW), 0);
  assert_true(r->all);
  assert_int_equal(r->n, 0);
  for (int i = 0; i < 4; ++i) {
    assert_int_equal(put(store, &e[i], NOW + i), 0);
    assert_int_equal(read_news(store, r, NOW + i), 0);
    assert_int_equal(r->heard, 1);
  }
  assert_false(r->all);
  assert_int_equal(r->now_us, NOW + 3);
  e[0].until_us = NOW + HOUR;
  assert_int_equal(r->n, 4);
  for (int i = 0; i < 4; ++i) {
    assert_memory_equal(find_entry(r, &e[i]), &e[i], sizeof e[i]);
  }
  assert_int_equal(read_news(store, r, NOW + 4), 0);
  assert_int_equal(r->heard, 0);
  assert_false(r->all);
  strcpy(e[3].tier, "free"); /* of one tier only */
  assert_int_equal(put(store, &e[3], NOW + 5), 0);
  assert_int_equal(read_news(store, r, NOW + 5), 0);
  assert_int_equal(r->heard, 1);
  assert_int_equal(r->n, 4);
  assert_string_equal(find_entry(r, &e[3])->tier, "free");
  for (int i = 0; i < 4; ++i) {
    assert_int_equal(drop(store, &e[i], NOW + 6 + i), 0);
    assert_int_equal(drop(store, &e[i], NOW + 6 + i), RLC_ERR_LOST);
  }
  assert_int_equal(read_news(store, r, NOW + 10), 0);
  assert_int_equal(r->heard, 4);
  assert_false(r->all);
  assert_int_equal(r->n, 0);
  assert_int_equal(put(store, &e[1], NOW + 11), 0); /* again, after it was dropped */
  assert_int_equal(read_news(store, r, NOW + 11), 0);
  assert_int_equal(r->n, 1);
  assert_int_equal(drop(store, &e[1], NOW + 12), 0);
  free(r);
}

/* A ban holds until its end, not longer; it is then among no news, and cannot be dropped. */
static inline void contract_end(rlc__store *store) {
  rlc__entry ban = ban_of(store, "ends", HOUR);
  reader *early = new_reader(), *late = new_reader();

  assert_int_equal(read_news(store, early, NOW), 0);
  assert_int_equal(put(store, &ban, NOW), 0);
  assert_int_equal(read_news(store, late, NOW + HOUR - 1), 0);
  assert_int_equal(late->n, 1);
  assert_int_equal(read_news(store, early, NOW + HOUR), 0);
  assert_int_equal(early->n, 0);
  late->version = 0;
  assert_int_equal(read_news(store, late, NOW + HOUR), 0);
  assert_int_equal(late->n, 0);
  assert_int_equal(drop(store, &ban, NOW + HOUR), RLC_ERR_LOST);
  assert_int_equal(put(store, &ban, NOW + 2 * HOUR), 0);
  assert_int_equal(drop(store, &ban, NOW + 2 * HOUR), 0);
  free(early);
  free(late);
}

/* A ban that replaced a longer one, and has ended and gone, is not missed by who knows the longer one. */
static inline void contract_shorter(rlc__store *store) {
  rlc__entry ban = ban_of(store, "k", 10 * HOUR), other = tier_of(store, "pro", "1/s");
  reader *r = new_reader();

  assert_int_equal(put(store, &ban, NOW), 0);
  assert_int_equal(read_news(store, r, NOW), 0);
  assert_int_equal(r->n, 1);
  ban.until_us = MINUTE;
  assert_int_equal(put(store, &ban, NOW + 1), 0);
  for (int i = 0; i < 10; ++i) { /* as many changes as clear it away for certain */
    assert_int_equal(put(store, &other, NOW + 1 + MINUTE + i), 0);
  }
  assert_int_equal(read_news(store, r, NOW + 2 * MINUTE), 0);
  assert_null(find_entry(r, &ban));
  assert_int_equal(r->n, 1);
  ban.until_us = 10 * HOUR; /* and so where somebody clears it away who comes too late to end it */
  assert_int_equal(put(store, &ban, NOW + 3 * MINUTE), 0);
  assert_int_equal(read_news(store, r, NOW + 3 * MINUTE), 0);
  assert_int_equal(r->n, 2);
  ban.until_us = MINUTE;
  assert_int_equal(put(store, &ban, NOW + 3 * MINUTE), 0);
  assert_int_equal(drop(store, &ban, NOW + 5 * MINUTE), RLC_ERR_LOST);
  assert_int_equal(read_news(store, r, NOW + 5 * MINUTE), 0);
  assert_null(find_entry(r, &ban));
  free(r);
}

/* So many denials within the window make a ban; each that follows is twice as long, to the longest;
 * after as long without as it lasted, the next is the first again. */
static inline void contract_escalation(rlc__store *store) {
  rlc__denials d = denials_of(store, "k", 2);
  int64_t now = NOW;
  int64_t length[] = {HOUR, 2 * HOUR, 4 * HOUR, 6 * HOUR, 6 * HOUR};
  uint32_t level = 0;

  set_display(d.display, &d.display_len, "k!");
  assert_int_equal(deny(store, &d, 1, now), 0);
  assert_int_equal(deny(store, &d, 1, now + 10 * MINUTE - 1), 0);
  assert_int_equal(ban_end(store, "k", now, &level), 0);
  now += 10 * MINUTE; /* the window is over: four of it do not count */
  assert_int_equal(deny(store, &d, 1, now), 0);
  assert_int_equal(deny(store, &d, 1, now), 0);
  assert_int_equal(ban_end(store, "k", now, &level), 0);
  d.count = 1;
  for (uint32_t i = 0; i < 5; ++i) {
    assert_int_equal(deny(store, &d, 1, now), 0);
    assert_int_equal(ban_end(store, "k", now, &level), now + length[i]);
    assert_int_equal(level, i + 1);
    d.count = 100; /* nothing is counted meanwhile */
    assert_int_equal(deny(store, &d, 1, now + length[i] - 1), 0);
    now += length[i];
    assert_int_equal(ban_end(store, "k", now, &level), 0);
    now += length[i] - 1; /* the last moment at which it is remembered */
    d.count = 4;
    assert_int_equal(deny(store, &d, 1, now), 0);
    assert_int_equal(ban_end(store, "k", now, &level), 0);
    d.count = 1;
  }
  now += 1; /* forgiven; those four are of the window all the same */
  assert_int_equal(deny(store, &d, 1, now), 0);
  assert_int_equal(ban_end(store, "k", now, &level), now + HOUR);
  assert_int_equal(level, 1);
}

/* Who is let off by people begins anew, also where there was no ban yet. */
static inline void contract_unban(rlc__store *store) {
  rlc__denials d = denials_of(store, "u", 5);
  rlc__entry ban = ban_of(store, "u", HOUR);
  uint32_t level = 9;
  reader *r = new_reader();

  deny(store, &d, 1, NOW);
  assert_int_equal(drop(store, &ban, NOW + 1), 0);
  d.count = 4;
  deny(store, &d, 1, NOW + 2);
  assert_int_equal(drop(store, &ban, NOW + 3), RLC_ERR_LOST);
  deny(store, &d, 1, NOW + 4);
  assert_int_equal(ban_end(store, "u", NOW + 4, &level), 0);
  d.count = 1;
  deny(store, &d, 1, NOW + 5);
  assert_int_equal(ban_end(store, "u", NOW + 5, &level), NOW + 5 + HOUR);
  assert_int_equal(level, 1);
  /* A ban by people counts nothing either, and is no level. */
  ban.until_us = 3 * HOUR;
  assert_int_equal(put(store, &ban, NOW + 6), 0);
  d.count = 100;
  deny(store, &d, 1, NOW + 2 * HOUR);
  assert_int_equal(ban_end(store, "u", NOW + 2 * HOUR, &level), NOW + 6 + 3 * HOUR);
  assert_int_equal(level, 0);
  assert_int_equal(drop(store, &ban, NOW + 2 * HOUR), 0);
  free(r);
}

/* A batch counts each key for itself; the same key may stand in it twice. */
static inline void contract_batch(rlc__store *store) {
  rlc__denials d[RLC__INDEX_BATCH];
  reader *r = new_reader();
  char key[16];

  assert_int_equal(read_news(store, r, NOW), 0);
  for (unsigned i = 0; i < RLC__INDEX_BATCH; ++i) {
    snprintf(key, sizeof key, "b%u", i / 2);
    d[i] = denials_of(store, key, i % 4 < 2 ? 5 : 2); /* 5 + 5, or 2 + 2 */
    set_display(d[i].display, &d[i].display_len, key);
  }
  assert_int_equal(deny(store, d, RLC__INDEX_BATCH, NOW), 0);
  assert_int_equal(read_news(store, r, NOW), 0);
  assert_int_equal(r->heard, RLC__INDEX_BATCH / 4);
  for (size_t i = 0; i < r->n; ++i) {
    assert_int_equal(r->entry[i].level, 1);
    assert_int_equal(r->entry[i].display[0], 'b');
    assert_int_equal(atoi(r->entry[i].display + 1) % 2, 0);
    assert_int_equal(drop(store, &r->entry[i], NOW), 0);
  }
  d[0].count = 1;
  d[1] = denials_of(store, "b1", 1);
  assert_int_equal(deny(store, d, 0, NOW), 0);
  assert_int_equal(deny(store, d, 2, NOW), 0);
  assert_int_equal(read_news(store, r, NOW), 0);
  d[0] = denials_of(store, "b1", 1);
  assert_memory_equal(r->entry[0].hash, d[0].hash, sizeof d[0].hash);
  assert_int_equal(r->n, 1);
  assert_int_equal(drop(store, &r->entry[0], NOW), 0);
  free(r);
}

/* Time that goes back: no window lasts longer than from now on, no memory than twice the longest. */
static inline void contract_backwards(rlc__store *store) {
  rlc__denials d = denials_of(store, "back", 4);
  rlc__entry ban = ban_of(store, "long", SECOND);
  uint32_t level = 0;
  int64_t then = NOW - 1000 * HOUR;

  deny(store, &d, 1, NOW);
  d.count = 1;
  deny(store, &d, 1, then);
  assert_int_equal(ban_end(store, "back", then, &level), then + HOUR);
  d = denials_of(store, "again", 4);
  deny(store, &d, 1, NOW);
  d.count = 0; /* nothing denied: the window begins now all the same */
  deny(store, &d, 1, then);
  d.count = 1;
  deny(store, &d, 1, then + 10 * MINUTE);
  assert_int_equal(ban_end(store, "again", then + 10 * MINUTE, &level), 0);
  d = denials_of(store, "long", 5);
  deny(store, &d, 1, NOW);
  assert_int_equal(put(store, &ban, then), 0); /* people shorten it */
  d.count = 1;
  deny(store, &d, 1, then + 2 * SECOND);
  d.count = 5;
  deny(store, &d, 1, then + 2 * SECOND + 12 * HOUR);
  assert_int_equal(ban_end(store, "long", then + 12 * HOUR, &level),
                   then + 2 * SECOND + 13 * HOUR);
  assert_int_equal(level, 1);
}

/* What no reader would take is refused, and nothing is done. */
static inline void contract_refusals(rlc__store *store) {
  rlc__entry e[] = {ban_of(store, "k", HOUR),        ban_of(store, "k", HOUR),
                    ban_of(store, "k", 0),           override_of(store, "k", ""),
                    override_of(store, "k", "1/s\n"), tier_of(store, "", "1/s"),
                    tier_of(store, "pro", "1/s"),    member_of(store, "k", "a:b"),
                    member_of(store, "k", "pro"),    override_of(store, "k", "1/s")};
  rlc__denials d = denials_of(store, "k", 5);
  rlc__index_call call;
  reader *r = new_reader();

  e[0].kind = (rlc_entry_kind)5;
  e[1].hash[3] = ':';
  e[6].hash[0] = 'x';
  e[8].display_len = RLC_MAX_DISPLAY + 1;
  e[9].until_us = 1;
  assert_int_equal(read_news(store, r, NOW), 0);
  for (size_t i = 0; i < sizeof e / sizeof *e; ++i) {
    assert_int_equal(put(store, &e[i], NOW), RLC_ERR_INVALID);
  }
  assert_int_equal(drop(store, &e[1], NOW), RLC_ERR_INVALID);
  memset(&call, 0, sizeof call);
  call.op = RLC__INDEX_DENIED;
  call.denials = &d;
  call.n = RLC__INDEX_BATCH + 1;
  assert_int_equal(store->ops->index(store, &call), RLC_ERR_INVALID);
  call.n = 1;
  d.name[0] = '{';
  assert_int_equal(store->ops->index(store, &call), RLC_ERR_INVALID);
  assert_int_equal(read_news(store, r, NOW), 0);
  assert_int_equal(r->n, 0);
  free(r);
}

/* --- against a model ------------------------------------------------------------------------ */

#define MODEL_KEYS 12

typedef struct model {
  int64_t until_us[MODEL_KEYS]; /* bans */
  uint32_t level[MODEL_KEYS];
  int64_t began_us[MODEL_KEYS];
  int64_t forgiven_us[MODEL_KEYS];
  uint32_t count[MODEL_KEYS];
  uint32_t row[MODEL_KEYS];
  int policy[MODEL_KEYS]; /* overrides; 0: none */
} model;

static inline void model_deny(model *m, unsigned k, const rlc__denials *d, int64_t now) {
  int64_t length = d->first_us;

  if (now < m->until_us[k]) {
    return;
  }
  if (now >= m->began_us[k] + d->within_us) {
    m->began_us[k] = now;
    m->count[k] = 0;
  }
  if (now >= m->forgiven_us[k]) {
    m->row[k] = 0;
  }
  m->count[k] += d->count;
  if (m->count[k] >= d->most) {
    for (uint32_t i = 0; i < m->row[k]; ++i) {
      length = 2 * length < d->longest_us ? 2 * length : d->longest_us;
    }
    m->row[k]++;
    m->level[k] = m->row[k];
    m->until_us[k] = now + length;
    m->forgiven_us[k] = now + 2 * length;
    m->count[k] = 0;
    m->began_us[k] = 0;
  }
}

static inline void check_model(rlc__store *store, const model *m, reader *r, int64_t now) {
  size_t expected = 0;

  for (unsigned k = 0; k < MODEL_KEYS; ++k) {
    char key[8];
    rlc__entry ban, override;
    rlc__entry *found;

    snprintf(key, sizeof key, "m%u", k);
    ban = ban_of(store, key, 1);
    found = find_entry(r, &ban);
    if (m->until_us[k] > now) {
      assert_non_null(found);
      assert_int_equal(found->until_us, m->until_us[k]);
      assert_int_equal(found->level, m->level[k]);
      ++expected;
    } else {
      assert_true(found == NULL || found->until_us <= now); /* it knows the end */
      expected += found != NULL;
    }
    override = override_of(store, key, "x");
    found = find_entry(r, &override);
    assert_int_equal(found != NULL, m->policy[k] != 0);
    if (found != NULL) {
      assert_int_equal(atoi(found->policy), m->policy[k]);
      ++expected;
    }
  }
  assert_int_equal(r->n, expected);
}

/* Changes of all kinds, in any order and of keys that meet; whoever reads, whenever he read before,
 * knows what a model knows. */
static inline void contract_random(rlc__store *store, unsigned steps) {
  model m;
  reader *readers[3] = {new_reader(), new_reader(), new_reader()};
  int64_t now = NOW;

  memset(&m, 0, sizeof m);
  srand(7);
  for (unsigned i = 0; i < steps; ++i) {
    unsigned k = (unsigned)rand() % MODEL_KEYS;
    char key[8];
    rlc__entry e;
    rlc__denials d;
    int had;

    snprintf(key, sizeof key, "m%u", k);
    now += rand() % 4 == 0 ? rand() % (40 * MINUTE) : rand() % MINUTE;
    switch (rand() % 8) {
    case 0:
      e = ban_of(store, key, SECOND + rand() % (2 * HOUR));
      assert_int_equal(put(store, &e, now), 0);
      m.until_us[k] = now + e.until_us;
      m.level[k] = 0;
      break;
    case 1:
      e = ban_of(store, key, 1);
      had = m.until_us[k] > now;
      assert_int_equal(drop(store, &e, now), had ? 0 : RLC_ERR_LOST);
      m.until_us[k] = m.began_us[k] = m.forgiven_us[k] = 0;
      m.count[k] = m.row[k] = 0;
      break;
    case 2:
      m.policy[k] = 1 + rand() % 9;
      e = override_of(store, key, (char[4]){(char)('0' + m.policy[k]), '/', 's', 0});
      assert_int_equal(put(store, &e, now), 0);
      break;
    case 3:
      e = override_of(store, key, "");
      assert_int_equal(drop(store, &e, now), m.policy[k] != 0 ? 0 : RLC_ERR_LOST);
      m.policy[k] = 0;
      break;
    default:
      d = denials_of(store, key, 1 + (uint32_t)rand() % 3);
      assert_int_equal(deny(store, &d, 1, now), 0);
      model_deny(&m, k, &d, now);
      break;
    }
    for (unsigned j = 0; j < 3; ++j) {
      if (rand() % (1 + 10 * (int)j) == 0) {
        assert_int_equal(read_news(store, readers[j], now), 0);
        check_model(store, &m, readers[j], now);
      }
    }
  }
  for (unsigned j = 0; j < 3; ++j) {
    free(readers[j]);
  }
}

/* --- bounds -------------------------------------------------------------------------------- */

/* |most| entries fit; then room is only where a ban has ended, and a ban that has none is dropped, its
 * count kept. */
/* Whoever makes keys that are banned leaves room for what people set: nine in ten at most are such bans. */
static inline void contract_flood(rlc__store *store, unsigned most) {
  unsigned bans = most - most / 10;
  rlc__entry e = override_of(store, "o", "5/s");
  rlc__denials d;
  char key[16];

  for (unsigned i = 0; i < most; ++i) {
    snprintf(key, sizeof key, "f%u", i);
    d = denials_of(store, key, 5);
    assert_int_equal(deny(store, &d, 1, NOW), i >= bans);
  }
  assert_int_equal(put(store, &e, NOW), 0);
  e = ban_of(store, "by hand", HOUR);
  assert_int_equal(put(store, &e, NOW), 0);
  /* They end, and there is room for others. */
  assert_int_equal(deny(store, &d, 1, NOW + 3 * HOUR), 0);
}

static inline void contract_full(rlc__store *store, unsigned most) {
  rlc__entry e = ban_of(store, "first", HOUR);
  rlc__denials d = denials_of(store, "denied", 5), batch[3];
  reader *r = new_reader();
  uint32_t level = 0;
  char key[16];

  assert_int_equal(put(store, &e, NOW), 0);
  for (unsigned i = 1; i < most; ++i) {
    snprintf(key, sizeof key, "o%u", i);
    e = override_of(store, key, "5/s");
    assert_int_equal(put(store, &e, NOW + i), 0);
  }
  assert_int_equal(put(store, &e, NOW + 2 * most), 0); /* replaced */
  e = override_of(store, "one more", "5/s");
  assert_int_equal(put(store, &e, NOW + 2 * most), RLC_ERR_FULL);
  assert_int_equal(deny(store, &d, 1, NOW + 2 * most), 1);
  d.count = 1;
  assert_int_equal(deny(store, &d, 1, NOW + 2 * most), 1);
  assert_int_equal(read_news(store, r, NOW + 2 * most), 0);
  assert_int_equal(r->n, most);
  assert_true(r->all);
  /* The ban ends. */
  d.within_us = 2 * HOUR;
  assert_int_equal(deny(store, &d, 1, NOW + HOUR), 0);
  assert_int_equal(ban_end(store, "denied", NOW + HOUR, &level), NOW + 2 * HOUR);
  assert_int_equal(level, 1);
  assert_int_equal(put(store, &e, NOW + HOUR), RLC_ERR_FULL);
  assert_int_equal(put(store, &e, NOW + 2 * HOUR), 0);
  /* Room for two of three; and no more where one of them had its place already. */
  for (unsigned i = 0; i < 3; ++i) {
    snprintf(key, sizeof key, "d%u", i);
    batch[i] = denials_of(store, key, 5);
    snprintf(key, sizeof key, "o%u", i + 1);
    e = override_of(store, key, "");
    assert_int_equal(i < 2 ? drop(store, &e, NOW + 2 * HOUR) : 0, 0);
  }
  assert_int_equal(deny(store, batch, 3, NOW + 2 * HOUR), 1);
  assert_int_equal(ban_end(store, "d1", NOW + 2 * HOUR, &level), NOW + 3 * HOUR);
  assert_int_equal(deny(store, batch, 3, NOW + 3 * HOUR), 1);
  r->version = 0;
  assert_int_equal(read_news(store, r, NOW + 3 * HOUR), 0);
  assert_int_equal(r->n, most);
  free(r);
}

/* Dropped entries are told for a while; who read before what was forgotten is told all. */
static inline void contract_dropped(rlc__store *store, unsigned many) {
  reader *old = new_reader(), *fresh = new_reader();
  rlc__entry kept = tier_of(store, "kept", "1/s");
  rlc__entry e = tier_of(store, "old", "1/s");
  char key[16];

  assert_int_equal(put(store, &kept, NOW), 0);
  assert_int_equal(put(store, &e, NOW), 0);
  assert_int_equal(read_news(store, old, NOW), 0);
  assert_int_equal(drop(store, &e, NOW), 0);
  for (unsigned i = 0; i < many; ++i) {
    snprintf(key, sizeof key, "t%u", i);
    e = tier_of(store, key, "1/s");
    assert_int_equal(put(store, &e, NOW + i), 0);
    if (i + 3 == many) {
      assert_int_equal(read_news(store, fresh, NOW + i), 0);
    }
    assert_int_equal(drop(store, &e, NOW + i), 0);
  }
  assert_int_equal(read_news(store, old, NOW + many), 0);
  assert_true(old->all);
  assert_int_equal(old->n, 1);
  assert_int_equal(fresh->n, 2);
  assert_int_equal(read_news(store, fresh, NOW + many), 0);
  assert_false(fresh->all);
  assert_int_equal(fresh->heard, 3);
  assert_int_equal(fresh->n, 1);
  free(old);
  free(fresh);
}

#endif
