/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Drives a store from many processes and threads at once and prints what came back, as one line of
 * JSON. The tests of the laws run it; it asserts nothing itself.
 *
 *     hammer --store URL --policy TEXT [--policy TEXT ...] [options]
 *       --key K          the partition key (default "k"); with --keys N: K0 .. K(N-1) at random
 *       --key-each       each policy limits a key of its own: K/0, K/1 ...
 *       --log FILE       what the library logs is appended there
 *       --processes P --threads T --calls N       N calls a thread (default 1, 1, 1000)
 *       --seconds S      as many calls as fit instead
 *       --cost C         (default 1); --op check, peek, charge, refund or reset (default check)
 *       --pace US        wait so long between a thread's calls
 *       --kill N         kill N processes at random moments, and start others in their place
 *       --ready          print "ready" when all threads run, and begin on a line of stdin; on
 *                        another they end before their time
 */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "rlcore/rlcore.h"

#define POLICIES 4
#define BUCKETS 64 /* of latency: quarter octaves of microseconds */

/* What all workers of all processes add up, in shared memory: a killed one's counts stay. */
typedef struct tally {
  _Atomic int go;
  _Atomic int ready;
  _Atomic int stop;
  _Atomic uint64_t calls;    /* begun */
  _Atomic uint64_t returned; /* ended with a decision */
  _Atomic uint64_t lost;     /* ended without one */
  _Atomic uint64_t allowed[5]; /* by source */
  _Atomic uint64_t denied[5];
  _Atomic uint64_t longest_us;
  _Atomic int64_t by_store_us; /* when the store decided last */
  _Atomic uint64_t longest_gap_us; /* between two of its decisions */
  _Atomic uint64_t latency[BUCKETS];
} tally;

typedef struct plan {
  rlc_limiter *limiter;
  rlc_policy *policy[POLICIES];
  size_t policies;
  const char *key;
  unsigned keys;
  int key_each;
  unsigned threads;
  uint64_t calls;
  double seconds;
  uint64_t cost;
  const char *op;
  unsigned pace_us;
  tally *sum;
} plan;

