/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "rlctl/rlctl.h"

#define SECRET_MIN 16
#define SECRET_MAX 1024

/* The module's RateLimitSecretFile reads alike. */
rlctl_exit rlctl_secret_read(rlc_options *options, const char *path) {
  char bytes[SECRET_MAX + 2];
  char shown[RLCTL_SHOWN];
  rlctl_exit status = RLCTL_DONE;
  struct stat st;
  FILE *file = NULL;
  size_t got = 0;

  rlctl_show(shown, path);
  /* Asked before it is opened: opening a pipe waits for who writes into it. */
  if (stat(path, &st) != 0 || (S_ISREG(st.st_mode) && (file = fopen(path, "rbe")) == NULL)) {
    return rlctl_say(RLCTL_USAGE, "--secret-file: \"%s\" cannot be read: %s", shown,
                     strerror(errno));
  }
  if (file == NULL) {
    return rlctl_say(RLCTL_USAGE, "--secret-file: \"%s\" is no regular file", shown);
  }
  setvbuf(file, NULL, _IONBF, 0); /* no copy of it stays */
  got = fread(bytes, 1, sizeof bytes, file);
  if (ferror(file)) {
    status = rlctl_say(RLCTL_USAGE, "--secret-file: \"%s\" cannot be read to its end", shown);
  } else if (st.st_mode & (S_IROTH | S_IWOTH)) {
    status = rlctl_say(RLCTL_USAGE, "--secret-file: \"%s\" is open to every user: take that away "
                       "with chmod 600, and make a new secret", shown);
  }
  fclose(file);
  if (got > 0 && bytes[got - 1] == '\n') {
    --got;
  }
  if (status == RLCTL_DONE && (got < SECRET_MIN || got > SECRET_MAX)) {
    status = rlctl_say(RLCTL_USAGE, "--secret-file: \"%s\" holds %s bytes than a secret has, which "
                       "is %d to %d", shown, got < SECRET_MIN ? "fewer" : "more", SECRET_MIN,
                       SECRET_MAX);
  }
  if (status == RLCTL_DONE && rlc_options_set_secret(options, bytes, got) != 0) {
    status = rlctl_say(RLCTL_UNAVAILABLE, "%s", rlc_strerror(RLC_ERR_NOMEM));
  }
  explicit_bzero(bytes, sizeof bytes);
  return status;
}
