/* The scripts' text.
 *
 * The coordination key is a hash that exists only while somebody loads or writes: `l` the lease's token, `d` its
 * deadline, `w:<token>` the deadline of each write in flight, `x` set when writes overlapped. Deadlines are of the
 * Redis server's own clock; what is past them is dropped by whatever script looks next.
 *
 * Short of memory, Redis refuses what needs more and allows what deletes. So everything old goes before anything new
 * is put, a value that cannot be put is left out, and a flag that cannot be set takes the whole coordination key with
 * it: its writers then find their marks gone and only delete. */
#include "store/scripts.h"

/* `writers`: marks of others; `mine`: the caller's; `lease`: the token of a lease that is still good. */
#define PRELUDE                                                                                                        \
    "local K, C, N, token = KEYS[1], KEYS[2], KEYS[3], ARGV[1]\n"                                                      \
    "local t = redis.call('TIME')\n"                                                                                   \
    "local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"                                                              \
    "local lease, due, mine, writers, contended, last, gone = false, 0, false, 0, false, 0, {}\n"                      \
    "local all = redis.call('HGETALL', C)\n"                                                                           \
    "for i = 1, #all, 2 do\n"                                                                                          \
    "  local f, v = all[i], all[i + 1]\n"                                                                              \
    "  if f == 'l' then lease = v elseif f == 'd' then due = tonumber(v) elseif f == 'x' then contended = true\n"      \
    "  elseif tonumber(v) <= now then gone[#gone + 1] = f\n"                                                           \
    "  else\n"                                                                                                         \
    "    last = math.max(last, tonumber(v))\n"                                                                         \
    "    if f == 'w:' .. token then mine = true else writers = writers + 1 end\n"                                      \
    "  end\n"                                                                                                          \
    "end\n"                                                                                                            \
    "if lease and due <= now then gone[#gone + 1] = 'l' gone[#gone + 1] = 'd' lease = false end\n"                     \
    "if contended and not mine and writers == 0 then gone[#gone + 1] = 'x' contended = false end\n"                    \
    "if #gone > 0 then redis.call('HDEL', C, unpack(gone)) end\n"

/* Puts a value of any size, or a negative entry; false when there is no memory for it, and then nothing is there. */
#define PUT                                                                                                            \
    "local function refused(answer) return type(answer) == 'table' and answer.err ~= nil end\n"                        \
    "local function put(what, ttl, first)\n"                                                                           \
    "  local failed\n"                                                                                                 \
    "  if what == 'neg' then\n"                                                                                        \
    "    redis.call('DEL', K)\n"                                                                                       \
    "    failed = refused(redis.pcall('SET', N, '1', 'PX', ttl))\n"                                                    \
    "  elseif what == 'set' then\n"                                                                                    \
    "    redis.call('DEL', N)\n"                                                                                       \
    "    failed = refused(redis.pcall('SET', K, ARGV[first], 'PX', ttl))\n"                                            \
    "  else\n"                                                                                                         \
    "    redis.call('DEL', K, N)\n"                                                                                    \
    "    for i = first, #ARGV, 1000 do\n"                                                                              \
    "      failed = failed or refused(redis.pcall('HSET', K, unpack(ARGV, i, math.min(i + 999, #ARGV))))\n"            \
    "    end\n"                                                                                                        \
    "    redis.call('PEXPIRE', K, ttl)\n"                                                                              \
    "  end\n"                                                                                                          \
    "  if failed then redis.call('DEL', K, N) end\n"                                                                   \
    "  return not failed\n"                                                                                            \
    "end\n"

/* Writes in flight that may no longer put what they have. */
#define CONTEND "if writers > 0 and type(redis.pcall('HSET', C, 'x', '1')) == 'table' then redis.call('DEL', C) end\n"

