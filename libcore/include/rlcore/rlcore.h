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
  RLC_PENDING = 2,             /* submitted to a queue; the decision comes later */
  RLC_ERR_INVALID = -501,      /* an argument that no caller may give; no decision was made */
  RLC_ERR_POLICY = -502,       /* a policy text that cannot be used */
  RLC_ERR_URL = -503,          /* a store URL that cannot be used */
  RLC_ERR_NOMEM = -504,        /* memory ran out; nothing was changed */
  RLC_ERR_SYSTEM = -505,       /* the operating system refused; errno says why */
  RLC_ERR_FOREIGN = -506,      /* a store file that is not ours, damaged, or of another version */
  RLC_ERR_UNSUPPORTED = -507,  /* known, and not available in this version or build */
  RLC_ERR_STORE = -508,        /* the store did not answer, and no fail policy can stand in for it */
  RLC_ERR_FULL = -509,         /* the index of bans, overrides and tiers has no room for one more */
  RLC_ERR_LOST = -510          /* a lease that has ended, or is not known any more */
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
  RLC_FIXED_WINDOW = 2,   /* quota per window; windows start at the epoch, or are the calendar's */
  RLC_SLIDING_WINDOW = 3, /* two counters, the older one weighted by what the window still covers */
  RLC_SLIDING_LOG = 4,    /* a time stamp for each unit: exact, for quotas up to RLC_MAX_LOG */
  RLC_CONCURRENCY = 5     /* so many at once: the quota; each for the window at most, unless renewed */
} rlc_algorithm;

/* The most rates in one policy ("10/s,1000/h" has two). */
#define RLC_MAX_RATES 6
/* The largest quota, burst and cost. */
#define RLC_MAX_QUOTA 1000000000u
/* The largest quota, with its debt, of a sliding log and of concurrency, whose states have eight bytes
 * a unit. */
#define RLC_MAX_LOG 1000u
/* The longest name of a policy or limit, in bytes without the NUL. */
#define RLC_MAX_NAME 32

/*
 * Parses |text|, `rate *("," rate) *(SP option)` as in "10/s,1000/h burst=20", into |*out|. A rate is
 * a quota, a slash and a window: s, min, h, day or week, or so many of them ("15min"). Options are
 *
 *     algorithm=token-bucket|fixed-window|sliding-window|sliding-log|concurrency
 *     burst=n          of a token bucket: the first rate's capacity
 *     debt=n           how far rlc_limiter_charge may go beyond the capacity; nothing passes until
 *                      that is paid back. With the capacity at most RLC_MAX_QUOTA; not of concurrency
 *     ban=n/window:time[:longest]
 *                      a key that was denied n times within the window ("5/10min:1h") is banned for
 *                      the time; for twice as long if that happens again before as much time has passed
 *                      without, and so on up to the longest (default: the time, times 16). What counts
 *                      is a check, grant or acquire that this limit refused for want of room: not what is
 *                      above its capacity, nor what a ban or fail policy closed refuses
 *
 * and with algorithm=fixed-window, whose windows may also be of a month, of 2, 3, 4 or 6, or of a year,
 *
 *     align=calendar   days and weeks are those of the calendar, as months and years always are;
 *                      shorter windows start at the epoch all the same
 *     tz=zone          the calendar's time zone, as in "Europe/Paris"; default UTC. A day has 23 or 25
 *                      hours where clocks are changed, and starts at its first midnight, or where there
 *                      is none, at the change.
 *     anchor=          when windows start: of months, on a day (1 to 31, and in a month that has fewer
 *                      on its last); of a week, on a day (mon, tue, wed, thu, fri, sat, sun; default
 *                      mon); of a year, on a date (MM-DD)
 *
 * Zones are read here from /usr/share/zoneinfo, and TZ in the environment means nothing; UTC needs no
 * file. The store's clock chooses the window, never the caller's.
 *
 * |name| is the policy's name, `[A-Za-z][A-Za-z0-9_-]{0,31}`, or NULL. |memory| may be
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
 * not NULL. A calendar's window is told by the most days that one of its kind has (a month 31, a year
 * 366). The capacity is the burst, or the quota where none was given.
 * Returns 0, or RLC_ERR_INVALID for an index past the last rate. */
RLC_API int rlc_policy_get_rate(const rlc_policy *policy, unsigned index, uint64_t *quota,
                                uint64_t *window_us, uint64_t *capacity);
