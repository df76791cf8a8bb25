/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/suggest.h"
#include "store/url_parser.h"

#define SHOWN 48
#define MIN_SLOTS 64
#define MAX_SLOTS (UINT64_C(1) << 28)
#define MIN_TIMEOUT_US 1000
#define MAX_TIMEOUT_US 60000000
#define MAX_SHARE 10000
#define MAX_WORD 32

/* The kinds of URL that an option belongs to. One with TLS is of two kinds. */
enum {
  FOR_SHM = 1,
  FOR_SHM_PATH = 2,
  FOR_MEMORY = 4,
  FOR_REDIS = 8,
  FOR_UNIX = 16,
  FOR_SENTINEL = 32,
  FOR_CLUSTER = 64,
  FOR_TLS = 128,
  FOR_TABLES = FOR_SHM | FOR_SHM_PATH | FOR_MEMORY,
  FOR_SERVERS = FOR_REDIS | FOR_UNIX | FOR_SENTINEL | FOR_CLUSTER
};

typedef struct option {
  const char *name;
  unsigned kinds;
  const char *belongs; /* the same for people */
  int (*read)(rlc__url_parser *p, rlc__url_slice value);
} option;

static int slice_is(rlc__url_slice s, const char *word) {
  return s.len == strlen(word) && memcmp(s.at, word, s.len) == 0;
}

/* Says what |name| expects in place of |value|. */
static int fail_value(const rlc__url_parser *p, const char *name, const char *expected,
                      rlc__url_slice value) {
  char shown[SHOWN];

  if (p->after_secret) {
    return rlc__url_fail(p, RLC_ERR_URL, value.at, "expected %s after \"%s=\"", expected, name);
  }
  return rlc__url_fail(p, RLC_ERR_URL, value.at, "expected %s after \"%s=\", found \"%s\"",
                       expected, name, rlc__printable(shown, sizeof shown, value.at, value.len));
}

/* --- options of tables --------------------------------------------------------------------- */

static int read_size(rlc__url_parser *p, rlc__url_slice value) {
  uint64_t n;

  if (rlc__url_number(value, 10, MAX_SLOTS, &n) != 0 || n < MIN_SLOTS) {
    return fail_value(p, "size", "a number of slots from 64 to 268435456", value);
  }
  p->url->slots = n;
  return 0;
}

static int read_mode(rlc__url_parser *p, rlc__url_slice value) {
  uint64_t n;

  /* The owner reads and writes; nobody executes a table. */
  if (rlc__url_number(value, 8, 0666, &n) != 0 || (n & ~UINT64_C(0666)) != 0 ||
      (n & 0600) != 0600) {
    return fail_value(p, "mode", "an octal file mode such as \"0600\" or \"0660\"", value);
  }
  p->url->mode = (unsigned)n;
  return 0;
}

static int read_group(rlc__url_parser *p, rlc__url_slice value) {
  if (!rlc__url_is_word(value, MAX_WORD) || value.at[0] == '-') {
    return fail_value(p, "group", "the name of a group", value);
  }
  return rlc__url_copy(p, &p->url->group, value);
}

/* --- options of redis ---------------------------------------------------------------------- */

static int read_timeout(rlc__url_parser *p, rlc__url_slice value) {
  static const struct {
    const char *name;
    uint64_t us;
  } units[] = {{"us", 1}, {"ms", 1000}, {"s", 1000000}};
  rlc__url_slice digits = {value.at, 0};
  rlc__url_slice unit;
  uint64_t n = 0;

  while (digits.len < value.len && value.at[digits.len] >= '0' && value.at[digits.len] <= '9') {
    ++digits.len;
  }
  unit.at = value.at + digits.len;
  unit.len = value.len - digits.len;
  for (size_t i = 0; i < sizeof units / sizeof units[0]; ++i) {
    /* The maximum is divided, so that no product can overflow. */
    if (slice_is(unit, units[i].name) &&
        rlc__url_number(digits, 10, MAX_TIMEOUT_US / units[i].us, &n) == 0 &&
        n * units[i].us >= MIN_TIMEOUT_US) {
      p->url->timeout_us = (int64_t)(n * units[i].us);
      return 0;
    }
  }
  return fail_value(p, "timeout", "a time from 1ms to 60s with its unit (us, ms, s), as in "
                    "\"25ms\"", value);
}

