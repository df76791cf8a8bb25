/* SPDX-License-Identifier: Apache-2.0 */
#include "store/redis_index.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "store/redis_index_codec.h"

#define FIXED_KEYS 4u /* of index.lua; news has two of them */
#define NEWS_KEYS 2u
#define MOST_KEYS (FIXED_KEYS + RLC__INDEX_BATCH)
/* Pages of one answer. All entries, and all that was dropped, are fewer; the rest is room for what
 * changes meanwhile. */
#define MOST_PAGES 200
/* The most bytes that are kept meanwhile. */
#define MOST_BYTES ((size_t)8 * 1024 * 1024)

_Static_assert(MOST_KEYS <= RLC__SCRIPT_KEYS, "a command has room for a batch");

/* One call: its commands one after the other. */
typedef struct work {
  rlc__client *client;
  const rlc__keyname *names;
  rlc__index_call *call;
  char *why;
  rlc__request request;
  rlc__bytes key[MOST_KEYS];
  char text[MOST_KEYS][RLC__KEYNAME_SIZE];
  size_t keys;
  unsigned char arg[RLC__INDEX_ARG_SIZE];
  char now[24];
  rlc__bytes args[2];
} work;

/* A reply that is kept until all have come. */
typedef struct kept {
  struct kept *next;
  redisReply *reply;
  rlc__index_page page;
} kept;

static void add_key(work *w, char tag, const char *tail, size_t tail_len) {
  rlc__bytes *key = &w->key[w->keys];

  key->at = w->text[w->keys];
  key->len = rlc__keyname_format_index(w->names, tag, tail, tail_len, w->text[w->keys]);
  ++w->keys;
}

/* The key of what is known of a hash's denials by a limit. */
static void add_denied(work *w, const char hash[RLC__ENTRY_HASH], const char *name) {
  char tail[RLC__ENTRY_HASH + RLC_MAX_NAME];
  size_t len = strnlen(name, RLC_MAX_NAME);

  memcpy(tail, hash, RLC__ENTRY_HASH);
  memcpy(tail + RLC__ENTRY_HASH, name, len);
  add_key(w, 'd', tail, RLC__ENTRY_HASH + len);
}

static void name_keys(work *w) {
  static const char tags[FIXED_KEYS] = {'e', 'v', 'u', 'g'};
  const rlc__index_call *call = w->call;

  w->keys = 0;
  for (size_t i = 0; i < (call->op == RLC__INDEX_NEWS ? NEWS_KEYS : FIXED_KEYS); ++i) {
    add_key(w, tags[i], "", 0);
  }
  if (call->op == RLC__INDEX_DENIED) {
    for (size_t i = 0; i < call->n; ++i) {
      add_denied(w, call->denials[i].hash, call->denials[i].name);
    }
  } else if (call->op == RLC__INDEX_DROP && call->entry->kind == RLC_ENTRY_BAN) {
    add_denied(w, call->entry->hash, call->entry->name);
  }
}

/* Runs the script on |arg|; something must end the request. Returns 0 or an rlc__error. */
static int run(work *w, size_t arg_len) {
  rlc__request *r = &w->request;

  w->args[0] = (rlc__bytes){(const char *)w->arg, arg_len};
  w->args[1] = (rlc__bytes){w->now, strlen(w->now)};
  memset(r, 0, sizeof *r);
  r->script = &rlc__script_index;
  r->keys = w->key;
  r->n_keys = w->keys;
  r->args = w->args;
  r->n_args = w->now[0] != '\0' ? 2 : 1;
  r->deadline_us = w->call->deadline_us;
  if (rlc__client_begin(w->client, r) == RLC_PENDING) {
    rlc__client_wait(w->client, r);
  }
  if (r->error != 0) {
    memcpy(w->why, r->why, RLC_MESSAGE_SIZE);
  }
  return r->error;
}

static int misfit(const work *w) {
  return rlc__fail(RLC__ERR_PROTOCOL, w->why, RLC_MESSAGE_SIZE,
                   "redis at %s: the answer to index does not have the form that this library "
                   "expects",
                   rlc__client_name(w->client));
}

/* --- news ---------------------------------------------------------------------------------- */

static void drop_pages(const rlc_memory *memory, kept **first) {
  while (*first != NULL) {
    kept *k = *first;

    *first = k->next;
    freeReplyObject(k->reply);
    rlc__free(memory, k);
  }
}

