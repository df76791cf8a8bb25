# SPDX-License-Identifier: Apache-2.0

# What the languages share. Each has a folder of its own.
bindings_shared = \
	%D%/index.i \
	%D%/lease.i \
	%D%/rlcore.i
EXTRA_DIST += $(bindings_shared)

include bindings/php/local.mk
include bindings/python/local.mk
