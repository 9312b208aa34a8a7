/* YAML as a tree of texts with positions: mappings, lists and scalars, nothing else.
 *
 * Anchors, aliases, tags, several documents and keys that are no scalars are refused; depth and size are bounded. No
 * scalar is typed here. */
#ifndef FB_CONF_TREE_H
#define FB_CONF_TREE_H

#include "conf/details.h"

enum { FB_YAML_DEPTH_MAX = 8, FB_YAML_NODES_MAX = 20000 };

enum fb_node_kind { FB_NODE_SCALAR, FB_NODE_MAP, FB_NODE_LIST };

struct fb_node {
    enum fb_node_kind kind;
    struct fb_origin at;
    const char *text;        /* of a scalar; without NUL */
    bool is_bare;            /* a scalar without quotes */
    struct fb_node *key;     /* of a mapping's member */
    struct fb_node *first, *next;
};

/* The document's root, or NULL: empty, or faults (which have become diagnostics). *ret_ok is false with faults that
 * make the tree worthless. */
struct fb_node *fb_yaml_parse(struct fb_conf_details *d, bool *ret_ok);

#endif
