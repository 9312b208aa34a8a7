// Keyv with its Redis adapter and default options as a cache of computed values; prints what it got as JSON.
// node client_keyv.js MODULE PORT
const require_ = require('node:module').createRequire(`${process.argv[2]}/`);
const { Keyv } = require_('keyv');
const { default: KeyvRedis } = require_('@keyv/redis');
const url = `redis://127.0.0.1:${process.argv[3]}`;

async function main() {
  const keyv = new Keyv(new KeyvRedis(url, { throwOnErrors: true }));
  keyv.on('error', (error) => { console.error(error); process.exit(1); });
  const got = {};
  got.absent = await keyv.get('city:1') ?? null;
  got.set = await keyv.set('city:1', { name: 'Paris' });
  got.get = await keyv.get('city:1');
  got.has = [await keyv.has('city:1'), await keyv.has('city:2')];
  await keyv.setMany([{ key: 'city:2', value: 'Rome' }, { key: 'city:3', value: 'Oslo', ttl: 50 }]);
  got.getMany = (await keyv.getMany(['city:1', 'city:2', 'city:9'])).map((value) => value ?? null);
  await new Promise((resolve) => setTimeout(resolve, 60));
  got.expired = await keyv.get('city:3') ?? null;
  got.deleted = [await keyv.delete('city:2'), await keyv.get('city:2') ?? null, await keyv.delete('city:2')];
  await keyv.clear();
  got.cleared = await keyv.get('city:1') ?? null;
  await keyv.set('city:4', 'Bonn', 60000);
  // Its errors come as an event: a key that no keyspace has.
  const elsewhere = new Keyv(new KeyvRedis(url, { throwOnErrors: true }), { namespace: 'elsewhere' });
  got.error = await new Promise((resolve) => {
    const note = (error) => resolve(error.message.split(' ')[0]);
    elsewhere.on('error', note);
    elsewhere.set('a', 1).catch(note);
  });
  await elsewhere.disconnect();
  await keyv.disconnect();
  console.log(JSON.stringify(got));
}
main().catch((error) => { console.error(error); process.exit(1); });
