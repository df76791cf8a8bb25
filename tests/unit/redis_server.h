/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_TEST_REDIS_SERVER_H
#define RLCORE_TEST_REDIS_SERVER_H

#include <sys/types.h>

/* A redis-server of the test's own: a unix socket in a temporary folder, no port, no files kept. */
typedef struct redis_server {
  pid_t pid;
  char folder[64];
  char socket[96];
  char url[160]; /* redis+unix://... */
} redis_server;

/* Starts it and waits until it answers. Returns 0, or -1 with a sentence on stderr. */
int redis_server_start(redis_server *server);
/* Ends it by its pid and removes the folder. */
void redis_server_stop(redis_server *server);

#endif
