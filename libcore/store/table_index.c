/* SPDX-License-Identifier: Apache-2.0 */
#include "store/table_index.h"

#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/siphash.h"
#include "redis/keyname.h"

#define LEAST_ENTRIES 64u
#define SLOTS_AN_ENTRY 32u
/* How many records a change looks at for bans that have ended. */
#define SWEEP 16u

/* What hashes are for, beside places (table.c): numbers that neither algorithms nor each other have. */
#define SALT_HASH UINT64_C(0x6861736801)
#define SALT_HASH_MORE UINT64_C(0x6861736802)
#define SALT_ENTRY UINT64_C(0x656e7472)
#define SALT_DENIED UINT64_C(0x64656e79)

_Static_assert(sizeof(rlc__index_area) % 64 == 0, "what follows begins at a cache line");
_Static_assert(RLC__ENTRY_HASH == 16, "twelve bytes are sixteen letters");

/* --- where things lie ---------------------------------------------------------------------- */

static size_t round_up(size_t size) {
  return (size + 63) / 64 * 64;
}

uint32_t rlc__index_area_entries(uint64_t slots) {
  uint64_t entries = slots / SLOTS_AN_ENTRY;

  if (entries < LEAST_ENTRIES) {
    return LEAST_ENTRIES;
  }
  return entries < RLC_MAX_ENTRIES ? (uint32_t)entries : RLC_MAX_ENTRIES;
}

/* Room for what was dropped, and for the one that replaces another. */
static uint32_t records_of(uint64_t slots) {
  uint32_t entries = rlc__index_area_entries(slots);

  return entries + entries / 8 + 1;
}

/* A power of two of sets: at least two places for each entry. */
static uint32_t denied_sets(uint64_t slots) {
  uint32_t sets = 1;

  while (sets * RLC__DENIED_WAYS < 2 * rlc__index_area_entries(slots)) {
    sets *= 2;
  }
  return sets;
}

static size_t records_at(uint64_t slots) {
  return sizeof(rlc__index_area) + round_up(records_of(slots) * sizeof(_Atomic uint64_t));
}

static size_t denied_at(uint64_t slots) {
  return records_at(slots) + round_up(records_of(slots) * sizeof(rlc__index_record));
}

size_t rlc__index_area_size(uint64_t slots) {
  return denied_at(slots) +
         round_up(denied_sets(slots) * RLC__DENIED_WAYS * sizeof(rlc__index_denied));
}

rlc__lock *rlc__index_area_lock(rlc__index_area *area) {
  return &area->lock;
}

void rlc__index_doubt(rlc__index_area *area) {
  atomic_store_explicit(&area->busy, 1, memory_order_release);
}

uint32_t rlc__index_records(const rlc__region *region) {
  return records_of(region->slots);
}

_Atomic uint64_t *rlc__index_tags(const rlc__region *region) {
  return (_Atomic uint64_t *)(void *)(region->index + 1);
}

rlc__index_record *rlc__index_record_at(const rlc__region *region, uint32_t i) {
  unsigned char *base = (unsigned char *)region->index;

  return (rlc__index_record *)(void *)(base + records_at(region->slots)) + i;
}

static rlc__index_denied *denied_set(const rlc__region *region, uint64_t tag) {
  unsigned char *base = (unsigned char *)region->index;
  uint64_t set = tag >> 32 & (denied_sets(region->slots) - 1);

  return (rlc__index_denied *)(void *)(base + denied_at(region->slots)) + set * RLC__DENIED_WAYS;
}

/* --- hashes -------------------------------------------------------------------------------- */

void rlc__table_identify(const rlc__region *region, const void *key, size_t key_len,
                         char hash[RLC__ENTRY_HASH]) {
  uint64_t first = rlc__siphash2(region->hash_key, key, key_len, NULL, 0, SALT_HASH);
  uint64_t second = rlc__siphash2(region->hash_key, key, key_len, NULL, 0, SALT_HASH_MORE);
  unsigned char bytes[12];

  memcpy(bytes, &first, 8);
  memcpy(bytes + 8, &second, 4);
  rlc__keyname_base64url(hash, bytes, sizeof bytes);
}

