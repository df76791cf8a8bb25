/* SPDX-License-Identifier: Apache-2.0 */
#include "count.h"

#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <apr_siphash.h>

#include "stores.h"

/* Set by the parent before it forks. No cleanup takes it away: threads of a child that ends may
 * still be counting. */
static ratelimit_tally *the_tally;
static int keys_shown;

ratelimit_tally *ratelimit_counts(void) {
  return the_tally;
}

apr_uint64_t ratelimit_count_clock(void) {
  struct timespec now;

  clock_gettime(CLOCK_MONOTONIC, &now);
  return (apr_uint64_t)now.tv_sec * 1000000000u + (apr_uint64_t)now.tv_nsec;
}

/* --- memory that stays over restarts ------------------------------------------------------- */

/* What the process' own pool keeps: it is not cleared by a restart. */
typedef struct kept_counts {
  void *memory;
  apr_size_t size;
} kept_counts;

static kept_counts *find_kept(process_rec *process) {
  static const char key[] = "mod_ratelimit_redis:counts";
  void *data = NULL;

  apr_pool_userdata_get(&data, key, process->pool);
  if (data == NULL) {
    data = apr_pcalloc(process->pool, sizeof(kept_counts));
    /* Not _setn, and no cleanup: the key is in the module, which will be unloaded. */
    apr_pool_userdata_set(data, key, NULL, process->pool);
  }
  return data;
}

/* Children of before the restart keep what they have mapped. */
static void drop(kept_counts *kept) {
  if (kept->memory != NULL) {
    munmap(kept->memory, kept->size);
    kept->memory = NULL;
  }
}

static ratelimit_tally *make(kept_counts *kept) {
  apr_byte_t hash_key[RATELIMIT_HASH_KEY];
  void *memory;

  drop(kept);
  if (apr_generate_random_bytes(hash_key, sizeof hash_key) != APR_SUCCESS) {
    return NULL;
  }
  memory = mmap(NULL, sizeof(ratelimit_tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                -1, 0);
  if (memory == MAP_FAILED) {
    return NULL;
  }
  kept->memory = memory;
  kept->size = sizeof(ratelimit_tally);
  ratelimit_tally_init(memory, hash_key, apr_time_sec(apr_time_now()));
  return memory;
}

static ratelimit_tally *find(kept_counts *kept) {
  if (kept->memory != NULL && kept->size == sizeof(ratelimit_tally) &&
      ratelimit_tally_fits(kept->memory)) {
    return kept->memory;
  }
  return make(kept);
}

/* --- rows ---------------------------------------------------------------------------------- */

static apr_uint64_t hash(const void *bytes, apr_size_t len) {
  return apr_siphash24(bytes, len, the_tally->hash_key);
}

static unsigned find_row(const ratelimit_line *line) {
  return ratelimit_tally_row(the_tally, hash(line->label, strlen(line->label)), line->label);
}

/* Returns 0 if some limit found no row. */
static int name_rows(server_rec *main_server) {
  const ratelimit_server_conf *main_conf =
      ap_get_module_config(main_server->module_config, &ratelimit_redis_module);
  int room = 1;

  ratelimit_tally_restart(the_tally, apr_time_sec(apr_time_now()));
  for (server_rec *s = main_server; s != NULL; s = s->next) {
    const ratelimit_server_conf *conf =
        ap_get_module_config(s->module_config, &ratelimit_redis_module);

    if (s != main_server && conf == main_conf) {
      continue;
    }
    for (int i = 0; i < conf->lines->nelts; ++i) {
      ratelimit_line *line = APR_ARRAY_IDX(conf->lines, i, ratelimit_line *);

      line->row = find_row(line);
      if (line->row == RATELIMIT_ROW_OTHERS) {
        room = 0;
      } else {
        ratelimit_tally_describe(the_tally, line->row, rlc_policy_get_text(line->policy));
      }
    }
  }
  return room;
}

void ratelimit_count_open(server_rec *main_server) {
  const ratelimit_server_conf *conf =
      ap_get_module_config(main_server->module_config, &ratelimit_redis_module);
  kept_counts *kept = find_kept(main_server->process);

  keys_shown = ratelimit_get_status_keys(conf);
  the_tally = find(kept);
  /* Names that are no longer there may take the room of those that are: then all begin anew. */
  if (the_tally != NULL && !name_rows(main_server) && ratelimit_tally_has_old(the_tally)) {
    the_tally = make(kept);
    if (the_tally != NULL) {
      name_rows(main_server);
    }
  }
  if (the_tally == NULL) {
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, main_server,
                 "RLR0030: no memory for the counts of the status page: it stays empty");
  }
}

/* --- counting ------------------------------------------------------------------------------ */

