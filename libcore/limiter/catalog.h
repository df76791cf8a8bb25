/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_CATALOG_H
#define RLCORE_CATALOG_H

#include "policy/policy.h"
#include "store/index.h"

/*
 * This process's copy of a store's index. Many threads read it, without a lock, while one changes it;
 * what they read stays until they have left. A forked child begins with an empty one.
 */
typedef struct rlc__catalog rlc__catalog;

/* |seed| keys the places of entries, so that nobody can choose keys that share one. Returns 0 or
 * RLC_ERR_NOMEM. */
int rlc__catalog_new(rlc__catalog **out, const uint8_t seed[16], const rlc_memory *memory);
/* Nobody reads. */
void rlc__catalog_del(rlc__catalog *catalog);

/* --- reading ------------------------------------------------------------------------------- */

/* How many entries there are. One load. */
uint32_t rlc__catalog_entries(const rlc__catalog *catalog);

/* What there may be for limits of a name, as bits; never less than there is. */
enum {
  RLC__CATALOG_KEYS = 1,   /* bans or overrides */
  RLC__CATALOG_TIERS = 2,  /* policies of tiers */
  RLC__CATALOG_MEMBERS = 4 /* and keys that are members of tiers */
};
unsigned rlc__catalog_has(const rlc__catalog *catalog, const char *name, size_t name_len);

/* Who reads now. */
typedef struct rlc__reading {
  _Atomic uint32_t *inside; /* NULL: nobody */
} rlc__reading;

/* What is found between these two lives until the second. Neither waits. */
void rlc__catalog_enter(rlc__catalog *catalog, rlc__reading *reading);
void rlc__catalog_leave(rlc__reading *reading);

/* What the index says of a key under a limit's name. */
typedef struct rlc__found {
  int64_t until_us;         /* the end of its ban, by the store's clock; 0: it is not banned */
  const rlc_policy *policy; /* its override, or NULL */
} rlc__found;

rlc__found rlc__catalog_find(const rlc__catalog *catalog, const char hash[RLC__ENTRY_HASH],
                             const char *name, size_t name_len);
/* Returns the tier of which the key is a member, or NULL. */
const char *rlc__catalog_tier_of(const rlc__catalog *catalog, const char hash[RLC__ENTRY_HASH]);
/* Returns what limits of the name allow the tier, or NULL. */
const rlc_policy *rlc__catalog_tier(const rlc__catalog *catalog, const char *tier, const char *name,
                                    size_t name_len);

/* --- changing: one at a time ----------------------------------------------------------------- */

/* News begin: what is put from here on is told apart from what was there. */
void rlc__catalog_begin(rlc__catalog *catalog);
/* Takes |entry| in, or away where it is gone. A policy that this version cannot read is put aside:
 * RLC_ERR_POLICY, with the reason in |why|, the first time. RLC_ERR_INVALID for what is no entry of this
 * version, RLC_ERR_NOMEM. */
int rlc__catalog_put(rlc__catalog *catalog, const rlc__entry *entry, char *why, size_t why_size);
/* What was not put since the news began is gone. */
void rlc__catalog_keep_news(rlc__catalog *catalog);
/* Drops bans that ended long before |now_us|, and frees what nobody can still read. */
void rlc__catalog_tidy(rlc__catalog *catalog, int64_t now_us);

#endif
