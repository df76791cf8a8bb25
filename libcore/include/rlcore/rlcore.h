/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_RLCORE_H
#define RLCORE_RLCORE_H

/*
 * librlcore decides whether a request may pass. A program parses policies ("100/min"), opens a
 * limiter on a store (shared memory, or Redis), and asks it about limits: a policy applied to a
 * partition key, at a cost. One call may name several limits; they are charged together or not
 * at all.
 *
 * Times are integer microseconds and quantities are quota units unless a name says otherwise.
 * A function that can fail returns 0 or a negative rlc_error. The return value says whether the
 * call worked; the decision says whether the request may pass, and who said so.
 *
 * Every object is made by a `_new` function, which stores NULL in its out parameter on failure,
 * and ended by the `_del` function of the same name, which does nothing on NULL. Strings given
 * to the library are copied. Strings it returns belong to the object they were asked of.
 */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(RLC_BUILD) && defined(__GNUC__)
#define RLC_API __attribute__((visibility("default")))
#else
#define RLC_API
#endif

/* --- versions and errors ------------------------------------------------------------------- */

#define RLC_VERSION "0.1.0"

/* Returns the version of the library that is running, as "MAJOR.MINOR.PATCH". */
RLC_API const char *rlc_version(void);

typedef enum rlc_error {
  RLC_OK = 0,                  /* the store decided */
  RLC_DEGRADED = 1,            /* the store did not answer: the fail policy decided */
  RLC_ERR_INVALID = -501,      /* an argument that no caller may give; no decision was made */
  RLC_ERR_POLICY = -502,       /* a policy text that cannot be used */
  RLC_ERR_URL = -503,          /* a store URL that cannot be used */
  RLC_ERR_NOMEM = -504,        /* memory ran out; nothing was changed */
  RLC_ERR_SYSTEM = -505,       /* the operating system refused; errno says why */
  RLC_ERR_FOREIGN = -506,      /* a store file that is not ours, damaged, or of another version */
  RLC_ERR_UNSUPPORTED = -507   /* known, and not available in this version or build */
} rlc_error;

/* Returns a constant English sentence for |error|, without a full stop. Never NULL. */
RLC_API const char *rlc_strerror(int error);

/* The size of buffer that holds every message this library writes, its NUL included. */
#define RLC_MESSAGE_SIZE 320

/* Means "never" in rlc_result.retry_us: waiting does not help, the cost is above the capacity. */
#define RLC_NEVER (-1)

/* --- callbacks ----------------------------------------------------------------------------- */

/* Memory functions for all that one object allocates. The struct is copied, |user| is not
 * owned. The functions are called from every thread that uses the object. */
typedef struct rlc_memory {
  void *user;
  void *(*malloc_fn)(size_t size, void *user);
  void *(*realloc_fn)(void *ptr, size_t size, void *user);
  void (*free_fn)(void *ptr, void *user);
} rlc_memory;

typedef enum rlc_log_level {
  RLC_LOG_ERROR = 1,
  RLC_LOG_WARNING = 2,
  RLC_LOG_INFO = 3,
  RLC_LOG_DEBUG = 4
} rlc_log_level;

/* Receives one line, without newline, free of secrets and of unescaped bytes from outside.
 * |id| is stable from version to version ("RLC0007"). Called from any thread. The library never
 * writes to stderr. */
typedef void rlc_log_fn(rlc_log_level level, const char *id, const char *message, void *user);

/* Returns the time in microseconds since 1970-01-01 UTC. */
typedef int64_t rlc_clock_fn(void *user);

/* --- policies ------------------------------------------------------------------------------ */

/* A limit keeps its state when its policy changes under the same name, as spec.md in libcore/algorithm
 * says; another algorithm, or another number or order of rates, is a reset.
 *
 * A parsed policy: one algorithm with one or more rates. Immutable and safe to share between
 * threads. Its inside is hidden. */