/* What keeps the keys of .htaccess apart is not shown. */
static apr_size_t find_own_part(const ratelimit_line *line, const rlc_limit *limit) {
  return line->scope != NULL && limit->key_len >= line->scope_len &&
                 memcmp(limit->key, line->scope, line->scope_len) == 0
             ? line->scope_len
             : 0;
}

/* The key's text stays out of the counts where it would not be shown: there stands what the error log
 * and rlctl call it. */
static void count_offender(const ratelimit_line *line, const rlc_limit *limit, unsigned row,
                           apr_uint64_t now_s) {
  apr_size_t from = find_own_part(line, limit);
  const char *text = (const char *)limit->key + from;
  apr_size_t len = limit->key_len - from;
  int is_address = line->key == NULL;
  unsigned flags = is_address ? RATELIMIT_KEY_IS_ADDRESS : 0;
  char name[17];

  if (keys_shown == RATELIMIT_KEYS_HASHED || (keys_shown == RATELIMIT_KEYS_ADDRESS && !is_address)) {
    flags = RATELIMIT_KEY_IS_HASH;
    len = sizeof name - 1;
    text = rlc_limiter_hash(ratelimit_limiter(), limit->key, limit->key_len, name) == 0 ? name : NULL;
  }
  ratelimit_sketch_add(&the_tally->offenders, now_s / RATELIMIT_WINDOW_S,
                       ratelimit_sketch_id(hash(limit->key, limit->key_len), row), text, len, flags);
}

/* Where another limit refused the request, one that would have let it pass counts nothing. */
static void count_limit(const ratelimit_batch *batch, int i, ratelimit_kind denied,
                        apr_uint64_t now_s) {
  const rlc_result *result = &batch->results[i];
  ratelimit_line *line = batch->lines[i];
  unsigned row = line->row;

  if (row == 0) { /* lines of .htaccess are new with each request */
    row = find_row(line);
    line->row = row;
  }
  if (batch->decision.allowed) {
    ratelimit_tally_add(the_tally, row, RATELIMIT_ALLOWED, now_s);
  } else if (!result->allowed) {
    ratelimit_tally_add(the_tally, row, denied, now_s);
    if (result->source != RLC_SOURCE_FAIL_CLOSED) { /* that is not the key's fault */
      count_offender(line, &batch->limits[i], row, now_s);
    }
  }
}

/* Of one limit or all: on several servers some may have answered. */
static int is_degraded(const ratelimit_batch *batch) {
  for (int i = 0; i < batch->n; ++i) {
    rlc_source source = batch->results[i].source;

    if (source == RLC_SOURCE_FALLBACK || source == RLC_SOURCE_FAIL_OPEN ||
        source == RLC_SOURCE_FAIL_CLOSED) {
      return 1;
    }
  }
  return 0;
}

static void count_degraded(apr_uint64_t now_s) {
  ratelimit_tally_add(the_tally, RATELIMIT_ROW_ALL, RATELIMIT_DEGRADED, now_s);
  ratelimit_tally_add_slow(the_tally, RATELIMIT_DEGRADED, now_s);
  if (ratelimit_tally_trouble_due(the_tally, now_s)) {
    rlc_stats stats = RLC_STATS_INIT;

    rlc_limiter_get_stats(ratelimit_limiter(), &stats);
    ratelimit_tally_set_trouble(the_tally, now_s, stats.breaker_reason);
  }
}

void ratelimit_count_shed(void) {
  if (the_tally != NULL) {
    atomic_fetch_add_explicit(&the_tally->shed, 1, memory_order_relaxed);
  }
}

void ratelimit_count_delayed(void) {
  if (the_tally != NULL) {
    atomic_fetch_add_explicit(&the_tally->delayed, 1, memory_order_relaxed);
  }
}

void ratelimit_count(const ratelimit_batch *batch, int dry, apr_uint64_t begun) {
  apr_uint64_t ended;
  apr_uint64_t now_s;
  ratelimit_kind denied = dry ? RATELIMIT_DRY : RATELIMIT_DENIED;
  ratelimit_kind kind = batch->decision.allowed ? RATELIMIT_ALLOWED : denied;
  rlc_source source = batch->decision.source;

  if (the_tally == NULL) {
    return;
  }
  ended = ratelimit_count_clock();
  now_s = ended / 1000000000u;
  ratelimit_tally_add(the_tally, RATELIMIT_ROW_ALL, kind, now_s);
  ratelimit_tally_add_slow(the_tally, kind, now_s);
  ratelimit_tally_add_latency(the_tally, now_s, ended - begun);
  if (source != RLC_SOURCE_STORE && (unsigned)source < RATELIMIT_SOURCES) {
    atomic_fetch_add_explicit(&the_tally->sources[source], 1, memory_order_relaxed);
  }
  if (is_degraded(batch)) {
    count_degraded(now_s);
  }
  for (int i = 0; i < batch->n; ++i) {
    count_limit(batch, i, denied, now_s);
  }
}
