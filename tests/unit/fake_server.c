/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_server.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static void must(int works, const char *what) {
  if (!works) {
    perror(what);
    abort();
  }
}

static void forget_words(fake_peer *peer) {
  for (int i = 0; i < peer->words; ++i) {
    free(peer->word[i]);
  }
  peer->words = 0;
}

/* Reads `*12\r\n` or `$12\r\n`. Returns the number, or -1. (Not with scanf, which would wait for
 * what follows the white space.) */
static long read_count(FILE *in, int sign) {
  char line[24];

  return fgets(line, sizeof line, in) != NULL && line[0] == sign ? strtol(line + 1, NULL, 10) : -1;
}

static int read_command(fake_peer *peer) {
  long n = read_count(peer->in, '*');

  forget_words(peer);
  while (n <= FAKE_WORDS && peer->words < n) {
    long len = read_count(peer->in, '$');
    char end[2];

    if (len < 0) {
      return 0;
    }
    peer->len[peer->words] = (size_t)len;
    peer->word[peer->words] = calloc(1, (size_t)len + 1);
    if (fread(peer->word[peer->words++], 1, (size_t)len, peer->in) != (size_t)len ||
        fread(end, 1, 2, peer->in) != 2) {
      return 0;
    }
  }
  return n > 0 && peer->words == n;
}

int fake_read(fake_peer *peer) {
  while (read_command(peer)) {
    const char *verb = peer->word[0];

    if (!peer->server->greets || (strcmp(verb, "AUTH") != 0 && strcmp(verb, "SELECT") != 0 &&
                                  strcmp(verb, "CLIENT") != 0)) {
      atomic_fetch_add(&peer->server->commands, 1);
      return 1;
    }
    fake_say(peer, "+OK\r\n");
  }
  return 0;
}

void fake_write(fake_peer *peer, const char *bytes, size_t len) {
  while (len > 0) {
    ssize_t n = send(peer->fd, bytes, len, MSG_NOSIGNAL);

    if (n <= 0) {
      return;
    }
    bytes += n;
    len -= (size_t)n;
  }
}

void fake_say(fake_peer *peer, const char *text) {
  fake_write(peer, text, strlen(text));
}

void fake_wait_taken(fake_peer *peer) {
  int waiting = 1;

  while (waiting > 0 && ioctl(peer->fd, SIOCOUTQ, &waiting) == 0) {
    sched_yield();
  }
}

void fake_wait_stop(fake_peer *peer) {
  struct pollfd stop = {peer->server->stop, POLLIN, 0};

  while (poll(&stop, 1, -1) < 0 && errno == EINTR) {
  }
}

void fake_wait_left(fake_peer *peer) {
  struct pollfd end = {peer->fd, POLLRDHUP, 0};

  while (poll(&end, 1, -1) < 0 && errno == EINTR) {
  }
}

void fake_hang_up(fake_peer *peer) {
  shutdown(peer->fd, SHUT_RDWR); /* closed when the server stops, so that no number is used twice */
}

static void *run_peer(void *user) {
  fake_peer *peer = user;

  peer->server->serve(peer);
  fake_hang_up(peer);
  forget_words(peer);
  return NULL;
}

static void *run_server(void *user) {
  fake_server *s = user;
  struct pollfd wanted[] = {{s->listener, POLLIN, 0}, {s->stop, POLLIN, 0}};
  const int on = 1;

  for (;;) {
    unsigned i = atomic_load(&s->connections);
    fake_peer *peer = &s->peer[i];

    if (poll(wanted, 2, -1) < 0) {
      continue;
    }
    if (wanted[1].revents != 0) {
      return NULL;
    }
    must(i < FAKE_PEERS, "more connections than the fake server has room for");
    peer->server = s;
    peer->number = i;
    peer->fd = accept(s->listener, NULL, NULL);
    must(peer->fd >= 0, "accept");
    (void)setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* not of a unix socket */
    peer->in = fdopen(dup(peer->fd), "r");
    must(peer->in != NULL, "fdopen");
    atomic_store(&s->connections, i + 1);
    must(pthread_create(&peer->thread, NULL, run_peer, peer) == 0, "pthread_create");
  }
}

void fake_server_start(fake_server *s, int tcp, fake_behaviour *serve, void *user) {
  struct sockaddr_in any = {.sin_family = AF_INET};
  socklen_t size = sizeof any;
  char why[RLC_MESSAGE_SIZE] = "";
  int rv;

  memset(s, 0, sizeof *s);
  s->serve = serve;
  s->user = user;
  s->greets = 1;
  s->stop = eventfd(0, EFD_CLOEXEC);
  snprintf(s->folder, sizeof s->folder, "/tmp/rlcore-fake-XXXXXX");
  must(mkdtemp(s->folder) != NULL, "mkdtemp");
  snprintf(s->path, sizeof s->path, "%s/s", s->folder);
  if (tcp) {
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(bind(s->listener, (struct sockaddr *)&any, size) == 0, "bind");
    must(getsockname(s->listener, (struct sockaddr *)&any, &size) == 0, "getsockname");
    rv = rlc__resolve_host(&s->addresses, "127.0.0.1", ntohs(any.sin_port), why,
                           sizeof why);
  } else {
    rv = rlc__resolve_path(&s->addresses, s->path, why, sizeof why);
    s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(bind(s->listener, (struct sockaddr *)&s->addresses.at[0].socket,
              s->addresses.at[0].len) == 0,
         "bind");
  }
  must(rv == 0, why);
  snprintf(s->endpoint.host, sizeof s->endpoint.host, "%s", tcp ? "127.0.0.1" : s->path);
  s->endpoint.port = tcp ? ntohs(any.sin_port) : 0;
  must(listen(s->listener, FAKE_PEERS) == 0, "listen");
  must(pthread_create(&s->thread, NULL, run_server, s) == 0, "pthread_create");
}

void fake_server_stop(fake_server *s) {
  const uint64_t one = 1;

  must(write(s->stop, &one, sizeof one) == sizeof one, "write");
  pthread_join(s->thread, NULL);
  for (unsigned i = 0; i < s->connections; ++i) {
    fake_hang_up(&s->peer[i]);
    pthread_join(s->peer[i].thread, NULL);
    fclose(s->peer[i].in);
    close(s->peer[i].fd);
  }
  close(s->listener);
  close(s->stop);
  unlink(s->path);
  rmdir(s->folder);
}
