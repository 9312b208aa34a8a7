/* A source made of functions: the application's own load, store and delete.
 *
 * A session has no state, so one can be shared by every thread that calls. Values are bytes: nothing here looks into
 * them. */
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "source/source.h"

struct fb_driver {
    fb_callbacks callbacks;
    fb_span added_latency;
};

struct fb_session {
    struct fb_driver *driver;
};

struct fb_binding {
    struct fb_driver *driver;
    fb_kind kind;
};

/* A write: the bytes to store, or a deletion. */
struct fb_plan {
    bool is_delete;
    size_t len;
    char value[];
};

fb_status fb_driver_callbacks_new(const fb_callbacks *callbacks, const fb_source_options *options,
                                  struct fb_driver **ret_driver) {
    struct fb_driver *driver = fb_mem_calloc(1, sizeof *driver);
    if (driver == NULL)
        return FB_NOMEM;
    driver->callbacks = *callbacks;
    driver->added_latency = fb_ms(options->added_latency_ms);
    *ret_driver = driver;
    return FB_OK;
}

static void close_driver(struct fb_driver *driver) { fb_mem_free(driver); }

static fb_status bind(struct fb_driver *driver, const fb_keyspace_options *options, struct fb_binding **ret_binding,
                      char **ret_pattern, fb_err *reterr) {
    const char *as = options->as != NULL ? options->as : "text";
    if (options->table != NULL || options->load != NULL || options->store != NULL || options->del != NULL)
        return fb_fail(reterr, FB_CONFIG, "a source made of functions takes no table and no SQL");
    if (strcmp(as, "text") != 0 && strcmp(as, "json") != 0 && strcmp(as, "hash") != 0)
        return fb_fail(reterr, FB_CONFIG, "as: '%s' is not possible with functions; use text, json or hash", as);
    if (options->write != FB_WRITE_OFF && driver->callbacks.store == NULL)
        return fb_fail(reterr, FB_CONFIG, "the source has no `store` function: set write: off");
    struct fb_binding *binding = fb_mem_alloc(sizeof *binding);
    if (binding == NULL)
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    *binding = (struct fb_binding){driver, strcmp(as, "hash") == 0 ? FB_KIND_HASH : FB_KIND_STRING};
    *ret_binding = binding;
    *ret_pattern = NULL;
    return FB_OK;
}

static void unbind(struct fb_binding *binding) { fb_mem_free(binding); }

/* ---- writes, typed ---- */

static fb_status may_plan(const struct fb_binding *binding, const fb_op *op, fb_err *reterr) {
    const fb_callbacks *callbacks = &binding->driver->callbacks;
    if ((op->flags & ~(unsigned)FB_KEEP_LIFE) != 0)
        return fb_fail(reterr, FB_UNSUPPORTED, "a source made of functions knows no conditions and no old values");
    if (op->kind == FB_OP_DELETE)
        return callbacks->del != NULL ? FB_OK
                                      : fb_fail(reterr, FB_READONLY, "the source has no `del` function");
    if (op->kind == FB_OP_SET)
        return binding->kind == FB_KIND_STRING
                   ? FB_OK
                   : fb_fail(reterr, FB_WRONGTYPE, "Operation against a key holding the wrong kind of value");
    if (op->kind == FB_OP_HSET)
        return binding->kind == FB_KIND_HASH
                   ? FB_OK
                   : fb_fail(reterr, FB_WRONGTYPE, "Operation against a key holding the wrong kind of value");
    return fb_fail(reterr, FB_UNSUPPORTED, "a source made of functions can only be set and deleted");
}

static fb_status plan(const struct fb_binding *binding, const fb_op *op, struct fb_plan **ret_plan, fb_err *reterr) {
    fb_buf fields = FB_BUF_INIT;
    fb_status status = may_plan(binding, op, reterr);
    for (size_t i = 0; status == FB_OK && op->kind == FB_OP_HSET && i < op->nfields; i++)
        status = fb_hash_append(&fields, op->fields[i].name, op->fields[i].value);
    fb_bytes value = op->kind == FB_OP_HSET ? fb_bytes_of(fields.data, fields.len)
                     : op->kind == FB_OP_SET ? op->value
                                             : fb_bytes_of(NULL, 0);
    struct fb_plan *made = status == FB_OK ? fb_mem_alloc(sizeof *made + value.len) : NULL;
    if (status == FB_OK && made == NULL)
        status = fb_fail(reterr, FB_NOMEM, "out of memory");
    if (status == FB_OK) {
        made->is_delete = op->kind == FB_OP_DELETE;
        made->len = value.len;
        if (value.len > 0)
            memcpy(made->value, value.data, value.len);
        *ret_plan = made;
    }
    fb_buf_free(&fields);
    return status;
}

