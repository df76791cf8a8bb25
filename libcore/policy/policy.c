/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/policy.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "policy/parse.h"

static int is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

int rlc_name_ok(const char *name) {
  size_t len = 0;

  if (name == NULL || !is_letter(name[0])) {
    return 0;
  }
  for (; name[len] != '\0'; ++len) {
    char c = name[len];

    if (len == RLC_MAX_NAME || !(is_letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '-')) {
      return 0;
    }
  }
  return 1;
}

/* Appends to the canonical text, whose size is that of the longest there can be. */
static void append(rlc_policy *policy, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void append(rlc_policy *policy, const char *format, ...) {
  size_t len = strlen(policy->text);
  va_list args;

  va_start(args, format);
  vsnprintf(policy->text + len, sizeof policy->text - len, format, args);
  va_end(args);
}

static void append_window(rlc_policy *policy, const rlc__rate *rate) {
  static const struct {
    const char *name;
    uint64_t seconds;
  } units[] = {{"week", 604800}, {"day", 86400}, {"h", 3600}, {"min", 60}, {"s", 1}};
  uint64_t window_s = rate->window_s;
  unsigned i = 0;

  if (rate->calendar.span == RLC__SPAN_MONTHS) {
    if (rate->calendar.months == 12) {
      append(policy, "year");
    } else if (rate->calendar.months > 1) {
      append(policy, "%umonth", rate->calendar.months);
    } else {
      append(policy, "month");
    }
    return;
  }
  while (window_s % units[i].seconds != 0) {
    ++i;
  }
  if (window_s > units[i].seconds) {
    append(policy, "%" PRIu64, window_s / units[i].seconds);
  }
  append(policy, "%s", units[i].name);
}

/* What is said of windows of the calendar, where it is not as usual. */
static void append_calendar(rlc_policy *policy) {
  const rlc__calendar *anchored = NULL; /* all that have an anchor have the same */
  int aligned = 0;

  for (unsigned i = 0; i < policy->rates; ++i) {
    const rlc__calendar *c = &policy->rate[i].calendar;

    aligned |= c->span == RLC__SPAN_DAY || c->span == RLC__SPAN_WEEK;
    if (c->span != RLC__SPAN_SECONDS &&
        (c->anchor.month > 1 || c->anchor.day > 1 || c->anchor.weekday > 0)) {
      anchored = c;
    }
  }
  if (aligned) {
    append(policy, " align=calendar");
  }
  if (policy->zone_name[0] != '\0') {
    append(policy, " tz=%s", policy->zone_name);
  }
  if (anchored == NULL) {
    return;
  }
  if (anchored->span == RLC__SPAN_WEEK) {
    append(policy, " anchor=%s", rlc__weekday_name(anchored->anchor.weekday));
  } else if (anchored->months == 12) {
    append(policy, " anchor=%02u-%02u", anchored->anchor.month, anchored->anchor.day);
  } else {
    append(policy, " anchor=%u", anchored->anchor.day);
  }
}

/* Writes what rlc__policy_parse reads, in the one form that policies of this meaning have. Returns 0, or
 * -1 where that is too long. */
static int write_text(rlc_policy *policy) {
  char ban[RLC__BAN_TEXT];

  policy->text[0] = '\0';
  for (unsigned i = 0; i < policy->rates; ++i) {
    append(policy, "%s%" PRIu64 "/", i > 0 ? "," : "", policy->rate[i].quota);
    append_window(policy, &policy->rate[i]);
  }
  if (policy->algorithm != RLC_TOKEN_BUCKET) {
    append(policy, " algorithm=%s", rlc__algorithm_name(policy->algorithm));
  }
  if (policy->rate[0].capacity != policy->rate[0].quota) {
    append(policy, " burst=%" PRIu64, policy->rate[0].capacity);
  }
  if (policy->rate[0].debt > 0) { /* all rates have the same */
    append(policy, " debt=%" PRIu64, policy->rate[0].debt);
  }
  append_calendar(policy);
  if (policy->ban.most > 0) {
    rlc__ban_format(&policy->ban, ban);
    append(policy, " ban=%s", ban);
  }
  return strlen(policy->text) < sizeof policy->text - 1 ? 0 : -1;
}

/* Returns 0, or -1 if OpenSSL could not hash, which it only fails to do for want of memory. */
static int write_id(rlc_policy *policy) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  unsigned char hash[EVP_MAX_MD_SIZE];
  uint64_t bits = 0;

  if (EVP_Digest(policy->text, strlen(policy->text), hash, NULL, EVP_sha256(), NULL) != 1) {
    return -1;
  }
  for (unsigned i = 0; i < 6; ++i) {
    bits = bits << 8 | hash[i];
  }
  for (unsigned i = 0; i < RLC__POLICY_ID_SIZE - 1; ++i) {
    policy->id[i] = digits[bits >> (42 - 6 * i) & 63];
  }
  policy->id[RLC__POLICY_ID_SIZE - 1] = '\0';
  return 0;
}

