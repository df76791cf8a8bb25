/* SPDX-License-Identifier: Apache-2.0 */

/* Opening `shm:` and `shm:/path`: handing tables on, sharing files, and refusing what is no
 * table. */

#include "table_help.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define NOBODY 65534

static rlc_policy *policy;

/* Opens |path|, expects |error| and a sentence with |words|, and that the file is as before. */
static void refuse(const char *path, uint64_t slots, int error, const char *words) {
  rlc__url url = url_of(path, slots);
  rlc__store *store = (rlc__store *)&url;
  struct stat before;
  struct stat after;
  int existed = lstat(path, &before) == 0;

  assert_int_equal(open_url(&store, &url), error);
  assert_null(store);
  if (strstr(why, words) == NULL) {
    fail_msg("\"%s\" is not in \"%s\"", words, why);
  }
  assert_int_equal(lstat(path, &after) == 0, existed);
  if (existed) {
    assert_int_equal(before.st_size, after.st_size);
    assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
  }
}

/* --- shm: ---------------------------------------------------------------------------------- */

static int adopt(rlc__store **store, int fd, uint64_t slots) {
  rlc_options options = no_options();
  rlc__url url = url_of(NULL, slots);

  options.set = RLC__OPT_SHM_FD;
  options.shm_fd = fd;
  return rlc__shm_store_new(store, &url, &options, why, sizeof why);
}

/* A table handed on by its descriptor keeps its counters after the first owner is gone. */
static void test_descriptor_keeps_the_table(void **state) {
  rlc__store *first = open_path(NULL, 64);
  rlc__store *second;
  int fd = dup(first->ops->get_fd(first));

  (void)state;
  assert_true(check(first, policy, "k", 3, DAY));
  first->ops->del(first);
  assert_int_equal(adopt(&second, fd, 64), 0);
  close(fd);
  assert_int_equal(remaining(second, policy, "k", DAY), 2);
  assert_true(fcntl(second->ops->get_fd(second), F_GETFD) & FD_CLOEXEC);
  second->ops->del(second);
}

/* The memory's size is sealed, so that nobody it is handed to can cut it. */
static void test_memory_is_sealed(void **state) {
  rlc__store *store = open_path(NULL, 64);
  int fd = store->ops->get_fd(store);

  (void)state;
  assert_int_equal(ftruncate(fd, 0), -1);
  assert_int_equal(ftruncate(fd, 1 << 24), -1);
  store->ops->del(store);
}

static char last_log[RLC_MESSAGE_SIZE];

static void keep_log(rlc_log_level level, const char *id, const char *message, void *user) {
  (void)level;
  (void)user;
  snprintf(last_log, sizeof last_log, "%s %s", id, message);
}

