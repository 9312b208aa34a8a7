/* All patterns of a cache in one trie: which keyspace does a key belong to?
 *
 * A node has literal edges (a text each, no two of them beginning alike) and parameter edges. Patterns share an edge
 * when their parameters end alike: a plain parameter followed by ':' ends at the first ':' whatever comes after it;
 * otherwise the text that follows is part of the edge. Where a parameter ends depends on the key alone, so a key leads
 * to each node at one position at most and the walk is bounded by the size of the trie; in practice it is the length of
 * the key.
 *
 * Several patterns may match one key. Adding has made sure that of any two of them one lies inside the other and has
 * more literal text (overlap.c), so the one with the most literal text is the answer. */
#include "rows/pattern.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "rows/overlap.h"
#include "rows/param.h"
#include "base/utf8.h"

struct edge {
    struct edge *sibling;
    struct node *target;
    enum fb_param_type type; /* parameter edge: … */
    bool next_is_last;       /* … does the text it ends at end the pattern? */
    uint8_t len;
    char text[];             /* literal edge: what it reads; parameter edge: the text it ends at */
};

struct node {
    struct edge *literals, *params;
    int id; /* −1: no pattern ends here */
    size_t literal_len;
};

struct fb_router {
    struct node root;
    struct fb_pattern *patterns;
    unsigned npatterns, cap;
};

static void init_node(struct node *node) { *node = (struct node){.id = -1}; }

struct fb_router *fb_router_create(void) {
    struct fb_router *router = fb_mem_calloc(1, sizeof *router);
    if (router != NULL)
        init_node(&router->root);
    return router;
}

/* Depth is at most FB_PATTERN_LEN_MAX. */
static void free_edges(struct edge *edge) {
    while (edge != NULL) {
        struct edge *sibling = edge->sibling;
        free_edges(edge->target->literals);
        free_edges(edge->target->params);
        fb_mem_free(edge->target);
        fb_mem_free(edge);
        edge = sibling;
    }
}

struct fb_router *fb_router_destroy(struct fb_router *router) {
    if (router == NULL)
        return NULL;
    free_edges(router->root.literals);
    free_edges(router->root.params);
    for (unsigned i = 0; i < router->npatterns; i++)
        fb_pattern_finish(&router->patterns[i]);
    fb_mem_free(router->patterns);
    fb_mem_free(router);
    return NULL;
}

static struct edge *new_edge(const struct edge *like, const char *text) {
    struct edge *edge = fb_mem_alloc(sizeof *edge + like->len);
    if (edge == NULL)
        return NULL;
    *edge = *like;
    if (like->len > 0)
        memcpy(edge->text, text, like->len);
    return edge;
}

static struct node *add_edge(struct edge **list, const struct edge *like, const char *text) {
    struct edge *edge = new_edge(like, text);
    struct node *node = fb_mem_alloc(sizeof *node);
    if (edge == NULL || node == NULL) {
        fb_mem_free(edge);
        fb_mem_free(node);
        return NULL;
    }
    init_node(node);
    edge->target = node;
    edge->sibling = *list;
    *list = edge;
    return node;
}

/* Cut a literal edge in two; the node between them is returned. The edge keeps its place in its list. */
static struct node *split_edge(struct edge *edge, size_t at) {
    struct edge *rest =
        new_edge(&(struct edge){.target = edge->target, .len = (uint8_t)(edge->len - at)}, edge->text + at);
    struct node *between = fb_mem_alloc(sizeof *between);
    if (rest == NULL || between == NULL) {
        fb_mem_free(rest);
        fb_mem_free(between);
        return NULL;
    }
    init_node(between);
    between->literals = rest;
    edge->len = (uint8_t)at;
    edge->target = between;
    return between;
}

/* Parts of a pattern are at most FB_PATTERN_LEN_MAX long, so lengths fit a byte. */
static struct node *add_literal(struct node *node, const char *text, size_t len) {
    while (node != NULL && len > 0) {
        struct edge *e = node->literals;
        while (e != NULL && e->text[0] != text[0])
            e = e->sibling;
        if (e == NULL)
            return add_edge(&node->literals, &(struct edge){.len = (uint8_t)len}, text);
        size_t same = 1;
        while (same < e->len && same < len && e->text[same] == text[same])
            same++;
        node = same == e->len ? e->target : split_edge(e, same);
        text += same;
        len -= same;
    }
    return node;
}

static struct node *add_param(struct node *node, const struct fb_pattern_part *part, unsigned left) {
    struct edge like = {.type = part->type};
    const char *next = NULL;
    if (part->type == FB_PARAM_TEXT && left > 0) {
        next = part[1].text;
        bool ends_at_colon = next[0] == ':';
        like.len = ends_at_colon ? 1 : (uint8_t)part[1].len;
        like.next_is_last = !ends_at_colon && left == 1;
    }
    for (struct edge *e = node->params; e != NULL; e = e->sibling)
        if (e->type == like.type && e->next_is_last == like.next_is_last && e->len == like.len &&
            (like.len == 0 || memcmp(e->text, next, like.len) == 0))
            return e->target;
    return add_edge(&node->params, &like, next);
}

