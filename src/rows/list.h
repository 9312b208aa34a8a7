/* Lists: many rows as one JSON array, within bounds.
 *
 *     struct fb_list list;
 *     status = fb_list_begin(&list, mapping, out);          for each row: status = fb_list_add(&list, row, err);
 *     status = fb_list_end(&list, err);
 *
 * A list without rows is [], which is a value like any other: it is no absence. */
#ifndef FB_ROWS_LIST_H
#define FB_ROWS_LIST_H

#include "rows/mapping.h"

struct fb_list {
    const struct fb_mapping *mapping;
    fb_buf *out;
    size_t begin;
    unsigned nrows;
};

fb_status fb_list_begin(struct fb_list *list, const struct fb_mapping *mapping, fb_buf *out);
/* FB_SOURCE: one row or byte more than a list may have, or a row that cannot be shown. */
fb_status fb_list_add(struct fb_list *list, const struct fb_datum *row, fb_err *reterr);
fb_status fb_list_end(struct fb_list *list, fb_err *reterr);
/* Rows to ask the database for, so that one too many is noticed. */
static inline unsigned fb_list_wanted(const struct fb_mapping *mapping) {
    return mapping->limit > 0 ? mapping->limit : FB_MANY_ROWS_MAX + 1;
}

#endif
