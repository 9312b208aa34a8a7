/* A real redis-server for the tests of the store: on a unix socket of its own, gone with the process that started it.
 * */
#ifndef FB_TESTS_STORE_WORLD_H
#define FB_TESTS_STORE_WORLD_H

#include "store/connection.h"
#include "store/place.h"

struct store_world {
    int pid, out;                 /* its standard output, which says when it is ready */
    char folder[64], path[96];
    struct fb_place *place;
    struct fb_connection raw;     /* for commands of the test's own */
    char text[4096];              /* what the last of them was answered */
};

/* False where there is no redis-server. `extra`: further arguments, NULL at the end; may be NULL. */
bool store_world_start(struct store_world *w, const char *const *extra);
void store_world_stop(struct store_world *w);
/* Killed, and started anew with the same arguments but for `extra`. */
void store_world_restart(struct store_world *w, const char *const *extra);
struct fb_store *store_world_open(const struct store_world *w);
/* At a place of its own, which is closed after the store. */
struct fb_store *store_world_open_at(const char *url, const char *user, const char *password,
                                     struct fb_place **ret_place);
void store_world_close_at(struct fb_store *store, struct fb_place *place);
/* Send words (NULL at the end) and show the answer as text: "OK", "3", "(nil)", "a b c", "-ERR …". */
const char *store_world_ask(struct store_world *w, const char *word, ...) __attribute__((sentinel));
fb_instant store_world_soon(void);
/* Nobody listens there at this moment. */
unsigned store_world_free_port(void);
bool store_world_is_before(fb_instant deadline);

#endif
