/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RATELIMIT_SINK_H
#define RATELIMIT_SINK_H

#include <stddef.h>
#include <stdint.h>

/* Where the pages of the status handler are written to, piece by piece: in httpd the client, in a
 * test a buffer. */
typedef struct ratelimit_sink {
  void (*put)(void *to, const char *text, size_t len);
  void *to;
} ratelimit_sink;

void ratelimit_put(const ratelimit_sink *sink, const char *text);
/* As printf. For numbers and short texts of our own: what is longer than 500 bytes is cut. */
void ratelimit_putf(const ratelimit_sink *sink, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Text in HTML, in content as in an attribute in quotes. */
void ratelimit_put_html(const ratelimit_sink *sink, const char *text);
/* Text as a JSON string, with its quotes. */
void ratelimit_put_json(const ratelimit_sink *sink, const char *text);
/* Text as the value of a label of OpenMetrics, with its quotes. */
void ratelimit_put_label(const ratelimit_sink *sink, const char *text);
/* 1234567 as "1,234,567". */
void ratelimit_put_count(const ratelimit_sink *sink, uint64_t n);
/* The same up to a million, and above in as little room: "12.3 M". */
void ratelimit_put_short(const ratelimit_sink *sink, uint64_t n);
/* Nanoseconds to two or three digits, "0.25 µs", "1.3 ms". */
void ratelimit_put_ns(const ratelimit_sink *sink, uint64_t ns);
/* Seconds in words, "2 min 35 s", "3 h 20 min", "12 days". */
void ratelimit_put_seconds(const ratelimit_sink *sink, uint64_t s);
/* Of |whole| the part |part| in per cent, "0.4 %". */
void ratelimit_put_share(const ratelimit_sink *sink, uint64_t part, uint64_t whole);

/* Bytes from a client as text that cannot pretend to be other text: UTF-8 as it stands, without
 * characters that are invisible or change the direction of writing; every byte of anything else as
 * "\x1f". Ends with "..." where |size| was too small. Always ends with a NUL; |size| is at least
 * 8. */
void ratelimit_show_bytes(char *buf, size_t size, const void *bytes, size_t len);

#endif
