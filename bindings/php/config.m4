dnl SPDX-License-Identifier: Apache-2.0
dnl For phpize, and for PIE: builds the extension for an installed librlcore.

PHP_ARG_WITH([rlcore], [for librlcore],
  [AS_HELP_STRING([--with-rlcore@<:@=DIR@:>@], [DIR is the prefix of librlcore])], [yes])

if test "$PHP_RLCORE" != no; then
  AC_PATH_PROG([PKG_CONFIG], [pkg-config], [no])
  if test "$PHP_RLCORE" != yes; then
    PKG_CONFIG_PATH="$PHP_RLCORE/lib/pkgconfig:$PKG_CONFIG_PATH"
    export PKG_CONFIG_PATH
  fi
  AC_MSG_CHECKING([for librlcore])
  if "$PKG_CONFIG" --exists librlcore 2>/dev/null; then
    AC_MSG_RESULT([`"$PKG_CONFIG" --modversion librlcore`])
  else
    AC_MSG_RESULT([no])
    AC_MSG_ERROR([pkg-config does not find librlcore: make install it, or say --with-rlcore=PREFIX])
  fi
  PHP_EVAL_INCLINE([`"$PKG_CONFIG" --cflags librlcore`])
  PHP_EVAL_LIBLINE([`"$PKG_CONFIG" --libs librlcore`], [RLCORE_SHARED_LIBADD])
  dnl A release has what SWIG makes; a checkout has what it is made of beside this folder.
  if test ! -f "$abs_srcdir/rlcore_wrap.c"; then
    AC_PATH_PROGS([SWIG], [swig swig4.0], [no])
    if test "$SWIG" = no; then
      AC_MSG_ERROR([rlcore_wrap.c is not here, and there is no swig to make it])
    fi
    (cd "$abs_srcdir" && "$SWIG" -php -prefix RateLimit_Raw_ -I.. \
      -I"`"$PKG_CONFIG" --variable=includedir librlcore`" -outdir . -o rlcore_wrap.c rlcore_php.i) ||
      AC_MSG_ERROR([swig failed])
  fi
  PHP_SUBST([RLCORE_SHARED_LIBADD])
  PHP_NEW_EXTENSION([rlcore], [rlcore_wrap.c ext/clock.c ext/core.c ext/decision.c ext/fields.c \
    ext/handle.c ext/lease.c ext/limit.c ext/log.c ext/policy.c ext/rlphp.c], [$ext_shared],,
    [-D_GNU_SOURCE -std=gnu11 -I@ext_srcdir@ -I@ext_srcdir@/ext])
  PHP_ADD_BUILD_DIR([$ext_builddir/ext])
fi
