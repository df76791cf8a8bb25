/* SPDX-License-Identifier: Apache-2.0 */

/* Bytes from a server. The first byte of the input says in what pieces the others arrive; what
 * comes of them must be what comes of all at once. Each reply is read as an answer of every kind.
 * */

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "check.h"
#include "redis/reader.h"
#include "store/redis_codec.h"
#include "store/redis_index_codec.h"

#define MOST_REPLIES 64

/* --- the reader ---------------------------------------------------------------------------- */

typedef struct outcome {
  redisReply *reply[MOST_REPLIES];
  size_t n;
  int error;
} outcome;

/* Takes out what is there. Returns whether to go on. */
static int take_replies(rlc__reader *reader, outcome *o, char *why) {
  while (o->n < MOST_REPLIES) {
    o->error = rlc__reader_next(reader, &o->reply[o->n], why, RLC_MESSAGE_SIZE);
    if (o->error != 0) {
      CHECK(o->error == RLC__ERR_PROTOCOL);
      CHECK(o->reply[o->n] == NULL && why[0] != '\0');
      check_printable(why, RLC_MESSAGE_SIZE);
      return 0;
    }
    if (o->reply[o->n] == NULL) {
      return 1;
    }
    ++o->n;
  }
  return 0;
}

/* Feeds |bytes| in pieces of at most |piece|. */
static void read_all(const char *bytes, size_t len, size_t piece, outcome *o) {
  char why[RLC_MESSAGE_SIZE] = "";
  rlc__reader reader = {0};

  memset(o, 0, sizeof *o);
  CHECK(rlc__reader_open(&reader, why, sizeof why) == 0);
  CHECK(!rlc__reader_has_surplus(&reader));
  for (size_t at = 0; at < len; at += piece) {
    CHECK(rlc__reader_feed(&reader, bytes + at, len - at < piece ? len - at : piece, why,
                           sizeof why) == 0);
    if (!take_replies(&reader, o, why)) {
      break;
    }
  }
  rlc__reader_close(&reader);
}

/* Both are equal, and within the bounds. */
static void check_equal(const redisReply *a, const redisReply *b, int depth) {
  CHECK(a != NULL && b != NULL);
  CHECK(a->type == b->type && a->integer == b->integer && a->len == b->len);
  CHECK((a->str == NULL) == (b->str == NULL));
  CHECK(a->str == NULL || (memcmp(a->str, b->str, a->len) == 0 && a->str[a->len] == '\0'));
  if (a->type == REDIS_REPLY_ARRAY) {
    CHECK(a->elements == b->elements && a->elements <= RLC__MAX_ELEMENTS);
    CHECK(depth < RLC__MAX_DEPTH);
    for (size_t i = 0; i < a->elements; ++i) {
      check_equal(a->element[i], b->element[i], depth + 1);
    }
  }
}

/* --- decisions ----------------------------------------------------------------------------- */

#define POLICIES 11
#define CALENDAR POLICIES

/* Some of each algorithm, single and stacked; one whose tick is no microsecond, one whose count
 * does not fit into the short reply; and behind them one of the calendar. */
static rlc_policy *policy(size_t i) {
  static const char *const texts[POLICIES + 1] = {
      "100/min",
      "7/10min",
      "100/min algorithm=fixed-window",
      "1000000000/30day algorithm=fixed-window",
      "100/min algorithm=sliding-window",
      "10/s,1000/h",
      "10/min algorithm=sliding-log",
      "10/s,100/h algorithm=sliding-log",
      "20/30s algorithm=concurrency",
      "10/s,1000/h debt=50",
      "100/min algorithm=sliding-window debt=50",
      "100/month algorithm=fixed-window anchor=31",
  };
  static rlc_policy *made[POLICIES + 1];

  if (made[i] == NULL) {
    char why[RLC_MESSAGE_SIZE] = "";

    if (rlc_policy_new(&made[i], NULL, texts[i], NULL, why, sizeof why) != 0) {
      check_failed(why, texts[i], 0);
    }
  }
  return made[i];
}

