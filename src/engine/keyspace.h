/* A keyspace of the engine: options copied, bound to its source. */
#ifndef FB_ENGINE_KEYSPACE_H
#define FB_ENGINE_KEYSPACE_H

#include <forebay/forebay.h>

struct fb_keyspace;
void fb_keyspace_free(struct fb_keyspace *keyspace); /* NULL accepted */
/* Give a policy to all shards, one after another. */
void fb_keyspace_put_policy(struct fb_cache *cache, unsigned keyspace, const fb_policy *policy);

#endif
