/* What the world must look like: the answers of reads (C1, C2), the shard after every action, and the world at rest. */
#include "world.h"

#include <stdlib.h>
#include <string.h>

fb_bytes world_value(const struct world *w, unsigned version, char *room, size_t size) {
    int len = snprintf(room, size, "v%u ", version);
    size_t total = (size_t)len + w->options.padding;
    if (total > size)
        total = size;
    memset(room + len, '.', total - (size_t)len);
    return fb_bytes_of(room, total);
}

static bool version_of(const struct world *w, fb_bytes value, unsigned *ret_version) {
    char copy[16], room[1024];
    size_t n = value.len < sizeof copy - 1 ? value.len : sizeof copy - 1;
    if (n < 2 || value.data[0] != 'v')
        return false;
    memcpy(copy, value.data, n);
    copy[n] = '\0';
    *ret_version = (unsigned)strtoul(copy + 1, NULL, 10);
    fb_bytes whole = world_value(w, *ret_version, room, sizeof room);
    return whole.len == value.len && memcmp(whole.data, value.data, value.len) == 0;
}

/* "Absent" names no commit: the newest absent version it can mean, at least `floor`; nversions when there is none. */
static unsigned absent_version(const struct row *row, unsigned floor) {
    for (unsigned v = row->nversions; v > floor; v--)
        if (row->versions[v - 1].is_absent)
            return v - 1;
    return row->nversions;
}

/* How long an answer of this kind may outlive its version. */
static int64_t life_of(const struct world *w, bool is_absent) {
    return fb_ms(is_absent ? w->policies[0].negative_ttl_ms : w->policies[0].ttl_ms).ns;
}

/* How much longer while the source is slow or fails, and while it is down. */
static int64_t grace_of(const struct world *w, bool is_down) {
    int64_t grace = w->policies[0].grace_ms, down = w->policies[0].grace_down_ms;
    return fb_ms(is_down && down > grace ? down : grace).ns;
}

/* C1, C2 for a version seen in answer to a question asked at `asked`. */
static void check_version(struct world *w, const struct row *row, const char *who, unsigned version, bool is_absent,
                          bool is_stale, unsigned floor, int64_t asked) {
    int64_t life = life_of(w, is_absent) + (is_stale ? grace_of(w, true) : 0);
    if (version >= row->nversions || row->versions[version].is_absent != is_absent) {
        world_fail(w, "%s: %s v%u, which never was", who, row->name, version);
        return;
    }
    if (version < floor)
        world_fail(w, "C1: %s: %s v%u is older than v%u, known when it was asked", who, row->name, version, floor);
    if (version + 1 < row->nversions &&
        row->versions[version + 1].committed < asked - life - 2 * LAG_MAX_NS)
        world_fail(w, "C2: %s: %s v%u was superseded more than a TTL before", who, row->name, version);
}

void world_check_answer(struct world *w, struct op *op, fb_status status, fb_bytes value) {
    const struct row *row = &w->rows[op->key];
    char who[24];
    snprintf(who, sizeof who, "op %u", op->number);
    op->status = status;
    op->is_absent = status == FB_NOTFOUND;
    if (status < 0)
        return;
    if (status != FB_OK && status != FB_NOTFOUND) {
        world_fail(w, "%s: answered %s", who, fb_status_name(status));
        return;
    }
    unsigned version;
    if (op->is_absent) {
        version = absent_version(row, op->floor);
        if (version == row->nversions) {
            world_fail(w, "C1: %s: %s \"absent\", but a row was known when it was asked", who, row->name);
            return;
        }
    } else if (!version_of(w, value, &version)) {
        world_fail(w, "%s: %s: a value that nobody wrote: %.*s", who, row->name, (int)value.len, value.data);
        return;
    }
    op->answer = version;
    check_version(w, row, who, version, op->is_absent, op->is_stale, op->floor, op->begun);
}

bool world_entry(const struct world *w, const struct row *row, struct fb_stamp *ret_stamp, fb_buf *out) {
    struct fb_table *table = (struct fb_table *)(uintptr_t)fb_shard_table(w->shard); /* reading changes nothing */
    return fb_table_read(table, row->hash, FB_STR(row->name), ret_stamp, out) == FB_OK;
}

