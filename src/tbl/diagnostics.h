/* The codes of what can be wrong with a configuration. `forebay check --json` and docs/diagnostics.md come from these
 * rows; a code that is not among them fails an assertion.
 *
 * X(code, severity, stage, text)
 *   severity  ERROR: it is not served. WARNING: it is, and may surprise (an error with --strict)
 *   stage     SYNTAX: the file as text; SCHEMA: what the settings say; SOURCES: what the databases say
 *   text      when it is said, for the reference page */
#ifndef FB_TBL_DIAGNOSTICS_H
#define FB_TBL_DIAGNOSTICS_H

/* X(stage, what it asks) */
#define FB_DIAGNOSTIC_STAGES(X)                                                                                        \
    X(SYNTAX, "syntax")                                                                                                \
    X(SCHEMA, "schema")                                                                                                \
    X(SOURCES, "sources")

#define FB_DIAGNOSTICS(X)                                                                                              \
    X("file", ERROR, SYNTAX, "the file cannot be opened or read, or is too long")                                      \
    X("encoding", ERROR, SYNTAX, "a byte is not UTF-8")                                                                \
    X("tab", ERROR, SYNTAX, "a line is indented with a tab")                                                           \
    X("control", ERROR, SYNTAX, "a control character stands in the file")                                              \
    X("yaml", ERROR, SYNTAX, "the file is not YAML, or uses a part of YAML that a configuration does not need")        \
    X("anchor", ERROR, SYNTAX, "an anchor or an alias of YAML stands in the file")                                     \
    X("tag", ERROR, SYNTAX, "a tag of YAML stands in the file")                                                        \
    X("too-large", ERROR, SYNTAX, "the file has more values than a configuration can have")                            \
    X("depth", ERROR, SYNTAX, "the file is nested more deeply than a configuration can be")                            \
    X("key", ERROR, SYNTAX, "a key is a list or a mapping")                                                            \
    X("repeated", ERROR, SCHEMA, "a setting or a name is given twice")                                                 \
    X("unknown-section", ERROR, SCHEMA, "a section is not known; the nearest name is offered")                         \
    X("unknown-setting", ERROR, SCHEMA, "a setting is not known; the nearest name is offered")                         \
    X("unknown-variable", WARNING, SCHEMA, "a FOREBAY_ variable of the environment is no setting")                     \
    X("later", ERROR, SCHEMA, "a setting or value is known and not in this version")                                   \
    X("type", ERROR, SCHEMA, "a value is not of its setting's type")                                                   \
    X("unit", ERROR, SCHEMA, "a number lacks its unit")                                                                \
    X("range", ERROR, SCHEMA, "a number is outside its limits")                                                        \
    X("choice", ERROR, SCHEMA, "a word is none of those a setting takes")                                              \
    X("address", ERROR, SCHEMA, "an address to listen on is malformed")                                                \
    X("url", ERROR, SCHEMA, "a source's URL is malformed")                                                             \
    X("secret", ERROR, SCHEMA, "a secret stands in the open, or cannot be had from where it is kept")                  \
    X("memory", ERROR, SCHEMA, "there was no memory for a value")                                                      \
    X("name", ERROR, SCHEMA, "a name of a source or class is malformed, or too much like another")                     \
    X("too-many", ERROR, SCHEMA, "a section has more members than one instance serves")                                \
    X("missing", ERROR, SCHEMA, "a setting that is needed is not given")                                               \
    X("conflict", ERROR, SCHEMA, "settings exclude each other")                                                        \
    X("unprotected", ERROR, SCHEMA, "others than this machine could connect without a password")                       \
    X("named-file", ERROR, SCHEMA, "a file that a setting names (users, certificate, key) is not right")               \
    X("unknown-source", ERROR, SCHEMA, "a keyspace names a source that is not described")                              \
    X("unknown-class", ERROR, SCHEMA, "a keyspace names a TTL class that is neither described nor predefined")         \
    X("pattern", ERROR, SCHEMA, "a keyspace's pattern is malformed")                                                   \
    X("ambiguous", ERROR, SCHEMA, "two patterns match one key, which is shown")                                        \
    X("shared-table", ERROR, SCHEMA, "two keyspaces hold rows of one table")                                           \
    X("unused", WARNING, SCHEMA, "no keyspace uses a source or class")                                                 \
    X("no-keyspaces", ERROR, SCHEMA, "nothing is mapped")                                                              \
    X("cache", ERROR, SOURCES, "the cache itself cannot be opened")                                                    \
    X("source", ERROR, SOURCES, "a source cannot be used as it is described")                                          \
    X("source-down", ERROR, SOURCES, "a source cannot be reached; exit status 69 when nothing else is wrong")          \
    X("keyspace", ERROR, SOURCES,                                                                                      \
      "a keyspace does not fit its source: no such table or column (the nearest name is offered), a key that is not "  \
      "unique, a type or collation in which two keys are one, a statement that cannot be prepared")                    \
    X("scan", WARNING, SOURCES, "a statement reads a whole table for every key, for want of an index")                 \
    X("insert", WARNING, SOURCES, "rows can be changed and not inserted: a column that clients do not see needs a value")\
    X("cascade", WARNING, SOURCES, "deleting a row changes rows of another keyspace (ON DELETE …)")                    \
    X("trigger", WARNING, SOURCES, "writing a row fires a trigger that changes rows of another keyspace")               \
    X("depends", WARNING, SOURCES, "a query shows a table that another keyspace writes, and does not depend on it")

#endif
