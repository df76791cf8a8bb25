/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Writes what the status handler would, for counts that were made up: hours of traffic without
 * waiting for them, and names and keys that no good client sends.
 * Usage: status_sample SCENE FORMAT
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../mod_ratelimit_redis/formats.h"
#include "../../mod_ratelimit_redis/page.h"

#define NOW_S 1000000u
#define WALL_S 1767225600 /* 2026-01-01 */

static const char *const hostile[] = {
    "<script>document.title='owned'</script>",
    "\"><img src=http://192.0.2.1/x onerror=alert(1)>",
    "'; DROP TABLE limits; --",
    "\xe2\x80\xaegnp.exe\xe2\x81\xa6",
    "\xff\xfe\x00\x01\x1b[31m",
    "</style><style>*{display:none}</style>",
    "J\xc3\xbcrgen M\xc3\xbcller \xe6\x9d\xb1\xe4\xba\xac",
    "Z\xcc\x80\xcc\x80\xcc\x80\xcc\x80\xcc\x80\xcc\x80\xcc\x80",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};

static uint64_t seed = 42;

static unsigned roll(unsigned n) {
  seed = seed * 6364136223846793005u + 1442695040888963407u;
  return (unsigned)(seed >> 33) % n;
}

/* A hash for samples; httpd's is keyed. */
static uint64_t hash(const char *text) {
  uint64_t sum = 1469598103934665603u;

  for (; *text != '\0'; ++text) {
    sum = (sum ^ (unsigned char)*text) * 1099511628211u;
  }
  return sum ^ sum >> 32;
}

static unsigned add_limit(ratelimit_tally *tally, const char *name, const char *policy) {
  unsigned row = ratelimit_tally_row(tally, hash(name), name);

  if (policy != NULL) {
    ratelimit_tally_describe(tally, row, policy);
  }
  return row;
}

static void add(ratelimit_tally *tally, unsigned row, ratelimit_kind kind, uint64_t now_s,
                unsigned n) {
  for (unsigned i = 0; i < n; ++i) {
    ratelimit_tally_add(tally, RATELIMIT_ROW_ALL, kind, now_s);
    ratelimit_tally_add_slow(tally, kind, now_s);
    ratelimit_tally_add(tally, row, kind, now_s);
    ratelimit_tally_add_latency(tally, now_s, 400u + roll(roll(4000) + 1));
  }
}

static void offend(ratelimit_tally *tally, unsigned row, const char *key, size_t len,
                   unsigned flags, unsigned n) {
  for (unsigned i = 0; i < n; ++i) {
    ratelimit_sketch_add(&tally->offenders, NOW_S / RATELIMIT_WINDOW_S,
                         ratelimit_sketch_id(hash(key), row), key, len, flags);
  }
}

/* --- scenes -------------------------------------------------------------------------------- */

/* A day on a site that people use, and a client that did not stop asking. */
static void make_busy(ratelimit_tally *tally) {
  unsigned site = add_limit(tally, "site", "100/min");
  unsigned api = add_limit(tally, "api", "10/s,1000/h burst=20");
  unsigned login = add_limit(tally, "login", "5/15min");
  unsigned bytes = add_limit(tally, "downloads", "200/day algorithm=fixed-window "
                                                 "align=calendar tz=Europe/Paris");
  char key[32];

  for (unsigned ago = 86000; ago > 0; ago -= 5) {
    unsigned day = 10 + (ago < 43000 ? 43000 - ago : ago - 43000) / 1000;
    unsigned storm = (ago > 60 && ago < 260) || (ago > 30000 && ago < 33000);

    add(tally, site, RATELIMIT_ALLOWED, NOW_S - ago, day + roll(30));
    add(tally, api, RATELIMIT_ALLOWED, NOW_S - ago, day / 2 + roll(20));
    add(tally, bytes, RATELIMIT_ALLOWED, NOW_S - ago, roll(4));
    add(tally, login, RATELIMIT_ALLOWED, NOW_S - ago, roll(2));
    add(tally, site, RATELIMIT_DENIED, NOW_S - ago, roll(20) == 0 ? roll(4) : 0);
    add(tally, api, RATELIMIT_DENIED, NOW_S - ago, storm ? 30 + roll(25) : roll(30) == 0);
    add(tally, login, RATELIMIT_DENIED, NOW_S - ago, storm ? roll(5) : 0);
  }
  for (unsigned i = 0; i < 30; ++i) {
    snprintf(key, sizeof key, "203.0.113.%u", 7 + i);
    offend(tally, i % 3 == 1 ? login : api, key, strlen(key), RATELIMIT_KEY_IS_ADDRESS,
           2400u / (i * i + 1) + 1);
  }
  offend(tally, site, "2001:db8:17:4000::/64", 21, RATELIMIT_KEY_IS_ADDRESS, 640);
  offend(tally, api, "token", 5, 0, 310);
}

static void make_hostile(ratelimit_tally *tally) {
  unsigned row = add_limit(tally, "abcdefghijklmnopqrstuvwxyzABCDEF", "1000000000/365day,"
                           "999999999/364day,999999998/363day,999999997/362day burst=1000000000");

  add_limit(tally, "a\"b\\c\n<b>&", "<i>\"never\"</i>");
  add(tally, row, RATELIMIT_DENIED, NOW_S - 30, 3000);
  add(tally, row, RATELIMIT_DRY, NOW_S - 60, 500);
  for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; ++i) {
    size_t len = i == 4 ? 9 : strlen(hostile[i]);

    offend(tally, row, hostile[i], len, 0, 1000u - 100u * (unsigned)i);
  }
}

