/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_KEYNAME_H
#define RLCORE_KEYNAME_H

#include <openssl/evp.h>
#include <stddef.h>

#include "rlcore/rlcore.h"

/*
 * The names of Redis keys:  <prefix>:{<hash>}:<tag><limit name>
 * and those of a group:     <prefix>:{<hash of group>}<hash>:<tag><limit name>
 *
 * The hash is the base64url text (RFC 4648 section 5, no padding) of the first 12 bytes of
 * HMAC-SHA-256(secret, partition key), or of SHA-256(partition key) without a secret. It hides the
 * key, bounds the length of the name, and is the same in every program that shares a limit. A group
 * is hashed as a key is. What stands in the braces chooses the slot of a cluster: all limits of one
 * partition key share one, as do all of a group, and those without a group whose key is its text.
 *
 * The tag is one letter: b, f, s, l or c for token bucket, fixed window, sliding window, sliding log or
 * concurrency, in upper case for a policy with more than one rate, whose state has another format. t and T were token buckets
 * whose state did not say at which rate it refills: with them every key begins anew.
 *
 * The index has keys of its own, which share a slot:  <prefix>:{index}:<tag>...
 * No hash is five letters long.
 */

#define RLC__KEYNAME_PREFIX 32
#define RLC__KEYNAME_HASH 16
/* "prefix:{group}hash:bname" and a NUL. */
#define RLC__KEYNAME_SIZE (RLC__KEYNAME_PREFIX + 2 * RLC__KEYNAME_HASH + RLC_MAX_NAME + 6)

/* What is the same for all keys of a store, computed once. Immutable: threads share it. */
typedef struct rlc__keyname rlc__keyname;

/* |prefix| has at most RLC__KEYNAME_PREFIX bytes. |secret| NULL: none. The secret itself is not
 * kept. Returns 0, RLC_ERR_INVALID or RLC_ERR_NOMEM. */
int rlc__keyname_new(rlc__keyname **out, const char *prefix, const void *secret,
                     size_t secret_size, const rlc_memory *memory);
void rlc__keyname_del(rlc__keyname *names);

/* Fills |hash| for |key|, a partition key or a group. |work| is any context that no other thread uses
 * meanwhile; given again it saves the making. Returns 0 or RLC_ERR_NOMEM. */
int rlc__keyname_hash(const rlc__keyname *names, EVP_MD_CTX *work, const void *key, size_t key_len,
                      char hash[RLC__KEYNAME_HASH]);
/* Returns the tag letter for a policy with |rates| rates. */
char rlc__keyname_tag(rlc_algorithm algorithm, unsigned rates);
/* Writes the Redis key's name, with a NUL behind it, and returns its length. |group| is the hash of the
 * limit's group, or NULL; |name|, of at most RLC_MAX_NAME bytes, is the limit's. */
size_t rlc__keyname_format(const rlc__keyname *names, const char *group,
                           const char hash[RLC__KEYNAME_HASH], char tag, const char *name,
                           size_t name_len, char buf[RLC__KEYNAME_SIZE]);

/* The same for a key of the index: |tail|, which may hold a hash and a limit's name, stands behind the
 * tag. */
size_t rlc__keyname_format_index(const rlc__keyname *names, char tag, const char *tail,
                                 size_t tail_len, char buf[RLC__KEYNAME_SIZE]);

/* Writes |len| bytes, a multiple of three, as base64url: four letters for three bytes, no NUL. */
void rlc__keyname_base64url(char *to, const unsigned char *from, size_t len);

#endif
