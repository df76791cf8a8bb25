/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_RLCTL_H
#define RLCORE_RLCTL_H

#include <stdint.h>
#include <stdio.h>

#include "rlcore/rlcore.h"

/*
 * rlctl, the command line of librlcore, by its public API alone. line.c reads the options, main.c
 * finds the command; each command has a file cmd_*.c, or shares one, and a line in main.c's table.
 */

/* What rlctl exits with. */
typedef enum rlctl_exit {
  RLCTL_DONE = 0,        /* or allowed */
  RLCTL_DENIED = 1,      /* or not found */
  RLCTL_USAGE = 2,       /* what was asked for makes no sense, or could not be written */
  RLCTL_UNAVAILABLE = 3, /* the store did not answer */
  RLCTL_REFUSED = 4      /* the server answered with an error */
} rlctl_exit;

/* Options that not every command takes, as bits. */
enum {
  RLCTL_OPTION_FILE = 1,
  RLCTL_OPTION_COST = 2,
  RLCTL_OPTION_NAME = 4,
  RLCTL_OPTION_GROUP = 8,
  RLCTL_OPTION_TIER = 16,
  RLCTL_OPTION_DISPLAY = 32,
  RLCTL_OPTION_REMOVE = 64,
  RLCTL_OPTION_LAST = RLCTL_OPTION_REMOVE
};

/* An option with a value, of which there may be several. */
typedef struct rlctl_given {
  unsigned option;   /* its bit */
  const char *value;
  int behind;        /* how many of the words below stood before it */
} rlctl_given;

/* What stands on the command line. */
typedef struct rlctl_call {
  const char *name;        /* the command's, or NULL */
  const char *store;       /* NULL: neither --store nor RLCTL_STORE is given */
  const char *secret_file; /* or NULL */
  rlc_config *config;      /* the file that programs share, of --config; or NULL */
  int json;
  int version;
  int help;
  unsigned taken;          /* RLCTL_OPTION_ bits */
  char **words;            /* behind the command's name */
  int n_words;
  rlctl_given *given;      /* in the order of the line */
  int n_given;
} rlctl_call;

typedef struct rlctl_command {
  const char *name;
  unsigned options;
  rlctl_exit (*run)(const rlctl_call *call);
  const char *usage;   /* behind the name: "[redis|sentinel] [--file]" */
  const char *summary; /* for `rlctl help` */
  const char *help;    /* for `rlctl help NAME` */
} rlctl_command;

rlctl_exit rlctl_ban(const rlctl_call *call);
rlctl_exit rlctl_unban(const rlctl_call *call);
rlctl_exit rlctl_override(const rlctl_call *call);
rlctl_exit rlctl_tier(const rlctl_call *call);
rlctl_exit rlctl_member(const rlctl_call *call);
rlctl_exit rlctl_list(const rlctl_call *call);
rlctl_exit rlctl_acl(const rlctl_call *call);
rlctl_exit rlctl_check(const rlctl_call *call);
rlctl_exit rlctl_peek(const rlctl_call *call);
rlctl_exit rlctl_charge(const rlctl_call *call);
rlctl_exit rlctl_refund(const rlctl_call *call);
rlctl_exit rlctl_reset(const rlctl_call *call);
rlctl_exit rlctl_grant(const rlctl_call *call);
rlctl_exit rlctl_policy(const rlctl_call *call);
rlctl_exit rlctl_stats(const rlctl_call *call);

/* --- line.c -------------------------------------------------------------------------------- */

/* Reads the command line into |call|, whose words and options lie in |argv| and in memory that
 * rlctl_forget frees. */
rlctl_exit rlctl_read(rlctl_call *call, int argc, char **argv);
void rlctl_forget(rlctl_call *call);
/* Returns an option's name, "--cost". */
const char *rlctl_option_name(unsigned option);

/* --- secret.c ------------------------------------------------------------------------------ */

