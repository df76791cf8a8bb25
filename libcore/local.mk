# SPDX-License-Identifier: Apache-2.0

# All of the library is compiled once, into an archive that keeps its hidden symbols: the unit tests
# link that, the shared library is made of it and exports the names of rlcore.map alone.
noinst_LTLIBRARIES += %D%/librlcore-static.la
libcore_librlcore_static_la_CPPFLAGS = -DRLC_BUILD $(AM_CPPFLAGS)
libcore_librlcore_static_la_CFLAGS = $(RLC_VISIBILITY_CFLAGS) $(AM_CFLAGS)
libcore_librlcore_static_la_LIBADD = $(HIREDIS_LIBS) $(OPENSSL_LIBS)
libcore_librlcore_static_la_SOURCES =

include libcore/include/local.mk
include libcore/base/local.mk
include libcore/policy/local.mk
include libcore/http/local.mk
include libcore/algorithm/local.mk
include libcore/redis/local.mk
include libcore/store/local.mk
include libcore/limiter/local.mk

lib_LTLIBRARIES += %D%/librlcore.la
libcore_librlcore_la_SOURCES =
libcore_librlcore_la_LIBADD = %D%/librlcore-static.la
# CURRENT:REVISION:AGE of libtool: the binary interface. soname 0 until it changes.
libcore_librlcore_la_LDFLAGS = $(AM_LDFLAGS) -no-undefined -version-info 0:0:0
EXTRA_libcore_librlcore_la_DEPENDENCIES = $(srcdir)/%D%/rlcore.map
if WITH_VERSION_SCRIPT
libcore_librlcore_la_LDFLAGS += -Wl,--version-script=$(srcdir)/%D%/rlcore.map
endif
EXTRA_DIST += %D%/rlcore.map

include libcore/rlctl/local.mk
