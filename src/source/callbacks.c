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

/* The bytes to store, or a deletion, or a look. */
struct fb_plan {
    fb_op_kind op;
    unsigned flags;
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
    /* A deletion may ask for what was there (GETDEL): it is loaded first. */
    unsigned known = op->kind == FB_OP_DELETE ? FB_WANT_OLD | FB_COND_PRESENT : FB_KEEP_LIFE;
    if (op->kind == FB_OP_READ || op->kind == FB_OP_CHECK)
        return FB_OK;
    if ((op->flags & ~known) != 0)
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
        made->op = op->kind;
        made->flags = op->flags;
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

static fb_status load_value(const struct fb_binding *binding, fb_bytes key, struct fb_value **ret_value, fb_err *err) {
    const fb_callbacks *callbacks = &binding->driver->callbacks;
    fb_buf value = FB_BUF_INIT;
    fb_status status = callbacks->load(callbacks->user, key, &value, err);
    if (status > FB_NOTFOUND)
        status = wrong_status(err, status, FB_SOURCE);
    if (status == FB_OK) {
        *ret_value = fb_value_new(binding->kind, value.data, value.len);
        if (*ret_value == NULL)
            status = fb_fail(err, FB_NOMEM, "out of memory");
    }
    fb_buf_free(&value);
    return status;
}

static void load_one(struct fb_load_item *item) {
    fb_err err = {0};
    item->status = load_value(item->binding, item->key, &item->value, &err);
    if (item->status < 0)
        item->value = error_text(&err);
}

static void load(struct fb_session *session, struct fb_load_item *items, size_t n) {
    fb_clock_sleep(session->driver->added_latency);
    for (size_t i = 0; i < n; i++)
        load_one(&items[i]);
}

/* READ and CHECK load; nothing keeps the row from changing right afterwards. */
static fb_status look(struct fb_store_item *item, const struct fb_hash_key *hash_key, fb_err *err) {
    struct fb_value *value = NULL;
    fb_status status = load_value(item->binding, item->key, &value, err);
    if (item->plan->op == FB_OP_READ || status < 0) {
        item->before = value;
        return status;
    }
    uint64_t found = fb_value_fingerprint(hash_key, value != NULL ? value->kind : FB_KIND_NONE, fb_value_bytes(value));
    fb_value_unref(value);
    return found == item->expected ? FB_OK : FB_UNMET;
}

static fb_status delete_one(struct fb_store_item *item, fb_err *err) {
    const fb_callbacks *callbacks = &item->binding->driver->callbacks;
    bool asks = item->plan->flags & FB_WANT_OLD, must_be = item->plan->flags & FB_COND_PRESENT;
    fb_status status = asks ? load_value(item->binding, item->key, &item->before, err) : FB_OK;
    if (status == FB_OK)
        status = callbacks->del(callbacks->user, item->key, err);
    if (status > FB_NOTFOUND)
        status = wrong_status(err, status, FB_UNKNOWN);
    return status == FB_NOTFOUND && must_be ? FB_UNMET : status;
}

static fb_status store_value(struct fb_store_item *item, fb_err *err) {
    const fb_callbacks *callbacks = &item->binding->driver->callbacks;
    fb_buf after = FB_BUF_INIT;
    fb_bytes value = fb_bytes_of(item->plan->value, item->plan->len);
    fb_status status = callbacks->store(callbacks->user, item->key, value, &after, err);
    if (status > FB_OK)
        status = wrong_status(err, status, FB_UNKNOWN);
    bool is_known = after.len > 0 || item->binding->kind == FB_KIND_STRING;
    if (status == FB_OK && is_known)
        item->after = after.len > 0 ? fb_value_new(item->binding->kind, after.data, after.len)
                                    : fb_value_new(item->binding->kind, value.data, value.len);
    item->after_unknown = status == FB_OK && item->after == NULL;
    fb_buf_free(&after);
    return status;
}

static void carry_out(struct fb_store_item *item, const struct fb_hash_key *hash_key) {
    fb_err err = {0};
    switch (item->plan->op) {
    case FB_OP_READ:
    case FB_OP_CHECK:
        item->status = look(item, hash_key, &err);
        break;
    case FB_OP_DELETE:
        item->status = delete_one(item, &err);
        break;
    default:
        item->status = store_value(item, &err);
    }
    if (item->status < 0)
        item->after = error_text(&err);
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

static bool is_look(const struct fb_store_item *item) {
    return item->plan->op == FB_OP_READ || item->plan->op == FB_OP_CHECK;
}

static size_t count_writes(const struct fb_store_group *group) {
    size_t n = 0;
    for (size_t i = 0; i < group->nitems; i++)
        n += !is_look(&group->items[i]);
    return n;
}

/* Functions know no transactions: a group goes on as long as all went well. */
static void store_group(struct fb_store_group *group) {
    size_t written = 0, wanted = count_writes(group);
    group->status = FB_OK;
    group->decided_by = group->nitems;
    for (size_t i = 0; i < group->nitems; i++) {
        struct fb_store_item *item = &group->items[i];
        if (group->decided_by < group->nitems) {
            item->status = group->status; /* not tried */
            continue;
        }
        carry_out(item, group->hash_key);
        if (item->status < 0 && written > 0)
            tell_how_far(item, written, wanted);
        if (item->status < 0 || (item->status == FB_UNMET && (item->block == 0 || is_look(item)))) {
            group->status = item->status;
            group->decided_by = i;
        }
        written += !is_look(item) && item->status >= 0;
    }
}

static void store(struct fb_session *session, struct fb_store_group *const *groups, size_t n) {
    fb_clock_sleep(session->driver->added_latency);
    for (size_t i = 0; i < n; i++)
        store_group(groups[i]);
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
