<?php
// SPDX-License-Identifier: Apache-2.0

declare(strict_types=1);

require_once "Symfony/Component/RateLimiter/autoload.php";

use PHPUnit\Framework\TestCase;
use RateLimit\Limiter;
use RateLimit\Symfony\RateLimiterFactory;

/** Where Symfony asks for a limiter of its own kind. */
final class SymfonyTest extends TestCase
{
    public function testConsumes(): void
    {
        $factory = new RateLimiterFactory(new Limiter("memory:"), "2/h", "api");
        $limiter = $factory->create("alice");
        self::assertTrue($limiter->consume()->isAccepted());
        $limit = $limiter->consume();
        self::assertSame([true, 0, 2], [$limit->isAccepted(), $limit->getRemainingTokens(), $limit->getLimit()]);
        $limit = $limiter->consume();
        self::assertFalse($limit->isAccepted());
        self::assertEqualsWithDelta(1800, $limit->getRetryAfter()->getTimestamp() - time(), 5);
        self::assertTrue($factory->create("bob")->consume(2)->isAccepted());
        $limiter->reset();
        self::assertTrue($limiter->consume(2)->isAccepted());
        $this->expectException(Symfony\Component\RateLimiter\Exception\ReserveNotSupportedException::class);
        $limiter->reserve();
    }
}
