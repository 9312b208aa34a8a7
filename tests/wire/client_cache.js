// Client-side caching with node-redis as its documents show it: a client that caches, another that writes. Prints as JSON
// how many of the reads went over the network, and after how many milliseconds the change was seen.
// node client_cache.js MODULE PORT KEY
const { createClient } = require(process.argv[2]);
const [port, key] = process.argv.slice(3);
const READS = 1000;

const open = (more) => createClient({ url: `redis://127.0.0.1:${port}`, ...more })
  .on('error', (error) => { console.error(error); process.exit(1); }).connect();
const calls = async (client) => Number(/cmdstat_get:calls=(\d+)/.exec(await client.info('commandstats'))[1]);

async function main() {
  const caching = await open({ RESP: 3, clientSideCache: { ttl: 0, maxEntries: 0, evictPolicy: 'LRU' } });
  const writing = await open();
  const got = { first: await caching.get(key) };
  const before = await calls(writing);
  for (let i = 0; i < READS; i++) await caching.get(key);
  got.onTheNetwork = await calls(writing) - before;
  await writing.set(key, 'changed');
  const start = process.hrtime.bigint();
  while (await caching.get(key) !== 'changed') await new Promise(setImmediate);
  got.seenAfterMs = Number(process.hrtime.bigint() - start) / 1e6;
  await caching.quit();
  await writing.quit();
  console.log(JSON.stringify(got));
}
main().catch((error) => { console.error(error); process.exit(1); });
