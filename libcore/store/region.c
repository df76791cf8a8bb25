/* SPDX-License-Identifier: Apache-2.0 */
#include "store/region.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/siphash.h"
#include "store/table_index.h"

#define MAGIC "RLCTABLE"
#define BYTE_ORDER_MARK UINT32_C(0x01020304)
#define VERSION 3u
#define PAGE ((size_t)4096)
#define SPINS 100

_Static_assert(sizeof(rlc__lock) == 64, "a mutex fits a cache line");
_Static_assert(sizeof(rlc__narrow_set) == 128, "a narrow set is two cache lines");
_Static_assert(sizeof(rlc__wide_set) % 64 == 0, "wide sets begin at cache lines");
_Static_assert(sizeof(rlc__block_set) == 1024, "a block is two cache lines");
_Static_assert(sizeof(rlc__header) <= PAGE, "the header is one page");
_Static_assert(RLC__STRIPES * sizeof(rlc__lock) == PAGE, "the locks are one page");

static uint64_t wide_slots_of(uint64_t slots) {
  return slots / 4 < RLC__SLOTS_LEAST ? RLC__SLOTS_LEAST : slots / 4;
}

static uint64_t blocks_of(uint64_t slots) {
  uint64_t least = RLC__BLOCK_SETS * RLC__WAYS;

  return slots / 8 < least ? least : slots / 8;
}

uint64_t rlc__region_slots(uint64_t slots) {
  uint64_t rounded = RLC__SLOTS_LEAST;

  if (slots == 0) {
    return RLC__SLOTS_DEFAULT;
  }
  while (rounded < slots && rounded < RLC__SLOTS_MOST) {
    rounded *= 2;
  }
  return rounded;
}

/* Where the index lies: behind the wide slots. */
static size_t index_at(uint64_t slots) {
  return 2 * PAGE + slots / RLC__WAYS * sizeof(rlc__narrow_set) +
         wide_slots_of(slots) / RLC__WAYS * sizeof(rlc__wide_set) +
         blocks_of(slots) / RLC__WAYS * sizeof(rlc__block_set);
}

size_t rlc__region_size(uint64_t slots) {
  return index_at(slots) + rlc__index_area_size(slots);
}

/* --- the header ---------------------------------------------------------------------------- */

static uint64_t check_of(const rlc__layout *layout) {
  return rlc__siphash2(layout->hash_key, layout, offsetof(rlc__layout, check), "", 0, VERSION);
}

/* Writes the name of this boot, or "" where the kernel does not tell it. */
static void read_boot_id(char *id, size_t size) {
  int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  ssize_t got = 0;

  memset(id, 0, size);
  if (fd >= 0) {
    got = read(fd, id, size - 1);
    close(fd);
  }
  if (got < 0) {
    got = 0;
  }
  memset(id + got, 0, size - (size_t)got);
}

static void take_offset(rlc__header *header) {
  header->offset_us = rlc__clock_wall_us() - rlc__clock_boottime_us();
  read_boot_id(header->boot_id, sizeof header->boot_id);
}

static int make_locks(rlc__lock *locks, unsigned n, char *why, size_t why_size) {
  pthread_mutexattr_t attr;
  int error = pthread_mutexattr_init(&attr);

  if (error == 0) {
    error = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    if (error == 0) {
      error = pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    }
    for (unsigned i = 0; error == 0 && i < n; ++i) {
      memset(&locks[i], 0, sizeof locks[i]);
      error = pthread_mutex_init(&locks[i].mutex, &attr);
    }
    pthread_mutexattr_destroy(&attr);
  }
  if (error != 0) {
    errno = error;
    return rlc__fail(RLC_ERR_SYSTEM, why, why_size, "no locks that processes can share: %s",
                     strerror(error));
  }
  return 0;
}

/* Makes all locks that lie in the region. */
static int make_all_locks(rlc__region *region, uint64_t slots, char *why, size_t why_size) {
  void *area = (unsigned char *)region->header + index_at(slots);
  int rv = make_locks(region->locks, RLC__STRIPES, why, why_size);

  return rv == 0 ? make_locks(rlc__index_area_lock(area), 1, why, why_size) : rv;
}

