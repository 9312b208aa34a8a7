/* The sample database of the demonstration: a shop in SQLite with users, products, inventory, orders and their lines.
 *
 * The same seed gives the same rows. Keys are dense: user 1 .. users, product 1 .. products, order 1 .. orders. */
#ifndef FB_CLI_SHOP_H
#define FB_CLI_SHOP_H

#include <stdbool.h>
#include <stdint.h>

#include <forebay/forebay.h>

struct fb_shop_size { unsigned users, products, orders; };

/* Called about a hundred times while the shop is made; false stops it. */
typedef bool fb_shop_progress(void *user, unsigned percent);

/* Make the database; the file must not exist. FB_INVALID (it does), FB_SYSTEM (SQLite's own words), FB_CLOSED
 * (stopped). Nothing is left behind on failure. */
fb_status fb_shop_create(const char *path, const struct fb_shop_size *size, uint64_t seed, fb_shop_progress *progress,
                         void *user, fb_err *reterr);

/* Add the shop's keyspaces (fb_shop_config says them as YAML) to a cache. */
fb_status fb_shop_map(fb_cache *cache, fb_source *shop, fb_err *reterr);

/* A forebay.yaml with the same keyspaces; the URL of the source is given. */
fb_status fb_shop_config(const char *config_path, const char *database_path, fb_err *reterr);

#endif
