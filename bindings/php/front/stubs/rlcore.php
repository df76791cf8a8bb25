<?php
// SPDX-License-Identifier: Apache-2.0

// For IDEs and static analysis: the classes of the extension. Nobody loads this file.

namespace RateLimit {

    /** A call that did not work; its code is the library's number for why (rlc_error). */
    class Exception extends \RuntimeException
    {
    }

    /** An argument that no caller may give; no decision was made. */
    class InvalidException extends Exception
    {
    }

    /** The limiter or lease was closed. */
    class ClosedException extends InvalidException
    {
    }

    /** A policy text that cannot be used: the message names the column and what was expected. */
    class PolicyException extends Exception
    {
    }

    /** A store URL that cannot be used. */
    class UrlException extends Exception
    {
    }

    /** Memory ran out; nothing was changed. */
    class OutOfMemoryException extends Exception
    {
    }

    /** The operating system refused. */
    class SystemException extends Exception
    {
    }

    /** A store file that is not ours, damaged, or of another version. */
    class ForeignException extends Exception
    {
    }

    /** Known, and not available in this version or build. */
    class UnsupportedException extends Exception
    {
    }

    /** The store did not answer, and no fail policy can stand in for it. */
    class StoreException extends Exception
    {
    }

    /** The index of bans, overrides and tiers has no room for one more. */
    class FullException extends Exception
    {
    }

    /** A lease that has ended, or is not known any more. */
    class LostException extends Exception
    {
    }

    /** One limit of a call with several: all are charged, or none is. */
    final class Limit
    {
        /**
         * @param string $key whose quota it is: any bytes, 65536 at most
         * @param Policy|string $policy a policy, its text, or its name as the limiter knows it
         * @param int $cost quota units; 0 asks and charges nothing
         * @param ?string $name what the limit is called, and its counter; null: as the policy
         * @param ?string $group limits of one group lie on one server of a Redis Cluster
         * @param ?string $tier the key's tier, where the caller knows it
         * @param ?string $fail "local", "open" or "closed", in place of the store's fail policy
         */
        public function __construct(string $key, Native\Policy|string $policy, int $cost = 1, ?string $name = null,
            ?string $group = null, ?string $tier = null, ?string $fail = null) {}
        public function key(): string {}
        public function cost(): int {}
    }

    /** For tests: the time, in microseconds since 1970, of the limiters that are made with it. */
    final class Clock
    {
        public function __construct(int $nowUs) {}
        public function now(): int {}
        public function set(int $nowUs): void {}
        public function advance(float $seconds): void {}
    }

    /** What one limit of a call says. */
    final class Result
    {
        /** What the limit is called. */
        public function name(): string {}
        /** Its capacity, in quota units: the most at once. */
        public function limit(): int {}
        /** Of it, what could pass now. */
        public function remaining(): int {}
        /** The quota units that the call took. */
        public function charged(): int {}
        /** Which rate of the policy binds, from 0. */
        public function rateIndex(): int {}
        /** That rate's window, in seconds. */
        public function window(): float {}
        /** Seconds until the full capacity is there again. */
        public function reset(): float {}
        /** Seconds after which the same call would pass; 0.0 if it did; null: never. */
        public function retryAfter(): ?float {}
        /** Whether this limit alone lets the request pass. */
        public function allowed(): bool {}
        /** Who said so. */
        public function source(): string {}
    }

    /** What all limits of a call say together; what is told of one is told of the one that binds. */
    final class Decision
    {
        /** What the limit is called. */
        public function name(): string {}
        /** Its capacity, in quota units: the most at once. */
        public function limit(): int {}
        /** Of it, what could pass now. */
        public function remaining(): int {}
        /** The quota units that the call took. */
        public function charged(): int {}
        /** Which rate of the policy binds, from 0. */
        public function rateIndex(): int {}
        /** That rate's window, in seconds. */
        public function window(): float {}
        /** Seconds until the full capacity is there again. */
        public function reset(): float {}
        /** Seconds after which the same call would pass; 0.0 if it did; null: never. */
        public function retryAfter(): ?float {}
        /** Whether every limit allows; then all were charged, else none was. */
        public function allowed(): bool {}
        /** Who decided: "store", "fallback", "fail-open", "fail-closed" or "ban". */
        public function source(): string {}
        /** Whether the store did not answer, and the fail policy decided for a limit. */
        public function degraded(): bool {}
        /** Which limit of the call binds, from 0. */
        public function index(): int {}
        /** @return list<Result> what each limit of the call says */
        public function limits(): array {}
        /**
         * HTTP fields: see Http::fields().
         *
         * @return array<string, string>
         */
        public function fields(string $form = "draft-08"): array {}
        /** The value of Retry-After, or "" where no wait helps. */
        public function retryAfterField(): string {}
        /** The body of a refusal in application/problem+json. */
        public function problem(int $status): string {}
    }

