/* SPDX-License-Identifier: Apache-2.0 */
#include "formats.h"

#include <inttypes.h>

#define P ratelimit_put
#define PF ratelimit_putf

/* The results that a label or a member names. */
static const char *const results[] = {"allowed", "denied", "dry_run"};
enum { RESULTS = 3 };

/* --- JSON ---------------------------------------------------------------------------------- */

static void put_counts(const ratelimit_sink *sink, const uint64_t counts[RATELIMIT_KINDS]) {
  PF(sink, "{\"allowed\":%" PRIu64 ",\"denied\":%" PRIu64 ",\"dry_run\":%" PRIu64 "}",
     counts[RATELIMIT_ALLOWED], counts[RATELIMIT_DENIED], counts[RATELIMIT_DRY]);
}

static void put_steps(const ratelimit_sink *sink, const char *name, unsigned step_s,
                      const uint64_t (*steps)[RATELIMIT_KINDS], unsigned n) {
  static const char *const kinds[] = {"allowed", "denied", "dry_run", "degraded"};

  PF(sink, "\"%s\":{\"step_s\":%u", name, step_s);
  for (unsigned kind = 0; kind < RATELIMIT_KINDS; ++kind) {
    PF(sink, ",\"%s\":[", kinds[kind]);
    for (unsigned i = 0; i < n; ++i) {
      PF(sink, "%s%" PRIu64, i > 0 ? "," : "", steps[i][kind]);
    }
    P(sink, "]");
  }
  P(sink, "}");
}

static void put_json_limits(const ratelimit_sink *sink, const ratelimit_view *view) {
  P(sink, ",\n\"limits\":[");
  for (size_t i = 0; i < view->n_rows; ++i) {
    const ratelimit_view_row *row = &view->rows[i];

    P(sink, i > 0 ? ",\n{\"name\":" : "\n{\"name\":");
    ratelimit_put_json(sink, row->name);
    P(sink, ",\"policy\":");
    ratelimit_put_json(sink, row->policy);
    PF(sink, ",\"configured\":%s,\"total\":", row->configured ? "true" : "false");
    put_counts(sink, row->total);
    P(sink, ",\"recent\":");
    put_counts(sink, row->recent);
    P(sink, "}");
  }
  P(sink, "]");
}

static void put_json_offenders(const ratelimit_sink *sink, const ratelimit_view *view) {
  P(sink, ",\n\"offenders\":[");
  for (size_t i = 0; i < view->n_offenders; ++i) {
    const ratelimit_view_offender *offender = &view->offenders[i];

    P(sink, i > 0 ? ",\n{\"key\":" : "\n{\"key\":");
    ratelimit_put_json(sink, offender->key);
    PF(sink, ",\"shown\":\"%s\",\"limit\":", offender->shown);
    ratelimit_put_json(sink, offender->limit);
    PF(sink, ",\"denied\":%" PRIu64 ",\"error\":%" PRIu64 "}", offender->denied, offender->error);
  }
  PF(sink, "],\n\"offenders_missed\":%" PRIu64, view->missed);
}

static void put_json_latency(const ratelimit_sink *sink, const ratelimit_view *view) {
  static const unsigned quantiles[] = {500, 990, 999};
  static const char *const names[] = {"p50_ns", "p99_ns", "p999_ns"};

  P(sink, ",\n\"latency\":{");
  for (unsigned i = 0; i < 3; ++i) {
    PF(sink, "\"%s\":%" PRIu64 ",", names[i],
       ratelimit_view_quantile(view->recent_latency, quantiles[i]));
  }
  P(sink, "\"buckets\":[");
  for (unsigned i = 0; i < RATELIMIT_LATENCIES; ++i) {
    if (i < RATELIMIT_LATENCIES - 1) {
      PF(sink, "{\"le_ns\":%" PRIu64, ratelimit_latency_bound(i));
    } else {
      P(sink, "{\"le_ns\":null");
    }
    PF(sink, ",\"total\":%" PRIu64 ",\"recent\":%" PRIu64 "}%s", view->latency[i],
       view->recent_latency[i], i < RATELIMIT_LATENCIES - 1 ? "," : "]}");
  }
}

