/* SPDX-License-Identifier: Apache-2.0 */
#include "chart.h"

#include <inttypes.h>

/* Of the picture's own units. A bar stands in 6, of which 1 is the gap to the next. */
enum { BAR = 5, BAR_STEP = 6, HEIGHT = 100 };

/* What is there is seen, however little it is beside the rest. */
#define LEAST 1.5

uint64_t ratelimit_nice(uint64_t n) {
  static const unsigned ends[] = {2, 3, 4, 5, 6, 8};
  uint64_t scale = 1;

  if (n <= 4) {
    return 4;
  }
  while (scale < UINT64_MAX / 100 && scale * 10 < n) {
    scale *= 10;
  }
  for (unsigned i = 0; i < sizeof ends / sizeof ends[0]; ++i) {
    if (n <= scale * ends[i] && scale * ends[i] % 2 == 0) {
      return scale * ends[i];
    }
  }
  return scale * 10;
}

static uint64_t highest(const uint64_t (*steps)[RATELIMIT_KINDS], unsigned n) {
  uint64_t high = 0;

  for (unsigned i = 0; i < n; ++i) {
    uint64_t sum = ratelimit_decisions(steps[i]);

    high = sum > high ? sum : high;
  }
  return high;
}

static double height(uint64_t n, uint64_t top) {
  double h = HEIGHT * (double)n / (double)top;

  return n == 0 ? 0 : h < LEAST ? LEAST : h;
}

/* One path for all bars of a kind, on top of those of the kinds before. */
static void put_kind(const ratelimit_sink *sink, const uint64_t (*steps)[RATELIMIT_KINDS],
                     unsigned n, uint64_t top, unsigned nth) {
  static const unsigned kinds[] = {RATELIMIT_ALLOWED, RATELIMIT_DRY, RATELIMIT_DENIED};
  static const char *const classes[] = {"a", "w", "d"};
  int any = 0;

  for (unsigned i = 0; i < n; ++i) {
    double below = 0;
    double own = height(steps[i][kinds[nth]], top);

    if (own <= 0) {
      continue;
    }
    for (unsigned k = 0; k < nth; ++k) {
      below += height(steps[i][kinds[k]], top);
    }
    /* Where small ones were drawn larger, the highest must not leave the picture. */
    own = below + own > HEIGHT ? HEIGHT - below : own;
    if (!any) {
      ratelimit_putf(sink, "<path class=\"%s\" d=\"", classes[nth]);
      any = 1;
    }
    ratelimit_putf(sink, "M%u %.1fh%dv%.1fh-%dz", i * BAR_STEP, HEIGHT - below - own, BAR, own,
                   BAR);
  }
  if (any) {
    ratelimit_put(sink, "\"/>");
  }
}

static void put_bars(const ratelimit_sink *sink, const uint64_t (*steps)[RATELIMIT_KINDS],
                     unsigned n, uint64_t top) {
  for (unsigned nth = 0; nth < 3; ++nth) {
    put_kind(sink, steps, n, top, nth);
  }
}

/* --- the large one ------------------------------------------------------------------------- */

static void put_counts(const ratelimit_sink *sink, const uint64_t counts[RATELIMIT_KINDS]) {
  ratelimit_put_count(sink, counts[RATELIMIT_ALLOWED]);
  ratelimit_put(sink, " allowed, ");
  ratelimit_put_count(sink, counts[RATELIMIT_DENIED]);
  ratelimit_put(sink, " denied");
  if (counts[RATELIMIT_DRY] > 0) {
    ratelimit_put(sink, ", ");
    ratelimit_put_count(sink, counts[RATELIMIT_DRY]);
    ratelimit_put(sink, " denied in a dry run");
  }
  if (counts[RATELIMIT_DEGRADED] > 0) {
    ratelimit_put(sink, "; ");
    ratelimit_put_count(sink, counts[RATELIMIT_DEGRADED]);
    ratelimit_put(sink, " decided without the store");
  }
}

