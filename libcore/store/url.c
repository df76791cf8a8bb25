/* SPDX-License-Identifier: Apache-2.0 */
#include "store/url.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/suggest.h"
#include "store/url_option.h"

#define MAX_TEXT 2048
#define MAX_HOST 253
#define MAX_PATH 1023
#define MAX_DB 65535
#define DEFAULT_PORT 6379
#define SHOWN 64

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

/* Stores |s| in |*out| with its %XX replaced by bytes. The buffer is the decoded text's and zeros:
 * wiping strlen bytes of it leaves nothing. */
static int decode(const parser *p, char **out, slice s) {
  char *to = rlc__calloc(&p->url->memory, s.len + 1, 1);

  *out = to;
  if (to == NULL) {
    return rlc__fail(RLC_ERR_NOMEM, p->why, p->why_size, "out of memory");
  }
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
  return decode(p, &p->url->path, body);
}

static int read_memory(parser *p, slice body) {
  return body.len == 0 ? 0
                       : rlc__url_fail(p, RLC_ERR_URL, body.at, "expected nothing, or \"?\" and "
                                       "options, after \"memory:\"");
}

/* `user:password`, `:password`. Nothing of it is ever repeated in a message. */
static int read_login(parser *p, slice login) {
  const char *colon = memchr(login.at, ':', login.len);
  slice user, password;
  int rv;

  if (colon == NULL) {
    return rlc__url_fail(p, RLC_ERR_URL, login.at, "expected \"user:password@\" or \":password@\", "
                         "found no colon");
  }
  user = (slice){login.at, (size_t)(colon - login.at)};
  password = (slice){colon + 1, login.len - user.len - 1};
  if (password.len == 0) {
    return rlc__url_fail(p, RLC_ERR_URL, password.at, "the password is empty; write one, or leave "
                         "out all up to the \"@\"");
  }
  rv = user.len > 0 ? decode(p, &p->url->user, user) : 0;
  return rv == 0 ? decode(p, &p->url->password, password) : rv;
}

static int is_host_name(slice s) {
  for (size_t i = 0; i < s.len; ++i) {
    char c = s.at[i];

    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
          c == '-' || c == '_')) {
      return 0;
    }
  }
  return s.len >= 1 && s.len <= MAX_HOST && s.at[0] != '-' && s.at[0] != '.';
}

/* An IPv6 address, with a zone ("%25eth0" in a URL) or without. */
static int is_v6(const char *host) {
  unsigned char bytes[16];
  char address[INET6_ADDRSTRLEN];
  size_t len = strcspn(host, "%");

  if (len >= sizeof address || strcmp(host + len, "%") == 0) {
    return 0;
  }
  memcpy(address, host, len);
  address[len] = '\0';
  return inet_pton(AF_INET6, address, bytes) == 1;
}

static int read_port(parser *p, slice port) {
  char shown[SHOWN];
  uint64_t n;

  if (rlc__url_number(port, 10, UINT16_MAX, &n) != 0 || n == 0) {
    return rlc__url_fail(p, RLC_ERR_URL, port.at, "expected a port from 1 to 65535, found \"%s\"",
                         rlc__printable(shown, sizeof shown, port.at, port.len));
  }
  p->url->port = (uint16_t)n;
  return 0;
}

/* `name`, `name:port`, `[address]` or `[address]:port`. */
static int read_host(parser *p, slice host) {
  const char *stop = host.at + host.len;
  const char *after;
  slice name;
  char shown[SHOWN];
  int rv;

  if (host.len == 0) {
    return rlc__url_fail(p, RLC_ERR_URL, host.at, "expected a host, as in \"redis://localhost\"");
  }
  if (host.at[0] == '[') {
    after = memchr(host.at, ']', host.len);
    name.at = host.at + 1;
    name.len = after != NULL ? (size_t)(after - name.at) : 0;
    rv = decode(p, &p->url->host, name);
    if (rv != 0) {
      return rv;
    }
    if (!is_v6(p->url->host)) {
      return rlc__url_fail(p, RLC_ERR_URL, host.at,
                           "expected an IPv6 address in brackets, as in \"[::1]\", found \"%s\"",
                           rlc__printable(shown, sizeof shown, host.at, host.len));
    }
    ++after;
  } else {
    after = memchr(host.at, ':', host.len);
    after = after != NULL ? after : stop;
    if (after != stop && memchr(after + 1, ':', (size_t)(stop - after) - 1) != NULL) {
      return rlc__url_fail(p, RLC_ERR_URL, host.at, "an IPv6 address is written in brackets, as in "
                           "\"redis://[::1]:6379\"");
    }
    name = (slice){host.at, (size_t)(after - host.at)};
    if (!is_host_name(name)) {
      return rlc__url_fail(p, RLC_ERR_URL, host.at, "expected a host name or address, found \"%s\"",
                           rlc__printable(shown, sizeof shown, name.at, name.len));
    }
    rv = rlc__url_copy(p, &p->url->host, name);
    if (rv != 0) {
      return rv;
    }
  }
  p->url->port = DEFAULT_PORT;
  if (after == stop) {
    return 0;
  }
  if (*after != ':') {
    return rlc__url_fail(p, RLC_ERR_URL, after, "expected \":\" and a port after the host");
  }
  return read_port(p, (slice){after + 1, (size_t)(stop - after) - 1});
}

