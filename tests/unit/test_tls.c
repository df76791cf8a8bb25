/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"
#include "fake_server.h"
#include "redis/client.h"
#include "redis/connection.h"
#include "redis/lane.h"
#include "redis/socket.h"
#include "redis_server.h"
#include "tls_files.h"

#define LONG_US INT64_C(20000000) /* no test that passes waits for it */
#define SHORT_US INT64_C(60000)

static tls_files files;
static fake_server server;
static SSL_CTX *server_context;
static rlc__tls *tls;
static rlc__connection c;
static redisReply *reply;
static char why[RLC_MESSAGE_SIZE];
static volatile sig_atomic_t pipes;

/* --- a server that speaks TLS -------------------------------------------------------------- */

typedef struct command {
  char verb[32];
  char word[32]; /* the start of the last word */
  size_t len;    /* of all words */
} command;

static SSL *shake(fake_peer *peer) {
  SSL *ssl = SSL_new(server_context);

  SSL_set_fd(ssl, peer->fd);
  if (SSL_accept(ssl) != 1) {
    ERR_clear_error();
    SSL_free(ssl);
    return NULL;
  }
  return ssl;
}

static int take(SSL *ssl, char *bytes, size_t len) {
  size_t at = 0;

  while (at < len) {
    int n = SSL_read(ssl, bytes + at, (int)(len - at));

    if (n <= 0) {
      ERR_clear_error();
      return 0;
    }
    at += (size_t)n;
  }
  return 1;
}

static long take_count(SSL *ssl, char sign) {
  char line[24] = "";

  for (size_t i = 0; i + 1 < sizeof line && take(ssl, line + i, 1); ++i) {
    if (line[i] == '\n') {
      return line[0] == sign ? strtol(line + 1, NULL, 10) : -1;
    }
  }
  return -1;
}

static int take_command(SSL *ssl, command *out) {
  long n = take_count(ssl, '*');

  memset(out, 0, sizeof *out);
  for (long i = 0; i < n; ++i) {
    long len = take_count(ssl, '$');
    char *word = len >= 0 ? calloc(1, (size_t)len + 3) : NULL;

    if (word == NULL || !take(ssl, word, (size_t)len + 2)) {
      free(word);
      return 0;
    }
    word[len] = '\0';
    snprintf(i == 0 ? out->verb : out->word, sizeof out->verb, "%.31s", word);
    out->len += (size_t)len;
    free(word);
  }
  return n > 0;
}

static void give(SSL *ssl, const char *text) {
  (void)SSL_write(ssl, text, (int)strlen(text));
}

/* Answers GET n with :n, and asks for new keys now and then, as |user| says. */
static void echo(fake_peer *peer) {
  const int *update_each = peer->server->user;
  SSL *ssl = shake(peer);
  command got;
  char text[64];

  for (int i = 1; ssl != NULL && take_command(ssl, &got); ++i) {
    if (update_each != NULL && i % *update_each == 0) {
      (void)SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED);
    }
    snprintf(text, sizeof text, strcmp(got.verb, "GET") == 0 ? ":%ld\r\n" : "+OK\r\n",
             strtol(got.word, NULL, 10));
    give(ssl, text);
  }
  SSL_free(ssl);
}

static void start(fake_behaviour *serve, const char *cert, void *user) {
  char name[32];
  sigset_t pipe;

  server_context = SSL_CTX_new(TLS_server_method());
  snprintf(name, sizeof name, "%s.pem", cert);
  assert_int_equal(SSL_CTX_use_certificate_file(server_context, tls_files_path(&files, name),
                                                SSL_FILETYPE_PEM),
                   1);
  snprintf(name, sizeof name, "%s.key", cert);
  assert_int_equal(SSL_CTX_use_PrivateKey_file(server_context, tls_files_path(&files, name),
                                               SSL_FILETYPE_PEM),
                   1);
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe, NULL); /* the server's threads inherit it */
  fake_server_start(&server, 1, serve, user);
  pthread_sigmask(SIG_UNBLOCK, &pipe, NULL);
  rlc__connection_init(&c);
}

static void stop(void) {
  freeReplyObject(reply);
  reply = NULL;
  rlc__connection_close(&c);
  fake_server_stop(&server);
  SSL_CTX_free(server_context);
  rlc__tls_del(tls);
  tls = NULL;
  assert_int_equal(pipes, 0);
}

/* --- the client ---------------------------------------------------------------------------- */

