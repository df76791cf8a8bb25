# SPDX-License-Identifier: Apache-2.0

# The command line, which stands on the shared library and its public header alone.
bin_PROGRAMS += %D%/rlctl
libcore_rlctl_rlctl_SOURCES = \
	%D%/cmd_acl.c \
	%D%/cmd_decide.c \
	%D%/cmd_index.c \
	%D%/cmd_list.c \
	%D%/cmd_policy.c \
	%D%/cmd_stats.c \
	%D%/limits.c \
	%D%/line.c \
	%D%/main.c \
	%D%/rlctl.h \
	%D%/secret.c \
	%D%/store.c \
	%D%/text.c
libcore_rlctl_rlctl_LDADD = libcore/librlcore.la

dist_man_MANS += %D%/rlctl.1
