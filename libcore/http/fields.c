/* SPDX-License-Identifier: Apache-2.0 */
#include "http/writer.h"
#include "policy/policy.h"
#include "rlcore/rlcore.h"

/* The largest Integer of RFC 9651 structured fields. */
#define SF_MAX UINT64_C(999999999999999)
#define US UINT64_C(1000000)

/* A String of RFC 9651: printable ASCII, with backslash and quote escaped. What it cannot hold is
 * shown as "?", so that no name can end the field or start another. */
static void write_string(rlc__writer *w, const char *text) {
  rlc__write(w, "\"", 1);
  for (; *text != '\0'; ++text) {
    if (*text == '"' || *text == '\\') {
      rlc__write(w, "\\", 1);
    }
    rlc__write(w, *text >= 0x20 && *text < 0x7f ? text : "?", 1);
  }
  rlc__write(w, "\"", 1);
}

static void write_parameter(rlc__writer *w, const char *name, uint64_t value) {
  rlc__write_text(w, name);
  rlc__write_number(w, value < SF_MAX ? value : SF_MAX);
}

static uint64_t seconds_up(int64_t us) {
  return us > 0 ? ((uint64_t)us + US - 1) / US : 0;
}

/* Retry-After should not be earlier than the reset (draft -10, section 4), so where a limit refused
 * they are the same wait. */
static int64_t get_wait(const rlc_result *result) {
  return result->retry_us > 0 ? result->retry_us : result->reset_us;
}

size_t rlc_http_format_policy(char *buf, size_t size, const char *name, const rlc_policy *policy,
                              unsigned rate_index) {
  rlc__writer w = {buf, size, 0};
  const rlc__rate *rate;

  if (rate_index >= policy->rates) {
    return rlc__write_end(&w);
  }
  rate = &policy->rate[rate_index];
  if (name == NULL) {
    name = policy->name[0] != '\0' ? policy->name : policy->id;
  }
  write_string(&w, name);
  write_parameter(&w, ";q=", rate->quota);
  if (policy->algorithm == RLC_CONCURRENCY) {
    /* The window is how long a slot may be held, and nothing that a client should pace itself by. */
    rlc__write_text(&w, ";qu=\"concurrent-requests\"");
    return rlc__write_end(&w);
  }
  write_parameter(&w, ";w=", rate->window_s);
  if (rate->capacity != rate->quota) {
    write_parameter(&w, ";rlr-burst=", rate->capacity);
  }
  return rlc__write_end(&w);
}

size_t rlc_http_format_limit(char *buf, size_t size, const char *name, const rlc_result *result) {
  rlc__writer w = {buf, size, 0};

  write_string(&w, name != NULL ? name : "default");
  write_parameter(&w, ";r=", result->remaining);
  write_parameter(&w, ";t=", seconds_up(get_wait(result)));
  return rlc__write_end(&w);
}

size_t rlc_http_format_quota(char *buf, size_t size, const rlc_policy *policy,
                             unsigned rate_index) {
  rlc__writer w = {buf, size, 0};
  const rlc__rate *rate;

  if (rate_index >= policy->rates) {
    return rlc__write_end(&w);
  }
  rate = &policy->rate[rate_index];
  write_parameter(&w, "", rate->quota);
  write_parameter(&w, ";w=", rate->window_s);
  if (rate->capacity != rate->quota) {
    write_parameter(&w, ";burst=", rate->capacity);
  }
  return rlc__write_end(&w);
}

size_t rlc_http_format_draft_07(char *buf, size_t size, const rlc_result *result) {
  rlc__writer w = {buf, size, 0};

  write_parameter(&w, "limit=", result->limit);
  write_parameter(&w, ", remaining=", result->remaining);
  write_parameter(&w, ", reset=", seconds_up(get_wait(result)));
  return rlc__write_end(&w);
}

size_t rlc_http_format_draft_06(char *buf, size_t size, rlc_http_part part,
                                const rlc_result *result) {
  rlc__writer w = {buf, size, 0};

  switch (part) {
  case RLC_HTTP_LIMIT:
    write_parameter(&w, "", result->limit);
    break;
  case RLC_HTTP_REMAINING:
    write_parameter(&w, "", result->remaining);
    break;
  case RLC_HTTP_RESET:
    write_parameter(&w, "", seconds_up(get_wait(result)));
    break;
  }
  return rlc__write_end(&w);
}

size_t rlc_http_format_x_ratelimit(char *buf, size_t size, rlc_http_part part,
                                   const rlc_result *result) {
  return rlc_http_format_draft_06(buf, size, part, result);
}

size_t rlc_http_format_x_ratelimit_epoch(char *buf, size_t size, rlc_http_part part,
                                         const rlc_result *result, int64_t now_us) {
  rlc__writer w = {buf, size, 0};
  int64_t wait = get_wait(result);

  if (part != RLC_HTTP_RESET) {
    return rlc_http_format_draft_06(buf, size, part, result);
  }
  wait = wait > 0 ? wait : 0;
  write_parameter(&w, "", seconds_up(now_us < INT64_MAX - wait ? now_us + wait : INT64_MAX));
  return rlc__write_end(&w);
}

size_t rlc_http_format_retry_after(char *buf, size_t size, int64_t retry_us) {
  rlc__writer w = {buf, size, 0};
  uint64_t seconds = seconds_up(retry_us);

  if (retry_us >= 0) {
    rlc__write_number(&w, seconds > 0 ? seconds : 1);
  }
  return rlc__write_end(&w);
}