static void settings(const rlc__tls_config *config) {
  rlc__tls_del(tls);
  assert_int_equal(rlc__tls_new(&tls, config, rlc__memory_or_default(NULL), why, sizeof why), 0);
}

/* The settings that the test server is to be verified with, by |ca|. */
static void trust(const char *ca, const char *sni) {
  const rlc__tls_config config = {.ca = tls_files_path(&files, ca), .sni = sni};

  settings(&config);
}

static int open_to(const rlc__address *address, const char *host, int64_t time_us) {
  const rlc__login login = {NULL, NULL, 0, tls, host};

  return rlc__connection_open(&c, &login, address, rlc__clock_monotonic_us() + time_us);
}

static int open_as(const char *host) {
  return open_to(&server.addresses.at[0], host, LONG_US);
}

static int ask(const char *verb, const char *word) {
  const char *argv[] = {verb, word};

  freeReplyObject(reply);
  return rlc__connection_call(&c, word != NULL ? 2 : 1, argv, rlc__clock_monotonic_us() + LONG_US,
                              &reply);
}

/* Asserts that connecting to |host| fails and the sentence has |part|. */
static void assert_refused(const char *host, const char *part) {
  int rv = open_as(host);

  if (strstr(c.why, part) == NULL || rv != RLC__ERR_UNAVAILABLE) {
    fail_msg("%d: \"%s\" is not in: %s", rv, part, c.why);
  }
  assert_int_equal(c.stream.fd, -1);
}

/* --- verifying ----------------------------------------------------------------------------- */

/* A server is believed by a file of authorities and by a folder of them, by name and by address. */
static void verified_test(void **state) {
  const char *const ca[] = {"ca.pem", "authorities"};
  const char *const host[] = {"localhost", "127.0.0.1", "::1", "LOCALHOST"};

  (void)state;
  start(echo, "server", NULL);
  for (int i = 0; i < 8; ++i) {
    trust(ca[i % 2], NULL);
    assert_int_equal(open_as(host[i / 2]), 0);
    assert_int_equal(ask("GET", "17"), 0);
    assert_int_equal(reply->integer, 17);
    rlc__connection_close(&c);
  }
  stop();
}

/* A certificate for somebody else is refused, of a name and of an address; sni= is who is expected. */
static void name_test(void **state) {
  (void)state;
  start(echo, "other", NULL);
  trust("ca.pem", NULL);
  assert_refused("localhost", "does not verify: ");
  assert_non_null(strstr(c.why, "ostname mismatch: write the name that it is made out to"));
  assert_refused("127.0.0.1", "IP address mismatch");
  trust("ca.pem", "elsewhere.example");
  assert_int_equal(open_as("localhost"), 0);
  rlc__connection_close(&c);
  assert_int_equal(open_as("127.0.0.1"), 0);
  rlc__connection_close(&c);
  trust("ca.pem", "localhost");
  assert_refused("elsewhere.example", "ostname mismatch");
  stop();
}

/* So is one whose time is over, and one that nobody we know has signed. */
static void distrust_test(void **state) {
  const rlc__tls_config nothing = {.ca = NULL};

  (void)state;
  start(echo, "expired", NULL);
  trust("ca.pem", NULL);
  assert_refused("localhost", "does not verify: certificate has expired");
  stop();
  start(echo, "server", NULL);
  trust("stray.pem", NULL);
  assert_refused("localhost", "name the authority that signed it with \"ca=\"");
  settings(&nothing);
  assert_refused("localhost", "does not verify: unable to get local issuer certificate");
  stop();
}

/* A server that can do no better than TLS 1.1 is refused in a sentence. */
static void version_test(void **state) {
  (void)state;
  start(echo, "server", NULL);
  SSL_CTX_set_security_level(server_context, 0);
  SSL_CTX_set_min_proto_version(server_context, TLS1_VERSION);
  SSL_CTX_set_max_proto_version(server_context, TLS1_1_VERSION);
  trust("ca.pem", NULL);
  assert_refused("localhost", "the server speaks no TLS of version 1.2 or later");
  SSL_CTX_set_max_proto_version(server_context, TLS1_2_VERSION);
  assert_int_equal(open_as("localhost"), 0);
  stop();
}

/* --- settings ------------------------------------------------------------------------------ */

static void assert_unusable(const rlc__tls_config *config, const char *part) {
  int rv = rlc__tls_new(&tls, config, rlc__memory_or_default(NULL), why, sizeof why);

  if (rv != RLC_ERR_URL || strstr(why, part) == NULL) {
    fail_msg("%d: \"%s\" is not in: %s", rv, part, why);
  }
  assert_null(tls);
}