typedef struct rlc_policy rlc_policy;

typedef enum rlc_algorithm {
  RLC_TOKEN_BUCKET = 1,   /* GCRA: burst at once, quota per window sustained */
  RLC_FIXED_WINDOW = 2,   /* quota per window; windows start at the epoch */
  RLC_SLIDING_WINDOW = 3  /* two counters, the older one weighted by what the window still covers */
} rlc_algorithm;

/* The most rates in one policy ("10/s,1000/h" has two). */
#define RLC_MAX_RATES 6
/* The largest quota, burst and cost. */
#define RLC_MAX_QUOTA 1000000000u
/* The longest name of a policy or limit, in bytes without the NUL. */
#define RLC_MAX_NAME 32

/*
 * Parses |text| (DESIGN: `rate *("," rate) *(SP option)`, as in "10/s,1000/h burst=20") into
 * |*out|. |name| is the policy's name, `[A-Za-z][A-Za-z0-9_-]{0,31}`, or NULL. |memory| may be
 * NULL for the C library's. |why| (of |why_size| bytes, may be NULL) receives a sentence that
 * names the column and what was expected.
 *
 * Returns 0, RLC_ERR_POLICY, RLC_ERR_INVALID (a name that is none, with the reason in |why|) or
 * RLC_ERR_NOMEM.
 */
RLC_API int rlc_policy_new(rlc_policy **out, const char *name, const char *text,
                           const rlc_memory *memory, char *why, size_t why_size);
RLC_API void rlc_policy_del(rlc_policy *policy);

/* Returns 1 if |name| may name a policy or limit, else 0. */
RLC_API int rlc_name_ok(const char *name);

/* Returns the name, or NULL for a policy without one. */
RLC_API const char *rlc_policy_get_name(const rlc_policy *policy);
/* Returns the canonical text: two policies that mean the same have the same text. */
RLC_API const char *rlc_policy_get_text(const rlc_policy *policy);
RLC_API rlc_algorithm rlc_policy_get_algorithm(const rlc_policy *policy);
/* Returns how many rates it has, from 1 to RLC_MAX_RATES. */
RLC_API unsigned rlc_policy_get_rates(const rlc_policy *policy);
/* Store the quota, window (microseconds) and capacity of rate |index| where the pointers are
 * not NULL. The capacity is the burst, or the quota where none was given.
 * Returns 0, or RLC_ERR_INVALID for an index past the last rate. */
RLC_API int rlc_policy_get_rate(const rlc_policy *policy, unsigned index, uint64_t *quota,
                                uint64_t *window_us, uint64_t *capacity);

/* --- options ------------------------------------------------------------------------------- */

/* What a limiter is opened with. What is not set keeps the library's default of the day. */
typedef struct rlc_options rlc_options;

typedef enum rlc_fail {
  RLC_FAIL_DEFAULT = 0,  /* as the store says; the store's own default is local */
  RLC_FAIL_LOCAL = 1,    /* this machine enforces its share in its own memory */
  RLC_FAIL_OPEN = 2,     /* all pass */
  RLC_FAIL_CLOSED = 3    /* all are refused */
} rlc_fail;

/* Returns 0 or RLC_ERR_NOMEM. |memory| may be NULL; it serves what is opened with the options
 * too. */
RLC_API int rlc_options_new(rlc_options **out, const rlc_memory *memory);
RLC_API void rlc_options_del(rlc_options *options);

RLC_API void rlc_options_set_log(rlc_options *options, rlc_log_fn *log, void *user);
/* The longest a decision may take; default 25 ms for redis. Without effect on memory and shm.
 * 1 ms to 60 s; a URL's `timeout=` goes before it. Returns 0 or RLC_ERR_INVALID. */
RLC_API int rlc_options_set_timeout_us(rlc_options *options, int64_t timeout_us);
/* What happens while the store cannot answer. A URL's `fail=` goes before it.
 * Returns 0 or RLC_ERR_INVALID. */
