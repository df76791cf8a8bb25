/* SPDX-License-Identifier: Apache-2.0 */
#include "redis_server.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "rlcore/rlcore.h"

/* Sends |line| and reads the start of the answer. Returns whether there was one. */
static int ask(const char *path, const char *line, char *reply, size_t size) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ssize_t n = -1;

  snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
      send(fd, line, strlen(line), MSG_NOSIGNAL) == (ssize_t)strlen(line)) {
    n = recv(fd, reply, size - 1, 0);
  }
  close(fd);
  reply[n > 0 ? n : 0] = '\0';
  return n > 0;
}

/* Whether the server answers a PING now. */
static int answers(const char *path) {
  char reply[8];

  return ask(path, "PING\r\n", reply, sizeof reply) && strncmp(reply, "+PONG", 5) == 0;
}

int redis_server_command(const redis_server *server, const char *command) {
  char line[512];
  char reply[256];

  snprintf(line, sizeof line, "%s\r\n", command);
  return ask(server->socket, line, reply, sizeof reply) && reply[0] != '-' ? 0 : -1;
}

int redis_server_allow(const redis_server *server, const char *url) {
  char command[480] = "ACL SETUSER ";
  size_t len = strlen(command);
  char why[RLC_MESSAGE_SIZE];

  if (rlc_redis_format_acl(command + len, sizeof command - len, url, RLC_ACL_REDIS, why,
                           sizeof why) <= 0) {
    fprintf(stderr, "no access list for %s: %s\n", url, why);
    return -1;
  }
  return redis_server_command(server, command);
}

/* Runs the program and waits until it answers. */
static int launch(redis_server *server) {
  const struct timespec pause = {0, 10000000};
  const char *program = getenv("RLC_REDIS_SERVER");
  char port[16];

  snprintf(port, sizeof port, "%u", server->port);
  server->pid = fork();
  if (server->pid == 0) {
    int null = open("/dev/null", O_RDWR);

    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test must not leave it running */
    dup2(null, 0);
    dup2(null, 1);
    program = program != NULL && program[0] != '\0' ? program : "redis-server";
    execlp(program, program, "--port", port, "--unixsocket", server->socket, "--dir",
           server->folder, "--save", "", "--appendonly", "no", "--cluster-enabled",
           server->port > 0 ? "yes" : "no", "--cluster-announce-ip",
           server->port > 0 ? "127.0.0.1" : "", "--bind", "127.0.0.1", (char *)NULL);
    fprintf(stderr, "%s cannot be run: %s\n", program, strerror(errno));
    _exit(127);
  }
  for (int i = 0; i < 1000; ++i) {
    if (answers(server->socket)) {
      return 0;
    }
    if (waitpid(server->pid, NULL, WNOHANG) == server->pid) {
      break;
    }
    nanosleep(&pause, NULL);
  }
  fprintf(stderr, "redis-server does not answer on %s\n", server->socket);
  return -1;
}

static int make_folder(redis_server *server) {
  memset(server, 0, sizeof *server);
  snprintf(server->folder, sizeof server->folder, "/tmp/rlcore-redis-XXXXXX");
  if (mkdtemp(server->folder) == NULL) {
    perror("mkdtemp");
    return -1;
  }
  snprintf(server->socket, sizeof server->socket, "%s/s", server->folder);
  return 0;
}

int redis_server_start(redis_server *server) {
  if (make_folder(server) != 0) {
    return -1;
  }
  snprintf(server->url, sizeof server->url, "redis+unix://app:s3cret@%s", server->socket);
  return launch(server) == 0 ? redis_server_allow(server, server->url) : -1;
}

/* A port that is free now, as is the one 10000 above, of the cluster's bus. */
static unsigned free_port(void) {
  unsigned seed = (unsigned)getpid();

  for (int tries = 0; tries < 100; ++tries) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    unsigned port = 10000 + (unsigned)rand_r(&seed) % 12000;
    int one = 1;
    int bound = 0;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (unsigned i = 0; i < 2; ++i) {
      int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

      setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
      address.sin_port = htons((uint16_t)(port + i * 10000));
      bound += bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
      close(fd);
    }
    if (bound == 2) {
      return port;
    }
  }
  return 0;
}

int redis_server_start_cluster(redis_server *server) {
  const struct timespec pause = {0, 10000000};

  if (make_folder(server) != 0) {
    return -1;
  }
  server->port = free_port();
  snprintf(server->url, sizeof server->url, "redis+cluster://app:s3cret@127.0.0.1:%u",
           server->port);
  if (server->port == 0 || launch(server) != 0 || redis_server_allow(server, server->url) != 0 ||
      redis_server_command(server, "CLUSTER ADDSLOTSRANGE 0 16383") != 0) {
    return -1;
  }
  for (int i = 0; i < 1000; ++i) {
    if (redis_server_command(server, "GET x") == 0) {
      return 0;
    }
    nanosleep(&pause, NULL);
  }
  fprintf(stderr, "redis-server is no cluster\n");
  return -1;
}

int redis_server_restart(redis_server *server) {
  kill(server->pid, SIGKILL);
  waitpid(server->pid, NULL, 0);
  unlink(server->socket);
  return launch(server) == 0 ? redis_server_allow(server, server->url) : -1;
}

void redis_server_stop(redis_server *server) {
  kill(server->pid, SIGCONT);
  kill(server->pid, SIGKILL);
  waitpid(server->pid, NULL, 0);
  unlink(server->socket);
  if (server->port > 0) {
    char nodes[96];

    snprintf(nodes, sizeof nodes, "%s/nodes.conf", server->folder);
    unlink(nodes);
  }
  rmdir(server->folder);
}
