/* SPDX-License-Identifier: Apache-2.0 */
#include "journal.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_siphash.h>
#include <apr_strings.h>

#include "offenders.h"
#include "stores.h"

typedef struct journal {
  unsigned char seed[APR_SIPHASH_KSIZE]; /* so that nobody can choose offenders that share an entry */
  atomic_int forwarded;                  /* has been told */
  atomic_llong load_due;                 /* in seconds: not before */
  ratelimit_offenders offenders;
} journal;

static journal *the_journal;
static pid_t owner;
static int knows_proxies; /* mod_remoteip is loaded */

/* Children leave it to their exit: a thread of theirs may be at work in it. */
static apr_status_t close_journal(void *unused) {
  (void)unused;
  if (getpid() == owner) {
    munmap(the_journal, sizeof *the_journal);
    the_journal = NULL;
  }
  return APR_SUCCESS;
}

int ratelimit_journal_open(apr_pool_t *pconf, server_rec *s) {
  void *memory = mmap(NULL, sizeof *the_journal, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);

  if (memory == MAP_FAILED) {
    ap_log_error(APLOG_MARK, APLOG_CRIT, APR_FROM_OS_ERROR(errno), s,
                 "RLR0013: no memory for the journal of refusals");
    return HTTP_INTERNAL_SERVER_ERROR;
  }
  the_journal = memory;
  apr_generate_random_bytes(the_journal->seed, sizeof the_journal->seed);
  owner = getpid();
  apr_pool_cleanup_register(pconf, NULL, close_journal, apr_pool_cleanup_null);
  knows_proxies = ap_find_linked_module("mod_remoteip.c") != NULL;
  return OK;
}

/* --- refusals ------------------------------------------------------------------------------ */

/* What an offender is called in the log: what the index and rlctl call it, the same on all servers with
 * one secret. */
static const char *format_id(request_rec *r, const rlc_limit *limit) {
  char hash[17];

  return rlc_limiter_hash(ratelimit_limiter(), limit->key, limit->key_len, hash) == 0
             ? apr_pstrdup(r->pool, hash)
             : "unknown";
}

static uint64_t hash_offender(const char *label, const rlc_limit *limit, int dry) {
  const unsigned char *seed = the_journal->seed;
  uint64_t parts[4] = {(uint64_t)dry, apr_siphash24(label, strlen(label), seed),
                       apr_siphash24(limit->key, limit->key_len, seed),
                       apr_siphash24(limit->group, limit->group_len, seed)};

  return apr_siphash24(parts, sizeof parts, seed);
}

/* Each refusal is in the access log. Here stands that there are some, and whose: httpd puts the
 * client's address at the head of the line. Keys stay out of it. */
void ratelimit_journal_refusal(request_rec *r, const ratelimit_dir_conf *conf,
                               const ratelimit_batch *batch, int dry) {
  const rlc_decision *decision = &batch->decision;
  const rlc_limit *limit = &batch->limits[decision->index];
  const char *label = batch->lines[decision->index]->label;
  int interval = ratelimit_get_log(conf);
  const char *more = "";
  ratelimit_due due;

  if (!APLOGrinfo(r) || interval == RATELIMIT_LOG_OFF ||
      !ratelimit_offenders_note(&the_journal->offenders, hash_offender(label, limit, dry),
                                (uint32_t)apr_time_sec(apr_time_now()), (uint32_t)interval,
                                &due)) {
    return;
  }
  if (due.more > 0) {
    more = apr_psprintf(r->pool, ", and %" APR_UINT64_T_FMT " more since the last such line",
                        (apr_uint64_t)due.more);
  }
  if (dry) {
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                  "RLR0006: dry run: the limit %s would have refused this request (source %s, key "
                  "%s)%s",
                  label, rlc_source_name(decision->source), format_id(r, limit), more);
  } else {
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                  "RLR0007: the limit %s refuses this request (source %s, key %s)%s", label,
                  rlc_source_name(decision->source), format_id(r, limit), more);
  }
  if (due.left_out > 0) {
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                  "RLR0014: beside these, %" APR_UINT64_T_FMT " refusals have no line: a second "
                  "has %d lines at most",
                  (apr_uint64_t)due.left_out, RATELIMIT_LINES_PER_S);
  }
}

int ratelimit_journal_load_due(void) {
  enum { PAUSE_S = 10 };
  long long now_s = (long long)apr_time_sec(apr_time_now());
  long long due = atomic_load_explicit(&the_journal->load_due, memory_order_relaxed);

  /* A clock that was set back does not silence it for long. */
  return (now_s >= due || now_s < due - PAUSE_S) &&
         atomic_compare_exchange_strong(&the_journal->load_due, &due, now_s + PAUSE_S);
}

/* --- proxies ------------------------------------------------------------------------------- */

void ratelimit_journal_forwarded(request_rec *r, const ratelimit_batch *batch) {
  const char *field = "X-Forwarded-For";
  int by_address = 0;

  if (knows_proxies || atomic_load_explicit(&the_journal->forwarded, memory_order_relaxed)) {
    return;
  }
  for (int i = 0; i < batch->n; ++i) {
    by_address = by_address || batch->lines[i]->by_address;
  }
  if (by_address && apr_table_get(r->headers_in, field) == NULL) {
    field = "Forwarded";
    by_address = apr_table_get(r->headers_in, field) != NULL;
  }
  if (by_address && atomic_exchange(&the_journal->forwarded, 1) == 0) {
    ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                  "RLR0015: a request has the field %s, and mod_remoteip is not loaded: if a proxy "
                  "stands in front, limits count all its clients as one. Load mod_remoteip, and "
                  "write RemoteIPHeader and RemoteIPInternalProxy. If none does, the client made "
                  "the field up, and nothing is wrong",
                  field);
  }
}
