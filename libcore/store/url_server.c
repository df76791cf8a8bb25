/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <string.h>
#include <sys/un.h>

#include "store/url_parser.h"

/*
 * What stands between a redis scheme's colon and the options: who logs in, the servers, and the
 * path. Nothing of it is repeated in a message. Where a character is missing or not escaped, any
 * part of it may be one of a password; the column says where to look.
 */

#define MAX_HOST 253
#define MAX_MASTER 64
#define REDIS_PORT 6379
#define SENTINEL_PORT 26379

typedef rlc__url_slice slice;
typedef rlc__url_parser parser;

/* How such a URL is written: what follows "redis" or "rediss". */
static const char *example(const rlc__url *url) {
  switch (url->scheme) {
  case RLC__SCHEME_REDIS_UNIX:
    return "+unix:///run/redis.sock";
  case RLC__SCHEME_REDIS_SENTINEL:
    return "+sentinel://host1,host2/name";
  case RLC__SCHEME_REDIS_CLUSTER:
    return "+cluster://host1,host2";
  default:
    return "://localhost";
  }
}

/* Says that |expected| is wanted at |at|, with an example. */
static int fail_example(const parser *p, const char *at, const char *expected) {
  return rlc__url_fail(p, RLC_ERR_URL, at, "expected %s, as in \"redis%s%s\"", expected,
                       p->url->tls ? "s" : "", example(p->url));
}

/* --- who logs in --------------------------------------------------------------------------- */

/* `user:password`, `:password`. */
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
  rv = user.len > 0 ? rlc__url_decode_new(p, &p->url->user, user) : 0;
  return rv == 0 ? rlc__url_decode_new(p, &p->url->password, password) : rv;
}

/* --- servers ------------------------------------------------------------------------------- */

