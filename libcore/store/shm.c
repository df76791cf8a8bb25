/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "store/slots.h"
#include "store/table.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* How long to wait for whoever is putting a file right, and how often to look. */
#define WAIT_STEPS 200
static const struct timespec wait_step = {0, 10000000};

/* --- shm: ---------------------------------------------------------------------------------- */

static int new_memfd(rlc__region *region, int *fd, uint64_t slots, char *why, size_t why_size) {
  int rv;

  *fd = memfd_create("rlcore", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  /* Sealed, its size can be relied on by everyone it is handed to. */
  if (*fd < 0 || ftruncate(*fd, (off_t)rlc__region_size(slots)) != 0 ||
      fcntl(*fd, F_ADD_SEALS, SEALS) != 0) {
    rv = rlc__fail(RLC_ERR_SYSTEM, why, why_size, "no shared memory of %zu bytes: %s",
                   rlc__region_size(slots), strerror(errno));
  } else {
    rv = rlc__region_new_file(region, *fd, slots, why, why_size);
  }
  if (rv != 0 && *fd >= 0) {
    int error = errno;

    close(*fd);
    *fd = -1;
    errno = error;
  }
  return rv;
}

/* Goes on with the table behind |offered|. */
static int adopt(rlc__region *region, int *fd, int offered, uint64_t slots, char *why,
                 size_t why_size) {
  int seals;
  int rv;

  *fd = fcntl(offered, F_DUPFD_CLOEXEC, 0);
  if (*fd < 0) {
    return rlc__fail(RLC_ERR_SYSTEM, why, why_size, "the descriptor is not open");
  }
  seals = fcntl(*fd, F_GET_SEALS);
  if (seals < 0 || (seals & (F_SEAL_SHRINK | F_SEAL_GROW)) != (F_SEAL_SHRINK | F_SEAL_GROW)) {
    rv = rlc__fail(RLC_ERR_FOREIGN, why, why_size, "the descriptor is not of sealed memory");
  } else {
    rv = rlc__region_open(region, *fd, slots, "the memory", why, why_size);
  }
  if (rv != 0) {
    close(*fd);
    *fd = -1;
  }
  return rv;
}

static int open_memory(rlc__region *region, int *fd, const rlc__url *url,
                       const rlc_options *options, char *why, size_t why_size) {
  uint64_t slots = rlc__region_slots(url->slots);
  char reason[RLC_MESSAGE_SIZE];

  if (options->set & RLC__OPT_SHM_FD && options->shm_fd >= 0) {
    if (adopt(region, fd, options->shm_fd, slots, reason, sizeof reason) == 0) {
      return 0;
    }
    rlc__log_write(&options->log, RLC_LOG_WARNING, "RLC0201",
                   "the table handed on is not used, a new one begins empty: %s", reason);
  }
  return new_memfd(region, fd, slots, why, why_size);
}

/* --- shm:/path ----------------------------------------------------------------------------- */

/* A file that is being opened or made. */
typedef struct file {
  const rlc__url *url;
  const rlc_memory *memory;
  char name[192]; /* the path, printable */
  char *why;
  size_t why_size;
} file;

/* Says why |what| of the file could not be done, by errno, which it keeps. */
static int fail_system(const file *f, const char *what) {
  int error = errno;
  const char *advice = "";

  if (error == ENOENT || error == ENOTDIR) {
    advice = "; make the folder first";
  } else if (error == EACCES || error == EPERM || error == EROFS) {
    advice = "; let this user write there, or name another file";
  } else if (error == ENOSPC || error == EDQUOT) {
    advice = "; make room, or ask for fewer slots with size=";
  }
  rlc__fail(RLC_ERR_SYSTEM, f->why, f->why_size, "the file %s cannot be %s: %s%s", f->name, what,
            strerror(error), advice);
  errno = error;
  return RLC_ERR_SYSTEM;
}

static int fail_kind(const file *f, const char *kind) {
  return rlc__fail(RLC_ERR_FOREIGN, f->why, f->why_size,
                   "the file %s %s: name a plain file, or one that does not exist yet", f->name,
                   kind);
}

static int set_group(const file *f, int fd) {
  char buf[4096];
  struct group group;
  struct group *found = NULL;
  char name[64];

  if (getgrnam_r(f->url->group, &group, buf, sizeof buf, &found) != 0 || found == NULL) {
    return rlc__fail(RLC_ERR_URL, f->why, f->why_size,
                     "group=%s: there is no such group on this machine; make it, or name another",
                     rlc__printable(name, sizeof name, f->url->group, strlen(f->url->group)));
  }
  return fchown(fd, (uid_t)-1, found->gr_gid) == 0 ? 0 : fail_system(f, "given to its group");
}

/* Turns the empty file |fd| into a table that nobody else has seen yet. */
static int fill(const file *f, int fd, rlc__region *region) {
  uint64_t slots = rlc__region_slots(f->url->slots);
  int error = posix_fallocate(fd, 0, (off_t)rlc__region_size(slots));
  int rv;

  /* Every block exists from here on: a full disk is an error now, and not a SIGBUS later. */
  if (error != 0) {
    errno = error;
    return fail_system(f, "made");
  }
  rv = rlc__region_new_file(region, fd, slots, f->why, f->why_size);
  if (rv == 0 && f->url->group != NULL) {
    rv = set_group(f, fd);
  }
  if (rv == 0 && (flock(fd, LOCK_SH | LOCK_NB) != 0 || fchmod(fd, (mode_t)f->url->mode) != 0 ||
                  fsync(fd) != 0)) {
    rv = fail_system(f, "made");
  }
  return rv;
}

/* Gives the finished file its name unless that is taken. Returns 0, or -1 with errno. */
static int publish(const char *from, const char *to) {
  if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) {
    return 0;
  }
  if (errno != EINVAL && errno != ENOSYS) {
    return -1;
  }
  return link(from, to); /* a file system without RENAME_NOREPLACE */
}

