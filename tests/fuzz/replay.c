/* SPDX-License-Identifier: Apache-2.0 */

/* Runs a fuzz target over files, without a fuzzer: those that are named, all in the folders that
 * are named, or by default all in the corpus of the target that this program is called after. */

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "check.h"

static int run_file(const char *path) {
  FILE *file = fopen(path, "rb");
  struct stat about;
  uint8_t *data = NULL;
  size_t size = 0;
  int rv = -1;

  if (file != NULL && fstat(fileno(file), &about) == 0) {
    size = (size_t)about.st_size;
    data = malloc(size > 0 ? size : 1); /* no byte more: reading past the end is to be seen */
  }
  if (data != NULL && fread(data, 1, size, file) == size) {
    printf("%s\n", path); /* the last line names what broke it */
    fflush(stdout);
    rv = LLVMFuzzerTestOneInput(data, size);
  } else {
    perror(path);
  }
  free(data);
  if (file != NULL) {
    fclose(file);
  }
  return rv;
}

/* Returns how many files were run, or -1. */
static int run(const char *path) {
  DIR *folder = opendir(path);
  struct dirent *entry;
  int n = 0;

  if (folder == NULL) {
    return run_file(path) == 0 ? 1 : -1;
  }
  while (n >= 0 && (entry = readdir(folder)) != NULL) {
    char file[4096];

    if (entry->d_name[0] != '.') {
      snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
      n = run_file(file) == 0 ? n + 1 : -1;
    }
  }
  closedir(folder);
  return n;
}

int main(int argc, char **argv) {
  const char *source = getenv("RLC_SRCDIR");
  const char *slash = strrchr(argv[0], '/');
  const char *name = strstr(slash != NULL ? slash : argv[0], "fuzz_");
  char corpus[4096];
  int total = 0;

  for (int i = 1; i < argc; ++i) {
    int n = run(argv[i]);

    if (n < 0) {
      return 1;
    }
    total += n;
  }
  if (argc < 2 && name != NULL) {
    snprintf(corpus, sizeof corpus, "%s/tests/fuzz/corpus/%s", source != NULL ? source : ".",
             name + strlen("fuzz_"));
    total = run(corpus);
  }
  if (total <= 0) {
    fprintf(stderr, "no file was run: name files, or folders that hold some\n");
    return 1;
  }
  printf("%d files\n", total);
  return 0;
}
