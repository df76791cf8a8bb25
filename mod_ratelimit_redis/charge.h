/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RATELIMIT_CHARGE_H
#define RATELIMIT_CHARGE_H

#include <ap_expr.h>

#include "module.h"
#include "statuses.h"

/* What a limit charges once the answer is known. Until then its cost= is reserved. */
typedef enum ratelimit_charge_kind {
  RATELIMIT_CHARGE_NONE = 0,  /* the cost, and nothing more */
  RATELIMIT_CHARGE_STATUS,    /* the cost, where the answer has one of some statuses; else nothing */
  RATELIMIT_CHARGE_BYTES,     /* of the answer's body, as they were sent */
  RATELIMIT_CHARGE_KBYTES,    /* the same in thousands, rounded up */
  RATELIMIT_CHARGE_TIME,      /* milliseconds from the request to the end of the answer, rounded up */
  RATELIMIT_CHARGE_HEADER,    /* a number in a field of the answer */
  RATELIMIT_CHARGE_EXPR       /* what an expression gives */
} ratelimit_charge_kind;

typedef struct ratelimit_charge {
  ratelimit_charge_kind kind;
  ratelimit_statuses statuses;
  const char *header;
  int removes;                 /* the field is taken out of the answer */
  const ap_expr_info_t *expr;
} ratelimit_charge;

/* Reads the value of charge=. |flags| are those of ap_expr_parse_cmd. Returns NULL, or a sentence. */
const char *ratelimit_read_charge(cmd_parms *cmd, const char *text, unsigned flags,
                                  ratelimit_charge *charge);

#endif
