/* SPDX-License-Identifier: Apache-2.0 */

/* Preloaded, it makes getaddrinfo hang for as long as the file HANGS_WHILE exists, or take LOOKUP_MS
 * milliseconds: a name service that does not answer, or late. Addresses are not looked up. */

#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static int is_address(const char *host) {
  unsigned char address[16];

  return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

int getaddrinfo(const char *restrict host, const char *restrict service,
                const struct addrinfo *restrict hints, struct addrinfo **restrict found) {
  int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
  const struct timespec pause = {0, 10000000};
  const char *file = getenv("HANGS_WHILE");
  const char *ms = getenv("LOOKUP_MS");

  for (long i = ms != NULL && host != NULL && !is_address(host) ? atol(ms) : 0; i > 0; i -= 10) {
    nanosleep(&pause, NULL);
  }
  while (file != NULL && host != NULL && !is_address(host) && access(file, F_OK) == 0) {
    nanosleep(&pause, NULL);
  }
  *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
  return real(host, service, hints, found);
}
