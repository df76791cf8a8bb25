# SPDX-License-Identifier: Apache-2.0

# pytest files, each a test of its own for make: one that fails is named, and the rest still run.
integration_tests =
if WITH_APACHE
integration_tests += \
	%D%/test_answer.py \
	%D%/test_away.py \
	%D%/test_config.py \
	%D%/test_delay.py \
	%D%/test_exempt.py \
	%D%/test_fields.py \
	%D%/test_handover.py \
	%D%/test_htaccess.py \
	%D%/test_journal.py \
	%D%/test_keys.py \
	%D%/test_large.py \
	%D%/test_limits.py \
	%D%/test_mpms.py \
	%D%/test_neighbours.py \
	%D%/test_once.py \
	%D%/test_redirects.py \
	%D%/test_refusal_forms.py \
	%D%/test_restart.py \
	%D%/test_scopes.py \
	%D%/test_shared_policies.py \
	%D%/test_shed.py \
	%D%/test_status.py \
	%D%/test_status_formats.py
if WITH_PROMETHEUS
integration_tests += \
	%D%/test_openmetrics.py
endif
if WITH_REDIS_SERVER
integration_tests += \
	%D%/test_charge.py \
	%D%/test_penalty.py \
	%D%/test_redis.py \
	%D%/test_reloads.py \
	%D%/test_slots.py
endif
endif
if WITH_REDIS_SERVER
integration_tests += \
	%D%/test_cluster.py \
	%D%/test_fake_redis.py \
	%D%/test_faults.py \
	%D%/test_index.py \
	%D%/test_laws.py \
	%D%/test_leases.py \
	%D%/test_rlctl.py \
	%D%/test_rlctl_acl.py \
	%D%/test_rlctl_index.py \
	%D%/test_sentinel.py \
	%D%/test_server_settings.py
if WITH_HYPOTHESIS
integration_tests += \
	%D%/test_oracle.py
endif
endif
integration_tests += \
	%D%/test_sliding_error.py

EXTRA_DIST += \
	%D%/application.py \
	%D%/browser_env.py \
	%D%/browse_status.py \
	%D%/conform.py \
	%D%/conftest.py \
	%D%/fake_redis.py \
	%D%/httpd_env.py \
	%D%/pytest.sh \
	%D%/redis_env.py \
	%D%/rlctl_env.py \
	%D%/stepper_env.py \
	%D%/structured_fields.py \
	%D%/test_answer.py \
	%D%/test_away.py \
	%D%/test_charge.py \
	%D%/test_cluster.py \
	%D%/test_config.py \
	%D%/test_delay.py \
	%D%/test_exempt.py \
	%D%/test_fake_redis.py \
	%D%/test_faults.py \
	%D%/test_fields.py \
	%D%/test_handover.py \
	%D%/test_htaccess.py \
	%D%/test_journal.py \
	%D%/test_keys.py \
	%D%/test_index.py \
	%D%/test_laws.py \
	%D%/test_leases.py \
	%D%/test_large.py \
	%D%/test_limits.py \
	%D%/test_mpms.py \
	%D%/test_neighbours.py \
	%D%/test_once.py \
	%D%/test_openmetrics.py \
	%D%/test_oracle.py \
	%D%/test_penalty.py \
	%D%/test_redirects.py \
	%D%/test_redis.py \
	%D%/test_refusal_forms.py \
	%D%/test_reloads.py \
	%D%/test_restart.py \
	%D%/test_rlctl.py \
	%D%/test_rlctl_acl.py \
	%D%/test_rlctl_index.py \
	%D%/test_scopes.py \
	%D%/test_sentinel.py \
	%D%/test_server_settings.py \
	%D%/test_shared_policies.py \
	%D%/test_shed.py \
	%D%/test_sliding_error.py \
	%D%/test_slots.py \
	%D%/test_status.py \
	%D%/test_status_formats.py \
	%D%/topology_env.py \
	%D%/traces.py

# hammer drives a store from many processes as any program would, by the shared library.
check_PROGRAMS += %D%/hammer
tests_integration_hammer_SOURCES = %D%/hammer.c %D%/hammer_tally.c %D%/hammer_tally.h \
	%D%/histogram.h
tests_integration_hammer_LDADD = libcore/librlcore.la
tests_integration_hammer_LDFLAGS = $(AM_LDFLAGS) -no-install

# indexer uses the index of a store itself, which no limiter stands in front of.
check_PROGRAMS += %D%/indexer
tests_integration_indexer_SOURCES = %D%/indexer.c

# stepper makes the calls that test_oracle.py has the oracles answer too.
check_PROGRAMS += %D%/stepper
tests_integration_stepper_SOURCES = %D%/stepper.c
tests_integration_stepper_LDADD = libcore/librlcore.la
tests_integration_stepper_LDFLAGS = $(AM_LDFLAGS) -no-install

# status_sample writes the status page of counts that were made up.
check_PROGRAMS += %D%/status_sample
tests_integration_status_sample_SOURCES = \
	%D%/status_sample.c \
	$(status_parts) \
	mod_ratelimit_redis/formats.c \
	mod_ratelimit_redis/formats.h \
	mod_ratelimit_redis/page.c \
	mod_ratelimit_redis/page.h \
	mod_ratelimit_redis/style.c

# make check-browser: looks at the status page with a headless Chromium, which is 100 MB to install
# and therefore no part of make check. Pictures go to the folder status-pictures.
check-browser: all %D%/status_sample
	$(AM_V_at)$(RLC_ENV) RLC_PICTURES='$(abs_builddir)/status-pictures'; export RLC_PICTURES; \
	$(SHELL) $(srcdir)/%D%/pytest.sh $(srcdir)/%D%/browse_status.py
.PHONY: check-browser

# make oracle: a million steps, other ones each time; make check takes 100,000, always the same.
oracle: all %D%/stepper
	$(AM_V_at)$(RLC_ENV) RLC_ORACLE_STEPS=$${RLC_ORACLE_STEPS:-1000000}; export RLC_ORACLE_STEPS; \
	RLC_ORACLE_SEED=$${RLC_ORACLE_SEED:-`date +%s`}; export RLC_ORACLE_SEED; \
	echo "again: make oracle RLC_ORACLE_SEED=$$RLC_ORACLE_SEED"; \
	$(SHELL) $(srcdir)/%D%/pytest.sh -s $(srcdir)/%D%/test_oracle.py
.PHONY: oracle

# make reloads: 300 graceful restarts for each store, under load; make check does ten.
reloads: all
	$(AM_V_at)$(RLC_ENV) RLC_RELOADS=$${RLC_RELOADS:-300}; export RLC_RELOADS; \
	$(SHELL) $(srcdir)/%D%/pytest.sh -s $(srcdir)/%D%/test_reloads.py
.PHONY: reloads

# A preload: -rpath makes libtool build a shared object of what is never installed.
check_LTLIBRARIES += %D%/skewed_clock.la
tests_integration_skewed_clock_la_SOURCES = %D%/skewed_clock.c
tests_integration_skewed_clock_la_LDFLAGS = -module -avoid-version -rpath /nowhere
tests_integration_skewed_clock_la_LIBADD = -ldl
check_LTLIBRARIES += %D%/hanging_lookup.la
tests_integration_hanging_lookup_la_SOURCES = %D%/hanging_lookup.c
tests_integration_hanging_lookup_la_LDFLAGS = -module -avoid-version -rpath /nowhere
tests_integration_hanging_lookup_la_LIBADD = -ldl
