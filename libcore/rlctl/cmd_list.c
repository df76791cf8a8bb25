/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "rlctl/rlctl.h"

#define COLUMNS 5

/* What is listed of a kind of entries. */
static const struct {
  rlc_entry_kind kind;
  const char *words;           /* as the command line has it */
  const char *word;            /* as JSON has it */
  const char *heads[COLUMNS];  /* of the columns; "" ends them, and who has no entry one has none */
} kinds[] = {
    {RLC_ENTRY_TIER, "tiers", "tier", {"tier", "name", "policy", "", ""}},
    {RLC_ENTRY_MEMBER, "members", "member", {"key", "tier", "who", "", ""}},
    {RLC_ENTRY_OVERRIDE, "overrides", "override", {"name", "key", "policy", "who", ""}},
    {RLC_ENTRY_BAN, "bans", "ban", {"name", "key", "left", "in a row", "who"}},
};

#define KINDS (sizeof kinds / sizeof *kinds)

typedef struct gathered {
  rlc_entry *entries;
  size_t n;
  size_t room;
  const char *only; /* one of |kinds|' words, or NULL */
} gathered;

static size_t place_of(rlc_entry_kind kind) {
  size_t i = 0;

  while (i < KINDS - 1 && kinds[i].kind != kind) {
    ++i;
  }
  return i;
}

static int gather(const rlc_entry *entry, void *user) {
  gathered *g = user;

  if (g->only != NULL && strcmp(g->only, kinds[place_of(entry->kind)].words) != 0) {
    return 0;
  }
  if (g->n == g->room) {
    size_t room = g->room > 0 ? 2 * g->room : 64;
    rlc_entry *more = realloc(g->entries, room * sizeof *more);

    if (more == NULL) {
      return RLC_ERR_NOMEM;
    }
    g->entries = more;
    g->room = room;
  }
  g->entries[g->n++] = *entry;
  return 0;
}

/* --- for people ---------------------------------------------------------------------------- */

/* What a table has of |entry| in |column|, as it is shown. */
static const char *cell(char buf[RLCTL_SHOWN], const rlc_entry *entry, const char *column) {
  FILE *out;

  switch (column[0]) {
  case 't':
    return entry->tier;
  case 'n':
    return entry->name;
  case 'k':
    return entry->key;
  case 'p':
    return rlctl_show_all(buf, entry->policy);
  case 'w':
    return rlctl_show_all(buf, entry->display);
  case 'i':
    snprintf(buf, RLCTL_SHOWN, entry->level > 0 ? "%u" : "-", entry->level);
    return buf;
  default:
    break;
  }
  buf[0] = '\0';
  out = fmemopen(buf, RLCTL_SHOWN, "w");
  if (out != NULL) {
    rlctl_put_duration(out, entry->left_us);
    fclose(out);
  }
  return buf;
}

static void put_cell(const char *text, size_t width, int is_last) {
  if (is_last) {
    printf("  %s\n", text);
  } else {
    printf("  %-*s", (int)width, text);
  }
}

static void put_table(const gathered *g, size_t kind) {
  const char *const *heads = kinds[kind].heads;
  size_t width[COLUMNS];
  size_t columns = 0;
  char buf[RLCTL_SHOWN];
  int named = 0; /* an entry has a display name */

  for (; columns < COLUMNS && heads[columns][0] != '\0'; ++columns) {
    width[columns] = strlen(heads[columns]);
  }
  for (size_t i = 0; i < g->n; ++i) {
    for (size_t j = 0; place_of(g->entries[i].kind) == kind && j < columns; ++j) {
      size_t len = strlen(cell(buf, &g->entries[i], heads[j]));

      named |= g->entries[i].display[0] != '\0';
      width[j] = len > width[j] ? len : width[j];
    }
  }
  if (strcmp(heads[columns - 1], "who") == 0 && !named) {
    --columns;
  }
  printf("%s\n", kinds[kind].words);
  for (size_t j = 0; j < columns; ++j) {
    put_cell(heads[j], width[j], j + 1 == columns);
  }
  for (size_t i = 0; i < g->n; ++i) {
    for (size_t j = 0; place_of(g->entries[i].kind) == kind && j < columns; ++j) {
      put_cell(cell(buf, &g->entries[i], heads[j]), width[j], j + 1 == columns);
    }
  }
}

