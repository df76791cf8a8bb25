/* SPDX-License-Identifier: Apache-2.0 */
#include "redis/refusal.h"

#include <string.h>

#include "base/error.h"
#include "redis/cluster.h"

/* Part of an error reply's text, without a NUL. */
typedef struct slice {
  const char *at;
  size_t len;
} slice;

static slice text_of(const redisReply *reply) {
  return reply->str != NULL ? (slice){reply->str, (size_t)reply->len} : (slice){"", 0};
}

static slice skip(slice text, size_t n) {
  return (slice){text.at + n, text.len - n};
}

static int begins(slice text, const char *with) {
  size_t len = strlen(with);

  return text.len >= len && memcmp(text.at, with, len) == 0;
}

static slice skip_if(slice text, const char *with) {
  return begins(text, with) ? skip(text, strlen(with)) : text;
}

static int contains(slice text, const char *what) {
  return memmem(text.at, text.len, what, strlen(what)) != NULL;
}

/* How many decimal digits |text| begins with. */
static size_t digits(slice text) {
  size_t n = 0;

  while (n < text.len && text.at[n] >= '0' && text.at[n] <= '9') {
    ++n;
  }
  return n;
}

/* --- kinds --------------------------------------------------------------------------------- */

/* By the first word, the error's code. What is not listed is refused: NOPERM, OOM, BUSY, MISCONF,
 * NOREPLICAS, CROSSSLOT, EXECABORT, UNKILLABLE, ERR, and codes that are not there yet. */
static rlc__refusal kind_of(slice text) {
  static const struct {
    const char *code;
    rlc__refusal kind;
  } codes[] = {
      {"NOSCRIPT", RLC__NOSCRIPT},       {"MOVED", RLC__MOVED},      {"ASK", RLC__ASK},
      {"TRYAGAIN", RLC__TRYAGAIN},       {"LOADING", RLC__LOADING},  {"READONLY", RLC__READONLY},
      {"CLUSTERDOWN", RLC__CLUSTERDOWN}, {"NOAUTH", RLC__LOGIN},     {"MASTERDOWN", RLC__READONLY},
      {"WRONGTYPE", RLC__BAD_STATE},     {"WRONGPASS", RLC__LOGIN},
  };
  const char *space = memchr(text.at, ' ', text.len);
  slice code = {text.at, space != NULL ? (size_t)(space - text.at) : text.len};

  for (size_t i = 0; i < sizeof codes / sizeof *codes; ++i) {
    if (code.len == strlen(codes[i].code) && begins(code, codes[i].code)) {
      return codes[i].kind;
    }
  }
  return RLC__REFUSED;
}

/* --- errors in a script -------------------------------------------------------------------- */

/* Whether Lua or a command stumbled over what a key holds. Anything else that goes wrong in a
 * script would so for every key: a command that is renamed, unknown or forbidden, a library that is
 * missing. */
static int is_bad_state(slice message) {
  static const char *const starts[] = {"value is not an integer", "increment or decrement would",
                                       "invalid expire time"};

  if (begins(message, "user_script:")) {
    return !contains(message, "nonexistent global variable");
  }
  for (size_t i = 0; i < sizeof starts / sizeof *starts; ++i) {
    if (begins(message, starts[i])) {
      return 1;
    }
  }
  return 0;
}

/* Skips "@user_script:12: " or "@user_script: 12: ", as often as it is there. */
static slice skip_places(slice text) {
  while (begins(text, "@user_script:")) {
    slice rest = skip_if(skip_if(text, "@user_script:"), " ");

    rest = skip(rest, digits(rest));
    if (!begins(rest, ": ")) {
      break;
    }
    text = skip_if(rest, ": ");
  }
  return text;
}

/*
 * Of an error that a command raised in a script, |message| is what it would have answered alone.
 *
 * READONLY then still says that nothing was written: the server asks for it before each write, and
 * a script that has gone past one write gets past the others, since a server's role does not change
 * while a script of ours runs (it looks around only every 100000 steps of Lua, which none of ours
 * takes). MASTERDOWN comes before the first read. Servers say the other kinds before a script runs;
 * what they would mean from within one nobody knows.
 */
static rlc__refusal kind_in_script(slice message) {
  rlc__refusal kind = kind_of(message);

  if (kind == RLC__READONLY || kind == RLC__BAD_STATE) {
    return kind;
  }
  return is_bad_state(skip_if(message, "ERR ")) ? RLC__BAD_STATE : RLC__REFUSED;
}

rlc__refusal rlc__refusal_of(const redisReply *reply) {
  slice text;

  if (reply == NULL) {
    return RLC__REFUSED;
  }
  if (reply->type != REDIS_REPLY_ERROR) {
    return RLC__ANSWERED;
  }
  text = text_of(reply);
  /* Since 7.0 "OOM ... script: <sha1>, on @user_script:53.", "ERR user_script:24: ..." */
  if (contains(text, ", on @user_script:") || begins(text, "ERR user_script:")) {
    return kind_in_script(text);
  }
  /* Before: "ERR Error running script (call to f_<sha1>): @user_script:53: -OOM ..." */
  if (begins(text, "ERR Error running script ")) {
    const char *at = memmem(text.at, text.len, "@user_script:", 13);

    if (at == NULL) {
      return RLC__REFUSED;
    }
    text = skip_places(skip(text, (size_t)(at - text.at)));
    return kind_in_script(skip_if(text, "-"));
  }
  return kind_of(text);
}

/* --- redirections -------------------------------------------------------------------------- */

/* Reads all of |text| as a number of at most five digits. */
static int get_number(slice text, long long *out) {
  if (text.len == 0 || text.len > 5 || digits(text) != text.len) {
    return RLC__ERR_PROTOCOL;
  }
  *out = 0;
  for (size_t i = 0; i < text.len; ++i) {
    *out = *out * 10 + (text.at[i] - '0');
  }
  return 0;
}

int rlc__refusal_redirect(const redisReply *reply, const rlc__endpoint *asked, unsigned *slot,
                          rlc__endpoint *to) {
  rlc__refusal kind = rlc__refusal_of(reply);
  const char *end;
  slice text;
  long long number;

  if (kind != RLC__MOVED && kind != RLC__ASK) {
    return RLC__ERR_PROTOCOL;
  }
  text = skip_if(text_of(reply), kind == RLC__MOVED ? "MOVED " : "ASK ");
  end = memchr(text.at, ' ', text.len);
  if (end == NULL || get_number((slice){text.at, (size_t)(end - text.at)}, &number) != 0 ||
      number >= RLC__SLOTS) {
    return RLC__ERR_PROTOCOL;
  }
  *slot = (unsigned)number;
  text = skip(text, (size_t)(end - text.at) + 1);
  end = memrchr(text.at, ':', text.len);
  if (end == NULL || get_number(skip(text, (size_t)(end - text.at) + 1), &number) != 0) {
    return RLC__ERR_PROTOCOL;
  }
  return rlc__cluster_endpoint(to, text.at, (size_t)(end - text.at), number, asked);
}
