/* SPDX-License-Identifier: Apache-2.0 */

/* Files of time zones. The first byte of the input chooses windows of the calendar, which are then
 * walked through in the zone that the others make, if they do. */

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "check.h"
#include "policy/calendar.h"

#define AHEAD_MOST (26 * 3600)

/* Walks through the changes. Returns the time of the last before the end of the century. */
static int64_t check_changes(const rlc__zone *zone) {
  int64_t at_s = -INT64_C(100000000000);

  for (;;) {
    int64_t until_s;
    int64_t again_s;
    int64_t ahead = rlc__zone_ahead(zone, at_s, &until_s);

    CHECK(ahead > -AHEAD_MOST && ahead < AHEAD_MOST);
    CHECK(until_s > at_s);
    if (until_s > INT64_C(4102444800)) {
      return at_s;
    }
    CHECK(rlc__zone_ahead(zone, until_s - 1, &again_s) == ahead && again_s == until_s);
    at_s = until_s;
  }
}

static void check_windows(const rlc__calendar *calendar, int64_t from_s) {
  rlc__window w = rlc__calendar_window(calendar, from_s);

  CHECK(w.start_s <= from_s && from_s < w.end_s);
  for (int i = 0; i < 20; ++i) {
    rlc__window next = rlc__calendar_window(calendar, w.end_s);
    int64_t bounds[4];

    CHECK(next.start_s == w.end_s && next.end_s > next.start_s);
    rlc__calendar_around(calendar, w.end_s, bounds);
    CHECK(bounds[0] == w.start_s && bounds[1] == next.start_s && bounds[2] == next.end_s);
    CHECK(bounds[3] > bounds[2]);
    w = next;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const unsigned months[] = {1, 2, 3, 4, 6, 12};
  char why[RLC_MESSAGE_SIZE] = "";
  rlc__calendar calendar = {RLC__SPAN_DAY, 1, RLC__ANCHOR_INIT, NULL};
  rlc__zone *zone = NULL;
  unsigned choice;
  int rv;

  if (size == 0) {
    return 0;
  }
  choice = data[0];
  calendar.span = (rlc__span)(RLC__SPAN_DAY + choice % 3);
  calendar.months = calendar.span == RLC__SPAN_MONTHS ? months[choice / 3 % 6] : 0;
  calendar.anchor.day = choice % 31 + 1;
  calendar.anchor.weekday = choice % 7;
  rv = rlc__zone_read(&zone, data + 1, size - 1, rlc__memory_or_default(NULL), why, sizeof why);
  if (rv != 0) {
    CHECK(rv == RLC_ERR_POLICY && zone == NULL && why[0] != '\0');
    check_printable(why, sizeof why);
    return 0;
  }
  calendar.zone = zone;
  check_windows(&calendar, check_changes(zone) - 10 * 86400);
  check_windows(&calendar, 0);
  check_windows(&calendar, 1700000000 + (int64_t)choice * 86400);
  rlc__zone_del(zone);
  return 0;
}
