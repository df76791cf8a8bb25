/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "rlctl/rlctl.h"

static rlctl_exit read_cost(rlc_limit *limit, const char *value) {
  char shown[RLCTL_SHOWN];
  unsigned long long cost = 0;
  size_t len = strspn(value, "0123456789");

  if (len > 0 && len <= 10 && value[len] == '\0') {
    cost = strtoull(value, NULL, 10);
  } else {
    cost = RLC_MAX_QUOTA + 1ull;
  }
  if (cost > RLC_MAX_QUOTA) {
    return rlctl_say(RLCTL_USAGE, "--cost expects a whole number from 0 to %u, found \"%s\"",
                     RLC_MAX_QUOTA, rlctl_show(shown, value));
  }
  limit->cost = cost;
  return RLCTL_DONE;
}

static rlctl_exit read_option(rlc_limit *limit, const rlctl_given *given) {
  char shown[RLCTL_SHOWN];

  switch (given->option) {
  case RLCTL_OPTION_COST:
    return read_cost(limit, given->value);
  case RLCTL_OPTION_NAME:
    if (!rlc_name_ok(given->value)) {
      return rlctl_say(RLCTL_USAGE, "--name expects a letter and then at most %d letters, digits, "
                       "\"-\" or \"_\", found \"%s\"", RLC_MAX_NAME - 1,
                       rlctl_show(shown, given->value));
    }
    limit->name = given->value;
    return RLCTL_DONE;
  case RLCTL_OPTION_TIER:
    if (!rlc_name_ok(given->value)) {
      return rlctl_say(RLCTL_USAGE, "--tier expects a letter and then at most %d letters, digits, "
                       "\"-\" or \"_\", found \"%s\"", RLC_MAX_NAME - 1,
                       rlctl_show(shown, given->value));
    }
    limit->tier = given->value;
    return RLCTL_DONE;
  default:
    limit->group = given->value;
    limit->group_len = strlen(given->value);
    if (limit->group_len > RLC_MAX_KEY) {
      return rlctl_say(RLCTL_USAGE, "a group is at most %d bytes long", RLC_MAX_KEY);
    }
    return RLCTL_DONE;
  }
}

/* The options that stand before the first limit, then those behind this one. */
static rlctl_exit read_options(rlc_limit *limit, const rlctl_call *call, int at) {
  rlctl_exit status = RLCTL_DONE;

  for (int i = 0; i < call->n_given && status == RLCTL_DONE; ++i) {
    int of = call->given[i].behind;

    if (of > 0 && of % 2 == 1) {
      return rlctl_say(RLCTL_USAGE, "%s stands between a policy and its key: write it behind the "
                       "key", rlctl_option_name(call->given[i].option));
    }
    if (of == 0 || of == at + 2) {
      status = read_option(limit, &call->given[i]);
    }
  }
  return status;
}

rlctl_exit rlctl_policy_new(rlc_policy **out, const rlctl_call *call, const char *text) {
  const rlc_policy *found = NULL;
  char why[RLC_MESSAGE_SIZE];
  char shown[RLCTL_SHOWN];
  int rv;

  *out = NULL;
  if (call->config != NULL && rlc_name_ok(text)) {
    found = rlc_config_find_policy(call->config, text);
    if (found == NULL) {
      return rlctl_say(RLCTL_USAGE, "no policy is called %s in the file of --config", text);
    }
  }
  rv = found == NULL ? rlc_policy_new(out, NULL, text, NULL, why, sizeof why)
                     : rlc_policy_new(out, text, rlc_policy_get_text(found), NULL, why, sizeof why);
  return rv == 0 ? RLCTL_DONE
                 : rlctl_say(RLCTL_USAGE, "the policy \"%s\": %s", rlctl_show(shown, text), why);
}

static rlctl_exit read_limit(rlctl_limits *out, const rlctl_call *call, int at) {
  rlc_limit *limit = &out->limit[out->n];
  rlc_policy **policy = &out->policy[out->n];
  rlctl_exit status;

  *limit = (rlc_limit)RLC_LIMIT_INIT;
  status = rlctl_policy_new(policy, call, call->words[at]);
  if (status != RLCTL_DONE) {
    return status;
  }
  ++out->n;
  limit->policy = *policy;
  limit->key = call->words[at + 1];
  limit->key_len = strlen(call->words[at + 1]);
  limit->fail = RLC_FAIL_CLOSED; /* none of its decisions is taken anyway */
  if (limit->key_len > RLC_MAX_KEY) {
    return rlctl_say(RLCTL_USAGE, "a key is at most %d bytes long", RLC_MAX_KEY);
  }
  return read_options(limit, call, at);
}

rlctl_exit rlctl_limits_read(rlctl_limits *out, const rlctl_call *call) {
  rlctl_exit status = RLCTL_DONE;

  out->n = 0;
  if (call->n_words == 0 || call->n_words % 2 != 0) {
    return rlctl_say(RLCTL_USAGE, "%s expects a policy and a key%s, as in \"rlctl %s 10/s alice\"",
                     call->name, call->n_words > 0 ? " for each limit" : "", call->name);
  }
  if (call->n_words > 2 * RLC_MAX_LIMITS) {
    return rlctl_say(RLCTL_USAGE, "%s takes at most %d limits", call->name, RLC_MAX_LIMITS);
  }
  for (int at = 0; at < call->n_words && status == RLCTL_DONE; at += 2) {
    status = read_limit(out, call, at);
  }
  return status;
}

void rlctl_limits_clear(rlctl_limits *limits) {
  while (limits->n > 0) {
    rlc_policy_del(limits->policy[--limits->n]);
  }
}

int rlctl_rate_text(const rlc_policy *policy, unsigned index, const char **text) {
  *text = rlc_policy_get_text(policy);
  while (index-- > 0) {
    *text += strcspn(*text, ",") + 1;
  }
  return (int)strcspn(*text, ", ");
}

void rlctl_policy_name(const rlc_policy *policy, char name[RLC_MAX_NAME + 1]) {
  char item[160];
  size_t len;

  /* An item of RateLimit-Policy begins with it, in quotes. */
  (void)rlc_http_format_policy(item, sizeof item, NULL, policy, 0);
  len = item[0] == '"' ? strcspn(item + 1, "\"") : 0;
  len = len > RLC_MAX_NAME ? RLC_MAX_NAME : len;
  memcpy(name, item + 1, len);
  name[len] = '\0';
}
