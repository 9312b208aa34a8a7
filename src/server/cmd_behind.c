/* What clients ask of write-behind: whether their writes are safe (WAIT, WAITAOF), and what the database refused
 * (FB.DEAD). */
#include "server/cmd_fb.h"
#include "server/forward.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

enum { LETTERS_DEFAULT = 10, LETTERS_MAX = 1000, SOURCE_NAME_MAX = 256 };

static bool writes_behind(fb_cache *cache) {
    for (unsigned i = 0; i < fb_keyspace_count(cache); i++)
        if (fb_keyspace_at(cache, i)->write == FB_WRITE_BEHIND)
            return true;
    return false;
}

/* ---- WAIT and WAITAOF ---------------------------------------------------------------------------------------------- */

static bool read_timeout(struct fb_call *call, fb_bytes text, int64_t *ret_ms) {
    if (!fb_parse_integer(text, ret_ms))
        fb_call_error(call, TIMEOUT_INTEGER);
    else if (*ret_ms < 0)
        fb_call_error(call, TIMEOUT_NEGATIVE);
    else
        return true;
    return false;
}

static fb_status settle(struct fb_call *call, fb_done done, void *user, fb_result *ret_result) {
    return fb_settle(fb_call_cache(call), (fb_settled)call->number[0], call->number[1], done, user, ret_result);
}

static void begin_settling(struct fb_call *call, struct fb_part *parts, size_t n);

/* number[0] is what is waited for, number[1] the time; inside a transaction nothing is waited for. */
static void wait_for(struct fb_call *call, fb_settled what, int64_t ms) {
    call->number[0] = what;
    call->number[1] = ms;
    fb_call_steps(call, 1, begin_settling);
}

static void answer(struct fb_call *call, struct fb_part *parts, size_t n) {
    int64_t is_safe = parts[0].status == FB_OK;
    (void)n;
    if (is_safe && fb_forward_settles(call))
        return;
    if (call->number[0] == FB_SETTLED_JOURNAL)
        fb_resp_write_array(call->out, 2);
    fb_resp_write_integer(call->out, is_safe);
    if (call->number[0] == FB_SETTLED_JOURNAL)
        fb_resp_write_integer(call->out, 0);
}

static void begin_settling(struct fb_call *call, struct fb_part *parts, size_t n) {
    fb_instant now = fb_clock_now();
    (void)parts, (void)n;
    if (fb_buf_append(&call->notes, &now, sizeof now) != FB_OK)
        fb_call_out_of_memory(call);
    else
        fb_call_await(call, settle, answer);
}

/* The database is what a write-behind still has to reach: the one replica there is. What is written through has reached
 * it when it is answered, and counts none, as ever. */
void fb_cmd_wait(struct fb_call *call) {
    int64_t replicas, ms;
    if (!fb_call_integer(call, call->argv[1], &replicas) || !read_timeout(call, call->argv[2], &ms))
        return;
    if (replicas > 0 && !call->is_inner && writes_behind(fb_call_cache(call)))
        wait_for(call, FB_SETTLED_SOURCE, ms);
    else
        fb_resp_write_integer(call->out, 0);
}

void fb_cmd_waitaof(struct fb_call *call) {
    int64_t local, replicas, ms;
    if (!fb_call_integer(call, call->argv[1], &local) || !fb_call_integer(call, call->argv[2], &replicas) ||
        !read_timeout(call, call->argv[3], &ms))
        return;
    if (local != 0 && writes_behind(fb_call_cache(call)) && !call->is_inner) {
        wait_for(call, FB_SETTLED_JOURNAL, ms);
        return;
    }
    if (local != 0) {
        fb_call_error(call, WAITAOF);
        return;
    }
    fb_resp_write_array(call->out, 2);
    fb_resp_write_integer(call->out, 0);
    fb_resp_write_integer(call->out, 0);
}

/* ---- FB.DEAD -------------------------------------------------------------------------------------------------------- */

/* At the front of the notes. */
struct dead {
    fb_dead_verb verb;
    uint64_t id;
    size_t limit;
    bool has_source;
    char source[SOURCE_NAME_MAX];
};

static struct dead *dead_of(const struct fb_call *call) { return (struct dead *)(void *)call->notes.data; }

