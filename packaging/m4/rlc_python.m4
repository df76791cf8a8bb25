# SPDX-License-Identifier: Apache-2.0

# What the Python binding needs: an interpreter (that of the tests, where there is one), its headers,
# and SWIG, or what a release has of SWIG's already. Sets with_python to yes or no.
AC_DEFUN([RLC_PYTHON_BINDING], [
AC_ARG_VAR([SWIG], [SWIG 4.0 or later])
AC_ARG_ENABLE([python],
  [AS_HELP_STRING([--enable-python],
    [build the Python package rlcore, or fail; by default it is built if that can be])],
  [], [enable_python=auto])
AC_ARG_WITH([pythondir],
  [AS_HELP_STRING([--with-pythondir=DIR],
    [install the Python package there; default: where a Python of this prefix looks])],
  [], [with_pythondir=])
AC_ARG_VAR([RLC_PYTHON], [the Python 3.10 or later that the package is built for])
PYTHON_CPPFLAGS= RLC_PYTHONDIR=
with_python=no
python_summary="no (--disable-python)"
AC_PATH_PROGS([SWIG], [swig swig4.0])
AS_IF([test "x$enable_python" != xno], [
  rlc_why=
  AS_IF([test "x$SWIG" = x && test ! -f "$srcdir/bindings/python/rlcore_wrap.c"],
    [rlc_why="swig is missing"])
  AC_MSG_CHECKING([for a Python 3.10 or later with headers])
  rlc_found=
  for rlc_python in ${RLC_PYTHON:-$PYTHON /usr/bin/python3 python3}; do
    AS_IF([test "x$rlc_found" = x && "$rlc_python" -c '
import os, sys, sysconfig
assert sys.version_info >= (3, 10)
assert os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h"))' >/dev/null 2>&1],
      [rlc_found=$rlc_python])
  done
  RLC_PYTHON=$rlc_found
  AC_MSG_RESULT([${RLC_PYTHON:-no}])
  AS_IF([test "x$RLC_PYTHON" = x],
    [rlc_why="${rlc_why:+$rlc_why, and }no Python has headers (python3-dev)"])
  AS_IF([test "x$rlc_why" = x], [
    with_python=yes
    PYTHON_CPPFLAGS=`"$RLC_PYTHON" -c '
import sysconfig
print(*("-isystem " + path for path in sorted({sysconfig.get_path("include"),
                                               sysconfig.get_path("platinclude")})))'`
    # Debian's own name for the folder, for what does not come from its packages either.
    rlc_packages=`"$RLC_PYTHON" -c '
import sys, sysconfig
print("lib/python%d.%d/%s-packages" % (*sys.version_info@<:@:2@:>@, "dist" if "deb_system" in
                                       sysconfig.get_scheme_names() else "site"))'`
    RLC_PYTHONDIR=${with_pythondir:-"\${exec_prefix}/$rlc_packages"}
    python_summary="$RLC_PYTHON, package into $RLC_PYTHONDIR"
  ], [
    python_summary="no ($rlc_why)"
    AS_IF([test "x$enable_python" != xauto || test "x$enable_tests" = xyes],
      [AC_MSG_ERROR([the Python package cannot be built: $rlc_why; install that, or configure with
       --disable-python])])
  ])
])
AC_SUBST([PYTHON_CPPFLAGS])
AC_SUBST([RLC_PYTHONDIR])
])
