/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "rlctl/rlctl.h"

/* What changes the index: ban, unban, override, tier, member. */

#define HASHED_NAME 7

typedef struct change {
  const rlctl_call *call;
  rlctl_store *store;
  const char *display;
  int removes;      /* --remove */
  char hash[17];    /* of |key|, where there is one */
  const char *key;
} change;

/* --- the command line ---------------------------------------------------------------------- */

static const char *display_of(const rlctl_call *call) {
  const char *display = NULL;

  for (int i = 0; i < call->n_given; ++i) {
    display = call->given[i].option == RLCTL_OPTION_DISPLAY ? call->given[i].value : display;
  }
  return display;
}

/* Checks that there are so many words, one less with --remove, and that the name among them is one. */
static rlctl_exit check_words(const change *c, int n, int name, const char *expects) {
  char shown[RLCTL_SHOWN];
  const rlctl_call *call = c->call;

  if (call->n_words != n - c->removes) {
    return rlctl_say(RLCTL_USAGE, "%s expects %s", call->name, expects);
  }
  if (c->removes && c->display != NULL) {
    return rlctl_say(RLCTL_USAGE, "--display has no meaning with --remove: leave it out");
  }
  /* A limit without a name is named by a hash, which may begin with any of a name's characters. */
  if (!rlc_name_ok(call->words[name]) &&
      (strlen(call->words[name]) != HASHED_NAME ||
       strspn(call->words[name], "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") !=
           HASHED_NAME)) {
    return rlctl_say(RLCTL_USAGE, "%s expects a limit's name, a letter and then at most %d letters, digits, "
                     "\"-\" or \"_\", found \"%s\"", call->name, RLC_MAX_NAME - 1,
                     rlctl_show(shown, call->words[name]));
  }
  return RLCTL_DONE;
}

static rlctl_exit check_tier(const change *c, const char *tier) {
  char shown[RLCTL_SHOWN];

  if (rlc_name_ok(tier)) {
    return RLCTL_DONE;
  }
  return rlctl_say(RLCTL_USAGE, "%s expects a tier's name, a letter and then at most %d letters, digits, "
                   "\"-\" or \"_\", found \"%s\"", c->call->name, RLC_MAX_NAME - 1,
                   rlctl_show(shown, tier));
}

/* A duration is written as a window is, and read as one. */
static rlctl_exit read_duration(const char *text, int64_t *us) {
  char policy[64] = "1/";
  char shown[RLCTL_SHOWN];
  uint64_t window_us;
  rlc_policy *p;

  if (strlen(text) < 32 &&
      strspn(text, "0123456789abcdefghijklmnopqrstuvwxyz") == strlen(text) &&
      rlc_policy_new(&p, NULL, strcat(policy, text), NULL, NULL, 0) == 0) {
    (void)rlc_policy_get_rate(p, 0, NULL, &window_us, NULL);
    *us = (int64_t)window_us;
    rlc_policy_del(p);
    return RLCTL_DONE;
  }
  return rlctl_say(RLCTL_USAGE, "ban expects how long, as in \"90s\", \"10min\", \"1h\" or \"7day\", from "
                   "a second to 3660 days, found \"%s\"", rlctl_show(shown, text));
}

/* Writes the policy's canonical text, which the caller frees. */
static rlctl_exit read_policy(const rlctl_call *call, const char *text, char **canonical) {
  rlctl_exit status;
  rlc_policy *policy;

  *canonical = NULL;
  status = rlctl_policy_new(&policy, call, text);
  if (status != RLCTL_DONE) {
    return status;
  }
  *canonical = strdup(rlc_policy_get_text(policy));
  rlc_policy_del(policy);
  return *canonical != NULL ? RLCTL_DONE
                            : rlctl_say(RLCTL_UNAVAILABLE, "%s", rlc_strerror(RLC_ERR_NOMEM));
}

/* --- asking -------------------------------------------------------------------------------- */

static rlctl_exit begin(change *c, const char *key) {
  rlctl_exit status = RLCTL_DONE;

  c->key = key;
  if (key != NULL && strlen(key) > RLC_MAX_KEY) {
    return rlctl_say(RLCTL_USAGE, "a key is at most %d bytes long", RLC_MAX_KEY);
  }
  status = rlctl_store_new(&c->store, c->call, 0);
  if (status == RLCTL_DONE) {
    status = rlctl_store_reach(c->store);
  }
  if (status == RLCTL_DONE && key != NULL &&
      rlc_limiter_hash(rlctl_store_limiter(c->store), key, strlen(key), c->hash) != 0) {
    status = rlctl_say(RLCTL_UNAVAILABLE, "%s", rlc_strerror(RLC_ERR_NOMEM));
  }
  return status;
}

