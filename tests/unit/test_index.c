/* SPDX-License-Identifier: Apache-2.0 */

/* The index in tables: the contract, and what becomes of it when a process dies inside. */

#include "index_help.h"

#include <fcntl.h>
#include <signal.h>

#undef SECOND
#include "table_help.h"

#include "store/table_index.h"

/* --- the contract -------------------------------------------------------------------------- */

static rlc__store *open_memory(const own_folder *p) {
  rlc_options options = no_options();
  rlc__url url = url_of(NULL, 64);
  rlc__store *store;

  (void)p;
  assert_int_equal(rlc__memory_store_new(&store, &url, &options, NULL, 0), 0);
  return store;
}

static rlc__store *open_shared(const own_folder *p) {
  (void)p;
  return open_path(NULL, 64);
}

static rlc__store *open_file(const own_folder *p) {
  return open_path(p->path, 64);
}

/* Each part of the contract on a table of each kind that nobody has used. */
static void test_contract(void **state) {
  static rlc__store *(*const kinds[])(const own_folder *) = {open_memory, open_shared, open_file};
  static void (*const parts[])(rlc__store *) = {
      contract_identify, contract_kinds,     contract_end,      contract_escalation,
      contract_unban,    contract_backwards, contract_refusals, contract_batch,    contract_shorter};
  own_folder *p = *state;

  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; ++i) {
    for (size_t j = 0; j < sizeof parts / sizeof *parts + 4; ++j) {
      rlc__store *store = kinds[i](p);

      switch (j - sizeof parts / sizeof *parts) {
      case 0:
        contract_full(store, 64);
        break;
      case 1:
        contract_dropped(store, 100);
        break;
      case 2:
        contract_flood(store, 64);
        break;
      case 3:
        contract_random(store, 5000);
        break;
      default:
        parts[j](store);
      }
      store->ops->del(store);
      unlink(p->path);
    }
  }
}

/* The version is read without asking, and changes with each change alone. */
static void test_version(void **state) {
  rlc__store *store = open_path(NULL, 64);
  rlc__entry e = override_of(store, "k", "1/s");
  rlc__denials d = denials_of(store, "k", 4);
  reader *r = new_reader();
  uint64_t version;

  (void)state;
  assert_int_equal(store->ops->index_version(store), 0);
  assert_int_equal(put(store, &e, NOW), 0);
  version = store->ops->index_version(store);
  assert_true(version > 0);
  deny(store, &d, 1, NOW);
  assert_int_equal(store->ops->index_version(store), version);
  assert_int_equal(read_news(store, r, NOW), 0);
  assert_int_equal(r->version, version);
  deny(store, &d, 1, NOW);
  assert_true(store->ops->index_version(store) > version);
  r->version = version + 100; /* of another table */
  assert_int_equal(read_news(store, r, NOW), 0);
  assert_true(r->all);
  assert_int_equal(r->n, 2);
  free(r);
  store->ops->del(store);
}

/* Larger tables hold more, up to the most. */
static void test_sizes(void **state) {
  (void)state;
  assert_int_equal(rlc__index_area_entries(64), 64);
  assert_int_equal(rlc__index_area_entries(RLC__SLOTS_DEFAULT), 4096);
  assert_int_equal(rlc__index_area_entries(RLC__SLOTS_MOST), RLC_MAX_ENTRIES);
  for (uint64_t slots = 64; slots <= RLC__SLOTS_MOST; slots *= 2) {
    assert_int_equal(rlc__index_area_size(slots) % 64, 0);
  }
  assert_true(rlc__index_area_size(RLC__SLOTS_DEFAULT) < 3u << 20);
}

/* The most entries there can be are told in one go, and found again. */
static void test_most(void **state) {
  rlc__store *store = open_path(NULL, RLC_MAX_ENTRIES * 64);

  (void)state;
  contract_full(store, RLC_MAX_ENTRIES);
  store->ops->del(store);
}

