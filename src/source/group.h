/* What storing a group means at every database that has transactions: clearing and refusing answers, judging conditions,
 * blocks, READ and CHECK. How a row is found and written is the adapter's (struct fb_group_ops).
 *
 * One item is: find the row; decide (conditions, sums, counts); write; and when the whole group is written, find it
 * again, because triggers may have changed what was written. The conditions of a block are judged together, before the
 * first of its items writes. Everything happens inside a transaction that the adapter has begun. */
#ifndef FB_SOURCE_GROUP_H
#define FB_SOURCE_GROUP_H

#include "rows/mapping.h"
#include "rows/plan.h"
#include "source/source.h"

struct fb_group_ops {
    const struct fb_mapping *(*mapping)(const struct fb_binding *binding);
    /* The row of the item's key as the transaction sees it; where the item writes or checks, nobody else may change it
     * from here on. FB_OK: the row is valid until the session's next `find`. FB_NOTFOUND, or an error. */
    fb_status (*find)(struct fb_session *session, const struct fb_store_item *item, struct fb_datum *ret_row,
                      fb_err *err);
    /* SET, HSET, HDEL: make the row if it does not exist, else change it. `row` is the one found (NULLs when there was
     * none), and may be written to. FB_CONFLICT when the database changed no row without an error. */
    fb_status (*write)(struct fb_session *session, const struct fb_store_item *item, bool exists, struct fb_datum *row,
                       fb_err *err);
    /* ADD, in the same way; the new number as text in item->number. */
    fb_status (*add)(struct fb_session *session, struct fb_store_item *item, bool exists, struct fb_datum *row,
                     fb_err *err);
    fb_status (*remove)(struct fb_session *session, const struct fb_store_item *item, fb_err *err);
    /* The list of the item's key as the transaction sees it: a new reference. NULL where the adapter has no lists. */
    fb_status (*read_list)(struct fb_session *session, const struct fb_store_item *item, struct fb_value **ret_value,
                           fb_err *err);
    /* As fb_render_row, into a value: a new reference. */
    fb_status (*render)(struct fb_session *session, const struct fb_binding *binding, const struct fb_datum *row,
                        struct fb_value **ret_value, fb_err *err);
};

/* What became of a transaction. */
enum fb_txn_end {
    FB_TXN_DONE,
    FB_TXN_FAILED,  /* rolled back; the connection goes on */
    FB_TXN_LOST,    /* not applied; the connection is gone */
    FB_TXN_UNKNOWN, /* COMMIT was sent, and nobody said what became of it */
};

/* Answers as before the first attempt; `forget` also drops the references of one that was made. */
void fb_group_clear(struct fb_store_group *group);
void fb_group_forget(struct fb_store_group *group);
/* All items of the group get the same refusal. What was read before it stays (SET … NX GET wants it). */
void fb_group_refuse(struct fb_store_group *group, fb_status status, const fb_err *err);
/* FB_OK, or why nothing of this group may stay: FB_UNMET or an error, with the item in decided_by. */
fb_status fb_group_write(const struct fb_group_ops *ops, struct fb_session *session, struct fb_store_group *group,
                         fb_err *err);

/* ---- what adapters that write many groups at once need of it ---- */

static inline bool fb_group_item_writes(const struct fb_store_item *item) {
    return item->plan->op != FB_OP_READ && item->plan->op != FB_OP_CHECK;
}
/* Do the item's conditions hold for this row? `row` is read only when it exists. */
bool fb_group_is_met(const struct fb_mapping *m, const struct fb_plan *plan, bool exists, const struct fb_datum *row);
/* Does this write change nothing, because there is nothing to assign? */
bool fb_group_is_idle(const struct fb_mapping *m, const struct fb_plan *plan, bool exists);
/* HSET: fields that were NULL or in no row; HDEL: fields that were set; 0 for the others. */
int64_t fb_group_count_fields(const struct fb_plan *plan, bool exists, const struct fb_datum *row);
/* Fill `after` from the row found again, or from none. A row that cannot be shown is no reason to take a write back; the
 * next load says what is wrong with it. FB_OK or FB_NOMEM. */
fb_status fb_group_take_after(const struct fb_group_ops *ops, struct fb_session *session, struct fb_store_item *item,
                              bool exists, const struct fb_datum *row, fb_err *err);

/* Note a row that an item changes, as it was (`before`) and as it is when all is written (`after`); either may be NULL.
 * Only for keyspaces that others depend on. FB_OK or FB_NOMEM. */
fb_status fb_group_touch(const struct fb_mapping *m, const struct fb_datum *before, const struct fb_datum *after,
                         struct fb_store_group *group, fb_err *err);
/* Everything is written and noted: hide what depends on it. Before COMMIT is sent; an error takes the group back. */
fb_status fb_group_prepare(struct fb_store_group *group, fb_err *err);

/* An error's text as a value, or NULL when there is no memory left even for that. */
struct fb_value *fb_error_value(const fb_err *err);

#endif
