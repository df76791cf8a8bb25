<?php
// SPDX-License-Identifier: Apache-2.0

declare(strict_types=1);

use PHPUnit\Framework\TestCase;
use RateLimit\Limit;
use RateLimit\Limiter;

/** What stays from request to request, what forks, and what is given back. */
final class LifeTest extends TestCase
{
    private ?RedisServer $redis = null;

    protected function tearDown(): void
    {
        $this->redis?->stop();
    }

    public function testOpenGivesTheSameAgain(): void
    {
        Limiter::open("shm:", ["policies" => ["api" => "1/h"]])->check("a", "api");
        gc_collect_cycles();
        self::assertFalse(Limiter::open("shm:", ["policies" => ["api" => "1/h"]])->check("a", "api")->allowed());
        self::assertTrue(Limiter::open("shm:", ["policies" => ["api" => "2/h"]])->check("a", "api")->allowed());
        self::assertTrue((new Limiter("shm:", ["policies" => ["api" => "1/h"]]))->check("a", "api")->allowed());
    }

    public function testClosingOneOfTwoLeavesTheOther(): void
    {
        $one = Limiter::open("memory:");
        $two = Limiter::open("memory:");
        $one->close();
        self::assertTrue($two->check("a", "1/h")->allowed());
        self::assertFalse(Limiter::open("memory:")->check("a", "1/h")->allowed());
    }

