/* SPDX-License-Identifier: Apache-2.0 */
#include "store/url.h"

#include <stdarg.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/suggest.h"
#include "store/url_parser.h"

#define MAX_PATH 1023
#define DEFAULT_TIMEOUT_US INT64_C(25000)

typedef rlc__url_slice slice;
typedef rlc__url_parser parser;

int rlc__url_fail(const parser *p, int error, const char *at, const char *format, ...) {
  char message[RLC_MESSAGE_SIZE];
  va_list args;

  va_start(args, format);
  rlc__vfail(0, message, sizeof message, format, args);
  va_end(args);
  return rlc__fail(error, p->why, p->why_size, "column %zu: %s", (size_t)(at - p->text) + 1,
                   message);
}

int rlc__url_copy(const parser *p, char **out, slice s) {
  *out = rlc__strndup(&p->url->memory, s.at, s.len);
  return *out != NULL ? 0 : rlc__fail(RLC_ERR_NOMEM, p->why, p->why_size, "out of memory");
}

int rlc__url_number(slice s, unsigned base, uint64_t max, uint64_t *out) {
  uint64_t value = 0;

  for (size_t i = 0; i < s.len; ++i) {
    /* A byte below '0' wraps to a large number, and is no digit either. */
    unsigned digit = (unsigned)(unsigned char)s.at[i] - '0';

    if (digit >= base || digit > max || value > (max - digit) / base) {
      return -1;
    }
    value = value * base + digit;
  }
  *out = value;
  return s.len > 0 ? 0 : -1;
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  c = (char)(c | 0x20);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int rlc__url_decode(const parser *p, char *to, slice s) {
  for (size_t i = 0; i < s.len; ++i) {
    int byte = (unsigned char)s.at[i];

    if (byte == '%') {
      int high = i + 2 < s.len ? hex_digit(s.at[i + 1]) : -1;
      int low = i + 2 < s.len ? hex_digit(s.at[i + 2]) : -1;

      if (high < 0 || low < 0) {
        return rlc__url_fail(p, RLC_ERR_URL, s.at + i, "expected two hex digits after \"%%\"; the "
                             "character itself is written \"%%25\"");
      }
      byte = high * 16 + low;
      if (byte == 0) {
        return rlc__url_fail(p, RLC_ERR_URL, s.at + i, "\"%%00\" cannot be used; leave it out");
      }
      i += 2;
    }
    *to++ = (char)byte;
  }
  return 0;
}

int rlc__url_decode_new(const parser *p, char **out, slice s) {
  *out = rlc__calloc(&p->url->memory, s.len + 1, 1);
  return *out != NULL ? rlc__url_decode(p, *out, s)
                      : rlc__fail(RLC_ERR_NOMEM, p->why, p->why_size, "out of memory");
}

int rlc__url_is_word(slice s, size_t most) {
  for (size_t i = 0; i < s.len; ++i) {
    char c = s.at[i];

    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
          c == '.' || c == '-')) {
      return 0;
    }
  }
  return s.len >= 1 && s.len <= most;
}

/* --- the parts of a URL -------------------------------------------------------------------- */

/* Nothing, or `/path`. */
static int read_shm(parser *p, slice body) {
  if (body.len == 0) {
    return 0;
  }
  if (body.at[0] != '/') {
    return rlc__url_fail(p, RLC_ERR_URL, body.at, "expected an absolute path as in \"shm:/path\", "
                         "or nothing, after \"shm:\"");
  }
  if (body.len > 1 && body.at[1] == '/') {
    return rlc__url_fail(p, RLC_ERR_URL, body.at, "expected one slash, as in \"shm:/path\", found "
                         "two");
  }
  if (body.at[body.len - 1] == '/') {
    return rlc__url_fail(p, RLC_ERR_URL, body.at + body.len - 1, "expected the path of a file, "
                         "found that of a folder");
  }
  if (body.len > MAX_PATH) {
    return rlc__url_fail(p, RLC_ERR_URL, body.at, "expected a path of at most %d bytes", MAX_PATH);
  }
  return rlc__url_decode_new(p, &p->url->path, body);
}

static int read_memory(parser *p, slice body) {
  return body.len == 0 ? 0
                       : rlc__url_fail(p, RLC_ERR_URL, body.at, "expected nothing, or \"?\" and "
                                       "options, after \"memory:\"");
}