static void put_text(const gathered *g) {
  int some = 0;

  for (size_t kind = 0; kind < KINDS; ++kind) {
    size_t i = 0;

    while (i < g->n && place_of(g->entries[i].kind) != kind) {
      ++i;
    }
    if (i < g->n) {
      fputs(some ? "\n" : "", stdout);
      put_table(g, kind);
      some = 1;
    }
  }
  if (!some) {
    printf("there are no %s\n", g->only != NULL ? g->only : "tiers, members, overrides or bans");
  }
}

/* --- for programs -------------------------------------------------------------------------- */

static void put_word(const char *name, const char *text) {
  printf(", \"%s\": ", name);
  rlctl_put_json(stdout, text);
}

static void put_json(const gathered *g) {
  fputs("{\"entries\": [", stdout);
  for (size_t i = 0; i < g->n; ++i) {
    const rlc_entry *e = &g->entries[i];

    printf("%s{\"kind\": \"%s\"", i > 0 ? ", " : "", kinds[place_of(e->kind)].word);
    if (e->kind != RLC_ENTRY_TIER) {
      put_word("hash", e->key);
      fputs(", \"display\": ", stdout);
      rlctl_put_json_bytes(stdout, e->display, strlen(e->display));
    }
    if (e->kind != RLC_ENTRY_MEMBER) {
      put_word("name", e->name);
    }
    if (e->kind == RLC_ENTRY_TIER || e->kind == RLC_ENTRY_MEMBER) {
      put_word("tier", e->tier);
    }
    if (e->kind == RLC_ENTRY_TIER || e->kind == RLC_ENTRY_OVERRIDE) {
      put_word("policy", e->policy);
    }
    if (e->kind == RLC_ENTRY_BAN) {
      printf(", \"left_us\": %" PRId64 ", \"level\": %u", e->left_us, e->level);
    }
    putchar('}');
  }
  puts("]}");
}

/* --- the command --------------------------------------------------------------------------- */

static rlctl_exit check_words(const rlctl_call *call) {
  const char *words[KINDS];
  const char *meant;
  char shown[RLCTL_SHOWN];

  if (call->n_words == 0) {
    return RLCTL_DONE;
  }
  if (call->n_words > 1) {
    return rlctl_say(RLCTL_USAGE, "list takes one word: leave out \"%s\"",
                     rlctl_show(shown, call->words[1]));
  }
  for (size_t i = 0; i < KINDS; ++i) {
    words[i] = kinds[i].words;
    if (strcmp(words[i], call->words[0]) == 0) {
      return RLCTL_DONE;
    }
  }
  meant = rlctl_meant(call->words[0], words, KINDS);
  return rlctl_say(RLCTL_USAGE, "list expects bans, overrides, tiers or members, found \"%s\"%s%s%s",
                   rlctl_show(shown, call->words[0]), meant != NULL ? " - did you mean \"" : "",
                   meant != NULL ? meant : "", meant != NULL ? "\"?" : "");
}

rlctl_exit rlctl_list(const rlctl_call *call) {
  gathered g = {.only = call->n_words > 0 ? call->words[0] : NULL};
  rlctl_store *store = NULL;
  rlctl_exit status = check_words(call);

  if (status == RLCTL_DONE) {
    status = rlctl_store_new(&store, call, 0);
  }
  if (status == RLCTL_DONE) {
    status = rlctl_store_reach(store);
  }
  if (status == RLCTL_DONE) {
    status = rlctl_store_say(store, rlc_limiter_list(rlctl_store_limiter(store), gather, &g));
  }
  if (status == RLCTL_DONE) {
    (call->json ? put_json : put_text)(&g);
  }
  free(g.entries);
  rlctl_store_del(store);
  return status;
}
