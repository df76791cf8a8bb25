# SPDX-License-Identifier: Apache-2.0

# make faults: what breaks, with the latency it costs; make kills: SIGKILL under load, 500 times.
EXTRA_DIST += %D%/kills.sh %D%/run.py

faults: all $(check_PROGRAMS) $(check_LTLIBRARIES)
	$(RLC_ENV) $${PYTHON:-python3} $(srcdir)/%D%/run.py
kills: all $(check_PROGRAMS) $(check_LTLIBRARIES)
	$(RLC_ENV) $(SHELL) $(srcdir)/%D%/kills.sh
.PHONY: faults kills
