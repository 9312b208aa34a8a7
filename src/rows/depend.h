/* What a keyspace depends on: "orders(user_id)", the columns of another table that make its key.
 *
 * There are as many columns as the pattern has parameters, in their order. A source replaces the names by those of its
 * catalogue when it binds the keyspace. */
#ifndef FB_ROWS_DEPEND_H
#define FB_ROWS_DEPEND_H

#include "rows/mapping.h"

enum { FB_DEPEND_LEN_MAX = 512 };

/* The items of a list one after another: a comma inside of parentheses may have cut one into two ("orders(a", "b)"),
 * which are joined again. Start with *cursor = the list (or NULL); false at its end. */
bool fb_depend_next(const char *const **cursor, char out[FB_DEPEND_LEN_MAX]);
/* Take one item apart, into mapping->depends. FB_CONFIG when it is none, or has not as many columns as the pattern has
 * parameters. */
fb_status fb_depend_add(struct fb_mapping *mapping, const char *item, fb_err *reterr);
/* A list of a table depends on that table. The columns are those of the parameters. */
fb_status fb_depend_add_own(struct fb_mapping *mapping, const char *table, const int *columns, fb_err *reterr);
/* Put the catalogue's name in the place of the one that was given. FB_NOMEM. */
fb_status fb_depend_rename(char **name, const char *to);
void fb_depend_finish(struct fb_depend *depend);

#endif
