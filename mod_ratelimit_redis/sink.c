/* SPDX-License-Identifier: Apache-2.0 */
#include "sink.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void ratelimit_put(const ratelimit_sink *sink, const char *text) {
  sink->put(sink->to, text, strlen(text));
}

void ratelimit_putf(const ratelimit_sink *sink, const char *format, ...) {
  char buf[500];
  va_list args;
  int len;

  va_start(args, format);
  len = vsnprintf(buf, sizeof buf, format, args);
  va_end(args);
  if (len > 0) {
    sink->put(sink->to, buf, (size_t)len < sizeof buf ? (size_t)len : sizeof buf - 1);
  }
}

/* --- escapes ------------------------------------------------------------------------------- */

/* Puts |text| with what |escape| gives for a character, or as it stands where that is NULL. */
static void put_escaped(const ratelimit_sink *sink, const char *text,
                        const char *(*escape)(char c, char *buf)) {
  const char *from = text;
  char buf[8];

  for (; *text != '\0'; ++text) {
    const char *instead = escape(*text, buf);

    if (instead != NULL) {
      sink->put(sink->to, from, (size_t)(text - from));
      ratelimit_put(sink, instead);
      from = text + 1;
    }
  }
  sink->put(sink->to, from, (size_t)(text - from));
}

static const char *escape_html(char c, char *buf) {
  (void)buf;
  switch (c) {
  case '&':
    return "&amp;";
  case '<':
    return "&lt;";
  case '>':
    return "&gt;";
  case '"':
    return "&quot;";
  case '\'':
    return "&#39;";
  default:
    return NULL;
  }
}

static const char *escape_json(char c, char *buf) {
  if (c == '"' || c == '\\') {
    snprintf(buf, 8, "\\%c", c);
    return buf;
  }
  /* "<" as well: no text can end a script that somebody puts the JSON into. */
  if ((unsigned char)c < 0x20 || c == 0x7f || c == '<') {
    snprintf(buf, 8, "\\u%04x", (unsigned)(unsigned char)c);
    return buf;
  }
  return NULL;
}

static const char *escape_label(char c, char *buf) {
  (void)buf;
  return c == '"' ? "\\\"" : c == '\\' ? "\\\\" : c == '\n' ? "\\n" : NULL;
}

void ratelimit_put_html(const ratelimit_sink *sink, const char *text) {
  put_escaped(sink, text, escape_html);
}

void ratelimit_put_json(const ratelimit_sink *sink, const char *text) {
  ratelimit_put(sink, "\"");
  put_escaped(sink, text, escape_json);
  ratelimit_put(sink, "\"");
}

void ratelimit_put_label(const ratelimit_sink *sink, const char *text) {
  ratelimit_put(sink, "\"");
  put_escaped(sink, text, escape_label);
  ratelimit_put(sink, "\"");
}

/* --- numbers ------------------------------------------------------------------------------- */

void ratelimit_put_count(const ratelimit_sink *sink, uint64_t n) {
  char digits[24];
  char text[32];
  int len = snprintf(digits, sizeof digits, "%" PRIu64, n);
  size_t to = 0;

  for (int i = 0; i < len; ++i) {
    if (i > 0 && (len - i) % 3 == 0) {
      text[to++] = ',';
    }
    text[to++] = digits[i];
  }
  sink->put(sink->to, text, to);
}

void ratelimit_put_short(const ratelimit_sink *sink, uint64_t n) {
  static const char units[] = "MGTPE";
  double value = (double)n / 1e6;
  size_t unit = 0;

  if (n < 1000000) {
    ratelimit_put_count(sink, n);
    return;
  }
  while (value >= 999.5) {
    value /= 1000;
    ++unit;
  }
  ratelimit_putf(sink, value < 9.995 ? "%.2f %c" : value < 99.95 ? "%.1f %c" : "%.0f %c", value,
                 units[unit]);
}

void ratelimit_put_ns(const ratelimit_sink *sink, uint64_t ns) {
  static const char *const units[] = {"\xc2\xb5s", "ms", "s"};
  double value = (double)ns / 1000;
  size_t unit = 0;

  while (value >= 999.5 && unit < 2) {
    value /= 1000;
    ++unit;
  }
  ratelimit_putf(sink, value < 0.995 ? "%.2f %s" : value < 9.95 ? "%.1f %s" : "%.0f %s", value,
                 units[unit]);
}