/* Files that cannot be used are an error that names the option and the reason. Nobody is asked for
 * a password. */
static void files_test(void **state) {
  const char *cert = tls_files_path(&files, "client.pem");
  const rlc__tls_config no_ca = {.ca = "/nonexistent/ca"};
  const rlc__tls_config key_as_ca = {.ca = tls_files_path(&files, "client.key")};
  const rlc__tls_config no_cert = {.cert = "/nonexistent/cert", .key = cert};
  const rlc__tls_config no_key = {.cert = cert};
  const rlc__tls_config missing_key = {.cert = cert, .key = "/nonexistent/key"};
  const rlc__tls_config wrong_key = {.cert = cert, .key = tls_files_path(&files, "server.key")};
  const rlc__tls_config locked_key = {.cert = cert, .key = tls_files_path(&files, "locked.key")};
  const rlc__tls_config lone_key = {.key = tls_files_path(&files, "client.key")};

  (void)state;
  assert_unusable(&no_ca, "the file \"/nonexistent/ca\" of \"ca=\" cannot be used (No such file");
  assert_unusable(&key_as_ca, "of \"ca=\" cannot be used (no certificate");
  assert_unusable(&no_cert, "of \"cert=\" cannot be used (No such file");
  assert_unusable(&no_key, "of \"key=\" cannot be used (");
  assert_unusable(&missing_key, "the file \"/nonexistent/key\" of \"key=\" cannot be used (No such");
  assert_unusable(&wrong_key, "of \"key=\" cannot be used (key values mismatch)");
  assert_unusable(&locked_key, "of \"key=\" cannot be used (it is behind a password)");
  assert_unusable(&lone_key, "of \"key=\" cannot be used (no certificate assigned)");
}

/* A server that wants to know us is shown the certificate; without one the sentence says so. */
static void client_certificate_test(void **state) {
  const rlc__tls_config known = {.ca = tls_files_path(&files, "ca.pem"),
                                 .cert = tls_files_path(&files, "client.pem"),
                                 .key = tls_files_path(&files, "client.key")};
  const rlc__tls_config stray = {.ca = tls_files_path(&files, "ca.pem"),
                                 .cert = tls_files_path(&files, "stray.pem"),
                                 .key = tls_files_path(&files, "stray.key")};

  (void)state;
  for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; ++version) {
    start(echo, "server", NULL);
    SSL_CTX_load_verify_locations(server_context, tls_files_path(&files, "ca.pem"), NULL);
    SSL_CTX_set_verify(server_context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_max_proto_version(server_context, version);
    settings(&known);
    assert_int_equal(open_as("localhost"), 0);
    rlc__connection_close(&c);
    settings(&stray);
    assert_refused("localhost", "does not accept the certificate of \"cert=\"");
    trust("ca.pem", NULL);
    assert_refused("localhost", " to see a certificate: write \"cert=\" and \"key=\"");
    stop();
  }
}

/* --- who is no TLS server, or no good one -------------------------------------------------- */

/* Answers the first who comes, in plain, and nobody after. */
static void say_plain(fake_peer *peer) {
  if (peer->number == 0) {
    fake_say(peer, "-ERR Protocol error: unauthenticated multibulk length\r\n");
  }
  fake_wait_left(peer);
}

/* A plain server that answers is told from one that does not, and both sentences say what to write. */
static void plain_server_test(void **state) {
  (void)state;
  start(say_plain, "server", NULL);
  trust("ca.pem", NULL);
  assert_refused("localhost", "the server speaks no TLS: write redis:// instead of rediss://");
  assert_int_equal(open_to(&server.addresses.at[0], "localhost", SHORT_US), RLC__ERR_TIMEOUT);
  assert_non_null(strstr(c.why, "did not answer TLS's handshake in time: it may speak no TLS"));
  assert_int_equal(c.stream.fd, -1);
  stop();
}

/* Sends the first half of a record's head, then nothing. */
static void begin_to_shake(fake_peer *peer) {
  fake_write(peer, "\x16\x03\x03", 3);
  fake_wait_left(peer);
}

/* A handshake that does not come to its end is given up at its deadline. */
static void slow_handshake_test(void **state) {
  int64_t begun;

  (void)state;
  start(begin_to_shake, "server", NULL);
  trust("ca.pem", NULL);
  begun = rlc__clock_monotonic_us();
  assert_int_equal(open_to(&server.addresses.at[0], "localhost", SHORT_US), RLC__ERR_TIMEOUT);
  assert_in_range(rlc__clock_monotonic_us() - begun, SHORT_US, SHORT_US + 1000000);
  assert_non_null(strstr(c.why, "did not finish TLS's handshake in time"));
  stop();
}

