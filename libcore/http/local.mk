# SPDX-License-Identifier: Apache-2.0

# RateLimit fields, problem documents and address prefixes. Pure strings.
libcore_librlcore_static_la_SOURCES += \
	%D%/address.c \
	%D%/charged.c \
	%D%/fields.c \
	%D%/partition.c \
	%D%/problem.c \
	%D%/writer.h
