/* Storing rows in MariaDB and MySQL: not yet. */
#include "source/mysql.h"

#include "base/err.h"
#include "source/group.h"

void fb_mysql_store(struct fb_session *session, struct fb_store_group *const *groups, size_t n) {
    fb_err err;
    (void)session;
    (void)fb_fail(&err, FB_UNSUPPORTED, "not yet");
    for (size_t i = 0; i < n; i++) {
        fb_group_clear(groups[i]);
        fb_group_refuse(groups[i], FB_UNSUPPORTED, &err);
    }
}
