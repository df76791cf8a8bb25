/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RATELIMIT_OPTION_H
#define RATELIMIT_OPTION_H

#include "line.h"
#include "text.h"

/* Reads the options of a RateLimit, all that follows its policy, into |line|. |rest| is cut up.
 * Returns NULL, or a sentence. */
const char *ratelimit_read_options(cmd_parms *cmd, ratelimit_line *line, char *rest);

/* Returns what is wrong with the quotes in a directive's arguments, or NULL. */
const char *ratelimit_bad_quotes(cmd_parms *cmd, ratelimit_words got);

#endif
