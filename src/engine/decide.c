/* Deciding the items of a transaction by what their rows show. */
#include "engine/decide.h"

#include "base/err.h"
#include "rows/change.h"
#include "source/group.h"

static const struct fb_mapping *mapping_of(const struct fb_known *row) {
    const struct fb_keyspace *keyspace = row->keyspace;
    return keyspace->source->ops->mapping(keyspace->binding);
}

bool fb_decide_asks(const struct fb_store_item *item) {
    unsigned asks = FB_COND_ABSENT | FB_COND_PRESENT | FB_COND_FIELD_ABSENT | FB_WANT_OLD;
    switch (item->plan->op) {
    case FB_OP_SET:
    case FB_OP_HSET:
        return (item->plan->flags & asks) != 0;
    default:
        return true;
    }
}

/* Does a write leave a row that is known, whatever it was? */
static bool is_whole(const struct fb_mapping *m, const struct fb_plan *plan) {
    fb_buf encoded = FB_BUF_INIT;
    struct fb_change change;
    bool whole = plan->op == FB_OP_DELETE || plan->replaces;
    if (!whole && fb_change_of_plan(m, plan, NULL, false, &encoded) == FB_OK &&
        fb_change_parse(fb_bytes_of(encoded.data, encoded.len), &change))
        whole = fb_change_is_whole(m, &change);
    fb_buf_free(&encoded);
    return whole;
}

bool fb_decide_needs(const struct fb_store_group *group, struct fb_known *const *of, const struct fb_known *row) {
    for (size_t i = 0; i < group->nitems; i++) {
        if (of[i] != row)
            continue;
        if (fb_decide_asks(&group->items[i]))
            return true;
        if (is_whole(mapping_of(row), group->items[i].plan))
            return false;
    }
    return false;
}

/* ---- conditions ---- */

static bool has_field(const struct fb_known *row, const struct fb_mapping *m, unsigned column) {
    fb_bytes value;
    const struct fb_column *c = &m->columns[column];
    return row->shows == FB_OK &&
           fb_hash_get(fb_value_bytes(row->value), fb_bytes_of(c->name, c->name_len), &value) == FB_OK;
}

static bool is_met(const struct fb_known *row, const struct fb_plan *plan) {
    const struct fb_mapping *m = mapping_of(row);
    bool present = row->shows == FB_OK;
    if ((plan->flags & FB_COND_ABSENT) && present)
        return false;
    if ((plan->flags & FB_COND_PRESENT) && !present)
        return false;
    if ((plan->flags & FB_COND_FIELD_ABSENT) && present) {
        if (plan->nkey_fields > 0)
            return false;
        for (unsigned i = 0; i < plan->nassigns; i++)
            if (has_field(row, m, plan->assigns[i].column))
                return false;
    }
    return true;
}

/* HSET: fields that were NULL or in no row; HDEL: fields that were set. */
static int64_t count_fields(const struct fb_known *row, const struct fb_plan *plan) {
    const struct fb_mapping *m = mapping_of(row);
    if ((plan->op != FB_OP_HSET && plan->op != FB_OP_HDEL) || row->shows == FB_MISS)
        return 0;
    int64_t n = plan->op == FB_OP_HSET && row->shows != FB_OK ? plan->nkey_fields : 0;
    for (unsigned i = 0; i < plan->nassigns; i++)
        n += has_field(row, m, plan->assigns[i].column) == (plan->op == FB_OP_HDEL);
    return n;
}

static bool is_idle(const struct fb_known *row, const struct fb_plan *plan) {
    if (plan->op == FB_OP_DELETE)
        return row->shows == FB_NOTFOUND && mapping_of(row)->as != FB_AS_COLUMN; /* whose row may be there with a NULL */
    if (plan->op == FB_OP_HDEL)
        return row->shows != FB_OK || plan->nassigns == 0;
    return row->shows == FB_OK && plan->nassigns == 0 && !plan->replaces;
}