static void plan_free(struct fb_plan *plan) { fb_mem_free(plan); }

/* ---- sessions ---- */

static fb_status session_open(struct fb_driver *driver, bool is_writer, struct fb_session **ret_session,
                              fb_err *reterr) {
    (void)is_writer;
    struct fb_session *session = fb_mem_alloc(sizeof *session);
    if (session == NULL)
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    session->driver = driver;
    *ret_session = session;
    return FB_OK;
}

static void session_close(struct fb_session *session) { fb_mem_free(session); }

static struct fb_value *error_text(const fb_err *err) {
    return fb_value_new(FB_KIND_STRING, err->text, strnlen(err->text, sizeof err->text));
}

/* An outcome the contract does not have. Calling it "absent" would be a guess. */
static fb_status wrong_status(fb_err *err, fb_status status, fb_status instead) {
    return fb_fail(err, instead, "the function returned %s", fb_status_name(status));
}

static void load_one(const struct fb_driver *driver, struct fb_load_item *item) {
    fb_err err = {0};
    fb_buf value = FB_BUF_INIT;
    item->status = driver->callbacks.load(driver->callbacks.user, item->key, &value, &err);
    if (item->status > FB_NOTFOUND)
        item->status = wrong_status(&err, item->status, FB_SOURCE);
    if (item->status == FB_OK) {
        item->value = fb_value_new(item->binding->kind, value.data, value.len);
        if (item->value == NULL)
            item->status = FB_NOMEM;
    } else if (item->status < 0) {
        item->value = error_text(&err);
    }
    fb_buf_free(&value);
}

static void load(struct fb_session *session, struct fb_load_item *items, size_t n) {
    fb_clock_sleep(session->driver->added_latency);
    for (size_t i = 0; i < n; i++)
        load_one(session->driver, &items[i]);
}

static void store_one(const struct fb_driver *driver, struct fb_store_item *item) {
    const fb_callbacks *callbacks = &driver->callbacks;
    fb_err err = {0};
    fb_buf after = FB_BUF_INIT;
    fb_bytes value = fb_bytes_of(item->plan->value, item->plan->len);
    item->status = item->plan->is_delete ? callbacks->del(callbacks->user, item->key, &err)
                                         : callbacks->store(callbacks->user, item->key, value, &after, &err);
    if (item->status > (item->plan->is_delete ? FB_NOTFOUND : FB_OK))
        item->status = wrong_status(&err, item->status, FB_UNKNOWN);
    if (item->status < 0) {
        item->after = error_text(&err);
    } else if (!item->plan->is_delete) {
        bool is_known = after.len > 0 || item->binding->kind == FB_KIND_STRING;
        if (is_known)
            item->after = after.len > 0 ? fb_value_new(item->binding->kind, after.data, after.len)
                                        : fb_value_new(item->binding->kind, value.data, value.len);
        item->after_unknown = item->after == NULL;
    }
    fb_buf_free(&after);
}

/* The error of a group says how far it came: what was stored before it stays stored. */
static void tell_how_far(struct fb_store_item *item, size_t i, size_t n) {
    fb_err err;
    fb_bytes text = fb_value_bytes(item->after);
    (void)fb_fail(&err, item->status, "%zu of %zu writes were done before this one failed: %.*s", i, n, (int)text.len,
                  text.data != NULL ? text.data : "");
    fb_value_unref(item->after);
    item->after = error_text(&err);
}

/* Functions know no transactions: a group of several writes goes on as long as all went well. */
static void store(struct fb_session *session, struct fb_store_group *const *groups, size_t n) {
    fb_clock_sleep(session->driver->added_latency);
    for (size_t g = 0; g < n; g++) {
        fb_status status = FB_OK;
        for (size_t i = 0; i < groups[g]->nitems; i++) {
            struct fb_store_item *item = &groups[g]->items[i];
            if (status < 0) {
                item->status = status; /* not tried */
                continue;
            }
            store_one(session->driver, item);
            status = item->status;
            if (status < 0 && i > 0)
                tell_how_far(item, i, groups[g]->nitems);
        }
    }
}

const struct fb_driver_ops fb_driver_callbacks = {
    .scheme = NULL,
    .on_caller_thread = true,
    .close = close_driver,
    .bind = bind,
    .unbind = unbind,
    .plan = plan,
    .plan_free = plan_free,
    .session_open = session_open,
    .session_close = session_close,
    .load = load,
    .store = store,
};
