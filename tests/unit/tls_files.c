/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_files.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY (24L * 60 * 60)

static const char *const names[] = {"ca",     "stray",  "server",   "other",  "expired",
                                    "client"};

static void must(int works, const char *what) {
  if (!works) {
    fprintf(stderr, "%s does not work\n", what);
    abort();
  }
}

const char *tls_files_path(tls_files *files, const char *name) {
  char *path = files->path[files->paths++ % 16];
  size_t len = strlen(files->folder);

  memcpy(path, files->folder, len);
  snprintf(path + len, sizeof files->path[0] - len, "/%s", name);
  return path;
}

static FILE *create(tls_files *files, const char *name, const char *ending) {
  char full[32];
  FILE *out;

  snprintf(full, sizeof full, "%s%s", name, ending);
  out = fopen(tls_files_path(files, full), "w");
  must(out != NULL, "fopen");
  return out;
}

static void extend(X509 *cert, X509 *issuer, int nid, const char *value) {
  X509V3_CTX context;
  X509_EXTENSION *extension;

  X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
  extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
  must(extension != NULL && X509_add_ext(cert, extension, -1) == 1, "X509_add_ext");
  X509_EXTENSION_free(extension);
}

static EVP_PKEY *make_key(void) {
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_id(EVP_PKEY_EC, NULL);
  EVP_PKEY *key = NULL;

  must(context != NULL && EVP_PKEY_keygen_init(context) == 1 &&
           EVP_PKEY_CTX_set_ec_paramgen_curve_nid(context, NID_X9_62_prime256v1) == 1 &&
           EVP_PKEY_keygen(context, &key) == 1,
       "EVP_PKEY_keygen");
  EVP_PKEY_CTX_free(context);
  return key;
}

/* Makes a certificate with its key, signed by |issuer| (NULL: by itself, an authority), and writes
 * both. |alt| is what it is for. */
static X509 *make(tls_files *files, const char *name, const char *alt, long until, X509 *issuer,
                  EVP_PKEY *issuer_key, EVP_PKEY **key) {
  static long serial = 1;
  X509 *cert = X509_new();
  X509_NAME *subject = X509_get_subject_name(cert);
  FILE *out;

  *key = make_key();
  must(X509_set_version(cert, 2) && ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++) &&
           X509_gmtime_adj(X509_getm_notBefore(cert), -2 * DAY) != NULL &&
           X509_gmtime_adj(X509_getm_notAfter(cert), until) != NULL &&
           X509_set_pubkey(cert, *key) &&
           X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1,
                                      -1, 0) &&
           X509_set_issuer_name(cert, issuer != NULL ? X509_get_subject_name(issuer) : subject),
       "X509");
  if (issuer == NULL) {
    extend(cert, cert, NID_basic_constraints, "critical,CA:TRUE");
    extend(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign");
  } else if (alt != NULL) {
    extend(cert, issuer, NID_subject_alt_name, alt);
  }
  must(X509_sign(cert, issuer != NULL ? issuer_key : *key, EVP_sha256()) > 0, "X509_sign");
  out = create(files, name, ".pem");
  must(PEM_write_X509(out, cert) == 1 && fclose(out) == 0, "PEM_write_X509");
  out = create(files, name, ".key");
  must(PEM_write_PrivateKey(out, *key, NULL, NULL, 0, NULL, NULL) == 1 && fclose(out) == 0,
       "PEM_write_PrivateKey");
  return cert;
}

int tls_files_make(tls_files *files) {
  static const char here[] = "DNS:localhost,IP:127.0.0.1,IP:::1";
  const struct {
    const char *name;
    const char *alt;
    long until;
  } leaf[] = {{"server", here, DAY},
              {"other", "DNS:elsewhere.example", DAY},
              {"expired", here, -DAY},
              {"client", NULL, DAY}};
  char hash[32];
  EVP_PKEY *ca_key, *key;
  X509 *ca, *cert;
  FILE *out;

  memset(files, 0, sizeof *files);
  snprintf(files->folder, sizeof files->folder, "/tmp/rlcore-tls-XXXXXX");
  if (mkdtemp(files->folder) == NULL || mkdir(tls_files_path(files, "authorities"), 0700) != 0) {
    perror(files->folder);
    return -1;
  }
  ca = make(files, "ca", NULL, DAY, NULL, NULL, &ca_key);
  snprintf(hash, sizeof hash, "authorities/%08lx.0", X509_subject_name_hash(ca));
  must(symlink("../ca.pem", tls_files_path(files, hash)) == 0, "symlink");
  cert = make(files, "stray", NULL, DAY, NULL, NULL, &key);
  X509_free(cert);
  EVP_PKEY_free(key);
  for (size_t i = 0; i < sizeof leaf / sizeof *leaf; ++i) {
    cert = make(files, leaf[i].name, leaf[i].alt, leaf[i].until, ca, ca_key, &key);
    if (strcmp(leaf[i].name, "client") == 0) {
      out = create(files, "locked", ".key");
      must(PEM_write_PKCS8PrivateKey(out, key, EVP_aes_256_cbc(), "secret", 6, NULL, NULL) == 1 &&
               fclose(out) == 0,
           "PEM_write_PKCS8PrivateKey");
    }
    X509_free(cert);
    EVP_PKEY_free(key);
  }
  X509_free(ca);
  EVP_PKEY_free(ca_key);
  return 0;
}

void tls_files_remove(tls_files *files) {
  char name[32];
  char hash[32] = "";
  FILE *in = fopen(tls_files_path(files, "ca.pem"), "r");
  X509 *ca = in != NULL ? PEM_read_X509(in, NULL, NULL, NULL) : NULL;

  if (in != NULL) {
    fclose(in);
  }
  if (ca != NULL) {
    snprintf(hash, sizeof hash, "authorities/%08lx.0", X509_subject_name_hash(ca));
    unlink(tls_files_path(files, hash));
    X509_free(ca);
  }
  for (size_t i = 0; i < sizeof names / sizeof *names; ++i) {
    snprintf(name, sizeof name, "%s.pem", names[i]);
    unlink(tls_files_path(files, name));
    snprintf(name, sizeof name, "%s.key", names[i]);
    unlink(tls_files_path(files, name));
  }
  unlink(tls_files_path(files, "locked.key"));
  rmdir(tls_files_path(files, "authorities"));
  rmdir(files->folder);
}
