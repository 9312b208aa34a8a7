/* Every command of the Redis face, declared once. The dispatcher, COMMAND, HELP and the reference page come from here.
 *
 * arity      arguments with the name; negative: at least so many (Redis' convention)
 * first,     positions of the keys: from `first` to `last` (negative: counted from the end) every `step`; 0: no keys
 * last, step
 * since      the version of Redis whose form of the command this is
 * syntax     what follows the name */
#ifndef FB_TBL_COMMANDS_H
#define FB_TBL_COMMANDS_H

enum fb_command_flags {
    FB_CMD_READ = 1 << 0,    /* reads keys; several of one connection may be under way together */
    FB_CMD_WRITE = 1 << 1,   /* changes keys or their life; has its connection for itself */
    FB_CMD_ROWS = FB_CMD_WRITE | 1 << 16, /* … of rows alone: several of one connection, where they are written behind */
    FB_CMD_FAST = 1 << 2,    /* work does not grow with the size of the value */
    FB_CMD_ADMIN = 1 << 3,   /* concerns the server or other connections */
    FB_CMD_ALONE = 1 << 4,   /* waits for what came before and holds up what follows, like a write */
    FB_CMD_NO_AUTH = 1 << 5, /* allowed before AUTH */
    FB_CMD_UNQUEUED = 1 << 20, /* between MULTI and EXEC it is carried out at once */
    FB_CMD_NO_MULTI = 1 << 21, /* between MULTI and EXEC it is refused */
    FB_CMD_SECRET = 1 << 12, /* may carry a password: not shown in the slow log nor to MONITOR */
    FB_CMD_PARENT = 1 << 6,  /* its second word is a row of FB_SUBCOMMAND_MAP */

    /* What concerns the store (tbl/foreign.h). */
    FB_CMD_FOREIGN = 1 << 7, /* only the store carries it out */
    FB_CMD_BLOCKS = 1 << 8,  /* may wait: has a connection to the store for itself */
    FB_CMD_PEEKS = 1 << 9,   /* asks the cache before it is asked whose its key is */
    FB_CMD_SPLITS = 1 << 10, /* over keys of both kinds each side gets its own, and the answers become one */
    FB_CMD_STORES = 1 << 11, /* without keys, and the store's where there is one */
    FB_CMD_LISTENS = 1 << 15, /* hears messages: at the store on a connection of its own */
    FB_KEYS_STORE = 1 << 13, /* more keys stand behind the words STORE and STOREDIST */
    FB_KEYS_STREAMS = 1 << 14, /* its keys are the first half of what follows the word STREAMS */

    /* What COMMAND says it does with its keys. Without any of these a reading command hands out what a key holds (RO,
     * access), and a writing one changes something of it (RW, update). */
    FB_KEY_META = 1 << 24,   /* RO without access: says something about the key */
    FB_KEY_ACCESS = 1 << 25, /* hands out what was there, too */
    FB_KEY_OVER = 1 << 26,   /* does not look at what was there: OW, or RM with DELETE */
    FB_KEY_INSERT = 1 << 27, /* insert instead of update: only adds */
    FB_KEY_DELETE = 1 << 28, /* delete instead of update: only takes away */
    FB_KEY_SET = 1 << 29,    /* SET's own: like OVER, unless an argument GET says otherwise */
};

