/* SPDX-License-Identifier: Apache-2.0 */
#include "statuses.h"

#include <string.h>

static int is_digit(char c) {
  return c >= '0' && c <= '9';
}

enum { STATUS_FIRST = 200, STATUS_LAST = 599 };

int ratelimit_has_status(const ratelimit_statuses *statuses, int status) {
  return status >= STATUS_FIRST && status <= STATUS_LAST &&
         (statuses->bits[status / 32] >> status % 32 & 1) != 0;
}

/* Returns how many statuses begin at |*first|, 1 or a class of 100; 0: |text| is none. */
static int read_status(const char *text, int *first) {
  int n = 1;

  if (text[0] < '2' || text[0] > '5') {
    return 0;
  }
  if ((text[1] == 'x' || text[1] == 'X') && (text[2] == 'x' || text[2] == 'X')) {
    *first = (text[0] - '0') * 100;
    n = 100;
  } else if (is_digit(text[1]) && is_digit(text[2])) {
    *first = (text[0] - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0');
  } else {
    n = 0;
  }
  return n;
}

int ratelimit_parse_statuses(const char *text, ratelimit_statuses *statuses) {
  int first = 0;
  int n;

  memset(statuses, 0, sizeof *statuses);
  do {
    n = read_status(text, &first);
    if (n == 0 || (text[3] != '\0' && text[3] != ',')) {
      return 0;
    }
    for (int status = first; status < first + n; ++status) {
      statuses->bits[status / 32] |= UINT32_C(1) << status % 32;
    }
    text += 4;
  } while (text[-1] == ',');
  return 1;
}
