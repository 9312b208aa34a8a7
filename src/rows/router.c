/* All patterns of a cache in one trie: which keyspace does a key belong to?
 *
 * A node has literal edges (one byte) and parameter edges. Patterns share an edge when their parameters end alike: a
 * plain parameter followed by ':' ends at the first ':' whatever comes after it; otherwise the text that follows is
 * part of the edge. Where a parameter ends depends on the key alone, so a key leads to each node at one position at
 * most and the walk is bounded by the size of the trie; in practice it is the length of the key.
 *
 * Several patterns may match one key. Adding has made sure that of any two of them one lies inside the other and has
 * more literal text (overlap.c), so the one with the most literal text is the answer. */
#include "rows/pattern.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "rows/overlap.h"
#include "rows/param.h"
#include "rows/utf8.h"

struct edge {
    struct edge *sibling;
    struct node *target;
    bool is_param;
    char byte;                /* literal edge */
    enum fb_param_type type;  /* parameter edge … */
    bool next_is_last;
    uint8_t next_len;
    char next[];              /* … with the text it ends at */
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

static struct node *add_edge(struct edge **list, const struct edge *like, const char *next) {
    struct edge *edge = fb_mem_alloc(sizeof *edge + like->next_len);
    struct node *node = fb_mem_alloc(sizeof *node);
    if (edge == NULL || node == NULL) {
        fb_mem_free(edge);
        fb_mem_free(node);
        return NULL;
    }
    init_node(node);
    *edge = *like;
    if (like->next_len > 0)
        memcpy(edge->next, next, like->next_len);
    edge->target = node;
    edge->sibling = *list;
    *list = edge;
    return node;
}

static struct node *add_literal(struct node *node, char byte) {
    for (struct edge *e = node->literals; e != NULL; e = e->sibling)
        if (e->byte == byte)
            return e->target;
    return add_edge(&node->literals, &(struct edge){.byte = byte}, NULL);
}

static struct node *add_param(struct node *node, const struct fb_pattern_part *part, unsigned left) {
    struct edge like = {.is_param = true, .type = part->type};
    const char *next = NULL;
    if (part->type == FB_PARAM_TEXT && left > 0) {
        next = part[1].text;
        bool ends_at_colon = next[0] == ':';
        like.next_len = ends_at_colon ? 1 : (uint8_t)part[1].len;
        like.next_is_last = !ends_at_colon && left == 1;
    }
    for (struct edge *e = node->params; e != NULL; e = e->sibling)
        if (e->type == like.type && e->next_is_last == like.next_is_last && e->next_len == like.next_len &&
            (like.next_len == 0 || memcmp(e->next, next, like.next_len) == 0))
            return e->target;
    return add_edge(&node->params, &like, next);
}

/* Nodes that are added before memory runs out lead nowhere and harm nothing. */
static struct node *add_path(struct node *node, const struct fb_pattern *pattern) {
    for (unsigned i = 0; i < pattern->nparts && node != NULL; i++) {
        const struct fb_pattern_part *part = &pattern->parts[i];
        if (part->is_param)
            node = add_param(node, part, pattern->nparts - i - 1);
        else
            for (size_t b = 0; b < part->len && node != NULL; b++)
                node = add_literal(node, part->text[b]);
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

static const struct node *follow_literal(const struct node *node, char byte) {
    const struct edge *e = node->literals;
    while (e != NULL && e->byte != byte)
        e = e->sibling;
    return e != NULL ? e->target : NULL;
}

/* Recursion only at parameters: at most FB_PATTERN_PARAMS_MAX deep. */
static void walk(const struct node *node, fb_bytes rest, const struct node **best) {
    for (;;) {
        for (const struct edge *e = rest.len > 0 ? node->params : NULL; e != NULL; e = e->sibling) {
            size_t n = fb_param_cut(e->type, rest, fb_bytes_of(e->next, e->next_len), e->next_is_last);
            if (n > 0)
                walk(e->target, fb_bytes_of(rest.data + n, rest.len - n), best);
        }
        if (rest.len == 0)
            break;
        node = follow_literal(node, rest.data[0]);
        if (node == NULL)
            return;
        rest = fb_bytes_of(rest.data + 1, rest.len - 1);
    }
    if (node->id >= 0 && (*best == NULL || node->literal_len > (*best)->literal_len))
        *best = node;
}

int fb_router_find(const struct fb_router *router, fb_bytes key) {
    const struct node *best = NULL;
    walk(&router->root, key, &best);
    return best != NULL && fb_utf8_is_text(key) ? best->id : -1;
}