/* What the database would refuse for certain is refused here, where somebody still hears of it. */
static fb_status check_new(const struct fb_known *row, const struct fb_plan *plan, fb_err *err) {
    const struct fb_mapping *m = mapping_of(row);
    if (row->shows != FB_NOTFOUND || m->as == FB_AS_COLUMN)
        return FB_OK;
    for (unsigned c = 0; c < m->ncolumns; c++) {
        const struct fb_column *column = &m->columns[c];
        unsigned i = 0;
        if (column->is_nullable || column->has_default || column->is_readonly || column->param >= 0)
            continue;
        while (i < plan->nassigns && plan->assigns[i].column != c)
            i++;
        if (i == plan->nassigns)
            return fb_mapping_fail(m, err, FB_BADVALUE, "field '%s' is missing and has no default", column->name);
    }
    return FB_OK;
}

/* ---- what a write does ---- */

static void take(struct fb_value **place, struct fb_value *value) {
    fb_value_unref(*place);
    *place = value;
}

static struct fb_value *value_of(fb_kind kind, const fb_buf *buf) { return fb_value_new(kind, buf->data, buf->len); }

/* The row after this change, where that can be known. */
static fb_status show(struct fb_known *row, const struct fb_change *change, fb_err *err) {
    const struct fb_mapping *m = mapping_of(row);
    fb_bytes base = fb_value_bytes(row->value);
    fb_buf out = FB_BUF_INIT;
    row->is_certain &= fb_change_is_certain(m, change, row->shows == FB_OK);
    if (row->shows == FB_MISS && !fb_change_is_whole(m, change))
        return FB_OK;
    fb_status status = fb_change_show(m, row->key, change, row->shows == FB_OK ? &base : NULL, &out, err);
    if (status >= 0) {
        struct fb_value *after = status == FB_OK ? value_of(fb_mapping_kind(m), &out) : NULL;
        if (status == FB_OK && after == NULL)
            status = fb_fail(err, FB_NOMEM, "out of memory");
        take(&row->value, after);
        row->shows = status < 0 ? FB_MISS : status;
    }
    fb_buf_free(&out);
    return status < 0 ? status : FB_OK;
}

static fb_status apply(struct fb_known *row, const struct fb_plan *plan, const struct fb_datum *sum, bool adds,
                       fb_err *err) {
    const struct fb_mapping *m = mapping_of(row);
    fb_buf encoded = FB_BUF_INIT, joined = FB_BUF_INIT;
    struct fb_change change, before;
    struct fb_value *merged = NULL;
    fb_status status = fb_change_of_plan(m, plan, sum, adds, &encoded);
    if (status == FB_OK && fb_change_parse(fb_bytes_of(encoded.data, encoded.len), &change)) {
        status = show(row, &change, err);
        if (status == FB_OK && row->change == NULL)
            merged = value_of(FB_KIND_NONE, &encoded);
        else if (status == FB_OK && fb_change_parse(fb_value_bytes(row->change), &before) &&
                 fb_change_merge(&before, &change, &joined) == FB_OK)
            merged = value_of(FB_KIND_NONE, &joined);
    }
    if (status == FB_OK && merged == NULL)
        status = fb_fail(err, FB_NOMEM, "out of memory");
    if (merged != NULL)
        take(&row->change, merged);
    fb_buf_free(&encoded);
    fb_buf_free(&joined);
    return status;
}

/* The number that a row shows in a column. */
static struct fb_datum number_of(const struct fb_known *row, const struct fb_mapping *m, unsigned column) {
    const struct fb_column *c = &m->columns[column];
    fb_bytes text = fb_value_bytes(row->value);
    if (row->shows != FB_OK)
        return fb_datum_null();
    if (m->as == FB_AS_HASH && fb_hash_get(text, fb_bytes_of(c->name, c->name_len), &text) != FB_OK)
        return fb_datum_null();
    return fb_datum_bytes(FB_DATUM_TEXT, text);
}

static fb_status add(struct fb_known *row, struct fb_store_item *item, fb_err *err) {
    char space[FB_DATUM_TEXT_MAX];
    const struct fb_mapping *m = mapping_of(row);
    unsigned column = item->plan->assigns[0].column;
    const struct fb_column *c = &m->columns[column];
    bool adds = fb_keyspace_adds(row->keyspace, c->db_name != NULL ? c->db_name : c->name);
    struct fb_datum now = number_of(row, m, column), sum;
    if (adds && item->plan->assigns[0].value.kind != FB_DATUM_INT)
        return fb_mapping_fail(m, err, FB_UNSUPPORTED, "column '%s' is added to in whole numbers (merge_columns)",
                               m->columns[column].name);
    fb_status status = fb_plan_add(m, item->plan, &now, &sum, err);
    if (status != FB_OK)
        return status;
    fb_bytes text = fb_datum_text(&sum, space);
    item->number = fb_value_new(FB_KIND_STRING, text.data, text.len);
    if (item->number == NULL)
        return fb_fail(err, FB_NOMEM, "out of memory");
    return apply(row, item->plan, &sum, adds, err);
}

