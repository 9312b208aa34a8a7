/* The registry of topics and their subscribers, and sending to them. */
#include "server/pubsub.h"

#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "proto/glob.h"
#include "server/gates.h"
#include "server/push.h"

enum { BUCKETS_FIRST = 64 };

struct topic {
    struct topic *next;          /* in its bucket */
    struct fb_link link;         /* in pubsub->patterns, if it is one */
    enum fb_topic_kind kind;
    struct fb_link subscriptions;
    size_t n;
    size_t name_len;
    char name[];
};

struct subscription {
    struct fb_link in_topic;     /* the lock */
    struct fb_link in_session;   /* the loop's thread */
    struct topic *topic;
    struct fb_receiver receiver;
    uint64_t since;              /* stamp of the last message it does not get */
};

struct fb_pubsub {
    struct fb_lock lock;
    struct fb_hash_key hash_key;
    struct topic **buckets;
    size_t nbuckets, ntopics;
    struct fb_link patterns;
    size_t bytes;                /* FB_TOPIC_BYTES_MAX */
    uint64_t stamp;
    /* Written under the lock, read by any. */
    _Atomic size_t topics[FB_TOPIC_KINDS];
    _Atomic size_t clients;
};

struct fb_pubsub *fb_pubsub_new(void) {
    struct fb_pubsub *p = fb_mem_calloc(1, sizeof *p);
    struct topic **buckets = fb_mem_calloc(BUCKETS_FIRST, sizeof *buckets);
    if (p == NULL || buckets == NULL) {
        fb_mem_free(p);
        fb_mem_free(buckets);
        return NULL;
    }
    fb_lock_init(&p->lock, FB_LOCK_PUBSUB);
    fb_list_init(&p->patterns);
    fb_rng_system(&p->hash_key, sizeof p->hash_key);
    p->buckets = buckets;
    p->nbuckets = BUCKETS_FIRST;
    return p;
}

void fb_pubsub_free(struct fb_pubsub *p) {
    if (p == NULL)
        return;
    fb_lock_finish(&p->lock);
    fb_mem_free(p->buckets);
    fb_mem_free(p);
}

/* ---- topics; the lock is held ----------------------------------------------------------------------------------- */

static fb_bytes name_of(const struct topic *topic) { return fb_bytes_of(topic->name, topic->name_len); }

