/* Every setting, declared once. The parser, the defaults, the flags, the environment variables, `forebay check`,
 * `--print-config`, CONFIG GET and docs/settings.md come from these rows.
 *
 * X(scope, name, type, default, choices, min, max, member, effect, alias, line, text)
 *   scope    SERVER, STORE, SOURCE, CLASS, KEYSPACE: the section of the file
 *   type     a row of FB_SETTING_TYPES. The times differ in what Redis counts and we store: DURATION is stored in
 *            milliseconds where Redis has seconds, TIME_MS is milliseconds on both sides, TIME_US microseconds
 *   default  as one would write it; NULL: none. REQUIRED stands alone for "must be given"
 *   choices  for CHOICE: "a|b|c", stored as the position; "a=b" is b on the Redis side; "!d" is known and comes later.
 *            for other types: a word that stands for zero or none ("auto", "off"); of TIME_US for -1, as Redis has it
 *   min, max as one would write them; NULL: no limit
 *   member   where it is stored in the scope's struct (conf/conf.h)
 *   effect   RESTART, or LIVE: CONFIG SET and a reload change it while the server runs. A live setting of scope SERVER
 *            is a row of FB_SERVER_LIVE (server/server.h) with the member's name, or is named in cli/live.c
 *   alias    Redis' name of the setting, for CONFIG GET and flags; NULL: Redis has no such setting
 *   line     one line, lower case, no full stop
 *   text     a paragraph */
#ifndef FB_TBL_SETTINGS_H
#define FB_TBL_SETTINGS_H

#define FB_SETTING_REQUIRED "\1"

/* X(type, how it is written) */
#define FB_SETTING_TYPES(X)                                                                                            \
    X(TEXT, "text")                                                                                                    \
    X(BOOL, "true or false")                                                                                           \
    X(CHOICE, "one of the words listed")                                                                               \
    X(EVENTS, "letters as in Redis: KEA, Ex, ...; or none")                                                            \
    X(COUNT, "a whole number without a unit")                                                                          \
    X(DURATION, "a time with its unit: 250ms, 30s, 10m, 1h30m, 7d")                                                    \
    X(TIME_MS, "a time with its unit: 250ms, 30s, 10m, 1h30m, 7d")                                                     \
    X(TIME_US, "a time with its unit: 500us, 10ms, 2s")                                                                \
    X(SIZE, "bytes with their unit: 512b, 64kb, 256mb, 2gb (a kb is 1024 bytes)")                                      \
    X(PERCENT, "a share with its sign: 10%")                                                                           \
    X(FACTOR, "a number with up to two decimals: 1, 0.75")                                                             \
    X(NAMES, "a name or a list of names")                                                                              \
    X(ADDRESS, "HOST:PORT, [IPV6]:PORT or unix:/PATH")                                                                 \
    X(ADDRESSES, "an address or a list of addresses: HOST:PORT, [IPV6]:PORT, unix:/PATH")                              \
    X(SECRET, "where the secret is kept: env:NAME, file:/PATH (mode 0600) or credential:NAME")                         \
    X(URL, "SCHEME:REST as the database's own tools write it")                                                         \
    X(SQL, "an SQL statement with :named parameters")                                                                  \
    X(SHAPE, "json, hash, text or column:NAME")                                                                        \
    X(REFERENCE, "the name of a section of this configuration")