void ratelimit_put_seconds(const ratelimit_sink *sink, uint64_t s) {
  if (s < 60) {
    ratelimit_putf(sink, "%u s", (unsigned)s);
  } else if (s < 3600) {
    ratelimit_putf(sink, s % 60 != 0 ? "%u min %u s" : "%u min", (unsigned)(s / 60),
                   (unsigned)(s % 60));
  } else if (s < 172800) {
    ratelimit_putf(sink, s % 3600 / 60 != 0 ? "%u h %u min" : "%u h", (unsigned)(s / 3600),
                   (unsigned)(s % 3600 / 60));
  } else {
    ratelimit_putf(sink, "%" PRIu64 " days", s / 86400);
  }
}

void ratelimit_put_share(const ratelimit_sink *sink, uint64_t part, uint64_t whole) {
  double share = whole > 0 ? 100 * (double)part / (double)whole : 0;

  if (part > 0 && share < 0.1) {
    ratelimit_put(sink, "&lt; 0.1 %");
  } else if (part > 0 && part < whole && share > 99.9) {
    ratelimit_put(sink, "&gt; 99.9 %");
  } else {
    ratelimit_putf(sink, part == 0 || part == whole ? "%.0f %%" : "%.1f %%", share);
  }
}

/* --- bytes from a client ------------------------------------------------------------------- */

/* The length of the character that starts at |s|, and its number; 0 for what is no UTF-8. */
static size_t read_character(const unsigned char *s, size_t len, uint32_t *character) {
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3
             : s[0] >= 0xf0 && s[0] < 0xf5                 ? 4
                                                           : 0;

  if (n == 0 || n > len) {
    return 0;
  }
  *character = n == 1 ? s[0] : s[0] & (0xffu >> (n + 1));
  for (size_t i = 1; i < n; ++i) {
    if ((s[i] & 0xc0) != 0x80) {
      return 0;
    }
    *character = *character << 6 | (s[i] & 0x3fu);
  }
  if (*character < least[n] || *character > 0x10ffff ||
      (*character >= 0xd800 && *character <= 0xdfff)) {
    return 0;
  }
  return n;
}

/* Controls, spaces other than the common one, joiners, marks of direction, tags, combining marks
 * and what is no character: none of them is seen as what it is. */
static int is_visible(uint32_t c) {
  static const uint32_t hidden[][2] = {
      {0, 0x1f},           {0x7f, 0xa0},       {0xad, 0xad},     {0x300, 0x36f},
      {0x61c, 0x61c},      {0x115f, 0x1160},   {0x17b4, 0x17b5}, {0x180b, 0x180f},
      {0x1ab0, 0x1aff},    {0x1dc0, 0x1dff},   {0x2000, 0x200f}, {0x2028, 0x202f},
      {0x205f, 0x206f},    {0x20d0, 0x20ff},   {0x2800, 0x2800}, {0x3000, 0x3000},
      {0x3164, 0x3164},    {0xe000, 0xf8ff},   {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f},
      {0xfeff, 0xfeff},    {0xffa0, 0xffa0},   {0xfff0, 0xfffb}, {0xfffe, 0xffff},
      {0x1d173, 0x1d17a},  {0xe0000, 0xe0fff}, {0xf0000, 0x10ffff}};

  for (size_t i = 0; i < sizeof hidden / sizeof hidden[0]; ++i) {
    if (c >= hidden[i][0] && c <= hidden[i][1]) {
      return 0;
    }
  }
  return 1;
}

void ratelimit_show_bytes(char *buf, size_t size, const void *bytes, size_t len) {
  static const char more[] = "...";
  const unsigned char *s = bytes;
  const size_t room = size - sizeof more; /* so that what was cut can be told */
  size_t at = 0;

  for (size_t i = 0; i < len;) {
    uint32_t character = 0;
    size_t n = read_character(s + i, len - i, &character);
    int visible = n > 0 && is_visible(character);
    size_t need = visible ? n : 4;

    if (at + need > room) {
      memcpy(buf + at, more, sizeof more);
      return;
    }
    if (visible) {
      memcpy(buf + at, s + i, n);
    } else {
      snprintf(buf + at, 5, "\\x%02x", s[i]);
      n = 1;
    }
    at += need;
    i += n;
  }
  buf[at] = '\0';
}
