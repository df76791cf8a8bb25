/* SPDX-License-Identifier: Apache-2.0 */

/* What says that a limit has been charged already. The first byte says as what the others are read: a
 * list that no client can set; a field, which no stranger can make; or a field whose text is a
 * stranger's and whose authentication is right. */

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "check.h"
#include "rlcore/rlcore.h"

#define SECRET "a secret of sixteen bytes, or more"
#define NOW_US INT64_C(1800000000000000)
#define MINUTE_US INT64_C(60000000)

/* Writes |text|, a space, and what authenticates it. Returns the length. */
static size_t sign(char *to, const uint8_t *text, size_t len) {
  static const char head[] = "ratelimit-charged ";
  unsigned char *all = malloc(sizeof head - 1 + len);
  unsigned char mac[EVP_MAX_MD_SIZE];
  unsigned mac_len = 0;
  char base64[48];

  CHECK(all != NULL);
  memcpy(all, head, sizeof head - 1);
  memcpy(all + sizeof head - 1, text, len);
  CHECK(HMAC(EVP_sha256(), SECRET, sizeof SECRET - 1, all, sizeof head - 1 + len, mac, &mac_len) != NULL);
  free(all);
  CHECK(EVP_EncodeBlock((unsigned char *)base64, mac, (int)mac_len) == 44);
  for (int i = 0; i < 43; ++i) {
    base64[i] = (char)(base64[i] == '+' ? '-' : base64[i] == '/' ? '_' : base64[i]);
  }
  memcpy(to, text, len);
  to[len] = ' ';
  memcpy(to + len + 1, base64, 43);
  return len + 44;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static rlc_policy *policy;
  rlc_limit limits[2] = {RLC_LIMIT_INIT, RLC_LIMIT_INIT};
  uint64_t charged[2] = {7, 7};
  char *text;
  size_t len;
  int rv;

  if (size == 0) {
    return 0;
  }
  if (policy == NULL) {
    CHECK(rlc_policy_new(&policy, "api", "100/min", NULL, NULL, 0) == 0);
  }
  limits[0].policy = limits[1].policy = policy;
  limits[0].key = limits[1].key = "alice";
  limits[0].key_len = limits[1].key_len = 5;
  limits[1].group = "all";
  limits[1].group_len = 3;
  text = malloc(size + 44); /* as long as the text: a byte too far is seen */
  CHECK(text != NULL);
  if (data[0] % 3 == 2) {
    len = sign(text, data + 1, size - 1);
  } else {
    len = size - 1;
    memcpy(text, data + 1, len);
  }
  rv = rlc_http_parse_charged(text, len, SECRET, sizeof SECRET - 1,
                              data[0] % 3 == 0 ? RLC_NEVER : NOW_US, MINUTE_US, limits, 2, charged);
  CHECK(rv == 0 || rv == RLC_ERR_FOREIGN);
  for (int i = 0; i < 2; ++i) {
    CHECK(charged[i] <= RLC_MAX_LIMITS * (uint64_t)RLC_MAX_QUOTA);
    CHECK(rv == 0 || charged[i] == 0);
  }
  CHECK(data[0] % 3 != 1 || rv != 0); /* nobody guesses that */
  free(text);
  return 0;
}
