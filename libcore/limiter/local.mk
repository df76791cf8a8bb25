# SPDX-License-Identifier: Apache-2.0

# The public verbs: limits, a store, a decision.
libcore_librlcore_static_la_SOURCES += \
	%D%/batch.c \
	%D%/batch.h \
	%D%/catalog.c \
	%D%/catalog.h \
	%D%/config.c \
	%D%/counters.c \
	%D%/counters.h \
	%D%/denials.c \
	%D%/denials.h \
	%D%/index.c \
	%D%/keeper.c \
	%D%/keeper.h \
	%D%/lease.c \
	%D%/limiter.c \
	%D%/limiter.h \
	%D%/queue.c \
	%D%/rules.c \
	%D%/rules.h \
	%D%/rules_inside.h \
	%D%/upkeep.c
