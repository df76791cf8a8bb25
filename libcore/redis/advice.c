/* SPDX-License-Identifier: Apache-2.0 */
#include "redis/advice.h"

#include <string.h>

#include "base/error.h"

/* A field's value, or no |at|. */
typedef struct value {
  const char *at;
  size_t len;
} value;

/* Finds the line "name:value". */
static value find(const char *info, size_t len, const char *name) {
  size_t name_len = strlen(name);

  while (len > 0) {
    const char *newline = memchr(info, '\n', len);
    size_t line = newline != NULL ? (size_t)(newline - info) : len;

    if (line > name_len && info[name_len] == ':' && memcmp(info, name, name_len) == 0) {
      value found = {info + name_len + 1, line - name_len - 1};

      if (found.len > 0 && found.at[found.len - 1] == '\r') {
        --found.len;
      }
      return found;
    }
    line += newline != NULL;
    info += line;
    len -= line;
  }
  return (value){NULL, 0};
}

static int is(value v, const char *text) {
  return v.at != NULL && v.len == strlen(text) && memcmp(v.at, text, v.len) == 0;
}

/* Whether |v| is a whole number above 0, of however many digits. */
static int is_positive(value v) {
  int positive = 0;

  for (size_t i = 0; i < v.len; ++i) {
    if (v.at[i] < '0' || v.at[i] > '9') {
      return 0;
    }
    positive |= v.at[i] != '0';
  }
  return positive;
}

static size_t length(const char *buf, size_t size) {
  return size > 0 ? strlen(buf) : 0;
}

size_t rlc__advice_eviction(const char *info, size_t len, char *buf, size_t size) {
  value policy = find(info, len, "maxmemory_policy");
  char shown[40];

  if (policy.len == 0 || is(policy, "noeviction") || !is_positive(find(info, len, "maxmemory"))) {
    return 0;
  }
  rlc__printable(shown, sizeof shown, policy.at, policy.len);
  (void)rlc__fail(0, buf, size,
                  "its maxmemory-policy is %s: when memory runs short it drops keys, and with them "
                  "what was counted; set maxmemory-policy to noeviction",
                  shown);
  return length(buf, size);
}

/* Whether |info| tells of an RDB file: one that is written now, was written (rdb_saves since 7.0),
 * or was loaded. INFO does not tell how the server is set to save. */
static int has_rdb(const char *info, size_t len) {
  value seconds = find(info, len, "rdb_last_bgsave_time_sec");

  return (seconds.at != NULL && !is(seconds, "-1")) ||
         is_positive(find(info, len, "rdb_saves")) ||
         is_positive(find(info, len, "rdb_bgsave_in_progress")) ||
         is_positive(find(info, len, "rdb_last_load_keys_loaded"));
}

size_t rlc__advice_persistence(const char *info, size_t len, char *buf, size_t size) {
  int tells = find(info, len, "rdb_last_bgsave_time_sec").at != NULL ||
              find(info, len, "rdb_saves").at != NULL;

  if (!tells || !is(find(info, len, "aof_enabled"), "0") || has_rdb(info, len)) {
    return 0;
  }
  (void)rlc__fail(0, buf, size,
                  "it has nothing on disk (no AOF, no RDB file so far): when it restarts, every "
                  "limit begins anew; to keep what was counted, set appendonly to yes");
  return length(buf, size);
}
