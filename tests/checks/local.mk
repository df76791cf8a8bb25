# SPDX-License-Identifier: Apache-2.0

# What the compiler does not see: POSIX shell over the sources and the built library.
check_scripts = \
	%D%/directives.sh \
	%D%/headers.sh \
	%D%/ids.sh \
	%D%/layers.sh \
	%D%/readme.sh \
	%D%/registered.sh \
	%D%/spdx.sh \
	%D%/symbols.sh \
	%D%/version.sh

EXTRA_DIST += $(check_scripts) %D%/common.sh
