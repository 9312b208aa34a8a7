/* Statements of the configuration's own: named parameters (:id) become those of the database.
 *
 * Texts, quoted names and comments are passed over; what begins and ends them differs from database to database. */
#ifndef FB_SOURCE_NAMED_H
#define FB_SOURCE_NAMED_H

#include "rows/mapping.h"

enum { FB_NAMED_ARGS_MAX = 256 }; /* parameters of one statement */

/* Statement text whose parameters are taken from the key or from a row. */
struct fb_named_sql {
    char *text; /* NULL: there is no such statement */
    struct fb_named_arg {
        bool is_key;    /* else a column */
        unsigned index;
    } *args;
    unsigned nargs;
};

/* What differs. */
struct fb_named_dialect {
    bool is_numbered;      /* $1 … $n, each parameter once; else ? for every use */
    bool has_backquotes;   /* `name` */
    bool has_backslashes;  /* 'it\'s' */
    bool has_hash_comments; /* # to the end of the line */
    bool has_dollar_bodies; /* $tag$ … $tag$ */
    bool nests_comments;
};

/* `what` is the setting the text stands in. FB_CONFIG: a parameter that is none of the pattern's (nor, with
 * takes_columns, a column); FB_NOMEM. */
fb_status fb_named_parse(const struct fb_named_dialect *dialect, const struct fb_mapping *m, const char *what,
                         const char *text, bool takes_columns, struct fb_named_sql *ret_sql, fb_err *err);
void fb_named_finish(struct fb_named_sql *sql);
/* The end of what begins here and is no statement text of its own; NULL: none begins here. */
const char *fb_named_pass_over(const struct fb_named_dialect *dialect, const char *p);
/* Does the statement begin as one that only reads? */
bool fb_named_reads_only(const char *text);

#endif
