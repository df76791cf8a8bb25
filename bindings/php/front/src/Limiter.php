<?php
// SPDX-License-Identifier: Apache-2.0

declare(strict_types=1);

namespace RateLimit;

use RateLimit_Raw_ as Raw;

/**
 * Decides whether a request may pass.
 *
 *     $limiter = Limiter::open("redis://127.0.0.1/0", ["policies" => ["api" => "10/s,1000/h"]]);
 *     $decision = $limiter->check($key, "api");
 *
 * Its verbs are in the extension: see stubs/rlcore.php.
 */
class Limiter extends Native\Core
{
    private const FAIL = ["local" => Raw::FAIL_LOCAL, "open" => Raw::FAIL_OPEN, "closed" => Raw::FAIL_CLOSED];
    private const BREAKER = [Raw::BREAKER_NONE => "none", Raw::BREAKER_CLOSED => "closed",
        Raw::BREAKER_OPEN => "open", Raw::BREAKER_HALF_OPEN => "half-open"];
    private const KINDS = [Raw::ENTRY_BAN => "ban", Raw::ENTRY_OVERRIDE => "override",
        Raw::ENTRY_TIER => "tier", Raw::ENTRY_MEMBER => "member"];

    private static int $sinks = 0;

    /**
     * A limiter of this object's own, which ends with it. Options:
     *
     *     timeout_ms  the longest that a decision on redis may take; default 25
     *     fail        "local", "open" or "closed": what happens while the store is away
     *     secret      keys the hash of keys in Redis: 16 to 1024 bytes, the same in every program
     *     policies    names and texts, ["api" => "10/s,1000/h burst=20"]
     *     log         callable(int $level, string $id, string $message): who gets log lines, between calls;
     *                 default: errors and warnings go to PHP's error log
     *     display     true: bans carry the key itself
     *     clock       a Clock, for tests
     *     shm_fd      the descriptor of an earlier limiter's table: see shmFd()
     *
     * @param array<string, mixed> $options
     * @throws Exception
     */
    public function __construct(string $url = "shm:", array $options = [])
    {
        $this->make(null, $url, $options);
    }

    /**
     * The limiter of this worker process for that URL and those options: made by the first request that
     * asks, with its connections and parsed policies kept for all that follow. Options as the
     * constructor's, but neither clock nor shm_fd.
     *
     * @param array<string, mixed> $options
     * @throws Exception
     */
    public static function open(string $url = "shm:", array $options = []): static
    {
        if (isset($options["clock"]) || isset($options["shm_fd"])) {
            throw new InvalidException("clock and shm_fd are for new Limiter()", Raw::ERR_INVALID);
        }
        $log = $options["log"] ?? null;
        unset($options["log"]);
        try {
            $key = serialize([$url, $options]);
        } catch (\Exception) {
            throw new InvalidException("options are texts and numbers", Raw::ERR_INVALID);
        }
        $limiter = (new \ReflectionClass(static::class))->newInstanceWithoutConstructor();
        self::checkLog($log);
        if (!$limiter->find($key, $log)) {
            $limiter->make($key, $url, ["log" => $log] + $options);
        }
        return $limiter;
    }

    private static function checkLog(mixed $log): void
    {
        if ($log !== null && !is_callable($log)) {
            throw new \TypeError('log: a callable is needed, not ' . get_debug_type($log));
        }
    }

    /** @param array<string, mixed> $options */
    private function make(?string $key, string $url, array $options): void
    {
        $options += ["timeout_ms" => null, "fail" => null, "secret" => null, "policies" => [], "log" => null,
            "display" => false, "clock" => null, "shm_fd" => null];
        if (count($options) > 8) {
            throw new InvalidException('there is no option "' . array_key_first(array_diff_key($options, [
                "timeout_ms" => 0, "fail" => 0, "secret" => 0, "policies" => 0, "log" => 0, "display" => 0,
                "clock" => 0, "shm_fd" => 0])) . '"', Raw::ERR_INVALID);
        }
        self::checkLog($options["log"]);
        $raw = new \RateLimit_Raw_Options();
        if ($options["timeout_ms"] !== null) {
            if (!is_int($options["timeout_ms"]) && !is_float($options["timeout_ms"])) {
                throw new \TypeError("timeout_ms is a number, not " . get_debug_type($options["timeout_ms"]));
            }
            $raw->set_timeout_us((int) round(max(-1, min($options["timeout_ms"], 1e9)) * 1000));
        }
        if ($options["fail"] !== null) {
            if (!is_string($options["fail"]) || !isset(self::FAIL[$options["fail"]])) {
                throw new InvalidException('fail: write "local", "open" or "closed"', Raw::ERR_INVALID);
            }
            $raw->set_fail(self::FAIL[$options["fail"]]);
        }
        if ($options["secret"] !== null) {
            $raw->set_secret($options["secret"]);
        }
        $raw->set_display($options["display"] ? 1 : 0);
        if ($options["shm_fd"] !== null) {
            if (!is_int($options["shm_fd"])) {
                throw new \TypeError("shm_fd is int, not " . get_debug_type($options["shm_fd"]));
            }
            $raw->set_shm_fd($options["shm_fd"]);
        }
        if ($options["clock"] !== null) {
            $raw->set_test_clock($options["clock"]);
        }
        $sink = ++self::$sinks + hrtime(true);
        $raw->set_log($sink);
        if (!is_array($options["policies"])) {
            throw new \TypeError("policies: an array is needed, not " . get_debug_type($options["policies"]));
        }
        $this->install($key, new \RateLimit_Raw_Limiter($url, $raw), $sink, $options["policies"],
            $options["clock"], $options["log"]);
    }

