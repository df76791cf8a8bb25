# SPDX-License-Identifier: Apache-2.0

# RLC_ADD_CFLAGS(VARIABLE, FLAGS): appends to VARIABLE each of FLAGS that the compiler takes.
# -Werror is there because clang takes what it does not know with a warning.
AC_DEFUN([RLC_ADD_CFLAGS], [
for rlc_flag in $2; do
  AC_MSG_CHECKING([whether $CC takes $rlc_flag])
  rlc_saved_cflags=$CFLAGS
  CFLAGS="$CFLAGS -Werror $rlc_flag"
  AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])],
    [AC_MSG_RESULT([yes])
     $1="${$1:+$$1 }$rlc_flag"],
    [AC_MSG_RESULT([no])])
  CFLAGS=$rlc_saved_cflags
done
])

# RLC_SYSTEM_HEADERS(VARIABLE): turns -I in VARIABLE into -isystem. /usr/include itself is searched
# anyway, and would be in the wrong place there.
AC_DEFUN([RLC_SYSTEM_HEADERS], [
$1=`echo " $$1 " | sed 's, -I/usr/include , ,g; s, -I, -isystem ,g; s,^ *,,; s, *$,,'`
])

# Reads --with-sanitizer into RLC_CFLAGS and RLC_LDFLAGS.
AC_DEFUN([RLC_SANITIZER], [
AS_CASE([$with_sanitizer],
  [no], [with_sanitizer=],
  [yes], [with_sanitizer=address,undefined])
AS_IF([test "x$with_sanitizer" != x], [
  rlc_flag="-fsanitize=$with_sanitizer -fno-sanitize-recover=all -fno-omit-frame-pointer"
  rlc_saved_cflags=$CFLAGS
  CFLAGS="$CFLAGS $rlc_flag"
  AC_MSG_CHECKING([whether $CC links with -fsanitize=$with_sanitizer])
  AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])], [AC_MSG_RESULT([yes])],
    [AC_MSG_RESULT([no])
     AC_MSG_ERROR([--with-sanitizer=$with_sanitizer: $CC cannot link that; write address,undefined
       or thread, and install the compiler's sanitizer libraries])])
  CFLAGS=$rlc_saved_cflags
  RLC_CFLAGS="$RLC_CFLAGS $rlc_flag"
  RLC_LDFLAGS="-fsanitize=$with_sanitizer"
])
AC_SUBST([RLC_SANITIZER_NAME], [$with_sanitizer])
])

# Whether the linker takes a version script: then the library exports the names of rlcore.map only.
AC_DEFUN([RLC_VERSION_SCRIPT], [
AC_MSG_CHECKING([whether the linker takes a version script])
AS_ECHO(["V_1 { global: main; local: *; };"]) >conftest.map
rlc_saved_ldflags=$LDFLAGS
LDFLAGS="$LDFLAGS -Wl,--version-script=conftest.map"
AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])], [rlc_version_script=yes], [rlc_version_script=no])
LDFLAGS=$rlc_saved_ldflags
rm -f conftest.map
AC_MSG_RESULT([$rlc_version_script])
AM_CONDITIONAL([WITH_VERSION_SCRIPT], [test "x$rlc_version_script" = xyes])
])
