/* SPDX-License-Identifier: Apache-2.0 */
#include "redis/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/memory.h"
#include "redis/gate.h"

struct rlc__tls {
  rlc_memory memory;
  SSL_CTX *context;
  BIO_METHOD *socket;
  char *sni;
  int kept; /* the gate */
};

/* --- a socket as OpenSSL sees it: its own would raise SIGPIPE --------------------------------- */

int rlc__tls_drain(rlc__tls_wire *wire) {
  while (wire->len > 0) {
    ssize_t n = send(wire->fd, wire->out + wire->at, wire->len, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n > 0) {
      wire->at += (size_t)n;
      wire->len -= (size_t)n;
    } else if (n == 0 || errno != EINTR) {
      return -1;
    }
  }
  wire->at = 0;
  return 0;
}

/* Takes all, or fails. What waits already is left to who drains. */
static int bio_write(BIO *bio, const char *bytes, int len) {
  rlc__tls_wire *wire = BIO_get_data(bio);
  int waits = wire->len > 0;

  BIO_clear_retry_flags(bio);
  if (wire->at > 0) {
    memmove(wire->out, wire->out + wire->at, wire->len);
    wire->at = 0;
  }
  if (len < 0 || (size_t)len > sizeof wire->out - wire->len) {
    errno = ENOBUFS; /* a server that makes us answer, and takes no answers */
    return -1;
  }
  memcpy(wire->out + wire->len, bytes, (size_t)len);
  wire->len += (size_t)len;
  return waits || rlc__tls_drain(wire) == 0 || errno == EAGAIN ? len : -1;
}

static int bio_read(BIO *bio, char *bytes, int size) {
  const rlc__tls_wire *wire = BIO_get_data(bio);
  ssize_t n = recv(wire->fd, bytes, (size_t)size, MSG_DONTWAIT);

  BIO_clear_retry_flags(bio);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
    BIO_set_retry_read(bio);
  }
  return (int)n;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer) {
  (void)bio;
  (void)number;
  (void)pointer;
  return command == BIO_CTRL_FLUSH;
}

/* OpenSSL has few numbers to give: all limiters of a process share one. */
static int socket_type(void) {
  static _Atomic int shared;
  int type = atomic_load(&shared);

  if (type == 0) {
    int none = 0;

    type = BIO_get_new_index() | BIO_TYPE_SOURCE_SINK;
    if (!atomic_compare_exchange_strong(&shared, &none, type)) {
      type = none;
    }
  }
  return type;
}

/* --- settings ------------------------------------------------------------------------------ */

/* The first that went wrong: what came of it follows in the queue. */
static const char *reason(void) {
  unsigned long code = ERR_peek_error();
  const char *text = ERR_GET_LIB(code) == ERR_LIB_SYS ? strerror(ERR_GET_REASON(code))
                                                      : ERR_reason_error_string(code);

  return code != 0 && text != NULL ? text : "no reason given";
}

static int refuse_file(const char *option, const char *path, const char *because, char *why,
                       size_t why_size) {
  char shown[120];

  rlc__printable(shown, sizeof shown, path, strlen(path));
  return rlc__fail(RLC_ERR_URL, why, why_size, "the file \"%s\" of \"%s=\" cannot be used (%s)",
                   shown, option, because);
}

/* An encrypted key is refused: nobody is there to be asked. |user| is told that somebody was to be. */
static int no_password(char *buf, int size, int writing, void *user) {
  (void)buf;
  (void)size;
  (void)writing;
  if (user != NULL) {
    *(int *)user = 1;
  }
  return -1;
}

static int load_key(SSL_CTX *context, const char *path, char *why, size_t why_size) {
  int asked = 0;
  int works;

  SSL_CTX_set_default_passwd_cb_userdata(context, &asked);
  works = SSL_CTX_use_PrivateKey_file(context, path, SSL_FILETYPE_PEM) == 1 &&
          SSL_CTX_check_private_key(context) == 1;
  SSL_CTX_set_default_passwd_cb_userdata(context, NULL);
  if (works) {
    return 0;
  }
  return refuse_file("key", path, asked ? "it is behind a password" : reason(), why, why_size);
}

static int load_files(SSL_CTX *context, const rlc__tls_config *config, char *why,
                      size_t why_size) {
  const char *key = config->key != NULL ? config->key : config->cert;
  struct stat info;

  ERR_clear_error();
  SSL_CTX_set_default_passwd_cb(context, no_password);
  if (config->ca == NULL) {
    if (SSL_CTX_set_default_verify_paths(context) != 1) {
      return rlc__fail(RLC_ERR_SYSTEM, why, why_size, "the system's authorities cannot be read");
    }
  } else {
    int folder = stat(config->ca, &info) == 0 && S_ISDIR(info.st_mode);

    if (SSL_CTX_load_verify_locations(context, folder ? NULL : config->ca,
                                      folder ? config->ca : NULL) != 1) {
      return refuse_file("ca", config->ca, reason(), why, why_size);
    }
  }
  if (config->cert != NULL && SSL_CTX_use_certificate_chain_file(context, config->cert) != 1) {
    return refuse_file("cert", config->cert, reason(), why, why_size);
  }
  return key != NULL ? load_key(context, key, why, why_size) : 0;
}

