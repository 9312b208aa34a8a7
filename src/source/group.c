/* Storing groups: everything about it that no database does differently. */
#include "source/group.h"

#include <string.h>

#include "base/err.h"

struct fb_value *fb_error_value(const fb_err *err) {
    return fb_value_new(FB_KIND_NONE, err->text, strnlen(err->text, sizeof err->text));
}

/* ---- answers ---- */

void fb_group_clear(struct fb_store_group *group) {
    group->status = FB_OK;
    group->decided_by = group->nitems;
    for (size_t i = 0; i < group->nitems; i++) {
        struct fb_store_item *item = &group->items[i];
        item->status = FB_OK;
        item->after = item->before = item->number = NULL;
        item->after_unknown = false;
        item->count = 0;
    }
    fb_touched_clear(&group->touched);
}

void fb_group_forget(struct fb_store_group *group) {
    for (size_t i = 0; i < group->nitems; i++) {
        fb_value_unref(group->items[i].after);
        fb_value_unref(group->items[i].before);
        fb_value_unref(group->items[i].number);
    }
    fb_group_clear(group);
}

void fb_group_refuse(struct fb_store_group *group, fb_status status, const fb_err *err) {
    struct fb_value *text = status < 0 ? fb_error_value(err) : NULL;
    group->status = status;
    for (size_t i = 0; i < group->nitems; i++) {
        struct fb_store_item *item = &group->items[i];
        fb_value_unref(item->after);
        fb_value_unref(item->number);
        item->number = NULL;
        item->after = fb_value_ref(text);
        item->after_unknown = false;
        item->count = 0;
        item->status = status;
    }
    fb_value_unref(text);
}

/* ---- conditions and counts ---- */

/* For clients a keyspace of one column has a value when that column is not NULL. */
static bool has_value(const struct fb_mapping *m, bool exists, const struct fb_datum *row) {
    return exists && (m->as != FB_AS_COLUMN || row[m->as_column].kind != FB_DATUM_NULL);
}

bool fb_group_is_met(const struct fb_mapping *m, const struct fb_plan *plan, bool exists, const struct fb_datum *row) {
    bool present = has_value(m, exists, row);
    if ((plan->flags & FB_COND_ABSENT) && present)
        return false;
    if ((plan->flags & FB_COND_PRESENT) && !present)
        return false;
    if ((plan->flags & FB_COND_FIELD_ABSENT) && exists) {
        if (plan->nkey_fields > 0)
            return false;
        for (unsigned i = 0; i < plan->nassigns; i++)
            if (row[plan->assigns[i].column].kind != FB_DATUM_NULL)
                return false;
    }
    return true;
}

bool fb_group_is_idle(const struct fb_mapping *m, const struct fb_plan *plan, bool exists) {
    if (plan->op == FB_OP_HDEL)
        return !exists || plan->nassigns == 0;
    bool resets = false;
    for (unsigned i = 0; i < m->ncolumns && plan->replaces; i++)
        resets |= fb_column_is_reset(&m->columns[i]);
    return exists && plan->nassigns == 0 && !resets;
}

int64_t fb_group_count_fields(const struct fb_plan *plan, bool exists, const struct fb_datum *row) {
    if (plan->op != FB_OP_HSET && plan->op != FB_OP_HDEL)
        return 0;
    int64_t n = plan->op == FB_OP_HSET && !exists ? plan->nkey_fields : 0;
    for (unsigned i = 0; i < plan->nassigns; i++) {
        bool is_null = !exists || row[plan->assigns[i].column].kind == FB_DATUM_NULL;
        n += is_null == (plan->op == FB_OP_HSET);
    }
    return n;
}

/* ---- one item ---- */

/* FB_OK with the row, or FB_NOTFOUND with a row of NULLs, or an error. */
static fb_status find(const struct fb_group_ops *ops, struct fb_session *session, const struct fb_store_item *item,
                      struct fb_datum *row, fb_err *err) {
    fb_status status = ops->find(session, item, row, err);
    const struct fb_mapping *m = ops->mapping(item->binding);
    for (unsigned i = 0; status == FB_NOTFOUND && i < m->ncolumns; i++)
        row[i] = fb_datum_null();
    return status;
}

static fb_status read_item(const struct fb_group_ops *ops, struct fb_session *session, struct fb_store_item *item,
                           const struct fb_hash_key *hash_key, fb_err *err) {
    struct fb_datum row[FB_COLUMNS_MAX];
    bool is_list = ops->mapping(item->binding)->is_list;
    fb_status status = is_list ? ops->read_list(session, item, &item->before, err) : find(ops, session, item, row, err);
    if (status == FB_OK && !is_list)
        status = ops->render(session, item->binding, row, &item->before, err);
    if (status < 0 || item->plan->op == FB_OP_READ)
        return status;
    fb_kind kind = item->before != NULL ? item->before->kind : FB_KIND_NONE;
    uint64_t found = fb_value_fingerprint(hash_key, kind, fb_value_bytes(item->before));
    fb_value_unref(item->before);
    item->before = NULL;
    return found == item->expected ? FB_OK : FB_UNMET;
}