/* Speaks TLS to the first who comes, says an alert to the second, and hangs up on the third. */
static void turn_down(fake_peer *peer) {
  char byte;

  if (peer->number == 0) {
    echo(peer);
  } else if (peer->number == 1) {
    fake_write(peer, "\x15\x03\x03\0\x02\x02\x46", 7);
    fake_wait_left(peer);
  } else {
    (void)!recv(peer->fd, &byte, 1, 0);
  }
}

/* Who asks a TLS server without TLS, and whom a server hangs up on in the handshake, is told. */
static void wrong_way_test(void **state) {
  const rlc__login login = {NULL, NULL, 0, NULL, NULL};

  (void)state;
  start(turn_down, "server", NULL);
  for (int i = 0; i < 2; ++i) {
    assert_true(rlc__connection_open(&c, &login, &server.addresses.at[0],
                                     rlc__clock_monotonic_us() + LONG_US) < 0);
    assert_non_null(strstr(c.why, "may want TLS: then write rediss:// instead of redis://"));
  }
  trust("ca.pem", NULL);
  assert_refused("localhost", "during TLS's handshake");
  stop();
}

/* --- the end ------------------------------------------------------------------------------- */

/* Answers one command and leaves without a goodbye. */
static void leave(fake_peer *peer) {
  SSL *ssl = shake(peer);
  command got;

  for (int i = 0; ssl != NULL && i < 2 && take_command(ssl, &got); ++i) {
    give(ssl, ":1\r\n");
  }
  fake_hang_up(peer);
  SSL_free(ssl);
}

/* A server that leaves without TLS's goodbye has left; writing to it raises no SIGPIPE. */
static void no_goodbye_test(void **state) {
  char byte = 'a';
  struct iovec one = {&byte, 1};

  (void)state;
  start(leave, "server", NULL);
  trust("ca.pem", NULL);
  assert_int_equal(open_as("localhost"), 0);
  assert_int_equal(ask("GET", "1"), 0);
  assert_int_equal(ask("GET", "1"), RLC__ERR_UNAVAILABLE);
  assert_non_null(strstr(c.why, "closed the connection"));
  assert_int_equal(open_as("localhost"), 0);
  assert_int_equal(ask("GET", "1"), 0);
  while (rlc__stream_write(&c.stream, &one, 1) == 1) {
    usleep(1000);
  }
  assert_true(errno == EPIPE || errno == ECONNRESET);
  stop();
}

/* --- reading and writing ------------------------------------------------------------------- */

#define MOST_SENT ((size_t)4 * 1024 * 1024)
#define PART_SIZE 9008

/* What the client was told to have written, and what came. */
typedef struct account {
  _Atomic int update; /* the server is to ask for new keys */
  _Atomic int read;   /* it is to read */
  _Atomic int done;   /* all has been written */
  char *want;
  size_t len;
  char rest[PART_SIZE]; /* of a part that was begun */
  size_t left;
  _Atomic int right;
} account;

static void await(const _Atomic int *flag) {
  while (!atomic_load(flag)) {
    usleep(200);
  }
}

static void read_late(fake_peer *peer) {
  account *a = peer->server->user;
  SSL *ssl = shake(peer);
  char *got = calloc(1, MOST_SENT + 2 * PART_SIZE);
  size_t len = 0;
  command greeting;

  if (ssl != NULL && take_command(ssl, &greeting)) {
    give(ssl, "+OK\r\n");
    await(&a->update);
    (void)SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED);
    give(ssl, ":7\r\n");
    await(&a->read);
    while ((len == 0 || got[len - 1] != '!') && take(ssl, got + len, 1)) {
      ++len;
    }
    await(&a->done);
    atomic_store(&a->right, len == a->len && memcmp(got, a->want, len) == 0);
    give(ssl, ":8\r\n");
  }
  free(got);
  SSL_free(ssl);
}

static size_t below(size_t n) {
  static uint32_t state = 7;

  state = state * 1664525u + 1013904223u;
  return (state >> 8) % n;
}

static struct iovec fresh(char bytes[PART_SIZE]) {
  struct iovec part = {bytes, 2 + below(below(4) == 0 ? 9000 : 60)};

  memset(bytes, (int)('a' + below(26)), part.iov_len);
  return part;
}

