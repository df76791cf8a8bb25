/* SPDX-License-Identifier: Apache-2.0 */
#include "delay.h"

#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <ap_mpm.h>
#include <apr_general.h>
#include <apr_portable.h>
#include <apr_siphash.h>
#include <apr_strings.h>
#include <http_core.h>

#include "events.h"
#include "load.h"

enum {
  QUEUES = 4096,
  MOST_PLACES = 4096,
  TRIES = 3,      /* somebody else may be faster, or another server */
  SLICE_MS = 100, /* between two looks at whether httpd ends */
  TIME_BITS = 48  /* of microseconds: nine years */
};
#define TIME_MASK ((UINT64_C(1) << TIME_BITS) - 1)
#define GRACE_US 100000u /* until a place of a process that is late is given to somebody else */

typedef struct waiting_room {
  unsigned char seed[APR_SIPHASH_KSIZE]; /* so that nobody can choose keys that share a queue */
  unsigned places;
  /* When the last who waits for a key has its turn, below 16 bits of the key's hash. */
  _Atomic uint64_t queue[QUEUES];
  _Atomic uint64_t place[MOST_PLACES]; /* until when it is taken */
} waiting_room;

static waiting_room *the_room;
static pid_t owner;

static uint64_t now_us(void) {
  return ratelimit_count_clock() / 1000u;
}

/* --- life ---------------------------------------------------------------------------------- */

/* Children leave it to their exit: a thread of theirs may be at work in it. */
static apr_status_t close_room(void *unused) {
  (void)unused;
  if (getpid() == owner) {
    munmap(the_room, sizeof *the_room);
    the_room = NULL;
  }
  return APR_SUCCESS;
}

int ratelimit_delay_open(apr_pool_t *pconf, server_rec *s) {
  const ratelimit_server_conf *conf =
      ap_get_module_config(s->module_config, &ratelimit_redis_module);
  unsigned places = ratelimit_load_workers() * ratelimit_get_delay(conf) / 100;
  void *memory = mmap(NULL, sizeof *the_room, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                      -1, 0);

  if (memory == MAP_FAILED) {
    ap_log_error(APLOG_MARK, APLOG_CRIT, APR_FROM_OS_ERROR(errno), s,
                 "RLR0018: no memory for the places of requests that wait");
    return HTTP_INTERNAL_SERVER_ERROR;
  }
  the_room = memory;
  the_room->places = places < 1 ? 1 : places < MOST_PLACES ? places : MOST_PLACES;
  apr_generate_random_bytes(the_room->seed, sizeof the_room->seed);
  owner = getpid();
  apr_pool_cleanup_register(pconf, NULL, close_room, apr_pool_cleanup_null);
  return OK;
}

/* --- places -------------------------------------------------------------------------------- */

static int take_place(ratelimit_wait *wait, uint64_t at_us) {
  unsigned n = the_room->places;
  unsigned first = (unsigned)(at_us % n);

  wait->mark = wait->latest_us + GRACE_US;
  for (unsigned i = 0; i < n; ++i) {
    unsigned at = (first + i) % n;
    uint64_t until = atomic_load_explicit(&the_room->place[at], memory_order_relaxed);

    if (until < at_us && atomic_compare_exchange_strong(&the_room->place[at], &until, wait->mark)) {
      wait->place = (int)at + 1;
      return 1;
    }
  }
  return 0;
}

static void leave_place(ratelimit_wait *wait) {
  uint64_t mine = wait->mark;

  atomic_compare_exchange_strong(&the_room->place[wait->place - 1], &mine, 0);
  wait->place = 0;
}

/* --- turns --------------------------------------------------------------------------------- */

/* How long after one request the next one of the key can pass. Windows let a quota pass at once. */
static uint64_t find_step(const ratelimit_line *line, const rlc_limit *limit, unsigned rate) {
  rlc_algorithm algorithm = rlc_policy_get_algorithm(line->policy);
  uint64_t quota = 0;
  uint64_t window_us = 0;

  if (algorithm != RLC_TOKEN_BUCKET && algorithm != RLC_SLIDING_WINDOW) {
    return 0;
  }
  rlc_policy_get_rate(line->policy, rate, &quota, &window_us, NULL);
  if (quota == 0 || limit->cost == 0 || window_us / quota > TIME_MASK / limit->cost) {
    return TIME_MASK;
  }
  return window_us / quota * limit->cost + window_us % quota * limit->cost / quota;
}

static uint64_t hash(const ratelimit_line *line, const rlc_limit *limit) {
  const unsigned char *seed = the_room->seed;
  uint64_t parts[3] = {apr_siphash24(line->label, strlen(line->label), seed),
                       apr_siphash24(limit->key, limit->key_len, seed),
                       apr_siphash24(limit->group, limit->group_len, seed)};

  return apr_siphash24(parts, sizeof parts, seed);
}

