/* SPDX-License-Identifier: Apache-2.0 */
#include "base/options.h"

#include <string.h>

#include "base/memory.h"

#define MIN_TIMEOUT_US INT64_C(1000)
#define MAX_TIMEOUT_US INT64_C(60000000)
#define MIN_SECRET 16
#define MAX_SECRET 1024

int rlc_options_new(rlc_options **out, const rlc_memory *memory) {
  rlc_options *options;

  memory = rlc__memory_or_default(memory);
  *out = options = rlc__calloc(memory, 1, sizeof *options);
  if (options == NULL) {
    return RLC_ERR_NOMEM;
  }
  options->memory = *memory;
  options->shm_fd = -1;
  return 0;
}

static void drop_secret(rlc_options *options) {
  if (options->secret != NULL) {
    rlc__wipe(options->secret, options->secret_size);
    rlc__free(&options->memory, options->secret);
  }
  options->secret = NULL;
  options->secret_size = 0;
  options->set &= ~(unsigned)RLC__OPT_SECRET;
}

void rlc_options_del(rlc_options *options) {
  rlc_memory memory;

  if (options == NULL) {
    return;
  }
  drop_secret(options);
  memory = options->memory;
  rlc__free(&memory, options);
}

void rlc_options_set_log(rlc_options *options, rlc_log_fn *log, void *user) {
  options->log.fn = log;
  options->log.user = user;
}

void rlc_options_set_display(rlc_options *options, int on) {
  options->display = on != 0;
}

int rlc_options_set_timeout_us(rlc_options *options, int64_t timeout_us) {
  if (timeout_us < MIN_TIMEOUT_US || timeout_us > MAX_TIMEOUT_US) {
    return RLC_ERR_INVALID;
  }
  options->timeout_us = timeout_us;
  options->set |= RLC__OPT_TIMEOUT;
  return 0;
}

int rlc_options_set_fail(rlc_options *options, rlc_fail fail) {
  switch (fail) {
  case RLC_FAIL_DEFAULT:
    options->set &= ~(unsigned)RLC__OPT_FAIL;
    break;
  case RLC_FAIL_LOCAL:
  case RLC_FAIL_OPEN:
  case RLC_FAIL_CLOSED:
    options->set |= RLC__OPT_FAIL;
    break;
  default:
    return RLC_ERR_INVALID;
  }
  options->fail = fail;
  return 0;
}

int rlc_options_set_secret(rlc_options *options, const void *secret, size_t size) {
  void *copy;

  if (secret == NULL || size < MIN_SECRET || size > MAX_SECRET) {
    return RLC_ERR_INVALID;
  }
  copy = rlc__calloc(&options->memory, 1, size);
  if (copy == NULL) {
    return RLC_ERR_NOMEM; /* the secret set before stays */
  }
  memcpy(copy, secret, size);
  drop_secret(options);
  options->secret = copy;
  options->secret_size = size;
  options->set |= RLC__OPT_SECRET;
  return 0;
}

void rlc_options_set_shm_fd(rlc_options *options, int fd) {
  options->shm_fd = fd >= 0 ? fd : -1;
  if (fd >= 0) {
    options->set |= RLC__OPT_SHM_FD;
  } else {
    options->set &= ~(unsigned)RLC__OPT_SHM_FD;
  }
}

void rlc_options_set_test_clock(rlc_options *options, rlc_clock_fn *clock, void *user) {
  options->clock = clock;
  options->clock_user = clock != NULL ? user : NULL;
  if (clock != NULL) {
    options->set |= RLC__OPT_CLOCK;
  } else {
    options->set &= ~(unsigned)RLC__OPT_CLOCK;
  }
}
