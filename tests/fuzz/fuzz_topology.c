/* SPDX-License-Identifier: Apache-2.0 */

/* What servers say of slots, masters, roles and settings. The first reply in the input is read as
 * each of them; the input itself is a key that has a slot, and what INFO answers. */

#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "redis/cluster.h"
#include "redis/reader.h"
#include "rlcore/rlcore.h"

/* A bit at a time: slower than the library's and told otherwise. */
static unsigned plain_crc16(const uint8_t *bytes, size_t len) {
  unsigned crc = 0;

  for (size_t i = 0; i < len; ++i) {
    crc ^= (unsigned)bytes[i] << 8;
    for (int bit = 0; bit < 8; ++bit) {
      crc = crc & 0x8000 ? (crc << 1 ^ 0x1021) & 0xffff : crc << 1;
    }
  }
  return crc;
}

static void check_slot(const uint8_t *key, size_t len) {
  size_t first = 0;
  size_t last;

  while (first < len && key[first] != '{') {
    ++first;
  }
  last = first + 1;
  while (last < len && key[last] != '}') {
    ++last;
  }
  if (first < len && last < len && last > first + 1) {
    CHECK(rlc__cluster_slot((const char *)key, len) ==
          plain_crc16(key + first + 1, last - first - 1) % RLC__SLOTS);
  } else {
    CHECK(rlc__cluster_slot((const char *)key, len) == plain_crc16(key, len) % RLC__SLOTS);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  /* A copy of exactly that size, so that a byte read too many is seen. */
  char *bytes = calloc(1, size > 0 ? size : 1);
  char why[RLC_MESSAGE_SIZE] = "";
  rlc__reader reader = {0};
  redisReply *reply = NULL;

  CHECK(bytes != NULL);
  if (size > 0) {
    memcpy(bytes, data, size);
  }
  check_slot((const uint8_t *)bytes, size);
  check_advice(bytes, size);
  CHECK(rlc__reader_open(&reader, why, sizeof why) == 0);
  CHECK(rlc__reader_feed(&reader, bytes, size, why, sizeof why) == 0);
  if (rlc__reader_next(&reader, &reply, why, sizeof why) == 0 && reply != NULL) {
    check_topology(reply);
    freeReplyObject(reply);
  }
  rlc__reader_close(&reader);
  free(bytes);
  return 0;
}
