/* SPDX-License-Identifier: Apache-2.0 */
#include "stores.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <http_core.h>
#include <apr_file_io.h>
#include <apr_strings.h>

#include "config.h"

/* Statics do not survive a restart, which unloads the module; the parent makes the limiter anew
 * and its table is found again through the descriptor kept below. */
static rlc_limiter *the_limiter;
static pid_t owner;

rlc_limiter *ratelimit_limiter(void) {
  return the_limiter;
}

/* --- the secret ---------------------------------------------------------------------------- */

enum { SECRET_MIN = 16, SECRET_MAX = 1024 };

const char *ratelimit_stores_read_secret(cmd_parms *cmd, const char *path, const char **secret,
                                         apr_size_t *len) {
  char *bytes = apr_palloc(cmd->pool, SECRET_MAX + 2);
  const char *full = ap_server_root_relative(cmd->temp_pool, path);
  const char *why = NULL;
  apr_file_t *file = NULL;
  apr_finfo_t info;
  apr_size_t got = 0;
  apr_status_t rv;
  char reason[120];

  *secret = NULL;
  *len = 0;
  if (full == NULL) {
    return apr_psprintf(cmd->pool, "%s: \"%s\" is no path: write the path of a file",
                        cmd->cmd->name, ap_escape_logitem(cmd->temp_pool, path));
  }
  /* Asked before it is opened: opening a pipe waits for who writes into it. */
  rv = apr_stat(&info, full, APR_FINFO_TYPE, cmd->temp_pool);
  if (rv == APR_SUCCESS && info.filetype != APR_REG) {
    why = "is no regular file: write the path of one";
    goto leave;
  }
  rv = apr_file_open(&file, full, APR_FOPEN_READ | APR_FOPEN_BINARY, APR_FPROT_OS_DEFAULT,
                     cmd->temp_pool);
  if (rv == APR_SUCCESS) {
    rv = apr_file_info_get(&info, APR_FINFO_TYPE | APR_FINFO_PROT, file);
  }
  if (rv != APR_SUCCESS) {
    why = apr_psprintf(cmd->pool, "cannot be read (%s): write the path of a file that holds %d to "
                       "%d random bytes",
                       apr_strerror(rv, reason, sizeof reason), SECRET_MIN, SECRET_MAX);
    goto leave;
  }
  if (info.filetype != APR_REG) {
    why = "is no regular file: write the path of one";
    goto leave;
  }
  if (info.protection & (APR_FPROT_WREAD | APR_FPROT_WWRITE)) {
    why = "is open to every user: take that away with chmod 600, and make a new secret";
    goto leave;
  }
  rv = apr_file_read_full(file, bytes, SECRET_MAX + 2, &got);
  if (rv != APR_SUCCESS && !APR_STATUS_IS_EOF(rv)) {
    why = apr_psprintf(cmd->pool, "cannot be read to its end (%s)",
                       apr_strerror(rv, reason, sizeof reason));
    goto leave;
  }
  if (got > 0 && bytes[got - 1] == '\n') {
    --got;
  }
  if (got < SECRET_MIN || got > SECRET_MAX) {
    why = apr_psprintf(cmd->pool, "holds %s bytes than a secret has: write %d to %d random bytes "
                       "into it, as from \"openssl rand -hex 32\"",
                       got < SECRET_MIN ? "fewer" : "more", SECRET_MIN, SECRET_MAX);
    goto leave;
  }
  *secret = bytes;
  *len = got;

leave:
  if (file != NULL) {
    apr_file_close(file);
  }
  return why == NULL ? NULL
                     : apr_psprintf(cmd->pool, "%s: the file \"%s\" %s", cmd->cmd->name,
                                    ap_escape_logitem(cmd->temp_pool, full), why);
}

/* --- a first try --------------------------------------------------------------------------- */

/* A path of the same length where no file can be made: what is wrong with the rest of the URL is
 * then still found, and named at its right column. Returns NULL if there is no room for one. */
static char *stand_in(apr_pool_t *pool, const char *url, size_t at, size_t len) {
  static const char nowhere[] = "/proc/0/";
  char *copy = apr_pstrdup(pool, url);

  if (len <= sizeof nowhere) {
    return NULL;
  }
  memcpy(copy + at, nowhere, sizeof nowhere - 1);
  memset(copy + at + sizeof nowhere - 1, 'x', len - (sizeof nowhere - 1));
  return copy;
}

const char *ratelimit_stores_try(apr_pool_t *pool, apr_pool_t *temp, const char *url) {
  char why[RLC_MESSAGE_SIZE] = "";
  rlc_limiter *limiter = NULL;
  const char *tried = url;
  int state = 0;
  int rv;

  /* Once is enough: the passes that follow open the store in earnest. */
  if (ap_state_query(AP_SQ_MAIN_STATE) != AP_SQ_MS_CREATE_PRE_CONFIG) {
    return NULL;
  }
  if (strncmp(url, "shm:/", 5) == 0) {
    size_t len = strcspn(url + 4, "?");
    const char *path = apr_pstrmemdup(temp, url + 4, len);
    apr_finfo_t info;

    if (apr_stat(&info, path, APR_FINFO_TYPE, temp) != APR_SUCCESS) {
      const char *folder = ap_make_dirstr_parent(temp, path);

      if (strchr(path, '%') == NULL &&
          (apr_stat(&info, folder, APR_FINFO_TYPE, temp) != APR_SUCCESS ||
           info.filetype != APR_DIR)) {
        return apr_psprintf(pool, "RateLimitStore: there is no folder \"%s\": make it, or write a "
                            "path in a folder that is there",
                            ap_escape_logitem(temp, folder));
      }
      tried = stand_in(temp, url, 4, len);
      state = 1;
    }
  }
  if (tried == NULL) {
    return NULL;
  }
  rv = rlc_limiter_new(&limiter, tried, NULL, why, sizeof why);
  rlc_limiter_del(limiter);
  if (rv == 0 || (state == 1 && rv == RLC_ERR_SYSTEM)) {
    return NULL;
  }
  return apr_psprintf(pool, "RateLimitStore: %s", why[0] != '\0' ? why : rlc_strerror(rv));
}

