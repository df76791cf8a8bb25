/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Drives a store from many processes and threads at once and prints what came back, as one line of
 * JSON. The tests of the laws run it; it asserts nothing itself.
 *
 *     hammer --store URL --policy TEXT [--policy TEXT ...] [options]
 *       --key K          the partition key (default "k"); with --keys N: K0 .. K(N-1) at random
 *       --name N         what all limits are called, whatever their policy
 *       --key-each       each policy limits a key of its own: K/0, K/1 ...
 *       --log FILE       what the library logs is appended there
 *       --processes P --threads T --calls N       N calls a thread (default 1, 1, 1000)
 *       --seconds S      as many calls as fit instead
 *       --cost C         (default 1); --op check, peek, charge, refund, reset or grant (default check)
 *       --op reserve     acquires C units and commits --used N of them (default 0)
 *       --op hold        acquires, keeps it for --hold US microseconds, the helper thread renewing it with
 *                        --keep, and gives it back
 *       --pace US        wait so long between a thread's calls
 *       --kill N         kill N processes at random moments, and start others in their place
 *       --ready          print "ready" when all threads run, and begin on a line of stdin; on
 *                        another they end before their time
 *       --wait MS        beside each thread another that only waits MS milliseconds, again and again
 *       --timeline       who decided when, in steps of 10 ms
 *       --starve FROM:TO each process has no file descriptor left between these seconds
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
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hammer_tally.h"
#include "rlcore/rlcore.h"

#define POLICIES 4

typedef struct plan {
  rlc_limiter *limiter;
  rlc_policy *policy[POLICIES];
  size_t policies;
  const char *key;
  const char *name;
  unsigned keys;
  int key_each;
  unsigned threads;
  uint64_t calls;
  double seconds;
  uint64_t cost;
  const char *op;
  uint64_t used;
  unsigned hold_us;
  int keep;
  unsigned pace_us;
  unsigned wait_us;
  int timeline;
  double starve_from;
  double starve_to;
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
  if (strcmp(p->op, "grant") == 0) {
    return rlc_limiter_grant(p->limiter, limits, p->policies, NULL, d);
  }
  return rlc_limiter_check(p->limiter, limits, p->policies, NULL, d);
}

/* Acquires, and settles. */
static int hold(const plan *p, const rlc_limit *limits, rlc_decision *d) {
  const uint64_t used[POLICIES] = {p->used, p->used, p->used, p->used};
  rlc_lease *lease;
  int rv = rlc_limiter_acquire(p->limiter, limits, p->policies, &lease, NULL, d);
  int settled;

  if (rv < 0 || lease == NULL) {
    return rv;
  }
  tally_hold(p->sum);
  if (p->keep && rlc_lease_keep(lease) != 0) {
    return -1;
  }
  if (p->hold_us > 0) {
    sleep_us(p->hold_us);
  }
  tally_let_go(p->sum);
  if (p->op[0] == 'r') {
    settled = rlc_lease_commit(lease, used);
    atomic_fetch_add(&p->sum->charged, p->used);
  } else {
    settled = rlc_lease_release(lease);
  }
  rlc_lease_del(lease);
  return settled == 0 ? rv : settled;
}

static void one_call(const plan *p, unsigned *random) {
  rlc_limit limits[POLICIES];
  rlc_decision d = RLC_DECISION_INIT;
  char key[128];
  char own[POLICIES][136];
  int64_t begun;
  int64_t now;
  int holds = strcmp(p->op, "reserve") == 0 || strcmp(p->op, "hold") == 0;
  int rv;

  if (p->keys > 1) {
    snprintf(key, sizeof key, "%s%u", p->key, (unsigned)rand_r(random) % p->keys);
  } else {
    snprintf(key, sizeof key, "%s", p->key);
  }
  for (size_t i = 0; i < p->policies; ++i) {
    limits[i] = (rlc_limit)RLC_LIMIT_INIT;
    limits[i].policy = p->policy[i];
    limits[i].name = p->name;
    snprintf(own[i], sizeof own[i], p->key_each ? "%s/%zu" : "%s", key, i);
    limits[i].key = own[i];
    limits[i].key_len = strlen(own[i]);
    limits[i].cost = p->cost;
  }
  atomic_fetch_add(&p->sum->calls, 1);
  begun = monotonic_us();
  rv = holds ? hold(p, limits, &d) : call(p, limits, &d);
  now = monotonic_us();
  histogram_add(&p->sum->calls_us, (uint64_t)(now - begun));
  if (rv < 0 || d.source < RLC_SOURCE_STORE || d.source > RLC_SOURCE_FAIL_CLOSED) {
    atomic_fetch_add(&p->sum->lost, 1);
    return;
  }
  if (!holds && d.source == RLC_SOURCE_STORE) {
    atomic_fetch_add(&p->sum->charged, d.result.charged);
  }
  tally_decision(p->sum, &d, now);
}