/* Writes parts that are others at each write, but for the rest of what was begun, until so many
 * writes were |refused| one after the other, or as much is written. */
static void write_on(account *a, int refusals, size_t most) {
  static char bytes[4][PART_SIZE];

  for (int refused = 0; refused < refusals && a->len < most;) {
    struct iovec part[4];
    ssize_t n;

    for (int i = 0; i < 4; ++i) {
      part[i] = fresh(bytes[i]);
    }
    if (a->left > 0) {
      part[0] = (struct iovec){a->rest, a->left};
    }
    n = rlc__stream_write(&c.stream, part, 4);
    if (n < 0) {
      assert_int_equal(errno, EAGAIN);
      ++refused;
      rlc__socket_wait(c.stream.fd, POLLOUT, rlc__clock_monotonic_us() + 1000);
      continue;
    }
    assert_true(n > 0);
    refused = 0;
    for (int i = 0; n > 0; ++i) {
      size_t taken = (size_t)n < part[i].iov_len ? (size_t)n : part[i].iov_len;

      memcpy(a->want + a->len, part[i].iov_base, taken);
      a->len += taken;
      n -= (ssize_t)taken;
      a->left = part[i].iov_len - taken;
      memmove(a->rest, (char *)part[i].iov_base + taken, a->left);
    }
  }
}

/* Writes the rest and a mark behind it. */
static void write_end(account *a) {
  while (a->left > 0 || a->want[a->len - 1] != '!') {
    char mark[] = "?!";
    struct iovec part = a->left > 0 ? (struct iovec){a->rest, a->left} : (struct iovec){mark, 2};
    ssize_t n = rlc__stream_write(&c.stream, &part, 1);

    if (n > 0) {
      memcpy(a->want + a->len, part.iov_base, (size_t)n);
      a->len += (size_t)n;
      a->left = part.iov_len - (size_t)n;
      memmove(a->rest, (char *)part.iov_base + n, a->left);
    } else {
      rlc__socket_wait(c.stream.fd, POLLOUT, rlc__clock_monotonic_us() + 1000);
    }
  }
}

static void assert_number(long long number) {
  int64_t deadline = rlc__clock_monotonic_us() + LONG_US;

  freeReplyObject(reply);
  for (reply = NULL; reply == NULL;) {
    assert_int_equal(rlc__connection_next(&c, &reply), 0);
    if (reply == NULL) {
      assert_int_equal(rlc__socket_wait(c.stream.fd, POLLIN, deadline), 0);
      (void)rlc__connection_fill(&c);
    }
  }
  assert_int_equal(reply->integer, number);
}

static void shrink_buffers(int fd) {
  const int small = 4096;

  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
}

/* A write that was refused may be another the next time: what goes out is what was told as written,
 * also when the server asks for new keys in the middle of a record that is stuck. */
static void stuck_test(void **state) {
  account *a = calloc(1, sizeof *a);

  (void)state;
  a->want = calloc(1, MOST_SENT + 2 * PART_SIZE);
  for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; ++version) {
    start(read_late, "server", a);
    SSL_CTX_set_max_proto_version(server_context, version);
    shrink_buffers(server.listener);
    trust("ca.pem", NULL);
    a->len = a->left = 0;
    a->update = a->read = a->done = a->right = 0;
    assert_int_equal(open_as("localhost"), 0);
    shrink_buffers(c.stream.fd);
    write_on(a, 20, MOST_SENT);
    atomic_store(&a->update, 1);
    assert_number(7);
    write_on(a, 20, MOST_SENT);
    atomic_store(&a->read, 1);
    write_on(a, 100000, 1024 * 1024);
    write_end(a);
    atomic_store(&a->done, 1);
    assert_number(8);
    assert_true(atomic_load(&a->right));
    stop();
  }
  free(a->want);
  free(a);
}

static rlc__lane lane;
static _Atomic uint64_t late, lost;

static rlc__frame *post(int number, size_t padding, rlc__waiter *waiter) {
  char word[32];
  char *bytes = NULL;
  rlc__frame *frame = NULL;
  char *pad = calloc(1, padding + 1);
  const char *words[] = {"GET", pad, word};
  long long len;

  memset(pad, 'p', padding);
  snprintf(word, sizeof word, "%d", number);
  len = redisFormatSdsCommandArgv(&bytes, 3, words, NULL);
  (void)rlc__lane_post(&lane, 0, waiter, bytes, (size_t)len, &frame);
  free(pad);
  return frame; /* NULL: the lane is closed */
}