/* Reads all up to the "?". |*body| is what follows the scheme, options and all. */
static int read_scheme(parser *p, slice *body) {
  static const char *const names[] = {"shm",            "memory",          "redis",
                                      "redis+unix",     "redis+sentinel",  "redis+cluster",
                                      "rediss",         "rediss+sentinel", "rediss+cluster"};
  static const struct {
    rlc__scheme scheme;
    int tls;
    int (*read)(parser *p, slice body);
  } schemes[] = {{RLC__SCHEME_SHM, 0, read_shm},
                 {RLC__SCHEME_MEMORY, 0, read_memory},
                 {RLC__SCHEME_REDIS, 0, rlc__url_servers},
                 {RLC__SCHEME_REDIS_UNIX, 0, rlc__url_servers},
                 {RLC__SCHEME_REDIS_SENTINEL, 0, rlc__url_servers},
                 {RLC__SCHEME_REDIS_CLUSTER, 0, rlc__url_servers},
                 {RLC__SCHEME_REDIS, 1, rlc__url_servers},
                 {RLC__SCHEME_REDIS_SENTINEL, 1, rlc__url_servers},
                 {RLC__SCHEME_REDIS_CLUSTER, 1, rlc__url_servers}};
  const size_t n = sizeof names / sizeof names[0];
  const char *colon = memchr(p->text, ':', (size_t)(p->end - p->text));
  slice scheme = {p->text, (size_t)((colon != NULL ? colon : p->end) - p->text)};
  const char *meant = rlc__suggest(scheme.at, scheme.len, names, n);

  for (size_t i = 0; colon != NULL && i < n; ++i) {
    if (scheme.len == strlen(names[i]) && memcmp(scheme.at, names[i], scheme.len) == 0) {
      p->url->scheme = schemes[i].scheme;
      p->url->tls = schemes[i].tls;
      *body = (slice){colon + 1, (size_t)(p->end - colon) - 1};
      return schemes[i].read(p, (slice){body->at, strcspn(body->at, "?")});
    }
  }
  /* What stands there is not repeated: without a scheme it may begin with a password. */
  return rlc__url_fail(p, RLC_ERR_URL, p->text, "expected \"shm:\", \"shm:/path\", \"memory:\", "
                       "\"redis://host\", \"rediss://host\", \"redis+unix:///path\", "
                       "\"redis+sentinel://host,host/name\" or \"redis+cluster://host,host\"%s%s%s",
                       meant != NULL ? " - did you mean \"" : "", meant != NULL ? meant : "",
                       meant != NULL ? ":\"?" : "");
}

/* --- the whole ----------------------------------------------------------------------------- */

static int read_url(parser *p) {
  slice body = {p->end, 0};
  const char *query;
  int rv;

  if (p->end - p->text > RLC__URL_MAX) {
    return rlc__url_fail(p, RLC_ERR_URL, p->text + RLC__URL_MAX,
                         "expected a URL of at most %d bytes, found more", RLC__URL_MAX);
  }
  for (const char *at = p->text; at < p->end; ++at) {
    if ((unsigned char)*at <= ' ' || *at == 0x7f) {
      return rlc__url_fail(p, RLC_ERR_URL, at, "a URL has no spaces or control characters; write a "
                           "space as \"%%20\"");
    }
    if (*at == '#') {
      return rlc__url_fail(p, RLC_ERR_URL, at, "\"#\" has no meaning here; in a password or path "
                           "write it as \"%%23\"");
    }
  }
  rv = read_scheme(p, &body);
  if (rv != 0) {
    return rv;
  }
  query = memchr(body.at, '?', body.len);
  if (query != NULL) {
    rv = rlc__url_options(p, query + 1);
  }
  if (rv == 0 && p->url->prefix == NULL) {
    rv = rlc__url_copy(p, &p->url->prefix, (slice){"rl", 2});
  }
  return rv;
}

int rlc__url_new(rlc__url **out, const char *text, const rlc_memory *memory, char *why,
                 size_t why_size) {
  rlc__url *url = NULL;
  parser p;
  int rv;

  *out = NULL;
  memory = rlc__memory_or_default(memory);
  url = rlc__calloc(memory, 1, sizeof *url);
  if (url == NULL) {
    rv = rlc__fail(RLC_ERR_NOMEM, why, why_size, "out of memory");
    goto leave;
  }
  url->memory = *memory;
  url->share = 1;
  url->mode = 0600;
  text = text != NULL ? text : "shm:";
  p = (parser){url, text, text + strnlen(text, RLC__URL_MAX + 1), why, why_size, 0};
  rv = read_url(&p);
  if (rv == 0) {
    *out = url;
    url = NULL;
  }

leave:
  rlc__url_del(url);
  return rv;
}

/* Users and passwords go without a trace. */
static void free_secret(const rlc_memory *memory, char *secret) {
  if (secret != NULL) {
    rlc__wipe(secret, strlen(secret));
    rlc__free(memory, secret);
  }
}

void rlc__url_del(rlc__url *url) {
  rlc_memory memory;

  if (url == NULL) {
    return;
  }
  memory = url->memory;
  rlc__free(&memory, url->path);
  rlc__free(&memory, url->master);
  free_secret(&memory, url->user);
  free_secret(&memory, url->password);
  free_secret(&memory, url->sentinel_user);
  free_secret(&memory, url->sentinel_password);
  rlc__free(&memory, url->ca);
  rlc__free(&memory, url->cert);
  rlc__free(&memory, url->key);
  rlc__free(&memory, url->sni);
  rlc__free(&memory, url->prefix);
  rlc__free(&memory, url->group);
  rlc__free(&memory, url);
}

int64_t rlc__url_timeout_us(const rlc__url *url, const rlc_options *options) {
  if (url->scheme == RLC__SCHEME_SHM || url->scheme == RLC__SCHEME_MEMORY) {
    return 0;
  }
  if (url->timeout_us > 0) {
    return url->timeout_us;
  }
  return options->set & RLC__OPT_TIMEOUT ? options->timeout_us : DEFAULT_TIMEOUT_US;
}
