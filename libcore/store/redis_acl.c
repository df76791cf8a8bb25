/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "store/url.h"

#define HASH 32
#define NO_HASH "SHA256-OF-THE-PASSWORD" /* a server refuses it: it is no hash */
#define NO_USER "rlcore"

/* What a command is sent for. Each was found to be missed where it is taken away; the tests run as
 * this user. */
enum {
  ALWAYS = 1,
  DATABASE = 2, /* a URL with a database other than 0 */
  MASTERS = 4,  /* a server that sentinels name */
  CLUSTER = 8,
  SENTINELS = 16
};

static const struct {
  const char *rule;
  unsigned when;
} commands[] = {
    {"+evalsha", ALWAYS},
    {"+eval", ALWAYS},                       /* a server that does not know the script yet */
    {"+time", ALWAYS},                       /* in all scripts, as are the next three */
    {"+get", ALWAYS},
    {"+set", ALWAYS},
    {"+incrby", ALWAYS},                     /* in a fixed window */
    {"+append", ALWAYS},                     /* in a long log, as is the next */
    {"+pexpireat", ALWAYS},
    {"+del", ALWAYS},                        /* reset, and a refund of all that was charged */
    {"+hget", ALWAYS},                      /* from here on the index of bans and overrides */
    {"+hgetall", ALWAYS},
    {"+hset", ALWAYS},
    {"+hdel", ALWAYS},
    {"+hlen", ALWAYS},
    {"+hexists", ALWAYS},
    {"+hmget", ALWAYS},
    {"+mget", ALWAYS},
    {"+zadd", ALWAYS},
    {"+zrem", ALWAYS},
    {"+zcard", ALWAYS},
    {"+zcount", ALWAYS},
    {"+zmscore", ALWAYS},
    {"+zrangebyscore", ALWAYS},             /* to here */
    {"+info", ALWAYS},                       /* warns of settings that lose what was counted */
    {"+select", DATABASE},
    {"+role", MASTERS},
    {"+cluster|slots", CLUSTER},
    {"+asking", CLUSTER},                    /* while a slot moves */
    {"+sentinel|get-master-addr-by-name", SENTINELS},
    {"+client|setname", ALWAYS | SENTINELS}, /* for who reads CLIENT LIST */
};

/* Text that grows as far as it fits, and counts on. */
typedef struct line {
  char *buf;
  size_t size;
  size_t len;
} line;

static void add(line *l, const char *text) {
  size_t len = strlen(text);

  if (l->len + len < l->size) {
    memcpy(l->buf + l->len, text, len + 1);
  }
  l->len += len;
}

/* Whether |user| is one word for redis-cli, which knows quotes, and in an ACL file. */
static int is_one_word(const char *user) {
  for (const char *at = user; *at != '\0'; ++at) {
    if ((unsigned char)*at <= ' ' || *at == 0x7f || strchr("\"'\\", *at) != NULL) {
      return 0;
    }
  }
  return 1;
}

/* The hash by which a server knows |password|, in hexadecimal. */
static int hash(char out[2 * HASH + 1], const char *password) {
  unsigned char digest[HASH];

  if (EVP_Digest(password, strlen(password), digest, NULL, EVP_sha256(), NULL) != 1) {
    return RLC_ERR_NOMEM;
  }
  for (int i = 0; i < HASH; ++i) {
    snprintf(out + 2 * i, 3, "%02x", digest[i]);
  }
  return 0;
}

static unsigned needs(const rlc__url *url, rlc_acl whom) {
  if (whom == RLC_ACL_SENTINEL) {
    return SENTINELS;
  }
  return ALWAYS | (url->db != 0 ? DATABASE : 0u) |
         (url->scheme == RLC__SCHEME_REDIS_SENTINEL ? MASTERS : 0u) |
         (url->scheme == RLC__SCHEME_REDIS_CLUSTER ? CLUSTER : 0u);
}

static int write_line(line *l, const rlc__url *url, rlc_acl whom, char *why, size_t why_size) {
  const char *user = whom == RLC_ACL_SENTINEL ? url->sentinel_user : url->user;
  const char *password = whom == RLC_ACL_SENTINEL ? url->sentinel_password : url->password;
  unsigned wanted = needs(url, whom);
  char digest[2 * HASH + 1] = NO_HASH;

  if (user != NULL && strcmp(user, "default") == 0) {
    return rlc__fail(RLC_ERR_URL, why, why_size,
                     "the user \"default\" is everybody who does not log in: name another in the "
                     "URL, as in \"" NO_USER ":password@\"");
  }
  if (user != NULL && !is_one_word(user)) {
    return rlc__fail(RLC_ERR_URL, why, why_size,
                     "an access list takes no user whose name has a space, a quote, a backslash or "
                     "a control character: name another in the URL");
  }
  /* Without a user the password is that of the default one. */
  if (user != NULL && password != NULL && hash(digest, password) != 0) {
    return rlc__fail(RLC_ERR_NOMEM, why, why_size, "out of memory");
  }
  add(l, user != NULL ? user : NO_USER);
  add(l, " reset on #");
  add(l, digest);
  add(l, " resetchannels");
  if (whom != RLC_ACL_SENTINEL) {
    add(l, " ~");
    add(l, url->prefix);
    add(l, ":*");
  }
  for (size_t i = 0; i < sizeof commands / sizeof *commands; ++i) {
    if (commands[i].when & wanted) {
      add(l, " ");
      add(l, commands[i].rule);
    }
  }
  return 0;
}

int rlc_redis_format_acl(char *buf, size_t size, const char *url, rlc_acl whom, char *why,
                         size_t why_size) {
  line l = {buf, size, 0};
  rlc__url *parsed;
  int rv;

  if (size > 0) {
    buf[0] = '\0';
  }
  if (whom != RLC_ACL_REDIS && whom != RLC_ACL_SENTINEL) {
    return rlc__fail(RLC_ERR_INVALID, why, why_size, "no such server has an access list");
  }
  rv = rlc__url_new(&parsed, url, NULL, why, why_size);
  if (rv != 0) {
    return rv;
  }
  if (parsed->scheme == RLC__SCHEME_SHM || parsed->scheme == RLC__SCHEME_MEMORY) {
    rv = rlc__fail(RLC_ERR_URL, why, why_size,
                   "this store asks no server: access lists belong to URLs that begin with "
                   "\"redis\"");
  } else if (whom != RLC_ACL_SENTINEL || parsed->scheme == RLC__SCHEME_REDIS_SENTINEL) {
    rv = write_line(&l, parsed, whom, why, why_size);
  }
  rlc__url_del(parsed);
  if (size > 0 && (rv != 0 || l.len >= size)) {
    buf[0] = '\0';
  }
  return rv != 0 ? rv : (int)l.len;
}
