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
  uint64_t version;      /* in: 0 asks for all; out: of what was told */
  int all;               /* out: what was told is all there is, nothing of before holds any more */
  int64_t store_now_us;  /* out: the store's time */
  void (*fn)(const rlc__entry *entry, void *user); /* after the store has answered in full */
  void *user;
  int64_t deadline_us;   /* CLOCK_MONOTONIC, as a call's */
  int64_t now_us;        /* a test's time, or 0 */
} rlc__index_call;

#endif
