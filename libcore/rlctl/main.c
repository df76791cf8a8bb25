/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "rlctl/rlctl.h"

static rlctl_exit help(const rlctl_call *call);

#define LIMITS "POLICY KEY [POLICY KEY...] "
#define OPTIONS_OF_A_LIMIT                                                                         \
  "  --name NAME   as RateLimit's name=, or the policy's name; else one made of the policy\n"       \
  "  --group TEXT  as RateLimit's group=\n"                                                         \
  "  --tier TIER   the key's tier, where the store's index gives it none\n"                                                         \
  "\n"                                                                                              \
  "Behind a limit an option is that limit's; before the first one it is for all.\n"
#define COST_OF_A_LIMIT "  --cost N      in units of the quota; 1 where it is not given\n"
#define OPTIONS (RLCTL_OPTION_NAME | RLCTL_OPTION_GROUP | RLCTL_OPTION_TIER)
#define COSTS (RLCTL_OPTION_COST | OPTIONS)

#define DISPLAY                                                                                    \
  "  --display TEXT  what \"rlctl list\" calls the key, for who can read the store's index\n"
#define REMOVE "  --remove        takes it away; exits with 1 if there is none\n"

static const rlctl_command commands[] = {
    {"check", COSTS, rlctl_check, LIMITS "[--cost N] [--name NAME] [--group TEXT] [--tier TIER]",
     "asks whether a request may pass, and charges it",
     "Asks whether a request may pass that costs a unit of the POLICY's quota for the KEY, and\n"
     "charges it if so. Several limits are charged together, or none is: the request passes if\n"
     "all allow it. Exits with 1 if it may not pass.\n"
     "\n" COST_OF_A_LIMIT OPTIONS_OF_A_LIMIT},
    {"peek", COSTS, rlctl_peek, LIMITS "[--cost N] [--name NAME] [--group TEXT] [--tier TIER]",
     "asks the same, and charges nothing",
     "Asks whether a request would pass, and charges nothing. Exits with 1 if it would not.\n"
     "\n" COST_OF_A_LIMIT OPTIONS_OF_A_LIMIT},
    {"charge", COSTS, rlctl_charge, LIMITS "[--cost N] [--name NAME] [--group TEXT] [--tier TIER]",
     "charges whether or not there is room",
     "Charges the cost whether or not there is room, down to an empty capacity, or as far into debt\n"
     "as the policy lets it (debt=): what has been used already, and was known only afterwards.\n"
     "\n" COST_OF_A_LIMIT OPTIONS_OF_A_LIMIT},
    {"refund", COSTS, rlctl_refund, LIMITS "[--cost N] [--name NAME] [--group TEXT] [--tier TIER]",
     "gives back what was charged",
     "Gives back what was charged and not used: at most up to the full capacity, and only into\n"
     "the window that is under way.\n"
     "\n" COST_OF_A_LIMIT OPTIONS_OF_A_LIMIT},
    {"grant", COSTS, rlctl_grant, LIMITS "[--cost N] [--name NAME] [--group TEXT] [--tier TIER]",
     "charges as much of the cost as there is room for",
     "Charges as much of the cost as every limit has room for, each the same, and says how much.\n"
     "Exits with 1 if there is no room for a unit.\n"
     "\n" COST_OF_A_LIMIT OPTIONS_OF_A_LIMIT},
    {"reset", OPTIONS, rlctl_reset,
     LIMITS "[--name NAME] [--group TEXT] [--tier TIER]", "forgets what was charged",
     "Forgets what was charged: the full capacity is there again.\n"
     "\n" OPTIONS_OF_A_LIMIT},
    {"list", 0, rlctl_list, "[bans|overrides|tiers|members]",
     "lists bans, overrides, tiers and their members",
     "Lists what the store's index has: all of it, or one kind. Keys are shown as the hashes that\n"
     "the index knows them by, with the name that they were given for display.\n"},
    {"ban", RLCTL_OPTION_DISPLAY, rlctl_ban, "NAME KEY DURATION [--display TEXT]",
     "bans a key from a limit",
     "Has the limits called NAME refuse KEY for so long (\"90s\", \"10min\", \"1h\", \"7day\"), in every\n"
     "program within 2 s. A ban that is there is replaced.\n"
     "\n" DISPLAY},
    {"unban", 0, rlctl_unban, "NAME KEY", "ends a ban",
     "Ends the ban of KEY by the limits called NAME, and forgets the denials and bans before it.\n"
     "Exits with 1 if there is none.\n"},
    {"override", RLCTL_OPTION_DISPLAY | RLCTL_OPTION_REMOVE, rlctl_override,
     "NAME KEY POLICY|--remove [--display TEXT]", "gives a key a policy of its own",
     "Has the limits called NAME go by POLICY for KEY, in every program within 2 s. What was counted\n"
     "stays, unless the algorithm is another.\n"
     "\n" REMOVE DISPLAY},
    {"tier", RLCTL_OPTION_REMOVE, rlctl_tier, "TIER NAME POLICY|--remove", "gives a tier a policy",
     "Has the limits called NAME go by POLICY for all keys of the tier, except those that have an\n"
     "override.\n"
     "\n" REMOVE},
    {"member", RLCTL_OPTION_DISPLAY | RLCTL_OPTION_REMOVE, rlctl_member,
     "KEY TIER|--remove [--display TEXT]", "makes a key a member of a tier",
     "Makes KEY a member of the tier, and of no other.\n"
     "\n" REMOVE DISPLAY},
    {"policy", 0, rlctl_policy, "POLICY", "explains a policy",
     "Explains a policy, as in \"10/s,1000/h burst=20\": what passes at once, how it comes back,\n"
     "and the most that can pass in any window, whatever the requests do.\n"},
    {"stats", 0, rlctl_stats, "", "tells how the store does",
     "Of a table in shared memory: how full it is. Of Redis: whether it answers, how fast, and\n"
     "which of its settings lose what was counted.\n"},
    {"acl", RLCTL_OPTION_FILE, rlctl_acl, "[redis|sentinel] [--file]",
     "prints what the store's servers have to allow",
     "Prints the least that the store's Redis servers have to allow to its user, as commands\n"
     "for redis-cli. The user is the URL's; its password is printed as the hash that servers\n"
     "keep. For a store with sentinels the second line is for them.\n"
     "\n"
     "  redis, sentinel  only the line for these servers\n"
     "  --file           lines for an ACL file or redis.conf\n"},
    {"help", 0, help, "[COMMAND]", "tells what rlctl, or a command, does",
     "Prints what the command does and takes.\n"},
};