/* C3 is arithmetic of our own, lest a mistake in the policy be compared with itself. */
void world_check_served(struct world *w, const struct op *op) {
    const struct row *row = &w->rows[op->key];
    struct fb_stamp stamp;
    if (world_entry(w, row, &stamp, NULL) &&
        w->now.ns - stamp.birth.ns > life_of(w, stamp.kind == FB_KIND_NONE) + LAG_MAX_NS)
        world_fail(w, "C3: op %u: %s served more than a TTL after its birth", op->number, row->name);
}

bool world_is_stale(const struct world *w, const struct row *row, struct fb_stamp *ret_stamp) {
    return world_entry(w, row, ret_stamp, NULL) && ret_stamp->kind != FB_KIND_NONE &&
           w->now.ns - ret_stamp->birth.ns > life_of(w, false) + LAG_MAX_NS;
}

bool world_has_stand_in(const struct world *w, const struct row *row, bool is_down) {
    struct fb_stamp stamp;
    if (grace_of(w, true) == 0 || !world_entry(w, row, &stamp, NULL) || stamp.kind == FB_KIND_NONE ||
        (stamp.cap_ms > 0 && !stamp.is_stale))
        return false;
    int64_t least = (int64_t)((double)life_of(w, false) * (1 - w->policies[0].jitter)), age = w->now.ns - stamp.birth.ns;
    return age < least + grace_of(w, is_down) - 1000; /* doubles may be a little off */
}

/* A load of the key has been under way for longer than a reader's patience; the application's own under a lease, too. */
static bool is_load_late(const struct world *w, unsigned key) {
    int64_t since = w->now.ns - fb_ms(w->options.patience_ms).ns + LAG_MAX_NS;
    for (unsigned i = 0; i < w->nops; i++) {
        const struct op *op = &w->ops[i];
        if (op->kind == OP_ASIDE && op->key == key && op->leased != 0 && op->leased <= since)
            return true;
    }
    for (unsigned i = 0; i < w->nflights; i++)
        if (w->flights[i].key == key && w->flights[i].launched <= since)
            return true;
    return false;
}

void world_check_stale(struct world *w, const struct op *op) {
    const struct row *row = &w->rows[op->key];
    bool is_down = op->was_down || w->is_down, is_patient = w->options.patience_ms == 0;
    bool has_failed = row->failed != NEVER_FAILED &&
                      w->now.ns <= row->failed + fb_ms(FB_STALE_RETRY_MS).ns + LAG_MAX_NS;
    bool is_late = !is_patient && (is_load_late(w, op->key) ||
                                   w->now.ns >= op->begun + fb_ms(w->options.patience_ms).ns - LAG_MAX_NS);
    bool is_timed_out = fb_reached(w->now, op->waiter.deadline) && op->waiter.deadline.ns > 0;
    struct fb_stamp stamp;
    if (op->kind != OP_READ)
        world_fail(w, "S9: op %u is no read and gets a stale value", op->number);
    if (!is_down && !has_failed && !is_late && !is_timed_out)
        world_fail(w, "S9: op %u gets a stale value while the source does well", op->number);
    if (world_entry(w, row, &stamp, NULL) &&
        w->now.ns - stamp.birth.ns > life_of(w, false) + grace_of(w, is_down) + LAG_MAX_NS)
        world_fail(w, "S9: op %u: %s served after its grace", op->number, row->name);
    w->seen[is_down                        ? SEEN_STALE_DOWN
            : row->failed == w->now.ns     ? SEEN_STALE_FAILED
            : is_late || is_timed_out      ? SEEN_STALE_LATE
                                           : SEEN_PUT_OFF]++;
}

void world_check_birth(struct world *w, const struct row *row, int64_t sent) {
    struct fb_stamp stamp;
    if (world_entry(w, row, &stamp, NULL) && stamp.birth.ns > sent)
        world_fail(w, "C3: %s is born after its question was sent", row->name);
}

