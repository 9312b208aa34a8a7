# Uses Forebay through redis-rb as an application would, with default options, and prints what it got as JSON.
# ruby client_redis.rb PORT
require 'json'
require 'redis'
redis = Redis.new(port: ARGV[0].to_i, id: 'shop')

got = { ping: redis.ping }
got[:product] = JSON.parse(redis.get('product:1'))
got[:absent] = redis.get('product:999')
got[:set] = redis.set('product:2', JSON.generate(name: 'sea salt', stock: 7), ex: 60)
got[:written] = JSON.parse(redis.get('product:2'))
got[:ttl] = redis.ttl('product:2')
got[:expire] = [redis.expire('product:2', 30) ? 1 : 0, redis.ttl('product:2')]
got[:many] = redis.mget('product:1', 'product:999', 'product:2').map { |text| text && JSON.parse(text)['name'] }
got[:user] = redis.hgetall('user:1')
got[:hset] = redis.hset('user:1', 'city', 'Paris')
got[:hincrby] = redis.hincrby('user:1', 'visits', 2)
got[:incr] = redis.incr('counter:pages')
got[:pipeline] = redis.pipelined do |pipeline|
  pipeline.set('product:3', JSON.generate(name: 'oil'))
  pipeline.get('product:3')
  pipeline.exists('product:999')
end
got[:transaction] = redis.watch('counter:pages') do
  redis.multi do |transaction|
    transaction.incrby('counter:pages', 2)
    transaction.hget('user:1', 'visits')
  end
end
got[:del] = redis.del('product:1')
got[:error] = begin
  redis.set('nobody:1', 'x')
rescue Redis::CommandError => e
  e.message.split.first
end
redis.quit
puts JSON.generate(got)
