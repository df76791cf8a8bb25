# SPDX-License-Identifier: Apache-2.0

# What the PHP binding needs: php-config of a PHP 8.2 or later, its command, and SWIG, or what a release has
# of SWIG's already. Sets with_php to yes or no.
AC_DEFUN([RLC_PHP_BINDING], [
AC_ARG_ENABLE([php],
  [AS_HELP_STRING([--enable-php],
    [build the PHP extension rlcore, or fail; by default it is built if that can be])],
  [], [enable_php=auto])
AC_ARG_WITH([php-extdir],
  [AS_HELP_STRING([--with-php-extdir=DIR],
    [install the PHP extension there, not where php-config says])],
  [], [with_php_extdir=])
AC_ARG_VAR([PHP_CONFIG], [the php-config of the PHP 8.2 or later that the extension is built for])
AC_ARG_VAR([PHP], [that PHP's command, for the tests])
PHP_CPPFLAGS= RLC_PHP_EXTDIR=
with_php=no
have_phpunit=no
php_summary="no (--disable-php)"
AS_IF([test "x$enable_php" != xno], [
  rlc_why=
  AC_PATH_PROGS([SWIG], [swig swig4.0])
  AS_IF([test "x$SWIG" = x && test ! -f "$srcdir/bindings/php/rlcore_wrap.c"],
    [rlc_why="swig is missing"])
  AC_PATH_PROG([PHP_CONFIG], [php-config])
  AC_PATH_PROG([PHP], [php])
  AC_PATH_PROG([PHPUNIT], [phpunit])
  AC_MSG_CHECKING([for PHP 8.2 or later])
  rlc_version=
  AS_IF([test "x$PHP_CONFIG" != x], [rlc_version=`"$PHP_CONFIG" --vernum 2>/dev/null`])
  AS_IF([test "${rlc_version:-0}" -ge 80200 && test -f "`"$PHP_CONFIG" --include-dir`/main/php.h"],
    [AC_MSG_RESULT([`"$PHP_CONFIG" --version`])],
    [AC_MSG_RESULT([no])
    rlc_why="${rlc_why:+$rlc_why, and }no PHP 8.2 has headers (php-dev)"])
  AS_IF([test "x$rlc_why" = x], [
    with_php=yes
    PHP_CPPFLAGS=`"$PHP_CONFIG" --includes | sed 's/-I/-isystem /g'`
    RLC_PHP_EXTDIR=${with_php_extdir:-`"$PHP_CONFIG" --extension-dir`}
    # Middleware and Symfony's interface are tested with what Debian has of them.
    AS_IF([test "x$PHP" != x && test "x$PHPUNIT" != x && "$PHP" -r '
require "Nyholm/Psr7/autoload.php"; require "Symfony/Component/RateLimiter/autoload.php";' >/dev/null 2>&1],
      [have_phpunit=yes])
    php_summary="`"$PHP_CONFIG" --version`, extension into $RLC_PHP_EXTDIR"
    AS_IF([test "x$enable_tests" = xyes && test "x$have_phpunit" = xno],
      [AC_MSG_ERROR([--enable-tests was given, and of these something is missing: php-cli, phpunit,
       php-nyholm-psr7, php-symfony-rate-limiter])])
  ], [
    php_summary="no ($rlc_why)"
    AS_IF([test "x$enable_php" != xauto || test "x$enable_tests" = xyes],
      [AC_MSG_ERROR([the PHP extension cannot be built: $rlc_why; install that, or configure with
       --disable-php])])
  ])
])
AC_SUBST([PHP_CPPFLAGS])
AC_SUBST([RLC_PHP_EXTDIR])
])
