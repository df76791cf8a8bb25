# SPDX-License-Identifier: Apache-2.0

# The PHP extension rlcore, which SWIG and ext/ make, and the PHP files of its front.
php_front = \
	%D%/front/src/autoload.php \
	%D%/front/src/Http.php \
	%D%/front/src/LimitedException.php \
	%D%/front/src/Limiter.php \
	%D%/front/src/Middleware.php \
	%D%/front/src/Policy.php \
	%D%/front/src/Symfony/RateLimiter.php \
	%D%/front/src/Symfony/RateLimiterFactory.php
php_sources = \
	%D%/ext/clock.c \
	%D%/ext/core.c \
	%D%/ext/decision.c \
	%D%/ext/fields.c \
	%D%/ext/handle.c \
	%D%/ext/lease.c \
	%D%/ext/limit.c \
	%D%/ext/log.c \
	%D%/ext/policy.c \
	%D%/ext/rlphp.c \
	%D%/ext/rlphp.h
php_wrapper = %D%/rlcore_wrap.c
EXTRA_DIST += $(php_front) $(php_sources) $(php_wrapper) %D%/php_rlcore.h %D%/rlcore_php.i \
	%D%/README.md %D%/composer.json %D%/config.m4 %D%/front/composer.json %D%/front/stubs/rlcore.php

# A release has it already, with the header that it includes: then nobody needs SWIG.
$(php_wrapper): %D%/rlcore_php.i $(bindings_shared) libcore/include/rlcore/rlcore.h
	$(AM_V_GEN)$(MKDIR_P) %D% && \
	$(SWIG) -php -prefix RateLimit_Raw_ -I$(srcdir)/bindings -I$(srcdir)/libcore/include \
		-outdir %D% -o $@.tmp $(srcdir)/%D%/rlcore_php.i && mv $@.tmp $@
%D%/php_rlcore.h: $(php_wrapper)
MAINTAINERCLEANFILES += $(php_wrapper) %D%/php_rlcore.h

if WITH_PHP_BINDING
# SWIG's C is compiled by itself: its warnings are not ours to mend.
noinst_LTLIBRARIES += %D%/librlphp-wrap.la
bindings_php_librlphp_wrap_la_SOURCES =
nodist_bindings_php_librlphp_wrap_la_SOURCES = $(php_wrapper)
bindings_php_librlphp_wrap_la_CPPFLAGS = -D_GNU_SOURCE -I$(srcdir)/libcore/include \
	-I$(srcdir)/%D%/ext $(PHP_CPPFLAGS)
bindings_php_librlphp_wrap_la_CFLAGS = $(RLC_VISIBILITY_CFLAGS) $(AM_CFLAGS) -w

rlcorephpdir = $(RLC_PHP_EXTDIR)
rlcorephp_LTLIBRARIES = %D%/rlcore.la
bindings_php_rlcore_la_SOURCES = $(php_sources)
bindings_php_rlcore_la_CPPFLAGS = $(bindings_php_librlphp_wrap_la_CPPFLAGS)
# PHP's macros give each method parameters that not each needs.
bindings_php_rlcore_la_CFLAGS = $(RLC_VISIBILITY_CFLAGS) $(AM_CFLAGS) -Wno-unused-parameter
bindings_php_rlcore_la_LDFLAGS = $(AM_LDFLAGS) -module -shared -avoid-version \
	-export-symbols-regex '^get_module$$'
bindings_php_rlcore_la_LIBADD = %D%/librlphp-wrap.la libcore/librlcore.la

# The front, where Composer is not used.
rlcorephpfrontdir = $(datadir)/php/RateLimit
install-data-hook: install-php-front
install-php-front:
	$(MKDIR_P) '$(DESTDIR)$(rlcorephpfrontdir)'
	for file in $(php_front); do \
	  name=$${file#%D%/front/src/}; \
	  $(MKDIR_P) "$(DESTDIR)$(rlcorephpfrontdir)/$$(dirname "$$name")" && \
	  $(INSTALL_DATA) "$(srcdir)/$$file" "$(DESTDIR)$(rlcorephpfrontdir)/$$name" || exit 1; \
	done
	rm -f '$(DESTDIR)$(rlcorephpdir)/rlcore.la'
uninstall-hook: uninstall-php-front
uninstall-php-front:
	rm -rf '$(DESTDIR)$(rlcorephpfrontdir)'
	rm -f '$(DESTDIR)$(rlcorephpdir)/rlcore.so'
install_rlcorephp = install-rlcorephpLTLIBRARIES
$(install_rlcorephp): install-libLTLIBRARIES
endif
