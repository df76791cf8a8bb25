/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_BLOCKS_H
#define RLCORE_BLOCKS_H

#include "store/slots.h"

/*
 * Logs (algorithm/log.h) in a region. Words i * RLC__BLOCK_WORDS and up to the next block's are block i of
 * a log. All blocks of a log belong to the stripe of the first, in sets that follow each other, so that one
 * lock serves them all, and a log does not push itself out. Only blocks that hold a stamp exist, and the
 * first, which says how many to look for.
 *
 * A tag's low bits are the block's number and one; the others, 57 bits of the hash, tell keys apart. A head
 * is the microsecond at which the last stamp of the block means nothing any more (in the first block, of
 * the log), and in its low bits, of the first block, how many blocks there may be.
 *
 * All is read and written under the stripe's lock. What is written changes word by word: a process that is
 * killed inside leaves some of a decision that nobody was told of, which counts like one that was in
 * flight. A block's words are there before its tag is, and the first block says how many there are before
 * there are as many.
 */

/* Returns the place of the log that |hash| stands for. Its tag is that of the log's pin. */
rlc__place rlc__blocks_place(const rlc__region *region, uint64_t hash);

/* Fills |state|, of RLC__LOG_WORDS words, from the log at |place|. Returns how many blocks it may have. */
unsigned rlc__blocks_read(const rlc__region *region, const rlc__place *place, uint64_t *state);
/* Stores |state|, of a log of which read returned |had|. Inserts as rlc__narrow_insert does. */
void rlc__blocks_write(rlc__region *region, const rlc__place *place, const uint64_t *state,
                       unsigned had, int64_t now_us, const rlc__pins *pins);
/* Forgets the log, also what the loss of its first block has left. */
void rlc__blocks_clear(rlc__region *region, const rlc__place *place);

/* Returns how many blocks of |stripe| are used. */
uint64_t rlc__blocks_count(const rlc__region *region, unsigned stripe);

#endif
