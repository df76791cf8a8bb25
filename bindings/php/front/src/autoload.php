<?php
// SPDX-License-Identifier: Apache-2.0

// For programs without Composer.
declare(strict_types=1);

spl_autoload_register(static function (string $class): void {
    if (str_starts_with($class, "RateLimit\\")) {
        $file = __DIR__ . "/" . strtr(substr($class, 10), "\\", "/") . ".php";
        if (is_file($file)) {
            require $file;
        }
    }
});
