<?php // Uses Forebay through phpredis as an application would, with default options, and prints what it got as JSON.
// php client_phpredis.php PORT
$redis = new Redis();
$redis->connect('127.0.0.1', (int)$argv[1]);
$unless_false = fn($value) => $value === false ? null : $value;
$name = fn($text) => $text === false ? null : json_decode($text)->name;

$got['ping'] = $redis->ping() === true ? 'PONG' : null;
$got['product'] = json_decode($redis->get('product:1'));
$got['absent'] = $unless_false($redis->get('product:999'));
$got['set'] = $redis->set('product:2', json_encode(['name' => 'sea salt', 'stock' => 7]), ['ex' => 60]) ? 'OK' : null;
$got['written'] = json_decode($redis->get('product:2'));
$got['ttl'] = $redis->ttl('product:2');
$got['expire'] = [(int)$redis->expire('product:2', 30), $redis->ttl('product:2')];
$got['many'] = array_map($name, $redis->mGet(['product:1', 'product:999', 'product:2']));
$got['user'] = $redis->hGetAll('user:1');
$got['hset'] = $redis->hSet('user:1', 'city', 'Paris');
$got['hincrby'] = $redis->hIncrBy('user:1', 'visits', 2);
$got['incr'] = $redis->incr('counter:pages');
[$done, $row, $exists] = $redis->pipeline()->set('product:3', json_encode(['name' => 'oil']))->get('product:3')
    ->exists('product:999')->exec();
$got['pipeline'] = [$done ? 'OK' : null, $row, $exists];
$got['transaction'] = $redis->multi()->incrBy('counter:pages', 2)->hGet('user:1', 'visits')->exec();
$got['del'] = $redis->del('product:1');
try {
    $redis->set('nobody:1', 'x');
    $got['error'] = 'none';
} catch (RedisException $error) {
    $got['error'] = explode(' ', $error->getMessage())[0];
}
// What begins with ERR or WRONGTYPE it does not raise: the answer is false, the text is kept.
if ($redis->get('user:1') !== false || !str_starts_with($redis->getLastError(), 'WRONGTYPE ')) {
    $got['error'] = 'GET of a hash: ' . $redis->getLastError();
}
$redis->close();
echo json_encode($got);