/* More limits than rows, more offenders than the sketch can hold. */
static void make_full(ratelimit_tally *tally) {
  char text[32];

  for (unsigned i = 0; i < 400; ++i) {
    snprintf(text, sizeof text, "limit-%u", i);
    add(tally, add_limit(tally, text, i < 200 ? "100/min" : NULL), RATELIMIT_ALLOWED,
        NOW_S - roll(600), 1 + roll(100));
  }
  for (unsigned i = 0; i < 20000; ++i) {
    snprintf(text, sizeof text, "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
    offend(tally, 2, text, strlen(text), RATELIMIT_KEY_IS_ADDRESS, i < 5 ? 500 : 1);
  }
}

static void make_away(ratelimit_tally *tally) {
  unsigned site = add_limit(tally, "site", "100/min");

  for (unsigned ago = 500; ago > 0; --ago) {
    add(tally, site, RATELIMIT_ALLOWED, NOW_S - ago + 1, 20 + roll(10));
    for (unsigned i = 0; ago < 60 && i < 30; ++i) {
      ratelimit_tally_add(tally, RATELIMIT_ROW_ALL, RATELIMIT_DEGRADED, NOW_S - ago + 1);
      atomic_fetch_add(&tally->sources[RLC_SOURCE_FALLBACK], 1);
    }
  }
  ratelimit_tally_set_trouble(tally, NOW_S - 1, RLC_REASON_TIMEOUT);
}

static void make_dry(ratelimit_tally *tally) {
  unsigned site = add_limit(tally, "site", "100/min");

  for (unsigned ago = 500; ago > 0; --ago) {
    add(tally, site, RATELIMIT_ALLOWED, NOW_S - ago, 10 + roll(10));
    add(tally, site, RATELIMIT_DRY, NOW_S - ago, roll(6));
  }
}

static void make_quiet(ratelimit_tally *tally) {
  add_limit(tally, "site", "100/min");
}

static const struct scene {
  const char *name;
  void (*make)(ratelimit_tally *tally);
  const char *store;
} scenes[] = {{"none", NULL, "shm"},          {"quiet", make_quiet, "shm"},
              {"busy", make_busy, "shm"},     {"hostile", make_hostile, "shm"},
              {"full", make_full, "shm"},     {"away", make_away, "redis+cluster"},
              {"dry", make_dry, "rediss"}};

/* --- writing ------------------------------------------------------------------------------- */

static void put_to_file(void *to, const char *text, size_t len) {
  fwrite(text, 1, len, to);
}

static void fill_stats(rlc_stats *stats, const char *store) {
  if (store[0] == 's') {
    stats->slots = 163840;
    stats->slots_used = 48211;
    stats->evicted_live = 3;
    return;
  }
  stats->breaker = store[5] == '+' ? RLC_BREAKER_OPEN : RLC_BREAKER_CLOSED;
  stats->breaker_opened = 4;
  stats->store_errors = 151;
  stats->store_timeouts = 120;
  stats->store_unavailable = 31;
  stats->connects = 12;
  stats->connections_lost = 4;
  stats->late_replies = 7;
}

int main(int argc, char **argv) {
  static const uint8_t key[RATELIMIT_HASH_KEY] = {1};
  const ratelimit_sink sink = {put_to_file, stdout};
  ratelimit_tally *tally = calloc(1, sizeof *tally);
  ratelimit_view *view = malloc(sizeof *view);
  ratelimit_view_told told = {.server = "www.example.org", .keys = RATELIMIT_SHOW_ADDRESS,
                              .now_s = NOW_S, .wall_s = WALL_S, .stats = RLC_STATS_INIT};
  const struct scene *scene = NULL;

  for (size_t i = 0; argc == 3 && i < sizeof scenes / sizeof scenes[0]; ++i) {
    scene = strcmp(scenes[i].name, argv[1]) == 0 ? &scenes[i] : scene;
  }
  if (scene == NULL || tally == NULL || view == NULL) {
    fprintf(stderr, "usage: status_sample SCENE html|json|prometheus|section|auto\n");
    return 2;
  }
  told.store = scene->store;
  fill_stats(&told.stats, scene->store);
  if (scene->make == make_hostile) {
    told.server = "a\"><script>alert(1)</script>";
    told.keys = RATELIMIT_SHOW_ALL;
  }
  ratelimit_tally_init(tally, key, WALL_S - 200000);
  ratelimit_tally_restart(tally, WALL_S - 4000);
  if (scene->make != NULL) {
    scene->make(tally);
  }
  ratelimit_view_take(view, scene->make != NULL ? tally : NULL, &told);
  if (strcmp(argv[2], "json") == 0) {
    ratelimit_put_json_view(&sink, view);
  } else if (strcmp(argv[2], "prometheus") == 0) {
    ratelimit_put_openmetrics(&sink, view);
  } else if (strcmp(argv[2], "section") == 0) {
    ratelimit_put_section(&sink, view);
  } else if (strcmp(argv[2], "auto") == 0) {
    ratelimit_put_section_auto(&sink, view);
  } else {
    ratelimit_put_page(&sink, view, "sample", 5);
  }
  free(view);
  free(tally);
  return fclose(stdout) == 0 ? 0 : 1;
}
