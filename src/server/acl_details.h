/* How a grant keeps its patterns; acl.c and acl_rules.c only. */
#ifndef FB_SERVER_ACL_DETAILS_H
#define FB_SERVER_ACL_DETAILS_H

#include "server/acl.h"

/* By position, as the text moves while it grows. */
struct fb_acl_pattern {
    uint32_t at, len;
    unsigned modes;
};

static inline const struct fb_acl_pattern *fb_acl_patterns(const fb_buf *list, size_t *ret_count) {
    *ret_count = list->len / sizeof(struct fb_acl_pattern);
    return (const struct fb_acl_pattern *)(const void *)list->data;
}
static inline fb_bytes fb_acl_text(const struct fb_grant *grant, const struct fb_acl_pattern *pattern) {
    return pattern->len > 0 ? fb_bytes_of(grant->text.data + pattern->at, pattern->len) : fb_bytes_of("", 0);
}

#endif