/* What a tick left is not due yet, and will be looked at when it is. */
void world_check_due(struct world *w, fb_instant now, fb_instant due) {
    for (unsigned i = 0; i < w->nops; i++) {
        struct op *op = &w->ops[i];
        const struct row *row = &w->rows[op->key];
        fb_instant ends = FB_NEVER, stale_at = op->state == OP_WAITING ? op->waiter.stale_at : FB_NEVER;
        if (op->state == OP_WAITING)
            ends = op->waiter.deadline;
        else if (row->granted == op)
            ends = op->writer.expires;
        if (fb_reached(now, ends) && ends.ns != FB_NEVER.ns)
            world_fail(w, "op %u should have ended with the tick", op->number);
        /* Who has asked anew since the last tick is looked at with the next. */
        int64_t launched = op->state == OP_WAITING ? op->waiter.flight->launched.ns : 0;
        const void *flight = op->state == OP_WAITING ? op->waiter.flight : NULL;
        if (op->seat == launched && op->flight == flight && fb_reached(now, stale_at) && stale_at.ns != FB_NEVER.ns)
            world_fail(w, "S10: op %u has waited for longer than its patience", op->number);
        op->seat = launched;
        op->flight = flight;
        if (fb_before(ends, due) || fb_before(stale_at, due))
            world_fail(w, "op %u ends before the shard wants its next tick", op->number);
    }
}

void world_check_shared(struct world *w, const struct world_flight *f, bool was_kept, const struct op *op) {
    bool is_early = op->waiter.leads || op->waiter.before_dispatch;
    if (is_early)
        return;
    if (!was_kept)
        world_fail(w, "S4: op %u gets the value of flight %u, which was refused", op->number, f->number);
    if (w->now.ns - f->sent > life_of(w, /* is_absent = */ false) + LAG_MAX_NS)
        world_fail(w, "C3: op %u gets the value of flight %u, which has outlived its life", op->number, f->number);
}

void world_check_refreshed(struct world *w, const struct op *op) {
    const struct row *row = &w->rows[op->key];
    struct fb_stamp stamp;
    char room[1024];
    fb_buf out = {room, 0, sizeof room};
    unsigned version = 0;
    if (!world_entry(w, row, &stamp, &out))
        return;
    bool is_old = stamp.kind == FB_KIND_NONE ? absent_version(row, op->floor) == row->nversions
                                             : version_of(w, fb_bytes_of(out.data, out.len), &version) &&
                                                   version < op->floor;
    if (is_old)
        world_fail(w, "S8: op %u has refreshed %s, and an older copy is cached", op->number, row->name);
}

void world_check_copies(struct world *w) {
    for (unsigned k = 0; k < w->options.keys; k++) {
        struct fb_stamp stamp;
        if (w->rows[k].has_copy && !world_entry(w, &w->rows[k], &stamp, NULL))
            world_fail(w, "E2: a client keeps %s v%u, which nothing backs", w->rows[k].name, w->rows[k].copy);
    }
}

void world_check_step(struct world *w) {
    struct fb_table_stats table;
    fb_table_stats(fb_shard_table(w->shard), &table);
    if (table.bytes > w->options.bytes_max)
        world_fail(w, "T2: %llu bytes in a table of %llu", (unsigned long long)table.bytes,
                   (unsigned long long)w->options.bytes_max);
    for (unsigned k = 0; k < w->options.keys; k++) {
        const struct row *row = &w->rows[k];
        if (row->undispatched > 1)
            world_fail(w, "%s: %u flights wait to be dispatched, one would do", row->name, row->undispatched);
        if (row->has_copy && row->copy < row->told_floor)
            world_fail(w, "E1: a client keeps %s v%u, and v%u was told", row->name, row->copy, row->told_floor);
        struct fb_stamp stamp;
        if (row->granted == NULL && row->nheld == 0)
            continue;
        if (world_entry(w, row, &stamp, NULL))
            world_fail(w, "S2: %s is in the table while op %u is marked, and %u hold it", row->name,
                       row->granted != NULL ? row->granted->number : 0, row->nheld);
    }
}

void world_check_entries(struct world *w) {
    char room[1024];
    fb_buf out = {room, 0, sizeof room};
    for (unsigned k = 0; k < w->options.keys; k++) {
        const struct row *row = &w->rows[k];
        struct fb_stamp stamp;
        out.len = 0;
        if (!world_entry(w, row, &stamp, &out))
            continue;
        /* Expired ones may still lie about. */
        enum fb_verdict verdict = fb_grace(&stamp, &w->policies[stamp.keyspace], w->now);
        if (verdict == FB_VERDICT_EXPIRED)
            continue;
        bool is_absent = stamp.kind == FB_KIND_NONE;
        unsigned version = row->nversions;
        if (is_absent)
            version = absent_version(row, row->floor);
        else if (!version_of(w, fb_bytes_of(out.data, out.len), &version))
            version = row->nversions;
        check_version(w, row, "at rest", version, is_absent, verdict != FB_VERDICT_FRESH, row->floor, w->now.ns);
    }
}