static int read_prefix(rlc__url_parser *p, rlc__url_slice value) {
  if (!rlc__url_is_word(value, MAX_WORD)) {
    return fail_value(p, "prefix", "1 to 32 letters, digits, \"_\", \".\" or \"-\"", value);
  }
  return rlc__url_copy(p, &p->url->prefix, value);
}

static int read_fail(rlc__url_parser *p, rlc__url_slice value) {
  static const char *const names[] = {"local", "open", "closed"};

  for (int i = 0; i < 3; ++i) {
    if (slice_is(value, names[i])) {
      p->url->fail = (rlc_fail)(RLC_FAIL_LOCAL + i);
      return 0;
    }
  }
  return fail_value(p, "fail", "local, open or closed", value);
}

static int read_share(rlc__url_parser *p, rlc__url_slice value) {
  rlc__url_slice parts = value;
  uint64_t n;

  if (value.len > 2 && memcmp(value.at, "1/", 2) == 0) {
    parts.at += 2;
    parts.len -= 2;
  }
  if (parts.len == value.len || rlc__url_number(parts, 10, MAX_SHARE, &n) != 0 || n < 1) {
    return fail_value(p, "share", "a share such as \"1/4\", of at most 10000 machines", value);
  }
  p->url->share = n;
  return 0;
}

static int read_db(rlc__url_parser *p, rlc__url_slice value) {
  uint64_t n;

  if (rlc__url_number(value, 10, RLC__URL_MAX_DB, &n) != 0) {
    return fail_value(p, "db", "a database number from 0 to 65535", value);
  }
  p->url->db = (unsigned)n;
  return 0;
}

static int read_connections(rlc__url_parser *p, rlc__url_slice value) {
  uint64_t n;

  if (rlc__url_number(value, 10, RLC__MAX_CONNECTIONS, &n) != 0 || n < 1) {
    return fail_value(p, "connections", "a number of connections from 1 to 64", value);
  }
  p->url->connections = (unsigned)n;
  return 0;
}

/* A relative path would be one from wherever the program was started. */
static int read_file(rlc__url_parser *p, const char *name, char **out, rlc__url_slice value) {
  int rv = rlc__url_decode_new(p, out, value);

  if (rv == 0 && (*out)[0] != '/') {
    rv = fail_value(p, name, "an absolute path", value);
  }
  return rv;
}

static int read_ca(rlc__url_parser *p, rlc__url_slice value) {
  return read_file(p, "ca", &p->url->ca, value);
}

static int read_cert(rlc__url_parser *p, rlc__url_slice value) {
  return read_file(p, "cert", &p->url->cert, value);
}

static int read_key(rlc__url_parser *p, rlc__url_slice value) {
  return read_file(p, "key", &p->url->key, value);
}

static int read_sni(rlc__url_parser *p, rlc__url_slice value) {
  unsigned char address[16];
  int rv = rlc__url_decode_new(p, &p->url->sni, value);
  const char *name = p->url->sni;

  if (rv == 0 && !rlc__url_is_host((rlc__url_slice){name, strlen(name)}) &&
      inet_pton(AF_INET6, name, address) != 1) {
    rv = fail_value(p, "sni", "the host name, or address, that is in the server's certificate",
                    value);
  }
  return rv;
}

/* What is not escaped in it ends it too early, and its rest is then taken for another option. */
static int read_secret(rlc__url_parser *p, const char *name, char **out, rlc__url_slice value) {
  p->after_secret = 1;
  if (value.len == 0) {
    return rlc__url_fail(p, RLC_ERR_URL, value.at, "expected a value after \"%s=\"; write one, or "
                         "leave the option out", name);
  }
  return rlc__url_decode_new(p, out, value);
}