/* Splits `//authority/path` and reads the login, if any. |host| is the rest of the authority. */
static int read_authority(parser *p, slice body, slice *host, slice *path) {
  const char *slash, *at;
  slice login;

  if (body.len < 2 || body.at[0] != '/' || body.at[1] != '/') {
    return rlc__url_fail(p, RLC_ERR_URL, body.at, "expected two slashes after the scheme, as in "
                         "\"redis://localhost\" or \"redis+unix:///path\"");
  }
  *host = (slice){body.at + 2, body.len - 2};
  slash = memchr(host->at, '/', host->len);
  slash = slash != NULL ? slash : host->at + host->len;
  *path = (slice){slash, (size_t)(body.at + body.len - slash)};
  host->len = (size_t)(slash - host->at);
  at = memrchr(host->at, '@', host->len);
  if (at == NULL) {
    return 0;
  }
  login = (slice){host->at, (size_t)(at - host->at)};
  host->len -= login.len + 1;
  host->at = at + 1;
  return read_login(p, login);
}

/* `//[login@]host[:port][/db]`. */
static int read_redis(parser *p, slice body) {
  slice host, path;
  char shown[SHOWN];
  uint64_t db = 0;
  int rv = read_authority(p, body, &host, &path);

  if (rv != 0) {
    return rv;
  }
  /* A password with a bare "/" or "?" would be taken for host and path, and shown in a message. */
  if (memchr(path.at, '@', (size_t)(p->end - path.at)) != NULL) {
    return rlc__url_fail(p, RLC_ERR_URL, path.at, "an \"@\" is out of place here; in a user or "
                         "password write \"/\" as \"%%2F\" and \"?\" as \"%%3F\"");
  }
  rv = read_host(p, host);
  if (rv != 0 || path.len <= 1) {
    return rv;
  }
  ++path.at;
  --path.len;
  if (rlc__url_number(path, 10, MAX_DB, &db) != 0) {
    return rlc__url_fail(p, RLC_ERR_URL, path.at,
                         "expected a database number from 0 to 65535 after the slash, found \"%s\"",
                         rlc__printable(shown, sizeof shown, path.at, path.len));
  }
  p->url->db = (unsigned)db;
  return 0;
}

/* `//[login@]/path`. */
static int read_redis_unix(parser *p, slice body) {
  struct sockaddr_un address;
  slice host, path;
  int rv = read_authority(p, body, &host, &path);

  if (rv != 0) {
    return rv;
  }
  if (host.len > 0) {
    return rlc__url_fail(p, RLC_ERR_URL, host.at, "a socket has no host; write three slashes, as "
                         "in \"redis+unix:///run/redis.sock\"");
  }
  if (path.len <= 1) {
    return rlc__url_fail(p, RLC_ERR_URL, path.at, "expected the path of a socket, as in "
                         "\"redis+unix:///run/redis.sock\"");
  }
  rv = decode(p, &p->url->path, path);
  if (rv == 0 && strlen(p->url->path) >= sizeof address.sun_path) {
    rv = rlc__url_fail(p, RLC_ERR_URL, path.at, "expected a socket's path of at most %zu bytes",
                       sizeof address.sun_path - 1);
  }
  return rv;
}

/* Reads all up to the "?". |*body| is what follows the scheme, options and all. */
static int read_scheme(parser *p, slice *body) {
  static const char *const names[] = {"shm", "memory", "redis", "redis+unix"};
  static const struct {
    rlc__scheme scheme;
    int (*read)(parser *p, slice body);
  } schemes[] = {{RLC__SCHEME_SHM, read_shm},
                 {RLC__SCHEME_MEMORY, read_memory},
                 {RLC__SCHEME_REDIS, read_redis},
                 {RLC__SCHEME_REDIS_UNIX, read_redis_unix}};
  static const char *const later[] = {"rediss", "redis+sentinel", "redis+cluster"};
  const char *colon = memchr(p->text, ':', (size_t)(p->end - p->text));
  slice scheme = {p->text, (size_t)((colon != NULL ? colon : p->end) - p->text)};
  const char *meant = rlc__suggest(scheme.at, scheme.len, names, 4);

  if (colon != NULL) {
    for (size_t i = 0; i < 4; ++i) {
      if (scheme.len == strlen(names[i]) && memcmp(scheme.at, names[i], scheme.len) == 0) {
        p->url->scheme = schemes[i].scheme;
        *body = (slice){colon + 1, (size_t)(p->end - colon) - 1};
        return schemes[i].read(p, (slice){body->at, strcspn(body->at, "?")});
      }
    }
    for (size_t i = 0; i < 3; ++i) {
      if (scheme.len == strlen(later[i]) && memcmp(scheme.at, later[i], scheme.len) == 0) {
        return rlc__url_fail(p, RLC_ERR_UNSUPPORTED, p->text, "\"%s:\" is not available in this "
                             "version; write \"redis://host\" or \"redis+unix:///path\"", later[i]);
      }
    }
  }
  /* What stands there is not repeated: without a scheme it may begin with a password. */
  return rlc__url_fail(p, RLC_ERR_URL, p->text, "expected \"shm:\", \"shm:/path\", \"memory:\", "
                       "\"redis://host\" or \"redis+unix:///path\"%s%s%s",
                       meant != NULL ? " - did you mean \"" : "", meant != NULL ? meant : "",
                       meant != NULL ? ":\"?" : "");
}

/* --- the whole ----------------------------------------------------------------------------- */

static int read_url(parser *p) {
  slice body = {p->end, 0};
  const char *query;
  int rv;

  if (p->end - p->text > MAX_TEXT) {
    return rlc__url_fail(p, RLC_ERR_URL, p->text + MAX_TEXT,
                         "expected a URL of at most %d bytes, found more", MAX_TEXT);
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
  p = (parser){url, text, text + strnlen(text, MAX_TEXT + 1), why, why_size};
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
  rlc__free(&memory, url->host);
  rlc__free(&memory, url->path);
  free_secret(&memory, url->user);
  free_secret(&memory, url->password);
  rlc__free(&memory, url->prefix);
  rlc__free(&memory, url->group);
  rlc__free(&memory, url);
}
