<?php
// SPDX-License-Identifier: Apache-2.0

declare(strict_types=1);

namespace RateLimit;

use RateLimit_Raw_ as Raw;

/** What HTTP is told of a decision, the same as mod_ratelimit_redis tells; and addresses as keys. */
final class Http
{
    private const FORMS = ["draft-08", "draft-07", "draft-06", "x-ratelimit", "x-ratelimit-epoch"];
    private const PHRASES = [429 => "Too Many Requests", 503 => "Service Unavailable"];
    private const DETAILS = [429 => "You have sent too many requests. Try again later.",
        503 => "The quota cannot be checked at the moment. Try again later."];
    private const PAGE = "<!DOCTYPE html>\n<html lang=\"en\"><head><title>%s</title></head>\n"
        . "<body><h1>%s</h1><p>%s</p></body></html>\n";
    // How exactly each names (application/problem+json, text/html): 0 is not at all.
    private const RANGES = ["*/*" => [1, 1], "application/*" => [2, 0], "application/json" => [3, 0],
        "application/problem+json" => [4, 0], "text/*" => [0, 2], "text/html" => [0, 4]];

    /**
     * A client's address as a key: IPv4-mapped IPv6 as IPv4, cut to so many bits; by default IPv6 to its
     * /64, which one client has all of. Returns "" for what is no address.
     */
    public static function addressKey(string $address, int $v4Prefix = 32, int $v6Prefix = 64): string
    {
        if ($v4Prefix < 0 || $v4Prefix > 32 || $v6Prefix < 0 || $v6Prefix > 128) {
            throw new InvalidException("prefixes are 0 to 32 bits for IPv4, 0 to 128 for IPv6", Raw::ERR_INVALID);
        }
        return str_contains($address, "\0") ? "" : Raw::rlb_format_address($address, $v4Prefix, $v6Prefix);
    }

    /**
     * The key of a client where nothing else was said. Never empty: a server behind a unix socket tells no
     * address, and then all clients are one.
     */
    public static function clientKey(?string $address): string
    {
        return self::addressKey($address ?? "") ?: ($address ?: "unknown");
    }

    /** `;pk=:...:`, to stand behind an item of RateLimit or RateLimit-Policy: a hash of the key. */
    public static function partition(string $key, string $secret): string
    {
        return Raw::rlb_format_partition($secret, $key);
    }

    /**
     * The least that Redis has to allow to whom uses the store of that URL, as for ACL SETUSER; or what its
     * sentinels have to, "" where it has none.
     *
     * @throws UrlException
     */
    public static function acl(string $url, bool $sentinels = false): string
    {
        return Raw::rlb_format_acl($url, (int) $sentinels);
    }

    /** The version of the library. */
    public static function version(): string
    {
        return Raw::rlc_version();
    }

    /**
     * The forms that `headers` of a middleware names.
     *
     * @return list<string>
     * @throws InvalidException
     */
    public static function formsOf(string $headers): array
    {
        if ($headers === "off") {
            return [];
        }
        $forms = preg_split('/\s+/', $headers, -1, PREG_SPLIT_NO_EMPTY) ?: [];
        foreach ($forms as $form) {
            if (!in_array($form, self::FORMS, true)) {
                throw new InvalidException("headers: \"$form\" is no form of the fields: write one of "
                    . implode(", ", self::FORMS) . ", or off", Raw::ERR_INVALID);
            }
        }
        if (count(array_unique(array_map(static fn($form) => $form[0], $forms))) < count($forms)) {
            throw new InvalidException("headers: \"$headers\" has two forms of one kind: write a draft, one of "
                . "the x-ratelimit, or one of each", Raw::ERR_INVALID);
        }
        return $forms;
    }

    /**
     * The HTTP fields for every answer to which a limit applies, in the form of RateLimitHeaders in Apache:
     * "draft-08", "draft-07", "draft-06", "x-ratelimit" or "x-ratelimit-epoch"; a draft and an x-ratelimit
     * with a space between them; or "off".
     *
     * @return array<string, string>
     */
    public static function fields(Decision $decision, string $headers = "draft-08"): array
    {
        $fields = [];
        foreach (self::formsOf($headers) as $form) {
            $fields += $decision->fields($form);
        }
        return $fields;
    }

    /**
     * The answer to a request that was refused: 429, with Retry-After in whole seconds unless no wait
     * helps, or 503 where the fail policy refused; and application/problem+json, or a page where the
     * request's field Accept says so.
     *
     * @return array{status: int, phrase: string, fields: array<string, string>, body: string}
     */
    public static function refusal(Decision $decision, string $accept = "", string $headers = "draft-08"): array
    {
        $fields = self::fields($decision, $headers);
        if ($decision->source() === "fail-closed") {
            // Nobody knows when the store is back, and the clients should not come back all at once.
            [$status, $wait] = [503, (string) random_int(1, 5)];
        } else {
            [$status, $wait] = [429, $decision->retryAfterField()];
        }
        if ($wait !== "") {
            $fields["Retry-After"] = $wait;
        }
        $fields["Cache-Control"] = "no-store"; // RFC 6585, section 4
        if (self::wantsProblem($accept)) {
            $fields["Content-Type"] = "application/problem+json";
            $body = $decision->problem($status);
        } else {
            $fields["Content-Type"] = "text/html; charset=utf-8";
            $body = sprintf(self::PAGE, "$status " . self::PHRASES[$status], self::PHRASES[$status],
                self::DETAILS[$status]);
        }
        $fields["Content-Length"] = (string) strlen($body);
        return ["status" => $status, "phrase" => self::PHRASES[$status], "fields" => $fields, "body" => $body];
    }

    /**
     * Whether a client would rather have application/problem+json than a page. What names a type more
     * exactly goes before what names it less.
     */
    public static function wantsProblem(string $accept): bool
    {
        if (trim($accept) === "") {
            return true;
        }
        $wishes = [[0, 0.0], [0, 0.0]];
        foreach (explode(",", $accept) as $range) {
            $parameters = explode(";", $range);
            $name = strtolower(trim(array_shift($parameters)));
            $quality = 1.0;
            foreach ($parameters as $parameter) {
                if (preg_match('/^\s*q=([0-9.]+)\s*$/i', $parameter, $found)) {
                    $quality = min(max((float) $found[1], 0.0), 1.0);
                }
            }
            foreach (self::RANGES[$name] ?? [0, 0] as $i => $fit) {
                if ($fit > 0) {
                    $wishes[$i] = max($wishes[$i], [$fit, $quality]);
                }
            }
        }
        [$problem, $html] = $wishes;
        if ($problem[1] === 0.0) {
            return false;
        }
        return $problem[1] !== $html[1] ? $problem[1] > $html[1] : $html[0] < 2 || $problem[0] > $html[0];
    }
}
