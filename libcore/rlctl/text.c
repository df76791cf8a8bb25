/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <string.h>

#include "rlctl/rlctl.h"

#define LONGEST 24

rlctl_exit rlctl_say(rlctl_exit status, const char *format, ...) {
  va_list args;

  fputs("rlctl: ", stderr);
  va_start(args, format);
  vfprintf(stderr, format, args);
  va_end(args);
  fputc('\n', stderr);
  return status;
}

void rlctl_put_json(FILE *out, const char *text) {
  fputc('"', out);
  for (; *text != '\0'; ++text) {
    unsigned char c = (unsigned char)*text;

    if (c < ' ' || c == 0x7f) {
      fprintf(out, "\\u%04x", c);
    } else {
      fprintf(out, c == '"' || c == '\\' ? "\\%c" : "%c", c);
    }
  }
  fputc('"', out);
}

void rlctl_put_bytes(FILE *out, const void *bytes, size_t len, size_t most) {
  const unsigned char *at = bytes;

  for (size_t i = 0; i < len; ++i) {
    if (most > 0 && i == most) {
      fputs("...", out);
      return;
    }
    fprintf(out, at[i] < ' ' || at[i] >= 0x7f || at[i] == '"' || at[i] == '\\' ? "\\x%02x" : "%c",
            at[i]);
  }
}

void rlctl_put_json_bytes(FILE *out, const void *bytes, size_t len) {
  const unsigned char *at = bytes;

  fputc('"', out);
  for (size_t i = 0; i < len; ++i) {
    fprintf(out, at[i] < ' ' || at[i] >= 0x7f || at[i] == '"' || at[i] == '\\' ? "\\\\x%02x" : "%c",
            at[i]);
  }
  fputc('"', out);
}

static const char *show(char buf[RLCTL_SHOWN], const char *text, size_t most) {
  FILE *out = fmemopen(buf, RLCTL_SHOWN, "w");

  buf[0] = '\0';
  if (out != NULL) {
    rlctl_put_bytes(out, text, strlen(text), most);
    fclose(out);
  }
  return buf;
}

const char *rlctl_show(char buf[RLCTL_SHOWN], const char *text) {
  return show(buf, text, 60);
}

const char *rlctl_show_all(char buf[RLCTL_SHOWN], const char *text) {
  return show(buf, text, 0);
}

/* Writes |value| / 1000, without zeros at the end. */
static void put_thousandths(FILE *out, int64_t value) {
  int digits = 3;
  int64_t rest = value % 1000;

  while (digits > 0 && rest % 10 == 0) {
    rest /= 10;
    --digits;
  }
  fprintf(out, "%lld", (long long)(value / 1000));
  if (digits > 0) {
    fprintf(out, ".%0*lld", digits, (long long)rest);
  }
}

void rlctl_put_duration(FILE *out, int64_t us) {
  static const struct {
    const char *name;
    int64_t seconds;
  } units[] = {{"day", 86400}, {"h", 3600}, {"min", 60}, {"s", 1}};
  int64_t s = us / 1000000 + (us % 1000000 != 0);
  int64_t round = us < 10000000 ? 1000 : 100000; /* us that the last digit shown stands for */
  int i = 0;

  if (us <= 59900000) {
    put_thousandths(out, (us + round - 1) / round * (round / 1000));
    fputs(" s", out);
    return;
  }
  while (s < units[i].seconds) {
    ++i;
  }
  s = (s + units[i + 1].seconds - 1) / units[i + 1].seconds * units[i + 1].seconds;
  fprintf(out, "%lld %s%s", (long long)(s / units[i].seconds), units[i].name,
          i == 0 && s / units[i].seconds > 1 ? "s" : "");
  s %= units[i].seconds;
  if (s > 0) {
    fprintf(out, " %lld %s", (long long)(s / units[i + 1].seconds), units[i + 1].name);
  }
}

/* How many letters are to be added, left out or changed to make |b| of |a|. */
static size_t distance(const char *a, const char *b) {
  size_t row[LONGEST + 1];
  size_t len = strlen(b);

  for (size_t j = 0; j <= len; ++j) {
    row[j] = j;
  }
  for (size_t i = 0; a[i] != '\0'; ++i) {
    size_t diagonal = row[0]++;

    for (size_t j = 0; j < len; ++j) {
      size_t best = diagonal + (a[i] != b[j]);

      diagonal = row[j + 1];
      best = diagonal + 1 < best ? diagonal + 1 : best;
      row[j + 1] = row[j] + 1 < best ? row[j] + 1 : best;
    }
  }
  return row[len];
}

const char *rlctl_meant(const char *text, const char *const *words, size_t n) {
  const char *best = NULL;
  size_t least = 3;

  for (size_t i = 0; i < n; ++i) {
    if (strlen(words[i]) <= LONGEST && strlen(text) <= LONGEST) {
      size_t d = distance(text, words[i]);

      if (d < least && d < strlen(words[i])) {
        best = words[i];
        least = d;
      }
    }
  }
  return best;
}
