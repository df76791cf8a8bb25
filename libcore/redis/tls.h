/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_TLS_H
#define RLCORE_TLS_H

#include <openssl/ssl.h>
#include <stddef.h>

#include "rlcore/rlcore.h"

/*
 * TLS as a client: version 1.2 or later, the server's certificate and its host name verified,
 * always. The settings of one store; immutable, so that threads and forked children share them.
 */
typedef struct rlc__tls rlc__tls;

typedef struct rlc__tls_config {
  const char *ca;   /* a PEM file, or a folder of c_rehash, of authorities; NULL: the system's */
  const char *cert; /* a PEM file with our certificate and its chain; NULL: none is shown */
  const char *key;  /* a PEM file with its private key; NULL: it is in |cert| */
  const char *sni;  /* the name asked for and verified, whatever host is connected to; NULL: the
                       host's own */
} rlc__tls_config;

/* Reads the files. Returns 0; RLC_ERR_URL for a file that cannot be used, with a sentence in |why|
 * that names the option (ca=, cert=, key=) and the reason; RLC_ERR_NOMEM. */
int rlc__tls_new(rlc__tls **out, const rlc__tls_config *config, const rlc_memory *memory, char *why,
                 size_t why_size);
void rlc__tls_del(rlc__tls *tls);

/* Between a session and its non-blocking socket. OpenSSL never learns that the socket is full: it
 * would want the same call again and no other, and breaks where a second change of keys falls into
 * that time. What the socket does not take lies here until it does. */
#define RLC__TLS_RECORD ((size_t)16 * 1024) /* the most bytes that TLS sends as one record */

typedef struct rlc__tls_wire {
  int fd;
  size_t at; /* of |out|: where what is left begins */
  size_t len; /* how much that is */
  char record[RLC__TLS_RECORD]; /* for the stream: what becomes one record */
  char out[RLC__TLS_RECORD + 4096]; /* one record, and what TLS has to say itself */
} rlc__tls_wire;

/* Sends what is left, with MSG_NOSIGNAL. Returns 0 once nothing is; else -1 with errno, EAGAIN for
 * a full socket. */
int rlc__tls_drain(rlc__tls_wire *wire);

/* Returns a session, not yet shaken hands, over |wire| to a server called |host|, or NULL without
 * memory. SSL_free ends it without a word, and does not close the socket. */
SSL *rlc__tls_session(const rlc__tls *tls, rlc__tls_wire *wire, const char *host);

/* A sentence of what went wrong in |ssl|'s handshake, which returned |rv| and errno: a certificate
 * that does not verify says why ("certificate has expired"), a server that speaks no TLS says so. */
void rlc__tls_explain(const SSL *ssl, int rv, char *why, size_t why_size);
/* The same of what this thread's last call on a session that has shaken hands left in OpenSSL's
 * error queue. */
void rlc__tls_reason(char *why, size_t why_size);

#endif
