/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every binding has of <rlcore/rlcore.h>: its constants, and a class for each of its objects. A
 * language's own file defines, and then includes this one:
 *
 *     %exception              runs $action and, where rlb_code is not 0 after it, raises what stands
 *                             for that code, with the message rlb_why
 *     typemaps for            (const void *bytes, size_t size)      bytes of any kind, and
 *                             (const void *secret, size_t secret_size)
 *                             (const uint64_t *costs, size_t n)     a list of numbers, or nothing
 *
 * Decisions are not here: a language makes them in its own C, since they are what has to be fast.
 */

%{
#include <stdlib.h>
#include <string.h>

#include <rlcore/rlcore.h>

/* How the last call of this thread failed; 0: it did not. */
static _Thread_local int rlb_code;
static _Thread_local char rlb_why[RLC_MESSAGE_SIZE];

/* Keeps |rv|, if it is an error, for %exception. Without |why| the library's sentence is told. */
static void rlb_keep(int rv, const char *why) {
  if (rv < 0) {
    rlb_code = rv;
    strncpy(rlb_why, why != NULL && why[0] != '\0' ? why : rlc_strerror(rv), sizeof rlb_why - 1);
    rlb_why[sizeof rlb_why - 1] = '\0';
  }
}

/* The library's objects under names of our own: SWIG calls a method of a class by both names, and so
 * would call it as the library does. */
typedef rlc_policy rlb_policy;
typedef rlc_options rlb_options;
typedef rlc_limiter rlb_limiter;

/* The time of a limiter that a test made. */
typedef struct rlb_clock {
  _Atomic int64_t now_us;
} rlb_clock;

static int64_t rlb_clock_read(void *user) {
  return ((rlb_clock *)user)->now_us;
}

/* A copy of a store's index. */
typedef struct rlb_entries {
  size_t n;
  size_t room;
  rlc_entry *entry;
} rlb_entries;

static int rlb_entries_add(const rlc_entry *entry, void *user) {
  rlb_entries *entries = user;

  if (entries->n == entries->room) {
    size_t room = entries->room > 0 ? entries->room * 2 : 64;
    rlc_entry *more = realloc(entries->entry, room * sizeof *more);

    if (more == NULL) {
      return RLC_ERR_NOMEM;
    }
    entries->entry = more;
    entries->room = room;
  }
  entries->entry[entries->n++] = *entry;
  return 0;
}

static void rlb_entries_del(rlb_entries *entries) {
  if (entries != NULL) {
    free(entries->entry);
    free(entries);
  }
}
%}

%include <stdint.i>

/* --- constants, and the structs that are only read ------------------------------------------ */

#define RLC_API
%rename("$ignore", %$isfunction) "";
%rename("$ignore", %$isclass) "";
%rename("%(strip:[RLC_])s", %$isenumitem) "";
%rename("%(strip:[RLC_])s", %$isconstant) "";
%rename("$ignore", regextarget=1, fullname=1, %$isconstant) "_INIT$";
%ignore RLC_LIMIT_INIT;
%ignore RLC_RESULT_INIT;
%ignore RLC_DECISION_INIT;
%ignore RLC_STATS_INIT;
%ignore RLCORE_RLCORE_H;
%immutable;
%rename(Stats) rlc_stats;
%rename(Entry) rlc_entry;
%nodefaultctor;
%include <rlcore/rlcore.h>
%mutable;
%rename("%s", %$isfunction) "";
%rename("%s", %$isclass) "";

/* --- policies ------------------------------------------------------------------------------- */

%rename(Policy) rlb_policy;
%nodefaultctor rlb_policy;
typedef struct {
  %extend {
    rlb_policy(const char *text, const char *name = NULL) {
      rlc_policy *policy;
      char why[RLC_MESSAGE_SIZE] = "";

      rlb_keep(rlc_policy_new(&policy, name, text, NULL, why, sizeof why), why);
      return policy;
    }
    ~rlb_policy() {
      rlc_policy_del($self);
    }
    const char *get_name() {
      return rlc_policy_get_name($self);
    }
    const char *get_text() {
      return rlc_policy_get_text($self);
    }
    int get_algorithm() {
      return (int)rlc_policy_get_algorithm($self);
    }
    unsigned get_rates() {
      return rlc_policy_get_rates($self);
    }
    uint64_t get_quota(unsigned index) {
      uint64_t quota = 0;

      rlb_keep(rlc_policy_get_rate($self, index, &quota, NULL, NULL), NULL);
      return quota;
    }
    uint64_t get_window_us(unsigned index) {
      uint64_t window_us = 0;

      rlb_keep(rlc_policy_get_rate($self, index, NULL, &window_us, NULL), NULL);
      return window_us;
    }
    uint64_t get_capacity(unsigned index) {
      uint64_t capacity = 0;

      rlb_keep(rlc_policy_get_rate($self, index, NULL, NULL, &capacity), NULL);
      return capacity;
    }
    uint64_t get_bound(unsigned index, uint64_t span_us) {
      uint64_t most = 0;

      rlb_keep(rlc_policy_get_bound($self, index, span_us, &most), NULL);
      return most;
    }
    uint64_t get_debt() {
      return rlc_policy_get_debt($self);
    }
    /* Of `ban=`: 0 the denials, 1 their window, 2 the first and 3 the longest time (microseconds); all 0
     * where there is none. */
    uint64_t get_ban(unsigned part) {
      uint64_t ban[4] = {0, 0, 0, 0};

      rlc_policy_get_ban($self, &ban[0], &ban[1], &ban[2], &ban[3]);
      return part < 4 ? ban[part] : 0;
    }
  }
} rlb_policy;

