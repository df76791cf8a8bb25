/* SPDX-License-Identifier: Apache-2.0 */
#include "store/table.h"

/* `memory:` has nothing to recover: the table is as old as the process. */
int rlc__memory_store_new(rlc__store **out, const rlc__url *url, const rlc_options *options,
                          char *why, size_t why_size) {
  rlc__region region;
  int rv = rlc__region_new_private(&region, rlc__region_slots(url->slots), why, why_size);

  *out = NULL;
  return rv == 0 ? rlc__table_store_new(out, &region, -1, 0, options, why, why_size) : rv;
}

int rlc__anonymous_store_new(rlc__store **out, uint64_t slots, const rlc_options *options,
                             char *why, size_t why_size) {
  rlc__region region;
  int rv = rlc__region_new_anonymous(&region, rlc__region_slots(slots), why, why_size);

  *out = NULL;
  return rv == 0 ? rlc__table_store_new(out, &region, -1, 0, options, why, why_size) : rv;
}
