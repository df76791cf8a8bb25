/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RATELIMIT_CONFIG_H
#define RATELIMIT_CONFIG_H

#include <apr_hash.h>
#include <apr_tables.h>

#include "module.h"

enum { RATELIMIT_UNSET = -1 };

enum { RATELIMIT_ENFORCE = 0, RATELIMIT_DRY_RUN = 1, RATELIMIT_OFF = 2 };
enum { RATELIMIT_HEADERS_DRAFT_08 = 0, RATELIMIT_HEADERS_OFF = 1 };

/* What RateLimitStore and its neighbours set. Its members that only the main server may have are
 * read from the main server's. */
typedef struct ratelimit_server_conf {
  const char *store;            /* a URL; NULL: unset */
  const char *secret;           /* the bytes; NULL: unset */
  apr_size_t secret_len;        /* 0: unset */
  apr_hash_t *policies;         /* name -> ratelimit_named; a virtual host's go before the main's */
  apr_array_header_t *lines;    /* ratelimit_line *: those written in this very server */
} ratelimit_server_conf;

/* What holds for a request: the server's, the virtual host's, the directories' merged inwards. */
typedef struct ratelimit_dir_conf {
  int mode;                     /* RATELIMIT_ENFORCE ... or RATELIMIT_UNSET */
  int fail;                     /* an rlc_fail or RATELIMIT_UNSET */
  int headers;                  /* RATELIMIT_HEADERS_... or RATELIMIT_UNSET */
  apr_array_header_t *lines;    /* ratelimit_line *, outer ones first; NULL: none, the cheap case */
} ratelimit_dir_conf;

/* Each setting's default is here and nowhere else. */
int ratelimit_get_mode(const ratelimit_dir_conf *conf);
rlc_fail ratelimit_get_fail(const ratelimit_dir_conf *conf);
int ratelimit_get_headers(const ratelimit_dir_conf *conf);
const char *ratelimit_get_store(const ratelimit_server_conf *conf);

void *ratelimit_create_server_conf(apr_pool_t *pool, server_rec *s);
void *ratelimit_merge_server_conf(apr_pool_t *pool, void *base, void *add);
void *ratelimit_create_dir_conf(apr_pool_t *pool, char *dir);
void *ratelimit_merge_dir_conf(apr_pool_t *pool, void *base, void *add);

extern const command_rec ratelimit_commands[];

/* Finds |text| among |words|, or returns -1 with a sentence in |why| that says what to write. */
int ratelimit_choose(cmd_parms *cmd, const char *const *words, int n, const char *text,
                     const char *what, const char **why);
/* The words of RateLimitFail and fail=, in the order of rlc_fail; the first is "". */
extern const char *const ratelimit_fail_words[4];

#endif