/* Returns how far charges may go beyond the capacity of each rate: what `debt=` says, or 0. */
RLC_API uint64_t rlc_policy_get_debt(const rlc_policy *policy);
/* Stores the most that rate |index| lets pass from one moment to another at most |span_us| later, both
 * included, whatever the requests: "most in any span" of spec.md in libcore/algorithm, which a test
 * reaches. 0 is the most at once. Of several rates no more passes than the least of theirs. What the
 * fail policy lets pass is not in it, nor are charges beyond the capacity, refunds and resets. Of
 * concurrency what is under way at once is bounded, and not what passes in a time: the quota for a span
 * of 0, and UINT64_MAX for every other.
 * UINT64_MAX stands for all above. Returns 0, or RLC_ERR_INVALID for an index past the last rate. */
RLC_API int rlc_policy_get_bound(const rlc_policy *policy, unsigned index, uint64_t span_us,
                                 uint64_t *most);
/* Stores what the policy's `ban=` says where the pointers are not NULL: at how many denials within which
 * window a key is banned, for how long at first and at most (microseconds). Returns 1, or 0 for a policy
 * without one. */
RLC_API int rlc_policy_get_ban(const rlc_policy *policy, uint64_t *denials, uint64_t *window_us,
                               uint64_t *first_us, uint64_t *longest_us);

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
/* Bans that a policy's `ban=` makes carry the key's own bytes as display name, RLC_MAX_DISPLAY of them at
 * most: they then stand in the store's index, for who may read that. Default: they do not. */
RLC_API void rlc_options_set_display(rlc_options *options, int on);
/* For tests and simulations: every decision asks |clock| for the time, in place of the store's
 * own clock. NULL takes it away. No helper thread then looks after the index: denials that make a ban
 * are handed on by the call that counts them, and rlc_limiter_refresh does the rest. */
RLC_API void rlc_options_set_test_clock(rlc_options *options, rlc_clock_fn *clock, void *user);

/* --- the file that programs share ------------------------------------------------------------ */

/*
 * Programs that share limits have to agree on their policies, on the store, and on the secret: one file
 * says it for all of them. It has a setting a line:
 *
 *     # what begins so is a comment
 *     store redis://app:password@host/0
 *     secret-file /etc/ratelimit.secret
 *     policy api 10/s,1000/h burst=20
 *     policy login "5/15min"
 *
 * Store and secret are there once at most, a policy's name too. Values go to the end of the line, in
 * double quotes or not. At most 256 KiB and 1000 policies. A URL with a password makes the file a
 * secret: who may read it is the file's mode to say.
 */
typedef struct rlc_config rlc_config;

/* Reads the file |path|. A sentence in |why| begins with file and line where a line is wrong. Store and
 * secret are neither opened nor read. Returns 0; RLC_ERR_INVALID for a line that is none, RLC_ERR_POLICY,
 * RLC_ERR_URL or RLC_ERR_UNSUPPORTED for what it sets; RLC_ERR_SYSTEM where the file cannot be read, is
 * no regular file, or every user may write into it; or RLC_ERR_NOMEM. */
RLC_API int rlc_config_load(rlc_config **out, const char *path, const rlc_memory *memory, char *why,
                            size_t why_size);
/* The same for |len| bytes of text. |name| is what sentences call it. */
RLC_API int rlc_config_parse(rlc_config **out, const char *name, const char *text, size_t len,
                             const rlc_memory *memory, char *why, size_t why_size);
RLC_API void rlc_config_del(rlc_config *config);

/* Return the URL of the store, and the absolute path of the secret's file; NULL where none is said. */
RLC_API const char *rlc_config_get_store(const rlc_config *config);
RLC_API const char *rlc_config_get_secret_file(const rlc_config *config);
/* Returns how many policies there are. */
RLC_API size_t rlc_config_get_policies(const rlc_config *config);
/* Return one by its place, in the order of the file, or by its name; NULL where there is none. It is the
 * config's, and lives as long. */
RLC_API const rlc_policy *rlc_config_get_policy(const rlc_config *config, size_t index);
RLC_API const rlc_policy *rlc_config_find_policy(const rlc_config *config, const char *name);

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
  const void *group;         /* any bytes. Limits of one group share a slot of a Redis Cluster, with
                                those without one whose key is its bytes: one script decides them.
                                In every store the group is part of what counts: a key has a quota
                                of its own in each group, and one without, so let it depend on
                                nothing but the key. In Redis it is hashed as keys are: 16 bytes. */
  size_t group_len;          /* at most RLC_MAX_KEY; 0: no group */
  const char *tier;          /* the key's tier, where the caller knows it ("pro"), or NULL: the store's
                                index says what a limit of this name allows a tier. A tier that the
                                index gives the key itself goes before it. */
} rlc_limit;