/* Reads the secret from a file that not everybody can read, without the newline at its end. */
rlctl_exit rlctl_secret_read(rlc_options *options, const char *path);

/* --- store.c ------------------------------------------------------------------------------- */

/* A limiter that never answers by fail policy, and what its log said. */
typedef struct rlctl_store rlctl_store;

/* Opens the call's store. |makes|: a table that is not there is made. */
rlctl_exit rlctl_store_new(rlctl_store **out, const rlctl_call *call, int makes);
void rlctl_store_del(rlctl_store *store);
rlc_limiter *rlctl_store_limiter(rlctl_store *store);
/* Has the store decide, by a verb of the limiter. Returns RLCTL_DONE if it has, whatever it
 * decided; else says why not. |op| RESET gives no results. */
rlctl_exit rlctl_store_ask(rlctl_store *store, rlc_op op, rlc_limit *limits, size_t n,
                           rlc_result *results, rlc_decision *decision);
/* Connects, for what is no decision. Returns RLCTL_DONE, or says why not. */
rlctl_exit rlctl_store_reach(rlctl_store *store);
/* Says what |rv|, which the limiter returned for its index, means. Returns RLCTL_DONE for 0. */
rlctl_exit rlctl_store_say(rlctl_store *store, int rv);
/* Returns the |i|th note on the server's settings, or NULL past the last. */
const char *rlctl_store_note(rlctl_store *store, unsigned i);

/* --- limits.c ------------------------------------------------------------------------------ */

/* The limits of a command line, with the policies that are theirs. */
typedef struct rlctl_limits {
  rlc_limit limit[RLC_MAX_LIMITS];
  rlc_policy *policy[RLC_MAX_LIMITS];
  size_t n;
} rlctl_limits;

/* Reads "POLICY KEY" of the call's words, as often as they are there. |out| is to be cleared in any
 * case. */
rlctl_exit rlctl_limits_read(rlctl_limits *out, const rlctl_call *call);
void rlctl_limits_clear(rlctl_limits *limits);
/* Makes a policy of |text|, or of the name of one in the file of --config. Returns RLCTL_DONE, or says
 * what is wrong. */
rlctl_exit rlctl_policy_new(rlc_policy **out, const rlctl_call *call, const char *text);
/* Finds the text of rate |index| in the policy's, "10/s". Returns its length. */
int rlctl_rate_text(const rlc_policy *policy, unsigned index, const char **text);
/* Writes the name that limits of |policy| have where they are given none. */
void rlctl_policy_name(const rlc_policy *policy, char name[RLC_MAX_NAME + 1]);

/* --- text.c -------------------------------------------------------------------------------- */

/* Writes "rlctl: " and a sentence to stderr. Returns |status|. */
rlctl_exit rlctl_say(rlctl_exit status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Writes |text| as a JSON string. Bytes above ASCII go as they are. */
void rlctl_put_json(FILE *out, const char *text);

/* Writes |len| bytes, those outside printable ASCII, quotes and backslashes as \xNN.
 * At most |most| of them, and then dots; 0: all. */
void rlctl_put_bytes(FILE *out, const void *bytes, size_t len, size_t most);
/* The same as a JSON string, all of them. */
void rlctl_put_json_bytes(FILE *out, const void *bytes, size_t len);
/* The same into |buf|, as messages show them: some 60 at most. Returns |buf|. */
#define RLCTL_SHOWN 256
const char *rlctl_show(char buf[RLCTL_SHOWN], const char *text);
/* As much as |buf| has room for. */
const char *rlctl_show_all(char buf[RLCTL_SHOWN], const char *text);

/* Writes a duration of |us| microseconds, rounded up: "0.35 s", "3.2 s", "2 min 5 s", "7 days". */
void rlctl_put_duration(FILE *out, int64_t us);

/* Returns which of |n| |words| was most likely meant by |text|, or NULL. */
const char *rlctl_meant(const char *text, const char *const *words, size_t n);

#endif
