<?php
// SPDX-License-Identifier: Apache-2.0

declare(strict_types=1);

use PHPUnit\Framework\TestCase;

/** What bindings/php/README.md shows is PHP, and its first example runs. */
final class ReadmeTest extends TestCase
{
    /** @return list<string> */
    private static function examples(): array
    {
        preg_match_all('/^```php\n(.*?)^```/ms', (string) file_get_contents(getenv("RLC_SRCDIR")
            . "/bindings/php/README.md"), $found);
        return $found[1];
    }

    /** @param list<string> $words */
    private static function execute(array $words, string $program): string
    {
        $file = tempnam(sys_get_temp_dir(), "rlphp");
        file_put_contents($file, $program);
        $said = (string) shell_exec(implode(" ", array_map(escapeshellarg(...), [PHP_BINARY, ...$words, $file])) . " 2>&1");
        unlink($file);
        return $said;
    }

    public function testTheFirstRuns(): void
    {
        // Where the store is away the fail policy decides: the example needs no Redis.
        $program = str_replace("redis://127.0.0.1/0", "redis://127.0.0.1:1/0", self::examples()[0]);
        self::assertSame("end", self::execute(["-d", "error_log=/dev/null", "-d", "extension="
            . getenv("RLC_BUILDDIR") . "/bindings/php/.libs/rlcore.so"], "<?php\nrequire "
            . var_export(getenv("RLC_SRCDIR") . "/bindings/php/front/src/autoload.php", true)
            . ";\n$program\necho 'end';"));
    }

    public function testAllAreWellWritten(): void
    {
        self::assertCount(4, self::examples());
        foreach (self::examples() as $example) {
            self::assertStringStartsWith("No syntax errors", self::execute(["-l"], "<?php\n$example"));
        }
    }
}
