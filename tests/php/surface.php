<?php
// SPDX-License-Identifier: Apache-2.0

// Prints the extension's classes as PHP sees them: from the extension, or from the stubs where it is not
// loaded. StubsTest compares the two.

declare(strict_types=1);

if (!extension_loaded("rlcore")) {
    require $argv[1];
}
foreach (get_declared_classes() as $name) {
    if (!str_starts_with($name, "RateLimit\\")) {
        continue;
    }
    $class = new ReflectionClass($name);
    $lines = [];
    foreach ($class->getMethods() as $method) {
        if ($method->class !== $name) {
            continue;
        }
        $arguments = array_map(static function (ReflectionParameter $p): string {
            $default = $p->isDefaultValueAvailable() ? " = " . var_export($p->getDefaultValue(), true) : "";
            return trim("{$p->getType()} " . ($p->isVariadic() ? "..." : "") . "\${$p->getName()}$default");
        }, $method->getParameters());
        $lines[] = ($method->isProtected() ? "protected" : "public") . " {$method->name}(" . implode(", ", $arguments)
            . "): {$method->getReturnType()}";
    }
    sort($lines);
    $parent = $class->getParentClass();
    $classes[] = ($class->isFinal() ? "final " : "") . $name . ($parent ? " extends {$parent->name}" : "") . "\n    "
        . implode("\n    ", $lines) . "\n";
}
sort($classes);
echo implode("", $classes);