/* A descriptor that is no such table, or of another size, is passed over with a line in the log. */
static void test_other_descriptors_are_passed_over(void **state) {
  rlc__store *other = open_path(NULL, 128);
  int fds[] = {other->ops->get_fd(other), memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING),
               memfd_create("y", MFD_CLOEXEC), open("/dev/null", O_RDWR | O_CLOEXEC), 9999};

  (void)state;
  check(other, policy, "k", 3, DAY);
  assert_int_equal(fcntl(fds[1], F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
  for (size_t i = 0; i < sizeof fds / sizeof *fds; ++i) {
    rlc_options options = no_options();
    rlc__url url = url_of(NULL, 64);
    rlc__store *store;

    options.set = RLC__OPT_SHM_FD;
    options.shm_fd = fds[i];
    options.log.fn = keep_log;
    last_log[0] = '\0';
    assert_int_equal(rlc__shm_store_new(&store, &url, &options, why, sizeof why), 0);
    assert_non_null(strstr(last_log, "RLC0201"));
    assert_int_equal(stats_of(store).slots, 64 + 64 + 128);
    assert_int_equal(remaining(store, policy, "k", DAY), 5);
    store->ops->del(store);
  }
  for (size_t i = 1; i < 4; ++i) {
    close(fds[i]);
  }
  other->ops->del(other);
}

/* --- shm:/path ----------------------------------------------------------------------------- */

/* A file is made with its mode, whatever the umask, and is found again with its counters. */
static void test_file_is_made_and_found(void **state) {
  own_folder *p = *state;
  rlc__url url = url_of(p->path, 64);
  mode_t mask = umask(0077);
  rlc__store *store;
  struct stat st;

  url.mode = 0660;
  assert_int_equal(open_url(&store, &url), 0);
  umask(mask);
  assert_int_equal(stat(p->path, &st), 0);
  assert_int_equal(st.st_mode & 07777, 0660);
  assert_true(st.st_blocks * 512 >= st.st_size);
  assert_int_equal(store->ops->get_fd(store), -1);
  assert_true(check(store, policy, "k", 3, DAY));
  store->ops->del(store);
  store = open_path(p->path, 0);
  assert_int_equal(remaining(store, policy, "k", DAY), 2);
  assert_int_equal(stats_of(store).slots_used, 1);
  store->ops->del(store);
}

/* Two programs with the same path share each counter, in one process and in two. */
static void test_file_is_shared(void **state) {
  own_folder *p = *state;
  rlc__store *one = open_path(p->path, 64);
  rlc__store *two = open_path(p->path, 64);
  pid_t child;
  int status;

  assert_true(check(one, policy, "k", 1, DAY));
  assert_true(check(two, policy, "k", 1, DAY));
  child = fork();
  if (child == 0) {
    rlc__store *three = open_path(p->path, 64);

    _exit(check(three, policy, "k", 1, DAY) ? 0 : 1);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  assert_int_equal(remaining(one, policy, "k", DAY), 2);
  one->ops->del(one);
  two->ops->del(two);
}

/* Many processes that open one absent file at once all get the same table. */
static void test_all_open_the_same_new_file(void **state) {
  own_folder *p = *state;
  _Atomic unsigned *admitted = shared_memory(sizeof *admitted);
  _Atomic unsigned *ready = shared_memory(sizeof *ready);

  for (unsigned round = 0; round < 20; ++round) {
    rlc__store *store;

    *admitted = 0;
    *ready = 0;
    for (int i = 0; i < 6; ++i) {
      if (fork() == 0) {
        alarm(60);
        for (++*ready; *ready < 6;) {
        }
        store = open_path(p->path, 64);
        *admitted += (unsigned)check(store, policy, "k", 2, DAY);
        _exit(0);
      }
    }
    for (int i = 0; i < 6; ++i) {
      int status;

      assert_true(wait(&status) > 0);
      assert_int_equal(status, 0);
    }
    assert_int_equal(*admitted, 2);
    assert_int_equal(unlink(p->path), 0);
  }
  munmap(admitted, sizeof *admitted);
  munmap(ready, sizeof *ready);
}

/* size= is checked against the file; without it the file's own holds. */
static void test_sizes_agree(void **state) {
  own_folder *p = *state;
  rlc__store *store = open_path(p->path, 100);

  assert_int_equal(stats_of(store).slots, 128 + 64 + 128);
  store->ops->del(store);
  refuse(p->path, 64, RLC_ERR_FOREIGN, "has 128 slots, not 64: leave size= out, or remove");
  store = open_path(p->path, 128);
  store->ops->del(store);
  store = open_path(p->path, 0);
  assert_int_equal(stats_of(store).slots, 128 + 64 + 128);
  store->ops->del(store);
}

static void damage(const char *path, off_t at, const void *bytes, size_t size) {
  int fd = open(path, O_RDWR);

  assert_int_equal(pwrite(fd, bytes, size, at), size);
  close(fd);
}

/* Each damaged, foreign or truncated file is refused with a sentence, and left as it is. */
static void test_damaged_files_are_refused(void **state) {
  static const struct {
    const char *words;
    size_t at;
    uint8_t byte;
  } cases[] = {
      {"is not a table", offsetof(rlc__layout, magic), 'x'},
      {"another byte order", offsetof(rlc__layout, byte_order), 0x77},
      {"another format version", offsetof(rlc__layout, version), 99},
      {"another format version", offsetof(rlc__layout, version), 1}, /* buckets without a level */
      {"damaged header", offsetof(rlc__layout, size) + 1, 0xff},
      {"damaged header", offsetof(rlc__layout, size) + 7, 0xff},
      {"damaged header", offsetof(rlc__layout, slots) + 1, 0xff},
      {"damaged header", offsetof(rlc__layout, slots) + 7, 0xff},
      {"damaged header", offsetof(rlc__layout, wide_slots), 0xff},
      {"damaged header", offsetof(rlc__layout, blocks), 0xff},
      {"damaged header", offsetof(rlc__layout, lock_size), 0xff},
      {"damaged header", offsetof(rlc__layout, check), 0},
  };
  own_folder *p = *state;

  for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
    rlc__store *store = open_path(p->path, 64);
    uint8_t byte = cases[i].byte;

    store->ops->del(store);
    if (cases[i].at == offsetof(rlc__layout, check)) {
      int fd = open(p->path, O_RDONLY);

      assert_int_equal(pread(fd, &byte, 1, (off_t)cases[i].at), 1);
      byte ^= 1;
      close(fd);
    }
    damage(p->path, (off_t)cases[i].at, &byte, 1);
    refuse(p->path, 0, RLC_ERR_FOREIGN, cases[i].words);
    assert_non_null(strstr(why, "remove it, or name another file"));
    assert_int_equal(unlink(p->path), 0);
  }
}

/* A file cut anywhere, or with bytes added, is refused and never a crash. */
static void test_truncated_files_are_refused(void **state) {
  own_folder *p = *state;
  off_t whole = (off_t)rlc__region_size(64);
  const struct {
    off_t size;
    const char *words;
  } cases[] = {{0, "too short"},           {1, "too short"},
               {sizeof(rlc__layout) - 1, "too short"}, {sizeof(rlc__layout), "is truncated"},
               {4096, "is truncated"},     {whole - 1, "is truncated"},
               {whole + 1, "is longer than its header says"}};

  for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
    rlc__store *store = open_path(p->path, 64);

    store->ops->del(store);
    assert_int_equal(truncate(p->path, cases[i].size), 0);
    refuse(p->path, 0, RLC_ERR_FOREIGN, cases[i].words);
    assert_int_equal(unlink(p->path), 0);
  }
}

