<?php
// SPDX-License-Identifier: Apache-2.0

declare(strict_types=1);

/** A real Redis of the test's own, by a private socket. */
final class RedisServer
{
    private string $folder;
    /** @var resource */
    private $process;

    public function __construct()
    {
        $this->folder = sys_get_temp_dir() . "/rlphp-" . bin2hex(random_bytes(6));
        mkdir($this->folder, 0700);
        $this->process = proc_open([getenv("RLC_REDIS_SERVER") ?: "redis-server", "--port", "0",
            "--unixsocket", $this->socket(), "--save", "", "--appendonly", "no", "--dir", $this->folder],
            [["file", "/dev/null", "r"], ["file", "{$this->folder}/log", "w"], ["file", "/dev/null", "w"]], $pipes);
        for ($i = 0; $i < 2000 && $this->command("PING") !== "+PONG"; ++$i) {
            usleep(10000);
        }
    }

    public function socket(): string
    {
        return "{$this->folder}/socket";
    }

    public function url(): string
    {
        return "redis+unix://{$this->socket()}?timeout=5s&fail=closed";
    }

    public function command(string ...$words): string
    {
        $stream = @stream_socket_client("unix://{$this->socket()}");
        if ($stream === false) {
            return "";
        }
        $text = "*" . count($words) . "\r\n";
        foreach ($words as $word) {
            $text .= "$" . strlen($word) . "\r\n$word\r\n";
        }
        fwrite($stream, $text);
        return rtrim((string) fgets($stream));
    }

    public function stop(): void
    {
        proc_terminate($this->process, 9);
        proc_close($this->process);
        array_map(unlink(...), glob("{$this->folder}/*") ?: []);
        rmdir($this->folder);
    }
}