/* Without a time passed in, the table's own clock goes. */
static void test_clock(void **state) {
  rlc__store *store = open_path(NULL, 64);
  rlc__entry ban = ban_of(store, "k", HOUR);
  reader *r = new_reader();

  (void)state;
  assert_int_equal(put(store, &ban, 0), 0);
  assert_int_equal(read_news(store, r, 0), 0);
  assert_true(r->now_us > 0);
  assert_true(r->entry[0].until_us <= r->now_us + HOUR);
  assert_true(r->entry[0].until_us > r->now_us + HOUR - 10 * SECOND);
  free(r);
  store->ops->del(store);
}

/* --- several processes --------------------------------------------------------------------- */

/* A file's index is seen by all who have it open, and by who opens it later. */
static void test_file_is_shared_and_kept(void **state) {
  own_folder *p = *state;
  rlc__store *one = open_path(p->path, 64);
  rlc__store *two = open_path(p->path, 64);
  rlc__entry e = override_of(one, "k", "1/s");
  reader *r = new_reader();

  assert_int_equal(put(one, &e, NOW), 0);
  assert_int_equal(read_news(two, r, NOW), 0);
  assert_int_equal(r->n, 1);
  one->ops->del(one);
  two->ops->del(two);
  one = open_path(p->path, 0);
  r->version = 0;
  assert_int_equal(read_news(one, r, NOW), 0);
  assert_int_equal(r->n, 1);
  assert_true(same_entry(&r->entry[0], &e));
  one->ops->del(one);
  free(r);
}

/* Processes that put, drop and ban at once: nothing is lost of what they did. */
static void test_at_once(void **state) {
  rlc__store *store = open_path(NULL, 8192);
  reader *r = new_reader();

  (void)state;
  for (int child = 0; child < 4; ++child) {
    if (fork() == 0) {
      char key[16];

      alarm(60);
      for (int i = 0; i < 40; ++i) {
        rlc__denials d = denials_of(store, "everybody", 1);
        rlc__entry e;

        snprintf(key, sizeof key, "%d.%d", child, i);
        e = override_of(store, key, "1/s");
        d.most = 160;
        if (put(store, &e, NOW) != 0 || (i % 2 && drop(store, &e, NOW) != 0)) {
          _exit(1);
        }
        deny(store, &d, 1, NOW);
      }
      _exit(0);
    }
  }
  for (int child = 0; child < 4; ++child) {
    int status;

    assert_true(wait(&status) > 0);
    assert_int_equal(status, 0);
  }
  assert_int_equal(read_news(store, r, NOW), 0);
  assert_int_equal(r->n, 4 * 20 + 1); /* all 160 denials were counted */
  free(r);
  store->ops->del(store);
}

static void *put_some(void *user) {
  static _Atomic int threads;
  rlc__store *store = user;
  reader *r = new_reader();
  int own = ++threads;
  char key[32];

  for (int i = 0; i < 15; ++i) {
    rlc__denials d = denials_of(store, "everybody", 1);
    rlc__entry e;

    d.most = 60;
    snprintf(key, sizeof key, "%d.%d", own, i);
    e = override_of(store, key, "1/s");
    assert_int_equal(put(store, &e, NOW), 0);
    deny(store, &d, 1, NOW);
    assert_int_equal(read_news(store, r, NOW), 0);
    assert_non_null(find_entry(r, &e));
  }
  free(r);
  return NULL;
}

/* So do the threads of one. */
static void test_threads_at_once(void **state) {
  rlc__store *store = open_memory(NULL);
  pthread_t thread[4];
  reader *r = new_reader();

  (void)state;
  for (int i = 0; i < 4; ++i) {
    assert_int_equal(pthread_create(&thread[i], NULL, put_some, store), 0);
  }
  for (int i = 0; i < 4; ++i) {
    pthread_join(thread[i], NULL);
  }
  assert_int_equal(read_news(store, r, NOW), 0);
  assert_int_equal(r->n, 4 * 15 + 1);
  free(r);
  store->ops->del(store);
}

