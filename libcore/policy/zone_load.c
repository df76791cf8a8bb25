/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/suggest.h"
#include "policy/zone.h"

#define FOLDER "/usr/share/zoneinfo"
/* The largest of Debian's has less than 4 kB, the list of them all less than 20. */
#define MOST_BYTES (64u * 1024u)
#define MOST_NAMES 1000u

static const char *folder = FOLDER;

void rlc__zone_set_folder(const char *path) {
  folder = path != NULL ? path : FOLDER;
}

/* Opens |name| in the folder. Returns a descriptor, or -1 with errno. */
static int open_file(const char *name) {
  char path[512];
  struct stat st;
  int fd;

  if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))) {
    close(fd);
    errno = ENOENT; /* a region such as "Europe" is a folder, and no zone */
    return -1;
  }
  return fd;
}

/* Reads all of |name| into |data|. Returns its size, or -1 with errno. */
static ssize_t read_file(const char *name, unsigned char data[MOST_BYTES]) {
  int fd = open_file(name);
  size_t size = 0;
  ssize_t got = fd < 0 ? -1 : 1;
  int error;

  while (got > 0 && size < MOST_BYTES) {
    got = read(fd, data + size, MOST_BYTES - size);
    size += got > 0 ? (size_t)got : 0;
    got = got < 0 && errno == EINTR ? 1 : got;
  }
  if (got > 0) {
    errno = EFBIG;
    got = -1;
  }
  error = errno;
  if (fd >= 0) {
    close(fd);
  }
  errno = error;
  return got < 0 ? -1 : (ssize_t)size;
}

/* Whether |name| is one that leads to a file inside the folder: letters, digits, "_", "-" and "+",
 * in parts between slashes. */
static int is_name(const char *name) {
  char before = '/';

  for (const char *at = name; *at != '\0'; ++at) {
    int good = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
               (*at >= '0' && *at <= '9') || *at == '_' || *at == '-' || *at == '+';

    if (!good && !(*at == '/' && before != '/')) {
      return 0;
    }
    before = *at;
  }
  return before != '/';
}

/* Cuts the names out of |list|, the system's table of zones: the third column of each line. */
static size_t find_names(char *list, const char **names) {
  size_t n = 0;

  for (char *line = list; line != NULL && n < MOST_NAMES;) {
    char *next = strchr(line, '\n');
    char *at = line;

    if (next != NULL) {
      *next++ = '\0';
    }
    for (int column = 1; column < 3 && at != NULL; ++column) {
      at = strchr(at, '\t');
      at = at != NULL ? at + 1 : NULL;
    }
    if (*line != '#' && at != NULL) {
      at[strcspn(at, "\t")] = '\0';
      if (is_name(at)) {
        names[n++] = at;
      }
    }
    line = next;
  }
  return n;
}

/* The name that |name| is most likely meant to be, or NULL: written in other letters, or a city
 * without its region, or nearly right. */
static const char *nearest(const char *name, const char *const *names, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    const char *city = strrchr(names[i], '/');

    if (strcasecmp(names[i], name) == 0 || (city != NULL && strcasecmp(city + 1, name) == 0)) {
      return names[i];
    }
  }
  return rlc__suggest(name, strlen(name), names, n);
}

/* Says that |name| is none. */
static int fail_unknown(const char *name, const rlc_memory *memory, char *why, size_t why_size) {
  const char **names = rlc__calloc(memory, MOST_NAMES, sizeof *names);
  char *list = rlc__calloc(memory, 1, MOST_BYTES + 1);
  const char *meant = NULL;
  int rv = RLC_ERR_NOMEM;

  if (names != NULL && list != NULL) {
    if (read_file("zone.tab", (unsigned char *)list) > 0) {
      meant = nearest(name, names, find_names(list, names));
    }
    rv = rlc__fail(RLC_ERR_POLICY, why, why_size,
                   meant != NULL ? "no time zone is called \"%s\" - did you mean \"%s\"?"
                                 : "no time zone is called \"%s\"; write a name such as "
                                   "\"Europe/Paris\" or \"UTC\": tzselect finds yours",
                   name, meant);
  }
  rlc__free(memory, names);
  rlc__free(memory, list);
  return rv == RLC_ERR_NOMEM ? rlc__fail(rv, why, why_size, "out of memory") : rv;
}

/* Reads and makes the zone |name|, which is a proper one. */
static int load(rlc__zone **out, const char *name, const rlc_memory *memory, char *why,
                size_t why_size) {
  unsigned char *data = rlc__calloc(memory, 1, MOST_BYTES);
  char reason[RLC_MESSAGE_SIZE] = "";
  ssize_t size;
  int rv;

  if (data == NULL) {
    return rlc__fail(RLC_ERR_NOMEM, why, why_size, "out of memory");
  }
  size = read_file(name, data);
  if (size >= 0) {
    rv = rlc__zone_read(out, data, (size_t)size, memory, reason, sizeof reason);
    if (rv == RLC_ERR_NOMEM) {
      rlc__fail(rv, why, why_size, "%s", reason);
    } else if (rv != 0) {
      rlc__fail(rv, why, why_size, "the time zone \"%s\" in %s %s", name, folder, reason);
    }
  } else if (errno == ENOENT && access(folder, F_OK) != 0) {
    rv = rlc__fail(RLC_ERR_POLICY, why, why_size,
                   "\"%s\" is looked up in %s, which is not there: install the package tzdata, or "
                   "leave tz= out for UTC", name, folder);
  } else if (errno == ENOENT || errno == ENOTDIR) {
    rv = fail_unknown(name, memory, why, why_size);
  } else {
    rv = rlc__fail(RLC_ERR_POLICY, why, why_size,
                   "the time zone \"%s\" in %s cannot be read: %s", name, folder,
                   strerror(errno));
  }
  rlc__free(memory, data);
  return rv;
}

int rlc__zone_load(rlc__zone **out, const char *text, size_t len, const rlc_memory *memory,
                   char *why, size_t why_size) {
  char name[RLC__ZONE_NAME + 1] = "";
  char shown[64];
  int rv;

  *out = NULL;
  if (len < sizeof name) {
    memcpy(name, text, len);
  }
  if (len == 0 || len >= sizeof name || strlen(name) != len || !is_name(name)) {
    return rlc__fail(RLC_ERR_POLICY, why, why_size,
                     "expected a time zone such as \"Europe/Paris\" or \"UTC\", found \"%s\"",
                     rlc__printable(shown, sizeof shown, text, len));
  }
  if (strcmp(name, "UTC") == 0 || strcmp(name, "Etc/UTC") == 0) {
    return 0;
  }
  if (strcmp(name, "localtime") == 0 || strcmp(name, "posixrules") == 0) {
    return rlc__fail(RLC_ERR_POLICY, why, why_size,
                     "\"%s\" may be another zone on another machine; write the zone's name, such "
                     "as \"Europe/Paris\"", name);
  }
  rv = load(out, name, memory, why, why_size);
  if (rv == 0 && rlc__zone_is_utc(*out)) {
    rlc__zone_del(*out);
    *out = NULL;
  }
  return rv;
}
