/* SPDX-License-Identifier: Apache-2.0 */
#include "redis_server.h"

#include <errno.h>
#include <fcntl.h>
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

/* Whether the server answers a PING now. */
static int answers(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  char reply[8] = {0};
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int yes;

  snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  yes = connect(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
        send(fd, "PING\r\n", 6, MSG_NOSIGNAL) == 6 && recv(fd, reply, sizeof reply - 1, 0) > 0 &&
        strncmp(reply, "+PONG", 5) == 0;
  close(fd);
  return yes;
}

int redis_server_start(redis_server *server) {
  const struct timespec pause = {0, 10000000};

  snprintf(server->folder, sizeof server->folder, "/tmp/rlcore-redis-XXXXXX");
  if (mkdtemp(server->folder) == NULL) {
    perror("mkdtemp");
    return -1;
  }
  snprintf(server->socket, sizeof server->socket, "%s/s", server->folder);
  snprintf(server->url, sizeof server->url, "redis+unix://%s", server->socket);
  server->pid = fork();
  if (server->pid == 0) {
    int null = open("/dev/null", O_RDWR);

    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test must not leave it running */
    dup2(null, 0);
    dup2(null, 1);
    execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", server->socket, "--dir",
           server->folder, "--save", "", "--appendonly", "no", (char *)NULL);
    fprintf(stderr, "redis-server cannot be run: %s\n", strerror(errno));
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

void redis_server_stop(redis_server *server) {
  kill(server->pid, SIGCONT);
  kill(server->pid, SIGKILL);
  waitpid(server->pid, NULL, 0);
  unlink(server->socket);
  rmdir(server->folder);
}
