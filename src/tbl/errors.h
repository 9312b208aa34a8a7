/* Every error that the server itself says, declared once: what it sends comes from here, docs/errors.md is printed from
 * here, and tests/wire/test_errors.py provokes each. What sources and keyspaces refuse has its words in
 * <forebay/status.h>.
 *
 * X(id, word, text, meaning, help)
 *   word     the first word on the wire, which clients decide by
 *   text     the rest, a format of printf; Redis' words exactly where the case is Redis'
 *   meaning  when it is said
 *   help     what to do about it; may be empty */
#ifndef FB_TBL_ERRORS_H
#define FB_TBL_ERRORS_H

#define FB_ERROR_MAP(X)                                                                                                \
    /* what a request is */                                                                                            \
    X(UNKNOWN_COMMAND, "ERR", "unknown command '%.*s', with args beginning with: %s", "no command has this name",      \
      "look for a misspelling; `COMMAND LIST` names all there are")                                                    \
    X(UNKNOWN_SUBCOMMAND, "ERR", "unknown subcommand '%.*s'. Try %s HELP.", "the command has no such second word",     \
      "the command's HELP lists what it has")                                                                          \
    X(SUBCOMMAND_ARITY, "ERR", "unknown subcommand or wrong number of arguments for '%.*s'. Try %s HELP.",             \
      "the second word takes fewer or more arguments", "the command's HELP shows its form")                            \
    X(ARITY, "ERR", "wrong number of arguments for '%s' command", "arguments are missing, or there are too many",      \
      "docs/commands.md shows the form of each command")                                                               \
    X(SYNTAX, "ERR", "syntax error", "a word is no option here, or its value is missing",                              \
      "docs/commands.md shows the form of each command")                                                               \
    X(INTEGER, "ERR", "value is not an integer or out of range",                                                       \
      "an argument is not a whole number of 64 bits in its usual form",                                                \
      "send digits, without blanks, a plus sign or leading zeros")                                                     \
    X(RANGE, "ERR", "value is out of range", "a number is larger than can be meant", "send a smaller number")          \
    X(RANGE_BETWEEN, "ERR", "value is out of range, value must between %lld and %lld",                                 \
      "a number is outside of what can be meant", "send a number between the two")                                     \
    X(FLOAT, "ERR", "value is not a valid float", "an argument is not a decimal number",                               \
      "send digits, with a point or an exponent")                                                                      \
    X(INFINITE_SUM, "ERR", "increment would produce NaN or Infinity",                                                  \
      "INCRBYFLOAT by an infinity", "send digits, with a point or an exponent")                                        \
    X(INFINITE, "ERR", "value is NaN or Infinity",                                                                     \
      "HINCRBYFLOAT by an infinity", "send digits, with a point or an exponent")                                       \
    X(CURSOR, "ERR", "invalid cursor", "what SCAN is to go on from did not come from SCAN",                            \
      "begin with 0, then send what the last answer began with")                                                       \
    X(DECREMENT, "ERR", "decrement would overflow", "the smallest whole number cannot be subtracted", "use INCRBY")    \
    X(TIMEOUT_INTEGER, "ERR", "timeout is not an integer or out of range", "a time to wait is no whole number",        \
      "send milliseconds")                                                                                             \
    X(TIMEOUT_NEGATIVE, "ERR", "timeout is negative", "a time to wait is below zero", "send 0 or more milliseconds")   \
    X(EXPIRE_TIME, "ERR", "invalid expire time in '%s' command",                                                       \
      "a life is not above zero, or ends after the end of time", "send a life above zero")                             \
    X(EXPIRE_OPTION, "ERR", "Unsupported option %.*s", "EXPIRE knows NX, XX, GT and LT", "leave the word out")         \
    X(EXPIRE_NX, "ERR", "NX and XX, GT or LT options at the same time are not compatible",                             \
      "conditions that exclude each other", "choose one")                                                              \
    X(EXPIRE_GT_LT, "ERR", "GT and LT options at the same time are not compatible",                                    \
      "conditions that exclude each other", "choose one")                                                              \
    X(DATABASE, "ERR", "DB index is out of range", "SELECT of a database that is not there",                           \
      "there are 16; keyspaces live in database 0")                                                                    \
    X(REPLY_TOO_LONG, "ERR", "the reply would be longer than output_buffer_max allows; ask for less at a time",        \
      "one answer would fill the memory of many connections",                                                          \
      "use SCAN instead of KEYS, or fewer keys at a time; or raise `server.output_buffer_max`")                        \
    /* keys and rows */                                                                                                \
    X(NO_KEYSPACE, "NOMAP", "key '%.*s' matches no keyspace and no store is configured%s",                             \
      "no pattern of the configuration fits the key; a pattern that was probably meant is named",                      \
      "`FB.EXPLAIN key` tells why; describe the keyspace in the configuration")                                        \
    X(NO_SUCH_KEYSPACE, "NOMAP", "there is no keyspace '%.*s'; FB.KEYSPACES lists them",                               \
      "an FB command was asked about a keyspace that is not there", "name it by its pattern")                          \
    X(NEAR_KEYSPACE, "NOMAP", "there is no keyspace '%.*s' (did you mean '%.100s'?)",                                  \
      "the same, and one with a similar name is", "name it by its pattern")                                            \
    X(WRONG_TYPE, "WRONGTYPE", "Operation against a key holding the wrong kind of value",                              \
      "a command of hashes on a keyspace of strings, or the other way",                                                \
      "the keyspace's setting `as` says what it holds")                                                                \
    X(NOT_ON_ROWS, "ERR", "'%s' is not supported on mapped key '%.*s' (keyspace '%s', as %s)",                         \
      "lists, sets, streams and the like: a row is not this kind of data", "keep such keys in a Redis of their own")   \
    X(MIXED_KEYS, "ERR", "'%s' cannot use mapped key '%.*s' and unmapped key '%.*s' together",                         \
      "one of the keys is a row, another lies in the store, and the command would have to see both",                   \
      "use keys of one kind; MGET, MSET, DEL, UNLINK, EXISTS and TOUCH may have both")                                 \
    X(SPLIT_LARGE, "ERR", "at most %d mapped keys at a time beside unmapped ones",                                     \
      "a request with keys of both kinds has too many", "ask for less at a time")                                      \
    X(SCRIPT_KEY, "ERR",                                                                                               \
      "script touches mapped key '%.*s' (keyspace '%s'); scripts run in the store and cannot see it",                  \
      "EVAL, FCALL and their kin with a mapped key", "read the row before, and give the script what it needs")         \
    X(STORE_DOWN, "STOREDOWN", "store '%s' cannot be reached: %s",                                                     \
      "a key or command goes to the store, which is not there; certainly nothing was changed",                         \
      "see whether the Redis runs that `store.url` names; mapped keys do not need it")                                 \
    X(CROSS_SLOT, "CROSSSLOT", "Keys in request don't hash to the same slot",                                          \
      "the store is a Cluster, and a command or transaction names keys of different slots",                            \
      "give keys that belong together the same {tag}; MGET, MSET, DEL, UNLINK, EXISTS and TOUCH are split")            \
    X(STORE_UNKNOWN, "UNKNOWN", "store '%s' was lost before it answered: %s",                                          \
      "a command that writes was sent to the store, and nobody knows whether it was carried out",                      \
      "read before retrying")                                                                                          \
    X(PEER_DOWN, "NOTOWNER", "the Forebay that owns these rows cannot be asked: %s",                                   \
      "a key of a source whose write-behind another Forebay owns, which is not there; certainly nothing was changed",  \
      "start the owner again, or let another take the source over (`forebay takeover`)")                               \
    X(PEER_UNKNOWN, "UNKNOWN", "the Forebay that owns these rows was lost before it answered: %s",                     \
      "a write was sent to the owner, and nobody knows whether it was carried out",                                    \
      "read before retrying")                                                                                          \
    X(PEER_TWICE, "NOTOWNER", "another Forebay took this one for the owner of these rows, which is %s",                    \
      "two Forebays take each other for the owner of a partition: for a second, when it has just changed",             \
      "try again; if it stays, see whether two of them have the same server.journal_address")                          \
    X(MIXED_OWNERS, "ERR", "this transaction names rows that different Forebays own",                                  \
      "WATCH and EXEC of sources whose write-behind has different owners, or of one that changed hands meanwhile",      \
      "use a transaction for each source")                                                                             \
    X(NO_LFU, "ERR",                                                                                                   \
      "An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching "        \
      "between policies at runtime LRU and LFU data will take some time to adjust.",                                   \
      "OBJECT FREQ while the cache evicts by order of use", "ask OBJECT IDLETIME")                                     \
    X(LFU, "ERR",                                                                                                      \
      "An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between "           \
      "policies at runtime LRU and LFU data will take some time to adjust.",                                           \
      "OBJECT IDLETIME while the cache evicts by frequency of use", "ask OBJECT FREQ")                                 \
    X(WARM_LIMIT, "ERR", "limit must be between 1 and %d", "FB.WARM with a limit that one request cannot have",        \
      "warm in several requests")                                                                                      \
    X(NO_CONFIG, "ERR", "this server was started without a configuration that could be read again",                    \
      "FB.RELOAD in a program that was configured without a file", "restart it with what is to change")                \
    /* what Forebay does not do */                                                                                     \
    X(NO_SCRIPTS, "ERR", "Forebay does not run scripts: '%s' needs a Redis of its own",                                \
      "EVAL, FUNCTION, SCRIPT LOAD and their kin", "send the commands themselves, in MULTI if they belong together")   \
    X(NOT_SUPPORTED, "ERR", "'%s' is not supported by Forebay",                                                        \
      "persistence, replication and inspection of a Redis are not there",                                              \
      "see the list at the end of docs/commands.md")                                                                   \
    X(CLUSTER, "ERR", "This instance has cluster support disabled", "CLUSTER and what belongs to it",                  \
      "connect as to a single Redis")                                                                                  \
    X(ACL_FILE, "ERR", "'acl|%s' is not supported by Forebay: the users file is yours; edit it, then ACL LOAD",        \
      "ACL SETUSER, DELUSER and SAVE", "edit the users file, then ACL LOAD")                                           \
    X(CONFIG_FILE, "ERR", "the configuration file is yours: Forebay does not rewrite it", "CONFIG REWRITE",            \
      "edit the file, then FB.RELOAD")                                                                                 \
    X(EMBEDDED, "ERR", "this server is stopped by the program that it is part of",                                     \
      "SHUTDOWN where no process is Forebay's own", "stop that program")                                               \
    X(NO_SHUTDOWN, "ERR", "No shutdown in progress.", "SHUTDOWN ABORT; a stop that has begun cannot be taken back",    \
      "")                                                                                                              \
    X(FUNCTION_FLUSH, "ERR", "FUNCTION FLUSH only supports SYNC|ASYNC option", "another word behind FUNCTION FLUSH",   \
      "leave it out")                                                                                                  \
    X(SCRIPT_FLUSH, "ERR", "SCRIPT FLUSH only support SYNC|ASYNC option", "another word behind SCRIPT FLUSH",          \
      "leave it out")                                                                                                  \
    X(WAITAOF, "ERR", "WAITAOF cannot be used when numlocal is set but appendonly is disabled.",                       \
      "there is no append-only file to wait for",                                                                      \
      "ask for 0 local copies; a write is answered when the database has it")                                          \
    /* who may */                                                                                                      \
    X(NO_AUTH, "NOAUTH", "Authentication required.", "the server asks for a password first",                           \
      "AUTH, or a password in the client's settings")                                                                  \
    X(HELLO_NO_AUTH, "NOAUTH",                                                                                         \
      "HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> "    \
      "option can be used to authenticate the client and select the RESP protocol version at the same time",           \
      "HELLO without AUTH where a password is asked for", "give HELLO the user and the password")                      \
    X(WRONG_PASSWORD, "WRONGPASS", "invalid username-password pair or user is disabled.",                              \
      "no user has this name and password, or it is off", "check both; after five in a row the connection is closed")    \
    X(NO_PASSWORD, "ERR",                                                                                              \
      "AUTH <password> called without any password configured for the default user. Are you sure your "                \
      "configuration is correct?", "a password was sent, and none is asked for",                                       \
      "leave it out, or set `server.requirepass`")                                                                     \
    X(GUESSING, "ERR", "too many wrong passwords from this address; try again in %d seconds",                          \
      "the address is not listened to for a while; the connection is closed", "wait")                                  \
    X(NO_PERMISSION, "NOPERM", "this user has no permissions to run the '%s' command",                                 \
      "the rules of the user do not grant the command", "`ACL WHOAMI`, then the users file")                           \
    X(NO_PERMISSION_KEY, "NOPERM", "this user has no permissions to access one of the keys used as arguments",         \
      "the rules of the user do not grant a key", "`ACL WHOAMI`, then the users file")                                 \
    X(NO_PERMISSION_CHANNEL, "NOPERM",                                                                                 \
      "this user has no permissions to access one of the channels used as arguments",                                  \
      "the rules of the user do not grant a channel", "`ACL WHOAMI`, then the users file")                             \
    X(NO_LONGER, "NOPERM",                                                                                             \
      "ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no "   \
      "longer allowed for the following reason: %s",                                                                   \
      "the rules of the user were changed between a request behind MULTI and EXEC",                                    \
      "`ACL WHOAMI`, then the users file")                                                                             \
    X(USERS_FILE, "ERR", "%s", "ACL LOAD: what is wrong with the users file and where; the old users stay",            \
      "correct the line, then ACL LOAD")                                                                               \
    X(NO_USER, "ERR", "User '%.*s' not found", "ACL DRYRUN for a user that is not there", "ACL USERS lists them")      \
    X(NO_COMMAND, "ERR", "Command '%.*s' not found", "ACL DRYRUN of a command that is not there",                      \
      "look for a misspelling")                                                                                        \
    X(NO_CATEGORY, "ERR", "Unknown category '%.*s'", "ACL CAT of a category that is not there",                        \
      "ACL CAT alone lists them")                                                                                      \
    X(GENPASS, "ERR",                                                                                                  \
      "ACL GENPASS argument must be the number of bits for the output password, a positive number up to %d",           \
      "a password of so many bits cannot be made", "ask for fewer bits")                                               \
    X(CLIENTS_MAX, "ERR", "max number of clients reached",                                                             \
      "there are as many connections as `server.clients_max` allows; this one is closed",                              \
      "use a pool of connections; or raise the setting")                                                               \
    /* connections */                                                                                                  \
    X(PROTOCOL, "NOPROTO", "unsupported protocol version", "HELLO with something else than 2 or 3", "send 2 or 3")     \
    X(PROTOCOL_INTEGER, "ERR", "Protocol version is not an integer or out of range",                                   \
      "HELLO with something else than a number", "send 2 or 3")                                                        \
    X(HELLO_OPTION, "ERR", "Syntax error in HELLO option '%.*s'", "HELLO knows AUTH and SETNAME",                      \
      "leave the word out")                                                                                            \
    X(CLIENT_TEXT, "ERR", "%s cannot contain spaces, newlines or special characters.",                                 \
      "a name that would break the lines of CLIENT LIST", "use printable characters without blanks")                   \
    X(CLIENT_INFO, "ERR", "Unrecognized option '%.*s'", "CLIENT SETINFO knows LIB-NAME and LIB-VER", "leave it out")   \
    X(CLIENT_UNBLOCK, "ERR", "CLIENT UNBLOCK reason should be TIMEOUT or ERROR", "another word behind the number",     \
      "use one of them")                                                                                               \
    X(CLIENT_TYPE, "ERR", "Unknown client type '%.*s'", "TYPE is normal, pubsub, replica or master",                   \
      "use one of them")                                                                                               \
    X(CLIENT_ID, "ERR", "Invalid client ID", "CLIENT LIST ID with something that is no number of a client",            \
      "use the numbers that CLIENT LIST shows")                                                                        \
    X(CLIENT_ID_ZERO, "ERR", "client-id should be greater than 0",                                                     \
      "CLIENT KILL ID with something that is no number of a client", "use the numbers that CLIENT LIST shows")         \
    X(NO_CLIENT, "ERR", "No such client", "CLIENT KILL of an address nobody is connected from",                        \
      "it has gone already; CLIENT LIST shows who is there")                                                           \
    X(NO_USER_NAMED, "ERR", "No such user '%.*s'", "CLIENT KILL USER of a user that is not there",                     \
      "ACL USERS lists them")                                                                                          \
    X(CLIENT_PAUSE, "ERR", "CLIENT PAUSE mode must be WRITE or ALL", "another word behind the time",                   \
      "use one of them")                                                                                               \
    X(SUBSCRIBED, "ERR",                                                                                               \
      "Can't execute '%s%s%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this "      \
      "context", "in RESP2 a subscriber's connection is for messages", "use another connection, or RESP3 (HELLO 3)")   \
    X(SUBSCRIPTIONS, "ERR", "too many subscriptions: at most %d of one connection, with names of at most %d bytes",    \
      "the memory that one connection may take has an end", "subscribe to a pattern, or from several connections")     \
    /* client-side caching */                                                                                          \
    X(REDIRECT_TWICE, "ERR", "A client can only redirect to a single other client", "REDIRECT was given twice",        \
      "give it once")                                                                                                  \
    X(REDIRECT_ABSENT, "ERR", "The client ID you want redirect to does not exist",                                     \
      "nobody is connected under this number", "take it from CLIENT ID of that connection")                            \
    X(PREFIX_BCAST, "ERR", "PREFIX option requires BCAST mode to be enabled", "prefixes are for BCAST", "add BCAST")   \
    X(PREFIX_OVERLAP, "ERR",                                                                                           \
      "Prefix '%.*s' overlaps with %s prefix '%.*s'. Prefixes for a single client must not overlap.",                  \
      "one invalidation would be sent twice", "leave the longer one out")                                              \
    X(PREFIXES, "ERR", "too many prefixes: at most %d of one client and %d of all",                                    \
      "the memory for prefixes has an end", "use shorter and fewer prefixes")                                          \
    X(BCAST_SWITCH, "ERR",                                                                                             \
      "You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with "    \
      "a different mode.", "tracking is on in the other mode", "CLIENT TRACKING OFF first")                            \
    X(BCAST_OPT, "ERR", "OPTIN and OPTOUT are not compatible with BCAST", "modes that exclude each other",             \
      "choose one")                                                                                                    \
    X(OPTIN_OPTOUT, "ERR", "You can't specify both OPTIN mode and OPTOUT mode", "modes that exclude each other",       \
      "choose one")                                                                                                    \
    X(OPT_SWITCH, "ERR",                                                                                               \
      "You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with "    \
      "a different mode.", "tracking is on in the other mode", "CLIENT TRACKING OFF first")                            \
    X(CACHING, "ERR",                                                                                                  \
      "CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",       \
      "there is nothing to opt in to or out of", "CLIENT TRACKING ON OPTIN or OPTOUT first")                           \
    X(CACHING_YES, "ERR", "CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",                  \
      "the mode is OPTOUT", "use NO")                                                                                  \
    X(CACHING_NO, "ERR", "CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",                   \
      "the mode is OPTIN", "use YES")                                                                                  \
    /* transactions */                                                                                                 \
    X(NESTED, "ERR", "MULTI calls can not be nested", "MULTI behind MULTI", "EXEC or DISCARD first")                   \
    X(NO_MULTI_EXEC, "ERR", "EXEC without MULTI", "there is nothing to carry out", "MULTI first")                      \
    X(NO_MULTI_DISCARD, "ERR", "DISCARD without MULTI", "there is nothing to discard", "MULTI first")                  \
    X(WATCH_IN_MULTI, "ERR", "WATCH inside MULTI is not allowed",                                                      \
      "what is read inside MULTI comes too late to be watched", "WATCH before MULTI")                                  \
    X(NOT_IN_MULTI, "ERR", "Command not allowed inside a transaction",                                                 \
      "the command answers with more or less than one reply, or waits", "send it outside of MULTI")                    \
    X(MONITOR_IN_MULTI, "ERR", "MONITOR isn't allowed for DENY BLOCKING client", "MONITOR between MULTI and EXEC",     \
      "send it outside of MULTI")                                                                                      \
    X(DISCARDED, "EXECABORT", "Transaction discarded because of previous errors.",                                     \
      "a request behind MULTI was refused; nothing was carried out", "see the error of that request")                  \
    X(DISCARDED_EXEC, "EXECABORT", "Transaction discarded because of: %s",                                             \
      "EXEC itself was refused; nothing was carried out", "the text says why; begin again with MULTI")                 \
    X(ROLLED_BACK, "EXECABORT", "Transaction rolled back: %s%s%s%.*s",                                                 \
      "a request of the transaction failed and the database has none of them; which, and why",                         \
      "see the named request")                                                                                         \
    X(MIXED_MULTI, "ERR",                                                                                              \
      "'%s' cannot be in this transaction: all its keys are rows, or all are keys of one database of the store",       \
      "MULTI or WATCH with keys of both kinds; nobody could carry out both or none",                                   \
      "use a transaction for each kind")                                                                               \
    X(QUEUE_FULL, "ERR", "MULTI holds at most %d requests", "the memory that one connection may take has an end",      \
      "use several transactions")                                                                                      \
    X(QUEUE_LARGE, "ERR", "the requests between MULTI and EXEC are larger than query_buffer_max allows",               \
      "the same for their bytes", "use several transactions; or raise `server.query_buffer_max`")                      \
    X(PLAN_LONG, "ERR", "EXEC prepares at most %d operations", "one transaction at the source must have an end",       \
      "use several transactions")                                                                                      \
    X(WATCHES, "ERR", "a connection watches at most %d keys", "the memory that one connection may take has an end",    \
      "watch fewer keys")                                                                                              \
    /* looking in */                                                                                                   \
    X(GETKEYS_COMMAND, "ERR", "Invalid command specified", "COMMAND GETKEYS of a command that is not there",           \
      "look for a misspelling")                                                                                        \
    X(GETKEYS_NONE, "ERR", "The command has no key arguments", "COMMAND GETKEYS of a command without keys", "")        \
    X(GETKEYS_ARITY, "ERR", "Invalid number of arguments specified for command",                                       \
      "COMMAND GETKEYS of an incomplete request", "give the whole request")                                            \
    X(CONFIG_SET, "ERR", "CONFIG SET failed (possibly related to argument '%.*s') - %s",                               \
      "the value does not fit, or the setting cannot change while running; nothing changed",                           \
      "the text says which and why")                                                                                   \
    X(CONFIG_UNKNOWN, "ERR", "Unknown option or number of arguments for CONFIG SET - '%.*s'",                          \
      "no setting has this name; nothing changed", "CONFIG GET * lists them")                                          \
    X(SLOWLOG_COUNT, "ERR", "count should be greater than or equal to -1",                                             \
      "SLOWLOG GET with something else than a count", "send a count, or -1 for all")                                   \
    X(NO_SAMPLES, "ERR", "No samples available for event '%.*s'",                                                      \
      "LATENCY GRAPH of an event that has not been slow, or is not known",                                             \
      "LATENCY LATEST lists the events that have samples")                                                             \
    /* no request at all: the connection is closed behind these */                                                     \
    X(MULTIBULK_LENGTH, "ERR", "Protocol error: invalid multibulk length",                                             \
      "behind `*` stands no number, or more arguments than one request may have",                                      \
      "the client or what stands between is faulty")                                                                   \
    X(BULK_LENGTH, "ERR", "Protocol error: invalid bulk length",                                                       \
      "behind `$` stands no number, or more than `server.value_max`",                                                  \
      "the client or what stands between is faulty; or the setting is too small")                                      \
    X(STRANGER_MULTIBULK, "ERR", "Protocol error: unauthenticated multibulk length",                                   \
      "before AUTH requests may have few arguments", "AUTH first")                                                     \
    X(STRANGER_BULK, "ERR", "Protocol error: unauthenticated bulk length", "before AUTH arguments may be short",       \
      "AUTH first")                                                                                                    \
    X(EXPECTED_BULK, "ERR", "Protocol error: expected '$', got '%c'", "an argument does not begin as one",             \
      "the client is faulty")                                                                                          \
    X(EXPECTED_END, "ERR", "Protocol error: expected CRLF after a bulk string",                                        \
      "an argument is longer or shorter than it says", "the client is faulty")                                         \
    X(LINE_TOO_BIG, "ERR", "Protocol error: too big inline request", "a request typed as a line has no end",           \
      "use the protocol's own form for long requests")                                                                 \
    X(QUOTES, "ERR", "Protocol error: unbalanced quotes in request",                                                   \
      "a request typed as a line has a quote that does not end, or goes on behind one", "close it")                    \
    X(REQUEST_TOO_BIG, "ERR", "Protocol error: too big request",                                                       \
      "a request does not fit into `server.query_buffer_max`", "send less at a time; or raise the setting")

enum fb_error {
#define FB_ERROR_ENUM_(id, ...) FB_ERROR_##id,
    FB_ERROR_MAP(FB_ERROR_ENUM_)
#undef FB_ERROR_ENUM_
    FB_ERROR_COUNT_,
};

/* One array for each text, so that the compiler sees the format where it is used and checks the arguments. */
#define FB_ERROR_TEXT_(id, word, text, ...) static const char FB_TEXT_##id[] __attribute__((unused)) = text;
FB_ERROR_MAP(FB_ERROR_TEXT_)
#undef FB_ERROR_TEXT_

#endif