static void open_lane(void) {
  rlc__connection *own = calloc(1, sizeof *own);
  const rlc__login login = {NULL, NULL, 0, tls, "localhost"};

  rlc__connection_init(own);
  assert_int_equal(rlc__connection_open(own, &login, &server.addresses.at[0],
                                        rlc__clock_monotonic_us() + LONG_US),
                   0);
  shrink_buffers(own->stream.fd);
  assert_int_equal(rlc__lane_init(&lane, LONG_US, &late, &lost), 0);
  assert_int_equal(rlc__lane_install(&lane, own), 0);
}

/* Answers GET, but reads nothing before it is told to. */
static void echo_late(fake_peer *peer) {
  account *a = peer->server->user;
  SSL *ssl = shake(peer);
  command got;
  char text[32];

  for (int i = 0; ssl != NULL && take_command(ssl, &got); ++i) {
    snprintf(text, sizeof text, i > 0 ? ":%ld\r\n" : "+OK\r\n", strtol(got.word, NULL, 10));
    give(ssl, text);
    if (i == 0) {
      await(&a->read);
    }
  }
  SSL_free(ssl);
}

/* Returns what is answered to |frame|, or an error. */
static long long answer_to(rlc__frame *frame, rlc__waiter *waiter) {
  int64_t deadline = rlc__clock_monotonic_us() + LONG_US;
  redisReply *got = NULL;
  long long number;
  int unsent;
  int rv;

  if (waiter == NULL) {
    rv = rlc__lane_wait(&lane, frame, deadline, &got, &unsent, why);
  } else {
    while ((rv = rlc__lane_poll(&lane, frame, rlc__socket_is_past(deadline), &got, &unsent, why)) ==
           RLC_PENDING) {
      (void)rlc__socket_wait(waiter->fd, POLLIN, deadline);
      rlc__waiter_clear(waiter, rlc__clock_monotonic_us());
      rlc__lane_pump(&lane, waiter);
    }
  }
  if (rv != 0) {
    return rv;
  }
  number = got->integer;
  freeReplyObject(got);
  return number;
}

static void abandon_some(rlc__waiter *waiter) {
  account a;
  rlc__frame *frame[90];

  memset(&a, 0, sizeof a);
  start(echo_late, "server", &a);
  shrink_buffers(server.listener);
  trust("ca.pem", NULL);
  lost = 0;
  open_lane();
  for (int i = 0; i < 60; ++i) {
    frame[i] = post(i, 3000 + below(3000), waiter);
  }
  assert_int_equal(lane.full, 1);
  for (int i = 0; i < 60; ++i) {
    if (i % 7 != 0) {
      rlc__lane_leave(&lane, frame[i]);
    }
  }
  for (int i = 60; i < 90; ++i) {
    frame[i] = post(i, 10 + below(5000), waiter);
  }
  atomic_store(&a.read, 1);
  for (int i = 0; i < 90; ++i) {
    if (i % 7 == 0 || i >= 60) {
      assert_int_equal(answer_to(frame[i], waiter), i);
    }
  }
  assert_int_equal(lost, 0);
  rlc__lane_destroy(&lane);
  stop();
}

/* Commands that are abandoned while the connection is full leave none of their bytes in the place
 * of others: each of those that stay gets its own answer, whether a thread waits or an event loop. */
static void abandoned_test(void **state) {
  rlc__waiter waiter;

  (void)state;
  assert_int_equal(rlc__waiter_init(&waiter), 0);
  for (int i = 0; i < 4; ++i) {
    abandon_some(i % 2 == 0 ? NULL : &waiter);
  }
  rlc__waiter_destroy(&waiter);
}

typedef struct caller {
  pthread_t thread;
  int number;
  int wrong;
} caller;

static void *call_often(void *user) {
  caller *k = user;

  for (int i = 0; i < 60; ++i) {
    int number = k->number * 1000 + i;
    rlc__frame *frame = post(number, i % 20 == 0 ? 60000 : (size_t)i * 10, NULL);
    redisReply *got;
    char reason[RLC_MESSAGE_SIZE];
    int unsent;

    if (frame == NULL || rlc__lane_wait(&lane, frame, rlc__clock_monotonic_us() + LONG_US, &got,
                                        &unsent, reason) != 0) {
      ++k->wrong;
    } else {
      k->wrong += got->integer != number;
      freeReplyObject(got);
    }
  }
  return NULL;
}

/* Threads that share a connection read and write at once, through small buffers, while the server
 * asks for new keys all the time. */
