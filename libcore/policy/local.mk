# SPDX-License-Identifier: Apache-2.0

# Policy text into a policy. Pure, but for the files of time zones.
libcore_librlcore_static_la_SOURCES += \
	%D%/ban.c \
	%D%/ban.h \
	%D%/bound.c \
	%D%/calendar.c \
	%D%/calendar.h \
	%D%/civil.c \
	%D%/civil.h \
	%D%/level.c \
	%D%/level.h \
	%D%/parse.c \
	%D%/parse.h \
	%D%/parser.h \
	%D%/policy.c \
	%D%/policy.h \
	%D%/rate.c \
	%D%/settle.c \
	%D%/zone.c \
	%D%/zone.h \
	%D%/zone_load.c \
	%D%/zone_rule.c \
	%D%/zone_rule.h