/* ---- items and blocks ---- */

static fb_status read_item(const struct fb_store_group *group, const struct fb_known *row, struct fb_store_item *item) {
    if (item->plan->op == FB_OP_READ) {
        item->before = fb_value_ref(row->value);
        return row->shows;
    }
    fb_kind kind = row->value != NULL ? row->value->kind : FB_KIND_NONE;
    uint64_t found = fb_value_fingerprint(group->hash_key, kind, fb_value_bytes(row->value));
    return found == item->expected ? FB_OK : FB_UNMET;
}

static fb_status write_item(struct fb_known *row, struct fb_store_item *item, bool is_judged, fb_err *err) {
    const struct fb_plan *plan = item->plan;
    bool existed = row->shows == FB_OK;
    if (plan->flags & FB_WANT_OLD)
        item->before = fb_value_ref(row->value);
    if (!is_judged && !is_met(row, plan))
        return FB_UNMET;
    item->count = count_fields(row, plan);
    if (is_idle(row, plan))
        return plan->op == FB_OP_DELETE ? FB_NOTFOUND : FB_OK;
    fb_status status = plan->op == FB_OP_DELETE ? FB_OK : check_new(row, plan, err);
    if (status != FB_OK)
        return status;
    status = plan->op == FB_OP_ADD ? add(row, item, err) : apply(row, plan, NULL, false, err);
    return status == FB_OK && plan->op == FB_OP_DELETE && !existed ? FB_NOTFOUND : status;
}

static size_t block_end(const struct fb_store_group *group, size_t first) {
    size_t end = first + 1;
    unsigned block = group->items[first].block;
    while (block != 0 && end < group->nitems && group->items[end].block == block)
        end++;
    return end;
}

static fb_status decide_block(struct fb_store_group *group, struct fb_known *const *of, size_t first, size_t end,
                              fb_err *err) {
    bool is_judged = end - first > 1;
    for (size_t i = first; i < end && is_judged; i++) {
        group->decided_by = i;
        if (fb_group_item_writes(&group->items[i]) && !is_met(of[i], group->items[i].plan))
            return FB_UNMET;
    }
    fb_status status = FB_OK;
    for (size_t i = first; i < end && status == FB_OK; i++) {
        struct fb_store_item *item = &group->items[i];
        group->decided_by = i;
        item->status = fb_group_item_writes(item) ? write_item(of[i], item, is_judged, err)
                                                  : read_item(group, of[i], item);
        status = item->status == FB_NOTFOUND ? FB_OK : item->status;
    }
    return status;
}

static fb_status decide_all(struct fb_store_group *group, struct fb_known *const *of, fb_err *err) {
    for (size_t i = 0, end; i < group->nitems; i = end) {
        end = block_end(group, i);
        fb_status status = decide_block(group, of, i, end, err);
        bool is_local = group->items[i].block != 0 && group->items[i].plan->op != FB_OP_CHECK;
        if (status < 0 || (status == FB_UNMET && !is_local))
            return status;
        for (size_t k = i; k < end && status == FB_UNMET; k++)
            group->items[k].status = FB_UNMET;
    }
    group->decided_by = group->nitems;
    return FB_OK;
}

void fb_decide(struct fb_store_group *group, struct fb_known *const *of) {
    fb_err err = {0};
    fb_group_clear(group);
    fb_status status = decide_all(group, of, &err);
    if (status != FB_OK)
        fb_group_refuse(group, status, &err);
    for (size_t i = 0; i < group->nitems && status == FB_OK; i++) {
        struct fb_store_item *item = &group->items[i];
        if (!fb_group_item_writes(item) || item->is_superseded)
            continue;
        item->after = fb_value_ref(of[i]->value);
        item->after_unknown = of[i]->shows == FB_MISS;
    }
}