/* --- options -------------------------------------------------------------------------------- */

%rename(Clock) rlb_clock;
%nodefaultctor rlb_clock;
typedef struct {
  %extend {
    rlb_clock(int64_t now_us) {
      rlb_clock *clock = malloc(sizeof *clock);

      if (clock == NULL) {
        rlb_keep(RLC_ERR_NOMEM, NULL);
      } else {
        clock->now_us = now_us;
      }
      return clock;
    }
    ~rlb_clock() {
      free($self);
    }
    void set_now_us(int64_t now_us) {
      $self->now_us = now_us;
    }
    int64_t get_now_us() {
      return $self->now_us;
    }
  }
} rlb_clock;

%rename(Options) rlb_options;
%nodefaultctor rlb_options;
typedef struct {
  %extend {
    rlb_options() {
      rlc_options *options;

      rlb_keep(rlc_options_new(&options, NULL), NULL);
      return options;
    }
    ~rlb_options() {
      rlc_options_del($self);
    }
    void set_timeout_us(int64_t timeout_us) {
      rlb_keep(rlc_options_set_timeout_us($self, timeout_us), "a timeout is 1 ms to 60 s");
    }
    void set_fail(int fail) {
      rlb_keep(rlc_options_set_fail($self, (rlc_fail)fail), NULL);
    }
    void set_secret(const void *bytes, size_t size) {
      rlb_keep(rlc_options_set_secret($self, bytes, size), "a secret is 16 to 1024 bytes");
    }
    void set_shm_fd(int fd) {
      rlc_options_set_shm_fd($self, fd);
    }
    /* The clock lives longer than what is opened with these options. */
    void set_test_clock(rlb_clock *clock) {
      rlc_options_set_test_clock($self, rlb_clock_read, clock);
    }
  }
} rlb_options;

/* --- limiters, but for their decisions ------------------------------------------------------ */

%rename(Limiter) rlb_limiter;
%nodefaultctor rlb_limiter;
typedef struct {
  %extend {
    rlb_limiter(const char *url, const rlb_options *options) {
      rlc_limiter *limiter;
      char why[RLC_MESSAGE_SIZE] = "";

      rlb_keep(rlc_limiter_new(&limiter, url, options, why, sizeof why), why);
      return limiter;
    }
    ~rlb_limiter() {
      rlc_limiter_del($self);
    }
    int get_shm_fd() {
      return rlc_limiter_get_shm_fd($self);
    }
    %newobject get_stats;
    rlc_stats *get_stats() {
      rlc_stats *stats = calloc(1, sizeof *stats);

      if (stats == NULL) {
        rlb_keep(RLC_ERR_NOMEM, NULL);
      } else {
        stats->size = sizeof *stats;
        rlb_keep(rlc_limiter_get_stats($self, stats), NULL);
      }
      return stats;
    }
  }
} rlb_limiter;

/* --- texts ---------------------------------------------------------------------------------- */

const char *rlc_version(void);
const char *rlc_strerror(int error);
int rlc_name_ok(const char *name);
const char *rlc_reason_text(rlc_reason reason);

%newobject rlb_format_address;
%newobject rlb_format_partition;
%newobject rlb_format_acl;
%inline %{
/* rlc_http_format_address; "" where |text| is no address. */
static char *rlb_format_address(const char *text, unsigned v4_prefix, unsigned v6_prefix) {
  char *out = malloc(64);

  if (out == NULL) {
    rlb_keep(RLC_ERR_NOMEM, NULL);
  } else if (rlc_http_format_address(out, 64, text, v4_prefix, v6_prefix) == 0) {
    out[0] = '\0';
  }
  return out;
}

/* rlc_http_format_partition of a limit without a group. */
static char *rlb_format_partition(const void *secret, size_t secret_size, const void *bytes,
                                  size_t size) {
  rlc_limit limit = RLC_LIMIT_INIT;
  char *out = malloc(32);

  limit.key = bytes;
  limit.key_len = size;
  if (out == NULL) {
    rlb_keep(RLC_ERR_NOMEM, NULL);
  } else if (rlc_http_format_partition(out, 32, secret, secret_size, &limit) >= 32) {
    out[0] = '\0';
  }
  return out;
}

/* rlc_redis_format_acl; |sentinels| means RLC_ACL_SENTINEL. */
static char *rlb_format_acl(const char *url, int sentinels) {
  char why[RLC_MESSAGE_SIZE] = "";
  rlc_acl whom = sentinels ? RLC_ACL_SENTINEL : RLC_ACL_REDIS;
  char none[1];
  char *out = NULL;
  int size = rlc_redis_format_acl(none, sizeof none, url, whom, why, sizeof why);

  if (size >= 0) {
    out = malloc((size_t)size + 1);
    size = out == NULL ? RLC_ERR_NOMEM
                       : rlc_redis_format_acl(out, (size_t)size + 1, url, whom, why, sizeof why);
  }
  rlb_keep(size, why);
  return out;
}
%}

/* --- leases, and the index ------------------------------------------------------------------ */

%include "lease.i"
%include "index.i"
