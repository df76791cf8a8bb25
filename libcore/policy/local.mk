# SPDX-License-Identifier: Apache-2.0

# Policy text into a policy. Pure.
libcore_librlcore_static_la_SOURCES += \
	%D%/bound.c \
	%D%/parse.c \
	%D%/parse.h \
	%D%/policy.c \
	%D%/policy.h \
	%D%/rate.c
