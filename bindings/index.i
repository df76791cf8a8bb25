/* SPDX-License-Identifier: Apache-2.0 */
/* The index of bans, overrides, tiers and members, for rlcore.i. */

%rename(Entries) rlb_entries;
%nodefaultctor rlb_entries;
typedef struct {
  %extend {
    ~rlb_entries() {
      rlb_entries_del($self);
    }
    size_t count() {
      return $self->n;
    }
    /* Belongs to the entries, and lives as long. */
    const rlc_entry *get(size_t i) {
      if (i >= $self->n) {
        rlb_keep(RLC_ERR_INVALID, NULL);
        return NULL;
      }
      return &$self->entry[i];
    }
  }
} rlb_entries;

%extend rlb_options {
  void set_display(int on) {
    rlc_options_set_display($self, on);
  }
}

%newobject rlb_limiter::list;
%newobject rlb_limiter::hash;
%extend rlb_limiter {
  void ban(const char *name, const void *bytes, size_t size, int64_t for_us, const char *display) {
    rlb_keep(rlc_limiter_ban($self, name, bytes, size, for_us, display), NULL);
  }
  /* Returns whether there was a ban. */
  int unban(const char *name, const void *bytes, size_t size) {
    int rv = rlc_limiter_unban($self, name, bytes, size);

    rlb_keep(rv != RLC_ERR_LOST ? rv : 0, NULL);
    return rv == 0;
  }
  /* The three below return 0 where |text| or |tier| is NULL and there was nothing to take away. */
  int override(const char *name, const void *bytes, size_t size, const char *text,
               const char *display) {
    char why[RLC_MESSAGE_SIZE] = "";
    int rv = rlc_limiter_override($self, name, bytes, size, text, display, why, sizeof why);

    rlb_keep(rv != RLC_ERR_LOST ? rv : 0, why);
    return rv == 0;
  }
  int set_tier(const char *tier, const char *name, const char *text) {
    char why[RLC_MESSAGE_SIZE] = "";
    int rv = rlc_limiter_set_tier($self, tier, name, text, why, sizeof why);

    rlb_keep(rv != RLC_ERR_LOST ? rv : 0, why);
    return rv == 0;
  }
  int set_member(const void *bytes, size_t size, const char *tier, const char *display) {
    int rv = rlc_limiter_set_member($self, bytes, size, tier, display);

    rlb_keep(rv != RLC_ERR_LOST ? rv : 0, NULL);
    return rv == 0;
  }
  rlb_entries *list() {
    rlb_entries *entries = calloc(1, sizeof *entries);
    int rv = RLC_ERR_NOMEM;

    if (entries != NULL) {
      rv = rlc_limiter_list($self, rlb_entries_add, entries);
    }
    if (rv != 0) {
      rlb_entries_del(entries);
      entries = NULL;
    }
    rlb_keep(rv, NULL);
    return entries;
  }
  char *hash(const void *bytes, size_t size) {
    char *out = malloc(17);

    if (out == NULL) {
      rlb_keep(RLC_ERR_NOMEM, NULL);
    } else {
      out[0] = '\0';
      rlb_keep(rlc_limiter_hash($self, bytes, size, out), NULL);
    }
    return out;
  }
  void refresh() {
    rlb_keep(rlc_limiter_refresh($self), NULL);
  }
}
