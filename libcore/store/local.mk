# SPDX-License-Identifier: Apache-2.0

# store.h and the stores behind it.
libcore_librlcore_static_la_SOURCES += \
	%D%/blocks.c \
	%D%/blocks.h \
	%D%/breaker.c \
	%D%/breaker.h \
	%D%/guard.c \
	%D%/index.c \
	%D%/index.h \
	%D%/memory.c \
	%D%/redis.c \
	%D%/redis_acl.c \
	%D%/redis_codec.c \
	%D%/redis_codec.h \
	%D%/redis_codec_inside.h \
	%D%/redis_reply.c \
	%D%/redis_index.c \
	%D%/redis_index.h \
	%D%/redis_index_codec.c \
	%D%/redis_index_codec.h \
	%D%/redis_log.c \
	%D%/redis_log.h \
	%D%/region.c \
	%D%/region.h \
	%D%/share.c \
	%D%/share.h \
	%D%/shm.c \
	%D%/slots.c \
	%D%/slots.h \
	%D%/slots_inside.h \
	%D%/store.h \
	%D%/table.c \
	%D%/table.h \
	%D%/table_index.c \
	%D%/table_index.h \
	%D%/url.c \
	%D%/url.h \
	%D%/url_option.c \
	%D%/url_parser.h \
	%D%/url_server.c
