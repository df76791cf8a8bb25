/* SPDX-License-Identifier: Apache-2.0 */

/* The file that programs share: rlc_config. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/memory.h"
#include "rlcore/rlcore.h"
#include "store/url.h"

#define MOST_BYTES ((size_t)256 * 1024)
#define MOST_POLICIES 1000u

struct rlc_config {
  rlc_memory memory;
  char *store;
  char *secret_file;
  size_t n;
  rlc_policy **policy;
  unsigned *line; /* where each is written */
};

/* What is being read. */
typedef struct reader {
  rlc_config *config;
  const char *name; /* of the file, fit to be shown */
  unsigned line;
  char *why;
  size_t why_size;
} reader;

/* A piece of a line: not NUL-terminated. */
typedef struct piece {
  const char *at;
  size_t len;
} piece;

static int fail(const reader *r, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int fail(const reader *r, int error, const char *format, ...) {
  char text[RLC_MESSAGE_SIZE];
  va_list args;

  va_start(args, format);
  (void)rlc__vfail(error, text, sizeof text, format, args);
  va_end(args);
  return rlc__fail(error, r->why, r->why_size, "%s:%u: %s", r->name, r->line, text);
}

static int is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r';
}

/* Cuts the next word off |rest|. */
static piece next_word(piece *rest) {
  piece word;

  while (rest->len > 0 && is_blank(*rest->at)) {
    ++rest->at;
    --rest->len;
  }
  word.at = rest->at;
  for (word.len = 0; word.len < rest->len && !is_blank(word.at[word.len]);) {
    ++word.len;
  }
  rest->at += word.len;
  rest->len -= word.len;
  return word;
}

/* All that is left, without blanks around it and without quotes around that. */
static piece take_rest(piece rest) {
  while (rest.len > 0 && is_blank(*rest.at)) {
    ++rest.at;
    --rest.len;
  }
  while (rest.len > 0 && is_blank(rest.at[rest.len - 1])) {
    --rest.len;
  }
  if (rest.len >= 2 && rest.at[0] == '"' && rest.at[rest.len - 1] == '"') {
    ++rest.at;
    rest.len -= 2;
  }
  return rest;
}

static int is_word(piece word, const char *name) {
  return word.len == strlen(name) && memcmp(word.at, name, word.len) == 0;
}

static int read_store(reader *r, piece value) {
  rlc_config *c = r->config;
  char why[RLC_MESSAGE_SIZE] = "";
  rlc__url *url;
  int rv;

  if (c->store != NULL) {
    return fail(r, RLC_ERR_INVALID, "a second store: write one line \"store URL\"");
  }
  c->store = rlc__strndup(&c->memory, value.at, value.len);
  if (c->store == NULL) {
    return fail(r, RLC_ERR_NOMEM, "out of memory");
  }
  rv = rlc__url_new(&url, c->store, &c->memory, why, sizeof why);
  rlc__url_del(url);
  return rv == 0 ? 0 : fail(r, rv, "the store cannot be used: %s", why);
}

static int read_secret_file(reader *r, piece value) {
  rlc_config *c = r->config;

  if (c->secret_file != NULL) {
    return fail(r, RLC_ERR_INVALID, "a second secret: write one line \"secret-file PATH\"");
  }
  if (value.len == 0 || *value.at != '/') {
    return fail(r, RLC_ERR_INVALID,
                "expected an absolute path, as in \"secret-file /etc/ratelimit.secret\"");
  }
  c->secret_file = rlc__strndup(&c->memory, value.at, value.len);
  return c->secret_file != NULL ? 0 : fail(r, RLC_ERR_NOMEM, "out of memory");
}

static int make_room(rlc_config *c) {
  size_t more = c->n == 0 ? 16 : c->n * 2;
  void *policy;
  void *line;

  if (c->n != 0 && (c->n < 16 || (c->n & (c->n - 1)) != 0)) {
    return 0;
  }
  policy = rlc__realloc(&c->memory, c->policy, more * sizeof *c->policy);
  c->policy = policy != NULL ? policy : c->policy;
  line = rlc__realloc(&c->memory, c->line, more * sizeof *c->line);
  c->line = line != NULL ? line : c->line;
  return policy != NULL && line != NULL ? 0 : -1;
}

