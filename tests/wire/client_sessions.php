<?php // PHP sessions kept by phpredis: one request writes, a second reads and changes, a third destroys. Prints JSON.
// php -d session.save_handler=redis -d session.save_path=tcp://127.0.0.1:PORT client_sessions.php
ini_set('session.use_cookies', '0');
ini_set('session.cache_limiter', '');
$request = function (callable $work) {
    session_id('0123456789abcdef');
    session_start();
    $work();
    session_write_close();
    $_SESSION = [];
};
$request(function () use (&$got) {
    $got['new'] = $_SESSION;
    $_SESSION['user'] = ['id' => 7, 'name' => "A\0da"];
});
$request(function () use (&$got) {
    $got['seen'] = $_SESSION['user'] === ['id' => 7, 'name' => "A\0da"];
    $_SESSION['visits'] = 2;
});
$request(function () use (&$got) {
    $got['changed'] = $_SESSION['visits'];
    session_destroy();
});
$request(function () use (&$got) { $got['destroyed'] = $_SESSION; });
echo json_encode($got);