static void await_start(const plan *p) {
  while (!atomic_load(&p->sum->go)) {
    sleep_us(200);
  }
}

/* What the machine itself adds to a wait as long as the calls' deadline. Ends with the process. */
static void *waiter(void *argument) {
  const plan *p = argument;

  await_start(p);
  for (;;) {
    int64_t begun = monotonic_us();

    sleep_us(p->wait_us);
    histogram_add(&p->sum->waits_us, (uint64_t)(monotonic_us() - begun));
  }
  return NULL;
}

/* Lets the process have no new descriptor for a while. Those below 3 are taken: poll wants the limit to be
 * no less than what it polls. */
static void *starver(void *argument) {
  const plan *p = argument;
  struct rlimit limit;
  rlim_t before;

  await_start(p);
  sleep_us((int64_t)(p->starve_from * 1e6));
  getrlimit(RLIMIT_NOFILE, &limit);
  before = limit.rlim_cur;
  limit.rlim_cur = 3;
  setrlimit(RLIMIT_NOFILE, &limit);
  sleep_us((int64_t)((p->starve_to - p->starve_from) * 1e6));
  limit.rlim_cur = before;
  setrlimit(RLIMIT_NOFILE, &limit);
  return NULL;
}

static void *worker(void *argument) {
  const plan *p = argument;
  unsigned random = (unsigned)getpid() ^ (unsigned)(uintptr_t)&random;
  int64_t until;

  atomic_fetch_add(&p->sum->ready, 1);
  await_start(p);
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
    pthread_t other;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (p->starve_to > 0 && pthread_create(&other, NULL, starver, (void *)p) != 0) {
      _exit(3);
    }
    for (unsigned i = 0; p->wait_us > 0 && i < p->threads; ++i) {
      if (pthread_create(&other, NULL, waiter, (void *)p) != 0) {
        _exit(3);
      }
    }
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
      {"name", 1, 0, 'N'},    {"op", 1, 0, 'o'},      {"key-each", 0, 0, 'e'}, {"log", 1, 0, 'l'},
      {"used", 1, 0, 'u'},    {"hold", 1, 0, 'h'},    {"keep", 0, 0, 'z'},
      {"wait", 1, 0, 'W'},    {"timeline", 0, 0, 't'}, {"starve", 1, 0, 'd'},
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
    case 'N': p.name = optarg; break;
    case 'o': p.op = optarg; break;
    case 'u': p.used = strtoull(optarg, NULL, 10); break;
    case 'h': p.hold_us = (unsigned)strtoul(optarg, NULL, 10); break;
    case 'z': p.keep = 1; break;
    case 'r': announce = 1; break;
    case 'e': p.key_each = 1; break;
    case 'l': log = open(optarg, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600); break;
    case 'W': p.wait_us = (unsigned)strtoul(optarg, NULL, 10) * 1000; break;
    case 't': p.timeline = 1; break;
    case 'd':
      if (sscanf(optarg, "%lf:%lf", &p.starve_from, &p.starve_to) != 2) {
        die(optarg, "expected FROM:TO, in seconds");
      }
      break;
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
  atomic_store(&p.sum->begun_us, begun);
  atomic_store(&p.sum->by_store_us, begun);
  atomic_store(&p.sum->go, 1);
  kill_some(&p, pids, processes, kills);
  if (announce) {
    await_stop(p.sum);
  }
  wait_all(pids, processes);
  tally_print(p.sum, p.limiter, (double)(monotonic_us() - begun) / 1e6, p.timeline);
  for (size_t i = 0; i < p.policies; ++i) {
    rlc_policy_del(p.policy[i]);
  }
  rlc_limiter_del(p.limiter);
  rlc_options_del(limiter_options);
  return 0;
}