/* X(name, handler, arity, flags, first, last, step, group, since, syntax, summary); sorted by group, then name */
#define FB_COMMAND_MAP(X)                                                                                              \
    X("auth", auth, -2, FB_CMD_FAST | FB_CMD_NO_AUTH | FB_CMD_ALONE | FB_CMD_SECRET, 0, 0, 0, "connection", "6.0.0",   \
      "[username] password", "Give the password of this server")                                                       \
    X("client", parent, -2, FB_CMD_PARENT, 0, 0, 0, "connection", "2.4.0",                                             \
      "subcommand [argument ...]", "Name, list and close connections")                                                 \
    X("echo", echo, 2, FB_CMD_FAST, 0, 0, 0, "connection", "1.0.0",                                                    \
      "message", "Answer with the message")                                                                            \
    X("hello", hello, -1, FB_CMD_FAST | FB_CMD_NO_AUTH | FB_CMD_ALONE | FB_CMD_SECRET, 0, 0, 0, "connection", "6.2.0", \
      "[protover [AUTH username password] [SETNAME clientname]]", "Choose RESP2 or RESP3; may log in and set a name")  \
    X("ping", ping, -1, FB_CMD_FAST, 0, 0, 0, "connection", "1.0.0",                                                   \
      "[message]", "Answer PONG, or with the message")                                                                 \
    X("quit", quit, -1, FB_CMD_FAST | FB_CMD_NO_AUTH | FB_CMD_ALONE | FB_CMD_UNQUEUED, 0, 0, 0, "connection",          \
      "1.0.0", "", "Close the connection after the replies before it")                                                 \
    X("reset", reset, 1, FB_CMD_FAST | FB_CMD_NO_AUTH | FB_CMD_ALONE | FB_CMD_UNQUEUED, 0, 0, 0, "connection",         \
      "6.2.0", "", "Put the connection back into the state of a new one")                                              \
    X("select", select, 2, FB_CMD_FAST | FB_CMD_ALONE, 0, 0, 0, "connection", "1.0.0",                                 \
      "index", "Choose the database; keyspaces live in database 0")                                                    \
    X("fb.absent", fb_absent, 3, FB_CMD_WRITE | FB_CMD_NO_MULTI, 1, 1, 1, "forebay", "7.0.0",                          \
      "key token", "Hand in that the row a lease was for does not exist; 0: the lease is gone")                        \
    X("fb.check", fb_check, 1, FB_CMD_ADMIN, 0, 0, 0, "forebay", "7.0.0",                                              \
      "", "Check the configuration file without using it")                                                             \
    X("fb.dead", fb_dead, -2, FB_CMD_ADMIN, 0, 0, 0, "forebay", "7.0.0",                                               \
      "LIST [AFTER id] [COUNT count] [SOURCE name] | GET|RETRY|DROP id [SOURCE name]",                                 \
      "Writes that were acknowledged and that the database refused, with its reasons")                                 \
    X("fb.explain", fb_explain, 2, FB_CMD_READ, 1, 1, 1, "forebay", "7.0.0",                                           \
      "key", "Which keyspace a key belongs to, what would answer a read of it, and until when")                        \
    X("fb.fill", fb_fill, -4, FB_CMD_WRITE | FB_CMD_NO_MULTI, 1, 1, 1, "forebay", "7.0.0",                             \
      "key token value [EX seconds | PX milliseconds]", "Hand in what a lease was for; 0: the lease is gone, and nothing is kept") \
    X("fb.help", fb_help, 1, 0, 0, 0, 0, "forebay", "7.0.0",                                                           \
      "", "This list")                                                                                                 \
    X("fb.inval", fb_invalidate, 2, FB_CMD_WRITE, 1, 1, 1, "forebay", "7.0.0",                                         \
      "key", "Forget the cached copy and refuse what is being loaded: after a write of one's own")                     \
    X("fb.invalidate", fb_invalidate, -2, FB_CMD_WRITE, 1, -1, 1, "forebay", "7.0.0",                                  \
      "key [key ...] | KEYSPACE pattern", "Forget cached copies, whatever on_del says; no row is touched")             \
    X("fb.keyspaces", fb_keyspaces, 1, 0, 0, 0, 0, "forebay", "7.0.0",                                                 \
      "", "Every keyspace: what it maps, how long copies live, how well it is hit")                                    \
    X("fb.lease", fb_lease, -2, FB_CMD_WRITE | FB_CMD_NO_MULTI, 1, 1, 1, "forebay", "7.0.0",                           \
      "key [milliseconds]", "The cached value, or a token: load it and hand it in; waits while another does")          \
    X("fb.lock", fb_lock, -3, FB_CMD_WRITE | FB_CMD_NO_MULTI, 0, 0, 0, "forebay", "7.0.0",                             \
      "name milliseconds [WAIT milliseconds]", "Take a lock by name: its token and fencing number, or nil")            \
    X("fb.peer", fb_peer, 1, 0, 0, 0, 0, "forebay", "7.0.0",                                                           \
      "", "This connection is another Forebay's: what it asks is not forwarded again")                                 \
    X("fb.refresh", fb_refresh, -2, FB_CMD_WRITE, 1, -1, 1, "forebay", "7.0.0",                                        \
      "key [key ...]", "Load again now; answers how many have a row")                                                  \
    X("fb.reload", fb_reload, 1, FB_CMD_ADMIN, 0, 0, 0, "forebay", "7.0.0",                                            \
      "", "Read the configuration again, as SIGHUP does")                                                              \
    X("fb.sources", fb_sources, 1, FB_CMD_ADMIN, 0, 0, 0, "forebay", "7.0.0",                                          \
      "", "Every source: round trips, errors, what waits")                                                             \
    X("fb.stats", fb_stats, -1, 0, 0, 0, 0, "forebay", "7.0.0",                                                        \
      "[pattern]", "Counters of one keyspace, or of all together")                                                     \
    X("fb.unlease", fb_unlease, 3, FB_CMD_WRITE | FB_CMD_NO_MULTI, 1, 1, 1, "forebay", "7.0.0",                        \
      "key token", "Give a lease back whose load has failed; 0: it is gone")                                           \
    X("fb.unlock", fb_unlock, 3, FB_CMD_WRITE | FB_CMD_NO_MULTI, 0, 0, 0, "forebay", "7.0.0",                          \
      "name token", "Give a lock back; 0: it has ended, and may be another's")                                         \
    X("fb.warm", fb_warm, -2, FB_CMD_ADMIN, 0, 0, 0, "forebay", "7.0.0",                                               \
      "pattern [limit]", "Load the rows of a keyspace that are not cached, in the order of the primary key")           \
    X("del", del, -2, FB_CMD_ROWS | FB_KEY_OVER | FB_KEY_DELETE | FB_CMD_SPLITS, 1, -1, 1, "generic", "1.0.0",         \
      "key [key ...]",                                                                                                 \
      "Forget cached copies (on_del: invalidate), or delete the rows (on_del: delete-row)")                            \
    X("exists", exists, -2, FB_CMD_READ | FB_CMD_FAST | FB_KEY_META | FB_CMD_SPLITS, 1, -1, 1, "generic", "3.0.3",     \
      "key [key ...]",                                                                                                 \
      "Count the keys that have a row")                                                                                \
    X("expire", expire, -3, FB_CMD_WRITE | FB_CMD_FAST, 1, 1, 1, "generic", "7.0.0",                                   \
      "key seconds [NX|XX|GT|LT]", "Shorten the life of a cached copy; the row is untouched")                          \
    X("expireat", expireat, -3, FB_CMD_WRITE | FB_CMD_FAST, 1, 1, 1, "generic", "7.0.0",                               \
      "key unix-time-seconds [NX|XX|GT|LT]", "Shorten the life of a cached copy to a point in time")                   \
    X("expiretime", expiretime, 2, FB_CMD_READ | FB_CMD_FAST, 1, 1, 1, "generic", "7.0.0",                             \
      "key", "When the cached copy ends, in seconds since 1970")                                                       \
    X("keys", keys, 2, FB_CMD_READ | FB_CMD_STORES, 0, 0, 0, "generic", "1.0.0",                                       \
      "pattern", "The cached keys that match a pattern; SCAN is kinder to a large cache")                              \
    X("object", parent, -2, FB_CMD_PARENT, 0, 0, 0, "generic", "2.2.3",                                                \
      "subcommand [argument ...]", "What is known of a cached copy")                                                   \
    X("persist", persist, 2, FB_CMD_WRITE | FB_CMD_FAST, 1, 1, 1, "generic", "2.2.0",                                  \
      "key", "Undo EXPIRE: the cached copy lives as long as its keyspace says")                                        \
    X("pexpire", pexpire, -3, FB_CMD_WRITE | FB_CMD_FAST, 1, 1, 1, "generic", "7.0.0",                                 \
      "key milliseconds [NX|XX|GT|LT]", "Like EXPIRE, in milliseconds")                                                \
    X("pexpireat", pexpireat, -3, FB_CMD_WRITE | FB_CMD_FAST, 1, 1, 1, "generic", "7.0.0",                             \
      "key unix-time-milliseconds [NX|XX|GT|LT]", "Like EXPIREAT, in milliseconds")                                    \
    X("pexpiretime", pexpiretime, 2, FB_CMD_READ | FB_CMD_FAST, 1, 1, 1, "generic", "7.0.0",                           \
      "key", "Like EXPIRETIME, in milliseconds")                                                                       \
    X("pttl", pttl, 2, FB_CMD_READ | FB_CMD_FAST, 1, 1, 1, "generic", "2.8.0",                                         \
      "key", "Like TTL, in milliseconds")                                                                              \
    X("randomkey", randomkey, 1, FB_CMD_READ | FB_CMD_STORES, 0, 0, 0, "generic", "1.0.0",                             \
      "", "A cached key chosen at random")                                                                             \
    X("scan", scan, -2, FB_CMD_READ | FB_CMD_STORES, 0, 0, 0, "generic", "6.0.0",                                      \
      "cursor [MATCH pattern] [COUNT count] [TYPE type]", "Some of the cached keys, and where to go on")               \
    X("touch", exists, -2, FB_CMD_READ | FB_CMD_FAST | FB_KEY_META | FB_CMD_SPLITS, 1, -1, 1, "generic", "3.2.1",      \
      "key [key ...]",                                                                                                 \
      "Count the keys that have a row, and load those that are not cached")                                            \
    X("ttl", ttl, 2, FB_CMD_READ | FB_CMD_FAST, 1, 1, 1, "generic", "2.8.0",                                           \
      "key", "Seconds the cached copy has left; -2 when there is none")                                                \
    X("type", type, 2, FB_CMD_READ | FB_CMD_FAST | FB_KEY_META, 1, 1, 1, "generic", "1.0.0", "key",                    \
      "string, hash, or none when there is no row")                                                                    \
    X("unlink", del, -2, FB_CMD_ROWS | FB_CMD_FAST | FB_KEY_OVER | FB_KEY_DELETE | FB_CMD_SPLITS, 1, -1, 1, "generic", \
      "4.0.0",                                                                                                         \
      "key [key ...]", "The same as DEL")                                                                              \
    X("wait", wait, 3, 0, 0, 0, 0, "generic", "3.0.0",                                                                 \
      "numreplicas timeout",                                                                                           \
      "Wait until the database has what was written behind; 0 at once where nothing is")                               \
    X("waitaof", waitaof, 4, 0, 0, 0, 0, "generic", "7.2.0",                                                           \
      "numlocal numreplicas timeout",                                                                                  \
      "Wait until the disk has what was written behind; 0 and 0 at once where nothing is")                             \
    X("hdel", hdel, -3, FB_CMD_ROWS | FB_CMD_FAST | FB_KEY_DELETE, 1, 1, 1, "hash", "2.4.0",                           \
      "key field [field ...]", "Set columns to NULL")                                                                  \
    X("hexists", hexists, 3, FB_CMD_READ | FB_CMD_FAST | FB_KEY_META | FB_CMD_PEEKS, 1, 1, 1, "hash", "2.0.0",         \
      "key field",                                                                                                     \
      "Is the column there and not NULL?")                                                                             \
    X("hget", hget, 3, FB_CMD_READ | FB_CMD_FAST | FB_CMD_PEEKS, 1, 1, 1, "hash", "2.0.0",                             \
      "key field", "One column of the row")                                                                            \
    X("hgetall", hgetall, 2, FB_CMD_READ | FB_CMD_PEEKS, 1, 1, 1, "hash", "2.0.0",                                     \
      "key", "All columns of the row that are not NULL")                                                               \
    X("hincrby", hincrby, 4, FB_CMD_ROWS | FB_CMD_FAST | FB_KEY_ACCESS, 1, 1, 1, "hash", "2.0.0",                      \
      "key field increment", "Add a whole number to a column, at the source")                                          \
    X("hincrbyfloat", hincrbyfloat, 4, FB_CMD_ROWS | FB_CMD_FAST | FB_KEY_ACCESS, 1, 1, 1, "hash", "2.6.0",            \
      "key field increment", "Add a decimal number to a column, at the source")                                        \
    X("hkeys", hkeys, 2, FB_CMD_READ | FB_CMD_PEEKS, 1, 1, 1, "hash", "2.0.0",                                         \
      "key", "Names of the columns that are not NULL")                                                                 \
    X("hlen", hlen, 2, FB_CMD_READ | FB_CMD_FAST | FB_KEY_META | FB_CMD_PEEKS, 1, 1, 1, "hash", "2.0.0", "key",        \
      "Number of columns that are not NULL")                                                                           \
    X("hmget", hmget, -3, FB_CMD_READ | FB_CMD_FAST | FB_CMD_PEEKS, 1, 1, 1, "hash", "2.0.0",                          \
      "key field [field ...]", "Several columns of the row")                                                           \
    X("hmset", hmset, -4, FB_CMD_ROWS | FB_CMD_FAST, 1, 1, 1, "hash", "2.0.0",                                         \
      "key field value [field value ...]", "Like HSET, answering OK")                                                  \
    X("hrandfield", hrandfield, -2, FB_CMD_READ, 1, 1, 1, "hash", "6.2.0",                                             \
      "key [count [WITHVALUES]]", "Columns chosen at random")                                                          \
    X("hscan", hscan, -3, FB_CMD_READ, 1, 1, 1, "hash", "2.8.0",                                                       \
      "key cursor [MATCH pattern] [COUNT count]", "All columns in one step, filtered by name")                         \
    X("hset", hset, -4, FB_CMD_ROWS | FB_CMD_FAST, 1, 1, 1, "hash", "4.0.0",                                           \
      "key field value [field value ...]", "Change columns of the row, or insert it")                                  \
    X("hsetnx", hsetnx, 4, FB_CMD_ROWS | FB_CMD_FAST | FB_KEY_INSERT, 1, 1, 1, "hash", "2.0.0", "key field value",     \
      "Set a column only if it is NULL or the row is absent")                                                          \
    X("hstrlen", hstrlen, 3, FB_CMD_READ | FB_CMD_FAST | FB_KEY_META | FB_CMD_PEEKS, 1, 1, 1, "hash", "3.2.0",         \
      "key field",                                                                                                     \
      "Length of one column's text")                                                                                   \
    X("hvals", hvals, 2, FB_CMD_READ | FB_CMD_PEEKS, 1, 1, 1, "hash", "2.0.0",                                         \
      "key", "Values of the columns that are not NULL")                                                                \
    X("psubscribe", psubscribe, -2, FB_CMD_LISTENS, 0, 0, 0, "pubsub", "2.0.0",                                        \
      "pattern [pattern ...]", "Get the messages of all channels whose names match")                                   \
    X("publish", publish, 3, FB_CMD_FAST | FB_CMD_STORES, 0, 0, 0, "pubsub", "2.0.0",                                  \
      "channel message", "Send a message to all who listen; answers how many get it")                                  \
    X("pubsub", parent, -2, FB_CMD_PARENT, 0, 0, 0, "pubsub", "2.8.0",                                                 \
      "subcommand [argument ...]", "Look at channels and patterns")                                                    \
    X("punsubscribe", punsubscribe, -1, FB_CMD_LISTENS, 0, 0, 0, "pubsub", "2.0.0",                                    \
      "[pattern [pattern ...]]", "Stop listening to patterns, or to all of them")                                      \
    X("spublish", spublish, 3, FB_CMD_FAST | FB_CMD_STORES, 0, 0, 0, "pubsub", "7.0.0",                                \
      "shardchannel message", "Send a message to all who listen to a sharded channel")                                 \
    X("ssubscribe", ssubscribe, -2, FB_CMD_LISTENS, 0, 0, 0, "pubsub", "7.0.0",                                        \
      "shardchannel [shardchannel ...]", "Get the messages of sharded channels")                                       \
    X("subscribe", subscribe, -2, FB_CMD_LISTENS, 0, 0, 0, "pubsub", "2.0.0",                                          \
      "channel [channel ...]", "Get the messages of channels")                                                         \
    X("sunsubscribe", sunsubscribe, -1, FB_CMD_LISTENS, 0, 0, 0, "pubsub", "7.0.0",                                    \
      "[shardchannel [shardchannel ...]]", "Stop listening to sharded channels, or to all of them")                    \
    X("unsubscribe", unsubscribe, -1, FB_CMD_LISTENS, 0, 0, 0, "pubsub", "2.0.0",                                      \
      "[channel [channel ...]]", "Stop listening to channels, or to all of them")                                      \
    X("function", parent, -2, FB_CMD_PARENT | FB_CMD_STORES, 0, 0, 0, "scripting", "7.0.0",                            \
      "subcommand [argument ...]", "There are no functions")                                                           \
    X("script", parent, -2, FB_CMD_PARENT | FB_CMD_STORES, 0, 0, 0, "scripting", "2.6.0",                              \
      "subcommand [argument ...]", "There are no scripts")                                                             \
    X("acl", parent, -2, FB_CMD_PARENT, 0, 0, 0, "server", "6.0.0",                                                    \
      "subcommand [argument ...]", "Users and what they may do")                                                       \
    X("command", command, -1, FB_CMD_PARENT, 0, 0, 0, "server", "2.8.13",                                              \
      "[subcommand [argument ...]]", "Describe the commands")                                                          \
    X("config", parent, -2, FB_CMD_PARENT | FB_CMD_ADMIN, 0, 0, 0, "server", "2.0.0",                                  \
      "subcommand [argument ...]", "Read the settings")                                                                \
    X("dbsize", dbsize, 1, FB_CMD_READ | FB_CMD_FAST | FB_CMD_STORES, 0, 0, 0, "server", "1.0.0",                      \
      "", "Number of cached values (never of rows)")                                                                   \
    X("debug", parent, -2, FB_CMD_PARENT | FB_CMD_ADMIN, 0, 0, 0, "server", "1.0.0",                                   \
      "subcommand [argument ...]", "Not there")                                                                        \
    X("flushall", flush, -1, FB_CMD_WRITE | FB_CMD_STORES, 0, 0, 0, "server", "6.2.0",                                 \
      "[ASYNC|SYNC]", "Forget all cached copies; no row is deleted")                                                   \
    X("flushdb", flush, -1, FB_CMD_WRITE | FB_CMD_STORES, 0, 0, 0, "server", "6.2.0",                                  \
      "[ASYNC|SYNC]", "Forget all cached copies of the selected database; no row is deleted")                          \
    X("info", info, -1, 0, 0, 0, 0, "server", "7.0.0",                                                                 \
      "[section [section ...]]", "Figures of the server, the keyspaces and the sources")                               \
    X("lastsave", lastsave, 1, FB_CMD_FAST, 0, 0, 0, "server", "1.0.0",                                                \
      "", "When the server started: there is nothing to save")                                                         \
    X("latency", parent, -2, FB_CMD_PARENT | FB_CMD_ADMIN, 0, 0, 0, "server", "2.8.13",                                \
      "subcommand [argument ...]", "Slow events, and how long commands take")                                          \
    X("memory", parent, -2, FB_CMD_PARENT, 0, 0, 0, "server", "4.0.0",                                                 \
      "subcommand [argument ...]", "Memory of one copy and of all")                                                    \
    X("module", parent, -2, FB_CMD_PARENT | FB_CMD_ADMIN, 0, 0, 0, "server", "4.0.0",                                  \
      "subcommand [argument ...]", "There are no modules")                                                             \
    X("monitor", monitor, 1, FB_CMD_ADMIN, 0, 0, 0, "server", "1.0.0",                                                 \
      "", "See every request as it comes; values are hidden unless monitor_values is true")                            \
    X("role", role, 1, FB_CMD_FAST, 0, 0, 0, "server", "2.8.12",                                                       \
      "", "master, without replicas")                                                                                  \
    X("shutdown", shutdown, -1, FB_CMD_ADMIN | FB_CMD_ALONE | FB_CMD_NO_MULTI, 0, 0, 0, "server", "7.0.0",             \
      "[NOSAVE|SAVE] [NOW] [FORCE] [ABORT]",                                                                           \
      "Stop the server as SIGTERM does; NOW does not wait for requests under way")                                     \
    X("slowlog", parent, -2, FB_CMD_PARENT | FB_CMD_ADMIN, 0, 0, 0, "server", "2.2.12",                                \
      "subcommand [argument ...]", "The latest requests that took long")                                               \
    X("time", time, 1, FB_CMD_FAST, 0, 0, 0, "server", "2.6.0",                                                        \
      "", "The server's clock: seconds and microseconds since 1970")                                                   \
    X("decr", decr, 2, FB_CMD_ROWS | FB_CMD_FAST | FB_KEY_ACCESS, 1, 1, 1, "string", "1.0.0", "key",                   \
      "Subtract 1 from a column, at the source (as: column)")                                                          \
    X("decrby", decrby, 3, FB_CMD_ROWS | FB_CMD_FAST | FB_KEY_ACCESS, 1, 1, 1, "string", "1.0.0", "key decrement",     \
      "Subtract a whole number from a column, at the source (as: column)")                                             \
    X("get", get, 2, FB_CMD_READ | FB_CMD_FAST | FB_CMD_PEEKS, 1, 1, 1, "string", "1.0.0",                             \
      "key", "The value: from the cache, or loaded")                                                                   \
    X("getdel", getdel, 2, FB_CMD_ROWS | FB_CMD_FAST | FB_KEY_ACCESS | FB_KEY_DELETE, 1, 1, 1, "string", "6.2.0",      \
      "key", "The value, then DEL")                                                                                    \
    X("getex", getex, -2, FB_CMD_WRITE | FB_CMD_FAST | FB_KEY_ACCESS, 1, 1, 1, "string", "6.2.0",                      \
      "key [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|PERSIST]",                   \
      "The value, and a new life for its cached copy")                                                                 \
    X("getrange", getrange, 4, FB_CMD_READ, 1, 1, 1, "string", "2.4.0",                                                \
      "key start end", "A part of the value")                                                                          \
    X("getset", getset, 3, FB_CMD_ROWS | FB_CMD_FAST | FB_KEY_ACCESS, 1, 1, 1, "string", "1.0.0", "key value",         \
      "Write the row, answering with the value from before")                                                           \
    X("incr", incr, 2, FB_CMD_ROWS | FB_CMD_FAST | FB_KEY_ACCESS, 1, 1, 1, "string", "1.0.0", "key",                   \
      "Add 1 to a column, at the source (as: column)")                                                                 \
    X("incrby", incrby, 3, FB_CMD_ROWS | FB_CMD_FAST | FB_KEY_ACCESS, 1, 1, 1, "string", "1.0.0", "key increment",     \
      "Add a whole number to a column, at the source (as: column)")                                                    \
    X("incrbyfloat", incrbyfloat, 3, FB_CMD_ROWS | FB_CMD_FAST | FB_KEY_ACCESS, 1, 1, 1, "string", "2.6.0",            \
      "key increment", "Add a decimal number to a column, at the source (as: column)")                                 \
    X("mget", mget, -2, FB_CMD_READ | FB_CMD_FAST | FB_CMD_SPLITS, 1, -1, 1, "string", "1.0.0",                        \
      "key [key ...]", "Several values; the misses travel to the source together")                                     \
    X("mset", mset, -3, FB_CMD_ROWS | FB_KEY_OVER | FB_CMD_SPLITS, 1, -1, 2, "string", "1.0.1",                        \
      "key value [key value ...]",                                                                                     \
      "Write several rows of one source in one transaction")                                                           \
    X("msetnx", msetnx, -3, FB_CMD_WRITE | FB_KEY_OVER | FB_KEY_INSERT, 1, -1, 2, "string", "1.0.1",                   \
      "key value [key value ...]", "Like MSET, only if none of the rows exists")                                       \
    X("psetex", psetex, 4, FB_CMD_ROWS | FB_KEY_OVER, 1, 1, 1, "string", "2.6.0", "key milliseconds value",            \
      "SET with a life for the cached copy, in milliseconds")                                                          \
    X("set", set, -3, FB_CMD_ROWS | FB_KEY_SET, 1, 1, 1, "string", "7.0.0",                                            \
      "key value [NX|XX] [GET] [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|"        \
      "KEEPTTL]",                                                                                                      \
      "Write the row as the keyspace says (write, on_set)")                                                            \
    X("setex", setex, 4, FB_CMD_ROWS | FB_KEY_OVER, 1, 1, 1, "string", "2.0.0", "key seconds value",                   \
      "SET with a life for the cached copy, in seconds")                                                               \
    X("setnx", setnx, 3, FB_CMD_ROWS | FB_CMD_FAST | FB_KEY_OVER | FB_KEY_INSERT, 1, 1, 1, "string", "1.0.0",          \
      "key value", "Write the row only if there is none")                                                              \
    X("strlen", strlen, 2, FB_CMD_READ | FB_CMD_FAST | FB_KEY_META | FB_CMD_PEEKS, 1, 1, 1, "string", "2.2.0", "key",  \
      "Length of the value in bytes")                                                                                  \
    X("substr", getrange, 4, FB_CMD_READ, 1, 1, 1, "string", "1.0.0",                                                  \
      "key start end", "The old name of GETRANGE")                                                                     \
    X("discard", discard, 1, FB_CMD_FAST | FB_CMD_ALONE | FB_CMD_UNQUEUED, 0, 0, 0, "transactions", "2.0.0",           \
      "", "Forget what MULTI has kept, and all watches")                                                               \
    X("exec", exec, 1, FB_CMD_ALONE | FB_CMD_UNQUEUED, 0, 0, 0, "transactions", "1.2.0",                               \
      "", "Carry out what MULTI has kept: rows of one source in one transaction, all or none")                         \
    X("multi", multi, 1, FB_CMD_FAST | FB_CMD_ALONE | FB_CMD_UNQUEUED, 0, 0, 0, "transactions", "1.2.0",               \
      "", "Keep the requests from here on until EXEC")                                                                 \
    X("unwatch", unwatch, 1, FB_CMD_FAST | FB_CMD_ALONE, 0, 0, 0, "transactions", "2.2.0",                             \
      "", "Forget all watches")                                                                                        \
    X("watch", watch, -2, FB_CMD_FAST | FB_CMD_ALONE | FB_CMD_UNQUEUED | FB_KEY_META, 1, -1, 1, "transactions",        \
      "2.2.0", "key [key ...]", "EXEC will be refused when one of these rows has changed")                             \

