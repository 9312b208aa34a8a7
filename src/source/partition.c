/* Who owns a partition of the write-behind journal, and how far it has been applied: the row in fb_partition.
 *
 * Nothing here knows the time. Who has the row's epoch owns the partition; to change hands it must be clean, or claimed
 * by the same journal, or have been taken over by a person's order. Every change compares the epoch it has read, so of
 * two who claim at once one has to look again. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "source/flush_db.h"

enum { TRIES_MAX = 4 }; /* of a claim that met another one, or lost its connection */

static struct fb_datum text(const char *s) { return fb_datum_bytes(FB_DATUM_TEXT, FB_STR(s)); }
static struct fb_datum number(uint64_t n) { return fb_datum_int((int64_t)n); }

/* ---- the row ---- */

struct found {
    struct fb_partition *row;
    bool exists;
};

uint64_t fb_flush_number(fb_bytes cell) {
    uint64_t n = 0;
    for (size_t i = 0; i < cell.len && cell.data[i] >= '0' && cell.data[i] <= '9'; i++)
        n = n * 10 + (uint64_t)(cell.data[i] - '0');
    return n;
}

static void copy(char *to, size_t room, fb_bytes cell) {
    size_t n = cell.len < room ? cell.len : room - 1;
    if (n > 0)
        memcpy(to, cell.data, n);
    to[n] = '\0';
}

static void take_row(void *user, const fb_bytes *cells) {
    struct found *found = user;
    struct fb_partition *row = found->row;
    row->epoch = fb_flush_number(cells[0]);
    row->applied_seq = fb_flush_number(cells[1]);
    row->is_clean = cells[2].len == 5 && memcmp(cells[2].data, "clean", 5) == 0;
    copy(row->owner, sizeof row->owner, cells[3]);
    copy(row->addr, sizeof row->addr, cells[4]);
    copy(row->journal, sizeof row->journal, cells[5]);
    found->exists = true;
}

fb_status fb_partition_find(const struct fb_flush_db *db, struct fb_session *session, const char *part,
                            struct fb_partition *ret, fb_err *err) {
    static const struct fb_flush_sql sql = {
        .text = "SELECT epoch, applied_seq, state, owner, addr, journal FROM fb_partition WHERE part = ?",
        .columns = "iitttt",
    };
    struct found found = {ret, false};
    const struct fb_datum params[] = {text(part)};
    uint64_t changed;
    memset(ret, 0, sizeof *ret);
    fb_status status = db->run(session, &sql, params, 1, take_row, &found, &changed, err);
    return status != FB_OK ? status : found.exists ? FB_OK : FB_NOTFOUND;
}

bool fb_partition_past(const char *part, const char *journal, char ret_name[FB_FLUSH_PART_MAX + 1]) {
    int n = snprintf(ret_name, FB_FLUSH_PART_MAX + 1, "%s/%s", part, journal);
    return n > 0 && n <= FB_FLUSH_PART_MAX;
}

/* ---- a transaction around a statement or two ---- */

fb_status fb_flush_end(const struct fb_flush_db *db, struct fb_session *session, fb_status status, fb_err *err) {
    if (status != FB_OK) {
        (void)db->roll_back(session);
        return status;
    }
    return db->commit(session, err) == FB_TXN_DONE ? FB_OK : err->status;
}

fb_status fb_flush_start(const struct fb_flush_db *db, struct fb_session *session, fb_err *err) {
    bool may_be_stale = db->may_be_stale(session);
    fb_status status = db->begin(session, err);
    if (status != FB_DOWN || !may_be_stale)
        return status;
    status = db->reconnect(session, err);
    return status == FB_OK ? db->begin(session, err) : status;
}

fb_status fb_flush_begin(const struct fb_flush_db *db, struct fb_session *session, fb_err *err) {
    fb_status status = db->begin_call(session, err);
    return status == FB_OK ? fb_flush_start(db, session, err) : status;
}

/* A write of one row; FB_UNMET when there was none to write. */
static fb_status write_one(const struct fb_flush_db *db, struct fb_session *session, const char *sql_text,
                           const struct fb_datum *params, unsigned n, fb_err *err) {
    const struct fb_flush_sql sql = {.text = sql_text};
    uint64_t changed = 0;
    fb_status status = db->run(session, &sql, params, n, NULL, NULL, &changed, err);
    return status == FB_OK && changed == 0 ? fb_fail(err, FB_UNMET, "the partition has another owner by now") : status;
}

/* ---- the tables ---- */