/* Makes the table under another name, so that nobody ever opens half of it, and then renames it.
 * Returns 0; 1 where another process was quicker; or an error. */
static int make_file(const file *f, int *fd, rlc__region *region) {
  size_t size = strlen(f->url->path) + sizeof ".new-0123456789abcdef";
  char *name = rlc__calloc(f->memory, 1, size);
  uint64_t random = 0;
  int rv;

  if (name == NULL) {
    return rlc__fail(RLC_ERR_NOMEM, f->why, f->why_size, "out of memory");
  }
  if (getrandom(&random, sizeof random, 0) != sizeof random) {
    random = (uint64_t)getpid();
  }
  snprintf(name, size, "%s.new-%016llx", f->url->path, (unsigned long long)random);
  *fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (*fd < 0) {
    rv = fail_system(f, "made");
    goto leave;
  }
  rv = fill(f, *fd, region);
  if (rv == 0 && publish(name, f->url->path) != 0) {
    rv = errno == EEXIST ? 1 : fail_system(f, "made");
  }
  {
    int error = errno;

    unlink(name); /* gone already where it was renamed */
    if (rv != 0) {
      rlc__region_del(region);
      close(*fd);
      *fd = -1;
    }
    errno = error;
  }

leave:
  rlc__free(f->memory, name);
  return rv;
}

/* Takes part in the file. Returns 1 where no other process has it, which then stays so until
 * share_file; 0 where others do; or an error. */
static int join_file(const file *f, int fd) {
  for (int i = 0; i < WAIT_STEPS; ++i) {
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
      return 1;
    }
    if (errno == EWOULDBLOCK && flock(fd, LOCK_SH | LOCK_NB) == 0) {
      return 0;
    }
    if (errno != EWOULDBLOCK && errno != EINTR) {
      return fail_system(f, "locked");
    }
    nanosleep(&wait_step, NULL);
  }
  return rlc__fail(RLC_ERR_SYSTEM, f->why, f->why_size,
                   "the file %s is locked by another process, which does not let go: end it, or "
                   "name another file",
                   f->name);
}