/* Behind a whole header anything may lie: every decision still comes to an end and is one. */
static void test_random_slots_do_no_harm(void **state) {
  own_folder *p = *state;
  rlc__store *store = open_path(p->path, 64);
  rlc_policy *wide = parse("5/h algorithm=sliding-window");
  rlc_policy *log = parse("5/h algorithm=sliding-log");
  size_t size = rlc__region_size(64);
  uint64_t random = 88172645463325252u;

  store->ops->del(store);
  for (size_t at = 4096; at < size; at += sizeof random) {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    damage(p->path, (off_t)at, &random, sizeof random);
  }
  store = open_path(p->path, 64);
  alarm(20);
  for (unsigned i = 0; i < 300; ++i) {
    char key[16];

    snprintf(key, sizeof key, "%u", i);
    assert_true(check(store, policy, key, 5, DAY));
    assert_false(check(store, policy, key, 1, DAY));
    assert_true(check(store, wide, key, 5, DAY));
    assert_false(check(store, wide, key, 1, DAY));
    assert_true(check(store, log, key, 5, DAY));
    assert_false(check(store, log, key, 1, DAY));
  }
  alarm(0);
  assert_int_equal(stats_of(store).slots_used, 64 + 64 + 128);
  rlc_policy_del(wide);
  rlc_policy_del(log);
  store->ops->del(store);
}

/* What is no plain file is refused and not followed. */
static void test_other_kinds_are_refused(void **state) {
  own_folder *p = *state;
  char target[128];

  refuse(p->folder, 0, RLC_ERR_FOREIGN, "is a folder");
  assert_int_equal(mkfifo(p->path, 0600), 0);
  refuse(p->path, 0, RLC_ERR_FOREIGN, "is no plain file");
  assert_int_equal(unlink(p->path), 0);
  snprintf(target, sizeof target, "%s/target", p->folder);
  assert_int_equal(symlink(target, p->path), 0);
  refuse(p->path, 0, RLC_ERR_FOREIGN, "is a symbolic link");
  assert_int_equal(access(target, F_OK), -1);
  refuse("/dev/null", 0, RLC_ERR_FOREIGN, "is no plain file");
}

/* A folder that is missing, or that may not be written to, is told apart, with what to do. */
static void test_folders_that_do_not_serve(void **state) {
  own_folder *p = *state;
  char path[160];
  int status;

  snprintf(path, sizeof path, "%s/none/table", p->folder);
  refuse(path, 0, RLC_ERR_SYSTEM, "make the folder first");
  assert_int_equal(chmod(p->folder, 0555), 0);
  if (fork() == 0) {
    rlc__url url = url_of(p->path, 64);
    rlc__store *store;

    if (geteuid() == 0 && setuid(NOBODY) != 0) {
      _exit(2);
    }
    _exit(open_url(&store, &url) == RLC_ERR_SYSTEM && errno == EACCES &&
                  strstr(why, "let this user write there") != NULL
              ? 0
              : 1);
  }
  assert_true(wait(&status) > 0);
  assert_int_equal(status, 0);
  assert_int_equal(chmod(p->folder, 0700), 0);
}

