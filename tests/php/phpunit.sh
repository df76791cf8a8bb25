#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs PHPUnit on the files given, for make check, with the extension that was built.

extension=$RLC_BUILDDIR/bindings/php/.libs/rlcore.so
if [ -z "${PHP:-}" ] || [ -z "${PHPUNIT:-}" ]; then
  echo "configure found no php or no phpunit: install php-cli and phpunit, configure again"
  exit 77
fi
if [ -n "${RLC_SANITIZER:-}" ]; then
  echo "built with a sanitizer, whose runtime PHP has not"
  exit 77
fi
[ -f "$extension" ] || {
  echo "$extension is missing: build first (make)"
  exit 1
}
exec "$PHP" -d extension="$extension" -d zend.assertions=1 -d error_reporting=-1 -d display_errors=1 \
  -d memory_limit=256M "$PHPUNIT" --no-configuration --do-not-cache-result --testdox \
  --fail-on-risky --fail-on-warning --bootstrap "$RLC_SRCDIR/tests/php/bootstrap.php" "$@"
