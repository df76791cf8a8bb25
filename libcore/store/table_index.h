/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_TABLE_INDEX_H
#define RLCORE_TABLE_INDEX_H

#include "store/index.h"
#include "store/region.h"

/*
 * The index of a table: an area of its region, with a lock of its own.
 *
 * A record is an entry; beside the records lie their tags, keyed hashes of what the entries are known by,
 * 0 where a record is free. An entry is found by looking through the tags, which at the most entries
 * takes some microseconds; changes are rare, and who reads news looks at the version first, without the
 * lock. A dropped entry keeps its record until that is needed.
 *
 * A record that is to replace another is written whole before its tag is, and the other's tag is taken
 * away last. So a holder killed at any instruction leaves the old entry, the new one, or both; the next to
 * take the lock finds that it was |busy|, keeps the newer of two, counts anew, and has everybody read all.
 *
 * What is known of denied keys lies in sets of eight; where one is full, who is forgotten first gives way.
 */

typedef struct rlc__index_area rlc__index_area;

typedef struct rlc__index_record {
  _Atomic uint64_t version;
  rlc__entry entry; /* its |gone|: dropped */
} rlc__index_record;

#define RLC__DENIED_WAYS 8u
typedef struct rlc__index_denied {
  _Atomic uint64_t tag; /* 0: empty */
  int64_t expiry_us;
  rlc__denied known;
} rlc__index_denied;

struct rlc__index_area {
  rlc__lock lock; /* where the region's locks are its own, another is used */
  _Atomic uint64_t version;
  uint8_t line[56]; /* the version is read at every turn, the rest under the lock */
  _Atomic uint32_t busy;
  uint32_t live;    /* entries, ended bans too */
  uint32_t sweep;   /* where clearing ended bans away goes on */
  uint32_t bans;    /* of |live| */
  uint64_t floor;   /* the oldest version that can be told what is new */
  int64_t ends_us;  /* no ban ends before */
  uint8_t rest[32];
};

/* The most entries of a table of |slots|. */
uint32_t rlc__index_area_entries(uint64_t slots);
/* Bytes of the area, a multiple of 64. */
size_t rlc__index_area_size(uint64_t slots);
rlc__lock *rlc__index_area_lock(rlc__index_area *area);
/* Whoever takes the lock next looks whether all is as it has to be. */
void rlc__index_doubt(rlc__index_area *area);

/* The tags, records and denied keys of an area. */
uint32_t rlc__index_records(const rlc__region *region);
_Atomic uint64_t *rlc__index_tags(const rlc__region *region);
rlc__index_record *rlc__index_record_at(const rlc__region *region, uint32_t i);

/* The operations of store.h on a region. */
void rlc__table_identify(const rlc__region *region, const void *key, size_t key_len,
                         char hash[RLC__ENTRY_HASH]);
int rlc__table_index(rlc__region *region, const rlc_memory *memory, rlc__index_call *call);
uint64_t rlc__table_index_version(const rlc__region *region);

/* For tests, which die in between. Returns 0 or RLC__ERR_UNAVAILABLE. */
int rlc__index_lock(rlc__region *region);
void rlc__index_unlock(rlc__region *region);

#endif
