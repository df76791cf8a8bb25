<?php
// SPDX-License-Identifier: Apache-2.0

declare(strict_types=1);

namespace RateLimit\Symfony;

use RateLimit\Limiter;
use RateLimit\Policy;

/** In place of Symfony's factory of that name: one policy, and a limiter for each key. */
final class RateLimiterFactory
{
    public function __construct(private Limiter $limiter, private string|Policy $policy,
        private ?string $name = null)
    {
    }

    public function create(?string $key = null): RateLimiter
    {
        return new RateLimiter($this->limiter, $key ?? "", $this->policy, $this->name);
    }
}