/* A line below the steps in which the store failed. */
static void put_failures(const ratelimit_sink *sink, const uint64_t (*steps)[RATELIMIT_KINDS],
                         unsigned n) {
  for (unsigned i = 0; i < n; ++i) {
    if (steps[i][RATELIMIT_DEGRADED] > 0) {
      ratelimit_putf(sink, "<rect class=\"f\" x=\"%u\" y=\"%d\" width=\"%d\" height=\"3\"/>",
                     i * BAR_STEP, HEIGHT + 1, BAR_STEP);
    }
  }
}

/* Who points at a bar, or above it, is told its numbers: without a script. */
static void put_tips(const ratelimit_sink *sink, const uint64_t (*steps)[RATELIMIT_KINDS],
                     unsigned n, unsigned step_s) {
  for (unsigned i = 0; i < n; ++i) {
    if (ratelimit_decisions(steps[i]) == 0) {
      continue;
    }
    ratelimit_putf(sink, "<rect class=\"t\" x=\"%u\" width=\"%d\" height=\"%d\"><title>",
                   i * BAR_STEP, BAR_STEP, HEIGHT);
    if (i + 1 < n) {
      ratelimit_put_seconds(sink, (uint64_t)(n - 1 - i) * step_s);
      ratelimit_put(sink, " ago: ");
    } else {
      ratelimit_put(sink, "Now: ");
    }
    put_counts(sink, steps[i]);
    ratelimit_put(sink, "</title></rect>");
  }
}

void ratelimit_put_chart(const ratelimit_sink *sink, const uint64_t (*steps)[RATELIMIT_KINDS],
                         unsigned n, unsigned step_s, const char *heading) {
  uint64_t top = ratelimit_nice(highest(steps, n));
  uint64_t sum[RATELIMIT_KINDS] = {0};

  for (unsigned i = 0; i < n; ++i) {
    for (unsigned kind = 0; kind < RATELIMIT_KINDS; ++kind) {
      sum[kind] += steps[i][kind];
    }
  }
  ratelimit_put(sink, "<div class=\"chart\"><div class=\"y\" aria-hidden=\"true\"><span>");
  ratelimit_put_count(sink, top);
  ratelimit_put(sink, "</span><span>");
  ratelimit_put_count(sink, top / 2);
  ratelimit_put(sink, "</span><span>0</span></div>");
  ratelimit_putf(sink,
                 "<svg role=\"img\" aria-labelledby=\"%s %s-sum\" viewBox=\"0 0 %u %d\" "
                 "preserveAspectRatio=\"none\"><title id=\"%s-sum\">",
                 heading, heading, n * BAR_STEP, HEIGHT, heading);
  put_counts(sink, sum);
  ratelimit_putf(sink, "</title><path class=\"g\" d=\"M0 0H%u M0 %dH%u M0 %dH%u\"/>", n * BAR_STEP,
                 HEIGHT / 2, n * BAR_STEP, HEIGHT, n * BAR_STEP);
  put_bars(sink, steps, n, top);
  put_failures(sink, steps, n);
  put_tips(sink, steps, n, step_s);
  ratelimit_put(sink, "</svg><div class=\"x\" aria-hidden=\"true\"><span>");
  ratelimit_put_seconds(sink, (uint64_t)n * step_s);
  ratelimit_put(sink, " ago</span><span>");
  ratelimit_put_seconds(sink, (uint64_t)n * step_s / 2);
  ratelimit_put(sink, "</span><span>now</span></div></div>");
}

/* --- small ones ---------------------------------------------------------------------------- */

