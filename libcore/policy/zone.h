/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_ZONE_H
#define RLCORE_ZONE_H

#include <stddef.h>
#include <stdint.h>

#include "rlcore/rlcore.h"

/*
 * Time zones, read from the system's files (TZif, RFC 8536 and 9636) and never from the process's
 * TZ. A zone does not change once it is loaded, and threads share it; who keeps one has a reference.
 * In the functions below a zone that is NULL is UTC.
 *
 * What is told holds up to the end of 2107: a state keeps the end of its window in 32 bits.
 */
typedef struct rlc__zone rlc__zone;

/* The longest name, without the NUL; the longest there is has 32 characters. */
#define RLC__ZONE_NAME 40

/* Loads the zone |name|, of |len| bytes. |*out| is NULL for UTC under any name. Returns 0,
 * RLC_ERR_POLICY with a sentence in |why|, or RLC_ERR_NOMEM. */
int rlc__zone_load(rlc__zone **out, const char *name, size_t len, const rlc_memory *memory,
                   char *why, size_t why_size);

/* Makes a zone of the bytes of its file. Returns 0; RLC_ERR_POLICY with the end of a sentence in
 * |why| ("is damaged"); or RLC_ERR_NOMEM. */
int rlc__zone_read(rlc__zone **out, const unsigned char *data, size_t size,
                   const rlc_memory *memory, char *why, size_t why_size);

/* Returns |zone| with one reference more. */
rlc__zone *rlc__zone_keep(rlc__zone *zone);
/* Gives a reference back. */
void rlc__zone_del(rlc__zone *zone);

/* Returns how many seconds local time is ahead of UTC at |at_s|, and in |*until_s| when that ends:
 * INT64_MAX for never. */
int64_t rlc__zone_ahead(const rlc__zone *zone, int64_t at_s, int64_t *until_s);

/* Whether local time is UTC, at all times. */
int rlc__zone_is_utc(const rlc__zone *zone);

/* For tests: where the files lie, in place of /usr/share/zoneinfo; NULL takes it back. */
void rlc__zone_set_folder(const char *folder);

#endif
