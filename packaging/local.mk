# SPDX-License-Identifier: Apache-2.0

pkgconfigdir = $(libdir)/pkgconfig
pkgconfig_DATA = %D%/librlcore.pc

EXTRA_DIST += \
	%D%/demo/demo.sh \
	%D%/demo/httpd.conf.in \
	%D%/embed-lua.sh \
	%D%/packages.sh
