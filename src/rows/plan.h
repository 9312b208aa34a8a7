/* One write, checked and typed: what a client sent becomes values for columns, or a refusal that names the field.
 *
 * Pure: no database is asked, so what depends on the row (conditions, sums, constraints) is decided by the source. A
 * plan owns all its bytes and is freed as one block. */
#ifndef FB_ROWS_PLAN_H
#define FB_ROWS_PLAN_H

#include "rows/mapping.h"

struct fb_assign {
    unsigned column;
    struct fb_datum value;
    bool adds;                                  /* the value is an addend (changes that are flushed; not ADD, which is one) */
};

struct fb_plan {
    fb_op_kind op;                              /* SET, HSET, HDEL, ADD, DELETE; READ and CHECK have a key only */
    unsigned flags;                             /* FB_COND_*, FB_WANT_OLD, FB_ADD_FLOAT */
    bool replaces;                              /* columns that are not named go back to their defaults */
    bool recreates;                             /* what is there is deleted first (changes that are flushed) */
    struct fb_datum key[FB_PATTERN_PARAMS_MAX]; /* in the order of the pattern's parameters */
    unsigned nkey_fields;                       /* HSET: fields that only repeat the key */
    struct fb_assign *assigns;                  /* in column order, each column once, no key columns;
                                                   ADD: one, its value is the delta (INT, or NUMBER with ADD_FLOAT) */
    unsigned nassigns;
};

/* FB_BADVALUE, FB_WRONGTYPE, FB_NOTANUMBER, FB_UNSUPPORTED, FB_NOMAP, FB_NOMEM. */
fb_status fb_plan_make(const struct fb_mapping *mapping, const fb_op *op, struct fb_plan **ret_plan, fb_err *reterr);
void fb_plan_free(struct fb_plan *plan); /* NULL accepted */

/* The plan of a SET of every column that clients may write, without values: for the text of a statement. */
struct fb_plan fb_plan_of_all(const struct fb_mapping *mapping, struct fb_assign ret_assigns[FB_COLUMNS_MAX]);

/* The sum for an ADD: `now` is the column's value (NULL counts as 0). FB_NOTANUMBER with Redis' words: no number, or
 * beyond its range. */
fb_status fb_plan_add(const struct fb_mapping *mapping, const struct fb_plan *plan, const struct fb_datum *now,
                      struct fb_datum *ret_sum, fb_err *reterr);

#endif
