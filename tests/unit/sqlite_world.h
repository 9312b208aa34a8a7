/* What the tests of the SQLite adapter share: a database file with a driver, a writer and a reader, and calls that
 * bind, load or store one thing and show the answer as text. */
#ifndef FB_TESTS_SQLITE_WORLD_H
#define FB_TESTS_SQLITE_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "source/source.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

struct world {
    char dir[64], path[128];
    sqlite3 *db; /* the test's own connection */
    struct fb_driver *driver;
    struct fb_session *writer, *reader;
    struct fb_binding *bound[16];
    unsigned nbound;
    fb_err err;
};

extern const struct fb_driver_ops *const ops;

void world_open(struct world *w);
void world_open_with(struct world *w, const fb_source_options *options);
void world_close(struct world *w);

/* The test's own SQL: run it, or ask for one value as text ("NULL" for NULL and for no row; good until the next call).
 */
void world_sql(struct world *w, const char *text);
const char *world_ask(struct world *w, const char *text);

/* Bind, and keep the binding until the world closes. */
struct fb_binding *world_bind(struct world *w, const fb_keyspace_options *options);
struct fb_binding *world_bind_table(struct world *w, const char *pattern, const char *table, const char *as);

/* A value as text: a string as it is, a hash as "name=value name=value", "none". Good until the next call. */
const char *world_shown(const struct fb_value *v);
/* Load one key; NULL for `value` looks at the status only. */
void world_load(struct fb_session *session, const struct fb_binding *b, fb_bytes key, fb_status status,
                const char *value);
void expect_load(struct world *w, const struct fb_binding *b, const char *key, fb_status status, const char *value);

struct answer {
    fb_status status;
    char after[2000], before[2000], number[64]; /* a refused plan has its text in `after`, as a refused store has */
    bool after_unknown;
    int64_t count;
};

/* Plan and store one operation. */
struct answer world_store(struct world *w, const struct fb_binding *b, fb_op op);
struct answer world_set(struct world *w, const struct fb_binding *b, const char *key, const char *value,
                        unsigned flags);
struct answer world_hset(struct world *w, const struct fb_binding *b, const char *key, const char *name,
                         const char *value, unsigned flags);
struct answer world_add(struct world *w, const struct fb_binding *b, const char *key, const char *field,
                        const char *delta, unsigned flags);
struct answer world_delete(struct world *w, const struct fb_binding *b, const char *key);
/* Plan several operations that must fit, and store them as groups of the given sizes (ending with 0) in one call. */
void world_store_groups(struct world *w, const struct fb_binding *const *b, const fb_op *operations,
                        const size_t *sizes, struct answer *answers);
/* The status and, when it is not FB_OK, the text of an answer. */
void expect_answer(const struct answer *a, fb_status status, const char *after);

#endif