static void put_json_sources(const ratelimit_sink *sink, const ratelimit_view *view) {
  P(sink, ",\n\"sources\":{");
  for (unsigned i = 1; i < RATELIMIT_SOURCES; ++i) {
    if (i <= RLC_SOURCE_FAIL_CLOSED || view->sources[i] > 0) {
      P(sink, i > 1 ? "," : "");
      ratelimit_put_json(sink, rlc_source_name((rlc_source)i));
      PF(sink, ":%" PRIu64, view->sources[i]);
    }
  }
  P(sink, "}");
}

static void put_json_store(const ratelimit_sink *sink, const ratelimit_view *view) {
  const rlc_stats *stats = &view->told.stats;

  P(sink, ",\n\"store\":{\"kind\":");
  ratelimit_put_json(sink, view->told.store);
  PF(sink, ",\"state\":\"%s\",\"last_failure_s\":", ratelimit_store_state_name(view->state));
  if (view->trouble_ago != UINT64_MAX) {
    PF(sink, "%" PRIu64 ",\"last_failure\":", view->trouble_ago);
    ratelimit_put_json(sink, rlc_reason_text(view->reason));
  } else {
    P(sink, "null,\"last_failure\":null");
  }
  PF(sink,
     ",\"breaker\":\"%s\",\"breaker_opened\":%" PRIu64 ",\"errors\":%" PRIu64
     ",\"timeouts\":%" PRIu64 ",\"unavailable\":%" PRIu64 ",\"refused\":%" PRIu64,
     ratelimit_breaker_name(stats->breaker), stats->breaker_opened, stats->store_errors,
     stats->store_timeouts, stats->store_unavailable, stats->store_refused);
  PF(sink,
     ",\"connects\":%" PRIu64 ",\"connections_lost\":%" PRIu64 ",\"resent\":%" PRIu64
     ",\"late_replies\":%" PRIu64 ",\"slots\":%" PRIu64 ",\"slots_used\":%" PRIu64
     ",\"evicted_live\":%" PRIu64 "}",
     stats->connects, stats->connections_lost, stats->resent, stats->late_replies, stats->slots,
     stats->slots_used, stats->evicted_live);
}

void ratelimit_put_json_view(const ratelimit_sink *sink, const ratelimit_view *view) {
  P(sink, "{\"module\":\"" RLC_VERSION "\",\"server\":");
  ratelimit_put_json(sink, view->told.server);
  PF(sink, ",\"now\":%" PRId64 ",\"since\":%" PRId64 ",\"restarted\":%" PRId64 ",\n\"total\":",
     view->told.wall_s, view->since_s, view->restarted_s);
  put_counts(sink, view->total);
  P(sink, ",\n\"recent\":");
  put_counts(sink, view->recent);
  PF(sink, ",\n\"shed\":%" PRIu64 ",\"delayed\":%" PRIu64 ",\"busy_percent\":%u", view->shed,
     view->delayed, view->told.busy);
  put_json_sources(sink, view);
  put_json_store(sink, view);
  put_json_limits(sink, view);
  put_json_offenders(sink, view);
  put_json_latency(sink, view);
  P(sink, ",\n");
  put_steps(sink, "minutes", RATELIMIT_FAST_S, view->fast, RATELIMIT_FAST);
  P(sink, ",\n");
  put_steps(sink, "hours", RATELIMIT_SLOW_S, view->slow, RATELIMIT_SLOW);
  P(sink, "}\n");
}

/* --- OpenMetrics --------------------------------------------------------------------------- */

