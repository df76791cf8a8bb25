# SPDX-License-Identifier: Apache-2.0

# What faces strangers takes any bytes. make check runs each target over its corpus; make fuzz has
# clang's libFuzzer look for more, FUZZ_SECONDS each. What it finds goes into the corpus.
fuzz_tests = %D%/fuzz_charged %D%/fuzz_config %D%/fuzz_reply %D%/fuzz_topology %D%/fuzz_url %D%/fuzz_zone
fuzz_common = %D%/check.c %D%/check.h
check_PROGRAMS += $(fuzz_tests)
tests_fuzz_fuzz_charged_SOURCES = %D%/fuzz_charged.c %D%/replay.c $(fuzz_common)
tests_fuzz_fuzz_config_SOURCES = %D%/fuzz_config.c %D%/replay.c $(fuzz_common)
tests_fuzz_fuzz_reply_SOURCES = %D%/fuzz_reply.c %D%/replay.c $(fuzz_common)
tests_fuzz_fuzz_topology_SOURCES = %D%/fuzz_topology.c %D%/replay.c $(fuzz_common)
tests_fuzz_fuzz_url_SOURCES = %D%/fuzz_url.c %D%/replay.c $(fuzz_common)
tests_fuzz_fuzz_zone_SOURCES = %D%/fuzz_zone.c %D%/replay.c $(fuzz_common)

EXTRA_DIST += %D%/corpus %D%/run.sh

FUZZ_SECONDS = 60
fuzz_sources = $(libcore_librlcore_static_la_SOURCES) \
	$(nodist_libcore_librlcore_static_la_SOURCES)
fuzz: $(BUILT_SOURCES)
	$(RLC_ENV) FUZZ_SECONDS='$(FUZZ_SECONDS)' RLC_SOURCES='$(fuzz_sources)' \
	RLC_LIBS='$(libcore_librlcore_static_la_LIBADD)' \
	$(SHELL) $(srcdir)/%D%/run.sh
.PHONY: fuzz