static bool is_same(fb_bytes a, fb_bytes b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static struct topic **bucket_of(const struct fb_pubsub *p, enum fb_topic_kind kind, fb_bytes name) {
    return &p->buckets[(fb_hash(&p->hash_key, name.data, name.len) + (uint64_t)kind) & (p->nbuckets - 1)];
}

static struct topic *find(const struct fb_pubsub *p, enum fb_topic_kind kind, fb_bytes name) {
    struct topic *topic = *bucket_of(p, kind, name);
    while (topic != NULL && (topic->kind != kind || !is_same(name_of(topic), name)))
        topic = topic->next;
    return topic;
}

/* Without memory for it the chains grow instead. */
static void grow(struct fb_pubsub *p) {
    struct fb_pubsub larger = *p;
    larger.nbuckets = 2 * p->nbuckets;
    larger.buckets = fb_mem_calloc(larger.nbuckets, sizeof *larger.buckets);
    if (larger.buckets == NULL)
        return;
    for (size_t i = 0; i < p->nbuckets; i++) {
        for (struct topic *topic = p->buckets[i], *next; topic != NULL; topic = next) {
            struct topic **bucket = bucket_of(&larger, topic->kind, name_of(topic));
            next = topic->next;
            topic->next = *bucket;
            *bucket = topic;
        }
    }
    fb_mem_free(p->buckets);
    p->buckets = larger.buckets;
    p->nbuckets = larger.nbuckets;
}

static struct topic *add_topic(struct fb_pubsub *p, enum fb_topic_kind kind, fb_bytes name) {
    struct topic *topic = fb_mem_calloc(1, sizeof *topic + name.len);
    if (topic == NULL)
        return NULL;
    topic->kind = kind;
    topic->name_len = name.len;
    if (name.len > 0)
        memcpy(topic->name, name.data, name.len);
    fb_list_init(&topic->subscriptions);
    fb_list_init(&topic->link);
    if (kind == FB_TOPIC_PATTERN)
        fb_list_push_back(&p->patterns, &topic->link);
    if (p->ntopics++ >= p->nbuckets)
        grow(p);
    struct topic **bucket = bucket_of(p, kind, name);
    topic->next = *bucket;
    *bucket = topic;
    atomic_fetch_add(&p->topics[kind], 1);
    p->bytes += sizeof *topic + name.len;
    return topic;
}

static void remove_if_empty(struct fb_pubsub *p, struct topic *topic) {
    if (topic->n > 0)
        return;
    struct topic **place = bucket_of(p, topic->kind, name_of(topic));
    while (*place != topic)
        place = &(*place)->next;
    *place = topic->next;
    fb_list_remove(&topic->link);
    p->ntopics--;
    atomic_fetch_sub(&p->topics[topic->kind], 1);
    p->bytes -= sizeof *topic + topic->name_len;
    fb_mem_free(topic);
}

/* ---- joining and leaving ---------------------------------------------------------------------------------------- */

static struct fb_pubsub *registry_of(const struct fb_session *session) { return session->loop->server->pubsub; }

static bool is_of(const struct subscription *s, const struct fb_session *session) {
    return s->receiver.loop == session->loop->index && s->receiver.session.slot == session->ref.slot &&
           s->receiver.session.generation == session->ref.generation;
}

/* The session's subscription to the topic. Looks along the topic's list and the session's at once, so that it takes as
 * long as the shorter one. */
static struct subscription *find_of(const struct fb_session *session, const struct topic *topic) {
    const struct fb_link *a = topic->subscriptions.next, *b = session->subscriptions.next;
    while (a != &topic->subscriptions && b != &session->subscriptions) {
        struct subscription *mine = fb_member_of((struct fb_link *)b, struct subscription, in_session);
        struct subscription *its = fb_member_of((struct fb_link *)a, struct subscription, in_topic);
        if (is_of(its, session))
            return its;
        if (mine->topic == topic)
            return mine;
        a = a->next;
        b = b->next;
    }
    return NULL;
}

static void count_client(struct fb_session *session, enum fb_topic_kind kind, int change) {
    struct fb_pubsub *p = registry_of(session);
    bool was = fb_session_is_subscriber(session);
    session->nsubscribed[kind] += (unsigned)change;
    atomic_store_explicit(&session->shown_subscribed[kind], session->nsubscribed[kind], memory_order_relaxed);
    bool is = fb_session_is_subscriber(session);
    if (is && !was) {
        atomic_fetch_add(&p->clients, 1);
        session->gates |= FB_GATE_SUBSCRIBED;
    } else if (was && !is) {
        atomic_fetch_sub(&p->clients, 1);
        session->gates &= ~(unsigned)FB_GATE_SUBSCRIBED;
    }
}

static void set_monitor_gate(struct fb_server *server) {
    if (atomic_load(&server->pubsub->topics[FB_TOPIC_MONITOR]) > 0)
        atomic_fetch_or(&server->gates, FB_GATE_MONITOR);
    else
        atomic_fetch_and(&server->gates, ~(unsigned)FB_GATE_MONITOR);
}

/* The lock is held. */
static fb_status join(struct fb_session *session, enum fb_topic_kind kind, fb_bytes name) {
    struct fb_pubsub *p = registry_of(session);
    struct topic *topic = find(p, kind, name);
    if (topic != NULL && find_of(session, topic) != NULL)
        return FB_OK;
    size_t size = sizeof(struct subscription) + (topic == NULL ? sizeof *topic + name.len : 0);
    unsigned total = 0;
    for (int i = 0; i < FB_TOPIC_KINDS; i++)
        total += session->nsubscribed[i];
    if (total >= FB_SUBSCRIPTIONS_MAX || p->bytes + size > FB_TOPIC_BYTES_MAX || name.len > FB_TOPIC_NAME_MAX)
        return FB_BUSY;
    struct subscription *s = fb_mem_alloc(sizeof *s);
    if (s == NULL || (topic == NULL && (topic = add_topic(p, kind, name)) == NULL)) {
        fb_mem_free(s);
        return FB_NOMEM;
    }
    s->topic = topic;
    s->receiver = (struct fb_receiver){session->loop->index, session->ref};
    s->since = p->stamp;
    fb_list_push_back(&topic->subscriptions, &s->in_topic);
    fb_list_push_back(&session->subscriptions, &s->in_session);
    topic->n++;
    p->bytes += sizeof *s;
    count_client(session, kind, 1);
    set_monitor_gate(session->loop->server);
    return FB_OK;
}

/* The lock is held. */
static void leave(struct fb_session *session, struct subscription *s) {
    struct fb_pubsub *p = registry_of(session);
    struct topic *topic = s->topic;
    session->left_at = p->stamp;
    fb_list_remove(&s->in_topic);
    fb_list_remove(&s->in_session);
    topic->n--;
    p->bytes -= sizeof *s;
    fb_mem_free(s);
    count_client(session, topic->kind, -1);
    remove_if_empty(p, topic);
    set_monitor_gate(session->loop->server);
}

fb_status fb_pubsub_join(struct fb_session *session, enum fb_topic_kind kind, fb_bytes name) {
    fb_lock_acquire(&registry_of(session)->lock);
    fb_status status = join(session, kind, name);
    fb_lock_release(&registry_of(session)->lock);
    return status;
}

bool fb_pubsub_leave(struct fb_session *session, enum fb_topic_kind kind, fb_bytes name) {
    fb_lock_acquire(&registry_of(session)->lock);
    struct topic *topic = find(registry_of(session), kind, name);
    struct subscription *s = topic != NULL ? find_of(session, topic) : NULL;
    if (s != NULL)
        leave(session, s);
    fb_lock_release(&registry_of(session)->lock);
    return s != NULL;
}

bool fb_pubsub_oldest(const struct fb_session *session, enum fb_topic_kind kind, fb_bytes *ret_name) {
    for (const struct fb_link *link = session->subscriptions.next; link != &session->subscriptions; link = link->next) {
        const struct subscription *s = fb_member_of((struct fb_link *)link, struct subscription, in_session);
        if (s->topic->kind != kind)
            continue;
        *ret_name = name_of(s->topic);
        return true;
    }
    return false;
}

void fb_pubsub_leave_all(struct fb_session *session) {
    if (fb_list_is_empty(&session->subscriptions))
        return;
    fb_lock_acquire(&registry_of(session)->lock);
    while (!fb_list_is_empty(&session->subscriptions))
        leave(session, fb_member_of(session->subscriptions.next, struct subscription, in_session));
    fb_lock_release(&registry_of(session)->lock);
}

bool fb_pubsub_concerns(const struct fb_session *session, const struct fb_push *push) {
    struct fb_pubsub *p = registry_of(session);
    fb_lock_acquire(&p->lock);
    fb_bytes name = fb_bytes_of(push->body.buf.data + push->name_at, push->name_len);
    const struct topic *topic = find(p, push->kind, name);
    const struct subscription *s = topic != NULL ? find_of(session, topic) : NULL;
    bool concerns = s != NULL && s->since < push->stamp;
    fb_lock_release(&p->lock);
    return concerns;
}

/* ---- sending ---------------------------------------------------------------------------------------------------- */

/* How each kind of message begins. */
static const struct form { const char *head[2], *word; } forms[FB_TOPIC_KINDS] = {
    [FB_TOPIC_CHANNEL] = {{"*3\r\n", ">3\r\n"}, "message"},
    [FB_TOPIC_PATTERN] = {{"*4\r\n", ">4\r\n"}, "pmessage"},
    [FB_TOPIC_SHARD] = {{"*3\r\n", ">3\r\n"}, "smessage"},
    [FB_TOPIC_MONITOR] = {{"", ""}, NULL}, /* a line as it is */
};

static struct fb_push *make_push(const struct topic *topic, fb_bytes channel, fb_bytes message, uint64_t stamp) {
    const struct form *form = &forms[topic->kind];
    struct fb_push *push = fb_push_new(form->head[0], form->head[1]);
    if (push == NULL)
        return NULL;
    struct fb_resp_out *body = &push->body;
    push->is_topic = true;
    push->kind = topic->kind;
    push->stamp = stamp;
    if (form->word == NULL) {
        body->failed |= fb_buf_append(&body->buf, message.data, message.len) != FB_OK;
        return push;
    }
    fb_resp_write_bulk(body, FB_STR(form->word));
    fb_resp_write_bulk(body, name_of(topic));
    push->name_len = topic->name_len;
    push->name_at = body->buf.len - 2 - topic->name_len;
    if (topic->kind == FB_TOPIC_PATTERN)
        fb_resp_write_bulk(body, channel);
    fb_resp_write_bulk(body, message);
    return push;
}

/* The lock is held, over the posting too: all receivers see the messages of a topic in one order. */
static size_t send_to(struct fb_server *server, struct topic *topic, fb_bytes channel, fb_bytes message) {
    struct fb_mailing mailing;
    struct fb_push *push = make_push(topic, channel, message, ++server->pubsub->stamp);
    fb_mailing_begin(&mailing, server, FB_LOST_MESSAGES, push);
    for (struct fb_link *link = topic->subscriptions.next; link != &topic->subscriptions; link = link->next)
        fb_mailing_add(&mailing, fb_member_of(link, struct subscription, in_topic)->receiver);
    fb_mailing_send(&mailing);
    fb_push_unref(push);
    return mailing.count;
}

size_t fb_publish(struct fb_server *server, enum fb_topic_kind kind, fb_bytes name, fb_bytes message) {
    struct fb_pubsub *p = server->pubsub;
    size_t count = 0;
    if (!fb_pubsub_has(server, kind))
        return 0;
    fb_lock_acquire(&p->lock);
    struct topic *topic = find(p, kind, name);
    if (topic != NULL)
        count += send_to(server, topic, name, message);
    for (struct fb_link *link = p->patterns.next; kind == FB_TOPIC_CHANNEL && link != &p->patterns; link = link->next) {
        topic = fb_member_of(link, struct topic, link);
        if (fb_glob_match(name_of(topic), name, /* ignore_case */ false))
            count += send_to(server, topic, name, message);
    }
    fb_lock_release(&p->lock);
    return count;
}

/* ---- looking ---------------------------------------------------------------------------------------------------- */

size_t fb_pubsub_topics(const struct fb_server *server, enum fb_topic_kind kind) {
    return atomic_load_explicit(&server->pubsub->topics[kind], memory_order_relaxed);
}

size_t fb_pubsub_clients(const struct fb_server *server) {
    return atomic_load_explicit(&server->pubsub->clients, memory_order_relaxed);
}

bool fb_pubsub_has(const struct fb_server *server, enum fb_topic_kind kind) {
    return fb_pubsub_topics(server, kind) > 0 ||
           (kind == FB_TOPIC_CHANNEL && fb_pubsub_topics(server, FB_TOPIC_PATTERN) > 0);
}

size_t fb_pubsub_count(struct fb_server *server, enum fb_topic_kind kind, fb_bytes name) {
    fb_lock_acquire(&server->pubsub->lock);
    const struct topic *topic = find(server->pubsub, kind, name);
    size_t n = topic != NULL ? topic->n : 0;
    fb_lock_release(&server->pubsub->lock);
    return n;
}

size_t fb_pubsub_list(struct fb_server *server, enum fb_topic_kind kind, fb_bytes pattern, struct fb_resp_out *out) {
    struct fb_pubsub *p = server->pubsub;
    size_t n = 0;
    fb_lock_acquire(&p->lock);
    for (size_t i = 0; i < p->nbuckets; i++) {
        for (const struct topic *topic = p->buckets[i]; topic != NULL; topic = topic->next) {
            if (topic->kind != kind ||
                (pattern.data != NULL && !fb_glob_match(pattern, name_of(topic), /* ignore_case */ false)))
                continue;
            fb_resp_write_bulk(out, name_of(topic));
            n++;
        }
    }
    fb_lock_release(&p->lock);
    return n;
}
