// Two BentoCaches, each with its own memory, kept in step over Redis and its bus; prints what they got as JSON.
// node client_bentocache.js MODULE PORT
const { pathToFileURL } = require('node:url');
const load = (file) => import(pathToFileURL(`${process.argv[2]}/build/${file}.js`));

async function main() {
  const { BentoCache, bentostore } = await load('index');
  const { memoryDriver } = await load('src/drivers/memory');
  const { redisDriver, redisBusDriver } = await load('src/drivers/redis');
  const connection = { host: '127.0.0.1', port: Number(process.argv[3]) };
  const open = () => new BentoCache({
    default: 'shop',
    stores: {
      shop: bentostore().useL1Layer(memoryDriver()).useL2Layer(redisDriver({ connection }))
        .useBus(redisBusDriver({ connection })),
    },
  });
  const one = open(), two = open();
  const got = { loads: 0 };
  const factory = async () => { got.loads += 1; return { name: 'Paris' }; };

  got.absent = await one.get({ key: 'city:1' }) ?? null;
  got.first = await one.getOrSet({ key: 'city:1', factory, ttl: '10m' });
  got.second = await two.getOrSet({ key: 'city:1', factory, ttl: '10m' });
  await one.set({ key: 'city:1', value: { name: 'Lutetia' } });
  const deadline = Date.now() + 5000;
  do {
    await new Promise(setImmediate);
    got.seen = await two.get({ key: 'city:1' });
  } while (got.seen.name !== 'Lutetia' && Date.now() < deadline);
  got.has = [await one.has({ key: 'city:1' }), await two.has({ key: 'city:2' })];
  got.deleted = [await two.delete({ key: 'city:1' }), await two.get({ key: 'city:1' }) ?? null];
  await one.setForever({ key: 'city:3', value: 'Oslo', tags: ['north'] });
  await one.deleteByTag({ tags: ['north'] });
  got.tagged = await one.get({ key: 'city:3' }) ?? null;
  await one.set({ key: 'city:4', value: 'Bonn' });
  await one.clear();
  got.cleared = await one.get({ key: 'city:4' }) ?? null;
  await one.namespace('town').set({ key: '5', value: 'Rome' });
  got.namespace = await two.namespace('town').get({ key: '5' });
  await Promise.all([one.disconnectAll(), two.disconnectAll()]);
  console.log(JSON.stringify(got));
}
main().catch((error) => { console.error(error); process.exit(1); });