static void write_letter(struct fb_call *call, const fb_field *letter) {
    struct fb_page page;
    fb_field field;
    fb_page_begin(&page, call);
    fb_page_bytes(&page, "id", letter->name);
    for (size_t cursor = 0; fb_hash_next(letter->value, &cursor, &field);) {
        char name[32];
        size_t len = field.name.len < sizeof name - 1 ? field.name.len : sizeof name - 1;
        memcpy(name, field.name.data, len);
        name[len] = '\0';
        fb_page_bytes(&page, name, field.value);
    }
    fb_page_end(&page, call);
}

static void write_letters(struct fb_call *call, struct fb_part *part, size_t n) {
    const struct dead *dead = dead_of(call);
    fb_bytes letters = fb_bytes_of(part->bytes.data, part->bytes.len);
    fb_field letter;
    (void)n;
    if (fb_call_failed(call, part))
        return;
    if (dead->verb == FB_DEAD_RETRY || dead->verb == FB_DEAD_DROP) {
        fb_resp_write_integer(call->out, part->status == FB_OK);
        return;
    }
    if (dead->verb == FB_DEAD_LIST)
        fb_resp_write_array(call->out, fb_hash_len(letters));
    else if (part->status == FB_NOTFOUND || letters.len == 0)
        fb_resp_write_null(call->out);
    for (size_t cursor = 0; fb_hash_next(letters, &cursor, &letter);)
        write_letter(call, &letter);
}

static fb_status ask(struct fb_call *call, fb_done done, void *user, fb_result *ret_result) {
    const struct dead *dead = dead_of(call);
    return fb_dead(fb_call_cache(call), dead->has_source ? dead->source : NULL, dead->verb, dead->id, dead->limit, done,
                   user, ret_result);
}

static void begin(struct fb_call *call, struct fb_part *parts, size_t n) {
    (void)parts, (void)n;
    fb_call_await(call, ask, write_letters);
}

static bool take_number(struct fb_call *call, fb_bytes text, int64_t least, int64_t most, int64_t *ret) {
    if (!fb_call_integer(call, text, ret))
        return false;
    if (*ret >= least && *ret <= most)
        return true;
    fb_call_error(call, RANGE);
    return false;
}

/* The rest of the arguments: pairs of a word and what it asks for. */
static bool take_options(struct fb_call *call, size_t from, struct dead *dead) {
    for (size_t i = from; i < call->argc; i += 2) {
        bool is_list = dead->verb == FB_DEAD_LIST;
        int64_t number;
        if (i + 1 == call->argc) {
            fb_call_syntax_error(call);
            return false;
        }
        fb_bytes value = call->argv[i + 1];
        if (fb_is_word(call->argv[i], "source") && value.len < sizeof dead->source) {
            memcpy(dead->source, value.data, value.len);
            dead->has_source = true;
        } else if (is_list && fb_is_word(call->argv[i], "after")) {
            if (!take_number(call, value, 0, INT64_MAX, &number))
                return false;
            dead->id = (uint64_t)number;
        } else if (is_list && fb_is_word(call->argv[i], "count")) {
            if (!take_number(call, value, 1, LETTERS_MAX, &number))
                return false;
            dead->limit = (size_t)number;
        } else {
            fb_call_syntax_error(call);
            return false;
        }
    }
    return true;
}

void fb_cmd_fb_dead(struct fb_call *call) {
    static const struct { const char *word; fb_dead_verb verb; } verbs[] = {
        {"list", FB_DEAD_LIST}, {"get", FB_DEAD_GET}, {"retry", FB_DEAD_RETRY}, {"drop", FB_DEAD_DROP}};
    struct dead dead = {.limit = LETTERS_DEFAULT};
    size_t i = 0, options = 2;
    while (i < sizeof verbs / sizeof verbs[0] && !fb_is_word(call->argv[1], verbs[i].word))
        i++;
    if (i == sizeof verbs / sizeof verbs[0]) {
        fb_call_syntax_error(call);
        return;
    }
    dead.verb = verbs[i].verb;
    if (dead.verb != FB_DEAD_LIST) {
        int64_t id;
        if (call->argc < 3) {
            fb_call_syntax_error(call);
            return;
        }
        if (!take_number(call, call->argv[2], 1, INT64_MAX, &id))
            return;
        dead.id = (uint64_t)id;
        options = 3;
    }
    if (!take_options(call, options, &dead))
        return;
    if (fb_buf_append(&call->notes, &dead, sizeof dead) != FB_OK)
        fb_call_out_of_memory(call);
    else
        fb_call_steps(call, 1, begin);
}