RLC_API int rlc_options_set_fail(rlc_options *options, rlc_fail fail);
/* The secret that keys the hash of partition keys in Redis key names: the same in every program
 * that shares a limit. Any bytes, 16 to 1024 of them. Returns 0, RLC_ERR_INVALID or
 * RLC_ERR_NOMEM. */
RLC_API int rlc_options_set_secret(rlc_options *options, const void *secret, size_t size);
/* Adopts the table behind |fd|, which rlc_limiter_get_shm_fd of an earlier limiter gave, so that
 * counters outlive the limiter. The descriptor is duplicated, not owned. A descriptor that is no
 * such table, or has another size than the URL asks for, is passed over and a new table made. */
RLC_API void rlc_options_set_shm_fd(rlc_options *options, int fd);
/* With |allow|, a redis host whose name cannot be looked up is no error of rlc_limiter_new but a line
 * in the log, and the fail policy decides until the limiter is made anew: for a server that restarts
 * while the name service is away. */
RLC_API void rlc_options_set_allow_unresolved(rlc_options *options, int allow);
/* For tests and simulations: every decision asks |clock| for the time, in place of the store's
 * own clock. NULL takes it away. */
RLC_API void rlc_options_set_test_clock(rlc_options *options, rlc_clock_fn *clock, void *user);

/* --- limits, results, decisions ------------------------------------------------------------ */

/* One limit of a call. Start from RLC_LIMIT_INIT; members are only ever added at the end. */
typedef struct rlc_limit {
  size_t size;               /* sizeof(rlc_limit) */
  const rlc_policy *policy;  /* not owned; lives at least as long as the call */
  const void *key;           /* the partition key: any bytes, NUL too; may be empty */
  size_t key_len;            /* at most RLC_MAX_KEY */
  uint64_t cost;             /* in quota units; 0 asks without charging */
  const char *name;          /* overrides the policy's name; NULL takes that. A limit without
                                either is named by a hash of the policy's canonical text. */
  rlc_fail fail;             /* overrides the store's fail policy */
} rlc_limit;

#define RLC_MAX_KEY 65536
/* The most limits in one call. */
#define RLC_MAX_LIMITS 16
#define RLC_LIMIT_INIT {sizeof(rlc_limit), 0, 0, 0, 1, 0, RLC_FAIL_DEFAULT}

typedef enum rlc_source {
  RLC_SOURCE_STORE = 1,        /* the store counted it */
  RLC_SOURCE_FALLBACK = 2,     /* fail policy local: this machine's share */
  RLC_SOURCE_FAIL_OPEN = 3,    /* fail policy open */
  RLC_SOURCE_FAIL_CLOSED = 4   /* fail policy closed */
} rlc_source;

/* Returns "store", "fallback", "fail-open" or "fail-closed", or "none" for another value. */
RLC_API const char *rlc_source_name(rlc_source source);

/* What one limit says. Where a stack of rates is meant, the rate that binds: when denied the one
 * with the longest wait, else the one with the least left; the first of equals. */
typedef struct rlc_result {
  size_t size;               /* sizeof(rlc_result), set by the caller: in an array, in each entry */
  int allowed;               /* 1 if this limit alone lets the request pass */
  rlc_source source;
  unsigned rate_index;       /* which rate of the policy binds */
  uint64_t limit;            /* its capacity: the most that can pass at once */
  uint64_t remaining;        /* of it, what could pass now, after this request */
  uint64_t window_us;        /* its window */
  int64_t retry_us;          /* 0 if allowed; else the wait after which the same request would pass
                                if nobody else came; RLC_NEVER if no wait helps */
  int64_t reset_us;          /* the wait until the full capacity is there again */
} rlc_result;