#define RLC_MAX_KEY 65536
/* The most limits in one call. */
#define RLC_MAX_LIMITS 16
#define RLC_LIMIT_INIT {sizeof(rlc_limit), 0, 0, 0, 1, 0, RLC_FAIL_DEFAULT, 0, 0, 0}

typedef enum rlc_source {
  RLC_SOURCE_STORE = 1,        /* the store counted it */
  RLC_SOURCE_FALLBACK = 2,     /* fail policy local: this machine's share */
  RLC_SOURCE_FAIL_OPEN = 3,    /* fail policy open */
  RLC_SOURCE_FAIL_CLOSED = 4,  /* fail policy closed */
  RLC_SOURCE_BAN = 5           /* the key is banned: the store was not asked. With several limits it is
                                  asked what the others say where results are wanted, and charges none */
} rlc_source;

/* Returns "store", "fallback", "fail-open", "fail-closed" or "ban", or "none" for another value. */
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
  uint64_t window_us;        /* its window; of a calendar's, the length of the one under way */
  int64_t retry_us;          /* 0 if allowed; else the wait after which the same request would pass
                                if nobody else came; RLC_NEVER if no wait helps */
  int64_t reset_us;          /* the wait until the full capacity is there again */
  uint64_t charged;          /* the units that this call took: the cost, or less where charge had no more
                                room or grant granted less (whole ones; of a stack, by the rate that took
                                most; of a limit that stands twice, for both); 0 where it denied or only
                                asked. By fail policy open, what passed */
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

#define RLC_RESULT_INIT {sizeof(rlc_result), 0, (rlc_source)0, 0, 0, 0, 0, 0, 0, 0}
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
 *     redis://[user:pw@]host[:port][/db]     a Redis server
 *     redis+unix://[user:pw@]/path[?db=n]    the same by its socket
 *     redis+sentinel://[user:pw@]host[:port],host.../name[/db]
 *                               the master that these sentinels know by that name; the user is one
 *                               of the master's
 *     redis+cluster://[user:pw@]host[:port],host...
 *                               a Redis Cluster; these of its servers are asked for the others
 *     rediss://  rediss+sentinel://  rediss+cluster://
 *                               the same through TLS, sentinels too; the server's certificate and
 *                               its host name are verified
 *
 * At most 16 hosts; ports are 6379, and 26379 for sentinels, where none is given. Options follow as
 * in "?size=65536" or "?timeout=10ms&fail=open":
 *
 *     shm: and memory:          size=slots
 *     shm:/path                 mode=0600  group=name
 *     all redis                 timeout=25ms  prefix=rl  fail=local|open|closed  share=1/n
 *                               connections=n: the most from a process to a server, 1 to 64; they
 *                               are opened as threads need them
 *     redis+sentinel            sentinel-user=name  sentinel-password=pw: who logs in to sentinels
 *     with TLS                  ca=/path: a file or folder of authorities; default: the system's
 *                               cert=/path  key=/path: a certificate to show, and its key where
 *                               that is in another file
 *                               sni=name: asked for and verified in place of the host's name
 *
 * %XX stands for a byte, and is needed for those with a meaning of their own ("@" is %40).
 *
 * No redis server need be up, and no name is looked up here: a helper thread of the process looks
 * names up and connects, again where a server has moved, and until it has, decisions go by the fail
 * policy. Files of TLS are read here.
 * |url| NULL means "shm:". |options| may be NULL and may be deleted after the call.
 *
 * Returns 0, RLC_ERR_URL, RLC_ERR_SYSTEM, RLC_ERR_FOREIGN, RLC_ERR_UNSUPPORTED or RLC_ERR_NOMEM,
 * with a sentence in |why| (may be NULL).
 */
RLC_API int rlc_limiter_new(rlc_limiter **out, const char *url, const rlc_options *options,
                            char *why, size_t why_size);
/* No call may be under way. Of a redis store that was asked, a name may be looked up still, in a thread
 * that nobody waits for: the library then stays loaded, also where a program closes it (dlclose). */
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
/* Charges every limit its cost whether or not there is room, down to an empty capacity, or as far into
 * debt as its policy says (`debt=`). For what is known only afterwards, such as bytes sent; each limit is
 * charged for itself, and the results' |charged| says how much. Always allowed when the store answers; when
 * it does not, the charge is lost to the store and kept in the local fallback. */
RLC_API int rlc_limiter_charge(rlc_limiter *limiter, const rlc_limit *limits, size_t n,
                               rlc_result *results, rlc_decision *decision);
/* Gives back the cost, at most up to the full capacity and only into the current window. */
RLC_API int rlc_limiter_refund(rlc_limiter *limiter, const rlc_limit *limits, size_t n,
                               rlc_result *results, rlc_decision *decision);