/* Lines up. Returns when it is its turn, or 0 if that is after |latest_us|. */
static uint64_t find_turn(const ratelimit_batch *batch, uint64_t at_us, uint64_t latest_us) {
  unsigned index = batch->decision.index;
  const rlc_result *result = &batch->decision.result;
  uint64_t step = find_step(batch->lines[index], &batch->limits[index], result->rate_index);
  uint64_t id = hash(batch->lines[index], &batch->limits[index]);
  uint64_t tag = id & ~TIME_MASK;
  _Atomic uint64_t *queue = &the_room->queue[id % QUEUES];
  uint64_t old = atomic_load(queue);
  uint64_t turn;

  do {
    uint64_t last = old & TIME_MASK;
    int is_mine = (old & ~TIME_MASK) == tag;

    turn = at_us + (uint64_t)result->retry_us;
    if (is_mine && last + step > turn) {
      turn = last + step;
    }
    if (turn > latest_us) {
      return 0;
    }
    if (!is_mine && last > at_us) {
      return turn; /* another key's: this one has no queue for now */
    }
  } while (!atomic_compare_exchange_weak(queue, &old, tag | (turn & TIME_MASK)));
  return turn;
}

/* --- waiting ------------------------------------------------------------------------------- */

/* The shortest delay= of all limits that refuse, in microseconds; 0 if one of them has none. */
static uint64_t find_delay(const ratelimit_batch *batch) {
  unsigned shortest = UINT32_MAX;

  for (int i = 0; i < batch->n; ++i) {
    if (!batch->results[i].allowed && batch->lines[i]->delay_ms < shortest) {
      shortest = batch->lines[i]->delay_ms;
    }
  }
  return shortest < UINT32_MAX ? (uint64_t)shortest * 1000 : 0;
}

/* The client's socket, to see that it is gone; -1 where there are several requests on one. */
static int find_socket(const request_rec *r) {
  apr_socket_t *socket = r->connection->master == NULL ? ap_get_conn_socket(r->connection) : NULL;
  apr_os_sock_t fd = -1;

  return socket != NULL && apr_os_sock_get(&fd, socket) == APR_SUCCESS ? fd : -1;
}

/* Returns 0 if it was not worth it: httpd ends, or the connection is broken. */
static int wait_until(const request_rec *r, uint64_t turn_us) {
  struct pollfd client = {find_socket(r), 0, 0};
  uint64_t at_us;

  while ((at_us = now_us()) < turn_us) {
    uint64_t left_us = turn_us - at_us < SLICE_MS * 1000u ? turn_us - at_us : SLICE_MS * 1000u;
    struct timespec slice = {0, (long)left_us * 1000};
    int state = AP_MPMQ_RUNNING;

    if (ppoll(&client, 1, &slice, NULL) > 0) {
      return 0;
    }
    if (ap_mpm_query(AP_MPMQ_MPM_STATE, &state) == APR_SUCCESS && state == AP_MPMQ_STOPPING) {
      return 0;
    }
  }
  return 1;
}

int ratelimit_delay(request_rec *r, const ratelimit_batch *batch, ratelimit_wait *wait) {
  const rlc_decision *decision = &batch->decision;
  uint64_t delay_us = find_delay(batch);
  uint64_t at_us;
  uint64_t turn_us;

  /* Bans, and a store that is away with fail=closed, are not waited out. */
  if (delay_us == 0 || decision->result.retry_us <= 0 || the_room == NULL || wait->tries == TRIES ||
      (decision->source != RLC_SOURCE_STORE && decision->source != RLC_SOURCE_FALLBACK)) {
    return 0;
  }
  at_us = now_us();
  if (wait->tries++ == 0) {
    wait->begun_us = at_us;
    wait->latest_us = at_us + delay_us;
    if ((uint64_t)decision->result.retry_us > delay_us || !take_place(wait, at_us)) {
      return 0;
    }
    turn_us = find_turn(batch, at_us, wait->latest_us);
    if (turn_us == 0) {
      leave_place(wait);
    }
  } else {
    /* It had its turn, and somebody else was faster. */
    turn_us = at_us + (uint64_t)decision->result.retry_us;
  }
  return turn_us != 0 && turn_us <= wait->latest_us && wait_until(r, turn_us);
}

void ratelimit_delay_end(request_rec *r, const ratelimit_batch *batch, ratelimit_wait *wait) {
  const char *waited;

  if (wait->place == 0) {
    return;
  }
  leave_place(wait);
  waited = apr_off_t_toa(r->pool, (apr_off_t)((now_us() - wait->begun_us) / 1000u));
  apr_table_setn(r->subprocess_env, "RATELIMIT_DELAYED", waited);
  apr_table_setn(r->notes, "RATELIMIT_DELAYED", waited);
  if (batch->decision.allowed) {
    ratelimit_count_delayed();
  }
}
