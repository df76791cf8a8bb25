/* SPDX-License-Identifier: Apache-2.0 */

/* The file that programs share, of any bytes: what is taken is whole, and what is refused is told with its
 * line. */

#include <string.h>

#include "check.h"
#include "rlcore/rlcore.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char why[RLC_MESSAGE_SIZE] = "";
  rlc_config *config = NULL;
  int rv = rlc_config_parse(&config, "file", (const char *)data, size, NULL, why, sizeof why);

  if (rv != 0) {
    CHECK(rv == RLC_ERR_INVALID || rv == RLC_ERR_POLICY || rv == RLC_ERR_URL ||
          rv == RLC_ERR_UNSUPPORTED);
    CHECK(config == NULL && strncmp(why, "file:", 5) == 0 && why[5] >= '1' && why[5] <= '9');
    check_printable(why, sizeof why);
    return 0;
  }
  CHECK(config != NULL);
  for (size_t i = 0; i < rlc_config_get_policies(config); ++i) {
    const rlc_policy *policy = rlc_config_get_policy(config, i);

    CHECK(rlc_name_ok(rlc_policy_get_name(policy)));
    CHECK(rlc_config_find_policy(config, rlc_policy_get_name(policy)) == policy);
  }
  CHECK(rlc_config_get_policy(config, rlc_config_get_policies(config)) == NULL);
  rlc_config_del(config);
  return 0;
}
