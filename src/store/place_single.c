/* For a moment: a place that is one server, without a watch. place.c takes over. */
#include "store/place.h"
#include "store/watch.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"

struct fb_place {
    struct fb_store_url url;
    char *password;
    _Atomic int64_t proof;
};

fb_status fb_place_open(const struct fb_place_options *options, struct fb_place **ret_place, fb_err *reterr) {
    struct fb_place *place = fb_mem_calloc(1, sizeof *place);
    if (place == NULL)
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    fb_status status = fb_store_url_parse(options->url, &place->url, reterr);
    if (status != FB_OK) {
        fb_mem_free(place);
        return status;
    }
    if (options->password != NULL)
        place->password = fb_mem_strdup(options->password);
    atomic_store(&place->proof, INT64_MIN);
    *ret_place = place;
    return FB_OK;
}

void fb_place_close(struct fb_place *place) {
    if (place == NULL)
        return;
    fb_mem_free(place->password);
    fb_mem_free(place);
}

fb_status fb_store_open(struct fb_place *place, struct fb_store **ret_store, fb_err *reterr) {
    const struct fb_store_url *url = &place->url;
    bool is_unix = url->is_unix;
    struct fb_store_redis_options options = {
        .path = is_unix ? url->host : NULL, .host = is_unix ? NULL : url->host,
        .port = url->port, .db = url->db, .user = url->user[0] != '\0' ? url->user : NULL,
        .password = place->password != NULL ? place->password : url->password[0] != '\0' ? url->password : NULL};
    return fb_store_redis_open(&options, ret_store, reterr);
}

const _Atomic int64_t *fb_place_proof(const struct fb_place *place) { return &place->proof; }
void fb_place_facts(struct fb_place *place, struct fb_place_facts *ret_facts) {
    (void)place;
    memset(ret_facts, 0, sizeof *ret_facts);
}

fb_status fb_store_watch_start(struct fb_place *place, const struct fb_store_watch_options *options,
                               struct fb_store_watch **ret_watch, fb_err *reterr) {
    (void)place, (void)options;
    *ret_watch = NULL;
    return fb_fail(reterr, FB_SYSTEM, "not yet");
}
void fb_store_watch_stop(struct fb_store_watch *watch) { (void)watch; }
