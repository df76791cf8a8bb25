/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_SIPHASH_H
#define RLCORE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

/* SipHash-1-3 of |len| bytes: a keyed hash whose collisions nobody can choose without the key. */
uint64_t rlc__siphash(const uint8_t key[16], const void *data, size_t len);

/*
 * SipHash-1-3 of two strings and a number, without copying them together. Equal to rlc__siphash of
 *     |salt| (8 bytes), |alen| (8 bytes), |a| padded with zeros to a multiple of 8, |b|
 * with numbers in little-endian order: no two arguments give the same bytes. |a| or |b| may be NULL
 * where its length is 0.
 */
uint64_t rlc__siphash2(const uint8_t key[16], const void *a, size_t alen, const void *b,
                       size_t blen, uint64_t salt);

#endif
