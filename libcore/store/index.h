/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_INDEX_H
#define RLCORE_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "rlcore/rlcore.h"

/*
 * The index of a store: bans, overrides, tiers and members, bounded by RLC_MAX_ENTRIES, with a version
 * that grows with each change, so that a process asks for what is new. Times are the store's own.
 *
 * What a policy's `ban=` counts lies beside it in the store: denials within a window, and how often the
 * key was banned before. Denials come in batches; only the ban is an entry.
 *
 *     An entry is known by its kind and by the key's hash (member), the hash and the limit's name (ban,
 *     override), or the tier and the limit's name (tier).
 *     A ban holds while now < until. Ended, it counts as gone; later changes clear it away, a few at a
 *     time, without another version: who was told of it knows its end, who was not is told all.
 *     Whatever else changes has a version of its own. What was dropped is remembered for a while, so that
 *     it is among the news; a version before what was forgotten, or of another past (the store lost its
 *     last changes, or all), is told all there is.
 *     A window of denials begins with the first and ends |within_us| later. At |most| or more within it
 *     the key is banned: for |first_us| doubled for each earlier ban still remembered, |longest_us| at
 *     most. The ban is remembered, after its end, for as long as it was, then the next is the first again.
 *     While the key is banned nothing is counted; the window is over with the ban.
 *     Where there is no room for a ban it is dropped, and the count kept: the next denial tries again.
 *     Where nine of ten places are bans there is none, so that people can still set what they want.
 *     If the clock goes back, a window begins now at the latest, and memory lasts for twice the longest
 *     ban at most.
 *
 * A store that loses part of it (an eviction, a damaged file) may have lost bans; nothing else follows.
 */

/* base64url characters of a key's hash, without a NUL. */
#define RLC__ENTRY_HASH 16

typedef struct rlc__entry {
  rlc_entry_kind kind;
  char hash[RLC__ENTRY_HASH];    /* zeroes for a tier */
  char name[RLC_MAX_NAME + 1];   /* limit; "" for a member */
  char tier[RLC_MAX_NAME + 1];   /* tier, member */
  char policy[RLC_ENTRY_POLICY]; /* override, tier: canonical text */
  char display[RLC_MAX_DISPLAY + 1];
  unsigned char display_len;     /* any bytes */
  int64_t until_us;              /* ban: the store's time; 0 for the others */
  uint32_t level;
  int gone;                      /* among news: the entry was taken away (or is past its end) */
} rlc__entry;

/* Denials of one key under one limit. */
typedef struct rlc__denials {
  char hash[RLC__ENTRY_HASH];
  char name[RLC_MAX_NAME + 1];
  uint32_t count;
  uint32_t most;                 /* banned at so many ... */
  int64_t within_us;             /* ... in a window of this length, from its first denial on */
  int64_t first_us;              /* the length of the first ban; each that follows is twice as long */
  int64_t longest_us;            /* ... and at most this */
  char display[RLC_MAX_DISPLAY];
  unsigned char display_len;
} rlc__denials;

typedef enum rlc__index_op {
  RLC__INDEX_PUT,     /* |entry|: makes or replaces it; of a ban |until_us| is the length, from now on */
  RLC__INDEX_DROP,    /* |entry| (kind, hash, name, tier): takes it away; RLC_ERR_LOST where there is none.
                         Of a ban also what was counted. */
  RLC__INDEX_NEWS,    /* what has changed since |version|, by |fn|; then |version|, |now_us|, |all| */
  RLC__INDEX_DENIED   /* |denials| of |n|, which may make bans */
} rlc__index_op;

/* The most denials of one call. */
#define RLC__INDEX_BATCH 64

typedef struct rlc__index_call {
  rlc__index_op op;
  const rlc__entry *entry;
  const rlc__denials *denials;
  size_t n;
  size_t dropped;        /* out, of denied: bans for which there was no room */
  uint64_t version;      /* in: 0 asks for all; out: of what was told */
  int all;               /* out: what was told is all there is, nothing of before holds any more */
  int64_t store_now_us;  /* out: the store's time */
  /* Given each entry of the news, when the store has answered in full and the members above are set. One
   * that changed meanwhile may come twice: the later holds. No lock is held. */
  void (*fn)(const rlc__entry *entry, void *user);
  void *user;
  int64_t deadline_us;   /* CLOCK_MONOTONIC, as a call's */
  int64_t now_us;        /* a test's time, or 0 */
} rlc__index_call;

/* Whether every member is as it has to be: what another program has written is not taken on trust. A
 * limit without a name is named by the policy's id, so a name here may begin with any of its letters. */
int rlc__entry_ok(const rlc__entry *entry);
/* Whether |call| has nothing in it that a reader would refuse, which would spoil the index for all. */
int rlc__index_call_ok(const rlc__index_call *call);

/* What is known of a key that was denied; zeroes: nothing. */
typedef struct rlc__denied {
  int64_t began_us;    /* the window */
  int64_t forgiven_us; /* until then bans are remembered; 0: none is */
  uint32_t count;      /* denials in the window */
  uint32_t level;      /* bans in a row */
} rlc__denied;

/* Adds |denials| of a key that is not banned. Returns whether it is to be now. */
int rlc__denied_count(rlc__denied *known, const rlc__denials *denials, int64_t now_us);
/* Bans it: |known->level| is the ban's. Returns its end. */
int64_t rlc__denied_ban(rlc__denied *known, const rlc__denials *denials, int64_t now_us);
/* Returns when |known| means nothing any more. */
int64_t rlc__denied_expiry(const rlc__denied *known, int64_t within_us);

#endif
