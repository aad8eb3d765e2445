<?php
// SPDX-License-Identifier: PostgreSQL
// What a page of PHP does, as often as there is time: connect, three queries, close.
// usage: page.php SECONDS    prints pages per second
$seconds = (float) $argv[1];
$conninfo = getenv('BENCH_CONNINFO');
$start = microtime(true);
for ($pages = 0; microtime(true) - $start < $seconds; $pages++) {
    $db = pg_connect($conninfo, PGSQL_CONNECT_FORCE_NEW);
    for ($query = 1; $query <= 3; $query++) {
        $result = pg_query_params($db, 'select abalance from pgbench_accounts where aid = $1',
            [1 + ($pages + $query) % 1000]);
        if (!$result || pg_num_rows($result) !== 1) {
            exit(1);
        }
    }
    pg_close($db);
}
echo $pages / (microtime(true) - $start), "\n";