/* What all limits of a call say together. */
typedef struct rlc_decision {
  size_t size;               /* sizeof(rlc_decision), set by the caller */
  int allowed;               /* 1: every limit allows, and all were charged; 0: none was */
  rlc_source source;         /* of the result that binds */
  unsigned index;            /* which limit binds: the denying one with the longest wait, else the
                                one with the least left; the first of equals */
  rlc_result result;         /* that limit's result */
} rlc_decision;

#define RLC_RESULT_INIT {sizeof(rlc_result), 0, (rlc_source)0, 0, 0, 0, 0, 0, 0}
#define RLC_DECISION_INIT {sizeof(rlc_decision), 0, (rlc_source)0, 0, RLC_RESULT_INIT}

/* --- limiters ------------------------------------------------------------------------------ */

/* Decides. Safe to use from every thread; after fork the child may go on using it: tables in
 * shared memory stay shared, connections are made anew. */
typedef struct rlc_limiter rlc_limiter;

/*
 * Opens the store that |url| names and a limiter on it.
 *
 *     shm:                      memory shared by this process and its children (the default)
 *     shm:/path                 memory shared by programs that name the same file
 *     memory:                   this process alone
 *     redis://[user:pw@]host[:port][/db]     redis+unix:///path[?db=n]
 *     shm: and memory:          ?size=slots
 *     redis:                    ?timeout=25ms&prefix=rl&fail=local|open|closed&share=1/n
 *
 * A redis server need not be up: the first decisions go by the fail policy until it is. Its name is
 * looked up here, and only here.
 * |url| NULL means "shm:". |options| may be NULL and may be deleted after the call.
 *
 * Returns 0, RLC_ERR_URL, RLC_ERR_SYSTEM, RLC_ERR_FOREIGN, RLC_ERR_UNSUPPORTED or RLC_ERR_NOMEM,
 * with a sentence in |why| (may be NULL).
 */
RLC_API int rlc_limiter_new(rlc_limiter **out, const char *url, const rlc_options *options,
                            char *why, size_t why_size);
/* No call may be under way. */
RLC_API void rlc_limiter_del(rlc_limiter *limiter);

/* The verbs share their arguments: |limits| of |n| entries (1 to RLC_MAX_LIMITS), |results| of
 * |n| entries or NULL, |decision| or NULL. They return 0 if the store decided, RLC_DEGRADED if
 * the fail policy did for at least one limit, RLC_ERR_INVALID (no decision was made), or
 * RLC_ERR_FOREIGN (a shared table was damaged beyond use; no decision was made). */

/* Charges every limit its cost if all of them allow it, and none otherwise. The same limit twice in
 * a call is one limit: its costs add up, and the stricter fail policy holds. */
RLC_API int rlc_limiter_check(rlc_limiter *limiter, const rlc_limit *limits, size_t n,
                              rlc_result *results, rlc_decision *decision);
/* Answers what check would, and charges nothing; `remaining` is what is there now. */
RLC_API int rlc_limiter_peek(rlc_limiter *limiter, const rlc_limit *limits, size_t n,
                             rlc_result *results, rlc_decision *decision);
/* Charges every limit its cost whether or not there is room, down to an empty capacity. For what
 * is known only afterwards, such as bytes sent. Always allowed when the store answers; when it
 * does not, the charge is lost to the store and kept in the local fallback. */
RLC_API int rlc_limiter_charge(rlc_limiter *limiter, const rlc_limit *limits, size_t n,
                               rlc_result *results, rlc_decision *decision);
/* Gives back the cost, at most up to the full capacity and only into the current window. */
RLC_API int rlc_limiter_refund(rlc_limiter *limiter, const rlc_limit *limits, size_t n,
                               rlc_result *results, rlc_decision *decision);
/* Forgets the state: the full capacity is there again. Costs are ignored. */
RLC_API int rlc_limiter_reset(rlc_limiter *limiter, const rlc_limit *limits, size_t n);

