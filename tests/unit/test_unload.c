/* SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rlcore/rlcore.h"

/* The shared library, as a program has it that loads what it finds. */
static void *load(int how) {
  const char *build = getenv("RLC_BUILDDIR");
  char path[1024];

  snprintf(path, sizeof path, "%s/libcore/.libs/librlcore.so", build != NULL ? build : "build");
  return dlopen(path, RTLD_NOW | how);
}

/* dlsym, as a pointer to a function. */
static void get(void *library, const char *name, void *function) {
  void *found = dlsym(library, name);

  assert_non_null(found);
  memcpy(function, &found, sizeof found);
}

/* Makes a limiter on |url|, decides once, ends it and closes the library. Returns whether that stays. */
static int stays(const char *url) {
  void *library = load(0);
  int (*policy_new)(rlc_policy **, const char *, const char *, const rlc_memory *, char *, size_t);
  void (*policy_del)(rlc_policy *);
  int (*limiter_new)(rlc_limiter **, const char *, const rlc_options *, char *, size_t);
  void (*limiter_del)(rlc_limiter *);
  int (*check)(rlc_limiter *, const rlc_limit *, size_t, rlc_result *, rlc_decision *);
  rlc_limit limit = RLC_LIMIT_INIT;
  rlc_decision decision = RLC_DECISION_INIT;
  rlc_policy *policy;
  rlc_limiter *limiter;
  int loaded;

  assert_non_null(library);
  get(library, "rlc_policy_new", &policy_new);
  get(library, "rlc_policy_del", &policy_del);
  get(library, "rlc_limiter_new", &limiter_new);
  get(library, "rlc_limiter_del", &limiter_del);
  get(library, "rlc_limiter_check", &check);
  assert_int_equal(policy_new(&policy, "api", "10/s", NULL, NULL, 0), 0);
  assert_int_equal(limiter_new(&limiter, url, NULL, NULL, 0), 0);
  limit.policy = policy;
  limit.key = "alice";
  limit.key_len = 5;
  assert_true(check(limiter, &limit, 1, NULL, &decision) >= 0);
  limiter_del(limiter);
  policy_del(policy);
  assert_int_equal(dlclose(library), 0);
  library = load(RTLD_NOLOAD);
  loaded = library != NULL;
  if (loaded) {
    dlclose(library);
  }
  return loaded;
}

/* A program that closes the library leaves it loaded where a look-up's thread may still be in it, and
 * there alone. */
static void unload_test(void **state) {
  (void)state;
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__ && defined __GLIBC__
  assert_false(stays("memory:")); /* others never unload */
#endif
  assert_true(stays("redis://127.0.0.1:1"));
}

/* How much address space this process has, in pages. */
static long pages(void) {
  FILE *file = fopen("/proc/self/statm", "r");
  long n = 0;

  assert_non_null(file);
  assert_int_equal(fscanf(file, "%ld", &n), 1);
  fclose(file);
  return n;
}

/* Loads the library, makes a limiter on TLS, ends it and closes the library. */
static void load_tls_once(void) {
  void *library = load(0);
  int (*limiter_new)(rlc_limiter **, const char *, const rlc_options *, char *, size_t);
  void (*limiter_del)(rlc_limiter *);
  rlc_limiter *limiter;

  assert_non_null(library);
  get(library, "rlc_limiter_new", &limiter_new);
  get(library, "rlc_limiter_del", &limiter_del);
  assert_int_equal(limiter_new(&limiter, "rediss://127.0.0.1:1", NULL, NULL, 0), 0);
  limiter_del(limiter);
  assert_int_equal(dlclose(library), 0);
}

/* A server that reads its settings anew unloads the library each time: it leaves no page behind. */
static void reload_tls_test(void **state) {
  const int rounds = 100;
  long before;

  (void)state;
  for (int i = 0; i < 10; ++i) {
    load_tls_once();
  }
  before = pages();
  for (int i = 0; i < rounds; ++i) {
    load_tls_once();
  }
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__ && defined __GLIBC__
  assert_true(pages() - before < rounds / 2);
#else
  (void)before;
#endif
}

int main(void) {
  /* The first leaves the library loaded for good. */
  const struct CMUnitTest tests[] = {cmocka_unit_test(reload_tls_test),
                                     cmocka_unit_test(unload_test)};

  return cmocka_run_group_tests_name("unload", tests, NULL, NULL);
}
