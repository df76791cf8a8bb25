/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_ERROR_H
#define RLCORE_ERROR_H

#include <stdarg.h>
#include <stddef.h>

#include "rlcore/rlcore.h"

/* What goes wrong between the library's own parts, in a range of its own so that none of it leaves
 * the library unnoticed. Stores answer these; the guard turns them into fail-policy decisions. */
typedef enum rlc__error {
  RLC__ERR_TIMEOUT = -101,      /* the deadline passed; a command may still be charged */
  RLC__ERR_UNAVAILABLE = -102,  /* no connection, or it was lost */
  RLC__ERR_REFUSED = -103,      /* the server answered with an error */
  RLC__ERR_STATE = -105,        /* one key holds what is no state of ours; others may be well */
  RLC__ERR_PROTOCOL = -104,     /* the server answered what no such server answers */
  RLC__ERR_PART = -106          /* no connection to one of several servers; others are well */
} rlc__error;

/* Write a sentence into |why| (NULL or |size| 0: nothing), cut to fit, and return |error|. Bytes
 * outside printable ASCII are the caller's to escape: see rlc__printable. */
int rlc__fail(int error, char *why, size_t size, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
int rlc__vfail(int error, char *why, size_t size, const char *format, va_list args)
    __attribute__((format(printf, 4, 0)));

/* Writes |text| of |len| bytes to |buf| with every byte outside printable ASCII, and the
 * backslash and quote, as \xNN, cut to |size| with "..." at the end. Returns |buf|. */
const char *rlc__printable(char *buf, size_t size, const char *text, size_t len);

#endif
