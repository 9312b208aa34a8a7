/* Dead letters: changes that the database has refused, kept in fb_dead with its reason until somebody has dealt with
 * them. Nothing here removes a letter unasked. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "source/flush_db.h"

enum { TEXT_MAX = 400 };

struct visit {
    fb_dead_visit *call;
    void *user;
    size_t n;
};

static void take_letter(void *user, const fb_bytes *cells) {
    struct visit *visit = user;
    const struct fb_dead_letter letter = {
        .id = fb_flush_number(cells[0]), .part = cells[1],    .seq = fb_flush_number(cells[2]), .keyspace = cells[3],
        .key = cells[4],           .record = cells[5],  .code = cells[6],           .message = cells[7],
        .at = cells[8],            .attempts = fb_flush_number(cells[9]),
    };
    visit->n++;
    if (visit->call != NULL)
        visit->call(visit->user, &letter);
}

/* Read letters, with this end of the statement. */
static fb_status read_letters(const struct fb_flush_db *db, struct fb_session *session, const char *rest,
                              const struct fb_datum *params, unsigned n, struct visit *visit, fb_err *err) {
    char sql_text[TEXT_MAX];
    const struct fb_flush_sql sql = {sql_text, "ititbbttti"};
    uint64_t changed;
    snprintf(sql_text, sizeof sql_text,
             "SELECT id, part, seq, keyspace, key_name, record, code, message, %s, attempts FROM fb_dead %s",
             db->shown_at, rest);
    fb_status status = fb_flush_begin(db, session, err);
    if (status == FB_OK)
        status = db->run(session, &sql, params, n, take_letter, visit, &changed, err);
    (void)db->roll_back(session);
    return status;
}

fb_status fb_dead_list(const struct fb_flush_db *db, struct fb_session *session, const char *part, uint64_t after,
                       size_t limit, fb_dead_visit call, void *user, fb_err *err) {
    struct visit visit = {call, user, 0};
    const struct fb_datum params[] = {fb_datum_int((int64_t)after), fb_datum_int((int64_t)limit)};
    const char *name = part != NULL ? part : "";
    const struct fb_datum of_part[] = {params[0], fb_datum_bytes(FB_DATUM_TEXT, FB_STR(name)), params[1]};
    return part == NULL ? read_letters(db, session, "WHERE id > ? ORDER BY id LIMIT ?", params, 2, &visit, err)
                        : read_letters(db, session, "WHERE id > ? AND part = ? ORDER BY id LIMIT ?", of_part, 3, &visit,
                                       err);
}

fb_status fb_dead_get(const struct fb_flush_db *db, struct fb_session *session, uint64_t id, fb_dead_visit call,
                      void *user, fb_err *err) {
    struct visit visit = {call, user, 0};
    const struct fb_datum params[] = {fb_datum_int((int64_t)id)};
    fb_status status = read_letters(db, session, "WHERE id = ?", params, 1, &visit, err);
    return status == FB_OK && visit.n == 0 ? FB_NOTFOUND : status;
}

/* FB_NOTFOUND: there is no such row. */
static fb_status change(const struct fb_flush_db *db, struct fb_session *session, const char *sql_text,
                        const struct fb_datum *params, unsigned n, fb_err *err) {
    const struct fb_flush_sql sql = {.text = sql_text};
    uint64_t changed = 0;
    fb_status status = db->run(session, &sql, params, n, NULL, NULL, &changed, err);
    return status == FB_OK && changed == 0 ? FB_NOTFOUND : status;
}

fb_status fb_dead_drop(const struct fb_flush_db *db, struct fb_session *session, uint64_t id, fb_err *err) {
    const struct fb_datum params[] = {fb_datum_int((int64_t)id)};
    fb_status status = fb_flush_begin(db, session, err);
    if (status == FB_OK)
        status = change(db, session, "DELETE FROM fb_dead WHERE id = ?", params, 1, err);
    return fb_flush_end(db, session, status, err);
}

/* The database refuses the letter's change still: note it. */
static fb_status note_attempt(const struct fb_flush_db *db, struct fb_session *session, uint64_t id, const char *code,
                              const struct fb_flush_item *item, fb_err *err) {
    char message[FB_ERR_TEXT_MAX];
    fb_flush_message(item->error, message);
    const struct fb_datum params[] = {fb_datum_bytes(FB_DATUM_TEXT, FB_STR(code)),
                                      fb_datum_bytes(FB_DATUM_TEXT, FB_STR(message)), fb_datum_int((int64_t)id)};
    fb_status status = fb_flush_begin(db, session, err);
    if (status == FB_OK)
        status = change(db, session, "UPDATE fb_dead SET attempts = attempts + 1, code = ?, message = ? WHERE id = ?",
                        params, 3, err);
    return fb_flush_end(db, session, status, err);
}

fb_status fb_dead_retry(const struct fb_flush_db *db, struct fb_session *session, const char *part, uint64_t epoch,
                        uint64_t id, struct fb_flush_item *item, fb_err *err) {
    char code[FB_FLUSH_CODE_MAX] = "";
    const struct fb_datum owner[] = {fb_datum_bytes(FB_DATUM_TEXT, FB_STR(part)), fb_datum_int((int64_t)epoch)};
    const struct fb_datum letter[] = {fb_datum_int((int64_t)id)};
    fb_value_unref(item->error);
    item->error = NULL;
    fb_status status = fb_flush_begin(db, session, err);
    if (status == FB_OK) /* locks the row: nobody flushes meanwhile */
        status = change(db, session, "UPDATE fb_partition SET applied_seq = applied_seq WHERE part = ? AND epoch = ?",
                        owner, 2, err);
    if (status == FB_NOTFOUND)
        status = fb_fail(err, FB_UNMET, "the partition has another owner by now");
    if (status == FB_OK)
        status = change(db, session, "DELETE FROM fb_dead WHERE id = ?", letter, 1, err);
    bool is_due = status == FB_OK;
    if (is_due)
        status = fb_flush_one(db, session, item, err);
    if (is_due && status == FB_OK && db->settle != NULL)
        status = db->settle(session, err);
    bool is_refused = is_due && status < 0 && db->classify(session, err, code) == FB_FLUSH_DATA;
    status = fb_flush_end(db, session, status, err);
    item->status = status;
    if (is_refused) {
        fb_err own;
        item->error = fb_value_new(FB_KIND_STRING, err->text, strlen(err->text));
        (void)note_attempt(db, session, id, code, item, &own); /* the letter is as it was, if this fails */
    }
    return status;
}

fb_status fb_dead_add(const struct fb_flush_db *db, struct fb_session *session, const char *part,
                      const struct fb_flush_item *items, size_t n, fb_err *err) {
    fb_status status = fb_flush_begin(db, session, err);
    for (size_t i = 0; i < n && status == FB_OK; i++)
        status = fb_flush_bury(db, session, part, &items[i], "FENCED", err);
    return fb_flush_end(db, session, status, err);
}