/* X(parent, name, handler, arity, flags, since, syntax, summary); arity counts the parent's word too.
 * One that reads a key (FB_CMD_READ) has it behind both words */
#define FB_SUBCOMMAND_MAP(X)                                                                                           \
    X("acl", "cat", acl_cat, -2, 0, "6.0.0", "[category]", "The categories, or the commands of one")                   \
    X("acl", "deluser", acl_refused, -3, FB_CMD_ADMIN, "6.0.0", "username [username ...]",                             \
      "Refused: the users file is the operator's")                                                                     \
    X("acl", "dryrun", acl_dryrun, -4, FB_CMD_ADMIN, "7.0.0", "username command [argument [argument ...]]",            \
      "Would this user be allowed this?")                                                                              \
    X("acl", "genpass", acl_genpass, -2, 0, "6.0.0", "[bits]", "A password drawn at random")                           \
    X("acl", "getuser", acl_getuser, 3, FB_CMD_ADMIN, "7.0.0", "username", "What one user may do")                     \
    X("acl", "help", help, 2, 0, "6.0.0", "", "This text")                                                             \
    X("acl", "list", acl_list, 2, FB_CMD_ADMIN, "6.0.0", "", "All users, as lines of the users file")                  \
    X("acl", "load", acl_load, 2, FB_CMD_ADMIN, "6.0.0", "", "Read the users file again")                              \
    X("acl", "log", acl_log, -2, FB_CMD_ADMIN, "7.2.0", "[count|RESET]", "What has been refused, newest first")        \
    X("acl", "save", acl_refused, 2, FB_CMD_ADMIN, "6.0.0", "", "Refused: the users file is the operator's")           \
    X("acl", "setuser", acl_refused, -3, FB_CMD_ADMIN, "6.0.0", "username [rule [rule ...]]",                          \
      "Refused: the users file is the operator's")                                                                     \
    X("acl", "users", acl_users, 2, FB_CMD_ADMIN, "6.0.0", "", "The names of all users")                               \
    X("acl", "whoami", acl_whoami, 2, 0, "6.0.0", "", "The user this connection is")                                   \
    X("client", "caching", client_caching, 3, 0, "6.0.0", "YES|NO",                                                    \
      "Whether the keys of the next request are tracked (OPTIN, OPTOUT)")                                              \
    X("client", "getname", client_getname, 2, 0, "2.6.9", "", "The name of this connection")                           \
    X("client", "getredir", client_getredir, 2, 0, "6.0.0", "", "The client that gets this one's invalidations")       \
    X("client", "help", help, 2, 0, "5.0.0", "", "This text")                                                          \
    X("client", "id", client_id, 2, 0, "5.0.0", "", "The number of this connection")                                   \
    X("client", "info", client_info, 2, 0, "6.2.0", "", "What CLIENT LIST says about this connection")                 \
    X("client", "kill", client_kill, -3, FB_CMD_ADMIN, "2.8.12",                                                       \
      "ip:port | [ID client-id] [ADDR ip:port] [LADDR ip:port] [USER username] [SKIPME yes|no]",                       \
      "Close connections")                                                                                             \
    X("client", "list", client_list, -2, FB_CMD_ADMIN, "6.2.0", "[TYPE type] [ID client-id [client-id ...]]",          \
      "A line for every connection")                                                                                   \
    X("client", "no-evict", client_switch, 3, 0, "7.0.0", "ON|OFF", "Accepted; connections are never evicted")         \
    X("client", "no-touch", client_switch, 3, 0, "7.2.0", "ON|OFF", "Accepted; without effect")                        \
    X("client", "pause", client_pause, -3, FB_CMD_ADMIN, "6.2.0",                                                      \
      "timeout [WRITE|ALL]", "Requests of all connections, or writes alone, wait so many milliseconds")                \
    X("client", "reply", client_reply, 3, FB_CMD_ALONE, "3.2.0", "ON|OFF|SKIP", "Whether replies are sent")            \
    X("client", "setinfo", client_setinfo, 4, FB_CMD_ALONE, "7.2.0", "LIB-NAME name | LIB-VER version",                \
      "Say which client library this is")                                                                              \
    X("client", "setname", client_setname, 3, FB_CMD_ALONE, "2.6.9", "name", "Give this connection a name")            \
    X("client", "tracking", client_tracking, -3, 0, "6.0.0",                                                           \
      "ON|OFF [REDIRECT client-id] [PREFIX prefix [PREFIX prefix ...]] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]",             \
      "Be told when keys change that this connection has read")                                                        \
    X("client", "trackinginfo", client_trackinginfo, 2, 0, "6.2.0", "", "How this connection tracks keys")             \
    X("client", "unblock", client_unblock, -3, FB_CMD_ADMIN | FB_CMD_NO_MULTI, "5.0.0",                                \
      "client-id [TIMEOUT|ERROR]", "End the wait of a connection that a command blocks at the store")                  \
    X("client", "unpause", client_unpause, 2, FB_CMD_ADMIN, "6.2.0", "", "End CLIENT PAUSE")                           \
    X("command", "count", command_count, 2, 0, "2.8.13", "", "How many commands there are")                            \
    X("command", "docs", command_docs, -2, 0, "7.0.0", "[command [command ...]]", "What commands are for")             \
    X("command", "getkeys", command_getkeys, -4, 0, "2.8.13", "command [argument [argument ...]]",                     \
      "The keys of a command line")                                                                                    \
    X("command", "getkeysandflags", command_getkeysandflags, -4, 0, "7.0.0", "command [argument [argument ...]]",      \
      "The keys of a command line, each with what is done with it")                                                    \
    X("command", "help", help, 2, 0, "5.0.0", "", "This text")                                                         \
    X("command", "info", command_info, -2, 0, "2.8.13", "[command [command ...]]", "Arity, flags and key positions")   \
    X("command", "list", command_list, -2, 0, "7.0.0", "[FILTERBY MODULE name|ACLCAT category|PATTERN pattern]",       \
      "Names of the commands")                                                                                         \
    X("config", "get", config_get, -3, FB_CMD_ADMIN, "7.0.0", "pattern [pattern ...]", "Settings by glob pattern")     \
    X("config", "help", help, 2, 0, "5.0.0", "", "This text")                                                          \
    X("config", "resetstat", config_resetstat, 2, FB_CMD_ADMIN, "2.0.0", "", "Start INFO's counters anew")             \
    X("config", "rewrite", config_rewrite, 2, FB_CMD_ADMIN, "2.8.0", "", "Refused: the file is the operator's")        \
    X("config", "set", config_set, -4, FB_CMD_ADMIN, "7.0.0", "parameter value [parameter value ...]",                 \
      "Change settings that may change while the server runs")                                                         \
    X("debug", "help", help, 2, 0, "1.0.0", "", "This text")                                                           \
    X("debug", "log", debug_log, 3, FB_CMD_ADMIN, "7.0.0", "message", "Accepted; test suites send it")                 \
    X("function", "flush", function_flush, -2, FB_CMD_STORES, "7.0.0", "[ASYNC|SYNC]", "Accepted: there are none")     \
    X("function", "help", help, 2, 0, "7.0.0", "", "This text")                                                        \
    X("function", "list", empty_list, -2, FB_CMD_STORES, "7.0.0", "[LIBRARYNAME library-name-pattern] [WITHCODE]", "Empty") \
    X("latency", "doctor", latency_doctor, 2, FB_CMD_ADMIN, "2.8.13", "", "What the samples say, and what may help")   \
    X("latency", "graph", latency_graph, 3, FB_CMD_ADMIN, "2.8.13", "event", "The samples of an event, drawn")         \
    X("latency", "help", help, 2, 0, "2.8.13", "", "This text")                                                        \
    X("latency", "histogram", latency_histogram, -2, FB_CMD_ADMIN, "7.0.0", "[command [command ...]]",                 \
      "How the times of commands are spread")                                                                          \
    X("latency", "history", latency_history, 3, FB_CMD_ADMIN, "2.8.13", "event", "All samples of an event")            \
    X("latency", "latest", latency_latest, 2, FB_CMD_ADMIN, "2.8.13", "", "The latest sample of each event")           \
    X("latency", "reset", latency_reset, -2, FB_CMD_ADMIN, "2.8.13", "[event [event ...]]", "Forget samples")          \
    X("memory", "doctor", memory_doctor, 2, 0, "4.0.0", "", "How full the cache is, in words")                         \
    X("memory", "help", help, 2, 0, "4.0.0", "", "This text")                                                          \
    X("memory", "stats", memory_stats, 2, 0, "4.0.0", "", "Memory of the process and of the cache")                    \
    X("memory", "usage", memory_usage, -3, FB_CMD_READ | FB_KEY_META, "4.0.0", "key [SAMPLES count]",                  \
      "Bytes of a cached copy with its bookkeeping")                                                                   \
    X("module", "help", help, 2, 0, "5.0.0", "", "This text")                                                          \
    X("module", "list", empty_list, 2, FB_CMD_ADMIN, "4.0.0", "", "Empty")                                             \
    X("object", "encoding", object_encoding, 3, FB_CMD_READ | FB_KEY_META, "2.2.3", "key",                             \
      "How Redis would keep a value like this copy")                                                                   \
    X("object", "freq", object_freq, 3, FB_CMD_READ | FB_KEY_META, "4.0.0", "key",                                     \
      "How often the copy was asked for, as far as the eviction counts")                                               \
    X("object", "help", help, 2, 0, "6.2.0", "", "This text")                                                          \
    X("object", "idletime", object_idletime, 3, FB_CMD_READ | FB_KEY_META, "2.2.3", "key",                             \
      "Age of the copy in seconds, with the LRU eviction")                                                             \
    X("object", "refcount", object_refcount, 3, FB_CMD_READ | FB_KEY_META, "2.2.3", "key", "1 for a cached copy")      \
    X("pubsub", "channels", pubsub_channels, -2, FB_CMD_STORES, "2.8.0", "[pattern]", "Channels that somebody listens to") \
    X("pubsub", "help", help, 2, 0, "6.2.0", "", "This text")                                                          \
    X("pubsub", "numpat", pubsub_numpat, 2, FB_CMD_STORES, "2.8.0", "", "Number of patterns that somebody listens to") \
    X("pubsub", "numsub", pubsub_numsub, -2, FB_CMD_STORES, "2.8.0", "[channel [channel ...]]", "How many listen to channels") \
    X("pubsub", "shardchannels", pubsub_shardchannels, -2, FB_CMD_STORES, "7.0.0", "[pattern]",                        \
      "Sharded channels that somebody listens to")                                                                     \
    X("pubsub", "shardnumsub", pubsub_shardnumsub, -2, FB_CMD_STORES, "7.0.0", "[shardchannel [shardchannel ...]]",    \
      "How many listen to sharded channels")                                                                           \
    X("script", "exists", script_exists, -3, FB_CMD_STORES, "2.6.0", "sha1 [sha1 ...]", "0 for each")                  \
    X("script", "flush", script_flush, -2, FB_CMD_STORES, "6.2.0", "[ASYNC|SYNC]", "Accepted: there are none")         \
    X("script", "help", help, 2, 0, "5.0.0", "", "This text")                                                          \
    X("slowlog", "get", slowlog_get, -2, FB_CMD_ADMIN, "2.2.12", "[count]",                                            \
      "Requests that took longer than slowlog_slower_than, newest first (10; -1: all)")                                \
    X("slowlog", "help", help, 2, 0, "6.2.0", "", "This text")                                                         \
    X("slowlog", "len", slowlog_len, 2, FB_CMD_ADMIN, "2.2.12", "", "How many of them are kept")                       \
    X("slowlog", "reset", slowlog_reset, 2, FB_CMD_ADMIN, "2.2.12", "", "Forget them")

