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
  /* Retry-After should not be earlier than t (draft -10, section 4), so they are the same wait. */
  write_parameter(&w, ";t=", seconds_up(result->retry_us > 0 ? result->retry_us
                                                             : result->reset_us));
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
