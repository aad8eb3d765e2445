<?php
// SPDX-License-Identifier: PostgreSQL
// fork_once.py for PHP: a parent in a transaction forks; the child does one thing to the
// inherited connection. usage: fork_once.php ACTION    prints one JSON object

$config = json_decode(file_get_contents(getenv('APP_CONFIG')), true);
const MARK = 'set before the fork';

function one($db, $sql)
{
    $result = @pg_query($db, $sql);
    if ($result === false) {
        throw new RuntimeException(strtok(pg_last_error($db) . "\n", "\n"));
    }
    return pg_fetch_result($result, 0, 0);
}

function connect($config)
{
    return pg_connect($config['conninfo'], PGSQL_CONNECT_FORCE_NEW);
}

function act($db, $action)
{
    if ($action === 'query') {
        return ['backend' => (int) one($db, 'select pg_backend_pid()')];
    }
    if ($action === 'close') {
        pg_close($db);
    }
    if ($action === 'reset') {
        pg_connection_reset($db);
        return ['backend' => (int) one($db, 'select pg_backend_pid()')];
    }
    return [];
}

// The child ends as PHP scripts do, which closes every connection it still has.
function child($db, $config, $action)
{
    try {
        $report = act($db, $action);
    } catch (RuntimeException $error) {
        $report = ['error' => $error->getMessage()];
    }
    $report['own'] = (int) one(connect($config), 'select pg_backend_pid()');
    file_put_contents($config['file'], json_encode($report));
    exit(0);
}

$db = connect($config);
one($db, 'begin; select 1');
$result = ['before' => (int) one($db, 'select pg_backend_pid()')];
one($db, "select set_config('peer.mark', '" . MARK . "', true)");
$pid = pcntl_fork();
if ($pid === 0) {
    pcntl_alarm(10);
    child($db, $config, $argv[1]);
}
pcntl_waitpid($pid, $status);
$report = is_file($config['file']) ? json_decode(file_get_contents($config['file']), true) : [];
$result['child'] = $report + ['status' => $status];
try {
    $result['after'] = (int) one($db, 'select pg_backend_pid()');
    $result['mark'] = one($db, "select current_setting('peer.mark', true)") === MARK;
    pg_query($db, 'commit');
} catch (RuntimeException $error) {
    $result['error'] = $error->getMessage();
}
echo json_encode($result), "\n";