/* Nodes that are added before memory runs out lead nowhere and harm nothing. */
static struct node *add_path(struct node *node, const struct fb_pattern *pattern) {
    for (unsigned i = 0; i < pattern->nparts && node != NULL; i++) {
        const struct fb_pattern_part *part = &pattern->parts[i];
        node = part->is_param ? add_param(node, part, pattern->nparts - i - 1)
                              : add_literal(node, part->text, part->len);
    }
    return node;
}

static fb_status check_overlaps(const struct fb_router *router, const struct fb_pattern *pattern, fb_err *err) {
    for (unsigned i = 0; i < router->npatterns; i++) {
        enum fb_overlap overlap;
        fb_buf example = FB_BUF_INIT;
        if (fb_overlap_compare(pattern, &router->patterns[i], &overlap, &example) != FB_OK) {
            fb_buf_free(&example);
            return fb_fail(err, FB_NOMEM, "out of memory");
        }
        if (overlap == FB_OVERLAP_AMBIGUOUS || overlap == FB_OVERLAP_UNKNOWN) {
            char *mine = fb_pattern_format(pattern), *other = fb_pattern_format(&router->patterns[i]);
            const char *a = mine != NULL ? mine : "?", *b = other != NULL ? other : "?";
            if (overlap == FB_OVERLAP_AMBIGUOUS)
                fb_fail(err, FB_CONFIG, "patterns '%s' and '%s' both match '%.*s' and neither is the more literal one",
                        a, b, (int)example.len, example.data);
            else
                fb_fail(err, FB_CONFIG, "patterns '%s' and '%s' are too complex to be told apart", a, b);
            fb_mem_free(mine);
            fb_mem_free(other);
            fb_buf_free(&example);
            return FB_CONFIG;
        }
        fb_buf_free(&example);
    }
    return FB_OK;
}

/* A copy of one's own: the text of a pattern says everything about it. */
static fb_status copy_pattern(const struct fb_pattern *pattern, struct fb_pattern *ret_copy, fb_err *err) {
    char *text = fb_pattern_format(pattern);
    fb_status status = text != NULL ? fb_pattern_parse(text, ret_copy, err) : fb_fail(err, FB_NOMEM, "out of memory");
    fb_mem_free(text);
    return status;
}

fb_status fb_router_add(struct fb_router *router, const struct fb_pattern *pattern, int id, fb_err *reterr) {
    if (router->npatterns == FB_ROUTER_KEYSPACES_MAX)
        return fb_fail(reterr, FB_CONFIG, "more than %d keyspaces", FB_ROUTER_KEYSPACES_MAX);
    fb_status status = check_overlaps(router, pattern, reterr);
    if (status != FB_OK)
        return status;
    if (router->npatterns == router->cap) {
        unsigned cap = router->cap > 0 ? 2 * router->cap : 8;
        struct fb_pattern *patterns = fb_mem_realloc(router->patterns, cap * sizeof *patterns);
        if (patterns == NULL)
            return fb_fail(reterr, FB_NOMEM, "out of memory");
        router->patterns = patterns;
        router->cap = cap;
    }
    status = copy_pattern(pattern, &router->patterns[router->npatterns], reterr);
    if (status != FB_OK)
        return status;
    struct node *end = add_path(&router->root, pattern);
    if (end == NULL) {
        fb_pattern_finish(&router->patterns[router->npatterns]);
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    }
    router->npatterns++;
    end->id = id;
    end->literal_len = fb_pattern_literal_len(pattern);
    return FB_OK;
}

static const struct edge *find_literal(const struct node *node, fb_bytes rest) {
    const struct edge *e = node->literals;
    while (e != NULL && e->text[0] != rest.data[0])
        e = e->sibling;
    return e != NULL && e->len <= rest.len && memcmp(e->text, rest.data, e->len) == 0 ? e : NULL;
}

static fb_bytes skip(fb_bytes bytes, size_t n) { return fb_bytes_of(bytes.data + n, bytes.len - n); }

/* Recursion only at parameters: at most FB_PATTERN_PARAMS_MAX deep. */
static void walk(const struct node *node, fb_bytes rest, const struct node **best) {
    while (rest.len > 0) {
        for (const struct edge *e = node->params; e != NULL; e = e->sibling) {
            size_t n = fb_param_cut(e->type, rest, fb_bytes_of(e->text, e->len), e->next_is_last);
            if (n > 0)
                walk(e->target, skip(rest, n), best);
        }
        const struct edge *literal = find_literal(node, rest);
        if (literal == NULL)
            return;
        rest = skip(rest, literal->len);
        node = literal->target;
    }
    if (node->id >= 0 && (*best == NULL || node->literal_len > (*best)->literal_len))
        *best = node;
}

int fb_router_find(const struct fb_router *router, fb_bytes key) {
    const struct node *best = NULL;
    walk(&router->root, key, &best);
    return best != NULL && fb_utf8_is_text(key) ? best->id : -1;
}
