/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "rlctl/rlctl.h"

enum { STORE, SECRET_FILE, CONFIG, JSON, FILE_FORM, COST, NAME, GROUP, TIER, DISPLAY, REMOVE, VERSION, HELP,
       OPTIONS };

static const struct {
  const char *name;
  const char *expects; /* behind it; NULL: nothing */
  unsigned bit;        /* RLCTL_OPTION_; 0: every command takes it */
} options[OPTIONS] = {
    [STORE] = {"--store", "a URL, as in \"--store redis://host\",", 0},
    [SECRET_FILE] = {"--secret-file", "a file", 0},
    [CONFIG] = {"--config", "a file of policies", 0},
    [JSON] = {"--json", NULL, 0},
    [FILE_FORM] = {"--file", NULL, RLCTL_OPTION_FILE},
    [COST] = {"--cost", "a whole number, as in \"--cost 3\",", RLCTL_OPTION_COST},
    [NAME] = {"--name", "a name, as in \"--name api\",", RLCTL_OPTION_NAME},
    [GROUP] = {"--group", "what the limits have in common, as in \"--group alice\",",
               RLCTL_OPTION_GROUP},
    [TIER] = {"--tier", "a tier's name, as in \"--tier pro\",", RLCTL_OPTION_TIER},
    [DISPLAY] = {"--display", "what to call the key, as in \"--display Alice\",",
                 RLCTL_OPTION_DISPLAY},
    [REMOVE] = {"--remove", NULL, RLCTL_OPTION_REMOVE},
    [VERSION] = {"--version", NULL, 0},
    [HELP] = {"--help", NULL, 0},
};

const char *rlctl_option_name(unsigned option) {
  int which = 0;

  while (which < OPTIONS - 1 && !(options[which].bit & option)) {
    ++which;
  }
  return options[which].name;
}

static rlctl_exit unknown_option(const char *text, size_t len) {
  const char *names[OPTIONS];
  char word[32] = "";
  char shown[RLCTL_SHOWN];
  const char *meant;

  for (int i = 0; i < OPTIONS; ++i) {
    names[i] = options[i].name;
  }
  /* No more than the name is told: what follows may be a secret. */
  if (len < sizeof word) {
    memcpy(word, text, len);
    word[len] = '\0';
  }
  meant = rlctl_meant(word, names, OPTIONS);
  return rlctl_say(RLCTL_USAGE, "there is no option \"%s\"%s%s%s", word[0] != '\0' ? rlctl_show(shown, word) : "--...",
                   meant != NULL ? " - did you mean \"" : ": \"rlctl help\" lists them",
                   meant != NULL ? meant : "", meant != NULL ? "\"?" : "");
}

/* Reads the file that programs share. */
static rlctl_exit read_config(rlctl_call *call, const char *path) {
  char why[RLC_MESSAGE_SIZE] = "";
  int rv;

  rlc_config_del(call->config);
  rv = rlc_config_load(&call->config, path, NULL, why, sizeof why);
  return rv == 0 ? RLCTL_DONE : rlctl_say(RLCTL_USAGE, "--config: %s", why);
}

static rlctl_exit take_value(rlctl_call *call, int which, const char *value) {
  if (which == CONFIG) {
    return read_config(call, value);
  }
  if (which == STORE) {
    call->store = value;
  } else if (which == SECRET_FILE) {
    call->secret_file = value;
  } else {
    call->given[call->n_given++] =
        (rlctl_given){options[which].bit, value, call->n_words > 0 ? call->n_words - 1 : 0};
  }
  return RLCTL_DONE;
}

/* Takes the option at |argv[*i]|, and the word behind it where it has a value. */
static rlctl_exit take_option(rlctl_call *call, int argc, char **argv, int *i) {
  const char *text = argv[*i];
  size_t len = strcspn(text, "=");
  const char *value = text[len] == '=' ? text + len + 1 : NULL;
  int which = 0;

  while (which < OPTIONS && (strlen(options[which].name) != len ||
                             memcmp(options[which].name, text, len) != 0)) {
    ++which;
  }
  if (which == OPTIONS && strcmp(text, "-h") == 0) {
    which = HELP;
  } else if (which == OPTIONS) {
    return unknown_option(text, len);
  }
  call->taken |= options[which].bit;
  if (options[which].expects != NULL) {
    if (value == NULL && *i + 1 < argc) {
      value = argv[++*i];
    }
    if (value == NULL || value[0] == '\0') {
      return rlctl_say(RLCTL_USAGE, "%s expects %s behind it", options[which].name,
                       options[which].expects);
    }
    return take_value(call, which, value);
  }
  if (value != NULL) {
    return rlctl_say(RLCTL_USAGE, "%s takes no value: leave out all from the \"=\" on",
                     options[which].name);
  }
  call->json |= which == JSON;
  call->version |= which == VERSION;
  call->help |= which == HELP;
  return RLCTL_DONE;
}

/* Options stand anywhere; behind "--" there are none. Words are gathered at the front of |argv|'s
 * own array; until the end the command's name is counted as one of them. */
rlctl_exit rlctl_read(rlctl_call *call, int argc, char **argv) {
  int only_words = 0;

  *call = (rlctl_call){.words = argv + 1, .given = calloc((size_t)argc + 1, sizeof *call->given)};
  if (call->given == NULL) {
    return rlctl_say(RLCTL_UNAVAILABLE, "%s", rlc_strerror(RLC_ERR_NOMEM));
  }
  for (int i = 1; i < argc; ++i) {
    if (!only_words && strcmp(argv[i], "--") == 0) {
      only_words = 1;
    } else if (!only_words && argv[i][0] == '-' && argv[i][1] != '\0') {
      rlctl_exit status = take_option(call, argc, argv, &i);

      if (status != RLCTL_DONE) {
        return status;
      }
    } else {
      call->words[call->n_words++] = argv[i];
    }
  }
  if (call->n_words > 0) {
    call->name = *call->words++;
    --call->n_words;
  }
  if (call->config != NULL && call->store == NULL) {
    call->store = rlc_config_get_store(call->config);
  }
  if (call->config != NULL && call->secret_file == NULL) {
    call->secret_file = rlc_config_get_secret_file(call->config);
  }
  if (call->store == NULL) {
    call->store = getenv("RLCTL_STORE");
  }
  return RLCTL_DONE;
}

void rlctl_forget(rlctl_call *call) {
  rlc_config_del(call->config);
  call->config = NULL;
  free(call->given);
  call->given = NULL;
}