/* Forgets the state: the full capacity is there again. Costs are ignored. */
RLC_API int rlc_limiter_reset(rlc_limiter *limiter, const rlc_limit *limits, size_t n);

/* Charges every limit as much of its cost as all of them have room for, the same number of units each:
 * the least of the costs, and of what remains. Denied, and nothing charged, where that is none. The
 * results' |charged| says how many. Costs are at least 1, and no limit stands twice. A denial tells of
 * the wait for one unit. */
RLC_API int rlc_limiter_grant(rlc_limiter *limiter, const rlc_limit *limits, size_t n,
                              rlc_result *results, rlc_decision *decision);

/* --- leases: what is taken now and settled later --------------------------------------------- */

/*
 * A check that can be taken back: a slot of a concurrency limit, held while something is done; or a
 * reservation of a cost that is known only afterwards. Where it is never settled, since the program
 * died, it ends by itself, by the store's clock: a slot at the end of the policy's window (the lease),
 * and is free again then and not before; a reservation into the charge that it is. Nothing leaks.
 *
 * A lease is used by one thread at a time, whatever the helper thread does with it. It belongs to the process
 * that made it: a child forked later has a copy, which it can neither renew nor keep (RLC_ERR_INVALID), and
 * which gives nothing back when it is deleted. The child may commit or release it, in place of its parent:
 * what both give back would be given back twice.
 */
typedef struct rlc_lease rlc_lease;

/* As rlc_limiter_check; where that allowed, |*out| is a lease of what was taken, else NULL. Keys, names
 * and groups are copied; policies live as long as the lease. RLC_ERR_NOMEM beside: nothing was taken. A
 * lease of RLC_DEGRADED holds what the fail policy gave: of `local` this machine's share, else nothing. */
RLC_API int rlc_limiter_acquire(rlc_limiter *limiter, const rlc_limit *limits, size_t n,
                                rlc_lease **out, rlc_result *results, rlc_decision *decision);
/* Has the limiter's helper thread renew the slots of concurrency, each third of the window, until the
 * lease is settled or deleted: for what may take longer than the window. A program that dies renews no
 * more. While the store is away it tries again until the window is over; a lease that is lost is logged,
 * counted (leases_lost), and holds no slot from then on. Returns 0, RLC_ERR_INVALID or RLC_ERR_SYSTEM (no
 * thread). */
RLC_API int rlc_lease_keep(rlc_lease *lease);
/* Begins the window of the concurrency slots anew, now. Returns 0; RLC_ERR_LOST where a slot had ended:
 * it may be another's by now, and the lease holds none; RLC_ERR_STORE, after which it may be renewed again,
 * though where the store had done it and only the answer came too late, that finds it lost, and the slot is
 * nobody's until the window is over; or RLC_ERR_INVALID. */
RLC_API int rlc_lease_renew(rlc_lease *lease);
/* Settles: slots of concurrency are free again. |costs|, of as many entries as there were limits, are
 * what was used in the end: of the other limits the difference is given back, or charged as
 * rlc_limiter_charge does. NULL: what was reserved was used. Giving back is exact about time: what would
 * have been refilled, or forgotten with its window, by now is not given twice ("Taking back" in spec.md,
 * libcore/algorithm). Returns 0; RLC_ERR_INVALID for a cost above RLC_MAX_QUOTA, and where it is settled
 * already; or RLC_ERR_STORE where the store did not answer in time: nothing is sent twice, and settled it is.
 * A renewal that is under way in the helper thread is waited for. */
RLC_API int rlc_lease_commit(rlc_lease *lease, const uint64_t *costs);
/* Settles: nothing was used. All of it is given back. Returns as rlc_lease_commit. */
RLC_API int rlc_lease_release(rlc_lease *lease);
/* Releases what is not settled, and frees the lease. Before its limiter is deleted. */
RLC_API void rlc_lease_del(rlc_lease *lease);

/* --- the index: bans, overrides, tiers -------------------------------------------------------- */

/*
 * Beside states a store has one index, bounded and the same for all programs that share the store, of
 * what people have set while programs run. Each process keeps a copy, which is at most 2 s old while the
 * store answers, and reads it with each decision at no cost that a request would notice.
 *
 *   ban        a key is refused by a limit until a time: people set it, or a policy's `ban=` does
 *   override   a key has another policy under a limit's name
 *   tier       what a limit's name means for all keys of a tier: a policy
 *   member     a key is of a tier
 *
 * The copy comes with a process's first decisions: those on redis that are made before the store has told
 * it, which takes no longer than one more command, go without; after a minute without decisions the next
 * go by one as old. What was known holds while the store is away. Of a table it is always there.
 *
 * For a limit the key's override goes first, then its tier (the index's, else the limit's own), then the
 * limit's policy. All but a tier are of a partition key, whatever its group; the index knows keys by
 * hashes. Another algorithm is a reset, as always; of the others state is kept.
 */