static fb_status have_tables(const struct fb_flush_db *db, struct fb_session *session, bool *ret_missing, fb_err *err) {
    static const struct fb_flush_sql dead = {.text = "SELECT id FROM fb_dead WHERE id = 0", .columns = "i"};
    struct fb_partition row;
    char code[FB_FLUSH_CODE_MAX];
    uint64_t changed;
    *ret_missing = false;
    fb_status status = fb_flush_begin(db, session, err);
    if (status != FB_OK)
        return status;
    status = fb_partition_find(db, session, "", &row, err);
    if (status >= 0)
        status = db->run(session, &dead, NULL, 0, NULL, NULL, &changed, err);
    enum fb_flush_outcome why = status < 0 ? db->classify(session, err, code) : FB_FLUSH_APPLIED;
    *ret_missing = why == FB_FLUSH_SCHEMA || why == FB_FLUSH_PERMISSION; /* MariaDB tells strangers no more than that */
    (void)db->roll_back(session);
    return status;
}

static fb_status make_tables(const struct fb_flush_db *db, struct fb_session *session, fb_err *err) {
    fb_status status = FB_OK;
    for (size_t i = 0; db->schema[i] != NULL && status == FB_OK; i++) {
        const struct fb_flush_sql sql = {.text = db->schema[i]};
        uint64_t changed;
        status = fb_flush_begin(db, session, err);
        if (status == FB_OK)
            status = db->run(session, &sql, NULL, 0, NULL, NULL, &changed, err);
        status = fb_flush_end(db, session, status, err);
        if (status != FB_OK && status != FB_DOWN && status != FB_TIMEOUT) {
            char code[FB_FLUSH_CODE_MAX];
            (void)db->classify(session, err, code);
            status = fb_fail(err, FB_CONFIG, "write-behind needs this table, to be read and written (error %s): %s",
                             code, db->schema[i]);
        }
    }
    return status;
}

/* ---- claims ---- */

/* The claim for a row as it is now; FB_UNMET when it has changed meanwhile. */
static fb_status claim_row(const struct fb_flush_db *db, struct fb_session *session, const struct fb_claimant *c,
                           const struct fb_partition *now, uint64_t applied_seq, fb_err *err) {
    const struct fb_datum params[] = {number(now->epoch + c->leap), text(c->owner), text(c->addr), text(c->journal),
                                      number(applied_seq), text(c->part), number(now->epoch)};
    return write_one(db, session,
                     "UPDATE fb_partition SET epoch = ?, owner = ?, addr = ?, journal = ?, state = 'dirty', "
                     "applied_seq = ? WHERE part = ? AND epoch = ?", params, 7, err);
}

static fb_status insert_row(const struct fb_flush_db *db, struct fb_session *session, const struct fb_claimant *c,
                            fb_err *err) {
    const struct fb_datum params[] = {text(c->part), number(c->leap), text(c->owner), text(c->addr), text(c->journal),
                                      number(c->start_seq)};
    return write_one(db, session,
                     "INSERT INTO fb_partition (part, epoch, owner, addr, journal, applied_seq, state) "
                     "VALUES (?, ?, ?, ?, ?, ?, 'dirty')", params, 6, err);
}

/* FB_OK: *ret_claim says how; *ret is the row as it is now. */
static fb_status try_claim(const struct fb_flush_db *db, struct fb_session *session, const struct fb_claimant *c,
                           struct fb_partition *ret, enum fb_claim *ret_claim, fb_err *err) {
    fb_status status = fb_flush_begin(db, session, err);
    if (status == FB_OK)
        status = fb_partition_find(db, session, c->part, ret, err);
    if (status < 0)
        return fb_flush_end(db, session, status, err);
    bool exists = status == FB_OK, is_ours = exists && strcmp(ret->journal, c->journal) == 0;
    if (exists && !is_ours && !ret->is_clean) {
        (void)db->roll_back(session);
        *ret_claim = FB_CLAIM_HELD;
        return FB_OK;
    }
    if (!is_ours && c->looks_first) {
        (void)db->roll_back(session);
        *ret_claim = FB_CLAIM_FREE;
        return FB_OK;
    }
    uint64_t applied_seq = is_ours ? ret->applied_seq : c->start_seq;
    status = exists ? claim_row(db, session, c, ret, applied_seq, err) : insert_row(db, session, c, err);
    status = fb_flush_end(db, session, status, err);
    if (status != FB_OK)
        return status;
    *ret = (struct fb_partition){.epoch = ret->epoch + c->leap, .applied_seq = applied_seq};
    copy(ret->owner, sizeof ret->owner, FB_STR(c->owner));
    copy(ret->addr, sizeof ret->addr, FB_STR(c->addr));
    copy(ret->journal, sizeof ret->journal, FB_STR(c->journal));
    *ret_claim = is_ours ? FB_CLAIM_MINE : FB_CLAIM_NEW;
    return FB_OK;
}