static int64_t monotonic_us(void) {
  struct timespec t;

  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void sleep_us(int64_t us) {
  struct timespec t = {us / 1000000, us % 1000000 * 1000};

  nanosleep(&t, NULL);
}

static void raise_to(_Atomic uint64_t *most, uint64_t value) {
  uint64_t old = atomic_load(most);

  while (value > old && !atomic_compare_exchange_weak(most, &old, value)) {
  }
}

static void count_latency(tally *sum, uint64_t us) {
  unsigned bucket = 0;

  for (double edge = 1; bucket < BUCKETS - 1 && (double)us >= edge; ++bucket) {
    edge *= 1.189207115; /* the fourth root of two */
  }
  atomic_fetch_add(&sum->latency[bucket], 1);
  raise_to(&sum->longest_us, us);
}

static void count_gap(tally *sum) {
  int64_t now = monotonic_us();
  int64_t last = atomic_exchange(&sum->by_store_us, now);

  raise_to(&sum->longest_gap_us, now > last ? (uint64_t)(now - last) : 0);
}

static int call(const plan *p, const rlc_limit *limits, rlc_decision *d) {
  if (strcmp(p->op, "peek") == 0) {
    return rlc_limiter_peek(p->limiter, limits, p->policies, NULL, d);
  }
  if (strcmp(p->op, "charge") == 0) {
    return rlc_limiter_charge(p->limiter, limits, p->policies, NULL, d);
  }
  if (strcmp(p->op, "refund") == 0) {
    return rlc_limiter_refund(p->limiter, limits, p->policies, NULL, d);
  }
  if (strcmp(p->op, "reset") == 0) {
    d->source = RLC_SOURCE_STORE;
    return rlc_limiter_reset(p->limiter, limits, p->policies);
  }
  return rlc_limiter_check(p->limiter, limits, p->policies, NULL, d);
}

static void one_call(const plan *p, unsigned *random) {
  rlc_limit limits[POLICIES];
  rlc_decision d = RLC_DECISION_INIT;
  char key[128];
  char own[POLICIES][136];
  int64_t begun;
  int rv;

  if (p->keys > 1) {
    snprintf(key, sizeof key, "%s%u", p->key, (unsigned)rand_r(random) % p->keys);
  } else {
    snprintf(key, sizeof key, "%s", p->key);
  }
  for (size_t i = 0; i < p->policies; ++i) {
    limits[i] = (rlc_limit)RLC_LIMIT_INIT;
    limits[i].policy = p->policy[i];
    snprintf(own[i], sizeof own[i], p->key_each ? "%s/%zu" : "%s", key, i);
    limits[i].key = own[i];
    limits[i].key_len = strlen(own[i]);
    limits[i].cost = p->cost;
  }
  atomic_fetch_add(&p->sum->calls, 1);
  begun = monotonic_us();
  rv = call(p, limits, &d);
  count_latency(p->sum, (uint64_t)(monotonic_us() - begun));
  if (rv < 0 || d.source < RLC_SOURCE_STORE || d.source > RLC_SOURCE_FAIL_CLOSED) {
    atomic_fetch_add(&p->sum->lost, 1);
    return;
  }
  atomic_fetch_add(d.allowed ? &p->sum->allowed[d.source] : &p->sum->denied[d.source], 1);
  atomic_fetch_add(&p->sum->returned, 1);
  if (d.source == RLC_SOURCE_STORE) {
    count_gap(p->sum);
  }
}

static void *worker(void *argument) {
  const plan *p = argument;
  unsigned random = (unsigned)getpid() ^ (unsigned)(uintptr_t)&random;
  int64_t until;

  atomic_fetch_add(&p->sum->ready, 1);
  while (!atomic_load(&p->sum->go)) {
    sleep_us(200);
  }
  until = monotonic_us() + (int64_t)(p->seconds * 1e6);
  for (uint64_t i = 0; (p->seconds > 0 ? monotonic_us() < until : i < p->calls) &&
                       !atomic_load(&p->sum->stop);
       ++i) {
    one_call(p, &random);
    if (p->pace_us > 0) {
      sleep_us(p->pace_us);
    }
  }
  return NULL;
}

static pid_t start_process(const plan *p) {
  pid_t pid = fork();

  if (pid == 0) {
    pthread_t threads[64];

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (unsigned i = 0; i < p->threads; ++i) {
      if (pthread_create(&threads[i], NULL, worker, (void *)p) != 0) {
        _exit(3);
      }
    }
    for (unsigned i = 0; i < p->threads; ++i) {
      pthread_join(threads[i], NULL);
    }
    _exit(0);
  }
  return pid;
}

static void print_counts(const char *name, const _Atomic uint64_t *counts) {
  printf("\"%s\": {", name);
  for (int s = RLC_SOURCE_STORE; s <= RLC_SOURCE_FAIL_CLOSED; ++s) {
    printf("%s\"%s\": %" PRIu64, s > 1 ? ", " : "", rlc_source_name((rlc_source)s),
           atomic_load(&counts[s]));
  }
  printf("}, ");
}

/* The latency below which |share| of the calls stayed: the upper edge of its bucket. */
static double latency_at(const tally *sum, double share) {
  uint64_t all = 0;
  uint64_t seen = 0;
  double edge = 1;

  for (int i = 0; i < BUCKETS; ++i) {
    all += atomic_load(&sum->latency[i]);
  }
  for (int i = 0; i < BUCKETS; ++i, edge *= 1.189207115) {
    seen += atomic_load(&sum->latency[i]);
    if ((double)seen >= share * (double)all) {
      break;
    }
  }
  return edge;
}

static void print(const plan *p, double took) {
  tally *sum = p->sum;
  rlc_stats stats = RLC_STATS_INIT;

  rlc_limiter_get_stats(p->limiter, &stats);
  printf("{\"calls\": %" PRIu64 ", \"returned\": %" PRIu64 ", \"lost\": %" PRIu64 ", ",
         atomic_load(&sum->calls), atomic_load(&sum->returned), atomic_load(&sum->lost));
  print_counts("allowed", sum->allowed);
  print_counts("denied", sum->denied);
  printf("\"seconds\": %.3f, \"p50_us\": %.0f, \"p999_us\": %.0f, \"longest_us\": %" PRIu64
         ", \"longest_gap_us\": %" PRIu64 ", ",
         took, latency_at(sum, 0.5), latency_at(sum, 0.999), atomic_load(&sum->longest_us),
         atomic_load(&sum->longest_gap_us));
  printf("\"connects\": %" PRIu64 ", \"connections_lost\": %" PRIu64 ", \"resent\": %" PRIu64
         ", \"late_replies\": %" PRIu64 ", ",
         stats.connects, stats.connections_lost, stats.resent, stats.late_replies);
  printf("\"store_errors\": %" PRIu64 ", \"store_timeouts\": %" PRIu64
         ", \"breaker_opened\": %" PRIu64 ", \"evicted_live\": %" PRIu64 "}\n",
         stats.store_errors, stats.store_timeouts, stats.breaker_opened, stats.evicted_live);
}

static void die(const char *what, const char *why) {
  fprintf(stderr, "hammer: %s: %s\n", what, why);
  exit(2);
}

static void log_line(rlc_log_level level, const char *id, const char *message, void *user) {
  dprintf(*(const int *)user, "%s %d %s\n", id, (int)level, message);
}

/* Passes on that stdin says stop, until the first process has ended. Its end says nothing. */
static void await_stop(tally *sum) {
  struct pollfd in = {STDIN_FILENO, POLLIN, 0};
  siginfo_t ended = {0};
  char line[16];

  while (waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid == 0) {
    if (poll(&in, 1, 20) > 0 && read(STDIN_FILENO, line, sizeof line) <= 0) {
      return;
    }
    if (in.revents & POLLIN) {
      atomic_store(&sum->stop, 1);
    }
  }
}

static void wait_all(pid_t *pids, unsigned n) {
  for (unsigned i = 0; i < n; ++i) {
    int status;

    if (pids[i] > 0 && waitpid(pids[i], &status, 0) == pids[i] &&
        !(WIFEXITED(status) && WEXITSTATUS(status) == 0)) {
      die("a worker process", "did not end as it should");
    }
  }
}

static void kill_some(const plan *p, pid_t *pids, unsigned n, unsigned kills) {
  unsigned random = 12345;

  for (unsigned i = 0; i < kills; ++i) {
    unsigned victim = (unsigned)rand_r(&random) % n;

    sleep_us(500 + rand_r(&random) % 4000);
    kill(pids[victim], SIGKILL);
    waitpid(pids[victim], NULL, 0);
    pids[victim] = start_process(p);
  }
}

int main(int argc, char **argv) {
  static const struct option options[] = {
      {"store", 1, 0, 's'},   {"policy", 1, 0, 'p'},  {"key", 1, 0, 'k'},
      {"keys", 1, 0, 'K'},    {"processes", 1, 0, 'P'}, {"threads", 1, 0, 'T'},
      {"calls", 1, 0, 'n'},   {"seconds", 1, 0, 'S'}, {"cost", 1, 0, 'c'},
      {"pace", 1, 0, 'w'},    {"kill", 1, 0, 'x'},    {"ready", 0, 0, 'r'},
      {"op", 1, 0, 'o'},      {"key-each", 0, 0, 'e'}, {"log", 1, 0, 'l'},
      {0, 0, 0, 0},
  };
  plan p = {.key = "k", .keys = 1, .threads = 1, .calls = 1000, .cost = 1, .op = "check"};
  const char *store = NULL;
  unsigned processes = 1;
  unsigned kills = 0;
  rlc_options *limiter_options;
  int announce = 0;
  int log = -1;
  pid_t pids[64];
  char why[RLC_MESSAGE_SIZE];
  int64_t begun;
  int c;

  while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
    switch (c) {
    case 's': store = optarg; break;
    case 'k': p.key = optarg; break;
    case 'K': p.keys = (unsigned)strtoul(optarg, NULL, 10); break;
    case 'P': processes = (unsigned)strtoul(optarg, NULL, 10); break;
    case 'T': p.threads = (unsigned)strtoul(optarg, NULL, 10); break;
    case 'n': p.calls = strtoull(optarg, NULL, 10); break;
    case 'S': p.seconds = strtod(optarg, NULL); break;
    case 'c': p.cost = strtoull(optarg, NULL, 10); break;
    case 'w': p.pace_us = (unsigned)strtoul(optarg, NULL, 10); break;
    case 'x': kills = (unsigned)strtoul(optarg, NULL, 10); break;
    case 'o': p.op = optarg; break;
    case 'r': announce = 1; break;
    case 'e': p.key_each = 1; break;
    case 'l': log = open(optarg, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600); break;
    case 'p':
      if (p.policies == POLICIES ||
          rlc_policy_new(&p.policy[p.policies], NULL, optarg, NULL, why, sizeof why) != 0) {
        die(optarg, p.policies == POLICIES ? "too many policies" : why);
      }
      ++p.policies;
      break;
    default: return 2;
    }
  }
  if (p.policies == 0 || processes < 1 || processes > 64 || p.threads < 1 || p.threads > 64) {
    die("usage", "--policy is needed; 1 to 64 processes and threads");
  }
  p.sum = mmap(NULL, sizeof *p.sum, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (p.sum == MAP_FAILED) {
    die("mmap", strerror(errno));
  }
  if (rlc_options_new(&limiter_options, NULL) != 0) {
    die("options", "out of memory");
  }
  if (log >= 0) {
    rlc_options_set_log(limiter_options, log_line, &log);
  }
  if (rlc_limiter_new(&p.limiter, store, limiter_options, why, sizeof why) != 0) {
    die("store", why);
  }
  for (unsigned i = 0; i < processes; ++i) {
    pids[i] = start_process(&p);
  }
  while (atomic_load(&p.sum->ready) < (int)(processes * p.threads)) {
    sleep_us(500);
  }
  if (announce) {
    char line[16];

    puts("ready");
    fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL) {
      die("stdin", "ended before the start");
    }
  }
  begun = monotonic_us();
  atomic_store(&p.sum->by_store_us, begun);
  atomic_store(&p.sum->go, 1);
  kill_some(&p, pids, processes, kills);
  if (announce) {
    await_stop(p.sum);
  }
  wait_all(pids, processes);
  print(&p, (double)(monotonic_us() - begun) / 1e6);
  for (size_t i = 0; i < p.policies; ++i) {
    rlc_policy_del(p.policy[i]);
  }
  rlc_limiter_del(p.limiter);
  rlc_options_del(limiter_options);
  return 0;
}
