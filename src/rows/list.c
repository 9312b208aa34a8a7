/* A list under construction. */
#include "rows/list.h"

#include "base/err.h"

fb_status fb_list_begin(struct fb_list *list, const struct fb_mapping *mapping, fb_buf *out) {
    *list = (struct fb_list){mapping, out, out->len, 0};
    return fb_buf_append(out, "[", 1);
}

fb_status fb_list_add(struct fb_list *list, const struct fb_datum *row, fb_err *reterr) {
    const struct fb_mapping *m = list->mapping;
    if (list->nrows == FB_MANY_ROWS_MAX)
        return fb_mapping_fail(m, reterr, FB_SOURCE, "the list has more than %d rows; give it a limit",
                               FB_MANY_ROWS_MAX);
    if (list->nrows++ > 0 && fb_buf_append(list->out, ",", 1) != FB_OK)
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    fb_status status = fb_render_element(m, row, list->out, reterr);
    if (status == FB_OK && list->out->len - list->begin >= FB_MANY_BYTES_MAX)
        status = fb_mapping_fail(m, reterr, FB_SOURCE, "the list has more than %u bytes; give it a limit, or fewer columns",
                                 FB_MANY_BYTES_MAX);
    return status;
}

fb_status fb_list_end(struct fb_list *list, fb_err *reterr) {
    return fb_buf_append(list->out, "]", 1) == FB_OK ? FB_OK : fb_fail(reterr, FB_NOMEM, "out of memory");
}
