<?php
// SPDX-License-Identifier: Apache-2.0

declare(strict_types=1);

use PHPUnit\Framework\TestCase;

/** What IDEs are told is what is there. */
final class StubsTest extends TestCase
{
    public function testStubsAreTheExtension(): void
    {
        $run = escapeshellarg(PHP_BINARY) . " -n %s " . escapeshellarg(__DIR__ . "/surface.php") . " "
            . escapeshellarg(getenv("RLC_SRCDIR") . "/bindings/php/front/stubs/rlcore.php") . " 2>&1";
        $extension = "-d extension=" . escapeshellarg(getenv("RLC_BUILDDIR") . "/bindings/php/.libs/rlcore.so");
        $there = (string) shell_exec(sprintf($run, $extension));
        self::assertStringContainsString("public checkAll(array \$limits)", $there);
        self::assertSame($there, (string) shell_exec(sprintf($run, "")));
    }
}
