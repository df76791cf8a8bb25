# SPDX-License-Identifier: Apache-2.0

# make check-servers: the tests that start a Redis, with each of the servers that fetch.sh brings.
EXTRA_DIST += %D%/check.sh %D%/fetch.sh

check-servers: all $(check_PROGRAMS) $(check_LTLIBRARIES)
	$(AM_V_at)$(RLC_ENV) MAKE='$(MAKE)'; export MAKE; $(SHELL) $(srcdir)/%D%/check.sh $(TESTS)
clean-local-servers:
	rm -rf %D%/debian %D%/logs
clean-local: clean-local-servers
.PHONY: check-servers clean-local-servers
