/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "rlctl/rlctl.h"

#define NO_PASSWORD "#SHA256-OF-THE-PASSWORD"

static const struct {
  const char *name;
  rlc_acl whom;
} kinds[] = {{"redis", RLC_ACL_REDIS}, {"sentinel", RLC_ACL_SENTINEL}};

#define KINDS (sizeof kinds / sizeof *kinds)

/* Stores the rules for |whom|, or NULL where the store has no such servers. */
static rlctl_exit get_rules(char **out, const rlctl_call *call, rlc_acl whom) {
  char why[RLC_MESSAGE_SIZE];
  int len = rlc_redis_format_acl(NULL, 0, call->store, whom, why, sizeof why);

  *out = NULL;
  if (len < 0) {
    return rlctl_say(RLCTL_USAGE, "the store's URL: %s", why);
  }
  if (len > 0) {
    *out = malloc((size_t)len + 1);
    if (*out == NULL) {
      return rlctl_say(RLCTL_USAGE, "%s", rlc_strerror(RLC_ERR_NOMEM));
    }
    (void)rlc_redis_format_acl(*out, (size_t)len + 1, call->store, whom, NULL, 0);
  }
  return RLCTL_DONE;
}

/* {"user": "app", "password": true, "rules": ["reset", ...], "command": "...", "file": "..."} */
static void put_json(const char *rules) {
  const char *head[] = {"ACL SETUSER ", "user "};
  const char *names[] = {"command", "file"};
  char *copy = strdup(rules);
  char *rest = NULL;
  char *word = copy != NULL ? strtok_r(copy, " ", &rest) : NULL;

  fputs("{\"user\": ", stdout);
  rlctl_put_json(stdout, word != NULL ? word : "");
  printf(", \"password\": %s, \"rules\": [", strstr(rules, NO_PASSWORD) != NULL ? "false" : "true");
  for (int n = 0; word != NULL && (word = strtok_r(NULL, " ", &rest)) != NULL; ++n) {
    fputs(n > 0 ? ", " : "", stdout);
    rlctl_put_json(stdout, word);
  }
  fputs("]", stdout);
  free(copy);
  for (int i = 0; i < 2; ++i) {
    char *text = malloc(strlen(head[i]) + strlen(rules) + 1);

    if (text != NULL) {
      strcat(strcpy(text, head[i]), rules);
      printf(", \"%s\": ", names[i]);
      rlctl_put_json(stdout, text);
      free(text);
    }
  }
  fputs("}", stdout);
}

static void put_all(const rlctl_call *call, char *const rules[KINDS]) {
  int n = 0;

  if (call->json) {
    fputs("{", stdout);
  }
  for (size_t i = 0; i < KINDS; ++i) {
    if (rules[i] == NULL) {
      continue;
    }
    if (call->json) {
      printf("%s\"%s\": ", n++ > 0 ? ", " : "", kinds[i].name);
      put_json(rules[i]);
    } else {
      printf("%s %s\n", call->taken & RLCTL_OPTION_FILE ? "user" : "ACL SETUSER", rules[i]);
    }
  }
  if (call->json) {
    puts("}");
  }
}

/* What is still to do, for whom reads it. */
static void put_notes(const rlctl_call *call, char *const rules[KINDS]) {
  if (rules[0] != NULL && rules[1] != NULL && !call->json) {
    rlctl_say(RLCTL_DONE, "the first line is for each Redis server, the second for each sentinel");
  }
  for (size_t i = 0; i < KINDS; ++i) {
    if (rules[i] != NULL && strstr(rules[i], NO_PASSWORD) != NULL) {
      rlctl_say(RLCTL_DONE,
                "the URL names no user%s: choose a password, write it as \">password\" in place of "
                "\"" NO_PASSWORD "\", and in the URL %s",
                i == 1 ? " for the sentinels" : "",
                i == 1 ? "\"sentinel-user=rlcore&sentinel-password=password\""
                       : "\"rlcore:password@\" before the host");
    }
  }
}

rlctl_exit rlctl_acl(const rlctl_call *call) {
  static const char *const names[] = {"redis", "sentinel"};
  const char *only = call->n_words > 0 ? call->words[0] : NULL;
  char *rules[KINDS] = {NULL};
  rlctl_exit status = RLCTL_DONE;
  int found = only == NULL;

  for (size_t i = 0; i < KINDS && !found; ++i) {
    found = strcmp(only, kinds[i].name) == 0;
  }
  if (!found) {
    const char *meant = rlctl_meant(only, names, KINDS);

    return rlctl_say(RLCTL_USAGE, "acl does not know \"%s\"%s%s%s: write redis or sentinel, or "
                     "neither for both", only, meant != NULL ? " - did you mean \"" : "",
                     meant != NULL ? meant : "", meant != NULL ? "\"?" : "");
  }
  if (call->n_words > 1) {
    return rlctl_say(RLCTL_USAGE, "acl takes one word, redis or sentinel: leave out \"%s\"",
                     call->words[1]);
  }
  if (call->store == NULL) {
    return rlctl_say(RLCTL_USAGE, "acl is about a store: write it as in \"--store "
                     "redis://user:password@host\", or give RLCTL_STORE in the environment, where "
                     "a password is not seen by others");
  }
  for (size_t i = 0; i < KINDS && status == RLCTL_DONE; ++i) {
    if (only == NULL || strcmp(only, kinds[i].name) == 0) {
      status = get_rules(&rules[i], call, kinds[i].whom);
    }
  }
  if (status == RLCTL_DONE && rules[0] == NULL && rules[1] == NULL) {
    status = rlctl_say(RLCTL_USAGE, "this store has no sentinels: leave out \"sentinel\", or write "
                       "a URL that begins with \"redis+sentinel:\"");
  }
  if (status == RLCTL_DONE) {
    put_all(call, rules);
    put_notes(call, rules);
  }
  for (size_t i = 0; i < KINDS; ++i) {
    free(rules[i]);
  }
  return status;
}
