/* A bind under way: what binding a table (mysql_bind.c) and binding statements of the configuration's own
 * (mysql_statements.c) share. */
#ifndef FB_SOURCE_MYSQL_BIND_H
#define FB_SOURCE_MYSQL_BIND_H

#include "source/mysql.h"

enum { FB_MYSQL_ANSWERS_MAX = 8 }; /* columns of a question to the catalogue */

struct fb_mysql_bind {
    struct fb_driver *driver;
    const fb_keyspace_options *options;
    struct fb_binding *b;
    struct fb_mapping *m;
    fb_err *err;
    char *schema, *table; /* as the catalogue has them */
};

#define fb_mysql_refuse(bind, ...) fb_mapping_fail((bind)->m, (bind)->err, FB_CONFIG, __VA_ARGS__)
fb_status fb_mysql_no_memory(struct fb_mysql_bind *bind);
/* An error of the catalogue's connection, as one of the keyspace. */
fb_status fb_mysql_bind_failed(struct fb_mysql_bind *bind, fb_status status);
/* A question to the catalogue whose answers are texts; `take` gets each row of them and may end it with an error. */
typedef fb_status fb_mysql_take(struct fb_mysql_bind *bind, const fb_bytes *row, void *user);
fb_status fb_mysql_ask(struct fb_mysql_bind *bind, const char *text, unsigned n, const char *const *values,
                       unsigned nanswers, fb_mysql_take *take, void *user);
struct fb_pattern_part *fb_mysql_param_part(struct fb_mapping *m, unsigned param);
/* Add columns as the server describes those of a prepared statement. */
fb_status fb_mysql_add_columns(struct fb_mysql_bind *bind, struct fb_mysql_statement *statement);
/* Note a table that the keyspace reads or writes; a second note of the same one is ignored. */
fb_status fb_mysql_note_table(struct fb_mysql_bind *bind, const char *schema, const char *table);

fb_status fb_mysql_bind_table(struct fb_mysql_bind *bind);
fb_status fb_mysql_bind_statements(struct fb_mysql_bind *bind);

#endif