static void wait_for_death(pid_t child) {
  int status;

  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* How a table store begins (table.c): a test looks into its region. */
typedef struct peek {
  rlc__store base;
  rlc_memory memory;
  rlc__region region;
} peek;

/* Killed within the lock, between any two of its steps, a holder leaves what was or what is to be: here
 * a record written without a tag; two that are the same; a tag of somebody else's; a dropped one that has
 * no version. Who is next has it right, and everybody reads all. */
static void test_killed_within_the_lock(void **state) {
  (void)state;
  for (int kind = 0; kind < 4; ++kind) {
    rlc__store *store = open_path(NULL, 64);
    rlc__region *region = &((peek *)store)->region;
    rlc__entry e = override_of(store, "k", "1/s");
    rlc__entry other = override_of(store, "other", "2/s");
    reader *r = new_reader();
    uint64_t version;
    pid_t child;

    assert_int_equal(put(store, &other, NOW), 0);
    assert_int_equal(put(store, &e, NOW), 0);
    assert_int_equal(read_news(store, r, NOW), 0);
    version = r->version;
    child = fork();
    if (child == 0) {
      rlc__index_record *to = rlc__index_record_at(region, 2);
      _Atomic uint64_t *tags = rlc__index_tags(region);

      if (rlc__index_lock(region) != 0) {
        _exit(1);
      }
      to->entry = e;
      strcpy(to->entry.policy, "9/s");
      to->version = version + 1;
      if (kind == 1) {
        tags[2] = tags[1];
      } else if (kind == 2) {
        tags[2] = 12345;
      } else if (kind == 3) {
        rlc__index_record_at(region, 1)->entry.gone = 1;
      }
      raise(SIGKILL);
    }
    wait_for_death(child);
    assert_int_equal(read_news(store, r, NOW), 0);
    assert_true(r->all);
    assert_int_equal(r->n, kind == 3 ? 1 : 2);
    assert_string_equal(find_entry(r, &other)->policy, "2/s");
    if (kind != 3) {
      assert_string_equal(find_entry(r, &e)->policy, kind == 1 ? "9/s" : "1/s");
    }
    assert_int_equal(put(store, &e, NOW), 0);
    assert_int_equal(drop(store, &e, NOW), 0);
    for (int i = 0; i < 63; ++i) { /* as much room as ever */
      char key[8];

      snprintf(key, sizeof key, "%d", i);
      e = override_of(store, key, "1/s");
      assert_int_equal(put(store, &e, NOW), 0);
    }
    e = override_of(store, "too many", "1/s");
    assert_int_equal(put(store, &e, NOW), RLC_ERR_FULL);
    free(r);
    store->ops->del(store);
  }
}

/* Killed at any moment while they change one entry and another's count, processes lose neither it nor
 * what stood beside it, and none of it is there twice. */
static void test_killed_anywhere(void **state) {
  unsigned long rounds = setting("RLC_ROUNDS", 150);
  rlc__store *store = open_path(NULL, 64);
  rlc__entry kept = tier_of(store, "kept", "1/s");
  reader *r = new_reader();

  (void)state;
  assert_int_equal(put(store, &kept, NOW), 0);
  for (unsigned long i = 0; i < rounds; ++i) {
    const struct timespec nap = {0, 20000 + (long)(i * 7919 % 500000)};
    pid_t child = fork();

    if (child == 0) {
      rlc__entry e = override_of(store, "k", "1/s");
      rlc__denials d = denials_of(store, "d", 1);
      rlc__entry ban = ban_of(store, "d", HOUR);

      for (;;) {
        put(store, &e, NOW);
        deny(store, &d, 1, NOW);
        drop(store, &ban, NOW);
      }
    }
    nanosleep(&nap, NULL);
    kill(child, SIGKILL);
    wait_for_death(child);
    r->version = 0;
    assert_int_equal(read_news(store, r, NOW), 0);
    assert_non_null(find_entry(r, &kept));
    assert_true(r->heard == r->n && r->n <= 3);
    for (size_t j = 0; j < r->n; ++j) {
      assert_string_equal(r->entry[j].policy, r->entry[j].kind == RLC_ENTRY_BAN ? "" : "1/s");
    }
  }
  free(r);
  store->ops->del(store);
}

/* In memory of one process, a child's copy is whole though another thread was changing it. */
static void test_copy_of_a_child(void **state) {
  rlc__store *store = open_memory(NULL);
  rlc__region *region = &((peek *)store)->region;
  rlc__entry e = override_of(store, "k", "1/s");
  pid_t child;
  int status;

  (void)state;
  assert_int_equal(put(store, &e, NOW), 0);
  assert_int_equal(rlc__index_lock(region), 0);
  rlc__index_tags(region)[1] = 99;
  child = fork();
  if (child == 0) {
    reader *r = new_reader();

    alarm(20);
    _exit(read_news(store, r, NOW) == 0 && r->n == 1 && put(store, &e, NOW) == 0 ? 0 : 1);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  rlc__index_unlock(region);
  store->ops->del(store);
}

/* --- damaged files ------------------------------------------------------------------------- */

/* Whatever stands where the index is, nothing of it is believed that is no entry, and nothing crashes. */
static void test_damaged_index(void **state) {
  own_folder *p = *state;

  for (unsigned round = 0; round < 200; ++round) {
    rlc__store *store = open_path(p->path, 64);
    size_t size = rlc__index_area_size(64);
    off_t at = (off_t)(rlc__region_size(64) - size);
    rlc__entry e = override_of(store, "k", "1/s");
    rlc__denials d = denials_of(store, "d", 9);
    reader *r = new_reader();
    unsigned char *junk = malloc(size);
    int fd;

    srand(round);
    assert_int_equal(put(store, &e, NOW), 0);
    store->ops->del(store);
    fd = open(p->path, O_RDWR);
    assert_int_equal(pread(fd, junk, size, at), size);
    for (size_t i = 0; i < size; ++i) { /* all of it, or here and there */
      if (round % 2 || rand() % 64 == 0) {
        junk[i] = (unsigned char)rand();
      }
    }
    assert_int_equal(pwrite(fd, junk, size, at), size);
    close(fd);
    store = open_path(p->path, 64);
    assert_int_equal(read_news(store, r, NOW), 0);
    deny(store, &d, 1, NOW);
    assert_int_equal(put(store, &e, NOW), 0);
    assert_int_equal(read_news(store, r, NOW), 0);
    assert_non_null(find_entry(r, &e));
    assert_int_equal(drop(store, &e, NOW), 0);
    store->ops->del(store);
    unlink(p->path);
    free(junk);
    free(r);
  }
}

/* A table of the format without an index is refused, and left as it is. */
static void test_format_before(void **state) {
  own_folder *p = *state;
  rlc__url url = url_of(p->path, 64);
  rlc__store *store = open_path(p->path, 64);
  const uint32_t version = 2;
  int fd;

  store->ops->del(store);
  fd = open(p->path, O_RDWR);
  assert_int_equal(pwrite(fd, &version, sizeof version, offsetof(rlc__layout, version)),
                   sizeof version);
  close(fd);
  assert_int_equal(open_url(&store, &url), RLC_ERR_FOREIGN);
  assert_non_null(strstr(why, "another format version"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      FILE_TEST(test_contract),
      cmocka_unit_test(test_version),
      cmocka_unit_test(test_sizes),
      cmocka_unit_test(test_most),
      cmocka_unit_test(test_clock),
      FILE_TEST(test_file_is_shared_and_kept),
      cmocka_unit_test(test_at_once),
      cmocka_unit_test(test_threads_at_once),
      cmocka_unit_test(test_killed_within_the_lock),
      cmocka_unit_test(test_killed_anywhere),
      cmocka_unit_test(test_copy_of_a_child),
      FILE_TEST(test_damaged_index),
      FILE_TEST(test_format_before),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
