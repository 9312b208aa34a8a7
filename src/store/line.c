/* Connecting, greeting, loading scripts, and trying again later. */
#include "store/line.h"

#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "policy/policy.h"

enum { BACKOFF_FIRST_MS = 20, BACKOFF_MOST_MS = 1000, FAILURES_COUNTED = 16 };

struct fb_line *fb_line_new(const struct fb_place *place, const struct fb_store_address *address) {
    struct fb_line *line = fb_mem_calloc(1, sizeof *line);
    if (line == NULL)
        return NULL;
    line->address = *address;
    line->not_before = (fb_instant){INT64_MIN};
    fb_connection_init(&line->connection, place->value_max);
    return line;
}

struct fb_line *fb_line_free(struct fb_line *line) {
    if (line == NULL)
        return NULL;
    fb_connection_finish(&line->connection);
    fb_mem_free(line);
    return NULL;
}

void fb_line_write_scripts(struct fb_line *line) {
    for (unsigned i = 0; i < FB_SCRIPT_COUNT; i++) {
        fb_bytes words[] = {FB_STR("SCRIPT"), FB_STR("LOAD"), FB_STR(fb_script_text(i))};
        fb_resp_write_command(&line->connection.out, words, 3);
    }
}

fb_status fb_line_take_script(struct fb_line *line, unsigned script, fb_err *reterr) {
    fb_status status = fb_reply_check(&line->connection, "SCRIPT LOAD", reterr);
    if (status != FB_OK)
        return status;
    fb_bytes text = line->connection.reply.items[0].text;
    if (text.len != FB_SCRIPT_HASH)
        return fb_fail(reterr, FB_DOWN, "SCRIPT LOAD answers no hash");
    memcpy(line->hashes[script], text.data, FB_SCRIPT_HASH);
    return FB_OK;
}

static fb_status load_scripts(struct fb_line *line, fb_instant deadline, fb_err *reterr) {
    fb_connection_start(&line->connection);
    fb_line_write_scripts(line);
    fb_status status = FB_OK;
    for (unsigned i = 0; i < FB_SCRIPT_COUNT && status == FB_OK; i++)
        if ((status = fb_connection_next(&line->connection, deadline, reterr)) == FB_OK)
            status = fb_line_take_script(line, i, reterr);
    return status;
}

static fb_status connect_now(struct fb_line *line, const struct fb_place *place, fb_instant deadline, fb_err *reterr) {
    struct fb_endpoint to = fb_place_endpoint(place, &line->address);
    struct fb_greeted greeted = {0};
    fb_status status = fb_connection_open(&line->connection, &to, deadline, reterr);
    if (status == FB_OK)
        status = fb_greet(&line->connection, &place->login, deadline, &greeted, reterr);
    if (status == FB_OK)
        status = fb_greeted_is_primary(&greeted, reterr);
    if (status == FB_OK && place->url.kind == FB_STORE_CLUSTER && !greeted.is_cluster)
        status = fb_fail(reterr, FB_CONFIG, "it is no node of a Cluster");
    if (status != FB_OK)
        return status;
    line->server = greeted.server;
    return load_scripts(line, deadline, reterr);
}

fb_status fb_line_connect(struct fb_line *line, const struct fb_place *place, struct fb_rng *rng, fb_instant deadline,
                          fb_err *reterr) {
    if (fb_connection_is_quiet(&line->connection))
        return FB_OK;
    fb_connection_close(&line->connection);
    if (!fb_reached(fb_clock_now(), line->not_before))
        return fb_fail(reterr, FB_MISS, "not connected; the next try is in a moment");
    fb_status status = connect_now(line, place, deadline, reterr);
    if (status == FB_OK) {
        line->failures = 0;
        return FB_OK;
    }
    fb_connection_close(&line->connection);
    fb_span wait = fb_backoff(line->failures, fb_ms(BACKOFF_FIRST_MS), fb_ms(BACKOFF_MOST_MS), (uint16_t)fb_rng_next(rng));
    line->failures += line->failures < FAILURES_COUNTED;
    line->not_before = fb_after(fb_clock_now(), wait);
    return status;
}
