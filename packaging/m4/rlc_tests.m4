# SPDX-License-Identifier: Apache-2.0

# Finds what only the tests need. PYTHON is an interpreter that has pytest, and hypothesis if there is
# one: of several on PATH, the system's goes first, since that is the one packages install for.
AC_DEFUN([RLC_TESTS], [
AC_ARG_VAR([PYTHON], [a Python 3 that can import pytest and hypothesis])
AC_ARG_VAR([REDIS_SERVER], [the redis-server that the tests start])
have_cmocka=no
have_hypothesis=no
have_prometheus=no
rlc_missing=
AS_IF([test "x$enable_tests" != xno], [
  PKG_CHECK_MODULES([CMOCKA], [cmocka >= 1.1], [have_cmocka=yes],
    [rlc_missing="$rlc_missing cmocka (libcmocka-dev),"])
  AC_PATH_PROG([REDIS_SERVER], [redis-server])
  AS_IF([test "x$REDIS_SERVER" = x], [rlc_missing="$rlc_missing redis-server,"])
  AC_MSG_CHECKING([for a Python 3 with pytest])
  rlc_found=
  for rlc_modules in pytest,hypothesis pytest; do
    for rlc_python in ${PYTHON:-/usr/bin/python3 python3 python}; do
      AS_IF([test "x$rlc_found" = x &&
          "$rlc_python" -c "import sys, $rlc_modules; assert sys.version_info >= (3, 8)" \
            >/dev/null 2>&1],
        [rlc_found=$rlc_python])
    done
  done
  PYTHON=$rlc_found
  AC_MSG_RESULT([${PYTHON:-no}])
  AS_IF([test "x$PYTHON" = x], [rlc_missing="$rlc_missing pytest (python3-pytest),"])
  AC_MSG_CHECKING([for hypothesis])
  AS_IF(["${PYTHON:-false}" -c 'import hypothesis' >/dev/null 2>&1], [have_hypothesis=yes],
    [rlc_missing="$rlc_missing hypothesis (python3-hypothesis),"])
  AC_MSG_RESULT([$have_hypothesis])
  AC_MSG_CHECKING([for prometheus_client])
  AS_IF(["${PYTHON:-false}" -c 'import prometheus_client.openmetrics' >/dev/null 2>&1],
    [have_prometheus=yes],
    [rlc_missing="$rlc_missing prometheus_client (python3-prometheus-client),"])
  AC_MSG_RESULT([$have_prometheus])
  AC_MSG_CHECKING([for time zones])
  AS_IF([test -f /usr/share/zoneinfo/Europe/Paris && test -f /usr/share/zoneinfo/zone.tab],
    [AC_MSG_RESULT([yes])],
    [AC_MSG_RESULT([no])
    rlc_missing="$rlc_missing time zones (tzdata),"])
  AC_CHECK_PROG([TEST_TIMEOUT], [timeout], [timeout 900], [])
  AS_IF([test "x$enable_tests" = xyes && test "x$rlc_missing" != x],
    [AC_MSG_ERROR([--enable-tests was given, and these are missing:${rlc_missing%,}])])
], [
  PYTHON= REDIS_SERVER=
])
])
