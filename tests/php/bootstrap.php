<?php
// SPDX-License-Identifier: Apache-2.0

declare(strict_types=1);

require getenv("RLC_SRCDIR") . "/bindings/php/front/src/autoload.php";
require __DIR__ . "/RedisServer.php";
