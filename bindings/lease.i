/* SPDX-License-Identifier: Apache-2.0 */
/* Leases, for rlcore.i. A language acquires them where it makes decisions. */

%rename(Lease) rlb_lease;
%nodefaultctor rlb_lease;
%{
typedef rlc_lease rlb_lease;
%}
typedef struct {
  %extend {
    /* Before its limiter and its policies. */
    ~rlb_lease() {
      rlc_lease_del($self);
    }
    void keep() {
      rlb_keep(rlc_lease_keep($self), NULL);
    }
    void renew() {
      rlb_keep(rlc_lease_renew($self), NULL);
    }
    /* As many costs as there were limits, or none. */
    void commit(const uint64_t *costs, size_t n) {
      rlb_keep(rlc_lease_commit($self, n > 0 ? costs : NULL), NULL);
    }
    void release() {
      rlb_keep(rlc_lease_release($self), NULL);
    }
  }
} rlb_lease;