static int read_policy(reader *r, piece rest) {
  rlc_config *c = r->config;
  char why[RLC_MESSAGE_SIZE] = "";
  char shown[64];
  char name[RLC_MAX_NAME + 1] = "";
  piece word = next_word(&rest);
  piece value = take_rest(rest);
  char *text;
  int rv;

  memcpy(name, word.at, word.len < RLC_MAX_NAME ? word.len : RLC_MAX_NAME);
  if (word.len > RLC_MAX_NAME || !rlc_name_ok(name)) {
    return fail(r, RLC_ERR_INVALID, "\"%s\" cannot name a policy: write a letter and then at most %d "
                "letters, digits, \"-\" or \"_\", as in \"policy api 10/s,1000/h burst=20\"",
                rlc__printable(shown, sizeof shown, word.at, word.len), RLC_MAX_NAME - 1);
  }
  for (size_t i = 0; i < c->n; ++i) {
    if (strcmp(rlc_policy_get_name(c->policy[i]), name) == 0) {
      return fail(r, RLC_ERR_INVALID, "the name %s is taken in line %u: write another", name,
                  c->line[i]);
    }
  }
  if (c->n == MOST_POLICIES) {
    return fail(r, RLC_ERR_INVALID, "more than %u policies: take some away", MOST_POLICIES);
  }
  text = rlc__strndup(&c->memory, value.at, value.len);
  if (text == NULL || make_room(c) != 0) {
    rlc__free(&c->memory, text);
    return fail(r, RLC_ERR_NOMEM, "out of memory");
  }
  rv = rlc_policy_new(&c->policy[c->n], name, text, &c->memory, why, sizeof why);
  rlc__free(&c->memory, text);
  if (rv != 0) {
    return fail(r, rv, "the policy %s cannot be used: %s", name, why);
  }
  c->line[c->n++] = r->line;
  return 0;
}

static int read_line(reader *r, piece line) {
  piece rest = line;
  piece word = next_word(&rest);
  char shown[64];

  if (word.len == 0 || *word.at == '#') {
    return 0;
  }
  if (memchr(line.at, '\0', line.len) != NULL) {
    return fail(r, RLC_ERR_INVALID, "a byte of 0: this is no text");
  }
  if (is_word(word, "policy")) {
    return read_policy(r, rest);
  }
  if (is_word(word, "store")) {
    return read_store(r, take_rest(rest));
  }
  if (is_word(word, "secret-file")) {
    return read_secret_file(r, take_rest(rest));
  }
  return fail(r, RLC_ERR_INVALID, "expected \"store\", \"secret-file\", \"policy\" or \"#\", found "
              "\"%s\"", rlc__printable(shown, sizeof shown, word.at, word.len));
}

int rlc_config_parse(rlc_config **out, const char *name, const char *text, size_t len,
                     const rlc_memory *memory, char *why, size_t why_size) {
  const rlc_memory *m = rlc__memory_or_default(memory);
  rlc_config *c = rlc__calloc(m, 1, sizeof *c);
  char shown[160];
  reader r = {c, rlc__printable(shown, sizeof shown, name, strlen(name)), 0, why, why_size};
  int rv = 0;

  *out = NULL;
  if (c == NULL) {
    return rlc__fail(RLC_ERR_NOMEM, why, why_size, "out of memory");
  }
  c->memory = *m;
  while (len > 0 && rv == 0) {
    const char *end = memchr(text, '\n', len);
    piece line = {text, end != NULL ? (size_t)(end - text) : len};
    size_t used = line.len + (end != NULL);

    ++r.line;
    rv = read_line(&r, line);
    text += used;
    len -= used;
  }
  if (rv != 0) {
    rlc_config_del(c);
    return rv;
  }
  *out = c;
  return 0;
}