static uint64_t tag_of(const rlc__region *region, const rlc__entry *e) {
  int is_tier = e->kind == RLC_ENTRY_TIER;
  uint64_t hash = rlc__siphash2(region->hash_key, is_tier ? e->tier : e->hash,
                                is_tier ? strlen(e->tier) : sizeof e->hash, e->name,
                                strlen(e->name), SALT_ENTRY << 8 | (uint64_t)e->kind);

  return hash != 0 ? hash : 1;
}

static uint64_t denied_tag(const rlc__region *region, const rlc__denials *d) {
  uint64_t hash = rlc__siphash2(region->hash_key, d->hash, sizeof d->hash, d->name,
                                strlen(d->name), SALT_DENIED);

  return hash != 0 ? hash : 1;
}

/* --- records, under the lock --------------------------------------------------------------- */

#define NONE UINT32_MAX

static uint32_t find(const rlc__region *region, uint64_t tag, uint32_t from) {
  const _Atomic uint64_t *tags = rlc__index_tags(region);
  uint32_t n = rlc__index_records(region);

  for (uint32_t i = from; i < n; ++i) {
    if (atomic_load_explicit(&tags[i], memory_order_relaxed) == tag) {
      return i;
    }
  }
  return NONE;
}

static void set_tag(const rlc__region *region, uint32_t i, uint64_t tag) {
  atomic_store_explicit(&rlc__index_tags(region)[i], tag, memory_order_release);
}

static uint64_t tag_at(const rlc__region *region, uint32_t i) {
  return atomic_load_explicit(&rlc__index_tags(region)[i], memory_order_relaxed);
}

static uint64_t version_at(const rlc__region *region, uint32_t i) {
  return atomic_load_explicit(&rlc__index_record_at(region, i)->version, memory_order_relaxed);
}

static int has_ended(const rlc__entry *e, int64_t now_us) {
  return e->kind == RLC_ENTRY_BAN && e->until_us <= now_us;
}

/* Copies record |i| out. Returns 0 where it is none: a file may have been damaged. */
static int take(const rlc__region *region, uint32_t i, rlc__entry *e) {
  *e = rlc__index_record_at(region, i)->entry;
  e->name[RLC_MAX_NAME] = '\0';
  e->tier[RLC_MAX_NAME] = '\0';
  e->policy[RLC_ENTRY_POLICY - 1] = '\0';
  e->display[RLC_MAX_DISPLAY] = '\0';
  return rlc__entry_ok(e);
}

/* Frees record |i|: who has not read so far is told all. */
static void free_record(rlc__region *region, uint32_t i) {
  uint64_t version = version_at(region, i);

  if (version > region->index->floor) {
    region->index->floor = version;
  }
  set_tag(region, i, 0);
}

/* Frees a ban that has ended. Who was told of it knows its end; who was not may know a longer one that it
 * has replaced. */
static void clear_ended(rlc__region *region, uint32_t i, int64_t now_us) {
  const rlc__entry *e = &rlc__index_record_at(region, i)->entry;

  if (tag_at(region, i) != 0 && !e->gone && has_ended(e, now_us)) {
    free_record(region, i);
    --region->index->live;
    --region->index->bans;
  }
}

static void sweep(rlc__region *region, int64_t now_us) {
  rlc__index_area *area = region->index;
  uint32_t n = rlc__index_records(region);

  for (uint32_t i = 0; i < SWEEP; ++i) {
    area->sweep = area->sweep + 1 < n ? area->sweep + 1 : 0;
    clear_ended(region, area->sweep, now_us);
  }
}

/* Frees all that may be freed: bans that have ended, and with |dropped| what is kept of dropped entries. */
static void purge(rlc__region *region, int64_t now_us, int dropped) {
  rlc__index_area *area = region->index;
  uint32_t n = rlc__index_records(region);

  area->ends_us = INT64_MAX;
  for (uint32_t i = 0; i < n; ++i) {
    const rlc__entry *e = &rlc__index_record_at(region, i)->entry;

    if (tag_at(region, i) == 0) {
      continue;
    }
    if (!e->gone) {
      clear_ended(region, i, now_us);
      if (e->kind == RLC_ENTRY_BAN && !has_ended(e, now_us) && e->until_us < area->ends_us) {
        area->ends_us = e->until_us;
      }
    } else if (dropped) {
      free_record(region, i);
    }
  }
}

