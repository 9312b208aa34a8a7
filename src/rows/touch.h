/* What a change of a row touches: the keys of other keyspaces that show it.
 *
 * A list of orders by user shows a row before a write, or after it, or both times: whoever changes the row's user_id
 * changes two lists. So a transaction notes each row it changes as it was before and as it is afterwards, and from the
 * columns that a keyspace depends on comes its key. A row that no key can name (a NULL, a text that the pattern does
 * not take) is in no list. */
#ifndef FB_ROWS_TOUCH_H
#define FB_ROWS_TOUCH_H

#include "rows/mapping.h"

/* Keys, one after another; some perhaps twice. */
struct fb_touched {
    fb_buf keys;
    size_t last; /* where the last one begins */
};
#define FB_TOUCHED_INIT {FB_BUF_INIT, 0}

/* Add what a change of this keyspace's row touches: `before` is NULL for an insert, `after` for a delete, and each may
 * be noted in a call of its own. FB_OK or FB_NOMEM. */
fb_status fb_touch(const struct fb_mapping *mapping, const struct fb_datum *before, const struct fb_datum *after,
                   struct fb_touched *touched);
/* Start with *cursor = 0; true while there is one. The key is borrowed. */
bool fb_touched_next(const struct fb_touched *touched, size_t *cursor, uint16_t *ret_keyspace, fb_bytes *ret_key);
static inline void fb_touched_clear(struct fb_touched *touched) { touched->keys.len = touched->last = 0; }

#endif
