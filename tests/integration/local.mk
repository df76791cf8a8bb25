# SPDX-License-Identifier: Apache-2.0

# pytest files, each a test of its own for make: one that fails is named, and the rest still run.
integration_tests =
if WITH_APACHE
integration_tests += \
	%D%/test_answer.py \
	%D%/test_away.py \
	%D%/test_config.py \
	%D%/test_limits.py \
	%D%/test_once.py \
	%D%/test_redirects.py \
	%D%/test_restart.py \
	%D%/test_scopes.py
if WITH_REDIS_SERVER
integration_tests += \
	%D%/test_redis.py
endif
endif
if WITH_REDIS_SERVER
integration_tests += \
	%D%/test_cluster.py \
	%D%/test_fake_redis.py \
	%D%/test_faults.py \
	%D%/test_laws.py \
	%D%/test_rlctl.py \
	%D%/test_sentinel.py \
	%D%/test_server_settings.py
endif

EXTRA_DIST += \
	%D%/conftest.py \
	%D%/fake_redis.py \
	%D%/httpd_env.py \
	%D%/pytest.sh \
	%D%/redis_env.py \
	%D%/test_answer.py \
	%D%/test_away.py \
	%D%/test_cluster.py \
	%D%/test_config.py \
	%D%/test_fake_redis.py \
	%D%/test_faults.py \
	%D%/test_laws.py \
	%D%/test_limits.py \
	%D%/test_once.py \
	%D%/test_redirects.py \
	%D%/test_redis.py \
	%D%/test_restart.py \
	%D%/test_rlctl.py \
	%D%/test_scopes.py \
	%D%/test_sentinel.py \
	%D%/test_server_settings.py \
	%D%/topology_env.py

# hammer drives a store from many processes as any program would, by the shared library.
check_PROGRAMS += %D%/hammer
tests_integration_hammer_SOURCES = %D%/hammer.c %D%/hammer_tally.c %D%/hammer_tally.h \
	%D%/histogram.h
tests_integration_hammer_LDADD = libcore/librlcore.la
tests_integration_hammer_LDFLAGS = $(AM_LDFLAGS) -no-install

# A preload: -rpath makes libtool build a shared object of what is never installed.
check_LTLIBRARIES += %D%/skewed_clock.la
tests_integration_skewed_clock_la_SOURCES = %D%/skewed_clock.c
tests_integration_skewed_clock_la_LDFLAGS = -module -avoid-version -rpath /nowhere
tests_integration_skewed_clock_la_LIBADD = -ldl
check_LTLIBRARIES += %D%/hanging_lookup.la
tests_integration_hanging_lookup_la_SOURCES = %D%/hanging_lookup.c
tests_integration_hanging_lookup_la_LDFLAGS = -module -avoid-version -rpath /nowhere
tests_integration_hanging_lookup_la_LIBADD = -ldl
