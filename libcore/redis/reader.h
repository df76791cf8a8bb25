/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_READER_H
#define RLCORE_READER_H

#include <hiredis/hiredis.h>
#include <stddef.h>

/*
 * hiredis' reader of replies, within bounds: bytes in, replies out. What a server can make it hold
 * is bounded whatever it sends. No socket is touched here.
 */

/* The most bytes, elements of one array, and arrays in arrays that a reply may have. The library's
 * own scripts answer with one array of some hundred numbers; CLUSTER SLOTS is the longest. */
#define RLC__MAX_REPLY (4 * 1024 * 1024)
#define RLC__MAX_ELEMENTS 20000
#define RLC__MAX_DEPTH 6

/* All zero: closed. An open one stays where it is, since hiredis points into it. */
typedef struct rlc__reader {
  redisReader *hiredis;
  redisReplyObjectFunctions functions; /* hiredis' own, but for bounded arrays */
  const redisReplyObjectFunctions *defaults;
  int oversized;   /* an array was refused */
  size_t received; /* bytes of the reply that is being read */
} rlc__reader;

/* Functions return 0, RLC__ERR_PROTOCOL or RLC__ERR_UNAVAILABLE (no memory) with a sentence in
 * |why|. After an error the reader is good for nothing but closing. */

int rlc__reader_open(rlc__reader *reader, char *why, size_t why_size);
/* A closed reader stays as it is. */
void rlc__reader_close(rlc__reader *reader);

/* Takes a copy of |len| bytes that have arrived. */
int rlc__reader_feed(rlc__reader *reader, const char *bytes, size_t len, char *why,
                     size_t why_size);
/* Stores the next whole reply, the caller's to free, in |*reply|; NULL where more bytes are needed
 * and after an error. */
int rlc__reader_next(rlc__reader *reader, redisReply **reply, char *why, size_t why_size);
/* Whether bytes are there that `next` has not made a reply of. */
int rlc__reader_has_surplus(const rlc__reader *reader);

#endif