/* Asks for one page and keeps it behind |*end|. */
static int ask_page(work *w, const rlc_memory *memory, uint64_t seen, uint64_t cursor, kept **end) {
  kept *k = rlc__calloc(memory, 1, sizeof *k);
  int rv;

  if (k == NULL) {
    return RLC_ERR_NOMEM;
  }
  rv = run(w, rlc__index_encode(w->call, seen, cursor, w->arg));
  if (rv == 0) {
    k->reply = w->request.reply;
    w->request.reply = NULL;
    if (rlc__index_decode(k->reply, &k->page) != 0) {
      rv = misfit(w);
    }
  }
  rlc__client_end(w->client, &w->request);
  if (rv != 0) {
    if (k->reply != NULL) {
      freeReplyObject(k->reply);
    }
    rlc__free(memory, k);
    return rv;
  }
  *end = k;
  return 0;
}

/* Reads pages until there is no more. Each asks for what lies behind the one before, and is answered
 * only if the server still knows the version of that; else it begins anew with all. */
static int read_news(work *w, const rlc_memory *memory) {
  rlc__index_call *call = w->call;
  uint64_t seen = call->version;
  uint64_t cursor = seen;
  kept *first = NULL;
  kept **end = &first;
  size_t bytes = 0;
  int all = 0;
  int more = 1;
  int rv = 0;

  for (int i = 0; rv == 0 && more && i < MOST_PAGES; ++i) {
    rv = ask_page(w, memory, seen, cursor, end);
    if (rv == 0) {
      kept *k = *end;

      if (k->page.all) {
        all = 1;
        *end = NULL;
        drop_pages(memory, &first);
        first = k;
        bytes = 0;
      } else if (k->page.cursor < cursor) {
        rv = misfit(w);
      }
      bytes += k->page.left;
      rv = rv == 0 && bytes > MOST_BYTES ? misfit(w) : rv;
      end = &k->next;
      seen = k->page.version;
      cursor = k->page.cursor;
      more = k->page.more;
      call->store_now_us = k->page.now_us;
    }
  }
  if (rv == 0 && more) {
    rv = rlc__fail(RLC__ERR_UNAVAILABLE, w->why, RLC_MESSAGE_SIZE,
                   "redis at %s: the index changes faster than it can be read",
                   rlc__client_name(w->client));
  }
  if (rv == 0) {
    call->version = seen;
    call->all = all;
    for (kept *k = first; k != NULL; k = k->next) {
      rlc__entry entry;

      k->page.now_us = call->store_now_us;
      while (rlc__index_next(&k->page, &entry)) {
        call->fn(&entry, call->user);
      }
    }
  }
  drop_pages(memory, &first);
  return rv;
}

/* --- changes ------------------------------------------------------------------------------- */

static int change(work *w) {
  rlc__index_call *call = w->call;
  int rv = run(w, rlc__index_encode(call, 0, 0, w->arg));
  int answer = 0;

  if (rv == 0) {
    answer = rlc__index_answer(w->request.reply,
                               call->op == RLC__INDEX_DENIED ? (int)call->n : 1);
    if (answer < 0) {
      rv = misfit(w);
    }
  }
  rlc__client_end(w->client, &w->request);
  if (rv != 0) {
    return rv;
  }
  switch (call->op) {
  case RLC__INDEX_PUT:
    return answer == 1 ? 0 : RLC_ERR_FULL;
  case RLC__INDEX_DROP:
    return answer == 1 ? 0 : RLC_ERR_LOST;
  case RLC__INDEX_DENIED:
    call->dropped = (size_t)answer;
    break;
  case RLC__INDEX_NEWS:
    break;
  }
  return 0;
}

int rlc__redis_index(rlc__client *client, const rlc__keyname *names, const rlc_memory *memory,
                     rlc__index_call *call, char *why) {
  work w;

  w.client = client;
  w.names = names;
  w.call = call;
  w.why = why;
  w.now[0] = '\0';
  if (call->now_us > 0) {
    snprintf(w.now, sizeof w.now, "%" PRId64, call->now_us);
  }
  call->dropped = 0;
  if (call->op == RLC__INDEX_DENIED && call->n == 0) {
    return 0;
  }
  if (!rlc__index_call_ok(call)) {
    return RLC_ERR_INVALID;
  }
  name_keys(&w);
  return call->op == RLC__INDEX_NEWS ? read_news(&w, memory) : change(&w);
}