/* What a killed holder has left. Of records whose tags are theirs, the newest may stand twice. */
static void repair(rlc__region *region) {
  rlc__index_area *area = region->index;
  uint32_t n = rlc__index_records(region);
  uint64_t last = atomic_load_explicit(&area->version, memory_order_relaxed);
  uint32_t newest = NONE;

  for (uint32_t i = 0; i < n; ++i) {
    uint64_t tag = tag_at(region, i);
    rlc__entry entry;

    if (tag != 0 && (!take(region, i, &entry) || tag_of(region, &entry) != tag)) {
      set_tag(region, i, 0);
    } else if (tag != 0) {
      newest = newest == NONE || version_at(region, i) > version_at(region, newest) ? i : newest;
      last = version_at(region, i) > last ? version_at(region, i) : last;
    }
  }
  if (newest != NONE) {
    uint64_t tag = tag_at(region, newest);

    for (uint32_t i = find(region, tag, 0); i != NONE; i = find(region, tag, i + 1)) {
      if (i != newest) {
        set_tag(region, i, 0);
      }
    }
  }
  area->live = 0;
  area->bans = 0;
  for (uint32_t i = 0; i < n; ++i) {
    const rlc__entry *e = &rlc__index_record_at(region, i)->entry;
    uint32_t is_live = tag_at(region, i) != 0 && !e->gone;

    area->live += is_live;
    area->bans += e->kind == RLC_ENTRY_BAN ? is_live : 0;
  }
  area->sweep = 0;
  area->ends_us = 0;
  area->floor = last + 1;
  atomic_store_explicit(&area->version, last + 1, memory_order_release);
}

int rlc__index_lock(rlc__region *region) {
  if (rlc__region_lock_at(region->index_lock) < 0) {
    return RLC__ERR_UNAVAILABLE;
  }
  /* A child may have a copy of what its parent was busy with: no lock tells of that. */
  if (atomic_load_explicit(&region->index->busy, memory_order_acquire)) {
    repair(region);
  }
  atomic_store_explicit(&region->index->busy, 1, memory_order_relaxed);
  atomic_thread_fence(memory_order_seq_cst); /* nothing that follows is done before */
  return 0;
}

void rlc__index_unlock(rlc__region *region) {
  atomic_store_explicit(&region->index->busy, 0, memory_order_release);
  pthread_mutex_unlock(&region->index_lock->mutex);
}

/* Makes or replaces |e|, whose times are set. Returns 0 or RLC_ERR_FULL. */
static int put(rlc__region *region, const rlc__entry *e, int64_t now_us) {
  rlc__index_area *area = region->index;
  uint32_t most = rlc__index_area_entries(region->slots);
  uint64_t tag = tag_of(region, e);
  uint64_t version = atomic_load_explicit(&area->version, memory_order_relaxed) + 1;
  rlc__index_record *record;
  uint32_t old;
  uint32_t to;
  int replaces;

  sweep(region, now_us);
  if (area->live >= most && now_us >= area->ends_us) {
    purge(region, now_us, 0);
  }
  if (find(region, 0, 0) == NONE) {
    purge(region, now_us, 1);
  }
  old = find(region, tag, 0);
  to = find(region, 0, 0);
  replaces = old != NONE && !rlc__index_record_at(region, old)->entry.gone;
  if (to == NONE || (!replaces && area->live >= most)) {
    return RLC_ERR_FULL;
  }
  record = rlc__index_record_at(region, to);
  record->entry = *e;
  record->entry.gone = 0;
  atomic_store_explicit(&record->version, version, memory_order_relaxed);
  set_tag(region, to, tag);
  if (old != NONE) {
    set_tag(region, old, 0);
  }
  area->live += !replaces;
  area->bans += !replaces && e->kind == RLC_ENTRY_BAN;
  if (e->kind == RLC_ENTRY_BAN && e->until_us < area->ends_us) {
    area->ends_us = e->until_us;
  }
  atomic_store_explicit(&area->version, version, memory_order_release);
  return 0;
}

/* --- what is known of denied keys ---------------------------------------------------------- */

