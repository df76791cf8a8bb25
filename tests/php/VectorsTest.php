<?php
// SPDX-License-Identifier: Apache-2.0

declare(strict_types=1);

use PHPUnit\Framework\TestCase;
use RateLimit\Clock;
use RateLimit\Limiter;

/** The rows of tests/vectors through PHP: the same answers to the last microsecond. */
final class VectorsTest extends TestCase
{
    private static ?RedisServer $redis = null;

    public static function setUpBeforeClass(): void
    {
        self::$redis = new RedisServer();
    }

    public static function tearDownAfterClass(): void
    {
        self::$redis?->stop();
    }

    /** @return iterable<string, array{string, string}> */
    public function files(): iterable
    {
        foreach (glob(getenv("RLC_VECTORS") . "/*.tsv") ?: [] as $path) {
            if (str_starts_with((string) file_get_contents($path), "op\t")) {
                foreach (["memory:", "shm:", "redis"] as $store) {
                    yield basename($path) . " $store" => [$path, $store];
                }
            }
        }
    }

    private static function microseconds(?float $seconds): string
    {
        return $seconds === null ? "-" : (string) (int) round($seconds * 1e6);
    }

    /** @dataProvider files */
    public function testRows(string $path, string $store): void
    {
        if ($store === "redis") {
            self::$redis->command("FLUSHALL");
            $store = self::$redis->url();
        }
        $clock = new Clock(0);
        $name = basename($path) === "changes.tsv" ? "changing" : null;
        $limiter = new Limiter($store, ["clock" => $clock]);
        $lines = file($path, FILE_IGNORE_NEW_LINES);
        $columns = explode("\t", array_shift($lines));
        foreach ($lines as $line) {
            $row = array_combine($columns, explode("\t", $line));
            $clock->set((int) $row["now_us"]);
            $said = $limiter->{$row["op"]}($row["key"], $row["policy"], (int) $row["cost"], $name);
            if ($row["op"] === "reset") {
                self::assertTrue($said);
                continue;
            }
            self::assertSame([$row["allowed"], $row["rate_index"], $row["limit"], $row["remaining"],
                $row["retry_us"], $row["reset_us"], "store"],
                [(string) (int) $said->allowed(), (string) $said->rateIndex(), (string) $said->limit(),
                (string) $said->remaining(), self::microseconds($said->retryAfter()),
                self::microseconds($said->reset()), $said->source()], $line);
        }
        self::assertGreaterThan(20, count($lines));
    }

    public function testFilesAreThere(): void
    {
        self::assertGreaterThanOrEqual(24, count(iterator_to_array($this->files())));
    }
}