/* Reads all of the file into |*data|. Returns 0, or an error with a sentence. */
static int read_file(const char *path, const rlc_memory *memory, char **data, size_t *size,
                     char *why, size_t why_size) {
  char shown[160];
  struct stat st;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  ssize_t got = 1;
  int rv = 0;

  *size = 0;
  rlc__printable(shown, sizeof shown, path, strlen(path));
  if (fd < 0 || fstat(fd, &st) != 0) {
    rv = rlc__fail(RLC_ERR_SYSTEM, why, why_size, "the file \"%s\" cannot be read: %s", shown,
                   strerror(errno));
  } else if (!S_ISREG(st.st_mode)) {
    errno = EINVAL;
    rv = rlc__fail(RLC_ERR_SYSTEM, why, why_size, "\"%s\" is no regular file", shown);
  } else if (st.st_mode & S_IWOTH) {
    errno = EPERM;
    rv = rlc__fail(RLC_ERR_SYSTEM, why, why_size, "every user may write into \"%s\": take that away "
                   "with chmod o-w", shown);
  } else if ((*data = rlc__calloc(memory, 1, MOST_BYTES + 1)) == NULL) {
    rv = rlc__fail(RLC_ERR_NOMEM, why, why_size, "out of memory");
  }
  while (rv == 0 && got != 0 && *size <= MOST_BYTES) {
    got = read(fd, *data + *size, MOST_BYTES + 1 - *size);
    *size += got > 0 ? (size_t)got : 0;
    if (got < 0 && errno != EINTR) {
      rv = rlc__fail(RLC_ERR_SYSTEM, why, why_size, "the file \"%s\" cannot be read: %s", shown,
                     strerror(errno));
    }
  }
  if (rv == 0 && *size > MOST_BYTES) {
    errno = EFBIG;
    rv = rlc__fail(RLC_ERR_SYSTEM, why, why_size, "\"%s\" has more than %zu bytes", shown, MOST_BYTES);
  }
  if (fd >= 0) {
    int error = errno;

    close(fd);
    errno = error;
  }
  return rv;
}

int rlc_config_load(rlc_config **out, const char *path, const rlc_memory *memory, char *why,
                    size_t why_size) {
  const rlc_memory *m = rlc__memory_or_default(memory);
  char *data = NULL;
  size_t size = 0;
  int rv = read_file(path, m, &data, &size, why, why_size);

  *out = NULL;
  if (rv == 0) {
    rv = rlc_config_parse(out, path, data, size, memory, why, why_size);
  }
  if (data != NULL) {
    rlc__wipe(data, size); /* the URL may hold a password */
    rlc__free(m, data);
  }
  return rv;
}

void rlc_config_del(rlc_config *config) {
  rlc_memory memory;

  if (config == NULL) {
    return;
  }
  memory = config->memory;
  for (size_t i = 0; i < config->n; ++i) {
    rlc_policy_del(config->policy[i]);
  }
  if (config->store != NULL) {
    rlc__wipe(config->store, strlen(config->store));
  }
  rlc__free(&memory, config->store);
  rlc__free(&memory, config->secret_file);
  rlc__free(&memory, config->policy);
  rlc__free(&memory, config->line);
  rlc__free(&memory, config);
}

const char *rlc_config_get_store(const rlc_config *config) {
  return config->store;
}

const char *rlc_config_get_secret_file(const rlc_config *config) {
  return config->secret_file;
}

size_t rlc_config_get_policies(const rlc_config *config) {
  return config->n;
}

const rlc_policy *rlc_config_get_policy(const rlc_config *config, size_t index) {
  return index < config->n ? config->policy[index] : NULL;
}

const rlc_policy *rlc_config_find_policy(const rlc_config *config, const char *name) {
  for (size_t i = 0; i < config->n; ++i) {
    if (strcmp(rlc_policy_get_name(config->policy[i]), name) == 0) {
      return config->policy[i];
    }
  }
  return NULL;
}