/* Returns the place with |tag|, else one that may be taken: empty, or the first to be forgotten. */
static rlc__index_denied *find_denied(const rlc__region *region, uint64_t tag) {
  rlc__index_denied *set = denied_set(region, tag);
  rlc__index_denied *best = NULL;
  int64_t first_us = INT64_MAX;

  for (unsigned i = 0; i < RLC__DENIED_WAYS; ++i) {
    uint64_t own = atomic_load_explicit(&set[i].tag, memory_order_relaxed);
    int64_t expiry_us = own != 0 ? set[i].expiry_us : INT64_MIN;

    if (own == tag) {
      return &set[i];
    }
    if (best == NULL || expiry_us < first_us) {
      best = &set[i];
      first_us = expiry_us;
    }
  }
  return best;
}

/* Writes |known|; a holder killed meanwhile leaves nothing. */
static void store_denied(rlc__index_denied *place, uint64_t tag, const rlc__denied *known,
                         int64_t expiry_us) {
  atomic_store_explicit(&place->tag, 0, memory_order_relaxed);
  atomic_thread_fence(memory_order_seq_cst);
  place->known = *known;
  place->expiry_us = expiry_us;
  atomic_store_explicit(&place->tag, tag, memory_order_release);
}

/* Whether denials may make one ban more: whoever makes keys that are banned leaves room for what people set. */
static int has_room_for_ban(rlc__region *region, int64_t now_us) {
  const rlc__index_area *area = region->index;
  uint32_t entries = rlc__index_area_entries(region->slots);
  uint32_t most = entries - entries / 10;

  if (area->bans >= most && now_us >= area->ends_us) {
    purge(region, now_us, 0);
  }
  return area->bans < most;
}

/* Returns 1 where a ban had no room. */
static size_t count_denied(rlc__region *region, const rlc__denials *d, int64_t now_us) {
  uint64_t tag = denied_tag(region, d);
  rlc__index_denied *place = find_denied(region, tag);
  rlc__denied known = {0, 0, 0, 0};
  rlc__entry ban;
  size_t dropped = 0;
  int is_there = 0; /* a ban that has ended */
  uint32_t at;

  memset(&ban, 0, sizeof ban);
  ban.kind = RLC_ENTRY_BAN;
  memcpy(ban.hash, d->hash, sizeof ban.hash);
  memcpy(ban.name, d->name, sizeof ban.name);
  memcpy(ban.display, d->display, d->display_len);
  ban.display_len = d->display_len;
  at = find(region, tag_of(region, &ban), 0);
  if (at != NONE) {
    const rlc__entry *e = &rlc__index_record_at(region, at)->entry;

    if (!e->gone && !has_ended(e, now_us)) {
      return 0;
    }
    is_there = !e->gone;
  }
  if (atomic_load_explicit(&place->tag, memory_order_relaxed) == tag) {
    known = place->known;
  }
  if (rlc__denied_count(&known, d, now_us)) {
    rlc__denied then = known;

    ban.until_us = rlc__denied_ban(&then, d, now_us);
    ban.level = then.level;
    if ((is_there || has_room_for_ban(region, now_us)) && put(region, &ban, now_us) == 0) {
      known = then;
    } else {
      dropped = 1;
    }
  }
  store_denied(place, tag, &known, rlc__denied_expiry(&known, d->within_us));
  return dropped;
}

static void forget_denied(rlc__region *region, const rlc__entry *e) {
  rlc__denials d;
  rlc__index_denied *place;
  uint64_t tag;

  memcpy(d.hash, e->hash, sizeof d.hash);
  memcpy(d.name, e->name, sizeof d.name);
  tag = denied_tag(region, &d);
  place = find_denied(region, tag);
  if (atomic_load_explicit(&place->tag, memory_order_relaxed) == tag) {
    atomic_store_explicit(&place->tag, 0, memory_order_relaxed);
  }
}

/* --- calls --------------------------------------------------------------------------------- */

static int call_put(rlc__region *region, const rlc__index_call *call, int64_t now_us) {
  rlc__entry entry = *call->entry;
  int rv = rlc__index_lock(region);

  if (rv == 0) {
    if (entry.kind == RLC_ENTRY_BAN) {
      entry.until_us += now_us;
    }
    rv = put(region, &entry, now_us);
    rlc__index_unlock(region);
  }
  return rv;
}