static void threads_test(void **state) {
  int update_each = 3;
  caller k[6];

  (void)state;
  start(echo, "server", &update_each);
  shrink_buffers(server.listener);
  trust("ca.pem", NULL);
  lost = 0;
  open_lane();
  for (int i = 0; i < 6; ++i) {
    k[i] = (caller){.number = i + 1};
    assert_int_equal(pthread_create(&k[i].thread, NULL, call_often, &k[i]), 0);
  }
  for (int i = 0; i < 6; ++i) {
    pthread_join(k[i].thread, NULL);
    if (k[i].wrong > 0) {
      fail_msg("%d calls failed: %s", k[i].wrong, lane.why);
    }
  }
  assert_int_equal(lost, 0);
  rlc__lane_destroy(&lane);
  stop();
}

/* --- fork ---------------------------------------------------------------------------------- */

static rlc__client *client;

/* Asks through the client. Returns the number, or an error. */
static long long ask_client_within(const char *word, int64_t time_us) {
  const rlc__bytes keys[] = {{word, strlen(word)}};
  rlc__request r = {.command = "GET",
                    .keys = keys,
                    .n_keys = 1,
                    .deadline_us = rlc__clock_monotonic_us() + time_us};
  long long number;

  if (rlc__client_begin(client, &r) == RLC_PENDING) {
    rlc__client_wait(client, &r);
  }
  number = r.error != 0 ? r.error : r.reply->integer;
  rlc__client_end(client, &r);
  return number;
}

static long long ask_client(const char *word) {
  return ask_client_within(word, LONG_US);
}

#ifdef __SANITIZE_THREAD__
#define FIRST_CHILD 1 /* it loses its way where a forked child starts threads */
#else
#define FIRST_CHILD 0
#endif

