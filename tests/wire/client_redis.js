// Uses Forebay through node-redis as an application would, with default options, and prints what it got as JSON.
// node client_redis.js MODULE PORT
const { createClient } = require(process.argv[2]);
const client = createClient({ url: `redis://127.0.0.1:${process.argv[3]}`, name: 'shop' });
client.on('error', (error) => { console.error(error); process.exit(1); });

async function main() {
  const got = {};
  await client.connect();
  got.ping = await client.ping();
  got.product = JSON.parse(await client.get('product:1'));
  got.absent = await client.get('product:999');
  got.set = await client.set('product:2', JSON.stringify({ name: 'sea salt', stock: 7 }), { EX: 60 });
  got.written = JSON.parse(await client.get('product:2'));
  got.ttl = await client.ttl('product:2');
  got.expire = [Number(await client.expire('product:2', 30)), await client.ttl('product:2')];
  got.many = (await client.mGet(['product:1', 'product:999', 'product:2'])).map((text) => text && JSON.parse(text).name);
  got.user = { ...await client.hGetAll('user:1') };
  got.hset = await client.hSet('user:1', 'city', 'Paris');
  got.hincrby = await client.hIncrBy('user:1', 'visits', 2);
  got.incr = await client.incr('counter:pages');
  got.pipeline = await Promise.all([client.set('product:3', JSON.stringify({ name: 'oil' })), client.get('product:3'),
    client.exists('product:999')]);
  await client.watch('counter:pages');
  got.transaction = await client.multi().incrBy('counter:pages', 2).hGet('user:1', 'visits').exec();
  got.del = await client.del('product:1');
  got.error = await client.set('nobody:1', 'x').then(() => 'none', (error) => error.message.split(' ')[0]);
  await client.quit();
  console.log(JSON.stringify(got));
}
main().catch((error) => { console.error(error); process.exit(1); });