/* Fills the header of a zeroed region. */
static int format(rlc__region *region, uint64_t slots, char *why, size_t why_size) {
  rlc__layout *layout = &region->header->layout;

  layout->byte_order = BYTE_ORDER_MARK;
  layout->version = VERSION;
  layout->size = region->size;
  layout->slots = slots;
  layout->wide_slots = wide_slots_of(slots);
  layout->blocks = blocks_of(slots);
  layout->lock_size = sizeof(pthread_mutex_t);
  layout->state_words = RLC__STATE_WORDS;
  if (getrandom(layout->hash_key, sizeof layout->hash_key, 0) != sizeof layout->hash_key) {
    return rlc__fail(RLC_ERR_SYSTEM, why, why_size, "the system gives no random bytes: %s",
                     strerror(errno));
  }
  memcpy(layout->magic, MAGIC, sizeof layout->magic);
  layout->check = check_of(layout);
  take_offset(region->header);
  return region->own_locks ? 0 : make_all_locks(region, slots, why, why_size);
}

/* Returns what is wrong with a header, or NULL. |size| is what there is behind the descriptor. */
static const char *fault_of(const rlc__layout *layout, uint64_t size) {
  if (memcmp(layout->magic, MAGIC, sizeof layout->magic) != 0) {
    return "is not a table of rate limits";
  }
  if (layout->byte_order != BYTE_ORDER_MARK) {
    return "comes from a machine of another byte order";
  }
  if (layout->version != VERSION) {
    return "is a table of another format version";
  }
  if (layout->check != check_of(layout) || layout->slots < RLC__SLOTS_LEAST ||
      rlc__region_slots(layout->slots) != layout->slots ||
      layout->wide_slots != wide_slots_of(layout->slots) ||
      layout->blocks != blocks_of(layout->slots) ||
      layout->size != rlc__region_size(layout->slots)) {
    return "has a damaged header";
  }
  if (layout->lock_size != sizeof(pthread_mutex_t) || layout->state_words != RLC__STATE_WORDS) {
    return "comes from a program built for another system";
  }
  if (size != layout->size) {
    return size < layout->size ? "is truncated" : "is longer than its header says";
  }
  return NULL;
}

/* --- mapping ------------------------------------------------------------------------------- */

/* Copies out what the hot path reads. */
static void point(rlc__region *region, const rlc__layout *layout) {
  unsigned char *base = (unsigned char *)region->header;

  region->narrow = (rlc__narrow_set *)(base + 2 * PAGE);
  region->wide = (rlc__wide_set *)(base + 2 * PAGE +
                                   layout->slots / RLC__WAYS * sizeof(rlc__narrow_set));
  region->block = (rlc__block_set *)(void *)((unsigned char *)region->wide +
                                             layout->wide_slots / RLC__WAYS *
                                                 sizeof(rlc__wide_set));
  region->index = (rlc__index_area *)(void *)(base + index_at(layout->slots));
  region->index_lock =
      region->own_locks ? region->locks + RLC__STRIPES : rlc__index_area_lock(region->index);
  region->slots = layout->slots;
  region->wide_slots = layout->wide_slots;
  region->blocks = layout->blocks;
  region->offset_us = region->header->offset_us;
  memcpy(region->hash_key, layout->hash_key, sizeof region->hash_key);
}

static int map(rlc__region *region, size_t size, int flags, int fd, char *why, size_t why_size) {
  void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);

  memset(region, 0, sizeof *region);
  if (base == MAP_FAILED) {
    return rlc__fail(errno == ENOMEM ? RLC_ERR_NOMEM : RLC_ERR_SYSTEM, why, why_size,
                     "a table of %zu bytes cannot be mapped: %s; ask for fewer slots with size=",
                     size, strerror(errno));
  }
  region->header = base;
  region->size = size;
  region->locks = (rlc__lock *)(void *)((unsigned char *)base + PAGE);
  return 0;
}

/* Locks of this process alone, that of the index behind the stripes'. The kernel wipes them in a child, where they must not look held by a
 * thread that only the parent has; zeroes are a free mutex in glibc and musl. */
static int make_own_locks(rlc__region *region, char *why, size_t why_size) {
  static const pthread_mutex_t unlocked = PTHREAD_MUTEX_INITIALIZER;
  static const pthread_mutex_t zeroes;
  void *locks = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

  if (locks == MAP_FAILED) {
    return rlc__fail(RLC_ERR_NOMEM, why, why_size, "out of memory");
  }
  region->locks = locks;
  region->own_locks = 1;
  if (memcmp(&unlocked, &zeroes, sizeof zeroes) != 0 ||
      madvise(locks, 2 * PAGE, MADV_WIPEONFORK) != 0) {
    return rlc__fail(RLC_ERR_UNSUPPORTED, why, why_size,
                     "memory: needs Linux 4.14 and a C library whose free mutex is zeroes; write "
                     "shm: instead");
  }
  return 0;
}