int rlc_policy_new(rlc_policy **out, const char *name, const char *text, const rlc_memory *memory,
                   char *why, size_t why_size) {
  rlc_policy *policy = NULL;
  char shown[64];
  int rv;

  *out = NULL;
  if (text == NULL) {
    return rlc__fail(RLC_ERR_INVALID, why, why_size, "expected a policy, found a NULL pointer");
  }
  if (name != NULL && !rlc_name_ok(name)) {
    rlc__printable(shown, sizeof shown, name, strnlen(name, sizeof shown));
    return rlc__fail(RLC_ERR_INVALID, why, why_size, "expected a name of a letter and then at most "
                     "%d letters, digits, \"-\" or \"_\", found \"%s\"", RLC_MAX_NAME - 1, shown);
  }
  memory = rlc__memory_or_default(memory);
  policy = rlc__calloc(memory, 1, sizeof *policy);
  if (policy == NULL) {
    rv = rlc__fail(RLC_ERR_NOMEM, why, why_size, "out of memory");
    goto leave;
  }
  policy->memory = *memory;
  rv = rlc__policy_parse(policy, text, why, why_size);
  if (rv != 0) {
    goto leave;
  }
  if (name != NULL) {
    memcpy(policy->name, name, strlen(name) + 1);
  }
  if (write_text(policy) != 0) {
    rv = rlc__fail(RLC_ERR_POLICY, why, why_size, "column 1: written out in full this policy has %d "
                   "bytes or more; leave out a rate or an option", RLC__POLICY_TEXT_SIZE - 1);
    goto leave;
  }
  if (write_id(policy) != 0) {
    rv = rlc__fail(RLC_ERR_NOMEM, why, why_size, "out of memory");
    goto leave;
  }
  *out = policy;
  policy = NULL;

leave:
  rlc_policy_del(policy);
  return rv;
}

void rlc_policy_del(rlc_policy *policy) {
  rlc_memory memory;

  if (policy == NULL ||
      atomic_fetch_sub_explicit(&policy->held, 1, memory_order_acq_rel) > 0) {
    return;
  }
  memory = policy->memory;
  rlc__zone_del(policy->zone);
  rlc__free(&memory, policy);
}

const rlc_policy *rlc__policy_keep(const rlc_policy *policy) {
  atomic_fetch_add_explicit(&((rlc_policy *)(uintptr_t)policy)->held, 1, memory_order_relaxed);
  return policy;
}

void rlc__policy_drop(const rlc_policy *policy) {
  rlc_policy_del((rlc_policy *)(uintptr_t)policy);
}

const char *rlc_policy_get_name(const rlc_policy *policy) {
  return policy->name[0] != '\0' ? policy->name : NULL;
}

const char *rlc_policy_get_text(const rlc_policy *policy) {
  return policy->text;
}

rlc_algorithm rlc_policy_get_algorithm(const rlc_policy *policy) {
  return policy->algorithm;
}

unsigned rlc_policy_get_rates(const rlc_policy *policy) {
  return policy->rates;
}

int rlc_policy_get_rate(const rlc_policy *policy, unsigned index, uint64_t *quota,
                        uint64_t *window_us, uint64_t *capacity) {
  if (index >= policy->rates) {
    return RLC_ERR_INVALID;
  }
  if (quota != NULL) {
    *quota = policy->rate[index].quota;
  }
  if (window_us != NULL) {
    *window_us = policy->rate[index].window_us;
  }
  if (capacity != NULL) {
    *capacity = policy->rate[index].capacity;
  }
  return 0;
}

uint64_t rlc_policy_get_debt(const rlc_policy *policy) {
  return policy->rate[0].debt;
}

int rlc_policy_get_ban(const rlc_policy *policy, uint64_t *denials, uint64_t *window_us,
                       uint64_t *first_us, uint64_t *longest_us) {
  const rlc__ban *ban = &policy->ban;

  if (denials != NULL) {
    *denials = ban->most;
  }
  if (window_us != NULL) {
    *window_us = ban->within_s * 1000000;
  }
  if (first_us != NULL) {
    *first_us = ban->first_s * 1000000;
  }
  if (longest_us != NULL) {
    *longest_us = ban->longest_s * 1000000;
  }
  return ban->most > 0;
}

int rlc__policy_share(rlc_policy **out, const rlc_policy *whole, uint64_t parts) {
  rlc_policy *share = NULL;
  int rv = 0;

  *out = NULL;
  if (parts == 0) {
    return RLC_ERR_POLICY;
  }
  share = rlc__calloc(&whole->memory, 1, sizeof *share);
  if (share == NULL) {
    return RLC_ERR_NOMEM;
  }
  /* The id stays the whole policy's: the share is of that limit's state. */
  memcpy(share, whole, sizeof *share);
  atomic_init(&share->held, 0);
  rlc__zone_keep(share->zone);
  if (rlc__rates_share(share->rate, share->rates, share->algorithm, parts) != 0) {
    rv = RLC_ERR_POLICY;
    goto leave;
  }
  (void)write_text(share); /* no longer than the whole's */
  *out = share;
  share = NULL;

leave:
  rlc_policy_del(share);
  return rv;
}
