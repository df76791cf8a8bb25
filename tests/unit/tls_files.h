/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_TEST_TLS_FILES_H
#define RLCORE_TEST_TLS_FILES_H

/*
 * Certificates and keys of a test's own, PEM files in a temporary folder. All are signed by the
 * authority of "ca.pem", which also lies in the folder "authorities" as c_rehash would leave it:
 *
 *   server.pem   for localhost, 127.0.0.1 and ::1
 *   other.pem    for elsewhere.example only
 *   expired.pem  as server.pem, until yesterday
 *   client.pem   for a client; client.key is its key, locked.key the same behind a password
 *   stray.pem    an authority that signed none of them
 *
 * Each NAME.pem has its key in NAME.key.
 */
typedef struct tls_files {
  char folder[64];
  char path[16][128];
  int paths;
} tls_files;

/* Makes them. Returns 0, or -1 with a sentence on stderr. */
int tls_files_make(tls_files *files);
void tls_files_remove(tls_files *files);
/* The path of |name|. Good for the next fifteen calls. */
const char *tls_files_path(tls_files *files, const char *name);

#endif
