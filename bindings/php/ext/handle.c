/* SPDX-License-Identifier: Apache-2.0 */
#include "rlphp.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* The limiters of a worker. What open() made stays until the worker ends, with its connections and its
 * parsed policies: a later request that opens the same gets the same. Each thread of a threaded server has
 * its own. */

#define MOST_TEXTS 1000  /* policies made at run time, by a limiter */
#define MOST_HANDLES 64  /* of open() */

static _Thread_local rlphp_handle *handles;

rlphp_handle *rlphp_handle_find(const zend_string *key) {
  for (rlphp_handle *h = handles; h != NULL; h = h->next) {
    if (h->key != NULL && zend_string_equals(h->key, key)) {
      return h;
    }
  }
  return NULL;
}

rlphp_handle *rlphp_handle_by_sink(zend_long sink) {
  rlphp_handle *h = handles;

  while (h != NULL && h->sink != sink) {
    h = h->next;
  }
  return h;
}

int rlphp_handle_is_open(const rlc_limiter *limiter) {
  for (const rlphp_handle *h = handles; h != NULL; h = h->next) {
    if (h->limiter == limiter) {
      return 1;
    }
  }
  return 0;
}

static void drop_policy(zval *value) {
  rlphp_policy_unref(Z_PTR_P(value));
}

rlphp_handle *rlphp_handle_new(rlc_limiter *limiter, zend_long sink, rlphp_clock *clock) {
  rlphp_handle *h = calloc(1, sizeof *h);

  if (h == NULL) {
    rlc_limiter_del(limiter);
    rlphp_throw(RLC_ERR_NOMEM, rlc_strerror(RLC_ERR_NOMEM));
    return NULL;
  }
  h->refs = 1;
  h->limiter = limiter;
  h->sink = sink;
  h->clock = clock;
  if (clock != NULL) {
    ++clock->refs;
  }
  zend_hash_init(&h->policies, 8, NULL, drop_policy, 1);
  h->next = handles;
  handles = h;
  return h;
}

int rlphp_handle_keep(rlphp_handle *handle, const zend_string *key) {
  int kept = 0;

  for (const rlphp_handle *h = handles; h != NULL; h = h->next) {
    kept += h->key != NULL;
  }
  if (kept >= MOST_HANDLES) {
    rlphp_invalid("%d different limiters were opened by this process: open() is for those that stay, "
                  "write new Limiter() for others", MOST_HANDLES);
    return -1;
  }
  handle->key = zend_string_init(ZSTR_VAL(key), ZSTR_LEN(key), 1);
  ++handle->refs; /* the list's */
  return 0;
}

void rlphp_handle_unref(rlphp_handle *handle) {
  rlphp_handle **at = &handles;

  if (handle == NULL || --handle->refs > 0) {
    return;
  }
  while (*at != NULL && *at != handle) {
    at = &(*at)->next;
  }
  if (*at != NULL) {
    *at = handle->next;
  }
  rlc_limiter_del(handle->limiter);
  zend_hash_destroy(&handle->policies);
  rlphp_clock_unref(handle->clock);
  if (handle->key != NULL) {
    zend_string_release_ex(handle->key, 1);
  }
  free(handle);
}

void rlphp_handles_end(void) {
  while (handles != NULL) {
    handles->refs = 1;
    rlphp_handle_unref(handles);
  }
}

/* --- policies ------------------------------------------------------------------------------ */

static int is_text(zval *value) {
  return ((rlphp_policy *)Z_PTR_P(value))->named ? ZEND_HASH_APPLY_KEEP : ZEND_HASH_APPLY_REMOVE;
}

static rlphp_policy *add_policy(rlphp_handle *handle, zend_string *key, const char *text,
                                const char *name) {
  char why[RLC_MESSAGE_SIZE] = "";
  rlphp_policy *policy;
  rlc_policy *parsed;
  int rv = rlc_policy_new(&parsed, name, text, NULL, why, sizeof why);

  if (rv != 0) {
    rlphp_throw(rv, why[0] != '\0' ? why : rlc_strerror(rv));
    return NULL;
  }
  policy = rlphp_policy_new(parsed);
  if (policy == NULL) {
    rlphp_throw(RLC_ERR_NOMEM, rlc_strerror(RLC_ERR_NOMEM));
    return NULL;
  }
  policy->named = name != NULL;
  zend_hash_str_update_ptr(&handle->policies, ZSTR_VAL(key), ZSTR_LEN(key), policy);
  return policy;
}

int rlphp_handle_name(rlphp_handle *handle, zend_string *name, const char *text) {
  return rlphp_name_check(name, "name") != 0 ||
                 add_policy(handle, name, text, ZSTR_VAL(name)) == NULL
             ? -1
             : 0;
}

static void throw_unnamed(rlphp_handle *handle, const zend_string *name) {
  char known[200] = "";
  char message[RLC_MESSAGE_SIZE];
  zend_string *key;
  zval *value;

  ZEND_HASH_FOREACH_STR_KEY_VAL(&handle->policies, key, value) {
    if (((rlphp_policy *)Z_PTR_P(value))->named &&
        strlen(known) + ZSTR_LEN(key) + 3 < sizeof known) {
      strcat(known, known[0] != '\0' ? ", " : "");
      strcat(known, ZSTR_VAL(key));
    }
  } ZEND_HASH_FOREACH_END();
  snprintf(message, sizeof message,
           "no policy is named \"%.40s\" here (%.140s): write one that is, or a policy such as "
           "\"10/s\"", ZSTR_VAL(name), known[0] != '\0' ? known : "none is");
  rlphp_throw(RLC_ERR_POLICY, message);
}

rlphp_policy *rlphp_handle_policy(rlphp_handle *handle, zend_string *text) {
  rlphp_policy *policy = zend_hash_find_ptr(&handle->policies, text);

  if (policy == NULL) {
    if (strlen(ZSTR_VAL(text)) != ZSTR_LEN(text)) {
      rlphp_invalid("a policy has a NUL in it");
      return NULL;
    }
    if (isalpha((unsigned char)ZSTR_VAL(text)[0])) {
      throw_unnamed(handle, text);
      return NULL;
    }
    if (handle->texts >= MOST_TEXTS) {
      zend_hash_apply(&handle->policies, is_text);
      handle->texts = 0;
    }
    policy = add_policy(handle, text, ZSTR_VAL(text), NULL);
    if (policy == NULL) {
      return NULL;
    }
    ++handle->texts;
  }
  ++policy->refs;
  return policy;
}
