/* A bind under way: what binding a table (mysql_bind.c) and binding statements of the configuration's own
 * (mysql_statements.c) share. */
#ifndef FB_SOURCE_MYSQL_BIND_H
#define FB_SOURCE_MYSQL_BIND_H

#include "source/mysql.h"

enum { FB_MYSQL_ANSWERS_MAX = 8 }; /* columns of a question to the catalogue */

/* A table as the catalogue has it. */
struct fb_mysql_table {
    char *schema, *name;
    bool is_view, is_transactional;
};

struct fb_mysql_bind {
    struct fb_driver *driver;
    const fb_keyspace_options *options;
    struct fb_binding *b;
    struct fb_mapping *m;
    fb_err *err;
    fb_remark remark; /* of a review: gets every fault; NULL: the first ends the bind */
    void *remark_user;
    unsigned nfaults; /* remarked so far */
    struct fb_mysql_table table;
    unsigned loose;   /* a bit for each parameter that a column of text stands for in what it depends on */
};

/* After something that may have refused: go on when every fault is wanted (FB_OK then), else stop with the first. */
fb_status fb_mysql_go_on(struct fb_mysql_bind *bind, fb_status status);
/* Bind, with everything that is remarked on. FB_CONFIG when there was a fault. Frees bind->b on failure. */
fb_status fb_mysql_bind_all(struct fb_mysql_bind *bind);

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
/* "database.table", to be freed; NULL when out of memory. */
char *fb_mysql_full_name(const char *schema, const char *table);
/* Note a table that the keyspace reads or writes. */
fb_status fb_mysql_note_table(struct fb_mysql_bind *bind, const char *schema, const char *table, bool is_written);
/* A table by its name, to be freed with fb_mysql_free_table. `what` begins the text of a refusal ("", "depends: …: "). */
fb_status fb_mysql_find_table(struct fb_mysql_bind *bind, const char *what, const char *wanted,
                              struct fb_mysql_table *ret_table);
void fb_mysql_free_table(struct fb_mysql_table *table);
/* Give a parameter the type that a column demands; refuse one that is no key. `what` begins the text. */
fb_status fb_mysql_type_param(struct fb_mysql_bind *bind, const char *what, const char *column, fb_bytes declared,
                              unsigned param, enum fb_param_type *ret_type);
fb_status fb_mysql_bind_depends(struct fb_mysql_bind *bind);
/* When the columns of load are known: rows are compared exactly by us or not at all. */
fb_status fb_mysql_check_depends(struct fb_mysql_bind *bind);

fb_status fb_mysql_bind_table(struct fb_mysql_bind *bind);
fb_status fb_mysql_bind_statements(struct fb_mysql_bind *bind);

#endif
