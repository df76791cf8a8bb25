/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_TEST_REDIS_SERVER_H
#define RLCORE_TEST_REDIS_SERVER_H

#include <sys/types.h>

/* A redis-server of the test's own (the program that RLC_REDIS_SERVER names): a unix socket in a
 * temporary folder, no port, no files kept. */
typedef struct redis_server {
  pid_t pid;
  char folder[64];
  char socket[96];
  unsigned port; /* of a cluster, which has one; else 0 */
  char url[160]; /* redis+unix://..., of a user who may do what rlc_redis_format_acl writes */
} redis_server;

/* Starts it and waits until it answers. Returns 0, or -1 with a sentence on stderr. */
int redis_server_start(redis_server *server);
/* The same, a cluster of one; |server->url| says so. */
int redis_server_start_cluster(redis_server *server);
/* Ends it and starts it again, with nothing in it, where it was. Returns as redis_server_start. */
int redis_server_restart(redis_server *server);
/* Runs |command|, words without spaces. Returns 0, or -1 for an error reply or none. */
int redis_server_command(const redis_server *server, const char *command);
/* Lets the user of |url|, which is server->url with options behind it, do what the library says
 * that it has to, and nothing else. Returns 0, or -1 with a sentence on stderr. */
int redis_server_allow(const redis_server *server, const char *url);
/* Ends it by its pid and removes the folder. */
void redis_server_stop(redis_server *server);

#endif