static void check_decoding(const redisReply *reply, rlc__op op, size_t first, size_t n) {
  static unsigned char arg[RLC__CODEC_ARG_SIZE];
  rlc__item items[POLICIES];
  rlc__call call = {.op = op, .items = items, .n = n};
  rlc__command command;

  memset(items, 0, sizeof items);
  for (size_t i = 0; i < n; ++i) {
    items[i].policy = policy(first + i);
    items[i].cost = 1;
  }
  rlc__codec_encode(&call, 0, 1700000000000000, arg, &command);
  CHECK(command.arg_len <= sizeof arg);
  if (rlc__codec_elsewhen(&command, reply) != 0) {
    CHECK(first == CALENDAR && rlc__codec_elsewhen(&command, reply) > 0);
    CHECK(rlc__codec_decode(&command, &call, reply) != 0);
    return;
  }
  if (rlc__codec_decode(&command, &call, reply) != 0) {
    return;
  }
  for (size_t i = 0; i < n; ++i) {
    CHECK(items[i].result.source == RLC_SOURCE_STORE);
    CHECK(items[i].result.remaining <= items[i].result.limit);
    CHECK(items[i].result.charged <= items[i].cost);
  }
  if (op == RLC__OP_GRANT && items[0].result.charged > 0) {
    CHECK(rlc__codec_undo(&call, reply, items[0].result.charged - 1) >= 0);
    CHECK(items[0].cost == 1);
  }
}

static void check_decodings(const redisReply *reply) {
  for (size_t i = 0; i < POLICIES; ++i) {
    check_decoding(reply, RLC__OP_CHECK, i, 1);
    check_decoding(reply, RLC__OP_PEEK, i, 1);
    check_decoding(reply, RLC__OP_CHARGE, i, 1);
    check_decoding(reply, RLC__OP_RENEW, i, 1);
    check_decoding(reply, RLC__OP_CHECK, i, POLICIES - i);
    check_decoding(reply, RLC__OP_GRANT, i, 1);
    check_decoding(reply, RLC__OP_TAKE_BACK, i, 1);
  }
  check_decoding(reply, RLC__OP_CHECK, CALENDAR, 1);
  check_decoding(reply, RLC__OP_PEEK, CALENDAR, 1);
  check_decoding(reply, RLC__OP_CHARGE, CALENDAR, 1);
}

/* --- the index ------------------------------------------------------------------------------- */

/* All entries of a page that was found good are entries, and can be put again. */
static void check_index(const redisReply *reply) {
  static unsigned char arg[RLC__INDEX_ARG_SIZE];
  rlc__index_page page;
  rlc__entry entry;
  size_t n = 0;

  CHECK(rlc__index_answer(reply, 64) >= -1 && rlc__index_answer(reply, 64) <= 64);
  if (rlc__index_decode(reply, &page) != 0) {
    return;
  }
  CHECK(page.cursor <= page.version && page.now_us >= 0);
  while (rlc__index_next(&page, &entry)) {
    rlc__index_call call = {.op = entry.gone ? RLC__INDEX_DROP : RLC__INDEX_PUT, .entry = &entry};

    CHECK(rlc__entry_ok(&entry) && rlc__index_call_ok(&call));
    CHECK(rlc__index_encode(&call, 0, 0, arg) <= sizeof arg);
    CHECK(entry.name[RLC_MAX_NAME] == '\0' && entry.display_len <= RLC_MAX_DISPLAY);
    ++n;
  }
  CHECK(page.left == 0 && n <= (size_t)reply->len);
}

/* --- the target ---------------------------------------------------------------------------- */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static outcome whole, pieces; /* too large for some stacks */
  const char *bytes = (const char *)data + 1;

  if (size < 2) {
    return 0;
  }
  read_all(bytes, size - 1, size, &whole);
  read_all(bytes, size - 1, 1 + (size_t)data[0] % 64, &pieces);
  /* A string that is too long is told by its promise, which a piece may hide: it is then waited
   * for. */
  CHECK(pieces.n == whole.n);
  CHECK(pieces.error == 0 || pieces.error == whole.error);
  for (size_t i = 0; i < whole.n; ++i) {
    check_equal(whole.reply[i], pieces.reply[i], 0);
    check_topology(whole.reply[i]);
    check_decodings(whole.reply[i]);
    check_index(whole.reply[i]);
    freeReplyObject(whole.reply[i]);
    freeReplyObject(pieces.reply[i]);
  }
  return 0;
}