/* Lets others take part. Another process may slip in between and put the file right once more,
 * which harms nothing: this one has not begun to use it. */
static int share_file(const file *f, int fd) {
  for (int i = 0; i < WAIT_STEPS; ++i) {
    if (flock(fd, LOCK_SH | LOCK_NB) == 0) {
      return 0;
    }
    nanosleep(&wait_step, NULL);
  }
  return fail_system(f, "locked");
}

/* Opens the table in the existing file |fd|. */
static int use_file(const file *f, int fd, rlc__region *region) {
  char what[sizeof f->name + 16];
  struct stat st;
  int alone;
  int rv;

  if (fstat(fd, &st) != 0) {
    return fail_system(f, "looked at");
  }
  if (!S_ISREG(st.st_mode)) {
    return fail_kind(f, "is no plain file");
  }
  if ((st.st_mode & S_IWOTH) && !(f->url->mode & S_IWOTH)) {
    return rlc__fail(RLC_ERR_FOREIGN, f->why, f->why_size,
                     "the file %s can be written by every user: run \"chmod o-w\" on it, or say "
                     "mode=0666",
                     f->name);
  }
  alone = join_file(f, fd);
  if (alone < 0) {
    return alone;
  }
  snprintf(what, sizeof what, "the file %s", f->name);
  rv = rlc__region_open(region, fd, f->url->slots == 0 ? 0 : rlc__region_slots(f->url->slots),
                        what, f->why, f->why_size);
  if (rv == 0 && alone) {
    rv = rlc__region_renew(region, f->why, f->why_size);
    if (rv == 0) {
      rlc__slots_recount(region);
      rv = share_file(f, fd);
    }
    if (rv != 0) {
      rlc__region_del(region);
    }
  }
  return rv;
}

static int open_file(rlc__region *region, int *fd, const rlc__url *url, const rlc_options *options,
                     char *why, size_t why_size) {
  file f = {url, &options->memory, "", why, why_size};
  int rv = 1;

  rlc__printable(f.name, sizeof f.name, url->path, strlen(url->path));
  /* A file that vanishes between two looks is made anew; one that appears is opened. */
  for (int tries = 0; rv == 1 && tries < 16; ++tries) {
    *fd = open(url->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (*fd >= 0) {
      rv = use_file(&f, *fd, region);
      if (rv != 0) {
        int error = errno;

        close(*fd);
        *fd = -1;
        errno = error;
      }
    } else if (errno == ENOENT) {
      rv = make_file(&f, fd, region);
    } else if (errno == ELOOP) {
      rv = fail_kind(&f, "is a symbolic link, which is not followed");
    } else if (errno == EISDIR) {
      rv = fail_kind(&f, "is a folder");
    } else if (errno == ENXIO || errno == ENODEV) {
      rv = fail_kind(&f, "is no plain file");
    } else {
      rv = fail_system(&f, "opened");
    }
  }
  return rv == 1 ? rlc__fail(RLC_ERR_SYSTEM, why, why_size,
                             "the file %s is made and removed all the time: name another file",
                             f.name)
                 : rv;
}

int rlc__shm_store_new(rlc__store **out, const rlc__url *url, const rlc_options *options, char *why,
                       size_t why_size) {
  rlc__region region;
  int fd = -1;
  int rv;

  *out = NULL;
  memset(&region, 0, sizeof region);
  if (url->path != NULL) {
    rv = open_file(&region, &fd, url, options, why, why_size);
  } else {
    rv = open_memory(&region, &fd, url, options, why, why_size);
  }
  return rv == 0 ? rlc__table_store_new(out, &region, fd, url->path == NULL, options, why, why_size)
                 : rv;
}
