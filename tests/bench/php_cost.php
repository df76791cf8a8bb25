<?php
// SPDX-License-Identifier: Apache-2.0

// The PHP extension beside symfony/rate-limiter without a lock, in turns within the same run. Told the store's
// URL, and its socket and password for the other.

declare(strict_types=1);

use RateLimit\Limiter;
use Symfony\Component\Cache\Adapter\ApcuAdapter;
use Symfony\Component\Cache\Adapter\RedisAdapter;
use Symfony\Component\RateLimiter\RateLimiterFactory;
use Symfony\Component\RateLimiter\Storage\CacheStorage;

require getenv("RLC_SRCDIR") . "/bindings/php/front/src/autoload.php";
foreach (["Cache", "RateLimiter"] as $component) {
    if (!@include_once "Symfony/Component/$component/autoload.php") {
        echo "symfony/", strtolower($component), " is missing: php-symfony-cache, php-symfony-rate-limiter\n";
        exit;
    }
}

const ROUNDS = 5;
const POLICY = "1000000000/day algorithm=fixed-window";

/** Microseconds a call. */
function perCall(Closure $ask, int $calls): float
{
    $start = hrtime(true);
    for ($i = 0; $i < $calls; ++$i) {
        $ask();
    }
    return (hrtime(true) - $start) / 1e3 / $calls;
}

function row(string $name, string $value, string $goal): void
{
    printf("%-58s %10s  %s\n", $name, $value, $goal);
}

function beside(string $where, Closure $ours, Closure $theirs, int $calls, int $theirCalls, string $goal): void
{
    perCall($ours, $calls);
    perCall($theirs, $theirCalls);
    for ($i = 0; $i < ROUNDS; ++$i) {
        $mine[] = perCall($ours, $calls);
        $others[] = perCall($theirs, $theirCalls);
    }
    sort($mine);
    sort($others);
    row("rlcore on $where, microseconds a call", sprintf("%.2f", $mine[ROUNDS >> 1]), "");
    row("symfony on $where, microseconds a call", sprintf("%.2f", $others[ROUNDS >> 1]), "");
    row("symfony over rlcore", sprintf("%.1f", $others[ROUNDS >> 1] / $mine[ROUNDS >> 1]), $goal);
}

function symfony(object $pool): Closure
{
    $factory = new RateLimiterFactory(["id" => "api", "policy" => "fixed_window", "limit" => 1000000000,
        "interval" => "1 day"], new CacheStorage($pool));
    $limiter = $factory->create("alice");
    return static fn() => $limiter->consume()->isAccepted();
}

function ours(string $url): Closure
{
    $limiter = Limiter::open($url);
    return static fn() => $limiter->check("alice", POLICY, 1, "api")->allowed();
}

row("", "median", "goal");
if (function_exists("apcu_enabled") && apcu_enabled()) {
    beside("shm (APCu)", ours("shm:"), symfony(new ApcuAdapter()), 100000, 5000, "at least 10");
} else {
    echo "APCu is missing: php-apcu, and apc.enable_cli=1\n";
}
if (class_exists("Redis")) {
    $redis = new Redis();
    $redis->connect($argv[2]);
    $redis->auth($argv[3]);
    beside("redis", ours($argv[1] . "?timeout=5s&fail=closed"), symfony(new RedisAdapter($redis)), 5000, 2000,
        "at least 2.5");
} else {
    echo "the extension redis is missing: php-redis\n";
}
