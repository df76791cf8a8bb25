# SPDX-License-Identifier: Apache-2.0

# What every test, bench and fault script is told. Scripts that are run by hand fall back on the
# folder they lie in and on build/ in the tree.
RLC_ENV = \
	RLC_SRCDIR='$(abs_srcdir)'; export RLC_SRCDIR; \
	RLC_BUILDDIR='$(abs_builddir)'; export RLC_BUILDDIR; \
	RLC_VECTORS='$(abs_srcdir)/tests/vectors'; export RLC_VECTORS; \
	RLC_REDIS_SERVER="$${RLC_REDIS_SERVER:-$(REDIS_SERVER)}"; export RLC_REDIS_SERVER; \
	RLC_APACHE='$(APACHE_PROGRAM)'; export RLC_APACHE; \
	RATELIMIT_BUILD='$(abs_builddir)'; export RATELIMIT_BUILD; \
	RATELIMIT_HTTPD='$(APACHE_PROGRAM)'; export RATELIMIT_HTTPD; \
	RLC_APACHE_MODULES='$(APACHE_MODULES)'; export RLC_APACHE_MODULES; \
	RLC_SANITIZER='$(RLC_SANITIZER_NAME)'; export RLC_SANITIZER; \
	RLC_CPPFLAGS='$(HIREDIS_CFLAGS) $(CMOCKA_CFLAGS)'; export RLC_CPPFLAGS; \
	RLC_APACHE_CPPFLAGS='$(APACHE_CPPFLAGS)'; export RLC_APACHE_CPPFLAGS; \
	RLC_PHP_CPPFLAGS='$(PHP_CPPFLAGS)'; export RLC_PHP_CPPFLAGS; \
	RLC_PYTHON_CPPFLAGS='$(PYTHON_CPPFLAGS)'; export RLC_PYTHON_CPPFLAGS; \
	CC='$(CC)'; export CC; \
	NM='$(NM)'; export NM; \
	PYTHON='$(PYTHON)'; export PYTHON; \
	PHP='$(PHP)'; export PHP; \
	PHP_CONFIG='$(PHP_CONFIG)'; export PHP_CONFIG; \
	PHPUNIT='$(PHPUNIT)'; export PHPUNIT; \
	UBSAN_OPTIONS=print_stacktrace=1; export UBSAN_OPTIONS; \
	TSAN_OPTIONS=die_after_fork=0; export TSAN_OPTIONS;

AM_TESTS_ENVIRONMENT = $(RLC_ENV)
TEST_EXTENSIONS = .sh .py .php
# A test that hangs is a failure, not a wait.
LOG_COMPILER = $(TEST_TIMEOUT)
SH_LOG_COMPILER = $(TEST_TIMEOUT) $(SHELL)
PY_LOG_COMPILER = $(TEST_TIMEOUT) $(SHELL) $(srcdir)/tests/integration/pytest.sh

PHP_LOG_COMPILER = $(TEST_TIMEOUT) $(SHELL) $(srcdir)/tests/php/phpunit.sh

# The tests' programs link the archive, so that they reach hidden functions.
LDADD = libcore/librlcore-static.la $(CMOCKA_LIBS)

include tests/unit/local.mk
include tests/checks/local.mk
include tests/vectors/local.mk
include tests/integration/local.mk
include tests/php/local.mk
include tests/python/local.mk
include tests/bench/local.mk
include tests/faults/local.mk
include tests/fuzz/local.mk
include tests/servers/local.mk

TESTS += $(unit_tests) $(fuzz_tests) $(check_scripts) $(integration_tests) $(python_tests) $(php_tests)

# What did not run must not look as if it had.
check-local:
if !WITH_CMOCKA
	@echo "make check: configure found no cmocka, or was told --disable-tests: the unit tests did not run"
endif
if !WITH_PYTEST
	@echo "make check: configure found no Python 3 with pytest, or was told --disable-tests: the integration tests did not run"
endif
if !WITH_PYTHON_BINDING
	@echo "make check: the Python package was not built: its tests did not run"
endif
if !WITH_PHP_BINDING
	@echo "make check: the PHP extension was not built: its tests did not run"
endif
if !WITH_PHPUNIT
	@echo "make check: configure found no php or no phpunit: the tests of the PHP extension did not run"
endif
if !WITH_HYPOTHESIS
	@echo "make check: hypothesis is missing: the test against the oracles did not run"
endif
if !WITH_PROMETHEUS
	@echo "make check: prometheus_client is missing: the test of the metrics did not run"
endif
if !WITH_REDIS_SERVER
	@echo "make check: configure found no redis-server, or was told --disable-tests: the tests that start one did not run"
endif

# For ./bootstrap check, which counts what ran against it.
list-check:
	@for test in $(TESTS); do echo "$$test"; done

# The tests of what threads share and of what servers send, for a tree configured with a sanitizer.
check-sanitized-build: $(sanitized_tests) $(sanitized_needs)
check-sanitized: check-sanitized-build
	$(AM_V_at)$(MAKE) $(AM_MAKEFLAGS) check-TESTS TESTS='$(sanitized_tests)'
list-check-sanitized:
	@for test in $(sanitized_tests); do echo "$$test"; done
.PHONY: list-check check-sanitized-build check-sanitized list-check-sanitized