enum fb_claim fb_partition_claim(const struct fb_flush_db *db, struct fb_session *session,
                                 const struct fb_claimant *claimant, struct fb_partition *ret, fb_err *err) {
    bool is_missing;
    enum fb_claim claim = FB_CLAIM_ERROR;
    if (strlen(claimant->part) > FB_FLUSH_PART_MAX || strlen(claimant->journal) >= sizeof ret->journal) {
        (void)fb_fail(err, FB_INVALID, "the name of the partition or the journal is too long");
        return FB_CLAIM_ERROR;
    }
    fb_status status = have_tables(db, session, &is_missing, err);
    if (is_missing)
        status = make_tables(db, session, err);
    /* FB_CONFLICT: somebody else has made the row; FB_UNKNOWN, FB_DOWN: the answer got lost, and a second claim of the
     * same journal is as good as the first. */
    for (unsigned tries = 0; tries < TRIES_MAX && status >= 0; tries++) {
        status = try_claim(db, session, claimant, ret, &claim, err);
        if (status == FB_OK)
            return claim;
        bool is_worth_another = status == FB_CONFLICT || status == FB_UNMET || status == FB_UNKNOWN;
        status = is_worth_another ? FB_OK : status;
    }
    return FB_CLAIM_ERROR;
}

fb_status fb_partition_read(const struct fb_flush_db *db, struct fb_session *session, const char *part,
                            struct fb_partition *ret, fb_err *err) {
    fb_status status = fb_flush_begin(db, session, err);
    if (status == FB_OK)
        status = fb_partition_find(db, session, part, ret, err);
    (void)db->roll_back(session);
    return status;
}

fb_status fb_partition_clean(const struct fb_flush_db *db, struct fb_session *session, const char *part,
                             uint64_t epoch, uint64_t applied_seq, fb_err *err) {
    const struct fb_datum params[] = {text(part), number(epoch), number(applied_seq)};
    fb_status status = fb_flush_begin(db, session, err);
    if (status == FB_OK)
        status = write_one(db, session,
                           "UPDATE fb_partition SET state = 'clean' WHERE part = ? AND epoch = ? AND applied_seq = ?",
                           params, 3, err);
    return fb_flush_end(db, session, status, err);
}

/* The watermark goes with the row; who comes back with that journal still wants to know what of it is in the database. */
static fb_status note_past(const struct fb_flush_db *db, struct fb_session *session, const char *part,
                           const struct fb_partition *was, fb_err *err) {
    char name[FB_FLUSH_PART_MAX + 1];
    if (was->journal[0] == '\0' || !fb_partition_past(part, was->journal, name))
        return FB_OK;
    const struct fb_datum again[] = {number(was->epoch), number(was->applied_seq), text(name)};
    const struct fb_datum params[] = {text(name), number(was->epoch), text(was->owner), text(was->addr),
                                      text(was->journal), number(was->applied_seq)};
    fb_status status =
        write_one(db, session, "UPDATE fb_partition SET epoch = ?, applied_seq = ? WHERE part = ?", again, 3, err);
    return status != FB_UNMET ? status
                              : write_one(db, session,
                                          "INSERT INTO fb_partition (part, epoch, owner, addr, journal, applied_seq, "
                                          "state) VALUES (?, ?, ?, ?, ?, ?, 'past')", params, 6, err);
}

fb_status fb_partition_take_over(const struct fb_flush_db *db, struct fb_session *session, const char *part,
                                 struct fb_partition *ret, fb_err *err) {
    fb_status status = FB_UNMET;
    for (unsigned tries = 0; tries < TRIES_MAX && status == FB_UNMET; tries++) {
        status = fb_flush_begin(db, session, err);
        if (status == FB_OK)
            status = fb_partition_find(db, session, part, ret, err);
        if (status == FB_OK) {
            const struct fb_datum params[] = {number(ret->epoch + 1), text(part), number(ret->epoch)};
            status = write_one(db, session,
                               "UPDATE fb_partition SET epoch = ?, owner = '', addr = '', journal = '', "
                               "state = 'clean' WHERE part = ? AND epoch = ?", params, 3, err);
        }
        if (status == FB_OK)
            status = note_past(db, session, part, ret, err);
        status = fb_flush_end(db, session, status, err);
    }
    return status;
}