int rlc__tls_new(rlc__tls **out, const rlc__tls_config *config, const rlc_memory *memory, char *why,
                 size_t why_size) {
  rlc__tls *tls = rlc__calloc(memory, 1, sizeof *tls);
  int rv = RLC_ERR_NOMEM;

  *out = NULL;
  if (tls == NULL) {
    return rlc__fail(RLC_ERR_NOMEM, why, why_size, "out of memory");
  }
  tls->memory = *memory;
  tls->context = SSL_CTX_new(TLS_client_method());
  tls->socket = BIO_meth_new(socket_type(), "rlcore socket");
  if (config->sni != NULL) {
    tls->sni = rlc__strndup(memory, config->sni, strlen(config->sni));
  }
  tls->kept = tls->context != NULL && tls->socket != NULL && rlc__gate_keep() == 0;
  if (tls->kept &&
      (config->sni == NULL || tls->sni != NULL) &&
      SSL_CTX_set_min_proto_version(tls->context, TLS1_2_VERSION) == 1 &&
      BIO_meth_set_write(tls->socket, bio_write) == 1 &&
      BIO_meth_set_read(tls->socket, bio_read) == 1 &&
      BIO_meth_set_ctrl(tls->socket, bio_ctrl) == 1) {
    SSL_CTX_set_verify(tls->context, SSL_VERIFY_PEER, NULL);
    /* Nobody needs it, and it would have a write wait for a read. */
    (void)SSL_CTX_set_options(tls->context, SSL_OP_NO_RENEGOTIATION);
    rv = load_files(tls->context, config, why, why_size);
  } else {
    (void)rlc__fail(rv, why, why_size, "out of memory");
  }
  if (rv != 0) {
    rlc__tls_del(tls);
    return rv;
  }
  *out = tls;
  return 0;
}

void rlc__tls_del(rlc__tls *tls) {
  rlc_memory memory;

  if (tls == NULL) {
    return;
  }
  if (!rlc__gate_is_closed()) {
    SSL_CTX_free(tls->context);
    BIO_meth_free(tls->socket);
  }
  if (tls->kept) {
    rlc__gate_drop();
  }
  memory = tls->memory;
  rlc__free(&memory, tls->sni);
  rlc__free(&memory, tls);
}

/* --- sessions ------------------------------------------------------------------------------ */

/* Asks for and verifies |name|. */
static int expect(SSL *ssl, const char *name) {
  unsigned char address[16];
  X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

  if (inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1) {
    return X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1;
  }
  X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  return X509_VERIFY_PARAM_set1_host(param, name, 0) == 1 &&
         SSL_set_tlsext_host_name(ssl, name) == 1;
}

SSL *rlc__tls_session(const rlc__tls *tls, rlc__tls_wire *wire, const char *host) {
  SSL *ssl = SSL_new(tls->context);
  BIO *bio = BIO_new(tls->socket);

  if (ssl == NULL || bio == NULL || !expect(ssl, tls->sni != NULL ? tls->sni : host)) {
    SSL_free(ssl);
    BIO_free(bio);
    return NULL;
  }
  BIO_set_data(bio, wire);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl, bio, bio);
  SSL_set_connect_state(ssl);
  return ssl;
}

/* What to write in the URL against |verdict|. */
static const char *advice_on(long verdict) {
  switch (verdict) {
  case X509_V_ERR_HOSTNAME_MISMATCH:
  case X509_V_ERR_IP_ADDRESS_MISMATCH:
    return ": write the name that it is made out to as the host, or as \"sni=\"";
  case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
  case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
  case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
  case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
  case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    return ": name the authority that signed it with \"ca=\"";
  default:
    return "";
  }
}

void rlc__tls_reason(char *why, size_t why_size) {
  unsigned long code = ERR_peek_error();

  switch (ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0) {
  case SSL_R_WRONG_VERSION_NUMBER:
  case SSL_R_PACKET_LENGTH_TOO_LONG:
    (void)rlc__fail(0, why, why_size,
                    "the server speaks no TLS: write redis:// instead of rediss://, or the port at "
                    "which it does");
    break;
  case SSL_R_UNSUPPORTED_PROTOCOL:
  case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
    (void)rlc__fail(0, why, why_size, "the server speaks no TLS of version 1.2 or later");
    break;
  case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
    (void)rlc__fail(0, why, why_size,
                    "the server wants to see a certificate: write \"cert=\" and \"key=\"");
    break;
  case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
    (void)rlc__fail(0, why, why_size,
                    "TLS failed: %s (the server may want to see a certificate: write \"cert=\" and "
                    "\"key=\")",
                    reason());
    break;
  case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
  case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
  case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
  case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    (void)rlc__fail(0, why, why_size,
                    "the server does not accept the certificate of \"cert=\": %s", reason());
    break;
  default:
    (void)rlc__fail(0, why, why_size, "TLS failed: %s", reason());
  }
}

void rlc__tls_explain(const SSL *ssl, int rv, char *why, size_t why_size) {
  int error = errno;
  long verdict = SSL_get_verify_result(ssl);

  if (verdict != X509_V_OK) {
    (void)rlc__fail(0, why, why_size, "the server's certificate does not verify: %s%s",
                    X509_verify_cert_error_string(verdict), advice_on(verdict));
  } else if (ERR_peek_error() != 0) {
    rlc__tls_reason(why, why_size);
  } else if (rv < 0 && error != 0) {
    (void)rlc__fail(0, why, why_size, "the connection was lost during TLS's handshake: %s",
                    strerror(error));
  } else {
    (void)rlc__fail(0, why, why_size, "the server ended the connection during TLS's handshake");
  }
}
