/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/zone.h"

#include <stdatomic.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "policy/civil.h"
#include "policy/zone_rule.h"

/* Real files have at most some 250 changes, before the rule adds two a year. */
#define MOST_CHANGES 2000u
#define RULE_FROM 1968
#define RULE_UNTIL 2107
#define RULE_END_S INT64_C(4354819200) /* of that year */
#define MOST_RULED (2u * (RULE_UNTIL - RULE_FROM + 1))
/* RFC 9636, 3.2: more than -25 and less than 26 hours. */
#define LEAST_AHEAD (-89999)
#define MOST_AHEAD 93599

/* From |at_s| on local time is |ahead_s| ahead of UTC. */
typedef struct change {
  int64_t at_s;
  int64_t ahead_s;
} change;

struct rlc__zone {
  rlc_memory memory;
  atomic_uint references;
  int64_t before_s; /* ahead of UTC before the first change */
  size_t n;
  change changes[]; /* by ascending time; each tells of another offset than the one before */
};

/* --- a zone -------------------------------------------------------------------------------- */

rlc__zone *rlc__zone_keep(rlc__zone *zone) {
  if (zone != NULL) {
    atomic_fetch_add_explicit(&zone->references, 1, memory_order_relaxed);
  }
  return zone;
}

void rlc__zone_del(rlc__zone *zone) {
  rlc_memory memory;

  if (zone == NULL ||
      atomic_fetch_sub_explicit(&zone->references, 1, memory_order_acq_rel) != 1) {
    return;
  }
  memory = zone->memory;
  rlc__free(&memory, zone);
}

