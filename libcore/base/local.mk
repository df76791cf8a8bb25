# SPDX-License-Identifier: Apache-2.0

# The ground floor: errors, memory, clock, log, options.
libcore_librlcore_static_la_SOURCES += \
	%D%/clock.c \
	%D%/clock.h \
	%D%/error.c \
	%D%/error.h \
	%D%/futex.c \
	%D%/futex.h \
	%D%/log.c \
	%D%/log.h \
	%D%/memory.c \
	%D%/memory.h \
	%D%/options.c \
	%D%/options.h \
	%D%/own.c \
	%D%/own.h \
	%D%/siphash.c \
	%D%/siphash.h \
	%D%/suggest.c \
	%D%/suggest.h \
	%D%/waiter.c \
	%D%/waiter.h
