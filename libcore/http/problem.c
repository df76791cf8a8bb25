/* SPDX-License-Identifier: Apache-2.0 */
#include "http/writer.h"
#include "rlcore/rlcore.h"

typedef struct problem {
  const char *type;
  const char *title;
  const char *detail;
} problem;

/* The types are those that the RateLimit draft registers with IANA. */
static const problem problems[] = {
    [RLC_PROBLEM_QUOTA_EXCEEDED] =
        {"https://iana.org/assignments/http-problem-types#quota-exceeded", "Quota exceeded",
         "This request exceeds the quota of each policy in violated-policies. If there is a "
         "Retry-After field, the same request can pass after that many seconds."},
    [RLC_PROBLEM_REDUCED_CAPACITY] =
        {"https://iana.org/assignments/http-problem-types#temporary-reduced-capacity",
         "Temporarily reduced capacity",
         "The quota cannot be checked at the moment, and until it can requests are refused. "
         "Try again later."},
    [RLC_PROBLEM_ABNORMAL_USAGE] =
        {"https://iana.org/assignments/http-problem-types#abnormal-usage-detected",
         "Abnormal usage detected",
         "Requests went on after quotas were exceeded, and are refused for a while whatever is "
         "left of a quota. If there is a Retry-After field, that is how many seconds it lasts."},
};

/* Whether a character stands for itself in a JSON string. The angle brackets do not, for readers that
 * take the body for HTML. */
static int is_plain(unsigned char c) {
  return c >= 0x20 && c < 0x7f && c != '"' && c != '\\' && c != '<' && c != '>';
}

/* A JSON string (RFC 8259). A byte outside ASCII is shown as U+FFFD: it may be no UTF-8. */
static void write_json(rlc__writer *w, const char *text) {
  char escaped[8];
  size_t plain;

  rlc__write(w, "\"", 1);
  for (;;) {
    unsigned char c;

    for (plain = 0; is_plain((unsigned char)text[plain]); ++plain) {
    }
    rlc__write(w, text, plain);
    text += plain;
    if (*text == '\0') {
      break;
    }
    c = (unsigned char)*text++;
    if (c >= 0x7f) {
      rlc__write_text(w, "\\ufffd");
    } else if (c == '"' || c == '\\') {
      escaped[0] = '\\';
      escaped[1] = (char)c;
      rlc__write(w, escaped, 2);
    } else {
      snprintf(escaped, sizeof escaped, "\\u%04x", c);
      rlc__write_text(w, escaped);
    }
  }
  rlc__write(w, "\"", 1);
}

/* A member whose value is one of the texts above, which need no escapes. */
static void write_member(rlc__writer *w, const char *name, const char *value) {
  rlc__write_text(w, name);
  rlc__write_text(w, value);
  rlc__write(w, "\"", 1);
}

size_t rlc_http_format_problem(char *buf, size_t size, rlc_problem kind, int status,
                               const char *const *policies, size_t n) {
  rlc__writer w = {buf, size, 0};
  const problem *p = &problems[kind >= RLC_PROBLEM_QUOTA_EXCEEDED &&
                                       kind <= RLC_PROBLEM_ABNORMAL_USAGE
                                   ? kind
                                   : 0];

  if (p->type == NULL || status < 400 || status > 599) {
    return rlc__write_end(&w);
  }
  write_member(&w, "{\"type\":\"", p->type);
  write_member(&w, ",\"title\":\"", p->title);
  rlc__write_text(&w, ",\"status\":");
  rlc__write_number(&w, (uint64_t)status);
  write_member(&w, ",\"detail\":\"", p->detail);
  rlc__write_text(&w, ",\"violated-policies\":[");
  for (size_t i = 0; i < n; ++i) {
    rlc__write_text(&w, i > 0 ? "," : "");
    write_json(&w, policies[i] != NULL ? policies[i] : "default");
  }
  rlc__write_text(&w, "]}");
  return rlc__write_end(&w);
}
