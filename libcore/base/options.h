/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_OPTIONS_H
#define RLCORE_OPTIONS_H

#include "base/log.h"
#include "rlcore/rlcore.h"

/* Which members were set; the others take the default of whoever reads them. */
enum {
  RLC__OPT_TIMEOUT = 1u << 0,
  RLC__OPT_FAIL = 1u << 1,
  RLC__OPT_SECRET = 1u << 2,
  RLC__OPT_SHM_FD = 1u << 3,
  RLC__OPT_CLOCK = 1u << 4
};

struct rlc_options {
  rlc_memory memory;
  unsigned set;
  rlc__log log;
  int64_t timeout_us;
  rlc_fail fail;
  void *secret;
  size_t secret_size;
  int shm_fd;
  int display;
  rlc_clock_fn *clock;
  void *clock_user;
};

#endif
