/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Uses the index of a store in Redis as its stdin says, with the server's clock: what topologies are
 * tried with. It keeps a copy of the index by news alone.
 *
 *     indexer URL
 *
 *     put KEY POLICY      an override under the name "api"        -> rv
 *     drop KEY                                                    -> rv
 *     deny KEY COUNT      five within an hour ban it              -> rv
 *     news                                                        -> rv all KEY=POLICY ... KEY=ban/LEVEL ...
 *
 * KEY is at most 40 letters; it is the display name too, by which news tells of it.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "store/store.h"

#define PATIENCE_US INT64_C(5000000)
#define HOUR_US INT64_C(3600000000)
#define MOST 1000

static rlc__store *store;
static rlc__entry known[MOST];
static size_t n_known;
static uint64_t version;
static int begins;

static void die(const char *what, const char *why) {
  fprintf(stderr, "indexer: %s: %s\n", what, why);
  exit(2);
}

static void open_store(const char *text) {
  rlc_options *options;
  rlc__url *url;
  char why[RLC_MESSAGE_SIZE];

  if (rlc_options_new(&options, NULL) != 0 ||
      rlc__url_new(&url, text, rlc__memory_or_default(NULL), why, sizeof why) != 0 ||
      rlc__redis_store_new(&store, url, options, why, sizeof why) != 0) {
    die(text, why);
  }
  rlc_options_del(options);
  rlc__url_del(url);
}

static int same(const rlc__entry *a, const rlc__entry *b) {
  return a->kind == b->kind && memcmp(a->hash, b->hash, sizeof a->hash) == 0;
}

static void learn(const rlc__entry *e, void *user) {
  const rlc__index_call *call = user;
  size_t i = 0;

  if (begins && call->all) {
    n_known = 0;
  }
  begins = 0;
  while (i < n_known && !same(&known[i], e)) {
    ++i;
  }
  if (i == n_known && !e->gone) {
    n_known += n_known < MOST;
  }
  if (e->gone && i < n_known) {
    known[i] = known[--n_known];
  } else if (!e->gone) {
    known[i] = *e;
  }
}

static int run(rlc__index_call *call) {
  call->deadline_us = rlc__clock_monotonic_us() + PATIENCE_US;
  return store->ops->index(store, call);
}

static void read_news(void) {
  rlc__index_call call;
  int rv;

  memset(&call, 0, sizeof call);
  call.op = RLC__INDEX_NEWS;
  call.version = version;
  call.fn = learn;
  call.user = &call;
  begins = 1;
  rv = run(&call);
  if (rv == 0) {
    version = call.version;
    n_known = begins && call.all ? 0 : n_known;
  }
  printf("%d %d", rv, call.all);
  for (size_t i = 0; i < n_known; ++i) {
    if (known[i].kind == RLC_ENTRY_BAN) {
      printf(" %s=ban/%u", known[i].display, known[i].level);
    } else {
      printf(" %s=%s", known[i].display, known[i].policy);
    }
  }
}

static int change(rlc__index_op op, const char *key, const char *policy, unsigned count) {
  rlc__index_call call;
  rlc__entry entry;
  rlc__denials denials;
  size_t len = strlen(key);

  memset(&call, 0, sizeof call);
  memset(&entry, 0, sizeof entry);
  memset(&denials, 0, sizeof denials);
  call.op = op;
  call.entry = &entry;
  call.denials = &denials;
  call.n = 1;
  entry.kind = RLC_ENTRY_OVERRIDE;
  if (store->ops->identify(store, key, len, entry.hash) != 0) {
    die(key, "out of memory");
  }
  memcpy(denials.hash, entry.hash, sizeof entry.hash);
  strcpy(entry.name, "api");
  strcpy(denials.name, "api");
  snprintf(entry.policy, sizeof entry.policy, "%s", policy);
  memcpy(entry.display, key, len);
  memcpy(denials.display, key, len);
  entry.display_len = denials.display_len = (unsigned char)len;
  denials.count = count;
  denials.most = 5;
  denials.within_us = denials.first_us = HOUR_US;
  denials.longest_us = 16 * HOUR_US;
  return run(&call);
}

int main(int argc, char **argv) {
  char line[256];

  if (argc != 2) {
    die("usage", "indexer URL");
  }
  open_store(argv[1]);
  while (fgets(line, sizeof line, stdin) != NULL) {
    char verb[8] = "";
    char key[41] = "";
    char rest[100] = "";

    if (sscanf(line, "%7s %40s %99s", verb, key, rest) >= 1) {
      if (strcmp(verb, "put") == 0) {
        printf("%d", change(RLC__INDEX_PUT, key, rest, 0));
      } else if (strcmp(verb, "drop") == 0) {
        printf("%d", change(RLC__INDEX_DROP, key, "", 0));
      } else if (strcmp(verb, "deny") == 0) {
        printf("%d", change(RLC__INDEX_DENIED, key, "", (unsigned)strtoul(rest, NULL, 10)));
      } else {
        read_news();
      }
      putchar('\n');
      fflush(stdout);
    }
  }
  store->ops->del(store);
  return 0;
}
