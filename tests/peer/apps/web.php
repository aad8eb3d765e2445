<?php
// SPDX-License-Identifier: PostgreSQL
// A page on a persistent connection, which each PHP-FPM worker opens for itself and keeps.
$config = json_decode(file_get_contents(getenv('APP_CONFIG')), true);
$db = pg_pconnect($config['conninfo']);
$sql = 'select $1::text, pg_backend_pid() from pg_sleep(0.002)';
$result = $db ? @pg_query_params($db, $sql, [$_GET['nonce']]) : false;
$reply = ['worker' => getmypid()];
if ($result === false) {
    $reply['error'] = $db ? pg_last_error($db) : 'no connection';
} else {
    $reply['nonce'] = pg_fetch_result($result, 0, 0);
    $reply['backend'] = (int) pg_fetch_result($result, 0, 1);
}
header('Content-Type: application/json');
echo json_encode($reply);
