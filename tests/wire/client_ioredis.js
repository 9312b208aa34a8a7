// Uses Forebay through ioredis as an application would, with default options, and prints what it got as JSON.
// node client_ioredis.js MODULE PORT
const module_ = require(process.argv[2]);
const Redis = module_.default || module_;
const redis = new Redis(Number(process.argv[3]), '127.0.0.1', { connectionName: 'shop' });
redis.on('error', (error) => { console.error(error); process.exit(1); });

async function main() {
  const got = {};
  got.ping = await redis.ping();
  got.product = JSON.parse(await redis.get('product:1'));
  got.absent = await redis.get('product:999');
  got.set = await redis.set('product:2', JSON.stringify({ name: 'sea salt', stock: 7 }), 'EX', 60);
  got.written = JSON.parse(await redis.get('product:2'));
  got.ttl = await redis.ttl('product:2');
  got.expire = [await redis.expire('product:2', 30), await redis.ttl('product:2')];
  got.many = (await redis.mget('product:1', 'product:999', 'product:2')).map((text) => text && JSON.parse(text).name);
  got.user = await redis.hgetall('user:1');
  got.hset = await redis.hset('user:1', 'city', 'Paris');
  got.hincrby = await redis.hincrby('user:1', 'visits', 2);
  got.incr = await redis.incr('counter:pages');
  got.pipeline = (await redis.pipeline().set('product:3', JSON.stringify({ name: 'oil' })).get('product:3')
    .exists('product:999').exec()).map(([error, value]) => error ? error.message : value);
  await redis.watch('counter:pages');
  got.transaction = (await redis.multi().incrby('counter:pages', 2).hget('user:1', 'visits').exec())
    .map(([error, value]) => error ? error.message : value);
  got.del = await redis.del('product:1');
  got.error = await redis.set('nobody:1', 'x').then(() => 'none', (error) => error.message.split(' ')[0]);
  await redis.quit();
  console.log(JSON.stringify(got));
}
main().catch((error) => { console.error(error); process.exit(1); });
