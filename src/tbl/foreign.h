/* Redis' commands on keys that Forebay does not carry out itself: the store does, where there is one and none of their
 * keys is mapped. Without a store they are refused (FB_REFUSED_MAP in tbl/commands.h says in which words).
 *
 * X(name, arity, flags, first, last, step, counted, group, since)
 *   counted  where the number of keys stands that follow it (EVAL, ZUNION, …), beside those from first to last; 0: none
 *   others   as in tbl/commands.h; what they need of their keys is said of all keys of a command together */
#ifndef FB_TBL_FOREIGN_H
#define FB_TBL_FOREIGN_H

#define FB_FOREIGN_MAP(X)                                                                                              \
    X("bitcount", -2, FB_CMD_READ, 1, 1, 1, 0, "bitmap", "2.6.0")                                                      \
    X("bitfield", -2, FB_CMD_WRITE | FB_KEY_ACCESS, 1, 1, 1, 0, "bitmap", "3.2.0")                                     \
    X("bitfield_ro", -2, FB_CMD_READ | FB_CMD_FAST, 1, 1, 1, 0, "bitmap", "6.0.0")                                     \
    X("bitop", -4, FB_CMD_WRITE | FB_KEY_ACCESS, 2, -1, 1, 0, "bitmap", "2.6.0")                                       \
    X("bitpos", -3, FB_CMD_READ, 1, 1, 1, 0, "bitmap", "2.8.7")                                                        \
    X("getbit", 3, FB_CMD_READ | FB_CMD_FAST, 1, 1, 1, 0, "bitmap", "2.2.0")                                           \
    X("setbit", 4, FB_CMD_WRITE | FB_KEY_ACCESS, 1, 1, 1, 0, "bitmap", "2.2.0")                                        \
    X("copy", -3, FB_CMD_WRITE | FB_KEY_ACCESS, 1, 2, 1, 0, "generic", "6.2.0")                                        \
    X("dump", 2, FB_CMD_READ, 1, 1, 1, 0, "generic", "2.6.0")                                                          \
    X("move", 3, FB_CMD_WRITE | FB_CMD_FAST | FB_KEY_ACCESS, 1, 1, 1, 0, "generic", "1.0.0")                           \
    X("rename", 3, FB_CMD_WRITE | FB_KEY_ACCESS, 1, 2, 1, 0, "generic", "1.0.0")                                       \
    X("renamenx", 3, FB_CMD_WRITE | FB_CMD_FAST | FB_KEY_ACCESS, 1, 2, 1, 0, "generic", "1.0.0")                       \
    X("restore", -4, FB_CMD_WRITE, 1, 1, 1, 0, "generic", "2.6.0")                                                     \
    X("sort", -2, FB_CMD_WRITE | FB_KEY_ACCESS | FB_KEYS_STORE, 1, 1, 1, 0, "generic", "1.0.0")                        \
    X("sort_ro", -2, FB_CMD_READ, 1, 1, 1, 0, "generic", "7.0.0")                                                      \
    X("geoadd", -5, FB_CMD_WRITE, 1, 1, 1, 0, "geo", "3.2.0")                                                          \
    X("geodist", -4, FB_CMD_READ, 1, 1, 1, 0, "geo", "3.2.0")                                                          \
    X("geohash", -2, FB_CMD_READ, 1, 1, 1, 0, "geo", "3.2.0")                                                          \
    X("geopos", -2, FB_CMD_READ, 1, 1, 1, 0, "geo", "3.2.0")                                                           \
    X("georadius", -6, FB_CMD_WRITE | FB_KEY_ACCESS | FB_KEYS_STORE, 1, 1, 1, 0, "geo", "3.2.0")                       \
    X("georadiusbymember", -5, FB_CMD_WRITE | FB_KEY_ACCESS | FB_KEYS_STORE, 1, 1, 1, 0, "geo", "3.2.0")               \
    X("georadius_ro", -6, FB_CMD_READ, 1, 1, 1, 0, "geo", "3.2.10")                                                    \
    X("georadiusbymember_ro", -5, FB_CMD_READ, 1, 1, 1, 0, "geo", "3.2.10")                                            \
    X("geosearch", -7, FB_CMD_READ, 1, 1, 1, 0, "geo", "6.2.0")                                                        \
    X("geosearchstore", -8, FB_CMD_WRITE | FB_KEY_ACCESS, 1, 2, 1, 0, "geo", "6.2.0")                                  \
    X("pfadd", -2, FB_CMD_WRITE | FB_CMD_FAST, 1, 1, 1, 0, "hyperloglog", "2.8.9")                                     \
    X("pfcount", -2, FB_CMD_READ, 1, -1, 1, 0, "hyperloglog", "2.8.9")                                                 \
    X("pfmerge", -2, FB_CMD_WRITE | FB_KEY_ACCESS, 1, -1, 1, 0, "hyperloglog", "2.8.9")                                \
    X("blmove", 6, FB_CMD_WRITE | FB_CMD_BLOCKS | FB_KEY_ACCESS, 1, 2, 1, 0, "list", "6.2.0")                          \
    X("blmpop", -5, FB_CMD_WRITE | FB_CMD_BLOCKS | FB_KEY_ACCESS, 0, 0, 0, 2, "list", "7.0.0")                         \
    X("blpop", -3, FB_CMD_WRITE | FB_CMD_BLOCKS | FB_KEY_ACCESS, 1, -2, 1, 0, "list", "2.0.0")                         \
    X("brpop", -3, FB_CMD_WRITE | FB_CMD_BLOCKS | FB_KEY_ACCESS, 1, -2, 1, 0, "list", "2.0.0")                         \
    X("brpoplpush", 4, FB_CMD_WRITE | FB_CMD_BLOCKS | FB_KEY_ACCESS, 1, 2, 1, 0, "list", "2.2.0")                      \
    X("lindex", 3, FB_CMD_READ, 1, 1, 1, 0, "list", "1.0.0")                                                           \
    X("linsert", 5, FB_CMD_WRITE, 1, 1, 1, 0, "list", "2.2.0")                                                         \
    X("llen", 2, FB_CMD_READ | FB_CMD_FAST | FB_KEY_META, 1, 1, 1, 0, "list", "1.0.0")                                 \
    X("lmove", 5, FB_CMD_WRITE | FB_KEY_ACCESS, 1, 2, 1, 0, "list", "6.2.0")                                           \
    X("lmpop", -4, FB_CMD_WRITE | FB_KEY_ACCESS, 0, 0, 0, 1, "list", "7.0.0")                                          \
    X("lpop", -2, FB_CMD_WRITE | FB_CMD_FAST | FB_KEY_ACCESS, 1, 1, 1, 0, "list", "1.0.0")                             \
    X("lpos", -3, FB_CMD_READ, 1, 1, 1, 0, "list", "6.0.6")                                                            \
    X("lpush", -3, FB_CMD_WRITE | FB_CMD_FAST, 1, 1, 1, 0, "list", "1.0.0")                                            \
    X("lpushx", -3, FB_CMD_WRITE | FB_CMD_FAST, 1, 1, 1, 0, "list", "2.2.0")                                           \
    X("lrange", 4, FB_CMD_READ, 1, 1, 1, 0, "list", "1.0.0")                                                           \
    X("lrem", 4, FB_CMD_WRITE, 1, 1, 1, 0, "list", "1.0.0")                                                            \
    X("lset", 4, FB_CMD_WRITE, 1, 1, 1, 0, "list", "1.0.0")                                                            \
    X("ltrim", 4, FB_CMD_WRITE, 1, 1, 1, 0, "list", "1.0.0")                                                           \
    X("rpop", -2, FB_CMD_WRITE | FB_CMD_FAST | FB_KEY_ACCESS, 1, 1, 1, 0, "list", "1.0.0")                             \
    X("rpoplpush", 3, FB_CMD_WRITE | FB_KEY_ACCESS, 1, 2, 1, 0, "list", "1.2.0")                                       \
    X("rpush", -3, FB_CMD_WRITE | FB_CMD_FAST, 1, 1, 1, 0, "list", "1.0.0")                                            \
    X("rpushx", -3, FB_CMD_WRITE | FB_CMD_FAST, 1, 1, 1, 0, "list", "2.2.0")                                           \
    X("eval", -3, FB_CMD_WRITE | FB_KEY_ACCESS, 0, 0, 0, 2, "scripting", "2.6.0")                                      \
    X("eval_ro", -3, FB_CMD_READ, 0, 0, 0, 2, "scripting", "7.0.0")                                                    \
    X("evalsha", -3, FB_CMD_WRITE | FB_KEY_ACCESS, 0, 0, 0, 2, "scripting", "2.6.0")                                   \
    X("evalsha_ro", -3, FB_CMD_READ, 0, 0, 0, 2, "scripting", "7.0.0")                                                 \
    X("fcall", -3, FB_CMD_WRITE | FB_KEY_ACCESS, 0, 0, 0, 2, "scripting", "7.0.0")                                     \
    X("fcall_ro", -3, FB_CMD_READ, 0, 0, 0, 2, "scripting", "7.0.0")                                                   \
    X("sadd", -3, FB_CMD_WRITE | FB_CMD_FAST, 1, 1, 1, 0, "set", "1.0.0")                                              \
    X("scard", 2, FB_CMD_READ | FB_CMD_FAST | FB_KEY_META, 1, 1, 1, 0, "set", "1.0.0")                                 \
    X("sdiff", -2, FB_CMD_READ, 1, -1, 1, 0, "set", "1.0.0")                                                           \
    X("sdiffstore", -3, FB_CMD_WRITE | FB_KEY_ACCESS, 1, -1, 1, 0, "set", "1.0.0")                                     \
    X("sinter", -2, FB_CMD_READ, 1, -1, 1, 0, "set", "1.0.0")                                                          \
    X("sintercard", -3, FB_CMD_READ, 0, 0, 0, 1, "set", "7.0.0")                                                       \
    X("sinterstore", -3, FB_CMD_WRITE | FB_KEY_ACCESS, 1, -1, 1, 0, "set", "1.0.0")                                    \
    X("sismember", 3, FB_CMD_READ | FB_CMD_FAST | FB_KEY_META, 1, 1, 1, 0, "set", "1.0.0")                             \
    X("smembers", 2, FB_CMD_READ, 1, 1, 1, 0, "set", "1.0.0")                                                          \
    X("smismember", -3, FB_CMD_READ | FB_CMD_FAST, 1, 1, 1, 0, "set", "6.2.0")                                         \
    X("smove", 4, FB_CMD_WRITE | FB_CMD_FAST | FB_KEY_ACCESS, 1, 2, 1, 0, "set", "1.0.0")                              \
    X("spop", -2, FB_CMD_WRITE | FB_CMD_FAST | FB_KEY_ACCESS, 1, 1, 1, 0, "set", "1.0.0")                              \
    X("srandmember", -2, FB_CMD_READ, 1, 1, 1, 0, "set", "1.0.0")                                                      \
    X("srem", -3, FB_CMD_WRITE | FB_CMD_FAST, 1, 1, 1, 0, "set", "1.0.0")                                              \
    X("sscan", -3, FB_CMD_READ, 1, 1, 1, 0, "set", "2.8.0")                                                            \
    X("sunion", -2, FB_CMD_READ, 1, -1, 1, 0, "set", "1.0.0")                                                          \
    X("sunionstore", -3, FB_CMD_WRITE | FB_KEY_ACCESS, 1, -1, 1, 0, "set", "1.0.0")                                    \
    X("bzmpop", -5, FB_CMD_WRITE | FB_CMD_BLOCKS | FB_KEY_ACCESS, 0, 0, 0, 2, "sorted-set", "7.0.0")                   \
    X("bzpopmax", -3, FB_CMD_WRITE | FB_CMD_FAST | FB_CMD_BLOCKS | FB_KEY_ACCESS, 1, -2, 1, 0, "sorted-set", "5.0.0")  \
    X("bzpopmin", -3, FB_CMD_WRITE | FB_CMD_FAST | FB_CMD_BLOCKS | FB_KEY_ACCESS, 1, -2, 1, 0, "sorted-set", "5.0.0")  \
    X("zadd", -4, FB_CMD_WRITE | FB_CMD_FAST, 1, 1, 1, 0, "sorted-set", "1.2.0")                                       \
    X("zcard", 2, FB_CMD_READ | FB_CMD_FAST | FB_KEY_META, 1, 1, 1, 0, "sorted-set", "1.2.0")                          \
    X("zcount", 4, FB_CMD_READ | FB_CMD_FAST, 1, 1, 1, 0, "sorted-set", "2.0.0")                                       \
    X("zdiff", -3, FB_CMD_READ, 0, 0, 0, 1, "sorted-set", "6.2.0")                                                     \
    X("zdiffstore", -4, FB_CMD_WRITE | FB_KEY_ACCESS, 1, 1, 1, 2, "sorted-set", "6.2.0")                               \
    X("zincrby", 4, FB_CMD_WRITE | FB_CMD_FAST | FB_KEY_ACCESS, 1, 1, 1, 0, "sorted-set", "1.2.0")                     \
    X("zinter", -3, FB_CMD_READ, 0, 0, 0, 1, "sorted-set", "6.2.0")                                                    \
    X("zintercard", -3, FB_CMD_READ, 0, 0, 0, 1, "sorted-set", "7.0.0")                                                \
    X("zinterstore", -4, FB_CMD_WRITE | FB_KEY_ACCESS, 1, 1, 1, 2, "sorted-set", "2.0.0")                              \
    X("zlexcount", 4, FB_CMD_READ | FB_CMD_FAST, 1, 1, 1, 0, "sorted-set", "2.8.9")                                    \
    X("zmpop", -4, FB_CMD_WRITE | FB_KEY_ACCESS, 0, 0, 0, 1, "sorted-set", "7.0.0")                                    \
    X("zmscore", -3, FB_CMD_READ | FB_CMD_FAST, 1, 1, 1, 0, "sorted-set", "6.2.0")                                     \
    X("zpopmax", -2, FB_CMD_WRITE | FB_CMD_FAST | FB_KEY_ACCESS, 1, 1, 1, 0, "sorted-set", "5.0.0")                    \
    X("zpopmin", -2, FB_CMD_WRITE | FB_CMD_FAST | FB_KEY_ACCESS, 1, 1, 1, 0, "sorted-set", "5.0.0")                    \
    X("zrandmember", -2, FB_CMD_READ, 1, 1, 1, 0, "sorted-set", "6.2.0")                                               \
    X("zrange", -4, FB_CMD_READ, 1, 1, 1, 0, "sorted-set", "1.2.0")                                                    \
    X("zrangebylex", -4, FB_CMD_READ, 1, 1, 1, 0, "sorted-set", "2.8.9")                                               \
    X("zrangebyscore", -4, FB_CMD_READ, 1, 1, 1, 0, "sorted-set", "1.0.5")                                             \
    X("zrangestore", -5, FB_CMD_WRITE | FB_KEY_ACCESS, 1, 2, 1, 0, "sorted-set", "6.2.0")                              \
    X("zrank", 3, FB_CMD_READ | FB_CMD_FAST, 1, 1, 1, 0, "sorted-set", "2.0.0")                                        \
    X("zrem", -3, FB_CMD_WRITE | FB_CMD_FAST, 1, 1, 1, 0, "sorted-set", "1.2.0")                                       \
    X("zremrangebylex", 4, FB_CMD_WRITE, 1, 1, 1, 0, "sorted-set", "2.8.9")                                            \
    X("zremrangebyrank", 4, FB_CMD_WRITE, 1, 1, 1, 0, "sorted-set", "2.0.0")                                           \
    X("zremrangebyscore", 4, FB_CMD_WRITE, 1, 1, 1, 0, "sorted-set", "1.2.0")                                          \
    X("zrevrange", -4, FB_CMD_READ, 1, 1, 1, 0, "sorted-set", "1.2.0")                                                 \
    X("zrevrangebylex", -4, FB_CMD_READ, 1, 1, 1, 0, "sorted-set", "2.8.9")                                            \
    X("zrevrangebyscore", -4, FB_CMD_READ, 1, 1, 1, 0, "sorted-set", "2.2.0")                                          \
    X("zrevrank", 3, FB_CMD_READ | FB_CMD_FAST, 1, 1, 1, 0, "sorted-set", "2.0.0")                                     \
    X("zscan", -3, FB_CMD_READ, 1, 1, 1, 0, "sorted-set", "2.8.0")                                                     \
    X("zscore", 3, FB_CMD_READ | FB_CMD_FAST, 1, 1, 1, 0, "sorted-set", "1.2.0")                                       \
    X("zunion", -3, FB_CMD_READ, 0, 0, 0, 1, "sorted-set", "6.2.0")                                                    \
    X("zunionstore", -4, FB_CMD_WRITE | FB_KEY_ACCESS, 1, 1, 1, 2, "sorted-set", "2.0.0")                              \
    X("xack", -4, FB_CMD_WRITE | FB_CMD_FAST, 1, 1, 1, 0, "stream", "5.0.0")                                           \
    X("xadd", -5, FB_CMD_WRITE | FB_CMD_FAST, 1, 1, 1, 0, "stream", "5.0.0")                                           \
    X("xautoclaim", -6, FB_CMD_WRITE | FB_CMD_FAST, 1, 1, 1, 0, "stream", "6.2.0")                                     \
    X("xclaim", -6, FB_CMD_WRITE | FB_CMD_FAST, 1, 1, 1, 0, "stream", "5.0.0")                                         \
    X("xdel", -3, FB_CMD_WRITE | FB_CMD_FAST, 1, 1, 1, 0, "stream", "5.0.0")                                           \
    X("xgroup", -2, FB_CMD_WRITE, 2, 2, 1, 0, "stream", "5.0.0")                                                       \
    X("xinfo", -2, FB_CMD_READ, 2, 2, 1, 0, "stream", "5.0.0")                                                         \
    X("xlen", 2, FB_CMD_READ | FB_CMD_FAST | FB_KEY_META, 1, 1, 1, 0, "stream", "5.0.0")                               \
    X("xpending", -3, FB_CMD_READ, 1, 1, 1, 0, "stream", "5.0.0")                                                      \
    X("xrange", -4, FB_CMD_READ, 1, 1, 1, 0, "stream", "5.0.0")                                                        \
    X("xread", -4, FB_CMD_READ | FB_CMD_BLOCKS | FB_KEYS_STREAMS, 0, 0, 0, 0, "stream", "5.0.0")                       \
    X("xreadgroup", -7, FB_CMD_WRITE | FB_CMD_BLOCKS | FB_KEY_ACCESS | FB_KEYS_STREAMS, 0, 0, 0, 0, "stream", "5.0.0") \
    X("xrevrange", -4, FB_CMD_READ, 1, 1, 1, 0, "stream", "5.0.0")                                                     \
    X("xsetid", -3, FB_CMD_WRITE | FB_CMD_FAST, 1, 1, 1, 0, "stream", "5.0.0")                                         \
    X("xtrim", -4, FB_CMD_WRITE, 1, 1, 1, 0, "stream", "5.0.0")                                                        \
    X("append", 3, FB_CMD_WRITE | FB_CMD_FAST, 1, 1, 1, 0, "string", "2.0.0")                                          \
    X("lcs", -3, FB_CMD_READ, 1, 2, 1, 0, "string", "7.0.0")                                                           \
    X("setrange", 4, FB_CMD_WRITE, 1, 1, 1, 0, "string", "2.2.0")

#endif
