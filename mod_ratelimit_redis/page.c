/* SPDX-License-Identifier: Apache-2.0 */
#include "page.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "chart.h"

/* Of very many limits the rest is in the JSON. */
enum { MOST_ROWS = 30 };

#define P ratelimit_put
#define PF ratelimit_putf

static void put_moment(const ratelimit_sink *sink, int64_t wall_s) {
  char text[40] = "";
  time_t when = (time_t)wall_s;
  struct tm utc;

  if (gmtime_r(&when, &utc) != NULL) {
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &utc);
  }
  P(sink, text);
}

static void put_ago(const ratelimit_sink *sink, const ratelimit_view *view, int64_t then_s) {
  int64_t ago = view->told.wall_s - then_s;

  ratelimit_put_seconds(sink, ago > 0 ? (uint64_t)ago : 0);
}

/* --- head ---------------------------------------------------------------------------------- */

static void put_head(const ratelimit_sink *sink, const ratelimit_view *view, const char *nonce,
                     unsigned refresh_s) {
  P(sink, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Rate limits: ");
  ratelimit_put_html(sink, view->told.server);
  P(sink, "</title><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
          "<meta name=\"color-scheme\" content=\"light dark\">"
          "<meta name=\"robots\" content=\"noindex\">");
  if (refresh_s > 0) {
    PF(sink, "<meta http-equiv=\"refresh\" content=\"%u\">", refresh_s);
  }
  PF(sink, "<style nonce=\"%s\">", nonce);
  P(sink, ratelimit_page_style);
  P(sink, "</style></head>\n<body>");
}

/* What the pill at the top says, in words and not by its colour alone. */
static const char *state_text(ratelimit_store_state state) {
  static const char *const texts[] = {"No requests just now", "The store answers",
                                      "The store answers in part",
                                      "The store is away: the fail policy decides"};

  return texts[state];
}

/* How to stop what moves by itself stands before it. */
static void put_header(const ratelimit_sink *sink, const ratelimit_view *view, unsigned refresh_s) {
  P(sink, "<header><div><h1>Rate limits</h1><p class=\"soft\">");
  ratelimit_put_html(sink, view->told.server);
  P(sink, ", ");
  put_moment(sink, view->told.wall_s);
  P(sink, ", counted for ");
  put_ago(sink, view, view->since_s);
  if (refresh_s > 0) {
    PF(sink, "; anew every %u s: <a href=\"?refresh=off\">pause</a>", refresh_s);
  } else {
    P(sink, "; paused: <a href=\"?refresh=5\">go on</a>");
  }
  PF(sink, "</p></div><p class=\"pill %s\">%s</p></header>\n<main>",
     ratelimit_store_state_name(view->state), state_text(view->state));
}

/* --- tiles --------------------------------------------------------------------------------- */

static void put_tile(const ratelimit_sink *sink, const char *name, uint64_t recent,
                     uint64_t total) {
  PF(sink, "<dl class=\"tile\"><dt>%s</dt><dd>", name);
  ratelimit_put_count(sink, recent);
  P(sink, "</dd><dd class=\"soft\">");
  ratelimit_put_count(sink, total);
  P(sink, " in all</dd></dl>");
}

static void put_tiles(const ratelimit_sink *sink, const ratelimit_view *view) {
  const uint64_t *recent = view->recent;
  const uint64_t *total = view->total;

  P(sink, "<div class=\"tiles\">");
  put_tile(sink, "Allowed, 10 min", recent[RATELIMIT_ALLOWED], total[RATELIMIT_ALLOWED]);
  put_tile(sink, "Denied, 10 min", recent[RATELIMIT_DENIED], total[RATELIMIT_DENIED]);
  P(sink, "<dl class=\"tile\"><dt>Share denied</dt><dd>");
  ratelimit_put_share(sink, recent[RATELIMIT_DENIED], ratelimit_decisions(recent));
  P(sink, "</dd><dd class=\"soft\">");
  if (total[RATELIMIT_DRY] > 0) {
    ratelimit_put_count(sink, recent[RATELIMIT_DRY]);
    P(sink, " more in a dry run");
  } else {
    ratelimit_put_share(sink, total[RATELIMIT_DENIED], ratelimit_decisions(total));
    P(sink, " in all");
  }
  P(sink, "</dd></dl><dl class=\"tile\"><dt>Decided within</dt><dd>");
  if (ratelimit_view_quantile(view->recent_latency, 990) > 0) {
    ratelimit_put_ns(sink, ratelimit_view_quantile(view->recent_latency, 990));
  } else {
    P(sink, "\xe2\x80\x93");
  }
  P(sink, "</dd><dd class=\"soft\">99 of 100 requests</dd></dl></div>");
}

/* --- over time ----------------------------------------------------------------------------- */

static void put_key(const ratelimit_sink *sink, const ratelimit_view *view) {
  static const char swatch[] = "<svg aria-hidden=\"true\" viewBox=\"0 0 1 1\"><rect class=\"%s\" "
                               "width=\"1\" height=\"1\"/></svg>%s</li>";

  P(sink, "<ul class=\"key\"><li>");
  PF(sink, swatch, "a", "allowed");
  if (view->total[RATELIMIT_DRY] > 0) {
    P(sink, "<li>");
    PF(sink, swatch, "w", "denied in a dry run");
  }
  P(sink, "<li>");
  PF(sink, swatch, "d", "denied");
  if (view->recent[RATELIMIT_DEGRADED] > 0) {
    P(sink, "<li>");
    PF(sink, swatch, "f", "below: the store failed");
  }
  P(sink, "</ul>");
}

static void put_charts(const ratelimit_sink *sink, const ratelimit_view *view) {
  P(sink, "<section><div class=\"top\"><h2 id=\"fast\">The last 10 minutes <span class=\"soft\">"
          "requests in 5 s</span></h2>");
  put_key(sink, view);
  P(sink, "</div>");
  ratelimit_put_chart(sink, view->fast, RATELIMIT_FAST, RATELIMIT_FAST_S, "fast");
  P(sink, "</section>\n<section><div class=\"top\"><h2 id=\"slow\">The last 24 hours "
          "<span class=\"soft\">requests in 10 min</span></h2></div>");
  ratelimit_put_chart(sink, view->slow, RATELIMIT_SLOW, RATELIMIT_SLOW_S, "slow");
  P(sink, "</section>\n");
}

/* --- limits -------------------------------------------------------------------------------- */

static void put_number(const ratelimit_sink *sink, uint64_t recent, uint64_t total) {
  P(sink, "<td class=\"n\">");
  ratelimit_put_short(sink, recent);
  P(sink, "<span class=\"soft\">");
  ratelimit_put_short(sink, total);
  P(sink, "</span></td>");
}

static void put_row(const ratelimit_sink *sink, const ratelimit_view *view,
                    const ratelimit_view_row *row) {
  uint64_t steps[RATELIMIT_FAST][RATELIMIT_KINDS];
  uint64_t denied = row->recent[RATELIMIT_DENIED] + row->recent[RATELIMIT_DRY];

  P(sink, "<tr><th scope=\"row\">");
  ratelimit_put_html(sink, row->name);
  P(sink, "<span class=\"soft\">");
  ratelimit_put_html(sink, row->policy);
  if (row->row == RATELIMIT_ROW_OTHERS) {
    P(sink, "limits beyond the first 254");
  } else if (!row->configured) {
    PF(sink, "%s.htaccess, or an older configuration", row->policy[0] != '\0' ? ", " : "");
  }
  P(sink, "</span></th><td class=\"trend\">");
  ratelimit_view_steps(view, row->row, steps);
  ratelimit_put_spark(sink, (const uint64_t(*)[RATELIMIT_KINDS])steps, RATELIMIT_FAST);
  P(sink, "</td>");
  put_number(sink, row->recent[RATELIMIT_ALLOWED], row->total[RATELIMIT_ALLOWED]);
  put_number(sink, denied, row->total[RATELIMIT_DENIED] + row->total[RATELIMIT_DRY]);
  P(sink, "<td class=\"share\">");
  ratelimit_put_share(sink, denied, ratelimit_decisions(row->recent));
  if (row->recent[RATELIMIT_DRY] > 0) {
    P(sink, row->recent[RATELIMIT_DENIED] > 0 ? " (in part a dry run)" : " (dry run)");
  }
  ratelimit_put_bar(sink, denied, ratelimit_decisions(row->recent),
                    row->recent[RATELIMIT_DENIED] > 0 ? "d" : "w");
  P(sink, "</td></tr>\n");
}

static void put_limits(const ratelimit_sink *sink, const ratelimit_view *view) {
  size_t n = view->n_rows < MOST_ROWS ? view->n_rows : MOST_ROWS;

  P(sink, "<section><div class=\"top\"><h2 id=\"limits\">Limits</h2></div>");
  if (n == 0) {
    P(sink, "<p class=\"none\">No limit is configured.</p></section>\n");
    return;
  }
  P(sink, "<table aria-labelledby=\"limits\"><caption>In the last 10 minutes, and in smaller "
          "figures in all. A request counts with each limit that let it pass, or that refused it."
          "</caption><thead><tr><th scope=\"col\">Limit</th><th scope=\"col\" class=\"trend\">"
          "10 minutes</th><th scope=\"col\" class=\"n\">Allowed</th><th scope=\"col\" "
          "class=\"n\">Denied</th><th scope=\"col\" class=\"share\">Share denied</th></tr>"
          "</thead><tbody>\n");
  for (size_t i = 0; i < n; ++i) {
    put_row(sink, view, &view->rows[i]);
  }
  P(sink, "</tbody></table>");
  if (n < view->n_rows) {
    PF(sink, "<p class=\"soft note\">And %zu more, which <a href=\"?format=json\">the JSON</a> "
             "has.</p>", view->n_rows - n);
  }
  P(sink, "</section>\n");
}

/* --- offenders ----------------------------------------------------------------------------- */

static void put_offender(const ratelimit_sink *sink, const ratelimit_view_offender *offender,
                         uint64_t most) {
  P(sink, "<tr><th scope=\"row\"><code>");
  ratelimit_put_html(sink, offender->key);
  P(sink, "</code></th><td>");
  ratelimit_put_html(sink, offender->limit);
  P(sink, "</td><td class=\"n\">");
  ratelimit_put_count(sink, offender->denied);
  if (offender->error > 0) {
    P(sink, "<span class=\"soft\">to ");
    ratelimit_put_count(sink, offender->denied + offender->error);
    P(sink, "</span>");
  }
  P(sink, "</td><td class=\"share\">");
  ratelimit_put_bar(sink, offender->denied, most, "d");
  P(sink, "</td></tr>\n");
}

/* In a flood from everywhere the list holds whoever came last. Those of whom less is sure than may
 * be somebody else's are left out. */
static int stands_out(const ratelimit_view_offender *offender) {
  return offender->denied > offender->error;
}

static size_t count_standing_out(const ratelimit_view *view) {
  size_t n = 0;

  for (size_t i = 0; i < view->n_offenders; ++i) {
    n += (size_t)stands_out(&view->offenders[i]);
  }
  return n;
}

static void put_offenders(const ratelimit_sink *sink, const ratelimit_view *view) {
  int hashed = 0;

  P(sink, "<section><div class=\"top\"><h2 id=\"offenders\">Top offenders</h2></div>");
  if (count_standing_out(view) == 0) {
    PF(sink, "<p class=\"none\">%s</p></section>\n",
       view->n_offenders == 0 ? "Nobody was denied lately."
                              : "Many were denied lately, and nobody much more than others.");
    return;
  }
  P(sink, "<table class=\"list\" aria-labelledby=\"offenders\"><caption>Keys that were denied most "
          "often in the last 10 to 20 minutes.</caption><thead><tr><th scope=\"col\">Key</th>"
          "<th scope=\"col\" class=\"in\">Limit</th><th scope=\"col\" class=\"n\">Denied</th>"
          "<td class=\"share\"></td></tr></thead><tbody>\n");
  for (size_t i = 0; i < view->n_offenders; ++i) {
    if (stands_out(&view->offenders[i])) {
      put_offender(sink, &view->offenders[i], view->offenders[0].denied);
      hashed |= view->offenders[i].shown[0] == 'h';
    }
  }
  P(sink, "</tbody></table>");
  if (hashed) {
    P(sink, "<p class=\"soft note\">\xe2\x80\x9c#\xe2\x80\xa6\xe2\x80\x9d stands for a key that "
            "may be a secret: RateLimitPageKeys says what is shown.</p>");
  }
  P(sink, "</section>\n");
}

/* --- store --------------------------------------------------------------------------------- */

static void put_fact(const ratelimit_sink *sink, const char *name, uint64_t n) {
  PF(sink, "<div><dt>%s</dt><dd>", name);
  ratelimit_put_count(sink, n);
  P(sink, "</dd></div>");
}

static void put_fact_text(const ratelimit_sink *sink, const char *name, const char *text) {
  PF(sink, "<div><dt>%s</dt><dd>", name);
  ratelimit_put_html(sink, text);
  P(sink, "</dd></div>");
}

static void put_sources(const ratelimit_sink *sink, const ratelimit_view *view) {
  char name[64];

  for (unsigned i = 1; i < RATELIMIT_SOURCES; ++i) {
    if (i == RLC_SOURCE_STORE || view->sources[i] > 0) {
      snprintf(name, sizeof name, "Decided by %s", rlc_source_name((rlc_source)i));
      put_fact(sink, name, view->sources[i]);
    }
  }
}

static void put_work(const ratelimit_sink *sink, const ratelimit_view *view) {
  char busy[16];

  snprintf(busy, sizeof busy, "%u%%", view->told.busy);
  put_fact_text(sink, "Busy workers", busy);
  if (view->shed > 0) {
    put_fact(sink, "Shed under load", view->shed);
  }
  if (view->delayed > 0) {
    put_fact(sink, "Passed after waiting", view->delayed);
  }
}

static void put_trouble(const ratelimit_sink *sink, const ratelimit_view *view) {
  P(sink, "<div class=\"wide\"><dt>Last failure</dt><dd>");
  ratelimit_put_seconds(sink, view->trouble_ago);
  P(sink, " ago");
  if (view->reason != RLC_REASON_NONE) {
    P(sink, ": ");
    ratelimit_put_html(sink, rlc_reason_text(view->reason));
  }
  P(sink, "</dd></div>");
}

static void put_remote(const ratelimit_sink *sink, const ratelimit_view *view) {
  const rlc_stats *stats = &view->told.stats;

  put_fact_text(sink, "Breaker of this process", ratelimit_breaker_name(stats->breaker));
  put_fact(sink, "Breaker opened", stats->breaker_opened);
  put_fact(sink, "Unanswered in time", stats->store_timeouts);
  put_fact(sink, "No connection", stats->store_unavailable);
  put_fact(sink, "Refused by the server", stats->store_refused);
  put_fact(sink, "Connections opened", stats->connects);
  put_fact(sink, "Connections lost", stats->connections_lost);
  put_fact(sink, "Late replies", stats->late_replies);
  put_fact(sink, "Sent again", stats->resent);
}

static void put_table(const ratelimit_sink *sink, const rlc_stats *stats) {
  P(sink, "<div class=\"wide\"><dt>Table</dt><dd>");
  ratelimit_put_count(sink, stats->slots_used);
  P(sink, " of ");
  ratelimit_put_count(sink, stats->slots);
  P(sink, " slots");
  ratelimit_put_bar(sink, stats->slots_used, stats->slots, "a");
  P(sink, "</dd></div>");
  put_fact(sink, "Live keys that gave way", stats->evicted_live);
}

static void put_store(const ratelimit_sink *sink, const ratelimit_view *view) {
  const rlc_stats *stats = &view->told.stats;

  P(sink, "<section class=\"half\"><div class=\"top\"><h2>Store</h2><p class=\"soft\">");
  P(sink, "restarted ");
  put_ago(sink, view, view->restarted_s);
  P(sink, " ago</p></div><dl class=\"facts\">");
  put_fact_text(sink, "Kind", view->told.store);
  put_sources(sink, view);
  put_work(sink, view);
  if (stats->breaker != RLC_BREAKER_NONE) {
    put_remote(sink, view);
  }
  if (view->trouble_ago != UINT64_MAX) {
    put_trouble(sink, view);
  }
  if (stats->slots > 0) {
    put_table(sink, stats);
  }
  P(sink, "</dl></section>\n");
}

static void put_quantile(const ratelimit_sink *sink, const ratelimit_view *view, const char *name,
                         unsigned per_mille) {
  PF(sink, "<div><dt>%s</dt><dd>", name);
  ratelimit_put_ns(sink, ratelimit_view_quantile(view->recent_latency, per_mille));
  P(sink, "</dd></div>");
}

static void put_times(const ratelimit_sink *sink, const ratelimit_view *view) {
  P(sink, "<section class=\"half\"><div class=\"top\"><h2>Time to decide</h2><p class=\"soft\">"
          "last 10 to 20 minutes</p></div>");
  if (ratelimit_view_quantile(view->recent_latency, 500) == 0) {
    P(sink, "<p class=\"none\">Nothing was decided lately.</p></section>\n");
    return;
  }
  P(sink, "<dl class=\"facts three\">");
  put_quantile(sink, view, "Half within", 500);
  put_quantile(sink, view, "99 of 100 within", 990);
  put_quantile(sink, view, "999 of 1000 within", 999);
  P(sink, "</dl>");
  ratelimit_put_latencies(sink, view->recent_latency);
  P(sink, "</section>\n");
}

/* --- all of it ----------------------------------------------------------------------------- */

static void put_footer(const ratelimit_sink *sink) {
  P(sink, "</main>\n<footer><a href=\"?format=json\">JSON</a><a href=\"?format=prometheus\">"
          "Prometheus</a><span>mod_ratelimit_redis " RLC_VERSION "</span></footer></body></html>\n");
}

void ratelimit_put_page(const ratelimit_sink *sink, const ratelimit_view *view, const char *nonce,
                        unsigned refresh_s) {
  put_head(sink, view, nonce, refresh_s);
  put_header(sink, view, refresh_s);
  put_tiles(sink, view);
  put_charts(sink, view);
  put_limits(sink, view);
  put_offenders(sink, view);
  put_store(sink, view);
  put_times(sink, view);
  put_footer(sink);
}
