/* Looking at the partition of a source from outside, and taking it from an owner that will not come back. */
#include <string.h>

#include "base/err.h"
#include "engine/engine.h"
#include "source/flush.h"

typedef fb_status look(struct fb_session *session, const char *part, struct fb_partition *ret, fb_err *err);

static void copy(char *to, size_t room, const char *from) {
    size_t n = strlen(from);
    n = n < room ? n : room - 1;
    memcpy(to, from, n);
    to[n] = '\0';
}

static fb_status with_session(fb_source *source, look *call, fb_partition_info *ret_info, fb_err *reterr) {
    struct fb_session *session;
    struct fb_partition row;
    fb_status status = source->ops->session_open(source->driver, /* is_writer = */ true, &session, reterr);
    if (status != FB_OK)
        return status;
    status = call(session, source->name, &row, reterr);
    source->ops->session_close(session);
    if (status == FB_NOTFOUND)
        (void)fb_fail(reterr, FB_NOTFOUND, "nobody has ever written behind at source '%s'", source->name);
    if (status != FB_OK)
        return status;
    memset(ret_info, 0, sizeof *ret_info);
    copy(ret_info->owner, sizeof ret_info->owner, row.owner);
    copy(ret_info->addr, sizeof ret_info->addr, row.addr);
    ret_info->epoch = row.epoch;
    ret_info->is_clean = row.is_clean;
    return FB_OK;
}

static fb_status unsupported(const fb_source *source, fb_err *reterr) {
    return fb_fail(reterr, FB_UNSUPPORTED, "nobody can write behind at source '%s'", source->name);
}

fb_status fb_source_partition(fb_source *source, fb_partition_info *ret_info, fb_err *reterr) {
    return source->ops->flush == NULL ? unsupported(source, reterr)
                                      : with_session(source, source->ops->flush->read, ret_info, reterr);
}

fb_status fb_source_take_over(fb_source *source, fb_partition_info *ret_info, fb_err *reterr) {
    return source->ops->flush == NULL ? unsupported(source, reterr)
                                      : with_session(source, source->ops->flush->take_over, ret_info, reterr);
}