typedef enum rlc_entry_kind {
  RLC_ENTRY_BAN = 1,
  RLC_ENTRY_OVERRIDE = 2,
  RLC_ENTRY_TIER = 3,
  RLC_ENTRY_MEMBER = 4
} rlc_entry_kind;

/* The most entries of an index. Bans that denials make take nine of ten places at most. */
#define RLC_MAX_ENTRIES 10000u
/* The most bytes of a display name, in UTF-8. */
#define RLC_MAX_DISPLAY 63
/* The longest policy text in an index, its NUL included. */
#define RLC_ENTRY_POLICY 192

typedef struct rlc_entry {
  size_t size;                   /* sizeof(rlc_entry), set by the library */
  rlc_entry_kind kind;
  char key[17];                  /* the key's hash, 16 characters; "" for a tier */
  char name[RLC_MAX_NAME + 1];   /* the limit's name; "" for a member */
  char tier[RLC_MAX_NAME + 1];   /* of tier and member */
  char policy[RLC_ENTRY_POLICY]; /* of override and tier */
  char display[RLC_MAX_DISPLAY + 1]; /* what to call the key, or "": as it was given, unchecked bytes
                                        of strangers (a NUL is "?"). Escape it before you show it. */
  int64_t left_us;               /* how long the ban goes on; of the others RLC_NEVER: no end */
  unsigned level;                /* of a ban: how many in a row, from 1; 0: set by people */
} rlc_entry;

/* The verbs of the index ask the store itself: they return 0; RLC_ERR_INVALID; RLC_ERR_STORE where it
 * did not answer within the limiter's deadline; RLC_ERR_FULL; RLC_ERR_NOMEM. What they set holds in this
 * process at once, everywhere else within 2 s. |name| is a limit's name, |display| NULL or at most
 * RLC_MAX_DISPLAY bytes, cut where it is longer. */

/* Bans |key| from the limits of |name| for |for_us| microseconds (1 s to 10 years). */
RLC_API int rlc_limiter_ban(rlc_limiter *limiter, const char *name, const void *key, size_t key_len,
                            int64_t for_us, const char *display);
/* Ends the ban, and forgets the denials and bans before it. RLC_ERR_LOST where there is none. */
RLC_API int rlc_limiter_unban(rlc_limiter *limiter, const char *name, const void *key,
                              size_t key_len);
/* Gives |key| the policy |text| under |name|; NULL takes that away (RLC_ERR_LOST: there was none).
 * RLC_ERR_POLICY for a text that is none, with a sentence in |why| (may be NULL). */
RLC_API int rlc_limiter_override(rlc_limiter *limiter, const char *name, const void *key,
                                 size_t key_len, const char *text, const char *display, char *why,
                                 size_t why_size);
/* Gives the tier |tier| (a name as limits have) the policy |text| under |name|; NULL as above. */
RLC_API int rlc_limiter_set_tier(rlc_limiter *limiter, const char *tier, const char *name,
                                 const char *text, char *why, size_t why_size);
/* Makes |key| a member of |tier|; NULL takes it out of the one it is in (RLC_ERR_LOST: of none). */
RLC_API int rlc_limiter_set_member(rlc_limiter *limiter, const void *key, size_t key_len,
                                   const char *tier, const char *display);

/* Given an entry, which is the library's and lives for the call. Returns 0 to go on. */
typedef int rlc_entry_fn(const rlc_entry *entry, void *user);
/* Asks the store for its index, all of it, tiers first, and gives |fn| each entry that has not ended.
 * Returns also what |fn| returned, if not 0. */
RLC_API int rlc_limiter_list(rlc_limiter *limiter, rlc_entry_fn *fn, void *user);
/* Writes the hash of |key| as the index and Redis' key names have it. Returns 0, RLC_ERR_INVALID or
 * RLC_ERR_NOMEM. */
RLC_API int rlc_limiter_hash(rlc_limiter *limiter, const void *key, size_t key_len, char hash[17]);
/* Brings this process's copy of the index up to date, and hands on the denials counted for `ban=`, which
 * the helper thread does each second. Returns 0, RLC_ERR_STORE or RLC_ERR_NOMEM. */
RLC_API int rlc_limiter_refresh(rlc_limiter *limiter);

/* --- what else a limiter tells ---------------------------------------------------------------- */

/* Returns the descriptor of the table of a `shm:` limiter for rlc_options_set_shm_fd, or -1 for
 * every other store. It is the limiter's own: duplicate it to keep it. */
