/* SPDX-License-Identifier: Apache-2.0 */

/* Store URLs. The first byte of the input says whether the others are a URL, or stand behind the
 * beginning of one that holds a password: then no message may show it. */

#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "store/url.h"

#define PASSWORD "Zq9xW7vK"
/* Already this much of it would be too much; it stands in no message of ours. */
#define PART "Zq9x"

static const char *const beginnings[] = {
    "",
    "redis://:" PASSWORD,
    "rediss://user:" PASSWORD,
    "redis+unix://user:" PASSWORD,
    "redis+sentinel://user:" PASSWORD,
    "redis+cluster://user:" PASSWORD,
    "redis+sentinel://h/m?sentinel-password=" PASSWORD,
    "redis+sentinel://h/m?sentinel-user=u&sentinel-password=" PASSWORD,
};

/* Whether |beginning| with |rest| behind it holds the password as one, not as a host's port. */
static int is_secret(const char *beginning, const char *rest) {
  return beginning[0] != '\0' && strstr(rest, PART) == NULL &&
         (strchr(beginning, '?') != NULL || strchr(rest, '@') != NULL);
}

static void check_url(const rlc__url *url) {
  CHECK(url->prefix != NULL && strlen(url->prefix) >= 1 && strlen(url->prefix) <= 32);
  check_printable(url->prefix, 33);
  CHECK(url->servers <= RLC__MAX_SERVERS);
  for (size_t i = 0; i < url->servers; ++i) {
    char text[RLC__ENDPOINT_TEXT];
    size_t len = strnlen(url->server[i].host, sizeof url->server[i].host);

    CHECK(len > 0 && len < sizeof url->server[i].host);
    check_printable(rlc__endpoint_format(&url->server[i], text), sizeof text);
  }
  CHECK(url->share >= 1);
  CHECK(url->timeout_us >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char why[RLC_MESSAGE_SIZE] = "";
  const char *beginning;
  char *text;
  rlc__url *url = NULL;
  int secret, rv;

  if (size == 0) {
    return 0;
  }
  beginning = beginnings[data[0] % (sizeof beginnings / sizeof *beginnings)];
  text = malloc(strlen(beginning) + size);
  CHECK(text != NULL);
  strcpy(text, beginning);
  memcpy(text + strlen(beginning), data + 1, size - 1);
  text[strlen(beginning) + size - 1] = '\0';
  secret = is_secret(beginning, text + strlen(beginning));

  rv = rlc__url_new(&url, text, NULL, why, sizeof why);
  if (rv == 0) {
    CHECK(url != NULL);
    check_url(url);
  } else {
    CHECK(rv == RLC_ERR_URL || rv == RLC_ERR_UNSUPPORTED);
    CHECK(url == NULL && why[0] != '\0');
    check_printable(why, sizeof why);
    CHECK(!secret || strstr(why, PART) == NULL);
  }
  rlc__url_del(url);
  free(text);
  return 0;
}