static void put_family(const ratelimit_sink *sink, const char *name, const char *type,
                       const char *unit, const char *help) {
  PF(sink, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
  if (unit != NULL) {
    PF(sink, "# UNIT %s %s\n", name, unit);
  }
}

static void put_counter(const ratelimit_sink *sink, const char *name, const char *help,
                        uint64_t n) {
  put_family(sink, name, "counter", NULL, help);
  PF(sink, "%s_total %" PRIu64 "\n", name, n);
}

static void put_gauge(const ratelimit_sink *sink, const char *name, const char *help, uint64_t n) {
  put_family(sink, name, "gauge", NULL, help);
  PF(sink, "%s %" PRIu64 "\n", name, n);
}

static void put_metric_limits(const ratelimit_sink *sink, const ratelimit_view *view) {
  put_family(sink, "ratelimit_limit_decisions", "counter", NULL,
             "Decisions by limit; one that another limit denied is not among them.");
  for (size_t i = 0; i < view->n_rows; ++i) {
    for (unsigned kind = 0; kind < RESULTS; ++kind) {
      P(sink, "ratelimit_limit_decisions_total{limit=");
      ratelimit_put_label(sink, view->rows[i].name);
      PF(sink, ",result=\"%s\"} %" PRIu64 "\n", results[kind], view->rows[i].total[kind]);
    }
  }
}

static void put_metric_latency(const ratelimit_sink *sink, const ratelimit_view *view) {
  static const char name[] = "ratelimit_decision_seconds";
  uint64_t all = 0;

  put_family(sink, name, "histogram", "seconds", "How long decisions took.");
  for (unsigned i = 0; i < RATELIMIT_LATENCIES; ++i) {
    uint64_t bound = ratelimit_latency_bound(i);

    all += view->latency[i];
    if (i < RATELIMIT_LATENCIES - 1) {
      PF(sink, "%s_bucket{le=\"%" PRIu64 ".%09" PRIu64 "\"} %" PRIu64 "\n", name,
         bound / 1000000000u, bound % 1000000000u, all);
    } else {
      PF(sink, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, all);
    }
  }
  PF(sink, "%s_count %" PRIu64 "\n%s_sum %" PRIu64 ".%09" PRIu64 "\n", name, all, name,
     view->latency_sum / 1000000000u, view->latency_sum % 1000000000u);
}

static void put_metric_states(const ratelimit_sink *sink, const ratelimit_view *view) {
  static const char name[] = "ratelimit_store_state";

  put_family(sink, name, "stateset", NULL,
             "Whether the store has decided in the last ten seconds, in all processes.");
  for (unsigned i = 0; i <= RATELIMIT_STORE_AWAY; ++i) {
    PF(sink, "%s{%s=\"%s\"} %d\n", name, name,
       ratelimit_store_state_name((ratelimit_store_state)i), i == (unsigned)view->state);
  }
}

static void put_metric_store(const ratelimit_sink *sink, const rlc_stats *stats) {
  put_family(sink, "ratelimit_store_errors", "counter", NULL,
             "Calls that the store did not answer, since the last restart.");
  PF(sink,
     "ratelimit_store_errors_total{reason=\"timeout\"} %" PRIu64
     "\nratelimit_store_errors_total{reason=\"unavailable\"} %" PRIu64
     "\nratelimit_store_errors_total{reason=\"refused\"} %" PRIu64 "\n",
     stats->store_timeouts, stats->store_unavailable, stats->store_refused);
  put_counter(sink, "ratelimit_breaker_openings",
              "How often a process began to leave the store alone, since the last restart.",
              stats->breaker_opened);
  put_counter(sink, "ratelimit_store_connects",
              "Connections to the store that were opened, since the last restart.",
              stats->connects);
  put_counter(sink, "ratelimit_store_connections_lost",
              "Connections that were lost or given up, since the last restart.",
              stats->connections_lost);
  put_counter(sink, "ratelimit_store_resent",
              "Commands sent again that for certain had not run, since the last restart.",
              stats->resent);
  put_counter(sink, "ratelimit_store_late_replies",
              "Replies that came after their deadline, since the last restart.",
              stats->late_replies);
  put_gauge(sink, "ratelimit_table_slots", "Slots of the table in shared memory; 0: none.",
            stats->slots);
  put_gauge(sink, "ratelimit_table_used_slots", "Slots that are taken, by live or expired keys.",
            stats->slots_used);
  put_counter(sink, "ratelimit_table_evicted_live",
              "Live keys that gave way because their set was full.", stats->evicted_live);
}

void ratelimit_put_openmetrics(const ratelimit_sink *sink, const ratelimit_view *view) {
  put_family(sink, "ratelimit", "info", NULL, "The module.");
  P(sink, "ratelimit_info{store=");
  ratelimit_put_label(sink, view->told.store);
  P(sink, ",version=\"" RLC_VERSION "\"} 1\n");
  put_family(sink, "ratelimit_counting_since_seconds", "gauge", "seconds",
             "When counting began, in seconds since 1970.");
  PF(sink, "ratelimit_counting_since_seconds %" PRId64 "\n", view->since_s);
  put_family(sink, "ratelimit_decisions", "counter", NULL,
             "Decisions: one a request, two where some of its limits read the user.");
  for (unsigned kind = 0; kind < RESULTS; ++kind) {
    PF(sink, "ratelimit_decisions_total{result=\"%s\"} %" PRIu64 "\n", results[kind],
       view->total[kind]);
  }
  put_family(sink, "ratelimit_source_decisions", "counter", NULL, "Decisions by who made them.");
  for (unsigned i = 1; i < RATELIMIT_SOURCES; ++i) {
    if (i <= RLC_SOURCE_FAIL_CLOSED || view->sources[i] > 0) {
      P(sink, "ratelimit_source_decisions_total{source=");
      ratelimit_put_label(sink, rlc_source_name((rlc_source)i));
      PF(sink, "} %" PRIu64 "\n", view->sources[i]);
    }
  }
  put_counter(sink, "ratelimit_shed_requests",
              "Requests refused because too many workers were busy (RateLimitShed).", view->shed);
  put_counter(sink, "ratelimit_delayed_requests",
              "Requests that passed after they had waited (delay=).", view->delayed);
  put_family(sink, "ratelimit_busy_workers_ratio", "gauge", "ratio",
             "The part of httpd's workers that are busy.");
  PF(sink, "ratelimit_busy_workers_ratio %u.%02u\n", view->told.busy / 100, view->told.busy % 100);
  put_metric_limits(sink, view);
  put_metric_latency(sink, view);
  put_metric_states(sink, view);
  put_metric_store(sink, &view->told.stats);
  P(sink, "# EOF\n");
}

/* --- mod_status ---------------------------------------------------------------------------- */

enum { SECTION_ROWS = 10 };

void ratelimit_put_section(const ratelimit_sink *sink, const ratelimit_view *view) {
  size_t n = view->n_rows < SECTION_ROWS ? view->n_rows : SECTION_ROWS;

  P(sink, "<hr>\n<h2>Rate limits</h2>\n<dl><dt>Allowed: ");
  ratelimit_put_count(sink, view->total[RATELIMIT_ALLOWED]);
  P(sink, ", in the last 10 minutes ");
  ratelimit_put_count(sink, view->recent[RATELIMIT_ALLOWED]);
  P(sink, "</dt>\n<dt>Denied: ");
  ratelimit_put_count(sink, view->total[RATELIMIT_DENIED]);
  P(sink, ", in the last 10 minutes ");
  ratelimit_put_count(sink, view->recent[RATELIMIT_DENIED]);
  P(sink, "</dt>\n<dt>Denied in a dry run: ");
  ratelimit_put_count(sink, view->total[RATELIMIT_DRY]);
  if (view->shed > 0) {
    P(sink, "</dt>\n<dt>Shed: ");
    ratelimit_put_count(sink, view->shed);
  }
  PF(sink, "</dt>\n<dt>Store: %s</dt></dl>\n", ratelimit_store_state_name(view->state));
  if (n == 0) {
    return;
  }
  P(sink, "<table border=\"0\"><tr><th>Limit</th><th>Allowed</th><th>Denied</th>"
          "<th>Dry run</th></tr>\n");
  for (size_t i = 0; i < n; ++i) {
    const uint64_t *recent = view->rows[i].recent;

    P(sink, "<tr><td>");
    ratelimit_put_html(sink, view->rows[i].name);
    PF(sink, "</td><td>%" PRIu64 "</td><td>%" PRIu64 "</td><td>%" PRIu64 "</td></tr>\n",
       recent[RATELIMIT_ALLOWED], recent[RATELIMIT_DENIED], recent[RATELIMIT_DRY]);
  }
  P(sink, "</table>\n");
}

void ratelimit_put_section_auto(const ratelimit_sink *sink, const ratelimit_view *view) {
  PF(sink,
     "RateLimitAllowed: %" PRIu64 "\nRateLimitDenied: %" PRIu64 "\nRateLimitDryRun: %" PRIu64
     "\nRateLimitShed: %" PRIu64 "\nRateLimitDelayed: %" PRIu64 "\nRateLimitAllowedRecently: %" PRIu64 "\nRateLimitDeniedRecently: %" PRIu64
     "\nRateLimitDryRunRecently: %" PRIu64 "\nRateLimitStore: %s\n",
     view->total[RATELIMIT_ALLOWED], view->total[RATELIMIT_DENIED], view->total[RATELIMIT_DRY],
     view->shed, view->delayed, view->recent[RATELIMIT_ALLOWED], view->recent[RATELIMIT_DENIED], view->recent[RATELIMIT_DRY],
     ratelimit_store_state_name(view->state));
}