RLC_API int rlc_limiter_get_shm_fd(const rlc_limiter *limiter);

typedef enum rlc_breaker {
  RLC_BREAKER_NONE = 0,       /* a store that cannot fail */
  RLC_BREAKER_CLOSED = 1,     /* the store is asked */
  RLC_BREAKER_OPEN = 2,       /* it is not: the fail policy answers */
  RLC_BREAKER_HALF_OPEN = 3   /* one request probes it */
} rlc_breaker;

/* Why a store did not decide. */
typedef enum rlc_reason {
  RLC_REASON_NONE = 0,
  RLC_REASON_TIMEOUT = 1,      /* no answer within the deadline */
  RLC_REASON_UNAVAILABLE = 2,  /* no connection, or it was lost */
  RLC_REASON_REFUSED = 3,      /* the server answered with an error, or refused the login */
  RLC_REASON_PROTOCOL = 4      /* it answered what no such server answers */
} rlc_reason;

/* Returns a constant English phrase, "no answer within the deadline". Never NULL. */
RLC_API const char *rlc_reason_text(rlc_reason reason);

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
  uint64_t store_unavailable; /* without a connection, or the connection was lost */
  uint64_t store_refused;     /* the server answered with an error */
  uint64_t breaker_opened;    /* how often the breaker opened */
  rlc_breaker breaker;        /* in this process now */
  rlc_reason breaker_reason;  /* why it opened last in this process */
  uint64_t connects;          /* connections to redis that were opened */
  uint64_t connections_lost;  /* of those, lost or given up */
  uint64_t resent;            /* commands sent again, which for certain had not run */
  uint64_t late_replies;      /* replies that came when their caller had left at its deadline */
  uint64_t slots;             /* of the shm or memory table; 0 for redis */
  uint64_t slots_used;        /* occupied, live or expired */
  uint64_t evicted_live;      /* live keys that gave way because their set was full */
  uint64_t banned;            /* of those denied, by a ban */
  uint64_t leases_lost;       /* leases that could not be renewed in time */
  uint64_t index_entries;     /* of the index, as this process knows it */
} rlc_stats;

#define RLC_STATS_INIT                                                                              \
  {sizeof(rlc_stats), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, RLC_BREAKER_NONE, RLC_REASON_NONE, 0, 0, 0, 0, \
   0, 0, 0, 0, 0, 0}

/* Fills |stats|, whose size is set. Returns 0 or RLC_ERR_INVALID. */
RLC_API int rlc_limiter_get_stats(rlc_limiter *limiter, rlc_stats *stats);

/* --- queues, for event loops --------------------------------------------------------------- */

/*
 * A limiter's decisions without waiting, for a program that runs an event loop: submit, poll one
 * descriptor together with all others, complete. All that is submitted travels on shared
 * connections; no thread waits. A queue belongs to the process and to the one thread at a time that
 * uses it; the limiter may be used by others meanwhile, and lives longer.
 */
typedef struct rlc_queue rlc_queue;

typedef enum rlc_op {
  RLC_OP_CHECK = 1,
  RLC_OP_PEEK = 2,
  RLC_OP_CHARGE = 3,
  RLC_OP_REFUND = 4,
  RLC_OP_RESET = 5,
  RLC_OP_GRANT = 6
} rlc_op;

/* Returns 0, RLC_ERR_INVALID, RLC_ERR_NOMEM or RLC_ERR_SYSTEM (no descriptors). */
RLC_API int rlc_queue_new(rlc_queue **out, rlc_limiter *limiter);
/* Forgets what is pending; commands that were sent may still be charged. */
RLC_API void rlc_queue_del(rlc_queue *queue);
/* The descriptor, the queue's own: when it is readable (POLLIN), rlc_queue_complete may have
 * something. Deadlines make it readable too. */
RLC_API int rlc_queue_get_fd(const rlc_queue *queue);
/* How many decisions are pending. */
RLC_API size_t rlc_queue_get_pending(const rlc_queue *queue);

/* As the verb |op| of rlc_limiter_. What can be decided at once (in shared memory, by the fail policy
 * while the breaker is open) is, and the result is in |results| and |decision|; else returns
 * RLC_PENDING, writes neither, and rlc_queue_complete gives |user| with the decision, at the deadline
 * at the latest. Keys, groups and names are copied; policies live until then. RLC_ERR_NOMEM beside. */
RLC_API int rlc_queue_submit(rlc_queue *queue, rlc_op op, const rlc_limit *limits, size_t n,
                             void *user, rlc_result *results, rlc_decision *decision);

