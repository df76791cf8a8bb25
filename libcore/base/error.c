/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <stdio.h>
#include <string.h>

const char *rlc_version(void) {
  return RLC_VERSION;
}

const char *rlc_strerror(int error) {
  switch (error) {
  case RLC_OK:
    return "The store decided";
  case RLC_DEGRADED:
    return "The store did not answer and the fail policy decided";
  case RLC_ERR_INVALID:
    return "An argument is not valid and no decision was made";
  case RLC_ERR_POLICY:
    return "The policy text cannot be used";
  case RLC_ERR_URL:
    return "The store URL cannot be used";
  case RLC_ERR_NOMEM:
    return "Memory ran out";
  case RLC_ERR_SYSTEM:
    return "The operating system refused";
  case RLC_ERR_FOREIGN:
    return "The store file is not ours, damaged, or of another version";
  case RLC_ERR_UNSUPPORTED:
    return "This is not available in this version or build";
  case RLC_ERR_STORE:
    return "The store did not answer";
  case RLC_ERR_FULL:
    return "The store's index of bans, overrides and tiers is full";
  case RLC_ERR_LOST:
    return "There is none, or it has ended";
  case RLC__ERR_TIMEOUT:
    return "The store did not answer before the deadline";
  case RLC__ERR_UNAVAILABLE:
    return "There is no connection to the store";
  case RLC__ERR_REFUSED:
    return "The store's server answered with an error";
  case RLC__ERR_STATE:
    return "A key of the store holds what is no state of ours";
  case RLC__ERR_PART:
    return "There is no connection to one of the store's servers";
  case RLC__ERR_PROTOCOL:
    return "The store's server answered what no such server answers";
  default:
    return "Unknown error";
  }
}

const char *rlc_reason_text(rlc_reason reason) {
  switch (reason) {
  case RLC_REASON_NONE:
    break;
  case RLC_REASON_TIMEOUT:
    return "no answer within the deadline";
  case RLC_REASON_UNAVAILABLE:
    return "no connection";
  case RLC_REASON_REFUSED:
    return "the server refuses commands";
  case RLC_REASON_PROTOCOL:
    return "the server's answers are no Redis replies";
  }
  return "none";
}

const char *rlc_source_name(rlc_source source) {
  switch (source) {
  case RLC_SOURCE_STORE:
    return "store";
  case RLC_SOURCE_FALLBACK:
    return "fallback";
  case RLC_SOURCE_FAIL_OPEN:
    return "fail-open";
  case RLC_SOURCE_FAIL_CLOSED:
    return "fail-closed";
  case RLC_SOURCE_BAN:
    return "ban";
  }
  return "none";
}

int rlc__vfail(int error, char *why, size_t size, const char *format, va_list args) {
  if (why != NULL && size > 0 && vsnprintf(why, size, format, args) < 0) {
    why[0] = '\0';
  }
  return error;
}

int rlc__fail(int error, char *why, size_t size, const char *format, ...) {
  va_list args;

  va_start(args, format);
  rlc__vfail(error, why, size, format, args);
  va_end(args);
  return error;
}

/* Writes one byte of |text| as it is shown, at most four characters. Returns how many. */
static size_t show_byte(char shown[4], unsigned char byte) {
  static const char hex[] = "0123456789abcdef";

  if (byte >= 0x20 && byte < 0x7f && byte != '\\' && byte != '"') {
    shown[0] = (char)byte;
    return 1;
  }
  shown[0] = '\\';
  shown[1] = 'x';
  shown[2] = hex[byte >> 4];
  shown[3] = hex[byte & 15];
  return 4;
}

const char *rlc__printable(char *buf, size_t size, const char *text, size_t len) {
  static const char dots[] = "...";
  size_t used = 0;
  size_t cut = 0; /* the last place where the dots still fit */

  if (size == 0) {
    return "";
  }
  for (size_t i = 0; i < len; ++i) {
    char shown[4];
    size_t n = show_byte(shown, (unsigned char)text[i]);

    if (used + n >= size) {
      used = cut;
      if (used + sizeof dots <= size) {
        memcpy(buf + used, dots, sizeof dots - 1);
        used += sizeof dots - 1;
      }
      break;
    }
    memcpy(buf + used, shown, n);
    used += n;
    if (used + sizeof dots <= size) {
      cut = used;
    }
  }
  buf[used] = '\0';
  return buf;
}
