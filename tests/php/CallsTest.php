<?php
// SPDX-License-Identifier: Apache-2.0

declare(strict_types=1);

use PHPUnit\Framework\TestCase;
use RateLimit\Clock;
use RateLimit\Limit;
use RateLimit\Limiter;
use RateLimit\Policy;

/** What each call does, and what each mistake is told. */
final class CallsTest extends TestCase
{
    private Clock $clock;
    private Limiter $limiter;

    protected function setUp(): void
    {
        $this->clock = new Clock(1790000000000000);
        $this->limiter = new Limiter("memory:", ["clock" => $this->clock, "policies" => ["api" => "2/s"]]);
    }

    public function testADenialIsNoException(): void
    {
        self::assertTrue($this->limiter->check("alice", "api")->allowed());
        $said = $this->limiter->check("alice", "api");
        self::assertSame([true, 0, "store", "api", 2, 1.0, false, 1], [$said->allowed(), $said->remaining(),
            $said->source(), $said->name(), $said->limit(), $said->window(), $said->degraded(),
            $said->charged()]);
        $said = $this->limiter->check("alice", "api");
        self::assertSame([false, 0.5, 1.0, "1"], [$said->allowed(), $said->retryAfter(), $said->reset(),
            $said->retryAfterField()]);
        self::assertNull($this->limiter->check("alice", "api", 3)->retryAfter());
        $this->clock->advance(0.5);
        self::assertTrue($this->limiter->check("alice", "api")->allowed());
    }

    public function testEveryVerb(): void
    {
        self::assertSame(2, $this->limiter->peek("k", "api")->remaining());
        self::assertSame(0, $this->limiter->charge("k", "api", 2)->remaining());
        self::assertSame(1, $this->limiter->refund("k", "api", 1)->remaining());
        self::assertSame(1, $this->limiter->grant("k", "api", 5)->charged());
        self::assertTrue($this->limiter->reset("k", "api"));
        self::assertSame(2, $this->limiter->peek("k", "api")->remaining());
    }

    public function testAllOrNothing(): void
    {
        $limits = [new Limit("a", "api"), new Limit("b", new Policy("1/min", "slow"), cost: 1, name: "named")];
        self::assertTrue($this->limiter->checkAll($limits)->allowed());
        $said = $this->limiter->checkAll($limits);
        self::assertFalse($said->allowed());
        self::assertSame([1, "named"], [$said->index(), $said->name()]);
        self::assertSame([true, false], array_map(fn($limit) => $limit->allowed(), $said->limits()));
        self::assertSame(1, $this->limiter->peekAll($limits)->limits()[0]->remaining());
        self::assertTrue($this->limiter->resetAll($limits));
        self::assertTrue($this->limiter->grantAll($limits)->allowed());
        self::assertTrue($this->limiter->chargeAll($limits)->allowed());
        self::assertTrue($this->limiter->refundAll($limits)->allowed());
    }

    public function testAnyBytesAreAKey(): void
    {
        $this->limiter->check("a\0b", "api", 2);
        self::assertSame(2, $this->limiter->peek("a", "api")->remaining());
        self::assertSame(2, $this->limiter->peek("a\0c", "api")->remaining());
        self::assertSame(0, $this->limiter->peek("a\0b", "api")->remaining());
        self::assertTrue($this->limiter->check("\xff\xfe", "api")->allowed());
        self::assertTrue($this->limiter->check(str_repeat("k", 65536), "api")->allowed());
    }

    public function testFieldsAreThoseOfApache(): void
    {
        $said = $this->limiter->check("f", "api", 2);
        self::assertSame(["RateLimit-Policy" => '"api";q=2;w=1', "RateLimit" => '"api";r=0;t=1'],
            $said->fields());
        self::assertSame(["RateLimit-Policy" => "2;w=1", "RateLimit" => "limit=2, remaining=0, reset=1"],
            $said->fields("draft-07"));
        self::assertSame(["X-RateLimit-Limit" => "2", "X-RateLimit-Remaining" => "0",
            "X-RateLimit-Reset" => "1"], $said->fields("x-ratelimit"));
        self::assertCount(4, $said->fields("draft-06"));
        self::assertCount(3, $said->fields("x-ratelimit-epoch"));
        $problem = json_decode($this->limiter->check("f", "api")->problem(429), true);
        self::assertSame([429, ["api"]], [$problem["status"], $problem["violated-policies"]]);
    }