/* Gives one decision that was made, in the order in which they were submitted as far as that is known.
 * |*user| is what was given to submit; |results| (NULL, or at least as many as the limits submitted,
 * RLC_MAX_LIMITS at most) and |decision| as there. Returns as the verb, or RLC_PENDING when nothing
 * more is decided for now: call it until then. Never waits. */
RLC_API int rlc_queue_complete(rlc_queue *queue, void **user, rlc_result *results,
                               rlc_decision *decision);

/* --- access lists of Redis ----------------------------------------------------------------- */

typedef enum rlc_acl {
  RLC_ACL_REDIS = 1,    /* the servers that count */
  RLC_ACL_SENTINEL = 2  /* the sentinels of a redis+sentinel: URL */
} rlc_acl;

/*
 * Writes the least that servers have to allow to whom uses the store |url|: a user and its rules, in
 * one line.
 *
 *     app reset on #6ee0... resetchannels ~rl:* +evalsha +eval +time +get +set ...
 *
 * Behind "ACL SETUSER " that is a command for redis-cli, behind "user " a line of an ACL file. The
 * user is the URL's; of its password the line has the SHA-256 hash, as servers keep it. Where the URL
 * names no user, it is "rlcore" with "#SHA256-OF-THE-PASSWORD", which servers refuse until `>` and
 * the password, or the hash, stand there.
 *
 * Writes at most |size| bytes, NUL included, and returns the length without it; where that is |size|
 * or more, |buf| was too small and holds "". Returns 0 for RLC_ACL_SENTINEL where the URL has no
 * sentinels; or RLC_ERR_URL, RLC_ERR_INVALID or RLC_ERR_NOMEM with a sentence in |why| (may be NULL).
 */
RLC_API int rlc_redis_format_acl(char *buf, size_t size, const char *url, rlc_acl whom, char *why,
                                 size_t why_size);

/* --- HTTP ---------------------------------------------------------------------------------- */

/* The text functions below write at most |size| bytes, NUL included, and return the length of the
 * text without its NUL; where that is |size| or more, the buffer was too small and holds "". */

/* `"name";q=100;w=60` : an item of RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-08 to
 * -11) for rate |rate_index|. The window of a calendar is told by the most days that one of its kind
 * has, `w=2678400` for a month. A capacity above or below the quota adds `;rlr-burst=n`. Of concurrency
 * it is `"name";q=20;qu="concurrent-requests"`, without a window. */
RLC_API size_t rlc_http_format_policy(char *buf, size_t size, const char *name,
                                      const rlc_policy *policy, unsigned rate_index);
/* `"name";r=50;t=30` : an item of RateLimit (same drafts). t is, in seconds rounded up, the wait
 * until the full capacity is there; where this limit refused, until the request would pass. */
RLC_API size_t rlc_http_format_limit(char *buf, size_t size, const char *name,
                                     const rlc_result *result);
/* `;pk=:dGhpcyBpcyBh:` : the parameter for a partition key, to stand behind an item of either field
 * (same drafts). It holds the first 12 bytes of an HMAC-SHA-256 of key and group under |secret|, which
 * tells neither and is not the hash that names of keys in Redis have. Without a secret (16 bytes or
 * more) a key could be found by trying: then the text is empty, as it is when memory runs out. */
RLC_API size_t rlc_http_format_partition(char *buf, size_t size, const void *secret,
                                         size_t secret_size, const rlc_limit *limit);

/* Older generations of the fields, and their relatives. Most tell of one limit: where a request meets
 * several, of the one that binds, which is rlc_decision.result. Every reset is the wait that `t` is
 * above. */

/* `100;w=60` : an item of RateLimit-Policy in drafts 03 to 07; `;burst=n` where the capacity is not
 * the quota. */
RLC_API size_t rlc_http_format_quota(char *buf, size_t size, const rlc_policy *policy,
                                     unsigned rate_index);
/* `limit=100, remaining=50, reset=30` : RateLimit in draft 07. */
RLC_API size_t rlc_http_format_draft_07(char *buf, size_t size, const rlc_result *result);

/* Generations with a field for each number. */
typedef enum rlc_http_part {
  RLC_HTTP_LIMIT = 1,      /* RateLimit-Limit, X-RateLimit-Limit: the capacity */
  RLC_HTTP_REMAINING = 2,  /* RateLimit-Remaining, X-RateLimit-Remaining */
  RLC_HTTP_RESET = 3       /* RateLimit-Reset, X-RateLimit-Reset */
} rlc_http_part;

/* `30` : RateLimit-Limit, RateLimit-Remaining or RateLimit-Reset of draft 06 and before, the reset in
 * seconds from now. */
RLC_API size_t rlc_http_format_draft_06(char *buf, size_t size, rlc_http_part part,
                                        const rlc_result *result);
