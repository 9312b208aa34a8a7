/* A bind under way: what binding a table (sqlite_catalogue.c) and binding statements of the configuration's own
 * (sqlite_statements.c) share with the frame around them (sqlite_bind.c). */
#ifndef FB_SOURCE_SQLITE_BIND_H
#define FB_SOURCE_SQLITE_BIND_H

#include "source/sqlite.h"

struct fb_sqlite_bind {
    struct fb_driver *driver;
    const fb_keyspace_options *options;
    struct fb_binding *b;
    struct fb_mapping *m;
    fb_err *err;
    fb_remark remark; /* of a review: gets every fault; NULL: the first ends the bind */
    void *remark_user;
    unsigned nfaults; /* remarked so far */
};

/* After something that may have refused: go on when every fault is wanted (FB_OK then), else stop with the first. */
fb_status fb_sqlite_go_on(struct fb_sqlite_bind *bind, fb_status status);
/* Bind, with everything that is remarked on. FB_CONFIG when there was a fault. Frees bind->b on failure. */
fb_status fb_sqlite_bind_all(struct fb_sqlite_bind *bind);

#define fb_sqlite_refuse(bind, ...) fb_mapping_fail((bind)->m, (bind)->err, FB_CONFIG, __VA_ARGS__)
fb_status fb_sqlite_no_memory(struct fb_sqlite_bind *bind);
/* What the catalogue's connection says went wrong: FB_CONFIG or FB_NOMEM. */
fb_status fb_sqlite_db_error(struct fb_sqlite_bind *bind);

/* Note a table that the keyspace reads or writes. */
fb_status fb_sqlite_note_table(struct fb_sqlite_bind *bind, const char *name, bool is_written);
/* Is `part` anywhere in the text, letter case aside? */
bool fb_sqlite_contains(const char *text, const char *part);
struct fb_pattern_part *fb_sqlite_param(struct fb_mapping *m, unsigned param);
/* The mapping's next column. `declared` is the type of its declaration or NULL; a NULL name is FB_NOMEM. */
fb_status fb_sqlite_add_column(struct fb_sqlite_bind *bind, const char *name, const char *declared,
                               struct fb_column **ret_column);

enum fb_class fb_sqlite_class(const char *declared);
/* The table's name as the catalogue has it, to be freed. `what` begins the text of a refusal ("" or "depends: …: "). */
fb_status fb_sqlite_find_table(struct fb_sqlite_bind *bind, const char *what, const char *wanted, char **ret_name);
/* Give a parameter the type that a column of this declaration demands, and refuse columns in which two keys would find
 * the same rows. `what` begins the text. */
fb_status fb_sqlite_type_param(struct fb_sqlite_bind *bind, const char *what, const char *table, const char *column,
                               unsigned param, bool *ret_reads_numbers);

fb_status fb_sqlite_bind_depends(struct fb_sqlite_bind *bind);
fb_status fb_sqlite_bind_table(struct fb_sqlite_bind *bind);
fb_status fb_sqlite_bind_statements(struct fb_sqlite_bind *bind);

#endif
