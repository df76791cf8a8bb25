/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RATELIMIT_WIRE_H
#define RATELIMIT_WIRE_H

#include "module.h"

/*
 * Counts the bytes of an answer's body as they leave for the network: after compression and ranges,
 * before what the protocol adds (chunks, frames, TLS). httpd hands a file of any size to the network
 * in one piece, and writes it while the client reads; its own count (r->bytes_sent) is of what was
 * handed over, and says a gigabyte where the client has left after the first packet.
 */
typedef struct ratelimit_wire ratelimit_wire;

/* Counts for |r| from now on, and frees the counter with it. */
ratelimit_wire *ratelimit_wire_start(request_rec *r);
/* Of what a client that has left did not read, at most RATELIMIT_WIRE_STEP bytes are counted, beside
 * what waits in buffers of TLS, HTTP/2 and the kernel. */
#define RATELIMIT_WIRE_STEP 262144
apr_uint64_t ratelimit_wire_bytes(const ratelimit_wire *wire);

void ratelimit_register_wire(apr_pool_t *pool);

#endif
