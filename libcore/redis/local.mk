# SPDX-License-Identifier: Apache-2.0

# The way to a Redis server: names, sockets, replies, scripts.
libcore_librlcore_static_la_SOURCES += \
	%D%/advice.c \
	%D%/advice.h \
	%D%/client.c \
	%D%/client.h \
	%D%/cluster.c \
	%D%/cluster.h \
	%D%/connection.c \
	%D%/connection.h \
	%D%/dialer.c \
	%D%/discovery.c \
	%D%/endpoint.c \
	%D%/endpoint.h \
	%D%/engine.c \
	%D%/engine.h \
	%D%/engine_parts.h \
	%D%/gate.c \
	%D%/gate.h \
	%D%/keyname.c \
	%D%/keyname.h \
	%D%/lane.c \
	%D%/lane.h \
	%D%/lane_inside.h \
	%D%/lane_read.c \
	%D%/lookup.c \
	%D%/lookup.h \
	%D%/node.c \
	%D%/node.h \
	%D%/nodes.c \
	%D%/reader.c \
	%D%/reader.h \
	%D%/refusal.c \
	%D%/refusal.h \
	%D%/resolve.c \
	%D%/resolve.h \
	%D%/script.h \
	%D%/sentinel.c \
	%D%/sentinel.h \
	%D%/socket.c \
	%D%/socket.h \
	%D%/stream.c \
	%D%/stream.h \
	%D%/tls.c \
	%D%/tls.h

# The scripts' bytes and their hashes, made at build.
nodist_libcore_librlcore_static_la_SOURCES = %D%/scripts_data.c
%D%/scripts_data.c: packaging/embed-lua.sh $(lua_scripts)
	$(AM_V_GEN)$(MKDIR_P) %D% && \
	(cd $(srcdir) && $(SHELL) packaging/embed-lua.sh $(lua_scripts)) > $@.tmp && mv -f $@.tmp $@
BUILT_SOURCES += %D%/scripts_data.c
CLEANFILES += %D%/scripts_data.c %D%/scripts_data.c.tmp
