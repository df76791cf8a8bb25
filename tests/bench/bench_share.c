/* SPDX-License-Identifier: Apache-2.0 */

/* Measures what sharing connections gives: threads that decide through the client, over threads with a
 * plain hiredis connection each; the same script, keys and server, in turns. Each ratio is of two
 * neighbours in time, printed as the median and range of the rounds. Last the script as redis-benchmark
 * pipelines it: what the server can do.
 *
 * bench_share [rounds [milliseconds a turn [connections [threads]]]] */

#include <arpa/inet.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "redis/client.h"

#define KEYS 100000u
#define KEY_SIZE 64
#define FILL 50u /* commands a write, when the keys are made */
#define MOST_ROUNDS 99
#define MOST_THREADS 512
#define SLOWEST_US 20000 /* latencies above count as this */
#define WARM_US INT64_C(40000)
#define DEADLINE_US INT64_C(5000000) /* no decision that is measured may fail */

typedef enum way { SHARED, OWN, WAYS } way;

/* Of one turn. */
typedef struct figures {
  double rate;
  double redis_us; /* CPU a decision */
  double client_us;
  double batch; /* commands a read(2) of the server */
  double p50_us;
  double p99_us;
} figures;

typedef struct worker {
  pthread_t thread;
  way how;
  redisContext *own;
  unsigned seed;
  uint64_t decided; /* while it was measured */
  uint32_t took[SLOWEST_US + 1];
} worker;

static struct {
  pid_t pid;
  char folder[64];
  char path[96];
  uint16_t port;
  redisContext *ask;
} server;

static rlc__client *client;
static unsigned char arg[16]; /* as store/redis_codec.c packs it */
static _Atomic int phase;     /* 0: warm, 1: measured, 2: over */

static void must(int works, const char *what) {
  if (!works) {
    perror(what);
    if (server.pid > 0) {
      kill(server.pid, SIGKILL);
    }
    exit(1);
  }
}

/* --- the server ---------------------------------------------------------------------------- */

static uint16_t free_port(void) {
  struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof any;
  int fd = socket(AF_INET, SOCK_STREAM, 0);

  must(fd >= 0 && bind(fd, (struct sockaddr *)&any, size) == 0 &&
           getsockname(fd, (struct sockaddr *)&any, &size) == 0,
       "a free port");
  close(fd);
  return ntohs(any.sin_port);
}

static void start_server(void) {
  char port[8];

  snprintf(server.folder, sizeof server.folder, "/tmp/rlcore-bench-XXXXXX");
  must(mkdtemp(server.folder) != NULL, "mkdtemp");
  snprintf(server.path, sizeof server.path, "%s/s", server.folder);
  server.port = free_port();
  snprintf(port, sizeof port, "%u", (unsigned)server.port);
  server.pid = fork();
  must(server.pid >= 0, "fork");
  if (server.pid == 0) {
    int null = open("/dev/null", O_WRONLY);

    dup2(null, STDOUT_FILENO);
    execlp("redis-server", "redis-server", "--port", port, "--bind", "127.0.0.1", "--unixsocket",
           server.path, "--save", "", "--appendonly", "no", "--dir", server.folder, (char *)NULL);
    _exit(127);
  }
  for (int i = 0; i < 500; ++i) {
    redisFree(server.ask);
    server.ask = redisConnectUnix(server.path);
    if (server.ask != NULL && server.ask->err == 0) {
      return;
    }
    usleep(10000);
  }
  must(0, "redis-server");
}

static void stop_server(void) {
  redisFree(server.ask);
  kill(server.pid, SIGTERM);
  waitpid(server.pid, NULL, 0);
  unlink(server.path);
  rmdir(server.folder);
}

/* CPU time of the server's main thread, which runs the commands. */
static double server_cpu_us(void) {
  char path[64];
  FILE *file;
  double ns = 0;

  snprintf(path, sizeof path, "/proc/%d/task/%d/schedstat", (int)server.pid, (int)server.pid);
  file = fopen(path, "r");
  must(file != NULL && fscanf(file, "%lf", &ns) == 1, path);
  fclose(file);
  return ns / 1000;
}

static double info(const char *name) {
  redisReply *reply = redisCommand(server.ask, "INFO stats");
  const char *at = reply != NULL && reply->str != NULL ? strstr(reply->str, name) : NULL;
  double value = at != NULL ? strtod(at + strlen(name) + 1, NULL) : 0;

  freeReplyObject(reply);
  return value;
}

