/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_SUGGEST_H
#define RLCORE_SUGGEST_H

#include <stddef.h>

/* Returns which of the |n| |words| was most likely meant by |text| of |len| bytes, or NULL: at most
 * two letters wrong, missing, extra or swapped, and not all of them. Case does not count. */
const char *rlc__suggest(const char *text, size_t len, const char *const *words, size_t n);

#endif
