#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The version stands in configure.ac, in rlcore.h and in NEWS, and is the same.

. "$(dirname "$0")/common.sh"

version=$(sed -n 's/^AC_INIT(\[[a-z_]*\], \[\([0-9.]*\)\].*/\1/p' "$top/configure.ac")
[ -n "$version" ] || complain "configure.ac: AC_INIT names no version"
checked configure.ac
if ! grep -qx "#define RLC_VERSION \"$version\"" "$top/libcore/include/rlcore/rlcore.h"; then
  complain "rlcore.h: RLC_VERSION is not \"$version\", as configure.ac has it"
fi
checked rlcore.h
if ! grep -qE "^## \[($version|Unreleased)\]" "$top/NEWS"; then
  complain "NEWS: no heading \"## [$version]\" nor \"## [Unreleased]\""
fi
checked NEWS
finish "places of the version"