#define FB_SETTINGS(X)                                                                                                 \
    X(SERVER, listen, ADDRESSES, "localhost:6380", NULL, NULL, NULL, listen, RESTART, NULL,                            \
      "where clients connect",                                                                                         \
      "One address or a list. 'localhost' is 127.0.0.1 and, where the machine has it, ::1. Port 0 takes any free "     \
      "port and says which at the start. A host that is not of this machine's loopback needs a password, unless "      \
      "server.protected is false.")                                        \
    X(SERVER, admin, ADDRESS, "127.0.0.1:9380", "off", NULL, NULL, admin, RESTART, NULL,                               \
      "where metrics and health are served over HTTP",                                                                 \
      "/metrics, /livez and /readyz; nothing can be changed there. A host that is not of this machine's loopback "     \
      "needs server.protected to be false. When the default's port is taken, by another Forebay perhaps, a warning "   \
      "says so and the server runs without; an address that was given must be free. Port 0 takes any free one.")       \
    X(SERVER, threads, COUNT, "auto", "auto", "1", "256", threads, RESTART, "io-threads",                              \
      "event loops that serve clients",                                                                                \
      "'auto' is one per processor. Each loop has connections of its own; hits are answered inside it. The threads "   \
      "that ask a source are counted by sources.NAME.pool.")                                                           \
    X(SERVER, memory_max, SIZE, "256mb", NULL, "1mb", "16tb", memory_max, LIVE, "maxmemory",                           \
      "bytes for cached entries with their bookkeeping",                                                               \
      "When it is full, entries leave as server.eviction says. Buffers of connections and of sources come on top; "    \
      "they are bounded by clients_max, query_buffer_max, output_buffer_max and the pools.")                           \
    X(SERVER, eviction, CHOICE, "s3fifo", "s3fifo=allkeys-lfu|lru=allkeys-lru", NULL, NULL, eviction, RESTART,         \
      "maxmemory-policy",                                                                                              \
      "which entry leaves when memory is full",                                                                        \
      "'s3fifo' keeps what is asked for again and lets one-time reads pass (Yang et al., SOSP 2023). 'lru' is the "    \
      "reference to compare with.")                                                                                    \
    X(SERVER, state_dir, TEXT, "auto", "auto", NULL, NULL, state_dir, RESTART, "dir",                                  \
      "directory for what must survive a restart",                                                                     \
      "'auto' is $STATE_DIRECTORY under systemd, else none. A private store ('store.url: auto') has its data there.")   \
    X(SERVER, journal_dir, TEXT, "auto", "auto", NULL, NULL, journal_dir, RESTART, NULL,                               \
      "directory for the journals of write-behind",                                                                    \
      "'auto' is journal/ in server.state_dir. Acknowledged writes that the database does not have yet are here and "  \
      "nowhere else: a local disk that syncs honestly, and no tmpfs.")                                                 \
    X(SERVER, journal_sync, CHOICE, "always", "always|everysec", NULL, NULL, journal_sync, RESTART, "appendfsync",     \
      "when a write-behind is acknowledged",                                                                           \
      "'always': when it is on the disk; nothing that was acknowledged is lost with the machine. 'everysec': when it " \
      "was handed to the system, which is told to sync once a second; a power cut costs the last second.")             \
    X(SERVER, on_fsync_error, CHOICE, "exit", "exit|refuse", NULL, NULL, on_fsync_error, RESTART, NULL,                \
      "what happens when a journal cannot be synced",                                                                  \
      "After a sync that failed the system may have dropped what it was to save, and the next sync says that all is "  \
      "well: so it is never asked again, and only a start, which writes the journal anew, makes it good. 'exit' brings "\
      "what waits to the database, for drain_timeout at most, and exits with 70. 'refuse' goes on without writes "     \
      "(DIRTY) until somebody restarts it.")                                                                           \
    X(SERVER, journal_address, TEXT, "auto", "auto", NULL, NULL, journal_address, RESTART, NULL,                       \
      "the address by which other Forebays name this one",                                                             \
      "Written beside the partitions of write-behind that this process owns; another that is asked to write there "    \
      "forwards to it (server.forward). HOST:PORT, unix:/PATH, or rediss://HOST:PORT for TLS. 'auto' is the first "    \
      "address of server.listen, or of server.tls_listen where there is none; where that is every address of this "    \
      "machine, its host name. Port 0 is nobody's address.")                                                           \
    X(SERVER, forward, BOOL, "true", NULL, NULL, NULL, forward.is_on, RESTART, NULL,                                   \
      "whether requests of rows that another Forebay owns are passed on to it",                                        \
      "Of sources that are written behind: all writes, and reads that no shared store can answer. Without it writes "  \
      "are refused with NOTOWNER, and reads show what the database has (docs/write-behind.md).")                       \
    X(SERVER, forward_user, TEXT, NULL, NULL, NULL, NULL, forward.user, RESTART, NULL,                                 \
      "the user as whom requests are forwarded",                                                                       \
      "The rights of a client are looked at where it is connected; the owner looks at those of this user, who needs "  \
      "all commands and keys that are to be forwarded.")                                                               \
    X(SERVER, forward_password, SECRET, NULL, NULL, NULL, NULL, forward.password, RESTART, NULL,                       \
      "the password of that user",                                                                                     \
      "Given as env:NAME, file:/PATH or credential:NAME. Without it server.password, as it was at the start.")         \
    X(SERVER, forward_tls_ca, TEXT, NULL, NULL, NULL, NULL, forward.tls_ca, RESTART, NULL,                             \
      "the authority that signs the certificates of owners with TLS",                                                  \
      "A PEM file; without it, the authorities that this system trusts.")                                              \
    X(SERVER, forward_timeout, DURATION, "5s", NULL, "100ms", "1h", forward.timeout_ms, RESTART, NULL,                 \
      "how long an owner may be silent while it owes an answer",                                                       \
      "Then its connection is closed and what waits for it is answered NOTOWNER or UNKNOWN. Looked at once a second.")                          \
    X(SERVER, flush_soft_bytes, SIZE, "256mb", NULL, "64kb", "1tb", behind.soft_bytes, RESTART, NULL,                  \
      "pending writes beyond which acknowledgements are held back",                                                    \
      "The nearer flush_hard_bytes, the longer, at most a second.")                                                    \
    X(SERVER, flush_hard_bytes, SIZE, "1gb", NULL, "64kb", "1tb", behind.hard_bytes, RESTART, NULL,                    \
      "pending writes beyond which no more are taken",                                                                 \
      "Of one source, in memory with their bookkeeping; the journal takes about as much of the disk.")                 \
    X(SERVER, flush_soft_age, DURATION, "30s", NULL, "100ms", "30d", behind.soft_ms, RESTART, NULL,                    \
      "age of a pending write beyond which acknowledgements are held back",                                            \
      "The nearer flush_hard_age, the longer, at most a second.")                                                      \
    X(SERVER, flush_hard_age, DURATION, "10m", NULL, "100ms", "30d", behind.hard_ms, RESTART, NULL,                    \
      "age of the oldest pending write beyond which no more are taken",                                                \
      "So long the database may be away before writes are refused with DIRTY.")                                        \
    X(SERVER, flush_dead_max, COUNT, "100", NULL, "1", "1000000", behind.dead_max, RESTART, NULL,                      \
      "rows that a database may refuse in a minute before flushing stops",                                             \
      "So many become dead letters. More, and the table is thought to be at fault: nothing is lost, and nothing flushed.") \
    X(SERVER, flush_on_full, CHOICE, "error", "error|write-through", NULL, NULL, behind.on_full, RESTART, NULL,        \
      "what becomes of write-behind beyond the hard limits",                                                           \
      "'error' answers DIRTY. 'write-through' writes a row to the database itself, unless an older write of it is "    \
      "still pending.")                                                                                                \
    X(SERVER, password, SECRET, NULL, NULL, NULL, NULL, password, LIVE, "requirepass",                                 \
      "what clients must give with AUTH or HELLO",                                                                     \
      "Without it none is asked. Never written into the file: give env:NAME, file:/PATH or credential:NAME (systemd's "\
      "LoadCredential). In the environment, FOREBAY_PASSWORD holds the password itself and FOREBAY_PASSWORD_FILE the " \
      "path of a file with it.")                                                                                       \
    X(SERVER, unmapped, CHOICE, "auto", "auto|error|pass", NULL, NULL, unmapped, RESTART, NULL,                        \
      "what happens to a key that no keyspace matches",                                                                \
      "'error' answers NOMAP. 'pass' hands its commands to the store. 'auto' is 'pass' where there is a store, else "  \
      "'error'. docs/pass-through.md tells what goes where.")                                                          \
    X(SERVER, clients_max, COUNT, "10000", NULL, "1", "1000000", clients_max, LIVE, "maxclients",                      \
      "connections at a time",                                                                                         \
      "One more is told so and closed, as Redis does.")                                                                \
    X(SERVER, bulk_max, SIZE, "8mb", NULL, "1kb", "512mb", bulk_max, LIVE, "proto-max-bulk-len",                       \
      "longest single argument of a command",                                                                          \
      "A longer one is a protocol error and closes the connection. It must fit into query_buffer_max.")                \
    X(SERVER, query_buffer_max, SIZE, "16mb", NULL, "4kb", "1gb", query_buffer_max, LIVE,                              \
      "client-query-buffer-limit",                                                                                     \
      "bytes read ahead for one connection",                                                                           \
      "A connection that sends faster than it is served is read more slowly; a single command that does not fit "      \
      "closes it.")                                                                                                    \
    X(SERVER, output_buffer_max, SIZE, "64mb", NULL, "64kb", "4gb", output_buffer_max, LIVE, NULL,                     \
      "bytes waiting to be sent to one connection",                                                                    \
      "A client that asks and does not read is closed when its replies exceed this.")                                  \
    X(SERVER, notify_keyspace_events, EVENTS, "none", "none", NULL, NULL, notify_events, LIVE, "notify-keyspace-events",\
      "which events of keys are published",                                                                            \
      "Letters as in Redis: K sends to __keyspace@0__:KEY, E to __keyevent@0__:EVENT; g $ h x e choose the events (A is "\
      "all of these), m is a read that found no copy, and f what only a cache has: loaded, refreshed, invalidated, "   \
      "flushed, stale. A does not stand for m and f, which come with every load.")                                     \
    X(SERVER, tracking_table_max_keys, COUNT, "1000000", NULL, "1", "1000000000", tracking_table_max_keys, LIVE,       \
      "tracking-table-max-keys",                                                                                       \
      "keys remembered for clients that cache (CLIENT TRACKING)",                                                      \
      "With one more, a key is chosen at random and its clients are told to forget it. A table that a change made too "\
      "large loses 10,000 keys a second. A key takes about 150 bytes and its length; memory_max does not count "  \
      "them.")                                                                                                         \
    X(SERVER, drain_timeout, DURATION, "30s", NULL, "0s", "1h", drain_timeout_ms, LIVE, "shutdown-timeout",            \
      "how long a stop waits for requests under way",                                                                  \
      "After SIGTERM or SIGINT no connection is accepted; requests already read are answered. A second signal ends "   \
      "the process at once.")                                                                                          \
    X(SERVER, slowlog_slower_than, TIME_US, "10ms", "off", "0us", "10m", slowlog_slower_than_us, LIVE,                 \
      "slowlog-log-slower-than",                                                                                       \
      "what takes at least so long enters the slow log",                                                               \
      "The time of a command from its reading to its reply, waiting for a source included; SLOWLOG GET shows how it "  \
      "was spent. '0us' keeps every command, 'off' none.")                                                             \
    X(SERVER, slowlog_max_len, COUNT, "128", NULL, "0", "100000", slowlog_max_len, LIVE, "slowlog-max-len",            \
      "entries that the slow log keeps",                                                                               \
      "The oldest leaves when a new one comes.")                                                                       \
    X(SERVER, latency_tracking, BOOL, "true", NULL, NULL, NULL, latency_tracking, LIVE, "latency-tracking",            \
      "spread the times of commands in histograms",                                                                    \
      "For LATENCY HISTOGRAM and the latencystats of INFO.")                                                           \
    X(SERVER, latency_monitor, TIME_MS, "off", "off", "1ms", "1h", latency_monitor_ms, LIVE,                           \
      "latency-monitor-threshold",                                                                                     \
      "what takes at least so long is sampled for LATENCY",                                 \
      "'off' samples nothing.")                                                                                        \
    X(SERVER, monitor_values, BOOL, "false", NULL, NULL, NULL, monitor_values, LIVE, NULL,                             \
      "show values in the slow log and to MONITOR",                                                                    \
      "Values are data of others; without this only commands and keys are shown.")                                     \
    X(SERVER, log_format, CHOICE, "auto", "auto|text|logfmt|json", NULL, NULL, log_format, LIVE, NULL,                 \
      "the form of the log's lines on stderr",                                                                         \
      "'text' is the time and a sentence, 'logfmt' and 'json' have all fields. 'auto' is text on a terminal, else "    \
      "logfmt. docs/events.md lists the events.")                                                                      \
    X(SERVER, log_level, CHOICE, "notice", "debug|info=verbose|notice|warning|error", NULL, NULL, log_level, LIVE,     \
      "loglevel",                                                                                                      \
      "the least important events that are logged",                                                                    \
      "'warning' is errors and warnings, 'notice' also what an operator wants to know, 'info' also what happens to "   \
      "single connections. Keys are named at 'debug' only, values never.")                                             \
    X(SERVER, protected, BOOL, "true", NULL, NULL, NULL, is_protected, RESTART, "protected-mode",                      \
      "refuse to listen beyond this machine without a password",                                                       \
      "Whoever can connect can read every mapped table. Set it to false only where something else (a firewall, a "     \
      "private network of a container) keeps strangers away.")                                                         \
    X(SERVER, users_file, TEXT, "off", "off", NULL, NULL, users_file, RESTART, "aclfile",                              \
      "users and what each may do",                                                                                    \
      "A file in the words of Redis' ACL files: 'user alice on #SHA256 ~user:* +@read'. ACL LOAD and SIGHUP read it "  \
      "again, all of it or nothing. Passwords are given as SHA-256 only. Where it defines the user 'default', "        \
      "server.password must not be set. docs/security.md says what differs from Redis.")                               \
    X(SERVER, tls_listen, ADDRESSES, "off", "off", NULL, NULL, tls_listen, RESTART, NULL,                              \
      "where clients connect with TLS",                                                                                \
      "One address or a list, beside listen (which may be an empty list: []). Needs tls_cert and tls_key.")            \
    X(SERVER, tls_cert, TEXT, NULL, NULL, NULL, NULL, tls_cert, RESTART, "tls-cert-file",                              \
      "the certificate of this server",                                                                                \
      "A PEM file: the certificate, then those that lead to the authority. Read again on SIGHUP and FB.RELOAD.")       \
    X(SERVER, tls_key, TEXT, NULL, NULL, NULL, NULL, tls_key, RESTART, "tls-key-file",                                 \
      "the key of the certificate",                                                                                    \
      "A PEM file without a passphrase that only its owner may read (0600, or 0640 where it belongs to root).")        \
    X(SERVER, tls_ca, TEXT, NULL, NULL, NULL, NULL, tls_ca, RESTART, "tls-ca-cert-file",                               \
      "the authority that signs the certificates of clients",                                                          \
      "A PEM file; needed where tls_clients is not off.")                                                              \
    X(SERVER, tls_clients, CHOICE, "off", "off=no|optional|required=yes", NULL, NULL, tls_clients, RESTART,            \
      "tls-auth-clients",                                                                                              \
      "whether clients show a certificate",                                                                            \
      "'off' asks for none, 'optional' checks one that is shown, 'required' refuses clients without one; that also "   \
      "stands for a password where server.protected asks for one.")                                                    \
    X(SERVER, tls_min, CHOICE, "1.2", "1.2|1.3", NULL, NULL, tls_min, RESTART, NULL,                                   \
      "the oldest version of TLS that is spoken",                                                                      \
      "Versions before 1.2 are not there.")                                                                            \
    X(SERVER, unix_mode, TEXT, "0700", NULL, NULL, NULL, unix_mode, RESTART, "unixsocketperm",                         \
      "who may connect to a unix socket",                                                                              \
      "The mode of the socket's file, in octal digits. It has it from its first moment on.")                           \
    X(SERVER, idle_timeout, DURATION, "off", "off", "1s", "365d", idle_timeout_ms, LIVE, "timeout",                    \
      "silence after which a connection is closed",                                                                    \
      "Connections that wait for a source, listen to topics or track keys are not closed. 'off' closes none; vanished "\
      "peers are found by the keepalive of TCP.")                                                                      \
    X(SERVER, client_memory_max, SIZE, "auto", "auto", "1mb", "16tb", client_memory_max, LIVE,                         \
      "maxmemory-clients",                                                                                             \
      "bytes of the buffers of all connections together",                                                              \
      "When they are more, connections with the biggest buffers are closed. 'auto' is a quarter of memory_max, at "    \
      "least 64mb.")                                                                                                   \
                                                                                                                       \
    X(STORE, url, URL, NULL, NULL, NULL, NULL, store_url, RESTART, NULL,                                               \
      "the Redis or Valkey for what is not mapped",                                                                    \
      "redis://[USER@]HOST[:PORT][/DB], rediss:// for TLS, unix:///PATH[?db=N], "                                      \
      "sentinel://HOST[:PORT],HOST…/SERVICE, cluster://HOST[:PORT],HOST…, or auto: a private one, started and "        \
      "stopped with Forebay, that keeps its data in server.state_dir. Keys that no keyspace matches, and "             \
      "commands that Forebay does not carry out, go there unchanged (docs/pass-through.md). It may be down when "      \
      "Forebay starts (docs/store.md).")                                                                                               \
    X(STORE, password, SECRET, NULL, NULL, NULL, NULL, store_password, RESTART, NULL,                                  \
      "the password for the store",                                                                                    \
      "Given as env:NAME, file:/PATH or credential:NAME; goes before one in the URL.")                                 \
    X(STORE, tls_ca, TEXT, NULL, NULL, NULL, NULL, store_tls_ca, RESTART, NULL,                                        \
      "the authority that signs the certificates of a store with TLS",                                                 \
      "A PEM file; without it, the authorities that this system trusts. The certificate must name the host of the URL.")\
    X(STORE, memory_max, SIZE, "256mb", NULL, "1mb", "16tb", store_memory_max, RESTART, NULL,                          \
      "bytes that a private store may hold",                                                                           \
      "Of 'store.url: auto' alone. When it is full, keys with a time to live leave, the least recently used first; "   \
      "others never do, and what needs memory is then refused (OOM).")                                                 \
    X(STORE, connect_timeout, DURATION, "1s", NULL, "100ms", "1m", store_connect_timeout_ms, RESTART, NULL,            \
      "how long a connection to the store may take to be made",                                                        \
      "Login included. Then what waits for it is answered STOREDOWN, and the next attempt is made after a while.")     \
    X(STORE, timeout, DURATION, "5s", NULL, "100ms", "1h", store_timeout_ms, RESTART, NULL,                            \
      "how long the store may be silent while it owes an answer",                                                      \
      "Then its connection is closed and what waits for it is answered STOREDOWN or UNKNOWN. Looked at once a "        \
      "second. Commands that block (BLPOP) wait as long as they say.")                                                 \
                                                                                                                       \
    X(STORE, share, BOOL, "true", NULL, NULL, NULL, store_share, RESTART, NULL,                                        \
      "whether cached rows are shared through the store",                                                              \
      "Values of mapped keys lie in the store plainly, under their own keys, for all Forebays that use it: a hot key " \
      "costs one query for all of them, and a write through one is seen by all (docs/sharing.md). Without it the store "\
      "serves unmapped keys only.")                                                                                    \
    X(STORE, pool, COUNT, "2", NULL, "1", "16", store.pool, RESTART, NULL,                                             \
      "connections for shared rows",                                                                                   \
      "Calls that wait go together in one round trip, so few connections carry much. One more hears of changes.")      \
    X(STORE, share_timeout, DURATION, "250ms", NULL, "10ms", "700ms", store.timeout_ms, RESTART, NULL,                 \
      "how long a shared row is waited for",                                                                           \
      "After that the database is asked instead, and nothing is kept. When it happens again and again the store is left "\
      "alone for a while.")                                                                                            \
    X(STORE, on_down, CHOICE, "strict", "strict|available", NULL, NULL, store.on_down, RESTART, NULL,                  \
      "what writes do while the store cannot be reached",                                                              \
      "'strict' refuses them (STOREDOWN), because other Forebays would go on to serve what they replace. 'available' " \
      "carries them out: others may serve the old row for its TTL at most, until the store is back and is told.")      \
    X(STORE, copies, BOOL, "true", NULL, NULL, NULL, store_copies, RESTART, NULL,                                      \
      "whether this process keeps copies of shared rows",                                                              \
      "They answer without a round trip, and may be 1s older than a write through another Forebay. Without them every hit "\
      "is one of the store, and reads are linearizable.")                                                              \
    X(STORE, copy_ttl, DURATION, "60s", NULL, "1ms", "365d", store.copy_ttl_ms, RESTART, NULL,                         \
      "how long a copy is kept in this process",                                                                       \
      "At most; the end of the row in the store is its end here too.")                                                 \
    X(STORE, sentinel_password, SECRET, NULL, NULL, NULL, NULL, store_sentinel_password, RESTART, NULL,                \
      "the password for the Sentinels of a sentinel:// store",                                                         \
      "Where they ask for one of their own; their user stands in the URL (?sentinel_user=NAME). Given as password is.")\
    X(STORE, sentinel_quorum, BOOL, "false", NULL, NULL, NULL, store_sentinel_quorum, RESTART, NULL,                   \
      "whether most Sentinels of a sentinel:// store must be reached",                                                 \
      "While less than half of those in the URL have answered within 3s, the store counts as down: this machine may "  \
      "be cut off together with a primary that has been replaced elsewhere (docs/store.md).")                         \
    X(SOURCE, url, URL, FB_SETTING_REQUIRED, NULL, NULL, NULL, url, RESTART, NULL,                                     \
      "the database",                                                                                                  \
      "sqlite:PATH, relative to the directory in which Forebay starts; the file must exist. A password does not "      \
      "belong here, see sources.NAME.password.")                                                                       \
    X(SOURCE, password, SECRET, NULL, NULL, NULL, NULL, password, RESTART, NULL,                                       \
      "the password for the user in the URL",                                                                          \
      "Given as env:NAME, file:/PATH or credential:NAME and put into the URL when the source is opened. A file of "    \
      "SQLite has none.")                                                                                              \
    X(SOURCE, pool, COUNT, "4", NULL, "1", "64", options.pool, RESTART, NULL,                                          \
      "connections for reading",                                                                                       \
      "Each has a thread of its own. Writes have one more connection. More connections help while the database "       \
      "answers slowly and has processors to spare; misses that wait are sent together anyway (batch_max).")            \
    X(SOURCE, batch_max, COUNT, "100", NULL, "1", "1000", options.batch_max, RESTART, NULL,                            \
      "keys in one round trip",                                                                                        \
      "A worker takes all misses that wait, up to this number, and asks for them in one query.")                       \
    X(SOURCE, queue_max, COUNT, "10000", NULL, "1024", "1000000", options.queue_max, RESTART, NULL,                    \
      "operations that may wait in front of the source",                                                               \
      "One more is answered SRCBUSY at once: a queue without a bound only makes everyone late. It must take the "      \
      "keys of one MGET (1024 at a time).")                                                                            \
    X(SOURCE, read_timeout, DURATION, "2s", NULL, "1ms", "1h", options.read_timeout_ms, RESTART, NULL,                 \
      "longest time of one round trip that reads",                                                                     \
      "After it the query is interrupted and its readers get SRCTIMEOUT.")                                             \
    X(SOURCE, write_timeout, DURATION, "3s", NULL, "1ms", "4999ms", options.write_timeout_ms, RESTART, NULL,           \
      "longest time of one transaction that writes",                                                                   \
      "After it the writer gets SRCTIMEOUT when the write was certainly not applied, else UNKNOWN. Less than the "     \
      "five seconds for which nothing is cached after an unknown outcome.")                                            \
    X(SOURCE, soft_timeout, DURATION, "200ms", NULL, "1ms", "1h", options.soft_timeout_ms, RESTART, NULL,              \
      "how long a read waits where a value within its grace would do",                                                 \
      "Then it is answered with that value, and the load goes on and refreshes it. Counts for keyspaces with grace; "  \
      "without such a value a read waits for its answer, at most twice the read_timeout.")                             \
    X(SOURCE, breaker_failures, COUNT, "5", NULL, "1", "1000000", options.breaker_failures, RESTART, NULL,             \
      "round trips that must fail before the source is left in peace",                                                 \
      "When so many of the last breaker_window found no connection or no answer in time, and they are half of all or " \
      "more, the breaker opens: operations are answered SRCDOWN at once, or from grace, until one round trip, tried "  \
      "after 100ms and then after longer pauses of up to 2s, comes through.")                                          \
    X(SOURCE, breaker_window, DURATION, "10s", NULL, "10ms", "1h", options.breaker_window_ms, RESTART, NULL,           \
      "how long a failed round trip counts",                                                                           \
      "See breaker_failures.")                                                                                         \
    X(SOURCE, added_latency, DURATION, "0ms", NULL, "0ms", "10s", options.added_latency_ms, RESTART, NULL,             \
      "slept before every round trip",                                                                                 \
      "For demonstrations and tests: makes a local file behave like a database across a network.")                     \
                                                                                                                       \
    X(CLASS, ttl, DURATION, FB_SETTING_REQUIRED, NULL, "1ms", "3650d", ttl_ms, LIVE, NULL,                             \
      "life of the entries of this class",                                                                             \
      "As keyspaces.PATTERN.ttl, for every keyspace of this class that has no ttl of its own. A class with the name "  \
      "of a predefined one takes its place.")                                                                          \
    X(CLASS, jitter, PERCENT, "10%", NULL, "0%", "90%", jitter, LIVE, NULL,                                            \
      "how much shorter an entry may live",                                                                            \
      "As keyspaces.PATTERN.jitter, for every keyspace of this class that has none of its own.")                       \
                                                                                                                       \
    X(KEYSPACE, source, REFERENCE, NULL, NULL, NULL, NULL, source_name, RESTART, NULL,                                 \
      "the source that owns the rows",                                                                                 \
      "A name from the section sources. It may be left out while there is only one source.")                           \
    X(KEYSPACE, db, COUNT, "0", NULL, "0", "0", db, RESTART, NULL,                                                     \
      "the database number of SELECT that its keys live in",                                                           \
      "Keys of other databases are unmapped. In this version keyspaces live in database 0.")                           \
    X(KEYSPACE, table, TEXT, NULL, NULL, NULL, NULL, options.table, RESTART, NULL,                                     \
      "the table whose rows are the values",                                                                           \
      "Columns, types and the primary key come from the database's catalogue; the pattern's parameters are columns "   \
      "that make up a unique key. Either this or load.")                                                               \
    X(KEYSPACE, load, SQL, NULL, NULL, NULL, NULL, options.load, RESTART, NULL,                                        \
      "the query that gives the value",                                                                                \
      "At most one row, unless rows is many; the pattern's parameters are :named. Either this or table.")                                 \
    X(KEYSPACE, store, SQL, NULL, NULL, NULL, NULL, options.store, RESTART, NULL,                                      \
      "the statement that writes the value",                                                                           \
      "Only beside load. Its parameters are the pattern's and the value's fields.")                                    \
    X(KEYSPACE, delete, SQL, NULL, NULL, NULL, NULL, options.del, RESTART, NULL,                                       \
      "the statement that deletes the row",                                                                            \
      "Only beside load. Its parameters are the pattern's.")                                                           \
    X(KEYSPACE, rows, CHOICE, "one", "one|many", NULL, NULL, options.rows, RESTART, NULL,                              \
      "whether a key shows one row, or a list of rows",                                                                \
      "'many' makes the value a JSON array of all rows found, [] when there are none: with table those whose columns " \
      "equal the pattern's parameters, with load whatever the query finds. At most 10000 rows and 8mb. A list is "     \
      "read-only.")                                                                                                    \
    X(KEYSPACE, order, NAMES, NULL, NULL, NULL, NULL, options.order, RESTART, NULL,                                    \
      "the columns by which a list of a table is ordered",                                                             \
      "Each NAME or NAME desc; rows that are alike in these come in the order of the primary key. A load query has an "\
      "ORDER BY of its own.")                                                                                          \
    X(KEYSPACE, limit, COUNT, "none", "none", "1", "10000", options.limit, RESTART, NULL,                              \
      "the first so many rows of a list of a table",                                                                   \
      "'none': all of them. A load query has a LIMIT of its own.")                                                     \
    X(KEYSPACE, depends, NAMES, NULL, NULL, NULL, NULL, options.depends, RESTART, NULL,                                \
      "tables whose rows the value shows, as TABLE(COLUMN, …)",               \
      "A write through Forebay to a row of such a table forgets the copies of the keys that its columns made before "  \
      "and make after. For keyspaces that are only read; a list of a table depends on that table by itself. With "     \
      "several columns write '\"orders(user_id, kind)\"'.")                                                            \
    X(KEYSPACE, as, SHAPE, "json", NULL, NULL, NULL, options.as, RESTART, NULL,                                        \
      "how a row looks to clients",                                                                                    \
      "'json': one JSON object, read with GET. 'hash': a Redis hash of the columns, read with HGETALL and HGET. "      \
      "'column:NAME': the text of one column; a number there can be counted with INCR. 'text': the only column of a "  \
      "load query.")                                                                                                   \
    X(KEYSPACE, class, REFERENCE, NULL, NULL, NULL, NULL, class_name, LIVE, NULL,                                      \
      "the TTL class",                                                                                                 \
      "A name from the section classes, or a predefined one. It gives ttl and jitter; what the keyspace itself says "  \
      "goes first.")                                                                                                   \
    X(KEYSPACE, ttl, DURATION, "1h", NULL, "1ms", "3650d", options.policy.ttl_ms, LIVE, NULL,                          \
      "longest life of an entry",                                                                                      \
      "Counted from the moment its query was sent, so no reader sees data older than this, whoever changed it. Goes "  \
      "before the class's ttl.")                                                                                       \
    X(KEYSPACE, jitter, PERCENT, "10%", NULL, "0%", "90%", options.policy.jitter, LIVE, NULL,                          \
      "how much shorter an entry may live",                                                                            \
      "Each entry draws its share, so that entries loaded together do not expire together. Only ever shorter: 'at "    \
      "most ttl old' is a promise.")                                                                                   \
    X(KEYSPACE, negative_ttl, DURATION, "60s", "off", "1ms", "3650d", options.policy.negative_ttl_ms, LIVE, NULL,      \
      "how long an absent row is remembered as absent",                                                                \
      "Asking again and again for what does not exist then costs the database nothing. 'off' asks every time. "        \
      "Without jitter.")                                                                                               \
    X(KEYSPACE, grace, DURATION, "off", "off", "1ms", "3650d", options.policy.grace_ms, LIVE, NULL,                    \
      "how long past its life a value may stand in",                                                                   \
      "While the source is slow, fails or is down, an expired value is served instead of an error, at most ttl + grace "\
      "old, and never one that a write or an invalidation has removed. 'off': what has expired is not served.")        \
    X(KEYSPACE, grace_down, DURATION, "auto", "auto", "1ms", "3650d", options.policy.grace_down_ms, LIVE, NULL,        \
      "the same while the source is known to be down",                                                                 \
      "Counts while its breaker is open, when it is longer than grace. 'auto': as grace.")                             \
    X(KEYSPACE, refresh_ahead, PERCENT, "off", "off", "1%", "99%", options.policy.refresh_ahead, LIVE, NULL,           \
      "the share of its life after which a value is loaded anew",                                                      \
      "The first to read it past that point gets the copy at once and has it loaded; nobody waits. What is not read "  \
      "is not loaded. The point comes up to a tenth sooner, at random, so that what was loaded together is not "       \
      "refreshed together. Absences and lives that a client has shortened are not refreshed. For read-through only.")  \
    X(KEYSPACE, early_refresh, FACTOR, "off", "off", "0.01", "100", options.policy.early_refresh, LIVE, NULL,          \
      "the same at random: the beta of XFetch",                                                                        \
      "Each read of a copy decides by a draw whether it is loaded anew: when D × beta × −ln(u) is as much as is left " \
      "of its life, D being how long its last load took. 1 is usual; more refreshes earlier. For values that are slow "\
      "to load; beside refresh_ahead or instead of it.")                                                               \
    X(KEYSPACE, read, CHOICE, "read-through", "read-through|cache-aside", NULL, NULL, options.read, RESTART, NULL,     \
      "what a miss does",                                                                                              \
      "'read-through' loads the row, once for all who ask at the same time. 'cache-aside' loads nothing: the "         \
      "application loads and fills under a lease (FB.LEASE, or fb_get_or_lease in the C library).")                                 \
    X(KEYSPACE, write, CHOICE, "off", "off|write-through|write-around|write-behind", NULL, NULL, options.write,       \
      RESTART, NULL,                                                                                                   \
      "what a write does",                                                                                             \
      "'off': the keyspace is read-only. 'write-through': the row is written, then the cache holds what the database " \
      "made of it. 'write-around': the row is written and the cached copy dropped. The source is always first: "       \
      "after a failed write the cached copy is dropped and the row loaded again when it is wanted. 'write-behind': the "\
      "write is acknowledged when it is in a journal on this machine's disk, shown to readers at once, and brought to "\
      "the database within flush_interval, together with others (docs/write-behind.md).")                   \
    X(KEYSPACE, on_set, CHOICE, "auto", "auto|write|ignore|error", NULL, NULL, options.on_set, RESTART, NULL,          \
      "what SET, HSET and their kin mean",                                                                             \
      "'auto' is 'write' where write is on, else 'error'. 'ignore' answers OK and does nothing, which lets unchanged " \
      "cache-aside code run.")                                                                                         \
    X(KEYSPACE, on_del, CHOICE, "invalidate", "invalidate|delete-row|error", NULL, NULL, options.on_del, RESTART,      \
      NULL,                                                                                                            \
      "what DEL means",                                                                                                \
      "'invalidate' drops the cached copy and never touches the row, as cache-aside code expects. 'delete-row' "       \
      "deletes the row and needs write.")                                                                              \
    X(KEYSPACE, write_mode, CHOICE, "merge", "merge|replace", NULL, NULL, options.set_mode, RESTART, NULL,             \
      "what SET does to columns it does not name",                                                                     \
      "'merge' leaves them as they are; 'replace' resets them to their defaults.")                                     \
    X(KEYSPACE, flush_interval, DURATION, "5s", NULL, "10ms", "1h", options.flush_interval_ms, RESTART, NULL,          \
      "write-behind: how long a write waits before it goes to the database",                                           \
      "Counted from the first write of a row that the database does not have. What is written again meanwhile costs "  \
      "nothing more: one row is written once. More waiting rows than a transaction takes (10,000) go at once.")        \
    X(KEYSPACE, flush_batch, COUNT, "1000", NULL, "1", "10000", options.flush_batch, RESTART, NULL,                    \
      "write-behind: rows in one statement",                                                                           \
      "A transaction has as many statements as its rows need.")                                                        \
    X(KEYSPACE, add_columns, NAMES, NULL, NULL, NULL, NULL, options.adds, RESTART, NULL,                               \
      "write-behind: columns that HINCRBY and INCR change by adding",                                 \
      "The database adds what was counted here to what it has then, so that others may count there as well. Without "  \
      "it the sum is stored, as it was when the write was acknowledged.")                                              \
    X(KEYSPACE, hide_columns, NAMES, NULL, NULL, NULL, NULL, options.hide, RESTART, NULL,                              \
      "columns never shown nor written",                                                                               \
      "Password hashes and the like. A column of the key may be hidden too: its value is in the key.")                 \
    X(KEYSPACE, rename_columns, NAMES, NULL, NULL, NULL, NULL, options.rename, RESTART, NULL,                          \
      "names that clients know columns by, as COLUMN=NAME",                                                            \
      "In JSON, as fields of a hash, and in what clients write. The pattern and the other settings name columns as "   \
      "the table does. A load query names its columns with AS.")

/* Settings and sections that are designed and not yet built: named, so that they are not taken for spelling mistakes.
 * X(scope or section, name) */
#define FB_SETTINGS_LATER(X)                                                                                           \
    X(KEYSPACE, during_write)                                                                                          \
    X(KEYSPACE, version)

#endif
