<?php // Uses Forebay through Predis as an application would, with default options, and prints what it got as JSON.
// php client_predis.php PORT
require 'Predis/autoload.php';
$redis = new Predis\Client("tcp://127.0.0.1:{$argv[1]}");
$name = fn($text) => $text === null ? null : json_decode($text)->name;

$got['ping'] = (string)$redis->ping();
$got['product'] = json_decode($redis->get('product:1'));
$got['absent'] = $redis->get('product:999');
$got['set'] = (string)$redis->set('product:2', json_encode(['name' => 'sea salt', 'stock' => 7]), 'EX', 60);
$got['written'] = json_decode($redis->get('product:2'));
$got['ttl'] = $redis->ttl('product:2');
$got['expire'] = [$redis->expire('product:2', 30), $redis->ttl('product:2')];
$got['many'] = array_map($name, $redis->mget('product:1', 'product:999', 'product:2'));
$got['user'] = $redis->hgetall('user:1');
$got['hset'] = $redis->hset('user:1', 'city', 'Paris');
$got['hincrby'] = $redis->hincrby('user:1', 'visits', 2);
$got['incr'] = $redis->incr('counter:pages');
[$done, $row, $exists] = $redis->pipeline(function ($pipe) {
    $pipe->set('product:3', json_encode(['name' => 'oil']));
    $pipe->get('product:3');
    $pipe->exists('product:999');
});
$got['pipeline'] = [(string)$done, $row, $exists];
$got['transaction'] = $redis->transaction(['cas' => true, 'watch' => 'counter:pages'], function ($transaction) {
    $pages = $transaction->get('counter:pages');
    $transaction->multi();
    $transaction->incrby('counter:pages', 44 - $pages);
    $transaction->hget('user:1', 'visits');
});
$got['del'] = $redis->del('product:1');
try {
    $redis->set('nobody:1', 'x');
    $got['error'] = 'none';
} catch (Predis\Response\ServerException $error) {
    $got['error'] = $error->getErrorType();
}
$redis->quit();
echo json_encode($got);