static double own_cpu_us(void) {
  struct rusage use;

  getrusage(RUSAGE_SELF, &use);
  return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1e6 +
         (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
}

/* --- threads ------------------------------------------------------------------------------- */

static redisContext *connect_own(int tcp) {
  redisContext *own = tcp ? redisConnect("127.0.0.1", server.port) : redisConnectUnix(server.path);

  must(own != NULL && own->err == 0, "connect");
  return own;
}

static int name_key(worker *w, char *key) {
  w->seed ^= w->seed << 13;
  w->seed ^= w->seed >> 17;
  w->seed ^= w->seed << 5;
  /* As long as those of a limit named "api". */
  return snprintf(key, KEY_SIZE, "rl:{0123%012u}:bapi", w->seed % KEYS);
}

static void decide_shared(const char *key, size_t len, int64_t now) {
  const rlc__bytes keys[] = {{key, len}};
  const rlc__bytes args[] = {{(const char *)arg, sizeof arg}};
  rlc__request r;

  memset(&r, 0, sizeof r);
  r.script = &rlc__script_token_bucket;
  r.keys = keys;
  r.n_keys = 1;
  r.args = args;
  r.n_args = 1;
  r.deadline_us = now + DEADLINE_US;
  if (rlc__client_begin(client, &r) == RLC_PENDING) {
    rlc__client_wait(client, &r);
  }
  must(r.error == 0 && r.reply->type == REDIS_REPLY_INTEGER && r.reply->integer >= 0, r.why);
  rlc__client_end(client, &r);
}

static void decide_own(redisContext *own, const char *key, size_t len) {
  const char *argv[] = {"EVALSHA", rlc__script_token_bucket.sha1, "1", key, (const char *)arg};
  const size_t lens[] = {7, 40, 1, len, sizeof arg};
  redisReply *reply = redisCommandArgv(own, 5, argv, lens);

  must(reply != NULL && reply->type == REDIS_REPLY_INTEGER && reply->integer >= 0, "EVALSHA");
  freeReplyObject(reply);
}

static void *work(void *user) {
  worker *w = user;
  int64_t now = rlc__clock_monotonic_us();
  int at;

  while ((at = atomic_load_explicit(&phase, memory_order_relaxed)) < 2) {
    char key[KEY_SIZE];
    int len = name_key(w, key);
    int64_t then = now;

    if (w->how == SHARED) {
      decide_shared(key, (size_t)len, now);
    } else {
      decide_own(w->own, key, (size_t)len);
    }
    now = rlc__clock_monotonic_us();
    if (at == 1) {
      ++w->decided;
      ++w->took[now - then < SLOWEST_US ? now - then : SLOWEST_US];
    }
  }
  return NULL;
}

static double quantile(const uint64_t *took, uint64_t all, double part) {
  uint64_t before = 0;
  int us = 0;

  while (us < SLOWEST_US && (double)(before += took[us]) < part * (double)all) {
    ++us;
  }
  return us;
}

static figures run_turn(way how, int tcp, unsigned threads, int64_t time_us) {
  static uint64_t took[SLOWEST_US + 1];
  worker *all = calloc(threads, sizeof *all);
  uint64_t decided = 0;
  int64_t begun;
  double redis;
  double own;
  double reads;
  figures f;

  must(all != NULL, "calloc");
  atomic_store(&phase, 0);
  for (unsigned i = 0; i < threads; ++i) {
    all[i].how = how;
    all[i].seed = (unsigned)rlc__clock_monotonic_us() * 2654435761u + i + 1;
    all[i].own = how == OWN ? connect_own(tcp) : NULL;
    must(pthread_create(&all[i].thread, NULL, work, &all[i]) == 0, "pthread_create");
  }
  usleep(WARM_US);
  reads = info("total_reads_processed");
  redis = server_cpu_us();
  own = own_cpu_us();
  begun = rlc__clock_monotonic_us();
  atomic_store(&phase, 1);
  usleep((useconds_t)time_us);
  atomic_store(&phase, 2);
  time_us = rlc__clock_monotonic_us() - begun;
  redis = server_cpu_us() - redis;
  own = own_cpu_us() - own;
  reads = info("total_reads_processed") - reads;
  memset(took, 0, sizeof took);
  for (unsigned i = 0; i < threads; ++i) {
    pthread_join(all[i].thread, NULL);
    redisFree(all[i].own);
    decided += all[i].decided;
    for (int us = 0; us <= SLOWEST_US; ++us) {
      took[us] += all[i].took[us];
    }
  }
  free(all);
  decided = decided > 0 ? decided : 1; /* a machine that is busy with something else */
  f.rate = (double)decided * 1e6 / (double)time_us;
  f.redis_us = redis / (double)decided;
  f.client_us = own / (double)decided;
  f.batch = (double)decided / reads;
  f.p50_us = quantile(took, decided, 0.5);
  f.p99_us = quantile(took, decided, 0.99);
  return f;
}

/* --- tables -------------------------------------------------------------------------------- */

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a;
  double y = *(const double *)b;

  return (x > y) - (x < y);
}

