# SPDX-License-Identifier: Apache-2.0

# Asks apxs, which is asked and never used to build: where httpd's headers, modules and program are.
AC_DEFUN([RLC_APACHE], [
AC_ARG_VAR([APXS], [httpd's apxs])
apache_summary="no (--without-apache)"
APACHE_CPPFLAGS= APACHE_LIBEXECDIR= APACHE_PROGRAM= APACHE_MODULES=
AS_IF([test "x$with_apache" != xno], [
  AS_CASE([$with_apxs], [yes | no], [with_apxs=])
  AS_IF([test "x$with_apxs" != x], [APXS=$with_apxs])
  AC_PATH_PROGS([APXS], [apxs apxs2], [], [$PATH$PATH_SEPARATOR/usr/sbin])
  AS_IF([test "x$APXS" = x],
    [AC_MSG_ERROR([apxs was not found: install httpd's development files (apache2-dev, httpd-devel),
       name it (--with-apxs=PATH), or build librlcore alone (--without-apache)])])
  apache_includedir=`"$APXS" -q INCLUDEDIR 2>/dev/null`
  AS_IF([test -f "$apache_includedir/httpd.h"], [],
    [AC_MSG_ERROR([$APXS names no folder with httpd.h ("$apache_includedir"): name a working apxs
       (--with-apxs=PATH), or build librlcore alone (--without-apache)])])
  apache_apr=`"$APXS" -q APR_CONFIG 2>/dev/null`
  AS_IF([test -x "$apache_apr"], [],
    [AC_MSG_ERROR([$APXS names no apr-config that can be run ("$apache_apr"): install APR's
       development files (libapr1-dev, apr-devel)])])
  # As system headers: what their macros expand to is theirs to be warned about. /usr/include
  # itself is searched anyway, and would be in the wrong place there.
  APACHE_CPPFLAGS=`echo " -I$apache_includedir" \`"$apache_apr" --includes --cppflags\` \
    \`"$APXS" -q EXTRA_CPPFLAGS 2>/dev/null\` | sed 's, -I/usr/include ,,; s, -I, -isystem ,g'`
  APACHE_MODULES=`"$APXS" -q LIBEXECDIR 2>/dev/null`
  APACHE_LIBEXECDIR=${with_apache_libexecdir:-$APACHE_MODULES}
  apache_name=`"$APXS" -q PROGNAME 2>/dev/null`
  APACHE_PROGRAM=`"$APXS" -q SBINDIR 2>/dev/null`/${apache_name:-httpd}
  AS_IF([test "x$APACHE_LIBEXECDIR" = x],
    [AC_MSG_ERROR([$APXS does not say where modules go: write --with-apache-libexecdir=DIR])])

  rlc_saved_cppflags=$CPPFLAGS
  CPPFLAGS="$CPPFLAGS -D_GNU_SOURCE $APACHE_CPPFLAGS"
  AC_MSG_CHECKING([for httpd 2.4.17 or later])
  # 20120211.47 is the module interface of 2.4.17.
  AC_COMPILE_IFELSE([AC_LANG_PROGRAM([[
#include <httpd.h>
#if !AP_MODULE_MAGIC_AT_LEAST(20120211, 47)
#error too old
#endif
    ]], [[]])],
    [AC_MSG_RESULT([yes])],
    [AC_MSG_RESULT([no])
     AC_MSG_ERROR([httpd.h in $apache_includedir cannot be used: httpd 2.4.17 or later and its APR
       are needed; config.log says what the compiler missed])])
  CPPFLAGS=$rlc_saved_cppflags
  apache_summary="$APACHE_PROGRAM, modules into $APACHE_LIBEXECDIR"
])
AC_SUBST([APACHE_CPPFLAGS])
AC_SUBST([APACHE_LIBEXECDIR])
AC_SUBST([APACHE_PROGRAM])
AC_SUBST([APACHE_MODULES])
])
