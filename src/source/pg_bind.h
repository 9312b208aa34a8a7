/* A bind under way: what binding a table (pg_bind.c) and binding statements of the configuration's own
 * (pg_statements.c) share. */
#ifndef FB_SOURCE_PG_BIND_H
#define FB_SOURCE_PG_BIND_H

#include "source/pg.h"

struct fb_pg_bind {
    struct fb_driver *driver;
    const fb_keyspace_options *options;
    struct fb_binding *b;
    struct fb_mapping *m;
    fb_err *err;
    char *table_oid;
    fb_remark remark; /* of a review: gets every fault; NULL: the first ends the bind */
    void *remark_user;
    unsigned nfaults; /* remarked so far */
};

/* After something that may have refused: go on when every fault is wanted (FB_OK then), else stop with the first. */
fb_status fb_pg_go_on(struct fb_pg_bind *bind, fb_status status);
/* Bind, with everything that is remarked on. FB_CONFIG when there was a fault. Frees bind->b on failure. */
fb_status fb_pg_bind_all(struct fb_pg_bind *bind);

#define fb_pg_refuse(bind, ...) fb_mapping_fail((bind)->m, (bind)->err, FB_CONFIG, __VA_ARGS__)
fb_status fb_pg_no_memory(struct fb_pg_bind *bind);
/* A question to the catalogue; *ret is the caller's to clear. Or a fb_pg_catalogue_status with the server's
 * message. */
fb_status fb_pg_ask(struct fb_pg_bind *bind, const char *text, int n, const char *const *values, PGresult **ret);
struct fb_pattern_part *fb_pg_param_part(struct fb_mapping *m, unsigned param);
/* Make room for n columns, then add each. `quoted` and `type_name` are NULL for explicit SQL. */
fb_status fb_pg_columns_begin(struct fb_pg_bind *bind, int n);
fb_status fb_pg_add_column(struct fb_pg_bind *bind, const char *name, const char *quoted, const char *type_name,
                           Oid type, char category, struct fb_column **ret_column);
/* Note a table that the keyspace reads or writes. */
fb_status fb_pg_note_table(struct fb_pg_bind *bind, const char *name, bool is_written);
/* A table by its name: its number, quoted name, kind, and name with its schema, in one row; none when there is no such
 * table. `what` begins the text of a refusal ("", or "depends: …: "). */
fb_status fb_pg_find_table(struct fb_pg_bind *bind, const char *what, const char *wanted, PGresult **ret_result);
/* The columns of a table that may hold keys: name, type, has a collation that tells all texts apart, type as text. */
fb_status fb_pg_key_columns(struct fb_pg_bind *bind, const char *oid, PGresult **ret_result);
/* Give a parameter the type that the column in this row of fb_pg_key_columns demands; refuse one in which two keys could
 * find one row. `what` begins the text. */
fb_status fb_pg_type_param(struct fb_pg_bind *bind, const char *what, const PGresult *columns, int row, unsigned param,
                           bool *ret_is_int);
fb_status fb_pg_bind_depends(struct fb_pg_bind *bind);

fb_status fb_pg_bind_table(struct fb_pg_bind *bind);
fb_status fb_pg_bind_statements(struct fb_pg_bind *bind);

#endif