int rlc__region_new_private(rlc__region *region, uint64_t slots, char *why, size_t why_size) {
  int rv = map(region, rlc__region_size(slots), MAP_PRIVATE | MAP_ANONYMOUS, -1, why, why_size);

  if (rv == 0) {
    rv = make_own_locks(region, why, why_size);
    if (rv == 0) {
      rv = format(region, slots, why, why_size);
    }
    if (rv == 0) {
      point(region, &region->header->layout);
    } else {
      rlc__region_del(region);
    }
  }
  return rv;
}

/* Makes a new region in memory or a file that processes share. */
static int new_shared(rlc__region *region, uint64_t slots, int flags, int fd, char *why,
                      size_t why_size) {
  int rv = map(region, rlc__region_size(slots), flags, fd, why, why_size);

  if (rv == 0) {
    rv = format(region, slots, why, why_size);
    if (rv == 0) {
      point(region, &region->header->layout);
    } else {
      rlc__region_del(region);
    }
  }
  return rv;
}

int rlc__region_new_anonymous(rlc__region *region, uint64_t slots, char *why, size_t why_size) {
  return new_shared(region, slots, MAP_SHARED | MAP_ANONYMOUS, -1, why, why_size);
}

int rlc__region_new_file(rlc__region *region, int fd, uint64_t slots, char *why, size_t why_size) {
  return new_shared(region, slots, MAP_SHARED, fd, why, why_size);
}

int rlc__region_open(rlc__region *region, int fd, uint64_t slots, const char *what, char *why,
                     size_t why_size) {
  rlc__layout layout;
  struct stat st;
  const char *fault;
  ssize_t got;
  int rv;

  memset(region, 0, sizeof *region);
  if (fstat(fd, &st) != 0) {
    return rlc__fail(RLC_ERR_SYSTEM, why, why_size, "%s cannot be looked at: %s", what,
                     strerror(errno));
  }
  /* Read, not mapped: a file too short must not end in SIGBUS. */
  got = S_ISREG(st.st_mode) ? pread(fd, &layout, sizeof layout, 0) : 0;
  if (got < 0) {
    return rlc__fail(RLC_ERR_SYSTEM, why, why_size, "%s cannot be read: %s", what, strerror(errno));
  }
  fault = got == sizeof layout ? fault_of(&layout, (uint64_t)st.st_size)
                               : "is too short to be a table of rate limits";
  if (fault != NULL) {
    return rlc__fail(RLC_ERR_FOREIGN, why, why_size, "%s %s: remove it, or name another file", what,
                     fault);
  }
  if (slots != 0 && slots != layout.slots) {
    return rlc__fail(RLC_ERR_FOREIGN, why, why_size,
                     "%s has %llu slots, not %llu: leave size= out, or remove the file", what,
                     (unsigned long long)layout.slots, (unsigned long long)slots);
  }
  rv = map(region, (size_t)layout.size, MAP_SHARED, fd, why, why_size);
  if (rv == 0) {
    point(region, &layout);
  }
  return rv;
}

int rlc__region_renew(rlc__region *region, char *why, size_t why_size) {
  char boot_id[sizeof region->header->boot_id];
  int rv = make_all_locks(region, region->slots, why, why_size);

  rlc__index_doubt(region->index);
  read_boot_id(boot_id, sizeof boot_id);
  if (memcmp(boot_id, region->header->boot_id, sizeof boot_id) != 0) {
    take_offset(region->header);
    region->offset_us = region->header->offset_us;
  }
  return rv;
}

void rlc__region_del(rlc__region *region) {
  if (region->header != NULL) {
    munmap(region->header, region->size);
    if (region->own_locks) {
      munmap(region->locks, 2 * PAGE);
    }
  }
  memset(region, 0, sizeof *region);
}

/* --- clock and locks ----------------------------------------------------------------------- */

int64_t rlc__region_now_us(const rlc__region *region) {
  return rlc__clock_boottime_us() + region->offset_us;
}

static void pause_cpu(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

int rlc__region_lock_at(rlc__lock *lock) {
  pthread_mutex_t *mutex = &lock->mutex;
  int error = pthread_mutex_trylock(mutex);

  /* What is done inside takes less time than falling asleep. */
  for (int i = 0; error == EBUSY && i < SPINS; ++i) {
    pause_cpu();
    error = pthread_mutex_trylock(mutex);
  }
  if (error == EBUSY) {
    error = pthread_mutex_lock(mutex);
  }
  if (error == EOWNERDEAD) {
    pthread_mutex_consistent(mutex);
    return 1;
  }
  return error == 0 ? 0 : -1;
}

int rlc__region_lock(rlc__region *region, unsigned stripe) {
  return rlc__region_lock_at(&region->locks[stripe]);
}

void rlc__region_unlock(rlc__region *region, unsigned stripe) {
  pthread_mutex_unlock(&region->locks[stripe].mutex);
}
