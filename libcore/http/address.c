/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>

#include "http/writer.h"
#include "rlcore/rlcore.h"

static const unsigned char v4_mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* Reads |text| without its zone into |bytes|. Returns how many bytes the address has, or 0. */
static size_t read_address(const char *text, unsigned char bytes[16]) {
  char copy[INET6_ADDRSTRLEN];
  size_t len = strcspn(text, "%");

  if (inet_pton(AF_INET, text, bytes) == 1) {
    return 4;
  }
  if (len >= sizeof copy) {
    return 0;
  }
  memcpy(copy, text, len);
  copy[len] = '\0';
  if (inet_pton(AF_INET6, copy, bytes) != 1) {
    return 0;
  }
  if (memcmp(bytes, v4_mapped, sizeof v4_mapped) != 0) {
    return 16;
  }
  memmove(bytes, bytes + sizeof v4_mapped, 4);
  return 4;
}

/* Clears all but the first |prefix| bits of |n| bytes. */
static void cut(unsigned char *bytes, size_t n, unsigned prefix) {
  size_t whole = prefix / 8;

  if (whole < n) {
    bytes[whole] &= (unsigned char)(0xff00u >> prefix % 8);
    memset(bytes + whole + 1, 0, n - whole - 1);
  }
}

size_t rlc_http_format_address(char *buf, size_t size, const char *text, unsigned v4_prefix,
                               unsigned v6_prefix) {
  rlc__writer w = {buf, size, 0};
  unsigned char bytes[16];
  char shown[INET6_ADDRSTRLEN];
  size_t n = text != NULL ? read_address(text, bytes) : 0;
  unsigned bits = (unsigned)n * 8;
  unsigned prefix = n == 4 ? v4_prefix : v6_prefix;

  if (n == 0) {
    return rlc__write_end(&w);
  }
  if (prefix < bits) {
    cut(bytes, n, prefix);
  }
  inet_ntop(n == 4 ? AF_INET : AF_INET6, bytes, shown, sizeof shown);
  rlc__write_text(&w, shown);
  if (prefix < bits) {
    rlc__write(&w, "/", 1);
    rlc__write_number(&w, prefix);
  }
  return rlc__write_end(&w);
}
