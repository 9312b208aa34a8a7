# Uses Forebay through Perl's Redis as an application would, with default options, and prints what it got as JSON.
# perl client_redis.pl PORT
use strict;
use warnings;
use JSON::PP;
use Redis;
my $redis = Redis->new(server => "127.0.0.1:$ARGV[0]", name => 'shop');
my $json = JSON::PP->new;

my %got = (ping => $redis->ping ? 'PONG' : undef);
$got{product} = $json->decode($redis->get('product:1'));
$got{absent} = $redis->get('product:999');
$got{set} = $redis->set('product:2', $json->encode({ name => 'sea salt', stock => 7 }), EX => 60);
$got{written} = $json->decode($redis->get('product:2'));
$got{ttl} = 0 + $redis->ttl('product:2');
$got{expire} = [0 + $redis->expire('product:2', 30), 0 + $redis->ttl('product:2')];
$got{many} = [map { defined $_ ? $json->decode($_)->{name} : undef } $redis->mget(qw(product:1 product:999 product:2))];
$got{user} = { $redis->hgetall('user:1') };
$got{hset} = 0 + $redis->hset('user:1', 'city', 'Paris');
$got{hincrby} = 0 + $redis->hincrby('user:1', 'visits', 2);
$got{incr} = 0 + $redis->incr('counter:pages');
my $keep = sub { my ($reply, $error) = @_; push @{ $got{pipeline} }, $error // $reply };
$redis->set('product:3', $json->encode({ name => 'oil' }), $keep);
$redis->get('product:3', $keep);
$redis->exists('product:999', $keep);
$redis->wait_all_responses;
$got{pipeline}[2] += 0;
$redis->watch('counter:pages');
$redis->multi;
$redis->incrby('counter:pages', 2);
$redis->hget('user:1', 'visits');
$got{transaction} = [$redis->exec];
$got{transaction}[0] += 0;
$got{del} = 0 + $redis->del('product:1');
$got{error} = eval { $redis->set('nobody:1', 'x'); 'none' } // (split / /, $@ =~ s/^\[set\] //r)[0];
$redis->quit;
print $json->encode(\%got);