/* Ends what was asked, which returned |rv|. Returns RLCTL_DONE where something is to be told of it, and
 * stores whether there was what it was about. */
static rlctl_exit settle(change *c, int rv, const char *why, int *found) {
  *found = rv == 0;
  if (rv == 0 || rv == RLC_ERR_LOST) {
    return RLCTL_DONE;
  }
  if (rv == RLC_ERR_POLICY) {
    return rlctl_say(RLCTL_USAGE, "the policy: %s", why);
  }
  return rlctl_store_say(c->store, rv);
}

static void put_key(const change *c) {
  rlctl_put_bytes(stdout, c->key, strlen(c->key), 60);
}

/* A member of a JSON object, after the first. */
static void put_member(const char *name, const char *value) {
  printf(", \"%s\": ", name);
  if (value == NULL) {
    fputs("null", stdout);
  } else {
    rlctl_put_json(stdout, value);
  }
}

static void put_json_key(const change *c) {
  fputs("{\"key\": ", stdout);
  rlctl_put_json_bytes(stdout, c->key, strlen(c->key));
  put_member("hash", c->hash);
}

static rlctl_exit end(const change *c, rlctl_exit status, int found) {
  rlctl_store_del(c->store);
  return status == RLCTL_DONE && !found ? RLCTL_DENIED : status;
}

/* --- bans ---------------------------------------------------------------------------------- */

rlctl_exit rlctl_ban(const rlctl_call *call) {
  change c = {.call = call, .display = display_of(call)};
  int64_t for_us = 0;
  int found = 1;
  rlctl_exit status = check_words(&c, 3, 0, "a limit's name, a key and how long, as in \"rlctl ban "
                                  "login 192.0.2.7 10min\"");

  if (status == RLCTL_DONE) {
    status = read_duration(call->words[2], &for_us);
  }
  if (status == RLCTL_DONE) {
    status = begin(&c, call->words[1]);
  }
  if (status == RLCTL_DONE) {
    status = settle(&c, rlc_limiter_ban(rlctl_store_limiter(c.store), call->words[0], c.key,
                                        strlen(c.key), for_us, c.display), "", &found);
  }
  if (status == RLCTL_DONE && call->json) {
    put_json_key(&c);
    put_member("name", call->words[0]);
    printf(", \"left_us\": %" PRId64 "}\n", for_us);
  } else if (status == RLCTL_DONE) {
    fputs("banned: ", stdout);
    put_key(&c);
    printf(" by \"%s\" for ", call->words[0]);
    rlctl_put_duration(stdout, for_us);
    putchar('\n');
  }
  return end(&c, status, found);
}

rlctl_exit rlctl_unban(const rlctl_call *call) {
  change c = {.call = call};
  int found = 1;
  rlctl_exit status = check_words(&c, 2, 0, "a limit's name and a key, as in \"rlctl unban login "
                                  "192.0.2.7\"");

  if (status == RLCTL_DONE) {
    status = begin(&c, call->words[1]);
  }
  if (status == RLCTL_DONE) {
    status = settle(&c, rlc_limiter_unban(rlctl_store_limiter(c.store), call->words[0], c.key,
                                          strlen(c.key)), "", &found);
  }
  if (status == RLCTL_DONE && call->json) {
    put_json_key(&c);
    put_member("name", call->words[0]);
    printf(", \"found\": %s}\n", found ? "true" : "false");
  } else if (status == RLCTL_DONE) {
    put_key(&c);
    printf(found ? ": no longer banned by \"%s\"\n" : " is not banned by \"%s\"\n", call->words[0]);
  }
  return end(&c, status, found);
}

/* --- policies ------------------------------------------------------------------------------ */

