# SPDX-License-Identifier: Apache-2.0

# The httpd module. libtool links it; it exports the module structure and nothing else.
apachemoddir = $(APACHE_LIBEXECDIR)
apachemod_LTLIBRARIES = %D%/mod_ratelimit_redis.la
mod_ratelimit_redis_mod_ratelimit_redis_la_SOURCES = \
	%D%/access.c \
	%D%/access.h \
	%D%/answer.c \
	%D%/answer.h \
	%D%/cache.c \
	%D%/cache.h \
	%D%/charge.c \
	%D%/charge.h \
	%D%/chart.c \
	%D%/chart.h \
	%D%/config.c \
	%D%/config.h \
	%D%/delay.c \
	%D%/delay.h \
	%D%/events.h \
	%D%/exempt.c \
	%D%/exempt.h \
	%D%/fields.c \
	%D%/fields.h \
	%D%/journal.c \
	%D%/journal.h \
	%D%/count.c \
	%D%/count.h \
	%D%/handover.c \
	%D%/handover.h \
	%D%/formats.c \
	%D%/formats.h \
	%D%/key.c \
	%D%/key.h \
	%D%/load.c \
	%D%/load.h \
	%D%/line.c \
	%D%/line.h \
	%D%/mod_ratelimit_redis.c \
	%D%/module.h \
	%D%/offenders.c \
	%D%/offenders.h \
	%D%/option.c \
	%D%/option.h \
	%D%/refusal.c \
	%D%/refusal.h \
	%D%/shed.c \
	%D%/shed.h \
	%D%/page.c \
	%D%/page.h \
	%D%/settle.c \
	%D%/settle.h \
	%D%/sink.c \
	%D%/sink.h \
	%D%/sketch.c \
	%D%/sketch.h \
	%D%/status.c \
	%D%/status.h \
	%D%/statuses.c \
	%D%/statuses.h \
	%D%/stores.c \
	%D%/stores.h \
	%D%/style.c \
	%D%/tally.c \
	%D%/tally.h \
	%D%/text.c \
	%D%/text.h \
	%D%/view.c \
	%D%/view.h \
	%D%/wire.c \
	%D%/wire.h
mod_ratelimit_redis_mod_ratelimit_redis_la_CPPFLAGS = \
	-D_GNU_SOURCE -I$(srcdir)/libcore/include $(APACHE_CPPFLAGS)
mod_ratelimit_redis_mod_ratelimit_redis_la_CFLAGS = $(AM_CFLAGS)
mod_ratelimit_redis_mod_ratelimit_redis_la_LDFLAGS = $(AM_LDFLAGS) -module -shared -avoid-version \
	-export-symbols-regex '^ratelimit_redis_module$$'
mod_ratelimit_redis_mod_ratelimit_redis_la_LIBADD = libcore/librlcore.la

# libtool links the module anew at install, against the installed library. By a variable: a rule of
# that name would take automake's place.
install_apachemod = install-apachemodLTLIBRARIES
$(install_apachemod): install-libLTLIBRARIES

# httpd loads the .so; libtool's note beside it would only be in the way.
install-data-hook:
	rm -f '$(DESTDIR)$(apachemoddir)/mod_ratelimit_redis.la'
uninstall-hook:
	rm -f '$(DESTDIR)$(apachemoddir)/mod_ratelimit_redis.so'

installcheck-local:
	test -f '$(DESTDIR)$(apachemoddir)/mod_ratelimit_redis.so'
	test ! -e '$(DESTDIR)$(apachemoddir)/mod_ratelimit_redis.la'
