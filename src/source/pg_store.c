/* Storing rows in PostgreSQL: not yet. */
#include "source/pg.h"
void fb_pg_store(struct fb_session *session, struct fb_store_group *const *groups, size_t n) {
    (void)session;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < groups[i]->nitems; k++)
            groups[i]->items[k].status = FB_UNSUPPORTED;
}