/* --- opening ------------------------------------------------------------------------------- */

/* The table of a `shm:` store outlives the configuration that asked for it. Its descriptor waits
 * in the process' own pool, which a restart does not clear. */
typedef struct kept_table {
  int fd;
} kept_table;

static kept_table *find_kept(process_rec *process) {
  static const char key[] = "mod_ratelimit_redis:table";
  void *data = NULL;
  kept_table *kept;

  apr_pool_userdata_get(&data, key, process->pool);
  kept = data;
  if (kept == NULL) {
    kept = apr_palloc(process->pool, sizeof *kept);
    kept->fd = -1;
    /* Not _setn: the key is in the module, which will be unloaded. No cleanup for that reason. */
    apr_pool_userdata_set(kept, key, NULL, process->pool);
  }
  return kept;
}

static void keep(kept_table *kept, int fd) {
  int copy = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;

  if (kept->fd >= 0) {
    close(kept->fd);
  }
  kept->fd = copy;
}

static void log_line(rlc_log_level level, const char *id, const char *message, void *user) {
  static const int levels[] = {[RLC_LOG_ERROR] = APLOG_ERR,
                               [RLC_LOG_WARNING] = APLOG_WARNING,
                               [RLC_LOG_INFO] = APLOG_INFO,
                               [RLC_LOG_DEBUG] = APLOG_DEBUG};
  const server_rec *s = user;

  ap_log_error(APLOG_MARK, levels[level], 0, s, "%s: %s", id, message);
}

/* A table too small forgets keys that still count, and so lets their clients begin anew. */
static void tell_evictions(const server_rec *s) {
  rlc_stats stats = RLC_STATS_INIT;

  if (rlc_limiter_get_stats(the_limiter, &stats) == 0 && stats.evicted_live > 0) {
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                 "RLR0009: RateLimitStore: the table of %" APR_UINT64_T_FMT " slots was full, and "
                 "%" APR_UINT64_T_FMT " live keys gave way (evicted_live): write a larger size=",
                 (apr_uint64_t)stats.slots, (apr_uint64_t)stats.evicted_live);
  }
}

/* The children inherit the limiter and the cleanup. At their end threads may still be at work in
 * it, and their exit frees everything anyhow. */
static apr_status_t drop_limiter(void *server) {
  if (getpid() == owner) {
    tell_evictions(server);
    rlc_limiter_del(the_limiter);
    the_limiter = NULL;
  }
  return APR_SUCCESS;
}

static int set_options(rlc_options *options, const ratelimit_server_conf *conf, int fd,
                       server_rec *s) {
  int rv = 0;

  rlc_options_set_log(options, log_line, s);
  if (fd >= 0) {
    rlc_options_set_shm_fd(options, fd);
  }
  if (conf->secret != NULL) {
    rv = rlc_options_set_secret(options, conf->secret, conf->secret_len);
  }
  return rv;
}

int ratelimit_stores_open(apr_pool_t *pconf, server_rec *s) {
  const ratelimit_server_conf *conf =
      ap_get_module_config(s->module_config, &ratelimit_redis_module);
  const char *url = ratelimit_get_store(conf);
  int own_table = strncmp(url, "shm:", 4) == 0 && url[4] != '/';
  kept_table *kept = find_kept(s->process);
  rlc_options *options = NULL;
  char why[RLC_MESSAGE_SIZE] = "";
  int rv = rlc_options_new(&options, NULL);

  if (rv == 0) {
    rv = set_options(options, conf, own_table ? kept->fd : -1, s);
  }
  if (rv == 0) {
    rv = rlc_limiter_new(&the_limiter, url, options, why, sizeof why);
  }
  rlc_options_del(options);
  if (rv != 0) {
    ap_log_error(APLOG_MARK, APLOG_CRIT, 0, s,
                 "RLR0001: RateLimitStore: the store cannot be opened: %s",
                 why[0] != '\0' ? why : rlc_strerror(rv));
    return HTTP_INTERNAL_SERVER_ERROR;
  }
  owner = getpid();
  apr_pool_cleanup_register(pconf, s, drop_limiter, apr_pool_cleanup_null);
  keep(kept, own_table ? rlc_limiter_get_shm_fd(the_limiter) : -1);
  if (strncmp(url, "memory:", 7) == 0) {
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                 "RLR0002: RateLimitStore memory: counts in each child process by itself; write "
                 "\"RateLimitStore shm:\" so that all children of this httpd count together");
  }
  return OK;
}
