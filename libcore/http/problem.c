/* SPDX-License-Identifier: Apache-2.0 */
#include "http/writer.h"
#include "rlcore/rlcore.h"

typedef struct problem {
  int status;
  const char *type;
  const char *title;
  const char *detail;
} problem;

/* The types are those that the RateLimit draft registers with IANA. */
static const problem problems[] = {
    {429, "https://iana.org/assignments/http-problem-types#quota-exceeded", "Quota exceeded",
     "This request exceeds the quota of each policy in violated-policies. If there is a "
     "Retry-After field, the same request can pass after that many seconds."},
    {503, "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity",
     "Temporarily reduced capacity",
     "The quota cannot be checked at the moment, and until it can requests are refused. "
     "Try again later."},
};

/* A JSON string (RFC 8259). A byte outside ASCII is shown as U+FFFD: it may be no UTF-8. The angle
 * brackets are escaped for readers that take the body for HTML. */
static void write_json(rlc__writer *w, const char *text) {
  char escaped[8];

  rlc__write(w, "\"", 1);
  for (; *text != '\0'; ++text) {
    unsigned char c = (unsigned char)*text;

    if (c == '"' || c == '\\') {
      rlc__write(w, "\\", 1);
      rlc__write(w, text, 1);
    } else if (c >= 0x7f) {
      rlc__write_text(w, "\\ufffd");
    } else if (c < 0x20 || c == '<' || c == '>') {
      snprintf(escaped, sizeof escaped, "\\u%04x", c);
      rlc__write_text(w, escaped);
    } else {
      rlc__write(w, text, 1);
    }
  }
  rlc__write(w, "\"", 1);
}

static void write_member(rlc__writer *w, const char *name, const char *value) {
  rlc__write_text(w, name);
  write_json(w, value);
}

size_t rlc_http_format_problem(char *buf, size_t size, int status, const char *const *policies,
                               size_t n) {
  rlc__writer w = {buf, size, 0};
  const problem *p = &problems[status == 503];

  if (p->status != status) {
    return rlc__write_end(&w);
  }
  write_member(&w, "{\"type\":", p->type);
  write_member(&w, ",\"title\":", p->title);
  rlc__write_text(&w, ",\"status\":");
  rlc__write_number(&w, (uint64_t)p->status);
  write_member(&w, ",\"detail\":", p->detail);
  rlc__write_text(&w, ",\"violated-policies\":[");
  for (size_t i = 0; i < n; ++i) {
    write_member(&w, i > 0 ? "," : "", policies[i] != NULL ? policies[i] : "default");
  }
  rlc__write_text(&w, "]}");
  return rlc__write_end(&w);
}