/* Tells what |whose| key or tier has under |name| now. */
static void put_policy(const change *c, const char *tier, const char *name, const char *policy,
                       int found) {
  if (c->call->json && tier == NULL) {
    put_json_key(c);
  } else if (c->call->json) {
    fputs("{\"tier\": ", stdout);
    rlctl_put_json(stdout, tier);
  }
  if (c->call->json) {
    put_member("name", name);
    put_member("policy", policy);
    printf(", \"found\": %s}\n", found ? "true" : "false");
    return;
  }
  if (tier != NULL) {
    printf("tier %s", tier);
  } else {
    put_key(c);
  }
  if (policy != NULL) {
    printf(": \"%s\" is \"%s\"\n", name, policy);
  } else {
    printf(found ? ": \"%s\" is as for all others again\n" : " has no policy of its own for \"%s\"\n",
           name);
  }
}

rlctl_exit rlctl_override(const rlctl_call *call) {
  change c = {.call = call, .display = display_of(call),
              .removes = (call->taken & RLCTL_OPTION_REMOVE) != 0};
  char why[RLC_MESSAGE_SIZE] = "";
  char *policy = NULL;
  int found = 1;
  rlctl_exit status = check_words(&c, 3, 0, "a limit's name, a key and a policy in quotes, or --remove, "
                                  "as in \"rlctl override api alice '100/min burst=20'\"");

  if (status == RLCTL_DONE && !c.removes) {
    status = read_policy(call, call->words[2], &policy);
  }
  if (status == RLCTL_DONE) {
    status = begin(&c, call->words[1]);
  }
  if (status == RLCTL_DONE) {
    status = settle(&c, rlc_limiter_override(rlctl_store_limiter(c.store), call->words[0], c.key,
                                             strlen(c.key), policy, c.display, why, sizeof why),
                    why, &found);
  }
  if (status == RLCTL_DONE) {
    put_policy(&c, NULL, call->words[0], policy, found);
  }
  free(policy);
  return end(&c, status, found);
}

rlctl_exit rlctl_tier(const rlctl_call *call) {
  change c = {.call = call, .removes = (call->taken & RLCTL_OPTION_REMOVE) != 0};
  char why[RLC_MESSAGE_SIZE] = "";
  char *policy = NULL;
  int found = 1;
  rlctl_exit status = check_words(&c, 3, 1, "a tier, a limit's name and a policy in quotes, or --remove, "
                                  "as in \"rlctl tier pro api '1000/min'\"");

  if (status == RLCTL_DONE) {
    status = check_tier(&c, call->words[0]);
  }
  if (status == RLCTL_DONE && !c.removes) {
    status = read_policy(call, call->words[2], &policy);
  }
  if (status == RLCTL_DONE) {
    status = begin(&c, NULL);
  }
  if (status == RLCTL_DONE) {
    status = settle(&c, rlc_limiter_set_tier(rlctl_store_limiter(c.store), call->words[0],
                                             call->words[1], policy, why, sizeof why),
                    why, &found);
  }
  if (status == RLCTL_DONE) {
    put_policy(&c, call->words[0], call->words[1], policy, found);
  }
  free(policy);
  return end(&c, status, found);
}

rlctl_exit rlctl_member(const rlctl_call *call) {
  change c = {.call = call, .display = display_of(call),
              .removes = (call->taken & RLCTL_OPTION_REMOVE) != 0};
  const char *tier = c.removes || call->n_words < 2 ? NULL : call->words[1];
  int found = 1;
  rlctl_exit status = RLCTL_DONE;

  if (call->n_words != 2 - c.removes) {
    return rlctl_say(RLCTL_USAGE, "member expects a key and a tier, or --remove, as in \"rlctl member "
                     "alice pro\"");
  }
  if (c.removes && c.display != NULL) {
    return rlctl_say(RLCTL_USAGE, "--display has no meaning with --remove: leave it out");
  }
  if (tier != NULL) {
    status = check_tier(&c, tier);
  }
  if (status == RLCTL_DONE) {
    status = begin(&c, call->words[0]);
  }
  if (status == RLCTL_DONE) {
    status = settle(&c, rlc_limiter_set_member(rlctl_store_limiter(c.store), c.key, strlen(c.key),
                                               tier, c.display), "", &found);
  }
  if (status == RLCTL_DONE && call->json) {
    put_json_key(&c);
    put_member("tier", tier);
    printf(", \"found\": %s}\n", found ? "true" : "false");
  } else if (status == RLCTL_DONE) {
    put_key(&c);
    if (tier != NULL) {
      printf(" is of tier %s\n", tier);
    } else {
      puts(found ? " is of no tier any more" : " is of no tier");
    }
  }
  return end(&c, status, found);
}