int64_t rlc__zone_ahead(const rlc__zone *zone, int64_t at_s, int64_t *until_s) {
  size_t low = 0;
  size_t high;

  *until_s = INT64_MAX;
  if (zone == NULL) {
    return 0;
  }
  /* All below |low| are not later than |at_s|, all from |high| on are. */
  for (high = zone->n; low < high;) {
    size_t middle = low + (high - low) / 2;

    if (zone->changes[middle].at_s <= at_s) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (low < zone->n) {
    *until_s = zone->changes[low].at_s;
  }
  return low > 0 ? zone->changes[low - 1].ahead_s : zone->before_s;
}

int rlc__zone_is_utc(const rlc__zone *zone) {
  return zone == NULL || (zone->n == 0 && zone->before_s == 0);
}

/* --- its file ------------------------------------------------------------------------------ */

/* The bytes not yet read. */
typedef struct input {
  const unsigned char *at;
  size_t left;
} input;

/* The data block behind a header. */
typedef struct block {
  size_t times;
  size_t types;
  size_t time_size;             /* bytes of a time */
  const unsigned char *time;
  const unsigned char *type_of; /* of each time */
  const unsigned char *type;    /* six bytes each: seconds ahead, daylight or not, a name */
  size_t leaps;
} block;

static uint32_t read_32(const unsigned char *at) {
  return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static int64_t read_time(const block *b, size_t i) {
  const unsigned char *at = b->time + i * b->time_size;

  if (b->time_size == 4) {
    return (int32_t)read_32(at);
  }
  return (int64_t)((uint64_t)read_32(at) << 32 | read_32(at + 4));
}

static int64_t read_ahead(const block *b, size_t type) {
  return (int32_t)read_32(b->type + 6 * type);
}

static const unsigned char *skip(input *in, size_t size) {
  const unsigned char *at = in->at;

  in->at += size;
  in->left -= size;
  return at;
}

/* Takes a header and the block behind it. Returns the file's version, or -1. */
static int take_block(input *in, size_t time_size, block *b) {
  const unsigned char *header;
  uint64_t count[6]; /* of UT marks, standard marks, leap seconds, times, types, name bytes */
  uint64_t size;

  if (in->left < 44 || memcmp(in->at, "TZif", 4) != 0) {
    return -1;
  }
  header = skip(in, 44);
  for (int i = 0; i < 6; ++i) {
    count[i] = read_32(header + 20 + 4 * i);
  }
  /* None is above 2^32, so that the sum is below 2^40. */
  size = count[3] * (time_size + 1) + count[4] * 6 + count[5] + count[2] * (time_size + 4) +
         count[1] + count[0];
  if (size > in->left) {
    return -1;
  }
  b->times = (size_t)count[3];
  b->types = (size_t)count[4];
  b->leaps = (size_t)count[2];
  b->time_size = time_size;
  b->time = skip(in, (size_t)size);
  b->type_of = b->time + b->times * time_size;
  b->type = b->type_of + b->times;
  return header[4];
}

/* Whether the numbers of |b| are such as the rest of this file can work with. */
static int is_sound(const block *b) {
  if (b->types == 0 || b->types > 256 || b->times > MOST_CHANGES) {
    return 0;
  }
  for (size_t i = 0; i < b->types; ++i) {
    int64_t ahead = read_ahead(b, i);

    if (ahead < LEAST_AHEAD || ahead > MOST_AHEAD) {
      return 0;
    }
  }
  for (size_t i = 0; i < b->times; ++i) {
    if (b->type_of[i] >= b->types || (i > 0 && read_time(b, i) <= read_time(b, i - 1))) {
      return 0;
    }
  }
  return 1;
}

/* Takes the rule between two newlines at the end. Returns 1; 0 where it is empty; or -1. */
static int take_rule(input *in, rlc__zone_rule *rule) {
  const unsigned char *end;

  if (in->left < 2 || in->at[0] != '\n') {
    return -1;
  }
  skip(in, 1);
  end = memchr(in->at, '\n', in->left);
  if (end == NULL) {
    return -1;
  }
  if (end == in->at) {
    return 0;
  }
  return rlc__zone_rule_read(rule, (const char *)in->at, (size_t)(end - in->at)) == 0 ? 1 : -1;
}

/* Adds a change behind all others. One at the time of the last takes its place. */
static void add(rlc__zone *zone, int64_t at_s, int64_t ahead_s) {
  if (zone->n > 0 && zone->changes[zone->n - 1].at_s == at_s) {
    --zone->n;
  }
  if ((zone->n > 0 && zone->changes[zone->n - 1].at_s > at_s) ||
      (zone->n > 0 ? zone->changes[zone->n - 1].ahead_s : zone->before_s) == ahead_s) {
    return;
  }
  zone->changes[zone->n++] = (change){at_s, ahead_s};
}

/* Adds what |rule| says of the years after |last_s|, up to the last that is told of. */
static void add_rule(rlc__zone *zone, const rlc__zone_rule *rule, int64_t last_s) {
  int64_t year = rlc__date_of(rlc__floor_div(last_s, 86400)).year - 1;

  for (year = year < RULE_FROM ? RULE_FROM : year; year <= RULE_UNTIL; ++year) {
    change pair[2] = {{0, rule->daylight_s}, {0, rule->standard_s}};
    int south;

    rlc__zone_rule_year(rule, year, &pair[0].at_s, &pair[1].at_s);
    south = pair[1].at_s < pair[0].at_s;
    for (int i = 0; i < 2; ++i) {
      const change *next = &pair[south ? 1 - i : i];

      if (next->at_s > last_s && next->at_s < RULE_END_S) {
        add(zone, next->at_s, next->ahead_s);
      }
    }
  }
}

int rlc__zone_read(rlc__zone **out, const unsigned char *data, size_t size,
                   const rlc_memory *memory, char *why, size_t why_size) {
  input in = {data, size};
  rlc__zone_rule rule = {0};
  rlc__zone *zone;
  block b;
  int version = take_block(&in, 4, &b);
  int ruled = 0;

  *out = NULL;
  /* From version 2 on, the same again with times of 64 bits, and then the rule. */
  if (version >= '2') {
    version = take_block(&in, 8, &b);
    ruled = version < 0 ? -1 : take_rule(&in, &rule);
  }
  if (version < 0 || ruled < 0 || !is_sound(&b)) {
    return rlc__fail(RLC_ERR_POLICY, why, why_size, "is damaged: install tzdata anew");
  }
  if (b.leaps > 0) {
    return rlc__fail(RLC_ERR_POLICY, why, why_size,
                     "counts leap seconds, which no clock here does: write the name without "
                     "\"right/\"");
  }
  zone = rlc__calloc(memory, 1, sizeof *zone + (b.times + MOST_RULED) * sizeof *zone->changes);
  if (zone == NULL) {
    return rlc__fail(RLC_ERR_NOMEM, why, why_size, "out of memory");
  }
  zone->memory = *rlc__memory_or_default(memory);
  atomic_init(&zone->references, 1);
  zone->before_s = read_ahead(&b, 0);
  if (b.times == 0 && ruled) {
    zone->before_s = rule.standard_s;
  }
  for (size_t i = 0; i < b.times; ++i) {
    add(zone, read_time(&b, i), read_ahead(&b, b.type_of[i]));
  }
  if (ruled && rule.has_daylight) {
    add_rule(zone, &rule, b.times > 0 ? read_time(&b, b.times - 1) : INT64_MIN / 2);
  }
  *out = zone;
  return 0;
}
