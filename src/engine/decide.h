/* Deciding a transaction without the database: what write-behind does instead of asking it.
 *
 * Under the marks of its keys nobody else changes their rows, so conditions, sums and counts can be answered from what the
 * rows show; what a write leaves is the row as it will show, and a change for the journal. Answers are those that a driver
 * would give (source/group.c), but for an HSET of a row that nobody has read: its fields count as not new, since asking for
 * the number would cost every such write a read, and refuse it while the database is away. */
#ifndef FB_ENGINE_DECIDE_H
#define FB_ENGINE_DECIDE_H

#include "engine/engine.h"

/* What is known of a row while it is decided. */
struct fb_known {
    const struct fb_keyspace *keyspace;
    fb_bytes key;
    fb_status shows;         /* FB_OK: `value`; FB_NOTFOUND: nothing; FB_MISS: not known */
    struct fb_value *value;  /* a reference */
    struct fb_value *change; /* what the transaction does to it; a reference; NULL: nothing */
    bool is_certain;         /* the database will show the value as it is here; set to true by the caller */
};

/* Does the answer to this item need the row? */
bool fb_decide_asks(const struct fb_store_item *item);
/* Must the row be read before the items first, next[first], … of one key can be decided, when it is not known? `of` says
 * for each item of the group which row is its own. */
bool fb_decide_needs(const struct fb_store_group *group, struct fb_known *const *of, const struct fb_known *row);

/* Decide all items in their order: their answers, the group's, and what becomes of the rows. Where the group's status is
 * not FB_OK, `change` of every row is to be forgotten. */
void fb_decide(struct fb_store_group *group, struct fb_known *const *of);

#endif
