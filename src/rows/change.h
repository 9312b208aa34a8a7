/* What is still to be done to one row: the form in which a write waits in the journal, is shown to readers meanwhile, and
 * goes to the database later.
 *
 * A change names its columns as the table does, so that it outlives the process and a new configuration; its values are
 * typed as a plan's are. Two changes of one row merge into one that does what both did, the later over the earlier:
 *
 *     MERGE     the named columns get these values; a row that is not there is made
 *     REPLACE   the same, and all other columns that clients may write go back to their defaults
 *     RECREATE  the row was deleted and made again: all other columns are at their defaults
 *     DELETE    no row
 *
 * A column may be *added to*: then `addend` is what the database adds to what it has, and `value` what readers are shown
 * until then, which is the sum as it was when the write was acknowledged. Everything else is absolute, so that showing a
 * change twice, or on a row that has it already, changes nothing.
 *
 * What readers are shown is what the database will show for integers, booleans, texts and bytes. It may write decimals,
 * dates and JSON in another way than the client did, fill in defaults, and triggers do as they like: `fb_change_is_certain`
 * tells the two apart, and a value that was not certain is loaded again once it is in the database.
 *
 * Encoded bytes come from a disk: fb_change_parse takes nothing for granted. */
#ifndef FB_ROWS_CHANGE_H
#define FB_ROWS_CHANGE_H

#include "base/value.h"
#include "rows/plan.h"

enum fb_change_kind { FB_CHANGE_MERGE = 1, FB_CHANGE_REPLACE = 2, FB_CHANGE_RECREATE = 3, FB_CHANGE_DELETE = 4 };

struct fb_change_column {
    fb_bytes name;          /* the table's */
    struct fb_datum value;
    bool adds;
    int64_t addend;         /* when `adds` */
};

/* Borrows from the encoded bytes. */
struct fb_change {
    enum fb_change_kind kind;
    unsigned ncolumns;
    fb_bytes columns;
};

/* False when these bytes are no change. After true, every fb_change_next is sound. */
bool fb_change_parse(fb_bytes encoded, struct fb_change *ret_change);
/* Start with *cursor = 0; true while there is a column. */
bool fb_change_next(const struct fb_change *change, size_t *cursor, struct fb_change_column *ret_column);

/* The change a plan makes (SET, HSET, HDEL, DELETE; ADD with `sum`, the new value). `adds`: of an ADD of a whole number,
 * the database is to add. Appended to `out`. FB_NOMEM. */
fb_status fb_change_of_plan(const struct fb_mapping *mapping, const struct fb_plan *plan, const struct fb_datum *sum,
                            bool adds, fb_buf *out);
/* One change that does what `older` and then `newer` do. Appended to `out`; both have been parsed. FB_NOMEM. */
fb_status fb_change_merge(const struct fb_change *older, const struct fb_change *newer, fb_buf *out);

/* The plan that brings it to the database (source/flush.h): HSET, SET or DELETE, with `replaces`, `recreates`, and the
 * addends of columns that are added to. It owns its bytes. FB_CONFIG: a column is gone, or cannot be written any more (the text names it); FB_NOMAP, FB_NOMEM. */
fb_status fb_change_plan(const struct fb_mapping *mapping, fb_bytes key, const struct fb_change *change,
                         struct fb_plan **ret_plan, fb_err *reterr);

/* For people: a JSON object of what it does to which columns. Appended to `out`. FB_NOMEM. */
fb_status fb_change_describe(const struct fb_change *change, fb_buf *out);

/* ---- shown on top of a row (change_show.c) ---- */

/* Does it say by itself what the row shows, whatever the row is? */
bool fb_change_is_whole(const struct fb_mapping *mapping, const struct fb_change *change);
/* Will the database show the row as fb_change_show does? `exists`: it is known that the change finds a row. */
bool fb_change_is_certain(const struct fb_mapping *mapping, const struct fb_change *change, bool exists);
/* The value of a row after the change: appended to `out`. `base` is the value before it; NULL: there is none, or the change
 * is whole. Columns of a new row that nobody gave are shown as NULL until the database has filled them in.
 * FB_OK; FB_NOTFOUND: no value (deleted, or the one column shown is NULL); FB_CONFIG: a column that is shown is gone;
 * FB_SOURCE: the base is no value of this mapping; FB_NOMAP, FB_NOMEM. */
fb_status fb_change_show(const struct fb_mapping *mapping, fb_bytes key, const struct fb_change *change,
                         const fb_bytes *base, fb_buf *out, fb_err *reterr);

#endif