/* `30` : X-RateLimit-Limit, X-RateLimit-Remaining or X-RateLimit-Reset, the reset in seconds from
 * now. */
RLC_API size_t rlc_http_format_x_ratelimit(char *buf, size_t size, rlc_http_part part,
                                           const rlc_result *result);
/* `1735689600` : the same, with the reset as seconds since 1970, by the caller's clock |now_us|. */
RLC_API size_t rlc_http_format_x_ratelimit_epoch(char *buf, size_t size, rlc_http_part part,
                                                 const rlc_result *result, int64_t now_us);

/* `30` : Retry-After (RFC 9110 10.2.3), seconds rounded up, at least 1; empty for RLC_NEVER. */
RLC_API size_t rlc_http_format_retry_after(char *buf, size_t size, int64_t retry_us);
/* The problem types of the RateLimit draft, and the status that each goes with unless a server's
 * owner wants another. */
typedef enum rlc_problem {
  RLC_PROBLEM_QUOTA_EXCEEDED = 1,    /* quota-exceeded, 429 */
  RLC_PROBLEM_REDUCED_CAPACITY = 2,  /* temporary-reduced-capacity, 503: the store is away, or the
                                        server sheds load */
  RLC_PROBLEM_ABNORMAL_USAGE = 3     /* abnormal-usage-detected, 429: the key is banned */
} rlc_problem;

/* The application/problem+json body (RFC 9457) of a refusal with |status|, 400 to 599; |policies| are
 * the |n| names of the limits that refused. Names are JSON-escaped. Empty for another problem or
 * status. */
RLC_API size_t rlc_http_format_problem(char *buf, size_t size, rlc_problem problem, int status,
                                       const char *const *policies, size_t n);
/*
 * What a server has charged, for the application behind it, which then does not charge it again: the
 * field RateLimit-Charged of a request to it (which the server takes out of what clients send), or the
 * variable RATELIMIT_CHARGED of its environment.
 *
 *     v1 1767225630 api:4fYAqUFxUiVdwbQW:1,login:TfK-hPQs6ZXVJT1y.9cmkWX2GjAb1yQ_m:2 <MAC>
 *
 * in ASCII, with one space between the four parts: the version; the server's clock, in seconds since
 * 1970; a list of `name:key:units` with commas; and 43 characters, base64url without padding of
 * HMAC-SHA-256 under |secret| of the bytes "ratelimit-charged " and all before the last space. A key is
 * base64url of the first 12 bytes of HMAC-SHA-256 under |secret| of the partition key (16 characters, as in
 * names of keys in Redis), behind which a limit with a group has "." and the same of the group. Units are
 * those reserved or charged when the request came. The variable is the list alone, whose keys are hashed by
 * SHA-256 where there is no secret.
 */
#define RLC_CHARGED_SIZE 2048 /* holds every such text, its NUL included */
/* Writes it of those |limits| that have a cost, which are the units. |now_us| is the time; RLC_NEVER:
 * writes the list alone. Empty where there is nothing to tell; where a time is given and no secret of 16
 * bytes or more; or when memory runs out. */
RLC_API size_t rlc_http_format_charged(char *buf, size_t size, const void *secret,
                                       size_t secret_size, const rlc_limit *limits, size_t n,
                                       int64_t now_us);
/* Finds in |text|, of |len| bytes, which of the |n| |limits| that a program is about to charge have been
 * charged: |charged| of as many entries says how many units of each; 0: none. Names, keys and groups
 * have to be the same, costs are not looked at. |now_us| RLC_NEVER: the text is a list alone, from where no
 * client can put one. Else it has to be authentic, and no more than |max_age_us| (a day at most; 60 s suit
 * clocks that are set) from |now_us| away. While a secret is changed, ask with each. Returns 0;
 * RLC_ERR_FOREIGN for a text that is not so, and nothing is charged then; or RLC_ERR_INVALID. */
RLC_API int rlc_http_parse_charged(const char *text, size_t len, const void *secret,
                                   size_t secret_size, int64_t now_us, int64_t max_age_us,
                                   const rlc_limit *limits, size_t n, uint64_t *charged);
/* The address |text| as a key: IPv4-mapped IPv6 as IPv4, then cut to |v4_prefix| or |v6_prefix|
 * bits, in RFC 5952 text, followed by "/bits" where bits were cut; a zone ("%eth0") is dropped.
 * Returns 0 if |text| is no address. */
RLC_API size_t rlc_http_format_address(char *buf, size_t size, const char *text,
                                       unsigned v4_prefix, unsigned v6_prefix);

#ifdef __cplusplus
}
#endif

#endif