    public function testLeases(): void
    {
        $this->limiter->reserve("r", "api", 2)->commit(1);
        self::assertSame(1, $this->limiter->peek("r", "api")->remaining());
        $lease = $this->limiter->reserve("r", "api", 1);
        self::assertFalse($lease->settled());
        unset($lease); // given back
        self::assertSame(1, $this->limiter->peek("r", "api")->remaining());
        $slot = "1/30s algorithm=concurrency";
        self::assertSame("in", $this->limiter->slot("s", $slot, function ($lease) use ($slot): string {
            $lease->renew();
            self::assertFalse($this->limiter->acquire("s", $slot)->allowed());
            return "in";
        }));
        $lease = $this->limiter->acquire("s", $slot);
        self::assertTrue($lease->allowed());
        $lease->release();
        self::assertTrue($lease->settled());
        $this->expectException(RateLimit\ClosedException::class);
        $lease->release();
    }

    public function testALeaseOutlivesItsLimiter(): void
    {
        $lease = $this->limiter->acquire("r", "api");
        $this->limiter->close();
        $lease->commit();
        self::assertTrue($lease->settled());
    }

    public function testReservationsThatAreDeniedThrow(): void
    {
        $this->limiter->check("r", "api", 2);
        try {
            $this->limiter->reserve("r", "api");
            self::fail();
        } catch (RateLimit\LimitedException $e) {
            self::assertSame(0.5, $e->decision()->retryAfter());
            self::assertSame("api: the limit is reached; try again in 0.500 s", $e->getMessage());
        }
    }

    public function testTheIndex(): void
    {
        $this->limiter->ban("mallory", "api", 60, "Mallory");
        self::assertSame("ban", $this->limiter->check("mallory", "api")->source());
        $this->limiter->override("alice", "api", "9/s");
        self::assertSame(9, $this->limiter->peek("alice", "api")->limit());
        $this->limiter->setTier("pro", "api", "100/s");
        $this->limiter->setMember("bob", "pro");
        self::assertSame(100, $this->limiter->peek("bob", "api")->limit());
        self::assertSame(100, $this->limiter->peek("eve", "api", tier: "pro")->limit());
        $entries = $this->limiter->list();
        self::assertSame(["tier", "member", "override", "ban"], array_column($entries, "kind"));
        self::assertSame(["Mallory", 60.0, $this->limiter->hash("mallory")],
            [$entries[3]["display"], $entries[3]["left"], $entries[3]["key"]]);
        self::assertTrue($this->limiter->unban("mallory", "api"));
        self::assertFalse($this->limiter->unban("mallory", "api"));
        self::assertTrue($this->limiter->override("alice", "api", null));
        self::assertTrue($this->limiter->setMember("bob", null));
        self::assertTrue($this->limiter->setTier("pro", "api", null));
        $this->limiter->refresh();
        self::assertSame([], $this->limiter->list());
    }

    public function testPolicies(): void
    {
        $policy = new Policy("10/s,1000/h burst=20 ban=5/10min:1h");
        self::assertSame([["quota" => 10, "window" => 1.0, "capacity" => 20],
            ["quota" => 1000, "window" => 3600.0, "capacity" => 1000]], $policy->rates());
        self::assertSame(["denials" => 5, "window" => 600.0, "first" => 3600.0, "longest" => 57600.0],
            $policy->ban());
        self::assertSame([null, "token-bucket", 0, 30], [$policy->name(), $policy->algorithm(),
            $policy->debt(), $policy->mostIn(1.0)]);
        self::assertSame(PHP_INT_MAX, (new Policy("1/s algorithm=concurrency"))->mostIn(1.0));
        self::assertNull((new Policy("1/s"))->ban());
    }

    public function testStats(): void
    {
        $this->limiter->check("s", "api", 2);
        $this->limiter->check("s", "api");
        $stats = $this->limiter->stats();
        self::assertSame([1, 1, "none", "none"], [$stats["allowed"], $stats["denied"], $stats["breaker"],
            $stats["breaker_reason"]]);
    }