static int read_sentinel_user(rlc__url_parser *p, rlc__url_slice value) {
  return read_secret(p, "sentinel-user", &p->url->sentinel_user, value);
}

static int read_sentinel_password(rlc__url_parser *p, rlc__url_slice value) {
  return read_secret(p, "sentinel-password", &p->url->sentinel_password, value);
}

/* --- the list ------------------------------------------------------------------------------ */

#define SERVERS "\"redis://\" and the other URLs of redis"
#define TLS "\"rediss://\", \"rediss+sentinel://\" and \"rediss+cluster://\""
#define SENTINEL "\"redis+sentinel://\" and \"rediss+sentinel://\""

enum {
  SIZE,
  MODE,
  GROUP,
  TIMEOUT,
  PREFIX,
  FAIL,
  SHARE,
  DB,
  CONNECTIONS,
  CA,
  CERT,
  KEY,
  SNI,
  SENTINEL_USER,
  SENTINEL_PASSWORD,
  OPTIONS
};

static const option options[OPTIONS] = {
    [SIZE] = {"size", FOR_TABLES, "\"shm:\" and \"memory:\"", read_size},
    [MODE] = {"mode", FOR_SHM_PATH, "\"shm:/path\"", read_mode},
    [GROUP] = {"group", FOR_SHM_PATH, "\"shm:/path\"", read_group},
    [TIMEOUT] = {"timeout", FOR_SERVERS, SERVERS, read_timeout},
    [PREFIX] = {"prefix", FOR_SERVERS, SERVERS, read_prefix},
    [FAIL] = {"fail", FOR_SERVERS, SERVERS, read_fail},
    [SHARE] = {"share", FOR_SERVERS, SERVERS, read_share},
    [DB] = {"db", FOR_UNIX, "\"redis+unix://\" (elsewhere write \"redis://host/n\")", read_db},
    [CONNECTIONS] = {"connections", FOR_SERVERS, SERVERS, read_connections},
    [CA] = {"ca", FOR_TLS, TLS, read_ca},
    [CERT] = {"cert", FOR_TLS, TLS, read_cert},
    [KEY] = {"key", FOR_TLS, TLS, read_key},
    [SNI] = {"sni", FOR_TLS, TLS, read_sni},
    [SENTINEL_USER] = {"sentinel-user", FOR_SENTINEL, SENTINEL, read_sentinel_user},
    [SENTINEL_PASSWORD] = {"sentinel-password", FOR_SENTINEL, SENTINEL, read_sentinel_password},
};

/* The bits of the URL's kinds. Its path has been read by now. */
static unsigned kinds_of(const rlc__url *url) {
  unsigned tls = url->tls ? FOR_TLS : 0;

  switch (url->scheme) {
  case RLC__SCHEME_SHM:
    return url->path != NULL ? FOR_SHM_PATH : FOR_SHM;
  case RLC__SCHEME_MEMORY:
    return FOR_MEMORY;
  case RLC__SCHEME_REDIS:
    return FOR_REDIS | tls;
  case RLC__SCHEME_REDIS_UNIX:
    return FOR_UNIX;
  case RLC__SCHEME_REDIS_SENTINEL:
    return FOR_SENTINEL | tls;
  case RLC__SCHEME_REDIS_CLUSTER:
    break;
  }
  return FOR_CLUSTER | tls;
}

/* Writes |n| names as "a=, b= or c=". */
static void list_names(char list[RLC_MESSAGE_SIZE], const char *const *names, size_t n) {
  size_t len = 0;

  for (size_t i = 0; i < n; ++i) {
    const char *before = i == 0 ? "" : i + 1 < n ? ", " : " or ";
    int written = snprintf(list + len, RLC_MESSAGE_SIZE - len, "%s%s=", before, names[i]);

    len += written > 0 && (size_t)written < RLC_MESSAGE_SIZE - len ? (size_t)written : 0;
  }
}

/* Says what is wrong with the option |name|. Neither its value is repeated, nor a name that
 * resembles no option of redis: either may be a secret. */
