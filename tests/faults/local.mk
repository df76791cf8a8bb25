# SPDX-License-Identifier: Apache-2.0

# make faults [FAULTS=name]: what breaks, with the latency it costs; make kills: SIGKILL under load, 500 times.
EXTRA_DIST += \
	%D%/README.md \
	%D%/faults_network.py \
	%D%/faults_process.py \
	%D%/faults_server.py \
	%D%/faults_tls.py \
	%D%/faults_topology.py \
	%D%/harness.py \
	%D%/kills.sh \
	%D%/proxy.py \
	%D%/run.py

faults: all $(check_PROGRAMS) $(check_LTLIBRARIES)
	$(RLC_ENV) $${PYTHON:-python3} -B $(srcdir)/%D%/run.py $(FAULTS)
kills: all $(check_PROGRAMS) $(check_LTLIBRARIES)
	$(RLC_ENV) $(SHELL) $(srcdir)/%D%/kills.sh
.PHONY: faults kills
