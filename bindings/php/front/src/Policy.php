<?php
// SPDX-License-Identifier: Apache-2.0

declare(strict_types=1);

namespace RateLimit;

use RateLimit_Raw_ as Raw;

/**
 * A policy: "10/s,1000/h burst=20". Immutable. Wherever a policy is asked for, its text does as well: a
 * limiter parses each text once.
 */
final class Policy extends Native\Policy
{
    private const ALGORITHMS = [Raw::TOKEN_BUCKET => "token-bucket", Raw::FIXED_WINDOW => "fixed-window",
        Raw::SLIDING_WINDOW => "sliding-window", Raw::SLIDING_LOG => "sliding-log",
        Raw::CONCURRENCY => "concurrency"];

    private \RateLimit_Raw_Policy $raw;

    /** @throws PolicyException for a text that is no policy, and InvalidException for a name that is none */
    public function __construct(string $text, ?string $name = null)
    {
        $this->raw = new \RateLimit_Raw_Policy($text, $name);
        parent::__construct($this->raw);
    }

    public function name(): ?string
    {
        return $this->raw->get_name();
    }

    /** The canonical text: two policies that mean the same have the same. */
    public function text(): string
    {
        return $this->raw->get_text();
    }

    /** "token-bucket", "fixed-window", "sliding-window", "sliding-log" or "concurrency". */
    public function algorithm(): string
    {
        return self::ALGORITHMS[$this->raw->get_algorithm()];
    }

    /**
     * Its rates; windows in seconds.
     *
     * @return list<array{quota: int, window: float, capacity: int}>
     */
    public function rates(): array
    {
        $rates = [];
        for ($i = 0, $n = $this->raw->get_rates(); $i < $n; ++$i) {
            $rates[] = ["quota" => $this->raw->get_quota($i), "window" => $this->raw->get_window_us($i) / 1e6,
                "capacity" => $this->raw->get_capacity($i)];
        }
        return $rates;
    }

    /** How far charges may go beyond the capacity. */
    public function debt(): int
    {
        return $this->raw->get_debt();
    }

    /**
     * What its `ban=` says, in seconds, or null.
     *
     * @return array{denials: int, window: float, first: float, longest: float}|null
     */
    public function ban(): ?array
    {
        $denials = $this->raw->get_ban(0);
        return $denials === 0 ? null : ["denials" => $denials, "window" => $this->raw->get_ban(1) / 1e6,
            "first" => $this->raw->get_ban(2) / 1e6, "longest" => $this->raw->get_ban(3) / 1e6];
    }

    /** The most that the rate lets pass within so many seconds, ends included. PHP_INT_MAX: no bound. */
    public function mostIn(float $seconds, int $rate = 0): int
    {
        if (!($seconds >= 0 && $seconds < 1e12) || $rate < 0 || $rate >= $this->raw->get_rates()) {
            throw new InvalidException("write 0 to 1e12 seconds, and a rate that is there", Raw::ERR_INVALID);
        }
        return $this->raw->get_bound($rate, (int) round($seconds * 1e6));
    }
}