#define COMMANDS (sizeof commands / sizeof *commands)

static const char overview[] =
    "usage: rlctl [--store URL] [--secret-file FILE] [--config FILE] [--json] COMMAND\n"
    "       rlctl help COMMAND\n"
    "       rlctl --version\n"
    "\n"
    "commands:\n";

static const char options[] =
    "\n"
    "  --store URL         the store, as in redis://user:password@host; else RLCTL_STORE of the\n"
    "                      environment, which others do not see\n"
    "  --secret-file FILE  the secret that keys the names of partition keys\n"
    "  --config FILE       the file that programs share: its store and secret, where no option says\n"
    "                      them, and its policies by their names\n"
    "  --json              prints JSON\n"
    "\n"
    "Exits with 0 if done or allowed, 1 if denied, 2 if used wrongly, 3 if the store\n"
    "did not answer, 4 if the server refused.\n";

static const rlctl_command *find(const char *name) {
  for (size_t i = 0; i < COMMANDS; ++i) {
    if (strcmp(commands[i].name, name) == 0) {
      return &commands[i];
    }
  }
  return NULL;
}

static rlctl_exit unknown_command(const char *name) {
  const char *names[COMMANDS];
  const char *meant;
  char shown[RLCTL_SHOWN];

  for (size_t i = 0; i < COMMANDS; ++i) {
    names[i] = commands[i].name;
  }
  meant = rlctl_meant(name, names, COMMANDS);
  rlctl_show(shown, name);
  if (meant != NULL) {
    return rlctl_say(RLCTL_USAGE, "there is no command \"%s\" - did you mean \"%s\"?", shown, meant);
  }
  return rlctl_say(RLCTL_USAGE, "there is no command \"%s\": \"rlctl help\" lists them", shown);
}

static rlctl_exit help(const rlctl_call *call) {
  const rlctl_command *about = NULL;
  char shown[RLCTL_SHOWN];

  if (call->n_words > 1) {
    return rlctl_say(RLCTL_USAGE, "help takes one command: leave out \"%s\"",
                     rlctl_show(shown, call->words[1]));
  }
  if (call->n_words == 1) {
    about = find(call->words[0]);
    if (about == NULL) {
      return unknown_command(call->words[0]);
    }
    printf("usage: rlctl [OPTIONS] %s%s%s\n\n%s", about->name, about->usage[0] != '\0' ? " " : "",
           about->usage, about->help);
    return RLCTL_DONE;
  }
  fputs(overview, stdout);
  for (size_t i = 0; i < COMMANDS; ++i) {
    printf("  %-8s %s\n", commands[i].name, commands[i].summary);
  }
  fputs(options, stdout);
  return RLCTL_DONE;
}

/* Says which of the options that were taken the command does not take. */
static rlctl_exit check_options(const rlctl_call *call, const rlctl_command *command) {
  for (unsigned bit = 1; bit <= RLCTL_OPTION_LAST; bit <<= 1) {
    if (call->taken & bit & ~command->options) {
      return rlctl_say(RLCTL_USAGE, "%s takes no %s: leave it out", command->name,
                       rlctl_option_name(bit));
    }
  }
  return RLCTL_DONE;
}

static rlctl_exit run(const rlctl_call *call) {
  const rlctl_command *command = call->name != NULL ? find(call->name) : NULL;
  char *name = (char *)(uintptr_t)call->name;
  rlctl_call about = {.words = &name, .n_words = name != NULL};

  if (call->version) {
    printf("rlctl %s, librlcore %s\n", RLC_VERSION, rlc_version());
    return RLCTL_DONE;
  }
  if (call->help) {
    return help(&about);
  }
  if (call->name == NULL) {
    return rlctl_say(RLCTL_USAGE, "expected a command: \"rlctl help\" lists them");
  }
  if (command == NULL) {
    return unknown_command(call->name);
  }
  return check_options(call, command) == RLCTL_DONE ? command->run(call) : RLCTL_USAGE;
}

int main(int argc, char **argv) {
  rlctl_call call;
  rlctl_exit status = rlctl_read(&call, argc, argv);

  if (status == RLCTL_DONE) {
    status = run(&call);
  }
  rlctl_forget(&call);
  /* A full disk or a closed pipe: half an answer is none. */
  if (fflush(stdout) != 0 || ferror(stdout)) {
    status = rlctl_say(RLCTL_USAGE, "the answer could not be written: %s", strerror(errno));
  }
  return (int)status;
}