static int fail_name(const rlc__url_parser *p, rlc__url_slice name, int has_value) {
  unsigned kinds = kinds_of(p->url);
  int is_server = (kinds & FOR_SERVERS) != 0;
  const char *names[OPTIONS];
  char list[RLC_MESSAGE_SIZE] = "";
  char shown[SHOWN];
  const char *meant = NULL;
  size_t n = 0;

  for (size_t i = 0; i < OPTIONS; ++i) {
    if (options[i].kinds & kinds) {
      names[n++] = options[i].name;
    }
  }
  list_names(list, names, n);
  if (p->after_secret) {
    return rlc__url_fail(p, RLC_ERR_URL, name.at, "expected %s here; in a user or password write "
                         "\"&\" as \"%%26\"", list);
  }
  if (!is_server || has_value) {
    meant = rlc__suggest(name.at, name.len, names, n);
  }
  rlc__printable(shown, sizeof shown, name.at, name.len);
  if (meant != NULL) {
    return rlc__url_fail(p, RLC_ERR_URL, name.at,
                         "unknown option \"%s\" - did you mean \"%s=\"?", shown, meant);
  }
  return rlc__url_fail(p, RLC_ERR_URL, name.at, "expected %s%s%s%s", list,
                       is_server ? ", found another option" : ", found the option \"",
                       is_server ? "" : shown, is_server ? "" : "\"");
}

/* |value.at| is NULL where there is no "=". |seen| tells where each option stood before. */
static int read_option(rlc__url_parser *p, rlc__url_slice name, rlc__url_slice value,
                       const char *seen[OPTIONS]) {
  for (unsigned i = 0; i < OPTIONS; ++i) {
    const option *o = &options[i];

    if (!slice_is(name, o->name)) {
      continue;
    }
    if (!(o->kinds & kinds_of(p->url))) {
      return rlc__url_fail(p, RLC_ERR_URL, name.at, "\"%s=\" belongs to %s; leave it out here",
                           o->name, o->belongs);
    }
    if (seen[i] != NULL) {
      return rlc__url_fail(p, RLC_ERR_URL, name.at, "\"%s=\" is given twice; leave one out",
                           o->name);
    }
    if (value.at == NULL) {
      return rlc__url_fail(p, RLC_ERR_URL, name.at + name.len,
                           "expected \"=\" and a value after \"%s\"", o->name);
    }
    seen[i] = name.at;
    return o->read(p, value);
  }
  return fail_name(p, name, value.at != NULL);
}

/* Options that mean nothing without another. */
static int check_pairs(const rlc__url_parser *p, const char *const seen[OPTIONS]) {
  if (seen[KEY] != NULL && seen[CERT] == NULL) {
    return rlc__url_fail(p, RLC_ERR_URL, seen[KEY], "\"key=\" belongs to a certificate; write its "
                         "file as \"cert=\" too");
  }
  if (seen[SENTINEL_USER] != NULL && seen[SENTINEL_PASSWORD] == NULL) {
    return rlc__url_fail(p, RLC_ERR_URL, seen[SENTINEL_USER], "\"sentinel-user=\" has no password; "
                         "write \"sentinel-password=\" too");
  }
  return 0;
}

int rlc__url_options(rlc__url_parser *p, const char *at) {
  const char *seen[OPTIONS] = {NULL};

  for (;;) {
    const char *amp = memchr(at, '&', (size_t)(p->end - at));
    const char *stop = amp != NULL ? amp : p->end;
    const char *equals = memchr(at, '=', (size_t)(stop - at));
    rlc__url_slice name = {at, (size_t)((equals != NULL ? equals : stop) - at)};
    rlc__url_slice value = {NULL, 0};
    int rv;

    if (name.len == 0) {
      return rlc__url_fail(p, RLC_ERR_URL, at, "expected an option as in \"name=value\"");
    }
    if (equals != NULL) {
      value.at = equals + 1;
      value.len = (size_t)(stop - value.at);
    }
    rv = read_option(p, name, value, seen);
    if (rv != 0) {
      return rv;
    }
    if (amp == NULL) {
      return check_pairs(p, seen);
    }
    at = amp + 1;
  }
}