    // --- leases --------------------------------------------------------------------------------

    /**
     * A lease of $cost units, to be committed with what was used in the end; all of it is given back where
     * it ends without. Throws LimitedException where the limit denies.
     *
     * @throws LimitedException|Exception
     */
    public function reserve(string $key, string|Policy $policy, int $cost = 1, ?string $name = null,
        ?string $group = null, ?string $tier = null, ?string $fail = null): Lease
    {
        $lease = $this->acquire($key, $policy, $cost, $name, $group, $tier, $fail);
        if (!$lease->allowed()) {
            throw new LimitedException($lease->decision());
        }
        return $lease;
    }

    /**
     * Calls $work while a slot of a concurrency limit is held, and returns what it returns. $keep renews
     * the slot, for what may take longer than the window.
     *
     * @template T
     * @param callable(Lease): T $work
     * @return T
     * @throws LimitedException|Exception
     */
    public function slot(string $key, string|Policy $policy, callable $work, bool $keep = false,
        ?string $name = null): mixed
    {
        $lease = $this->reserve($key, $policy, 1, $name);
        try {
            if ($keep && !$lease->settled()) {
                $lease->keep();
            }
            return $work($lease);
        } finally {
            if (!$lease->settled()) {
                $lease->commit();
            }
        }
    }

    // --- the index: each call asks the store itself ----------------------------------------------

    /** Refuses $key what the limit $name decides, for so many seconds (1 to 10 years). */
    public function ban(string $key, string $name, float $seconds, ?string $display = null): void
    {
        if (!($seconds >= 1 && $seconds <= 10 * 366 * 86400)) {
            throw new InvalidException("a ban is 1 second to 10 years long, not $seconds", Raw::ERR_INVALID);
        }
        $this->raw()->ban(self::name($name), $key, (int) round($seconds * 1e6), $display);
    }

    /** Ends a ban, and forgets what led to it. Returns whether there was one. */
    public function unban(string $key, string $name): bool
    {
        return (bool) $this->raw()->unban(self::name($name), $key);
    }

    /**
     * Gives $key another policy under the limit $name; null takes that away. Returns false where there was
     * nothing to take away.
     */
    public function override(string $key, string $name, string|Policy|null $policy,
        ?string $display = null): bool
    {
        return (bool) $this->raw()->override(self::name($name), $key, $this->text($policy), $display);
    }

    /** Says what the limit $name means for keys of a tier; null takes that away. Returns as override. */
    public function setTier(string $tier, string $name, string|Policy|null $policy): bool
    {
        return (bool) $this->raw()->set_tier(self::name($tier, "tier"), self::name($name),
            $this->text($policy));
    }

    /** Makes $key a member of a tier; null takes it out of the one it is in. Returns as override. */
    public function setMember(string $key, ?string $tier, ?string $display = null): bool
    {
        return (bool) $this->raw()->set_member($key, $tier === null ? null : self::name($tier, "tier"),
            $display);
    }

    /**
     * All entries, tiers first. `left` is in seconds, or null for what does not end; `display` is as it was
     * given, by strangers: escape it.
     *
     * @return list<array{kind: string, key: string, name: string, tier: string, policy: string,
     *                    display: string, left: ?float, level: int}>
     */
    public function list(): array
    {
        $raw = $this->raw()->list();
        $entries = [];
        for ($i = 0, $n = $raw->count(); $i < $n; ++$i) {
            $entry = $raw->get($i);
            $entries[] = ["kind" => self::KINDS[$entry["kind"]], "key" => $entry["key"],
                "name" => $entry["name"], "tier" => $entry["tier"], "policy" => $entry["policy"],
                "display" => $entry["display"],
                "left" => $entry["left_us"] === Raw::NEVER ? null : $entry["left_us"] / 1e6,
                "level" => $entry["level"]];
        }
        return $entries;
    }

    /** The hash of a key, as the index and names of keys in Redis have it. */
    public function hash(string $key): string
    {
        return $this->raw()->hash($key);
    }

    /** Brings this process's copy of the index up to date, which else happens each second. */
    public function refresh(): void
    {
        $this->raw()->refresh();
    }

    // --- what else it tells ----------------------------------------------------------------------

    /**
     * Counts since the limiter was made, of all processes forked after that together; `breaker` and
     * `breaker_reason` are texts.
     *
     * @return array<string, int|string>
     */
    public function stats(): array
    {
        $stats = $this->raw()->get_stats();
        $stats["breaker"] = self::BREAKER[$stats["breaker"]];
        $stats["breaker_reason"] = Raw::rlc_reason_text($stats["breaker_reason"]);
        return $stats;
    }

    /** The descriptor of a "shm:" table; -1 for other stores. */
    public function shmFd(): int
    {
        return $this->raw()->get_shm_fd();
    }

    private static function name(string $name, string $what = "name"): string
    {
        if (str_contains($name, "\0") || !Raw::rlc_name_ok($name)) {
            throw new InvalidException("\"$name\" is no $what: write a letter, then up to "
                . (Raw::MAX_NAME - 1) . ' letters, digits, "-" or "_"', Raw::ERR_INVALID);
        }
        return $name;
    }

    private function text(string|Policy|null $policy): ?string
    {
        return is_string($policy) ? $this->policyText($policy) : $policy?->text();
    }
}
