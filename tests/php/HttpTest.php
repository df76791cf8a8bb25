<?php
// SPDX-License-Identifier: Apache-2.0

declare(strict_types=1);

namespace Psr\Http\Server {
    // The two interfaces of PSR-15, where no package brings them.
    if (!interface_exists(RequestHandlerInterface::class)) {
        interface RequestHandlerInterface
        {
            public function handle(\Psr\Http\Message\ServerRequestInterface $request): \Psr\Http\Message\ResponseInterface;
        }
        interface MiddlewareInterface
        {
            public function process(\Psr\Http\Message\ServerRequestInterface $request,
                RequestHandlerInterface $handler): \Psr\Http\Message\ResponseInterface;
        }
    }
}

namespace {
    require_once "Nyholm/Psr7/autoload.php";

    use Nyholm\Psr7\Factory\Psr17Factory;
    use Nyholm\Psr7\ServerRequest;
    use PHPUnit\Framework\TestCase;
    use Psr\Http\Message\ResponseInterface;
    use Psr\Http\Message\ServerRequestInterface;
    use RateLimit\Clock;
    use RateLimit\Decision;
    use RateLimit\Http;
    use RateLimit\Limit;
    use RateLimit\Limiter;
    use RateLimit\Middleware;

    /** What clients are told, by the PSR-15 middleware and by hand. */
    final class HttpTest extends TestCase implements Psr\Http\Server\RequestHandlerInterface
    {
        private Limiter $limiter;
        private ?Decision $seen = null;

        protected function setUp(): void
        {
            $this->limiter = new Limiter("memory:", ["clock" => new Clock(1790000000000000)]);
        }

        public function handle(ServerRequestInterface $request): ResponseInterface
        {
            $this->seen = $request->getAttribute(Decision::class);
            return (new Psr17Factory())->createResponse(200);
        }

        private function middleware(mixed ...$more): Middleware
        {
            return new Middleware($this->limiter, new Psr17Factory(), ...$more + ["policy" => "1/min", "name" => "site"]);
        }

        /** @param array<string, string> $headers */
        private static function request(string $address = "192.0.2.1", array $headers = [],
            string $method = "GET"): ServerRequestInterface
        {
            return new ServerRequest($method, "/", $headers, null, "1.1", ["REMOTE_ADDR" => $address]);
        }

        public function testPassesAndThenRefuses(): void
        {
            $middleware = $this->middleware();
            $answer = $middleware->process(self::request(), $this);
            self::assertSame([200, '"site";q=1;w=60', '"site";r=0;t=60'], [$answer->getStatusCode(),
                $answer->getHeaderLine("RateLimit-Policy"), $answer->getHeaderLine("RateLimit")]);
            self::assertTrue($this->seen?->allowed());
            $answer = $middleware->process(self::request(), $this);
            self::assertSame([429, "60", "no-store", "application/problem+json", '"site";r=0;t=60'],
                [$answer->getStatusCode(), $answer->getHeaderLine("Retry-After"),
                $answer->getHeaderLine("Cache-Control"), $answer->getHeaderLine("Content-Type"),
                $answer->getHeaderLine("RateLimit")]);
            $problem = json_decode((string) $answer->getBody(), true);
            self::assertSame([429, ["site"]], [$problem["status"], $problem["violated-policies"]]);
            self::assertSame(200, $middleware->process(self::request("192.0.2.2"), $this)->getStatusCode());
            $answer = $middleware->process(self::request(headers: ["Accept" => "text/html"]), $this);
            self::assertStringStartsWith("<!DOCTYPE html>", (string) $answer->getBody());
            $answer = $middleware->process(self::request(method: "HEAD"), $this);
            self::assertSame([429, ""], [$answer->getStatusCode(), (string) $answer->getBody()]);
        }

        public function testIpv6ClientsAreTheir64(): void
        {
            $middleware = $this->middleware();
            self::assertSame(200, $middleware->process(self::request("2001:db8::1"), $this)->getStatusCode());
            self::assertSame(429, $middleware->process(self::request("2001:db8::2"), $this)->getStatusCode());
        }

        public function testNoKeyIsNoLimit(): void
        {
            $middleware = $this->middleware(key: fn() => null);
            self::assertFalse($middleware->process(self::request(), $this)->hasHeader("RateLimit"));
            self::assertNull($this->seen);
        }

        public function testPoliciesMayDependOnTheRequest(): void
        {
            $middleware = $this->middleware(policy: fn($request) => [new Limit("all", "5/min", 1, "all"),
                new Limit($request->getMethod(), "1/min", 1, "method")], headers: "draft-07 x-ratelimit");
            $answer = $middleware->process(self::request(), $this);
            self::assertSame(["limit=1, remaining=0, reset=60", "0"], [$answer->getHeaderLine("RateLimit"),
                $answer->getHeaderLine("X-RateLimit-Remaining")]);
            self::assertSame(429, $middleware->process(self::request(), $this)->getStatusCode());
            self::assertSame(200, $middleware->process(self::request(method: "POST"), $this)->getStatusCode());
        }

        public function testDryRunRefusesNobody(): void
        {
            $middleware = $this->middleware(dryRun: true, cost: fn() => 2, headers: "off");
            self::assertSame(200, $middleware->process(self::request(), $this)->getStatusCode());
            self::assertFalse($this->seen?->allowed());
        }

        public function testFailClosedIs503(): void
        {
            $this->limiter = new Limiter("redis://127.0.0.1:1?fail=closed", ["log" => fn() => null]);
            $answer = $this->middleware()->process(self::request(), $this);
            self::assertSame(503, $answer->getStatusCode());
            self::assertContains($answer->getHeaderLine("Retry-After"), ["1", "2", "3", "4", "5"]);
            self::assertFalse($answer->hasHeader("RateLimit"));
        }

        public function testAWrongFormIsSeenAtOnce(): void
        {
            $this->expectException(RateLimit\InvalidException::class);
            $this->middleware(headers: "draft-08 draft-07");
        }

        public function testAccept(): void
        {
            foreach (["" => true, "*/*" => true, "text/html" => false, "application/json" => true,
                "text/html,application/xhtml+xml,*/*;q=0.8" => false, "text/*;q=0.5,application/json" => true,
                "application/problem+json;q=0" => false] as $accept => $wants) {
                self::assertSame($wants, Http::wantsProblem((string) $accept), (string) $accept);
            }
        }

        public function testTexts(): void
        {
            self::assertSame(["192.0.2.1", "2001:db8::/64", "", "", "192.0.2.0/24"], [
                Http::addressKey("::ffff:192.0.2.1"), Http::addressKey("2001:db8::1"), Http::addressKey("x"),
                Http::addressKey("192.0.2.1\0"), Http::addressKey("192.0.2.1", 24)]);
            self::assertSame(["unknown", "socket"], [Http::clientKey(null), Http::clientKey("socket")]);
            self::assertMatchesRegularExpression('/^;pk=:[A-Za-z0-9+\/]{16}:$/',
                Http::partition("alice", str_repeat("s", 32)));
            self::assertSame("", Http::partition("alice", "short"));
            self::assertStringContainsString("+evalsha", Http::acl("redis://app:pw@h/0"));
            self::assertSame("", Http::acl("redis://h/0", true));
            self::assertMatchesRegularExpression('/^\d+\.\d+\.\d+$/', Http::version());
            $this->expectException(RateLimit\UrlException::class);
            Http::acl("foo:");
        }
    }
}