static int call_drop(rlc__region *region, const rlc__index_call *call, int64_t now_us) {
  int rv = rlc__index_lock(region);
  uint32_t at;

  if (rv != 0) {
    return rv;
  }
  sweep(region, now_us);
  if (call->entry->kind == RLC_ENTRY_BAN) {
    forget_denied(region, call->entry);
  }
  at = find(region, tag_of(region, call->entry), 0);
  if (at == NONE || rlc__index_record_at(region, at)->entry.gone) {
    rv = RLC_ERR_LOST;
  } else {
    rlc__index_area *area = region->index;
    rlc__index_record *record = rlc__index_record_at(region, at);

    rv = has_ended(&record->entry, now_us) ? RLC_ERR_LOST : 0;
    atomic_store_explicit(&record->version,
                          atomic_load_explicit(&area->version, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    record->entry.gone = 1;
    --area->live;
    area->bans -= record->entry.kind == RLC_ENTRY_BAN;
    atomic_fetch_add_explicit(&area->version, 1, memory_order_release);
  }
  rlc__index_unlock(region);
  return rv;
}

static int call_denied(rlc__region *region, rlc__index_call *call, int64_t now_us) {
  for (size_t i = 0; i < call->n; ++i) {
    int rv = rlc__index_lock(region); /* for each anew: others wait for one at most */

    if (rv != 0) {
      return rv;
    }
    call->dropped += count_denied(region, &call->denials[i], now_us);
    rlc__index_unlock(region);
  }
  return 0;
}

/* Counts the news, and copies as many as there is room for. Sets |*version| and |*all|. */
static uint32_t copy_news(const rlc__region *region, uint64_t since, int64_t now_us,
                          rlc__entry *room, uint32_t most, uint64_t *version, int *all) {
  uint32_t n = rlc__index_records(region);
  uint32_t count = 0;

  *version = rlc__table_index_version(region);
  *all = since == 0 || since < region->index->floor || since > *version;
  for (uint32_t i = 0; (*all || since < *version) && i < n; ++i) {
    rlc__entry entry;

    if (tag_at(region, i) == 0 || (!*all && version_at(region, i) <= since) ||
        !take(region, i, &entry)) {
      continue;
    }
    entry.gone |= has_ended(&entry, now_us);
    if (*all && entry.gone) {
      continue;
    }
    if (count < most) {
      room[count] = entry;
    }
    ++count;
  }
  return count;
}

/* Copies first, and tells without the lock. */
static int call_news(rlc__region *region, const rlc_memory *memory, rlc__index_call *call,
                     int64_t now_us) {
  rlc__entry *room = NULL;
  uint32_t most = 0;
  uint32_t count;
  uint64_t version;
  int all;

  for (;;) {
    int rv = rlc__index_lock(region);

    if (rv == 0) {
      count = copy_news(region, call->version, now_us, room, most, &version, &all);
      rlc__index_unlock(region);
    }
    if (rv == 0 && count <= most) {
      break;
    }
    rlc__free(memory, room);
    if (rv != 0) {
      return rv;
    }
    most = count + LEAST_ENTRIES < rlc__index_records(region) ? count + LEAST_ENTRIES
                                                              : rlc__index_records(region);
    room = rlc__calloc(memory, most, sizeof *room);
    if (room == NULL) {
      return RLC_ERR_NOMEM;
    }
  }
  call->version = version;
  call->all = all;
  call->store_now_us = now_us;
  for (uint32_t i = 0; i < count; ++i) {
    call->fn(&room[i], call->user);
  }
  rlc__free(memory, room);
  return 0;
}

uint64_t rlc__table_index_version(const rlc__region *region) {
  return atomic_load_explicit(&region->index->version, memory_order_acquire);
}

int rlc__table_index(rlc__region *region, const rlc_memory *memory, rlc__index_call *call) {
  int64_t now_us = call->now_us != 0 ? call->now_us : rlc__region_now_us(region);

  call->dropped = 0;
  if (!rlc__index_call_ok(call)) {
    return RLC_ERR_INVALID;
  }
  switch (call->op) {
  case RLC__INDEX_PUT:
    return call_put(region, call, now_us);
  case RLC__INDEX_DROP:
    return call_drop(region, call, now_us);
  case RLC__INDEX_DENIED:
    return call_denied(region, call, now_us);
  case RLC__INDEX_NEWS:
    break;
  }
  return call_news(region, memory, call, now_us);
}