    public function testPoliciesOfRunTimeAreNotKeptForEver(): void
    {
        for ($i = 1; $i <= 3000; ++$i) {
            self::assertSame($i, $this->limiter->checkAll([new Limit("k", "$i/s"), new Limit("j", "5000/s")])
                ->limits()[0]->limit());
        }
    }

    /** @return iterable<string, array{class-string<Throwable>, string, Closure}> */
    public function mistakes(): iterable
    {
        yield "policy" => [RateLimit\PolicyException::class, "column 3", fn($l) => $l->check("a", "5/blah")];
        yield "unnamed" => [RateLimit\PolicyException::class, 'no policy is named "nope" here (api)',
            fn($l) => $l->check("a", "nope")];
        yield "NUL" => [RateLimit\InvalidException::class, "NUL", fn($l) => $l->check("a", "5/s\0")];
        yield "key" => [RateLimit\InvalidException::class, "65537 bytes",
            fn($l) => $l->check(str_repeat("a", 65537), "api")];
        yield "group" => [RateLimit\InvalidException::class, "a group of",
            fn($l) => $l->check("a", "api", group: str_repeat("a", 65537))];
        yield "cost" => [RateLimit\InvalidException::class, "cost is -1", fn($l) => $l->check("a", "api", -1)];
        yield "much" => [RateLimit\InvalidException::class, "1000000000", fn($l) => $l->check("a", "api", PHP_INT_MAX)];
        yield "name" => [RateLimit\InvalidException::class, "is no name", fn($l) => $l->check("a", "api", name: "1")];
        yield "name NUL" => [RateLimit\InvalidException::class, "is no name", fn($l) => $l->ban("a", "a\0", 5)];
        yield "tier" => [RateLimit\InvalidException::class, "is no tier", fn($l) => $l->check("a", "api", tier: "")];
        yield "fail" => [RateLimit\InvalidException::class, "fail is", fn($l) => $l->check("a", "api", fail: "x")];
        yield "none" => [RateLimit\InvalidException::class, "0 limits", fn($l) => $l->checkAll([])];
        yield "17" => [RateLimit\InvalidException::class, "17 limits",
            fn($l) => $l->checkAll(array_fill(0, 17, new Limit("a", "api")))];
        yield "not a limit" => [TypeError::class, "a limit is a", fn($l) => $l->checkAll(["a"])];
        yield "null" => [TypeError::class, "must be of type string, null", fn($l) => $l->check(null, "api")];
        yield "array" => [TypeError::class, "must be of type string", fn($l) => $l->check([], "api")];
        yield "object" => [TypeError::class, "Policy", fn($l) => $l->check("a", new stdClass())];
        yield "few" => [ArgumentCountError::class, "at least 2", fn($l) => $l->check("a")];
        yield "url" => [RateLimit\UrlException::class, "column 1", fn() => new Limiter("foo:")];
        yield "url NUL" => [RateLimit\InvalidException::class, "NUL", fn() => new Limiter("shm:\0")];
        yield "option" => [RateLimit\InvalidException::class, '"bogus"', fn() => new Limiter("shm:", ["bogus" => 1])];
        yield "timeout" => [RateLimit\InvalidException::class, "1 ms to 60 s",
            fn() => new Limiter("shm:", ["timeout_ms" => 0])];
        yield "secret" => [RateLimit\InvalidException::class, "16 to 1024",
            fn() => new Limiter("shm:", ["secret" => "short"])];
        yield "log" => [TypeError::class, "log", fn() => new Limiter("shm:", ["log" => 7])];
        yield "clock" => [TypeError::class, "clock", fn() => new Limiter("shm:", ["clock" => new stdClass()])];
        yield "open with a clock" => [RateLimit\InvalidException::class, "clock",
            fn() => Limiter::open("shm:", ["clock" => new Clock(0)])];
        yield "policies" => [RateLimit\PolicyException::class, "column",
            fn() => new Limiter("shm:", ["policies" => ["api" => "x"]])];
        yield "policies list" => [RateLimit\InvalidException::class, "names and texts",
            fn() => new Limiter("shm:", ["policies" => ["1/s"]])];
        yield "ban" => [RateLimit\InvalidException::class, "10 years", fn($l) => $l->ban("a", "api", NAN)];
        yield "form" => [RateLimit\InvalidException::class, "no form", fn($l) => $l->check("a", "api")->fields("x")];
        yield "status" => [RateLimit\InvalidException::class, "400 to 599", fn($l) => $l->check("a", "api")->problem(1)];
        yield "costs" => [RateLimit\InvalidException::class, "2 costs for 1 limits",
            fn($l) => $l->acquire("a", "api")->commit(1, 2)];
        yield "costs of text" => [TypeError::class, "int", fn($l) => $l->acquire("a", "api")->commit("1")];
        yield "clone" => [Error::class, "uncloneable", fn($l) => clone $l];
        yield "clone said" => [Error::class, "uncloneable", fn($l) => clone $l->check("a", "api")];
        yield "clone lease" => [Error::class, "uncloneable", fn($l) => clone $l->acquire("a", "api")];
        yield "serialize" => [Exception::class, "not allowed", fn($l) => serialize($l)];
        yield "new Decision" => [Error::class, "comes from a Limiter", fn() => new RateLimit\Decision()];
        yield "new Lease" => [Error::class, "comes from a Limiter", fn() => new RateLimit\Lease()];
        foreach (["Limiter", "Limit", "Decision", "Result", "Lease", "Policy", "Clock"] as $class) {
            $name = "RateLimit\\$class";
            yield "unserialize $class" => [Exception::class, "not allowed",
                fn() => unserialize(sprintf('O:%d:"%s":0:{}', strlen($name), $name))];
        }
        foreach (["RateLimit\\Decision", "RateLimit\\Lease", "RateLimit_Raw_Limiter", "RateLimit_Raw_Policy"] as $name) {
            yield "bare $name" => [ReflectionException::class, "without",
                fn() => (new ReflectionClass($name))->newInstanceWithoutConstructor()];
        }
        yield "never opened" => [RateLimit\ClosedException::class, "never opened",
            fn() => (new ReflectionClass(Limiter::class))->newInstanceWithoutConstructor()->check("a", "api")];
        yield "policy without" => [RateLimit\InvalidException::class, "never made",
            fn($l) => $l->check("a", (new ReflectionClass(RateLimit\Native\Policy::class))->newInstanceWithoutConstructor())];
        yield "taken twice" => [TypeError::class, "a policy is needed", function (): void {
            $raw = new RateLimit_Raw_Policy("5/s");
            $policy = new RateLimit\Native\Policy($raw);
            self::assertSame("5/s", $raw->get_text());
            new RateLimit\Native\Policy($raw);
        }];
        yield "raw that is left" => [RateLimit\ClosedException::class, "closed", function (): void {
            $raw = new RateLimit_Raw_Policy("5/s");
            $policy = new RateLimit\Native\Policy($raw);
            unset($policy);
            $raw->get_text();
        }];
        yield "raw text" => [TypeError::class, "a text is string, not array",
            fn() => RateLimit_Raw_::rlb_format_address([], 1, 1)];
        yield "raw null" => [RateLimit\InvalidException::class, "NULL", fn() => new RateLimit_Raw_Policy(null)];
        yield "raw array" => [TypeError::class, "string", fn() => new RateLimit_Raw_Policy([])];
    }

    /** @dataProvider mistakes */
    public function testMistakesAreTold(string $class, string $message, Closure $make): void
    {
        $this->expectException($class);
        $this->expectExceptionMessage($message);
        $make($this->limiter);
    }

    public function testCodesAreTheLibrarys(): void
    {
        try {
            $this->limiter->check("a", "5/blah");
            self::fail();
        } catch (RateLimit\Exception $e) {
            self::assertSame(-502, $e->getCode());
        }
    }

    public function testClosed(): void
    {
        $raw = (new ReflectionMethod($this->limiter, "raw"))->invoke($this->limiter);
        $said = $this->limiter->check("a", "api");
        $this->limiter->close();
        $this->limiter->close();
        self::assertTrue($this->limiter->isClosed());
        self::assertSame("api", $said->name());
        foreach ([fn() => $this->limiter->check("a", "api"), fn() => $this->limiter->list(),
            fn() => $this->limiter->stats(), fn() => $this->limiter->acquire("a", "api"),
            fn() => $raw->get_stats(), fn() => $raw->hash("a")] as $call) {
            try {
                $call();
                self::fail();
            } catch (RateLimit\ClosedException $e) {
                self::assertSame(0, $e->getCode());
            }
        }
    }
}