/* is_judged: its conditions have been found to hold. */
static fb_status write_item(const struct fb_group_ops *ops, struct fb_session *session, struct fb_store_group *group,
                            struct fb_store_item *item, bool is_judged, fb_err *err) {
    struct fb_datum row[FB_COLUMNS_MAX];
    const struct fb_plan *plan = item->plan;
    const struct fb_mapping *m = ops->mapping(item->binding);
    fb_status status = find(ops, session, item, row, err);
    bool exists = status == FB_OK;
    if (exists && (plan->flags & FB_WANT_OLD)) {
        status = ops->render(session, item->binding, row, &item->before, err);
        status = status == FB_NOTFOUND ? FB_OK : status;
    }
    if (status < 0)
        return status;
    if (!is_judged && !fb_group_is_met(m, plan, exists, row))
        return FB_UNMET;
    if (exists && (status = fb_group_touch(m, row, NULL, group, err)) != FB_OK)
        return status;
    item->count = fb_group_count_fields(plan, exists, row);
    if (plan->op == FB_OP_DELETE)
        return exists ? ops->remove(session, item, err) : FB_NOTFOUND;
    if (plan->op == FB_OP_ADD)
        return ops->add(session, item, exists, row, err);
    return fb_group_is_idle(m, plan, exists) ? FB_OK : ops->write(session, item, exists, row, err);
}

fb_status fb_group_take_after(const struct fb_group_ops *ops, struct fb_session *session, struct fb_store_item *item,
                              bool exists, const struct fb_datum *row, fb_err *err) {
    if (!exists)
        return FB_OK;
    fb_status status = ops->render(session, item->binding, row, &item->after, err);
    item->after_unknown = status == FB_SOURCE;
    return status == FB_NOMEM ? status : FB_OK;
}

static fb_status read_after(const struct fb_group_ops *ops, struct fb_session *session, struct fb_store_group *group,
                            struct fb_store_item *item, fb_err *err) {
    struct fb_datum row[FB_COLUMNS_MAX];
    fb_status status = ops->find(session, item, row, err);
    if (status == FB_OK)
        status = fb_group_touch(ops->mapping(item->binding), NULL, row, group, err);
    return status < 0 ? status : fb_group_take_after(ops, session, item, status == FB_OK, row, err);
}

fb_status fb_group_touch(const struct fb_mapping *m, const struct fb_datum *before, const struct fb_datum *after,
                         struct fb_store_group *group, fb_err *err) {
    if (m->ndependents == 0 || fb_touch(m, before, after, &group->touched) == FB_OK)
        return FB_OK;
    return fb_fail(err, FB_NOMEM, "out of memory");
}

fb_status fb_group_prepare(struct fb_store_group *group, fb_err *err) {
    return group->touched.keys.len > 0 ? group->prepare(group, err) : FB_OK;
}

/* ---- blocks ---- */

/* The items from `first` on that belong to one block; an item that stands for itself is one. */
static size_t block_end(const struct fb_store_group *group, size_t first) {
    size_t end = first + 1;
    unsigned block = group->items[first].block;
    while (block != 0 && end < group->nitems && group->items[end].block == block)
        end++;
    return end;
}

/* Do the conditions of items first .. end−1 hold, before the first of them writes? FB_OK, FB_UNMET, or an error with the
 * item in decided_by. */
static fb_status judge_block(const struct fb_group_ops *ops, struct fb_session *session, struct fb_store_group *group,
                             size_t first, size_t end, fb_err *err) {
    struct fb_datum row[FB_COLUMNS_MAX];
    for (size_t i = first; i < end; i++) {
        const struct fb_store_item *item = &group->items[i];
        if (!fb_group_item_writes(item))
            continue;
        fb_status status = find(ops, session, item, row, err);
        group->decided_by = i;
        if (status < 0)
            return status;
        if (!fb_group_is_met(ops->mapping(item->binding), item->plan, status == FB_OK, row))
            return FB_UNMET;
    }
    return FB_OK;
}

/* One item or block: FB_OK, FB_UNMET (nothing of it was done), or an error; then decided_by is the item. */
static fb_status write_block(const struct fb_group_ops *ops, struct fb_session *session, struct fb_store_group *group,
                             size_t first, size_t end, fb_err *err) {
    bool is_judged = end - first > 1;
    fb_status status = is_judged ? judge_block(ops, session, group, first, end, err) : FB_OK;
    for (size_t i = first; i < end && status == FB_OK; i++) {
        struct fb_store_item *item = &group->items[i];
        group->decided_by = i;
        item->status = fb_group_item_writes(item) ? write_item(ops, session, group, item, is_judged, err)
                                                  : read_item(ops, session, item, group->hash_key, err);
        status = item->status == FB_NOTFOUND ? FB_OK : item->status;
    }
    return status;
}

fb_status fb_group_write(const struct fb_group_ops *ops, struct fb_session *session, struct fb_store_group *group,
                         fb_err *err) {
    for (size_t i = 0, end; i < group->nitems; i = end) {
        end = block_end(group, i);
        fb_status status = write_block(ops, session, group, i, end, err);
        bool is_local = group->items[i].block != 0 && group->items[i].plan->op != FB_OP_CHECK;
        if (status < 0 || (status == FB_UNMET && !is_local))
            return status;
        for (size_t k = i; k < end && status == FB_UNMET; k++)
            group->items[k].status = FB_UNMET;
    }
    group->decided_by = group->nitems;
    for (size_t i = 0; i < group->nitems; i++) {
        struct fb_store_item *item = &group->items[i];
        fb_status status = fb_group_item_writes(item) && !item->is_superseded ? read_after(ops, session, group, item, err)
                                                                              : FB_OK;
        if (status != FB_OK)
            return status;
    }
    return fb_group_prepare(group, err);
}
