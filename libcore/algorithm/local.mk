# SPDX-License-Identifier: Apache-2.0

# State transitions in integers, as spec.md has them. Pure.
libcore_librlcore_static_la_SOURCES += \
	%D%/algorithm.c \
	%D%/algorithm.h \
	%D%/fixed_window.c \
	%D%/fixed_window.h \
	%D%/log.c \
	%D%/log.h \
	%D%/sliding_window.c \
	%D%/sliding_window.h \
	%D%/token_bucket.c \
	%D%/token_bucket.h

EXTRA_DIST += %D%/spec.md