/* A child shakes hands anew, and says no goodbye over its parent's connection. */
static void fork_test(void **state) {
  const rlc__log log = {NULL, NULL};
  rlc__client_config config = {
      .servers = &server.endpoint, .n = 1, .connections = 1, .timeout_us = 25000};
  int status;
  pid_t child;

  (void)state;
  start(echo, "server", NULL);
  trust("ca.pem", NULL);
  config.tls = tls;
  tls = NULL; /* the client's */
  assert_int_equal(rlc__client_new(&client, &config, rlc__memory_or_default(NULL), &log), 0);
  assert_int_equal(ask_client("1"), 1);
  for (int i = FIRST_CHILD; i < 2; ++i) {
    child = fork();
    if (child == 0) {
      int worked = i == 1 || ask_client("2") == 2;

      rlc__client_del(client);
      _exit(worked ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(ask_client("3"), 3);
  }
  assert_int_equal(atomic_load(&server.connections), 2 - FIRST_CHILD);
  rlc__client_del(client);
  stop();
}

/* --- the end of a process ------------------------------------------------------------------ */

static int lingers;
static int lines; /* that the library logs, and nobody is to blame for by then */

/* The first handler, so the last that exit() calls: OpenSSL has been taken down by then. */
static void linger(void) {
  if (lingers) {
    usleep(300000);
    _exit(lines);
  }
}

/* Shakes hands after a while. */
static void doze(fake_peer *peer) {
  usleep(100000);
  echo(peer);
}

static void count_line(rlc_log_level level, const char *id, const char *line, void *user) {
  (void)level;
  (void)id;
  (void)line;
  (void)user;
  ++lines;
}

static void end_early(rlc__client_config *config) {
  const rlc__log log = {count_line, NULL};

  config->tls = tls;
  if (rlc__client_new(&client, config, rlc__memory_or_default(NULL), &log) != 0 ||
      ask_client_within("1", 30000) != RLC__ERR_TIMEOUT) {
    _exit(1);
  }
  lingers = 1;
  exit(0);
}

/* A process may end while its helper shakes hands, as a child of httpd does that has just begun. */
static void exit_test(void **state) {
  rlc__client_config config = {
      .servers = &server.endpoint, .n = 1, .connections = 1, .timeout_us = 25000};
  int status;

  (void)state;
  start(doze, "server", NULL);
  trust("ca.pem", NULL);
  fflush(NULL);
  for (int i = 0; i < 4 && !FIRST_CHILD; ++i) {
    pid_t child = fork();

    if (child == 0) {
      end_early(&config);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
  }
  stop();
}

/* --- a real server ------------------------------------------------------------------------- */

/* Speaks to the real server through its unix socket. Returns whether it did as told. */
static int tell(redis_server *real, int argc, const char *const *argv) {
  const rlc__login login = {NULL, NULL, 0, NULL, NULL};
  rlc__addresses at;
  rlc__connection plain;
  redisReply *answer = NULL;
  int64_t deadline = rlc__clock_monotonic_us() + LONG_US;
  int works;

  rlc__connection_init(&plain);
  works = rlc__resolve_path(&at, real->socket, NULL, 0) == 0 &&
          rlc__connection_open(&plain, &login, &at.at[0], deadline) == 0 &&
          rlc__connection_call(&plain, argc, argv, deadline, &answer) == 0 &&
          answer->type != REDIS_REPLY_ERROR;
  freeReplyObject(answer);
  rlc__connection_close(&plain);
  return works;
}

/* Returns a port that nobody listens at, most likely. */
static uint16_t free_port(void) {
  struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof any;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  assert_int_equal(bind(fd, (struct sockaddr *)&any, size), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)&any, &size), 0);
  close(fd);
  return ntohs(any.sin_port);
}

/* Redis with TLS and client certificates serves who has one, and what it says to others is
 * understood. */
static void redis_test(void **state) {
  char port[8];
  const char *argv[] = {"CONFIG",           "SET",
                        "tls-cert-file",    tls_files_path(&files, "server.pem"),
                        "tls-key-file",     tls_files_path(&files, "server.key"),
                        "tls-ca-cert-file", tls_files_path(&files, "ca.pem"),
                        "tls-auth-clients", "yes",
                        "tls-port",         port};
  const rlc__tls_config config = {.ca = tls_files_path(&files, "ca.pem"),
                                  .cert = tls_files_path(&files, "client.pem"),
                                  .key = tls_files_path(&files, "client.key")};
  char *word = calloc(1, 300001);
  redis_server real;
  rlc__addresses at;

  (void)state;
  rlc__connection_init(&c);
  memset(word, 'w', 300000);
  assert_int_equal(redis_server_start(&real), 0);
  snprintf(port, sizeof port, "%u", (unsigned)free_port());
  if (!tell(&real, 12, argv)) {
    print_message("this redis-server has no TLS\n");
    redis_server_stop(&real);
    free(word);
    skip();
  }
  assert_int_equal(rlc__resolve_host(&at, "127.0.0.1", (uint16_t)atoi(port), why, sizeof why), 0);
  settings(&config);
  assert_int_equal(open_to(&at.at[0], "localhost", LONG_US), 0);
  assert_int_equal(ask("ECHO", word), 0);
  assert_string_equal(reply->str, word);
  assert_int_equal(ask("CLIENT", "GETNAME"), 0);
  assert_string_equal(reply->str, "rlcore");
  rlc__connection_close(&c);
  trust("ca.pem", NULL);
  assert_int_equal(open_to(&at.at[0], "localhost", LONG_US), RLC__ERR_UNAVAILABLE);
  assert_non_null(strstr(c.why, "wants to see a certificate"));
  rlc__tls_del(tls);
  tls = NULL;
  assert_int_equal(open_to(&at.at[0], "localhost", LONG_US), RLC__ERR_UNAVAILABLE);
  assert_non_null(strstr(c.why, "lost"));
  freeReplyObject(reply);
  reply = NULL;
  redis_server_stop(&real);
  free(word);
}

static void count_pipe(int signal) {
  (void)signal;
  ++pipes;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(verified_test),       cmocka_unit_test(name_test),
      cmocka_unit_test(distrust_test),       cmocka_unit_test(version_test),
      cmocka_unit_test(files_test),          cmocka_unit_test(client_certificate_test),
      cmocka_unit_test(plain_server_test),   cmocka_unit_test(slow_handshake_test),
      cmocka_unit_test(wrong_way_test),      cmocka_unit_test(no_goodbye_test),
      cmocka_unit_test(stuck_test),          cmocka_unit_test(abandoned_test),
      cmocka_unit_test(threads_test),        cmocka_unit_test(fork_test),
      cmocka_unit_test(exit_test),           cmocka_unit_test(redis_test),
  };
  struct sigaction act = {.sa_handler = count_pipe};
  int rv;

  if (atexit(linger) != 0) {
    return 1;
  }
  sigaction(SIGPIPE, &act, NULL);
  if (tls_files_make(&files) != 0) {
    return 1;
  }
  rv = cmocka_run_group_tests_name("tls", tests, NULL, NULL);
  tls_files_remove(&files);
  return rv;
}