/* The same for subcommands. X(parent, name, kind) */
#define FB_REFUSED_SUBCOMMAND_MAP(X)                                                                                   \
    X("debug", "jmap", NEVER) X("debug", "object", NEVER) X("debug", "reload", NEVER) X("debug", "sleep", NEVER)       \
    X("function", "delete", SCRIPT) X("function", "dump", SCRIPT) X("function", "kill", SCRIPT)                        \
    X("function", "load", SCRIPT) X("function", "restore", SCRIPT) X("function", "stats", SCRIPT)                      \
    X("memory", "malloc-stats", NEVER) X("memory", "purge", NEVER) X("module", "load", NEVER)                          \
    X("module", "loadex", NEVER) X("module", "unload", NEVER) X("script", "debug", SCRIPT)                             \
    X("script", "kill", SCRIPT) X("script", "load", SCRIPT)

/* Redis' commands that are known and refused, so that the reason can be said. X(name, kind, first key)
 *   DATA     works on a kind of data that a row is not; named with its key and keyspace
 *   SCRIPT   would run a program inside the server
 *   NEVER    replication, persistence and inspection that a cache in front of a database does not have
 *   CLUSTER  clients probe for it and know the answer */
#define FB_REFUSED_MAP(X)                                                                                              \
    X("append", DATA, 1) X("bitcount", DATA, 1) X("bitfield", DATA, 1) X("bitfield_ro", DATA, 1)                       \
    X("bitop", DATA, 2) X("bitpos", DATA, 1) X("blmove", DATA, 1) X("blmpop", DATA, 3) X("blpop", DATA, 1)             \
    X("brpop", DATA, 1) X("brpoplpush", DATA, 1) X("bzmpop", DATA, 3) X("bzpopmax", DATA, 1) X("bzpopmin", DATA, 1)    \
    X("copy", DATA, 1) X("dump", DATA, 1) X("geoadd", DATA, 1) X("geodist", DATA, 1) X("geohash", DATA, 1)             \
    X("geopos", DATA, 1) X("georadius", DATA, 1) X("georadiusbymember", DATA, 1) X("geosearch", DATA, 1)               \
    X("geosearchstore", DATA, 1) X("getbit", DATA, 1) X("lcs", DATA, 1) X("lindex", DATA, 1) X("linsert", DATA, 1)     \
    X("llen", DATA, 1) X("lmove", DATA, 1) X("lmpop", DATA, 2) X("lpop", DATA, 1) X("lpos", DATA, 1)                   \
    X("lpush", DATA, 1) X("lpushx", DATA, 1) X("lrange", DATA, 1) X("lrem", DATA, 1) X("lset", DATA, 1)                \
    X("ltrim", DATA, 1) X("move", DATA, 1) X("pfadd", DATA, 1) X("pfcount", DATA, 1) X("pfmerge", DATA, 1)             \
    X("rename", DATA, 1) X("renamenx", DATA, 1) X("restore", DATA, 1) X("rpop", DATA, 1) X("rpoplpush", DATA, 1)       \
    X("rpush", DATA, 1) X("rpushx", DATA, 1) X("sadd", DATA, 1) X("scard", DATA, 1) X("sdiff", DATA, 1)                \
    X("sdiffstore", DATA, 1) X("setbit", DATA, 1) X("setrange", DATA, 1) X("sinter", DATA, 1)                          \
    X("sintercard", DATA, 2) X("sinterstore", DATA, 1) X("sismember", DATA, 1) X("smembers", DATA, 1)                  \
    X("smismember", DATA, 1) X("smove", DATA, 1) X("sort", DATA, 1) X("sort_ro", DATA, 1) X("spop", DATA, 1)           \
    X("srandmember", DATA, 1) X("srem", DATA, 1) X("sscan", DATA, 1) X("sunion", DATA, 1) X("sunionstore", DATA, 1)    \
    X("xack", DATA, 1) X("xadd", DATA, 1) X("xautoclaim", DATA, 1) X("xclaim", DATA, 1) X("xdel", DATA, 1)             \
    X("xgroup", DATA, 2) X("xinfo", DATA, 2) X("xlen", DATA, 1) X("xpending", DATA, 1) X("xrange", DATA, 1)            \
    X("xrevrange", DATA, 1) X("xtrim", DATA, 1) X("zadd", DATA, 1) X("zcard", DATA, 1) X("zcount", DATA, 1)            \
    X("zdiff", DATA, 2) X("zdiffstore", DATA, 1) X("zincrby", DATA, 1) X("zinter", DATA, 2) X("zintercard", DATA, 2)   \
    X("zinterstore", DATA, 1) X("zlexcount", DATA, 1) X("zmpop", DATA, 2) X("zmscore", DATA, 1)                        \
    X("zpopmax", DATA, 1) X("zpopmin", DATA, 1) X("zrandmember", DATA, 1) X("zrange", DATA, 1)                         \
    X("zrangebylex", DATA, 1) X("zrangebyscore", DATA, 1) X("zrangestore", DATA, 1) X("zrank", DATA, 1)                \
    X("zrem", DATA, 1) X("zremrangebylex", DATA, 1) X("zremrangebyrank", DATA, 1) X("zremrangebyscore", DATA, 1)       \
    X("zrevrange", DATA, 1) X("zrevrangebylex", DATA, 1) X("zrevrangebyscore", DATA, 1) X("zrevrank", DATA, 1)         \
    X("zscan", DATA, 1) X("zscore", DATA, 1) X("zunion", DATA, 2) X("zunionstore", DATA, 1)                            \
    X("georadius_ro", DATA, 1) X("georadiusbymember_ro", DATA, 1) X("xsetid", DATA, 1)                                 \
    X("pfdebug", NEVER, 0) X("pfselftest", NEVER, 0)                                                                   \
    X("eval", SCRIPT, 0) X("eval_ro", SCRIPT, 0) X("evalsha", SCRIPT, 0) X("evalsha_ro", SCRIPT, 0)                    \
    X("fcall", SCRIPT, 0) X("fcall_ro", SCRIPT, 0)                                                                     \
    X("bgrewriteaof", NEVER, 0) X("bgsave", NEVER, 0) X("failover", NEVER, 0)                                          \
    X("migrate", NEVER, 0) X("psync", NEVER, 0) X("replconf", NEVER, 0)                                                \
    X("replicaof", NEVER, 0) X("restore-asking", NEVER, 0) X("save", NEVER, 0)                                         \
    X("slaveof", NEVER, 0) X("swapdb", NEVER, 0) X("sync", NEVER, 0)                                                   \
    X("asking", CLUSTER, 0) X("cluster", CLUSTER, 0) X("readonly", CLUSTER, 0) X("readwrite", CLUSTER, 0)

#endif