    /**
     * A slot of a concurrency limit, or a reservation. What is not settled is given back at its end; where
     * the program died, a slot is free at the end of the policy's window.
     */
    final class Lease
    {
        public function decision(): Decision {}
        /** Whether anything was taken. */
        public function allowed(): bool {}
        /** Whether there is nothing to settle, or no more. */
        public function settled(): bool {}
        /**
         * Settles: frees slots, and of the other limits gives back the difference to $costs, one for each
         * limit, or charges it. Without costs what was reserved was used.
         */
        public function commit(int ...$costs): void {}
        /** Settles: nothing was used, and all of it is given back. */
        public function release(): void {}
        /** Begins the window of the slots anew, now. Throws LostException where a slot had ended. */
        public function renew(): void {}
        /** Has a helper thread renew the slots until the lease is settled. */
        public function keep(): void {}
    }
}

namespace RateLimit\Native {

    use RateLimit\Clock;
    use RateLimit\Decision;
    use RateLimit\Lease;
    use RateLimit\Limit;

    /** The base of RateLimit\Policy. */
    class Policy
    {
        public function __construct(\RateLimit_Raw_Policy $raw) {}
        /** Its name, or what the library calls it without one. */
        public function label(): string {}
    }

    /** The base of RateLimit\Limiter: its verbs. Arguments are those of RateLimit\Limit. */
    class Core
    {
        /** Charges every limit its cost if all of them allow it, and none otherwise. A denial is no exception. */
        public function check(string $key, Policy|string $policy, int $cost = 1, ?string $name = null,
            ?string $group = null, ?string $tier = null, ?string $fail = null): Decision {}
        /** @param array<Limit> $limits */
        public function checkAll(array $limits): Decision {}
        /** Answers what check would, and charges nothing. */
        public function peek(string $key, Policy|string $policy, int $cost = 1, ?string $name = null,
            ?string $group = null, ?string $tier = null, ?string $fail = null): Decision {}
        /** @param array<Limit> $limits */
        public function peekAll(array $limits): Decision {}
        /** Charges every limit its cost, room or not, down to its debt: for what is known only afterwards. */
        public function charge(string $key, Policy|string $policy, int $cost = 1, ?string $name = null,
            ?string $group = null, ?string $tier = null, ?string $fail = null): Decision {}
        /** @param array<Limit> $limits */
        public function chargeAll(array $limits): Decision {}
        /** Gives back the cost, up to the full capacity and only into the current window. */
        public function refund(string $key, Policy|string $policy, int $cost = 1, ?string $name = null,
            ?string $group = null, ?string $tier = null, ?string $fail = null): Decision {}
        /** @param array<Limit> $limits */
        public function refundAll(array $limits): Decision {}
        /** Charges every limit as much of its cost as all of them have room for; charged() says how many. */
        public function grant(string $key, Policy|string $policy, int $cost = 1, ?string $name = null,
            ?string $group = null, ?string $tier = null, ?string $fail = null): Decision {}
        /** @param array<Limit> $limits */
        public function grantAll(array $limits): Decision {}
        /** Forgets the state: the full capacity is there again. Returns whether the store did. */
        public function reset(string $key, Policy|string $policy, int $cost = 1, ?string $name = null,
            ?string $group = null, ?string $tier = null, ?string $fail = null): bool {}
        /** @param array<Limit> $limits */
        public function resetAll(array $limits): bool {}
        /** As check; what it took can be settled later. */
        public function acquire(string $key, Policy|string $policy, int $cost = 1, ?string $name = null,
            ?string $group = null, ?string $tier = null, ?string $fail = null): Lease {}
        /** @param array<Limit> $limits */
        public function acquireAll(array $limits): Lease {}
        /** Ends this object's use of the limiter: what is called then throws ClosedException. */
        public function close(): void {}
        public function isClosed(): bool {}
        /** @internal */
        protected function find(string $key, $log): bool {}
        /** @internal */
        protected function install(?string $key, \RateLimit_Raw_Limiter $raw, int $sink, array $policies,
            ?Clock $clock, $log): void {}
        /** @internal */
        protected function raw(): \RateLimit_Raw_Limiter {}
        /** @internal */
        protected function policyText(string $name): string {}
    }
}