    /** A server that PHP brings along answers all requests in one process, as a worker of php-fpm does. */
    public function testConnectionsSurviveRequests(): void
    {
        $this->redis = new RedisServer();
        $script = tempnam(sys_get_temp_dir(), "rlphp");
        file_put_contents($script, '<?php require ' . var_export(getenv("RLC_SRCDIR")
            . "/bindings/php/front/src/autoload.php", true) . ';
            $l = RateLimit\Limiter::open(' . var_export($this->redis->url(), true) . ');
            $said = $l->check("k", "100/h"); $s = $l->stats();
            echo json_encode([getmypid(), $said->source(), $said->remaining(), $s["connects"], $s["allowed"]]);');
        $socket = stream_socket_server("tcp://127.0.0.1:0");
        $address = stream_socket_get_name($socket, false);
        fclose($socket);
        $server = proc_open([PHP_BINARY, "-d", "extension=" . getenv("RLC_BUILDDIR")
            . "/bindings/php/.libs/rlcore.so", "-S", $address, $script],
            [["file", "/dev/null", "r"], ["file", "/dev/null", "w"], ["file", "/dev/null", "w"]], $pipes);
        $said = [];
        for ($i = 0; $i < 2000 && count($said) < 5; ++$i) {
            $answer = @file_get_contents("http://$address/");
            if ($answer === false) {
                usleep(10000);
            } else {
                $said[] = json_decode($answer);
            }
        }
        proc_terminate($server);
        proc_close($server);
        unlink($script);
        self::assertCount(5, $said);
        self::assertCount(1, array_unique(array_column($said, 0)));
        self::assertSame(["store", 95], array_slice($said[4], 1, 2));
        self::assertLessThanOrEqual(2, $said[4][3]); // the helper that asks for the index may have its own
        self::assertSame(5, $said[4][4]);
    }

    public function testAChildGoesOn(): void
    {
        $this->redis = new RedisServer();
        foreach (["shm:", $this->redis->url()] as $url) {
            $limiter = new Limiter($url);
            $lease = $limiter->acquire("slot", "5/min algorithm=concurrency");
            $limiter->check("k", "100/h");
            for ($i = 0; $i < 4; ++$i) {
                $child = pcntl_fork();
                if ($child === 0) {
                    $ok = true;
                    for ($j = 0; $j < 10; ++$j) {
                        $ok = $ok && $limiter->check("k", "100/h")->source() === "store";
                    }
                    unset($lease); // is the parent's
                    if ($ok) {
                        posix_kill(posix_getpid(), SIGKILL);
                    }
                    exit(1);
                }
                pcntl_waitpid($child, $status);
                self::assertTrue(pcntl_wifsignaled($status));
            }
            self::assertSame(59, $limiter->peek("k", "100/h")->remaining());
            self::assertSame(4, $limiter->peek("slot", "5/min algorithm=concurrency")->remaining());
            $lease->commit();
        }
    }

    public function testAChildMayExit(): void
    {
        $limiter = new Limiter("memory:");
        $kept = Limiter::open("shm:");
        $run = proc_open([PHP_BINARY, "-d", "extension=" . getenv("RLC_BUILDDIR") . "/bindings/php/.libs/rlcore.so",
            "-r", 'require ' . var_export(getenv("RLC_SRCDIR") . "/bindings/php/front/src/autoload.php", true) . ';
            $l = RateLimit\Limiter::open("shm:"); $m = new RateLimit\Limiter("memory:");
            $lease = $l->acquire("a", "5/s"); $held = $m->acquire("a", "5/s"); $l->check("k", "5/h");
            if (pcntl_fork() === 0) { $l->check("k", "5/h"); exit(0); }
            pcntl_wait($status); echo $status, " ", $l->peek("k", "5/h")->remaining();'],
            [1 => ["pipe", "w"]], $pipes);
        self::assertSame("0 3", stream_get_contents($pipes[1]));
        self::assertSame(0, proc_close($run));
    }

    private static function resident(): int
    {
        preg_match('/^VmRSS:\s+(\d+)/m', (string) file_get_contents("/proc/self/status"), $found);
        return (int) $found[1];
    }

    /** A million calls, of which many fail: neither PHP's memory grows nor the process's. */
    public function testMemoryIsFlat(): void
    {
        $limiter = new Limiter("memory:", ["policies" => ["api" => "1000/s"]]);
        $work = function (int $times) use ($limiter): void {
            $limits = [new Limit("a", "api"), new Limit("b", "10/s", 1, "b")];
            for ($i = 0; $i < $times; ++$i) {
                $said = $limiter->check("k", "api", 1, "named");
                $said->name();
                $said->retryAfter();
                if ($i % 5 === 0) {
                    $limiter->checkAll($limits)->limits()[1]->name();
                    $limiter->acquire("k", "api");
                    $limiter->peek("k", "api")->fields();
                    try {
                        $limiter->check("k", "5/blah");
                    } catch (RateLimit\PolicyException) {
                    }
                    try {
                        $limiter->check("k", "api", -1);
                    } catch (RateLimit\InvalidException) {
                    }
                    try {
                        $limiter->check([], "api");
                    } catch (TypeError) {
                    }
                }
                if ($i % 100 === 0) {
                    new RateLimit\Policy("5/s", "name");
                    $limiter->list();
                    $limiter->stats();
                    try {
                        new RateLimit\Policy("x");
                    } catch (RateLimit\PolicyException) {
                    }
                    Limiter::open("memory:");
                }
            }
        };
        $work(20000);
        gc_collect_cycles();
        $before = [memory_get_usage(), self::resident()];
        $work(500000);
        gc_collect_cycles();
        self::assertLessThan(4096, memory_get_usage() - $before[0]);
        self::assertLessThan(2048, self::resident() - $before[1]);
    }

    public function testLogLinesComeBetweenCalls(): void
    {
        $lines = [];
        $limiter = new Limiter("redis://127.0.0.1:1?timeout=50ms&fail=open",
            ["log" => function (int $level, string $id, string $message) use (&$lines): void {
                $lines[] = [$level, $id, $message];
            }]);
        for ($i = 0; $i < 500 && $lines === []; ++$i) {
            self::assertSame("fail-open", $limiter->check("a", "5/s")->source());
            usleep(10000);
        }
        self::assertNotSame([], $lines);
        self::assertMatchesRegularExpression('/^RLC\d{4}$/', $lines[0][1]);
        self::assertGreaterThan(0, $limiter->stats()["store_errors"]);
    }

    public function testALogMayThrowAndMayClose(): void
    {
        $limiter = null;
        $limiter = new Limiter("redis://127.0.0.1:1?timeout=50ms&fail=open",
            ["log" => function () use (&$limiter): void {
                $limiter->close();
                throw new DomainException("from the log");
            }]);
        $this->expectException(DomainException::class);
        for ($i = 0; $i < 500; ++$i) {
            $limiter->check("a", "5/s");
            usleep(10000);
        }
    }

    public function testOpenIsNotForLimitersWithoutNumber(): void
    {
        $this->expectException(RateLimit\InvalidException::class);
        $this->expectExceptionMessage("write new Limiter()");
        for ($i = 0; $i < 500; ++$i) {
            Limiter::open("memory:?size=" . (1024 + $i));
        }
    }
}
