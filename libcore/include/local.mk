# SPDX-License-Identifier: Apache-2.0

rlcoreincludedir = $(includedir)/rlcore
rlcoreinclude_HEADERS = %D%/rlcore/rlcore.h
