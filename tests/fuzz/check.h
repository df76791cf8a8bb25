/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_CHECK_H
#define FUZZ_CHECK_H

#include <hiredis/hiredis.h>
#include <stddef.h>
#include <stdint.h>

/* What the fuzz targets have in common. */

/* The target: any |size| bytes at |data|. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the process with a word of what does not hold. */
#define CHECK(holds) ((holds) ? (void)0 : check_failed(#holds, __FILE__, __LINE__))
_Noreturn void check_failed(const char *what, const char *file, int line);

/* |text| is printable ASCII and ends within |size| bytes. */
void check_printable(const char *text, size_t size);

/* Gives |reply| to every function that reads what a server says of the topology. */
void check_topology(const redisReply *reply);
/* The text that INFO answers, likewise. */
void check_advice(const char *info, size_t len);

#endif
