# SPDX-License-Identifier: Apache-2.0

# The way to a Redis server: names, sockets, replies, scripts.
libcore_librlcore_static_la_SOURCES += \
	%D%/keyname.c \
	%D%/keyname.h \
	%D%/pool.c \
	%D%/pool.h \
	%D%/resolve.c \
	%D%/resolve.h \
	%D%/script.c \
	%D%/script.h \
	%D%/socket.c \
	%D%/socket.h \
	%D%/transport.c \
	%D%/transport.h

# The scripts' bytes and their hashes, made at build.
nodist_libcore_librlcore_static_la_SOURCES = %D%/scripts_data.c
%D%/scripts_data.c: packaging/embed-lua.sh $(lua_scripts)
	$(AM_V_GEN)$(MKDIR_P) %D% && \
	(cd $(srcdir) && $(SHELL) packaging/embed-lua.sh $(lua_scripts)) > $@.tmp && mv -f $@.tmp $@
BUILT_SOURCES += %D%/scripts_data.c
CLEANFILES += %D%/scripts_data.c %D%/scripts_data.c.tmp
