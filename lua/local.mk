# SPDX-License-Identifier: Apache-2.0

# The Redis scripts, which the library carries in itself (libcore/redis/script.h).
lua_scripts = \
	%D%/calendar-window.lua \
	%D%/fixed-window.lua \
	%D%/index.lua \
	%D%/log.lua \
	%D%/several.lua \
	%D%/sliding-window.lua \
	%D%/token-bucket-stack.lua \
	%D%/token-bucket.lua

EXTRA_DIST += $(lua_scripts)