void ratelimit_put_spark(const ratelimit_sink *sink, const uint64_t (*steps)[RATELIMIT_KINDS],
                         unsigned n) {
  uint64_t top = highest(steps, n);

  ratelimit_putf(sink,
                 "<svg class=\"spark\" aria-hidden=\"true\" viewBox=\"0 0 %u %d\" "
                 "preserveAspectRatio=\"none\"><path class=\"g\" d=\"M0 %dH%u\"/>",
                 n * BAR_STEP, HEIGHT, HEIGHT, n * BAR_STEP);
  put_bars(sink, steps, n, top > 0 ? top : 1);
  ratelimit_put(sink, "</svg>");
}

void ratelimit_put_bar(const ratelimit_sink *sink, uint64_t part, uint64_t whole,
                       const char *fill) {
  double width = whole > 0 ? 100 * (double)part / (double)whole : 0;

  ratelimit_put(sink,
                "<svg class=\"bar\" aria-hidden=\"true\" viewBox=\"0 0 100 8\" "
                "preserveAspectRatio=\"none\"><rect class=\"k\" width=\"100\" height=\"8\"/>");
  if (part > 0) {
    ratelimit_putf(sink, "<rect class=\"%s\" width=\"%.1f\" height=\"8\"/>", fill,
                   width < 1     ? 1.0
                   : width > 100 ? 100.0
                                 : width);
  }
  ratelimit_put(sink, "</svg>");
}

void ratelimit_put_latencies(const ratelimit_sink *sink,
                             const uint64_t latency[RATELIMIT_LATENCIES]) {
  unsigned first = RATELIMIT_LATENCIES;
  unsigned end = 0;
  uint64_t most = 1;

  for (unsigned i = 0; i < RATELIMIT_LATENCIES; ++i) {
    if (latency[i] > 0) {
      first = i < first ? i : first;
      end = i + 1;
      most = latency[i] > most ? latency[i] : most;
    }
  }
  if (end == 0) {
    return;
  }
  /* A picture of a few buckets at least, so that one is no wall. */
  while (end - first < 10 && (first > 0 || end < RATELIMIT_LATENCIES)) {
    first = first > 0 ? first - 1 : 0;
    end = end < RATELIMIT_LATENCIES ? end + 1 : end;
  }
  ratelimit_putf(sink,
                 "<div class=\"hist\"><svg role=\"img\" aria-label=\"How many decisions took how "
                 "long\" viewBox=\"0 0 %u %d\" preserveAspectRatio=\"none\"><path class=\"g\" "
                 "d=\"M0 %dH%u\"/>",
                 (end - first) * BAR_STEP, HEIGHT, HEIGHT, (end - first) * BAR_STEP);
  for (unsigned i = first; i < end; ++i) {
    double h = height(latency[i], most);

    ratelimit_putf(sink,
                   "<rect class=\"l\" x=\"%u\" y=\"%.1f\" width=\"%d\" height=\"%.1f\"><title>",
                   (i - first) * BAR_STEP, HEIGHT - h, BAR, h);
    ratelimit_put(sink, i == RATELIMIT_LATENCIES - 1 ? "Longer than " : "Up to ");
    ratelimit_put_ns(sink, ratelimit_latency_bound(i < RATELIMIT_LATENCIES - 1 ? i : i - 1));
    ratelimit_put(sink, ": ");
    ratelimit_put_count(sink, latency[i]);
    ratelimit_put(sink, "</title></rect>");
  }
  ratelimit_put(sink, "</svg><div class=\"x\" aria-hidden=\"true\"><span>");
  if (first > 0) {
    ratelimit_put_ns(sink, ratelimit_latency_bound(first - 1));
  } else {
    ratelimit_put(sink, "0");
  }
  ratelimit_put(sink, "</span><span>");
  ratelimit_put_ns(sink, ratelimit_latency_bound((first + end) / 2 - 1));
  ratelimit_put(sink, "</span><span>");
  if (end == RATELIMIT_LATENCIES) {
    ratelimit_put(sink, "longer");
  } else {
    ratelimit_put_ns(sink, ratelimit_latency_bound(end - 1));
  }
  ratelimit_put(sink, "</span></div></div>");
}