/* A file that every user can write is refused unless mode= says that this is meant. */
static void test_writable_by_all(void **state) {
  own_folder *p = *state;
  rlc__url url = url_of(p->path, 64);
  rlc__store *store = open_path(p->path, 64);

  store->ops->del(store);
  assert_int_equal(chmod(p->path, 0666), 0);
  refuse(p->path, 0, RLC_ERR_FOREIGN, "can be written by every user");
  url.mode = 0666;
  assert_int_equal(open_url(&store, &url), 0);
  store->ops->del(store);
}

/* group= gives the file to a group; one that does not exist leaves no file behind. */
static void test_groups(void **state) {
  own_folder *p = *state;
  rlc__url url = url_of(p->path, 64);
  rlc__store *store;
  struct stat st;
  struct group *own = getgrgid(getegid());
  char name[64];

  url.group = (char *)(uintptr_t) "no-such-group\n";
  assert_int_equal(open_url(&store, &url), RLC_ERR_URL);
  assert_non_null(strstr(why, "group=no-such-group\\x0a: there is no such group"));
  assert_int_equal(access(p->path, F_OK), -1);
  if (own == NULL) {
    fail_msg("the group of this process has no name");
  }
  snprintf(name, sizeof name, "%s", own->gr_name);
  url.group = name;
  assert_int_equal(open_url(&store, &url), 0);
  assert_int_equal(stat(p->path, &st), 0);
  assert_int_equal(st.st_gid, getegid());
  store->ops->del(store);
}

/* A name with bytes that would upset a terminal or a log is escaped in messages. */
static void test_names_are_escaped(void **state) {
  (void)state;
  refuse("/no\nsuch\x1b/folder", 0, RLC_ERR_SYSTEM, "/no\\x0asuch\\x1b/folder");
}

/* A full disk is an error at opening, and leaves nothing behind. */
static void test_no_room(void **state) {
  own_folder *p = *state;
  rlc__url url = url_of(p->path, RLC__SLOTS_MOST);
  rlc__store *store;
  int status;

  if (fork() == 0) {
    /* A limit on file sizes stands for a disk that is full: both end posix_fallocate early. */
    struct rlimit limit = {1 << 20, 1 << 20};

    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    _exit(open_url(&store, &url) == RLC_ERR_SYSTEM && errno == EFBIG ? 0 : 1);
  }
  assert_true(wait(&status) > 0);
  assert_int_equal(status, 0);
  assert_int_equal(access(p->path, F_OK), -1);
}

/* A file that another program keeps locked is given up after a while, with a sentence. */
static void test_locked_by_others(void **state) {
  own_folder *p = *state;
  rlc__store *store = open_path(p->path, 64);
  int fd = open(p->path, O_RDWR);

  store->ops->del(store);
  assert_int_equal(flock(fd, LOCK_EX), 0);
  refuse(p->path, 0, RLC_ERR_SYSTEM, "is locked by another process");
  close(fd);
  store = open_path(p->path, 0);
  store->ops->del(store);
}

static int parse_policy(void **state) {
  (void)state;
  policy = parse("5/h");
  return 0;
}

static int delete_policy(void **state) {
  (void)state;
  rlc_policy_del(policy);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_descriptor_keeps_the_table),
      cmocka_unit_test(test_memory_is_sealed),
      cmocka_unit_test(test_other_descriptors_are_passed_over),
      FILE_TEST(test_file_is_made_and_found),
      FILE_TEST(test_file_is_shared),
      FILE_TEST(test_all_open_the_same_new_file),
      FILE_TEST(test_sizes_agree),
      FILE_TEST(test_damaged_files_are_refused),
      FILE_TEST(test_truncated_files_are_refused),
      FILE_TEST(test_random_slots_do_no_harm),
      FILE_TEST(test_other_kinds_are_refused),
      FILE_TEST(test_folders_that_do_not_serve),
      FILE_TEST(test_writable_by_all),
      FILE_TEST(test_groups),
      cmocka_unit_test(test_names_are_escaped),
      FILE_TEST(test_no_room),
      FILE_TEST(test_locked_by_others),
  };

  return cmocka_run_group_tests(tests, parse_policy, delete_policy);
}