static const struct {
    const char *name, *text;
} scripts[FB_SCRIPT_COUNT] = {
    /* token, lease in ms, "1" for a refresh */
    [FB_SCRIPT_MISS] = {"MISS", PRELUDE
        "if ARGV[3] ~= '1' then\n"
        "  if redis.call('EXISTS', K) == 1 then return 'HIT' end\n"
        "  if redis.call('EXISTS', N) == 1 then return 'NEG' end\n"
        "end\n"
        "if mine or writers > 0 then return 'BUSY' end\n"
        "if lease and lease ~= token then return 'WAIT' end\n"
        "local d = now + tonumber(ARGV[2])\n"
        "redis.call('HSET', C, 'l', token, 'd', d)\n"
        "redis.call('PEXPIREAT', C, d)\n"
        "return 'LEASE'\n"},
    /* token, set | hash | neg | none, ttl in ms, value or fields and values */
    [FB_SCRIPT_FILL] = {"FILL", PRELUDE PUT
        "if lease ~= token or mine or writers > 0 then return 'REFUSED' end\n"
        "redis.call('DEL', C)\n"
        "if ARGV[2] == 'none' then return 'DROPPED' end\n"
        "return put(ARGV[2], ARGV[3], 4) and 'PUT' or 'DROPPED'\n"},
    /* token, window in ms, hide | old */
    [FB_SCRIPT_BEGIN] = {"BEGIN", PRELUDE
        "if ARGV[3] == 'old' then\n"
        "  for _, key in ipairs({K, N}) do\n"
        "    local left = redis.call('PTTL', key)\n"
        "    if left == -1 or left > tonumber(ARGV[2]) then redis.call('PEXPIRE', key, ARGV[2]) end\n"
        "  end\n"
        "else\n"
        "  redis.call('DEL', K, N)\n"
        "end\n"
        "if lease then redis.call('HDEL', C, 'l', 'd') end\n"
        "local d = now + tonumber(ARGV[2])\n"
        "if writers > 0 then redis.call('HSET', C, 'w:' .. token, d, 'x', '1')\n"
        "else redis.call('HSET', C, 'w:' .. token, d) end\n"
        "redis.call('PEXPIREAT', C, math.max(d, last))\n"
        "return 'BEGUN'\n"},
    /* token, set | hash | neg | none, ttl in ms, value or fields and values */
    [FB_SCRIPT_END] = {"END", PRELUDE PUT
        "local may = mine and writers == 0 and not contended\n"
        "redis.call('HDEL', C, 'w:' .. token, 'l', 'd')\n"
        "if writers == 0 then redis.call('DEL', C) end\n"
        "if may and ARGV[2] ~= 'none' then return put(ARGV[2], ARGV[3], 4) and 'PUT' or 'DROPPED' end\n"
        "redis.call('DEL', K, N)\n" CONTEND
        "return 'DROPPED'\n"},
    /* an empty token, hold in ms */
    [FB_SCRIPT_INVAL] = {"INVAL", PRELUDE
        "local was = redis.call('DEL', K) == 1\n"
        "redis.call('DEL', N)\n"
        "if lease then redis.call('HDEL', C, 'l', 'd') end\n" CONTEND
        "if tonumber(ARGV[2]) > 0 then\n"
        "  local d = now + tonumber(ARGV[2])\n"
        "  redis.call('HSET', C, 'w:', math.max(d, tonumber(redis.call('HGET', C, 'w:') or '0')))\n"
        "  redis.call('PEXPIREAT', C, math.max(d, last))\n"
        "end\n"
        "return was and 'DROPPED' or 'NOTHING'\n"},
    /* an empty token, ms, ANY | NX | XX | GT | LT */
    [FB_SCRIPT_LIFE] = {"LIFE", PRELUDE
        "local left, want, when = redis.call('PTTL', K), tonumber(ARGV[2]), ARGV[3]\n"
        "if left == -2 then return 'NOTHING' end\n"
        "local grows = left >= 0 and want > left\n"
        "if when == 'NX' and left >= 0 or when == 'XX' and left < 0 or when == 'GT' and not grows\n"
        "  or when == 'LT' and left >= 0 and want >= left then return 'UNMET' end\n"
        "if want <= 0 then redis.call('DEL', K) return 'DROPPED' end\n"
        "if not (grows and (mine or writers > 0)) then redis.call('PEXPIRE', K, ARGV[2]) end\n"
        "return 'LIVES'\n"},
    /* token, life in ms. The number that grows with every grant is beside the lock, and not behind the server's clock, so
     * that it grows although it may be evicted. */
    [FB_SCRIPT_LOCK] = {"LOCK",
        "local K, C, token = KEYS[1], KEYS[2], ARGV[1]\n"
        "if redis.call('EXISTS', K) == 1 then return 'WAIT' end\n"
        "local t = redis.call('TIME')\n"
        "local clock = t[1] * 1000000 + t[2]\n"
        "local fence = string.format('%.0f', math.max(clock, tonumber(redis.call('GET', C) or '0') + 1))\n"
        "redis.call('SET', C, fence)\n"
        "redis.call('SET', K, token, 'PX', ARGV[2])\n"
        "return 'LOCKED:' .. fence\n"},
    /* token */
    [FB_SCRIPT_UNLOCK] = {"UNLOCK",
        "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'REFUSED' end\n"
        "redis.call('DEL', KEYS[1])\n"
        "return 'DROPPED'\n"},
};

const char *fb_script_name(enum fb_script script) { return scripts[script].name; }
const char *fb_script_text(enum fb_script script) { return scripts[script].text; }
