#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# phpize, configure and make build the extension from its own folder, for a library that pkg-config knows.

set -eu
extension=$RLC_BUILDDIR/bindings/php/.libs/rlcore.so
phpize=$(dirname "$PHP_CONFIG")/phpize
if [ -n "${RLC_SANITIZER:-}" ]; then
  echo "built with a sanitizer, whose runtime PHP has not"
  exit 77
fi
[ -f "$extension" ] || {
  echo "$extension is missing: build first (make)"
  exit 1
}
scratch=$(mktemp -d "${TMPDIR:-/tmp}/rlphp.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT TERM
mkdir "$scratch/bindings" "$scratch/pkgconfig"
cp -R "$RLC_SRCDIR/bindings/php" "$RLC_SRCDIR"/bindings/*.i "$scratch/bindings/"
chmod -R u+w "$scratch/bindings"
cat > "$scratch/pkgconfig/librlcore.pc" << END
includedir=$RLC_SRCDIR/libcore/include
Name: librlcore
Description: as built
Version: 0
Cflags: -I\${includedir}
Libs: -L$RLC_BUILDDIR/libcore/.libs -lrlcore
END
PKG_CONFIG_PATH=$scratch/pkgconfig
LD_LIBRARY_PATH=$RLC_BUILDDIR/libcore/.libs
export PKG_CONFIG_PATH LD_LIBRARY_PATH
cd "$scratch/bindings/php"
"$phpize"
./configure --with-php-config="$PHP_CONFIG" CFLAGS=-O0
make
said=$("$PHP" -d extension="$PWD/modules/rlcore.so" -r '
  require "front/src/autoload.php";
  echo RateLimit\Limiter::open("memory:")->check("a", "5/s")->remaining();')
[ "$said" = 4 ] || {
  echo "the extension that phpize built says \"$said\", not 4"
  exit 1
}
