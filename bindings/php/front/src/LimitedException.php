<?php
// SPDX-License-Identifier: Apache-2.0

declare(strict_types=1);

namespace RateLimit;

/** Thrown by what cannot return a denial. */
final class LimitedException extends \RuntimeException
{
    public function __construct(private Decision $decision)
    {
        $wait = $decision->retryAfter();
        parent::__construct($decision->name() . ": " . match (true) {
            $decision->source() === "fail-closed" =>
                "the store cannot be asked, and all are refused meanwhile",
            $wait === null => "the limit can never let this pass",
            default => sprintf("the limit is reached; try again in %.3f s", $wait),
        });
    }

    public function decision(): Decision
    {
        return $this->decision;
    }
}
