/* Looking at a keyspace, and at what a source has, without serving it. */
#include "base/err.h"
#include "base/mem.h"
#include "engine/engine.h"

fb_status fb_keyspace_review(fb_cache *cache, const fb_keyspace_options *options, fb_remark remark, void *user,
                             fb_err *reterr) {
    const struct fb_driver_ops *ops = options->source->ops;
    if (ops->review == NULL)
        return FB_OK;
    const struct fb_binding **others = fb_mem_calloc(cache->nkeyspaces + 1, sizeof *others);
    size_t n = 0;
    if (others == NULL)
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    for (unsigned i = 0; i < cache->nkeyspaces; i++)
        if (cache->keyspaces[i]->source->ops == ops)
            others[n++] = cache->keyspaces[i]->binding;
    fb_status status = ops->review(options->source->driver, options, others, n, remark, user, reterr);
    fb_mem_free((void *)others);
    return status;
}

fb_status fb_source_tables(fb_source *source, fb_source_visit visit, void *user, fb_err *reterr) {
    if (source->ops->tables == NULL)
        return fb_fail(reterr, FB_UNSUPPORTED, "source '%s' has no tables to list", source->name);
    return source->ops->tables(source->driver, visit, user, reterr);
}
