/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RATELIMIT_CONFIG_H
#define RATELIMIT_CONFIG_H

#include <apr_hash.h>
#include <apr_tables.h>

#include "module.h"
#include "refusal.h"

enum { RATELIMIT_UNSET = -1 };

/* Who may see the status page, and how it shows keys. */
enum { RATELIMIT_ACCESS_LOCAL = 0, RATELIMIT_ACCESS_REQUIRE = 1 };
enum { RATELIMIT_KEYS_ADDRESS = 0, RATELIMIT_KEYS_HASHED = 1, RATELIMIT_KEYS_PLAIN = 2 };

enum { RATELIMIT_ENFORCE = 0, RATELIMIT_DRY_RUN = 1, RATELIMIT_OFF = 2 };
/* Generations of the RateLimit fields, and what goes with them: bits. */
enum {
  RATELIMIT_HEADERS_OFF = 0,
  RATELIMIT_HEADERS_DRAFT_08 = 1,
  RATELIMIT_HEADERS_DRAFT_07 = 2,
  RATELIMIT_HEADERS_DRAFT_06 = 4,
  RATELIMIT_HEADERS_X = 8,
  RATELIMIT_HEADERS_X_EPOCH = 16,
  RATELIMIT_HEADERS_PK = 32
};

enum { RATELIMIT_LOG_OFF = 0, RATELIMIT_WARN_OFF = 0 };

/* What RateLimitStore and its neighbours set. Its members that only the main server may have are
 * read from the main server's. */
typedef struct ratelimit_server_conf {
  const char *store;            /* a URL; NULL: unset */
  const char *secret;           /* the bytes; NULL: unset */
  apr_size_t secret_len;        /* 0: unset */
  int status_keys;              /* RATELIMIT_KEYS_... or RATELIMIT_UNSET */
  apr_hash_t *policies;         /* name -> ratelimit_named; a virtual host's go before the main's */
  apr_array_header_t *lines;    /* ratelimit_line *: those written in this very server */
  const char *forward_place;    /* where it asks for RateLimitForward; NULL: nowhere */
  int delay;                    /* percent of the workers that may wait; RATELIMIT_UNSET */
  const char *pk_place;         /* where it asks for partition keys in fields; NULL: nowhere */
} ratelimit_server_conf;

/* What holds for a request: the server's, the virtual host's, the directories' merged inwards. */
typedef struct ratelimit_dir_conf {
  int status_access;            /* RATELIMIT_ACCESS_... or RATELIMIT_UNSET */
  int mode;                     /* RATELIMIT_ENFORCE ... or RATELIMIT_UNSET */
  int fail;                     /* an rlc_fail or RATELIMIT_UNSET */
  int headers;                  /* RATELIMIT_HEADERS_... bits, or RATELIMIT_UNSET */
  ratelimit_refusal refusal;    /* how refusals look */
  int log;                      /* seconds between lines about one offender, RATELIMIT_LOG_OFF, UNSET */
  int warn;                     /* percent of a quota from which answers warn; 0: off; UNSET */
  int forward;                  /* 1: applications are told by a field what was charged; 0; UNSET */
  int expose;                   /* 1: scripts of other origins may read the fields; 0; UNSET */
  apr_array_header_t *exempt;   /* ratelimit_exempt *; NULL: nobody */
  apr_array_header_t *shed;     /* ratelimit_shed *; NULL: nothing is shed */
  apr_array_header_t *lines;    /* ratelimit_line *, outer ones first; NULL: none, the cheap case */
} ratelimit_dir_conf;

/* Each setting's default is here and nowhere else. */
int ratelimit_get_status_access(const ratelimit_dir_conf *conf);
int ratelimit_get_status_keys(const ratelimit_server_conf *conf);
unsigned ratelimit_get_delay(const ratelimit_server_conf *conf);
int ratelimit_get_mode(const ratelimit_dir_conf *conf);
rlc_fail ratelimit_get_fail(const ratelimit_dir_conf *conf);
int ratelimit_get_headers(const ratelimit_dir_conf *conf);
int ratelimit_get_expose(const ratelimit_dir_conf *conf);
int ratelimit_get_forward(const ratelimit_dir_conf *conf);
int ratelimit_get_log(const ratelimit_dir_conf *conf);
int ratelimit_get_warn(const ratelimit_dir_conf *conf);
const char *ratelimit_get_store(const ratelimit_server_conf *conf);

void *ratelimit_create_server_conf(apr_pool_t *pool, server_rec *s);
void *ratelimit_merge_server_conf(apr_pool_t *pool, void *base, void *add);
void *ratelimit_create_dir_conf(apr_pool_t *pool, char *dir);
void *ratelimit_merge_dir_conf(apr_pool_t *pool, void *base, void *add);

extern const command_rec ratelimit_commands[];

/* Reads a part of a quota, for RateLimitWarn and warn=; |what| begins the sentence. */
const char *ratelimit_read_warn(cmd_parms *cmd, const char *what, const char *text, int *warn);

/* Looks over what only the whole configuration tells. Returns OK, or an HTTP status after it has
 * logged what is wrong. */
int ratelimit_check_settings(server_rec *main_server);

/* Finds |text| among |words|, or returns -1 with a sentence in |why| that says what to write. */
int ratelimit_choose(cmd_parms *cmd, const char *const *words, int n, const char *text,
                     const char *what, const char **why);
/* The words of RateLimitFail and fail=, in the order of rlc_fail; the first is "". */
extern const char *const ratelimit_fail_words[4];

#endif
