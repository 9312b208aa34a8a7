// Publish and subscribe with node-redis or ioredis; prints what arrived as JSON.
// node client_pubsub.js MODULE PORT
const library = require(process.argv[2]);
const port = Number(process.argv[3]);

async function nodeRedis() {
  const subscriber = await library.createClient({ url: `redis://127.0.0.1:${port}` }).connect();
  const publisher = await library.createClient({ url: `redis://127.0.0.1:${port}` }).connect();
  const got = [];
  const done = new Promise((resolve) => {
    const note = (message, channel) => { got.push([channel, message]); if (got.length === 3) resolve(); };
    Promise.all([subscriber.subscribe('news', note), subscriber.pSubscribe('n*', note)])
      .then(async () => { await publisher.publish('news', 'one'); await publisher.publish('none', 'two'); });
  });
  await done;
  await subscriber.unsubscribe('news');
  await subscriber.pUnsubscribe('n*');
  const left = await publisher.publish('news', 'nobody');
  await subscriber.quit();
  await publisher.quit();
  return { got, left };
}

async function ioredis() {
  const subscriber = new library(port, '127.0.0.1'), publisher = new library(port, '127.0.0.1');
  const got = [];
  const done = new Promise((resolve) => {
    const note = (channel, message) => { got.push([channel, message]); if (got.length === 3) resolve(); };
    subscriber.on('message', note);
    subscriber.on('pmessage', (pattern, channel, message) => note(channel, message));
  });
  await subscriber.subscribe('news');
  await subscriber.psubscribe('n*');
  await publisher.publish('news', 'one');
  await publisher.publish('none', 'two');
  await done;
  await subscriber.unsubscribe('news');
  await subscriber.punsubscribe('n*');
  const left = await publisher.publish('news', 'nobody');
  subscriber.disconnect();
  publisher.disconnect();
  return { got, left };
}

(library.createClient && !library.Cluster?.prototype?.subscribe ? nodeRedis() : ioredis())
  .then((result) => { console.log(JSON.stringify(result)); process.exit(0); })
  .catch((error) => { console.error(error); process.exit(1); });
