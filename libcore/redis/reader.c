/* SPDX-License-Identifier: Apache-2.0 */
#include "redis/reader.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#if HIREDIS_MAJOR >= 1
typedef size_t element_count;
#else
typedef int element_count;
#endif

/* hiredis allocates an array when its header comes, however many elements that claims, and from 1.0
 * on lets arrays lie in arrays as deep as they like; then it frees them by recursion. */
static void *create_array(const redisReadTask *task, element_count elements) {
  rlc__reader *reader = task->privdata;
  int depth = 0;

  for (const redisReadTask *t = task; t != NULL && depth <= RLC__MAX_DEPTH; t = t->parent) {
    ++depth;
  }
  if ((size_t)elements > RLC__MAX_ELEMENTS || depth > RLC__MAX_DEPTH) {
    reader->oversized = 1;
    return NULL;
  }
  return reader->defaults->createArray(task, elements);
}

int rlc__reader_open(rlc__reader *reader, char *why, size_t why_size) {
  reader->hiredis = redisReaderCreate();
  if (reader->hiredis == NULL) {
    return rlc__fail(RLC__ERR_UNAVAILABLE, why, why_size, "out of memory");
  }
  reader->defaults = reader->hiredis->fn;
  reader->functions = *reader->hiredis->fn;
  reader->functions.createArray = create_array;
  reader->hiredis->fn = &reader->functions;
  reader->hiredis->privdata = reader;
  reader->oversized = 0;
  reader->received = 0;
  return 0;
}

void rlc__reader_close(rlc__reader *reader) {
  if (reader->hiredis != NULL) {
    redisReaderFree(reader->hiredis);
    reader->hiredis = NULL;
  }
}

int rlc__reader_feed(rlc__reader *reader, const char *bytes, size_t len, char *why,
                     size_t why_size) {
  reader->received += len;
  if (redisReaderFeed(reader->hiredis, bytes, len) != REDIS_OK) {
    return rlc__fail(RLC__ERR_UNAVAILABLE, why, why_size, "out of memory");
  }
  return 0;
}

int rlc__reader_has_surplus(const rlc__reader *reader) {
  return reader->hiredis->pos < reader->hiredis->len;
}

/* Whether the reader waits for the rest of a string that is longer than any reply may be. It has
 * then read the `$` and stands before the length. */
static int promises_too_much(const redisReader *hiredis) {
  char *end;

  if (hiredis->pos == 0 || hiredis->pos >= hiredis->len || hiredis->buf[hiredis->pos - 1] != '$') {
    return 0;
  }
  return strtoll(hiredis->buf + hiredis->pos, &end, 10) > RLC__MAX_REPLY && *end == '\r';
}

static int fault(const rlc__reader *reader, char *why, size_t why_size) {
  const redisReader *hiredis = reader->hiredis;

  if (reader->oversized) {
    return rlc__fail(RLC__ERR_PROTOCOL, why, why_size,
                     "the server answered with an array of more than %d elements or %d levels",
                     RLC__MAX_ELEMENTS, RLC__MAX_DEPTH);
  }
  if (hiredis->err == REDIS_ERR_OOM) {
    return rlc__fail(RLC__ERR_UNAVAILABLE, why, why_size, "out of memory");
  }
  /* hiredis' own words: of the answer it shows one byte, and that printable. */
  return rlc__fail(RLC__ERR_PROTOCOL, why, why_size,
                   "the server's answer is no Redis reply (%s)", hiredis->errstr);
}

int rlc__reader_next(rlc__reader *reader, redisReply **reply, char *why, size_t why_size) {
  void *whole = NULL;

  *reply = NULL;
  if (redisReaderGetReply(reader->hiredis, &whole) != REDIS_OK) {
    return fault(reader, why, why_size);
  }
  if (whole != NULL) {
    reader->received = 0;
    *reply = whole;
    return 0;
  }
  if (reader->received > RLC__MAX_REPLY || promises_too_much(reader->hiredis)) {
    return rlc__fail(RLC__ERR_PROTOCOL, why, why_size,
                     "the server answered with more than %d bytes", RLC__MAX_REPLY);
  }
  return 0;
}