static double median(double *values, unsigned n) {
  qsort(values, n, sizeof *values, ascending);
  return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

static void print_ratio(double *values, unsigned n) {
  double middle = median(values, n);

  printf("  %4.2f [%4.2f-%4.2f]", middle, values[0], values[n - 1]);
}

/* The ratio shared / own of a member in each round. */
#define PRINT_RATIO(member)                                                                       \
  do {                                                                                            \
    for (unsigned r_ = 0; r_ < rounds; ++r_) {                                                    \
      value[r_] = f[r_][SHARED].member / f[r_][OWN].member;                                       \
    }                                                                                             \
    print_ratio(value, rounds);                                                                   \
  } while (0)

#define MEDIAN(how, member)                                                                       \
  (gather(value, f, how, offsetof(figures, member), rounds), median(value, rounds))

static void gather(double *value, figures f[][WAYS], way how, size_t offset, unsigned rounds) {
  for (unsigned r = 0; r < rounds; ++r) {
    value[r] = *(const double *)(const void *)((const char *)&f[r][how] + offset);
  }
}

static void open_client(int tcp, unsigned connections) {
  const rlc__log log = {NULL, NULL};
  rlc__endpoint endpoint;
  rlc__client_config config = {.topology = RLC__SINGLE,
                               .servers = &endpoint,
                               .n = 1,
                               .connections = connections,
                               .timeout_us = 25000};

  memset(&endpoint, 0, sizeof endpoint);
  snprintf(endpoint.host, sizeof endpoint.host, "%s", tcp ? "127.0.0.1" : server.path);
  endpoint.port = tcp ? server.port : 0;
  must(rlc__client_new(&client, &config, rlc__memory_or_default(NULL), &log) == 0, "client");
}

static void compare(int tcp, unsigned threads, unsigned connections, unsigned rounds,
                    int64_t time_us) {
  static figures f[MOST_ROUNDS][WAYS];
  double value[MOST_ROUNDS];

  open_client(tcp, connections);
  for (unsigned r = 0; r < rounds; ++r) {
    for (int i = 0; i < WAYS; ++i) {
      way how = (way)((i + (int)r) % WAYS); /* who is first changes */

      f[r][how] = run_turn(how, tcp, threads, time_us);
    }
  }
  rlc__client_del(client);
  printf("%-4s %3u", tcp ? "tcp" : "unix", threads);
  PRINT_RATIO(rate);
  PRINT_RATIO(redis_us);
  PRINT_RATIO(client_us);
  PRINT_RATIO(p50_us);
  PRINT_RATIO(p99_us);
  printf("  %5.1f", MEDIAN(SHARED, batch));
  printf("  %6.0f", MEDIAN(SHARED, rate));
  printf("  %5.1f", MEDIAN(SHARED, redis_us));
  printf("  %5.1f", MEDIAN(SHARED, client_us));
  printf("  %6.0f", MEDIAN(OWN, rate));
  printf("  %5.1f", MEDIAN(OWN, redis_us));
  printf("  %5.1f\n", MEDIAN(OWN, client_us));
  fflush(stdout);
}

/* --- redis-benchmark ----------------------------------------------------------------------- */

/* Runs the script in redis-benchmark, sixteen commands a write on 50 connections. */
static figures run_pipelined(void) {
  enum { CALLS = 100000 };
  char command[640];
  char line[256];
  char path[96];
  unsigned char whole[sizeof arg];
  double cpu = server_cpu_us();
  figures f;
  FILE *out;

  /* It ends words at their NUL: the same numbers as near as may be without one. */
  for (size_t i = 0; i < sizeof arg; ++i) {
    whole[i] = arg[i] != 0 ? arg[i] : 1;
  }
  snprintf(path, sizeof path, "%s/arg", server.folder);
  out = fopen(path, "w");
  must(out != NULL && fwrite(whole, 1, sizeof whole, out) == sizeof whole && fclose(out) == 0,
       path);
  snprintf(command, sizeof command,
           "redis-benchmark -s %s -P 16 -c 50 -n %d -r %u --csv -x evalsha %s 1 "
           "'rl:{0123__rand_int__}:bapi' <%s | tail -1",
           server.path, CALLS, KEYS, rlc__script_token_bucket.sha1, path);
  memset(&f, 0, sizeof f);
  out = popen(command, "r");
  must(out != NULL && fgets(line, sizeof line, out) != NULL, "redis-benchmark");
  pclose(out);
  unlink(path);
  if (strstr(line, "\",\"") != NULL) {
    f.rate = strtod(strstr(line, "\",\"") + 3, NULL);
  }
  must(f.rate > 0, line);
  f.redis_us = (server_cpu_us() - cpu) / CALLS;
  return f;
}

static void compare_pipelined(unsigned threads, unsigned connections, unsigned rounds,
                              int64_t time_us) {
  static figures f[MOST_ROUNDS][WAYS]; /* OWN: redis-benchmark's */
  double value[MOST_ROUNDS];

  open_client(0, connections);
  for (unsigned r = 0; r < rounds; ++r) {
    f[r][SHARED] = run_turn(SHARED, 0, threads, time_us);
    f[r][OWN] = run_pipelined();
  }
  rlc__client_del(client);
  printf("%u threads over redis-benchmark -P 16 -c 50: decisions/s", threads);
  PRINT_RATIO(rate);
  printf(", Redis' CPU");
  PRINT_RATIO(redis_us);
  printf("  (%.0f/s", MEDIAN(OWN, rate));
  printf(", %.1f us)\n", MEDIAN(OWN, redis_us));
}

/* Loads the script, and writes each key once: a first write costs more. */
static void fill(void) {
  redisReply *reply = redisCommand(server.ask, "SCRIPT LOAD %b", rlc__script_token_bucket.text,
                                   rlc__script_token_bucket.len);
  const double ticks[] = {1e6, 1e15}; /* cost and capacity: refuses nothing */

  must(reply != NULL && reply->type == REDIS_REPLY_STRING, "SCRIPT LOAD");
  freeReplyObject(reply);
  for (size_t i = 0; i < sizeof arg; ++i) {
    uint64_t bits;

    memcpy(&bits, &ticks[i / 8], sizeof bits);
    arg[i] = (unsigned char)(bits >> 8 * (i % 8));
  }
  for (unsigned k = 0; k < KEYS; k += FILL) {
    for (unsigned i = 0; i < FILL; ++i) {
      char key[KEY_SIZE];
      int len = snprintf(key, sizeof key, "rl:{0123%012u}:bapi", k + i);

      must(redisAppendCommand(server.ask, "EVALSHA %s 1 %b %b", rlc__script_token_bucket.sha1, key,
                              (size_t)len, arg, sizeof arg) == REDIS_OK,
           "fill");
    }
    for (unsigned i = 0; i < FILL; ++i) {
      must(redisGetReply(server.ask, (void **)&reply) == REDIS_OK, "fill");
      freeReplyObject(reply);
    }
  }
}

int main(int argc, char **argv) {
  const unsigned counts[] = {1, 8, 64};
  unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 15;
  int64_t time_us = (argc > 2 ? atoi(argv[2]) : 200) * INT64_C(1000);
  unsigned connections = argc > 3 ? (unsigned)atoi(argv[3]) : 8; /* a store's default */
  unsigned only = argc > 4 ? (unsigned)atoi(argv[4]) : 0;

  if (rounds < 1 || rounds > MOST_ROUNDS || only > MOST_THREADS) {
    fprintf(stderr, "usage: bench_share [rounds [ms [connections [threads]]]]\n");
    return 2;
  }
  start_server();
  fill();
  printf("%-8s  %-16s  %-16s  %-16s  %-16s  %-16s  %5s  %6s  %5s  %5s  %6s  %5s  %5s\n", "threads",
         "decisions/s", "Redis' CPU", "client's CPU", "p50", "p99", "batch", "/s", "redis", "us",
         "own /s", "redis", "us");
  for (int tcp = 0; tcp <= 1; ++tcp) {
    for (size_t i = 0; i < sizeof counts / sizeof *counts; ++i) {
      compare(tcp, only != 0 ? only : counts[i], connections, rounds, time_us);
      if (only != 0) {
        break;
      }
    }
  }
  if (only == 0) {
    compare_pipelined(64, connections, rounds, time_us);
  }
  stop_server();
  return 0;
}
