<?php
// SPDX-License-Identifier: Apache-2.0

declare(strict_types=1);

namespace RateLimit;

use Psr\Http\Message\ResponseFactoryInterface;
use Psr\Http\Message\ResponseInterface;
use Psr\Http\Message\ServerRequestInterface;
use Psr\Http\Server\MiddlewareInterface;
use Psr\Http\Server\RequestHandlerInterface;

/**
 * PSR-15: requests that a limit refuses are answered here, by 429, or by 503 while fail="closed" refuses;
 * all answers get the fields RateLimit-Policy and RateLimit, or what `headers` says. The handler finds the
 * Decision as the request's attribute RateLimit\Decision::class.
 */
final class Middleware implements MiddlewareInterface
{
    /** @var (\Closure(ServerRequestInterface): (Limit|array<Limit>|null))|string|Policy */
    private \Closure|string|Policy $policy;
    private \Closure $key;
    private \Closure $cost;
    private ?\Closure $tier;

    /**
     * @param ResponseFactoryInterface $responses makes the answers to what is refused
     * @param string|Policy|(callable(ServerRequestInterface): (Limit|array<Limit>|null)) $policy a policy, its
     *        name as the limiter knows it, or a closure
     * @param (callable(ServerRequestInterface): ?string)|null $key null or "" from it: no limit. Default:
     *        REMOTE_ADDR, which behind a proxy is the proxy's, unless somebody puts the client's there
     * @param int|callable(ServerRequestInterface): int $cost
     * @param (callable(ServerRequestInterface): ?string)|null $tier
     * @param string $headers as of Http::fields()
     * @param bool $dryRun refuses nobody; the Decision is there all the same
     */
    public function __construct(private Limiter $limiter, private ResponseFactoryInterface $responses,
        string|Policy|\Closure $policy, ?callable $key = null, int|callable $cost = 1,
        private ?string $name = null, ?callable $tier = null, private ?string $fail = null,
        private string $headers = "draft-08", private bool $dryRun = false)
    {
        $this->policy = $policy;
        $this->key = $key !== null ? $key(...) : static fn(ServerRequestInterface $request): string =>
            Http::clientKey($request->getServerParams()["REMOTE_ADDR"] ?? null);
        $this->cost = is_int($cost) ? static fn(): int => $cost : $cost(...);
        $this->tier = $tier !== null ? $tier(...) : null;
        Http::formsOf($headers); // a mistake is to be seen here
    }

    /** @return array<Limit> */
    private function limits(ServerRequestInterface $request): array
    {
        if ($this->policy instanceof \Closure) {
            $limits = ($this->policy)($request);
            return $limits instanceof Limit ? [$limits] : ($limits ?? []);
        }
        $key = ($this->key)($request);
        if ($key === null || $key === "") {
            return [];
        }
        return [new Limit($key, $this->policy, ($this->cost)($request), $this->name, null,
            $this->tier !== null ? ($this->tier)($request) : null, $this->fail)];
    }

    public function process(ServerRequestInterface $request, RequestHandlerInterface $handler): ResponseInterface
    {
        $limits = $this->limits($request);
        if ($limits === []) {
            return $handler->handle($request);
        }
        $decision = $this->limiter->checkAll($limits);
        if ($decision->allowed() || $this->dryRun) {
            $response = $handler->handle($request->withAttribute(Decision::class, $decision));
            foreach (Http::fields($decision, $this->headers) as $name => $value) {
                $response = $response->withAddedHeader($name, $value);
            }
            return $response;
        }
        $answer = Http::refusal($decision, $request->getHeaderLine("Accept"), $this->headers);
        $response = $this->responses->createResponse($answer["status"], $answer["phrase"]);
        foreach ($answer["fields"] as $name => $value) {
            $response = $response->withHeader($name, $value);
        }
        if ($request->getMethod() !== "HEAD") {
            $response->getBody()->write($answer["body"]);
        }
        return $response;
    }
}