/* Returns the descriptor of the table of a `shm:` limiter for rlc_options_set_shm_fd, or -1 for
 * every other store. It is the limiter's own: duplicate it to keep it. */
RLC_API int rlc_limiter_get_shm_fd(const rlc_limiter *limiter);

typedef enum rlc_breaker {
  RLC_BREAKER_NONE = 0,       /* a store that cannot fail */
  RLC_BREAKER_CLOSED = 1,     /* the store is asked */
  RLC_BREAKER_OPEN = 2,       /* it is not: the fail policy answers */
  RLC_BREAKER_HALF_OPEN = 3   /* one request probes it */
} rlc_breaker;

/* Counts of this limiter since it was made, of all processes forked after that together; a
 * `shm:/path` table's own figures are of all programs that share it. */
typedef struct rlc_stats {
  size_t size;                /* sizeof(rlc_stats), set by the caller */
  uint64_t allowed;           /* decisions, whoever made them */
  uint64_t denied;
  uint64_t fallback;          /* of those, by the local fallback */
  uint64_t fail_open;         /* by fail policy open */
  uint64_t fail_closed;       /* by fail policy closed */
  uint64_t store_errors;      /* calls that the store did not answer, all causes */
  uint64_t store_timeouts;    /* of those, past the deadline */
  uint64_t breaker_opened;    /* how often the breaker opened */
  rlc_breaker breaker;        /* in this process now */
  uint64_t slots;             /* of the shm or memory table; 0 for redis */
  uint64_t slots_used;        /* occupied, live or expired */
  uint64_t evicted_live;      /* live keys that gave way because their set was full */
} rlc_stats;

#define RLC_STATS_INIT {sizeof(rlc_stats), 0, 0, 0, 0, 0, 0, 0, 0, RLC_BREAKER_NONE, 0, 0, 0}

/* Fills |stats|, whose size is set. Returns 0 or RLC_ERR_INVALID. */
RLC_API int rlc_limiter_get_stats(rlc_limiter *limiter, rlc_stats *stats);

/* --- HTTP ---------------------------------------------------------------------------------- */

/* The text functions below write at most |size| bytes, NUL included, and return the length of the
 * text without its NUL; where that is |size| or more, the buffer was too small and holds "". */

/* `"name";q=100;w=60` : an item of RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-08 to
 * -11) for rate |rate_index|. A capacity above or below the quota adds `;rlr-burst=n`. */
RLC_API size_t rlc_http_format_policy(char *buf, size_t size, const char *name,
                                      const rlc_policy *policy, unsigned rate_index);
/* `"name";r=50;t=30` : an item of RateLimit (same drafts). t is, in seconds rounded up, the wait
 * until the full capacity is there; where this limit refused, until the request would pass. */
RLC_API size_t rlc_http_format_limit(char *buf, size_t size, const char *name,
                                     const rlc_result *result);
/* `30` : Retry-After (RFC 9110 10.2.3), seconds rounded up, at least 1; empty for RLC_NEVER. */
RLC_API size_t rlc_http_format_retry_after(char *buf, size_t size, int64_t retry_us);
/* The application/problem+json body (RFC 9457) of a refusal: |status| 429 (quota-exceeded) or
 * 503 (temporary-reduced-capacity), |policies| the |n| names of the limits that refused. Names are
 * JSON-escaped. */
RLC_API size_t rlc_http_format_problem(char *buf, size_t size, int status,
                                       const char *const *policies, size_t n);
/* The address |text| as a key: IPv4-mapped IPv6 as IPv4, then cut to |v4_prefix| or |v6_prefix|
 * bits, in RFC 5952 text, followed by "/bits" where bits were cut; a zone ("%eth0") is dropped.
 * Returns 0 if |text| is no address. */
RLC_API size_t rlc_http_format_address(char *buf, size_t size, const char *text,
                                       unsigned v4_prefix, unsigned v6_prefix);

#ifdef __cplusplus
}
#endif

#endif