int rlc__url_is_host(slice s) {
  return rlc__url_is_word(s, MAX_HOST) && s.at[0] != '-' && s.at[0] != '.';
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

/* The `address` of `[address]`. */
static int read_v6(parser *p, slice name, rlc__endpoint *out) {
  char host[RLC__HOST_SIZE] = "";
  int rv = name.len < sizeof host ? rlc__url_decode(p, host, name) : 0;

  if (rv != 0) {
    return rv;
  }
  if (!is_v6(host) || rlc__endpoint_set(out, host, strlen(host), REDIS_PORT) != 0) {
    return rlc__url_fail(p, RLC_ERR_URL, name.at - 1,
                         "expected an IPv6 address in brackets, as in \"[::1]\"");
  }
  return 0;
}

static int read_port(parser *p, slice port, rlc__endpoint *out) {
  uint64_t n;

  if (rlc__url_number(port, 10, UINT16_MAX, &n) != 0 || n == 0) {
    return rlc__url_fail(p, RLC_ERR_URL, port.at,
                         "expected a port from 1 to 65535 after the host and \":\"");
  }
  out->port = (uint16_t)n;
  return 0;
}

/* `name`, `name:port`, `[address]` or `[address]:port`. */
static int read_host(parser *p, slice host, rlc__endpoint *out) {
  const char *stop = host.at + host.len;
  const char *after;
  slice name;
  int rv = 0;

  if (host.at[0] == '[') {
    after = memchr(host.at, ']', host.len);
    name.at = host.at + 1;
    name.len = after != NULL ? (size_t)(after - name.at) : 0;
    rv = read_v6(p, name, out);
    after = after != NULL ? after + 1 : stop;
  } else {
    after = memchr(host.at, ':', host.len);
    after = after != NULL ? after : stop;
    name = (slice){host.at, (size_t)(after - host.at)};
    if (after != stop && memchr(after + 1, ':', (size_t)(stop - after) - 1) != NULL) {
      rv = rlc__url_fail(p, RLC_ERR_URL, host.at, "an IPv6 address is written in brackets, as in "
                         "\"[::1]:6379\"");
    } else if (!rlc__url_is_host(name) ||
               rlc__endpoint_set(out, name.at, name.len, REDIS_PORT) != 0) {
      rv = rlc__url_fail(p, RLC_ERR_URL, host.at, "expected the name of a host, of letters, "
                         "digits, \".\", \"-\" and \"_\", or its address");
    }
  }
  if (rv != 0) {
    return rv;
  }
  out->port = p->url->scheme == RLC__SCHEME_REDIS_SENTINEL ? SENTINEL_PORT : REDIS_PORT;
  if (after == stop) {
    return 0;
  }
  if (*after != ':') {
    return rlc__url_fail(p, RLC_ERR_URL, after, "expected \":\" and a port after the host");
  }
  return read_port(p, (slice){after + 1, (size_t)(stop - after) - 1}, out);
}

/* `host,host`. */
static int read_hosts(parser *p, slice hosts) {
  rlc__url *url = p->url;
  const char *comma;

  if (hosts.len == 0) {
    return fail_example(p, hosts.at, "a host");
  }
  do {
    slice host = hosts;
    int rv;

    comma = memchr(hosts.at, ',', hosts.len);
    if (comma != NULL) {
      host.len = (size_t)(comma - host.at);
      hosts.len -= host.len + 1;
      hosts.at = comma + 1;
    }
    if (host.len == 0) {
      return rlc__url_fail(p, RLC_ERR_URL, host.at, "a host is missing here; write one, or leave "
                           "the comma out");
    }
    if (comma != NULL && url->scheme == RLC__SCHEME_REDIS) {
      return rlc__url_fail(p, RLC_ERR_URL, comma, "expected one host; several are written as in "
                           "\"redis+sentinel://host1,host2/name\" or "
                           "\"redis+cluster://host1,host2\"");
    }
    if (url->servers == RLC__MAX_SERVERS) {
      return rlc__url_fail(p, RLC_ERR_URL, host.at, "expected at most %d hosts; leave out the "
                           "others", RLC__MAX_SERVERS);
    }
    rv = read_host(p, host, &url->server[url->servers]);
    if (rv != 0) {
      return rv;
    }
    for (size_t i = 0; i < url->servers; ++i) {
      if (rlc__endpoint_equal(&url->server[i], &url->server[url->servers])) {
        return rlc__url_fail(p, RLC_ERR_URL, host.at, "this is host %zu once more; leave it out",
                             i + 1);
      }
    }
    ++url->servers;
  } while (comma != NULL);
  return 0;
}

/* --- the path ------------------------------------------------------------------------------ */

/* `/path` of a socket. */
static int read_socket(parser *p, slice host, slice path) {
  struct sockaddr_un address;
  const size_t most = sizeof address.sun_path - 1;
  char text[RLC__URL_MAX + 1] = "";
  int rv;

  if (host.len > 0) {
    return rlc__url_fail(p, RLC_ERR_URL, host.at, "a socket has no host; write three slashes, as "
                         "in \"redis+unix:///run/redis.sock\"");
  }
  if (path.len <= 1) {
    return fail_example(p, path.at, "the path of a socket");
  }
  rv = rlc__url_decode(p, text, path);
  if (rv == 0 && (strlen(text) > most ||
                  rlc__endpoint_set(&p->url->server[0], text, strlen(text), 0) != 0)) {
    rv = rlc__url_fail(p, RLC_ERR_URL, path.at, "expected a socket's path of at most %zu bytes, "
                       "without control characters", most);
  }
  p->url->servers = 1;
  return rv;
}

/* `/db`, `/` or nothing. */
static int read_db(parser *p, slice path) {
  uint64_t db = 0;

  if (path.len <= 1) {
    return 0;
  }
  ++path.at;
  --path.len;
  if (p->url->scheme == RLC__SCHEME_REDIS_CLUSTER) {
    if (rlc__url_number(path, 10, 0, &db) != 0) {
      return rlc__url_fail(p, RLC_ERR_URL, path.at, "a cluster has database 0 and no other; leave "
                           "out what follows the hosts");
    }
  } else if (rlc__url_number(path, 10, RLC__URL_MAX_DB, &db) != 0) {
    return rlc__url_fail(p, RLC_ERR_URL, path.at,
                         "expected a database number from 0 to %d after the slash",
                         RLC__URL_MAX_DB);
  }
  p->url->db = (unsigned)db;
  return 0;
}

/* `/master` or `/master/db`. */
static int read_master(parser *p, slice path) {
  const char *slash;
  slice name;
  int rv;

  if (path.len <= 1) {
    return fail_example(p, path.at, "a slash and the name that the sentinels know the master by");
  }
  name = (slice){path.at + 1, path.len - 1};
  slash = memchr(name.at, '/', name.len);
  if (slash != NULL) {
    name.len = (size_t)(slash - name.at);
  }
  /* The characters that sentinel.conf allows in one. */
  if (!rlc__url_is_word(name, MAX_MASTER)) {
    return rlc__url_fail(p, RLC_ERR_URL, name.at, "expected the name that the sentinels know the "
                         "master by: 1 to %d letters, digits, \".\", \"-\" or \"_\"", MAX_MASTER);
  }
  rv = rlc__url_copy(p, &p->url->master, name);
  path.at += 1 + name.len;
  path.len -= 1 + name.len;
  return rv == 0 ? read_db(p, path) : rv;
}

/* --- the whole ----------------------------------------------------------------------------- */

int rlc__url_servers(parser *p, slice body) {
  const char *slash, *at;
  slice host, path;
  int rv = 0;

  if (body.len < 2 || body.at[0] != '/' || body.at[1] != '/') {
    return fail_example(p, body.at, "two slashes after the scheme");
  }
  host = (slice){body.at + 2, body.len - 2};
  slash = memchr(host.at, '/', host.len);
  slash = slash != NULL ? slash : host.at + host.len;
  path = (slice){slash, (size_t)(body.at + body.len - slash)};
  host.len = (size_t)(slash - host.at);
  /* Behind the hosts it would mean that the password has a bare "/" or "?", and that what comes
   * before is no host. */
  if (memchr(path.at, '@', (size_t)(p->end - path.at)) != NULL) {
    return rlc__url_fail(p, RLC_ERR_URL, path.at, "an \"@\" is out of place after this; write it "
                         "as \"%%40\", and in a user or password \"/\" as \"%%2F\" and \"?\" as "
                         "\"%%3F\"");
  }
  at = memrchr(host.at, '@', host.len);
  if (at != NULL) {
    slice login = {host.at, (size_t)(at - host.at)};

    host.len -= login.len + 1;
    host.at = at + 1;
    rv = read_login(p, login);
  }
  if (rv == 0 && p->url->scheme == RLC__SCHEME_REDIS_UNIX) {
    return read_socket(p, host, path);
  }
  rv = rv == 0 ? read_hosts(p, host) : rv;
  if (rv != 0) {
    return rv;
  }
  return p->url->scheme == RLC__SCHEME_REDIS_SENTINEL ? read_master(p, path) : read_db(p, path);
}
