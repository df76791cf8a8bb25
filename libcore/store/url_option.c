/* SPDX-License-Identifier: Apache-2.0 */
#include "store/url_option.h"

#include <string.h>

#include "base/error.h"
#include "base/suggest.h"

#define SHOWN 48
#define MAX_DB 65535
#define MIN_SLOTS 64
#define MAX_SLOTS (UINT64_C(1) << 28)
#define MIN_TIMEOUT_US 1000
#define MAX_TIMEOUT_US 60000000
#define MAX_SHARE 10000
#define MAX_WORD 32

/* The kinds of URL that an option belongs to. */
enum {
  FOR_SHM = 1,
  FOR_SHM_PATH = 2,
  FOR_MEMORY = 4,
  FOR_REDIS = 8,
  FOR_UNIX = 16,
  FOR_TABLES = FOR_SHM | FOR_SHM_PATH | FOR_MEMORY,
  FOR_SERVERS = FOR_REDIS | FOR_UNIX
};

typedef struct option {
  const char *name;
  unsigned kinds;
  const char *belongs; /* the same for people */
  int (*read)(rlc__url_parser *p, rlc__url_slice value);
} option;

static int is_word_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '.' || c == '-';
}

/* What may be part of a Redis key or a group's name as it stands: nothing to escape. */
static int is_word(rlc__url_slice s) {
  for (size_t i = 0; i < s.len; ++i) {
    if (!is_word_char(s.at[i])) {
      return 0;
    }
  }
  return s.len >= 1 && s.len <= MAX_WORD;
}

static int slice_is(rlc__url_slice s, const char *word) {
  return s.len == strlen(word) && memcmp(s.at, word, s.len) == 0;
}

/* Says what |name| expects in place of |value|. */
static int fail_value(const rlc__url_parser *p, const char *name, const char *expected,
                      rlc__url_slice value) {
  char shown[SHOWN];

  return rlc__url_fail(p, RLC_ERR_URL, value.at, "expected %s after \"%s=\", found \"%s\"",
                       expected, name, rlc__printable(shown, sizeof shown, value.at, value.len));
}

static int read_size(rlc__url_parser *p, rlc__url_slice value) {
  uint64_t n;

  if (rlc__url_number(value, 10, MAX_SLOTS, &n) != 0 || n < MIN_SLOTS) {
    return fail_value(p, "size", "a number of slots from 64 to 268435456", value);
  }
  p->url->slots = n;
  return 0;
}

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
  if (!is_word(value)) {
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

  if (rlc__url_number(value, 10, MAX_DB, &n) != 0) {
    return fail_value(p, "db", "a database number from 0 to 65535", value);
  }
  p->url->db = (unsigned)n;
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
  if (!is_word(value) || value.at[0] == '-') {
    return fail_value(p, "group", "the name of a group", value);
  }
  return rlc__url_copy(p, &p->url->group, value);
}

static const option options[] = {
    {"size", FOR_TABLES, "\"shm:\" and \"memory:\"", read_size},
    {"mode", FOR_SHM_PATH, "\"shm:/path\"", read_mode},
    {"group", FOR_SHM_PATH, "\"shm:/path\"", read_group},
    {"timeout", FOR_SERVERS, "\"redis://\" and \"redis+unix://\"", read_timeout},
    {"prefix", FOR_SERVERS, "\"redis://\" and \"redis+unix://\"", read_prefix},
    {"fail", FOR_SERVERS, "\"redis://\" and \"redis+unix://\"", read_fail},
    {"share", FOR_SERVERS, "\"redis://\" and \"redis+unix://\"", read_share},
    {"db", FOR_UNIX, "\"redis+unix://\" (elsewhere write \"redis://host/n\")", read_db},
};

#define OPTIONS (sizeof options / sizeof options[0])

/* The bit of the URL's kind. Its path has been read by now. */
static unsigned kind_of(const rlc__url *url) {
  switch (url->scheme) {
  case RLC__SCHEME_SHM:
    return url->path != NULL ? FOR_SHM_PATH : FOR_SHM;
  case RLC__SCHEME_MEMORY:
    return FOR_MEMORY;
  case RLC__SCHEME_REDIS:
    return FOR_REDIS;
  case RLC__SCHEME_REDIS_UNIX:
    break;
  }
  return FOR_UNIX;
}

/* Says what is wrong with the option |name|. Its value is not repeated: it may be a secret. */
static int fail_name(const rlc__url_parser *p, rlc__url_slice name) {
  static const char *const later[] = {"ca", "cert", "key", "connections"};
  const char *names[OPTIONS];
  char shown[SHOWN];
  size_t n = 0;
  const char *meant;

  for (size_t i = 0; i < sizeof later / sizeof later[0]; ++i) {
    if (slice_is(name, later[i])) {
      return rlc__url_fail(p, RLC_ERR_UNSUPPORTED, name.at,
                           "\"%s=\" is not available in this version; leave it out", later[i]);
    }
  }
  for (size_t i = 0; i < OPTIONS; ++i) {
    if (options[i].kinds & kind_of(p->url)) {
      names[n++] = options[i].name;
    }
  }
  meant = rlc__suggest(name.at, name.len, names, n);
  rlc__printable(shown, sizeof shown, name.at, name.len);
  if (meant != NULL) {
    return rlc__url_fail(p, RLC_ERR_URL, name.at,
                         "unknown option \"%s\" - did you mean \"%s=\"?", shown, meant);
  }
  if (kind_of(p->url) & FOR_SERVERS) {
    return rlc__url_fail(p, RLC_ERR_URL, name.at, "expected timeout=, prefix=, fail= or share=, "
                         "found the option \"%s\"", shown);
  }
  return rlc__url_fail(p, RLC_ERR_URL, name.at, "expected an option such as \"size=65536\", found "
                       "the option \"%s\"", shown);
}

/* |value.at| is NULL where there is no "=". |*seen| has a bit for each option read before. */
static int read_option(rlc__url_parser *p, rlc__url_slice name, rlc__url_slice value,
                       unsigned *seen) {
  for (unsigned i = 0; i < OPTIONS; ++i) {
    const option *o = &options[i];

    if (!slice_is(name, o->name)) {
      continue;
    }
    if (!(o->kinds & kind_of(p->url))) {
      return rlc__url_fail(p, RLC_ERR_URL, name.at, "\"%s=\" belongs to %s; leave it out here",
                           o->name, o->belongs);
    }
    if (*seen & 1u << i) {
      return rlc__url_fail(p, RLC_ERR_URL, name.at, "\"%s=\" is given twice; leave one out",
                           o->name);
    }
    if (value.at == NULL) {
      return rlc__url_fail(p, RLC_ERR_URL, name.at + name.len,
                           "expected \"=\" and a value after \"%s\"", o->name);
    }
    *seen |= 1u << i;
    return o->read(p, value);
  }
  return fail_name(p, name);
}

int rlc__url_options(rlc__url_parser *p, const char *at) {
  unsigned seen = 0;

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
    rv = read_option(p, name, value, &seen);
    if (rv != 0 || amp == NULL) {
      return rv;
    }
    at = amp + 1;
  }
}
