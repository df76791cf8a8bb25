/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "http/writer.h"
#include "rlcore/rlcore.h"

enum { SECRET_MIN = 16, SHOWN = 12, DIGEST = 32 };

size_t rlc_http_format_partition(char *buf, size_t size, const void *secret, size_t secret_size,
                                 const rlc_limit *limit) {
  rlc__writer w = {buf, size, 0};
  /* A word of its own, so that this hash is no other's, and then the digests of key and group: two
   * of one length each, so that nothing can move from the one to the other. */
  unsigned char bytes[3 + 2 * DIGEST] = "pk";
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned char text[SHOWN / 3 * 4 + 1];

  if (secret != NULL && secret_size >= SECRET_MIN && secret_size <= RLC_MAX_KEY &&
      EVP_Digest(limit->key, limit->key_len, bytes + 3, NULL, EVP_sha256(), NULL) == 1 &&
      EVP_Digest(limit->group, limit->group_len, bytes + 3 + DIGEST, NULL, EVP_sha256(), NULL) ==
          1 &&
      HMAC(EVP_sha256(), secret, (int)secret_size, bytes, sizeof bytes, digest, NULL) != NULL) {
    rlc__write_text(&w, ";pk=:");
    rlc__write(&w, (const char *)text, (size_t)EVP_EncodeBlock(text, digest, SHOWN));
    rlc__write(&w, ":", 1);
  }
  return rlc__write_end(&w);
}
