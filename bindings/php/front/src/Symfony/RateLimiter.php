<?php
// SPDX-License-Identifier: Apache-2.0

declare(strict_types=1);

namespace RateLimit\Symfony;

use RateLimit\Limiter;
use RateLimit\Policy;
use Symfony\Component\RateLimiter\Exception\ReserveNotSupportedException;
use Symfony\Component\RateLimiter\LimiterInterface;
use Symfony\Component\RateLimiter\RateLimit;
use Symfony\Component\RateLimiter\Reservation;

/** One key's limit as symfony/rate-limiter has it: where a LimiterInterface is asked for, this does. */
final class RateLimiter implements LimiterInterface
{
    public function __construct(private Limiter $limiter, private string $key, private string|Policy $policy,
        private ?string $name = null)
    {
    }

    public function consume(int $tokens = 1): RateLimit
    {
        $decision = $this->limiter->check($this->key, $this->policy, $tokens, $this->name);
        // "Never" has no date: a day is as good as any.
        $wait = $decision->retryAfter() ?? 86400.0;
        $at = \DateTimeImmutable::createFromFormat("U.u", sprintf("%.6F", microtime(true) + $wait));
        return new RateLimit($decision->remaining(), $at ?: new \DateTimeImmutable(), $decision->allowed(),
            $decision->limit());
    }

    /** What is not there yet cannot be taken: consume() tells for how long to wait. */
    public function reserve(int $tokens = 1, ?float $maxTime = null): Reservation
    {
        throw new ReserveNotSupportedException(self::class);
    }

    public function reset(): void
    {
        $this->limiter->reset($this->key, $this->policy, 1, $this->name);
    }
}
