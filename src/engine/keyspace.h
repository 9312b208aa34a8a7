/* A keyspace of the engine: options copied, bound to its source. */
#ifndef FB_ENGINE_KEYSPACE_H
#define FB_ENGINE_KEYSPACE_H

struct fb_keyspace;
void fb_keyspace_free(struct fb_keyspace *keyspace); /* NULL accepted */

#endif
