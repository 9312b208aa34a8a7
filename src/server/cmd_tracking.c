/* CLIENT TRACKING, CACHING, TRACKINGINFO, GETREDIR. */
#include "server/commands.h"

#include <string.h>

#include "server/tracking.h"

enum { SHOWN_PREFIX_MAX = 64 };

/* ---- CLIENT TRACKING -------------------------------------------------------------------------------------------- */

static const struct { const char *word; unsigned option; } words[] = {
    {"bcast", FB_TRACK_BCAST}, {"optin", FB_TRACK_OPTIN}, {"optout", FB_TRACK_OPTOUT}, {"noloop", FB_TRACK_NOLOOP}};

static unsigned option_of(fb_bytes arg) {
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (fb_is_word(arg, words[i].word))
            return words[i].option;
    return 0;
}

static bool find_client(struct fb_server *server, uint64_t id, struct fb_receiver *ret_receiver) {
    const struct fb_session *session = fb_loops_hold(server, id);
    if (session == NULL)
        return false;
    *ret_receiver = (struct fb_receiver){session->loop->index, session->ref};
    fb_lock_release(&session->loop->lock);
    return true;
}

static bool read_redirect(struct fb_call *call, fb_bytes arg, struct fb_track_wish *wish) {
    int64_t id;
    if (wish->redirect != 0) {
        fb_call_error(call, REDIRECT_TWICE);
        return false;
    }
    if (!fb_call_integer(call, arg, &id))
        return false;
    if (!find_client(fb_call_server(call), (uint64_t)id, &wish->target)) {
        fb_call_error(call, REDIRECT_ABSENT);
        return false;
    }
    wish->redirect = (uint64_t)id;
    return true;
}

/* The words behind ON or OFF; prefixes are collected in `prefixes`. False when the error has been written. */
static bool read_wish(struct fb_call *call, struct fb_track_wish *wish, fb_bytes prefixes[FB_PREFIXES_MAX]) {
    for (size_t i = 3; i < call->argc; i++) {
        bool has_more = i + 1 < call->argc;
        unsigned option = option_of(call->argv[i]);
        wish->options |= option;
        if (option != 0)
            continue;
        if (fb_is_word(call->argv[i], "redirect") && has_more) {
            if (!read_redirect(call, call->argv[++i], wish))
                return false;
        } else if (fb_is_word(call->argv[i], "prefix") && has_more && wish->nprefixes < FB_PREFIXES_MAX) {
            prefixes[wish->nprefixes++] = call->argv[++i];
        } else if (fb_is_word(call->argv[i], "prefix") && has_more) {
            fb_call_error(call, PREFIXES, FB_PREFIXES_MAX, FB_PREFIXES_MAX_ALL);
            return false;
        } else {
            fb_call_syntax_error(call);
            return false;
        }
    }
    wish->prefixes = prefixes;
    return true;
}

static bool overlap(fb_bytes a, fb_bytes b) {
    size_t n = a.len < b.len ? a.len : b.len;
    return n == 0 || memcmp(a.data, b.data, n) == 0;
}

static bool refuse_overlap(struct fb_call *call, fb_bytes a, const char *which, fb_bytes b) {
    int n = (int)(a.len < SHOWN_PREFIX_MAX ? a.len : SHOWN_PREFIX_MAX);
    int m = (int)(b.len < SHOWN_PREFIX_MAX ? b.len : SHOWN_PREFIX_MAX);
    fb_call_error(call, PREFIX_OVERLAP, n, a.data, which, m, b.data);
    return false;
}

static bool check_prefixes(struct fb_call *call, const struct fb_track_wish *wish) {
    fb_bytes have;
    for (size_t i = 0; i < wish->nprefixes; i++) {
        for (size_t k = 0; fb_tracking_prefix(call->session, k, &have); k++)
            if (overlap(wish->prefixes[i], have))
                return refuse_overlap(call, wish->prefixes[i], "an existing", have);
        for (size_t k = i + 1; k < wish->nprefixes; k++)
            if (overlap(wish->prefixes[i], wish->prefixes[k]))
                return refuse_overlap(call, wish->prefixes[i], "another provided", wish->prefixes[k]);
    }
    return true;
}

static unsigned options_of(const struct fb_session *session) {
    return session->tracker != NULL ? atomic_load_explicit(&session->tracker->options, memory_order_relaxed) : 0;
}

/* Which options go together, in the order in which Redis looks. */
static bool check_wish(struct fb_call *call, const struct fb_track_wish *wish) {
    static const unsigned opts = FB_TRACK_OPTIN | FB_TRACK_OPTOUT;
    unsigned have = options_of(call->session), want = wish->options;
    bool tracks = call->session->tracker != NULL;
    enum fb_error error = FB_ERROR_COUNT_;
    if (!(want & FB_TRACK_BCAST) && wish->nprefixes > 0)
        error = FB_ERROR_PREFIX_BCAST;
    else if (tracks && ((have ^ want) & FB_TRACK_BCAST))
        error = FB_ERROR_BCAST_SWITCH;
    else if ((want & FB_TRACK_BCAST) && (want & opts))
        error = FB_ERROR_BCAST_OPT;
    else if ((want & opts) == opts)
        error = FB_ERROR_OPTIN_OPTOUT;
    else if ((have & opts) != 0 && (want & opts) != 0 && ((have ^ want) & opts) != 0)
        error = FB_ERROR_OPT_SWITCH;
    if (error != FB_ERROR_COUNT_)
        fb_call_refuse(call, error);
    return error == FB_ERROR_COUNT_ && check_prefixes(call, wish);
}

static void begin(struct fb_call *call, struct fb_track_wish *wish) {
    static const fb_bytes every = {"", 0};
    bool was_on = call->session->tracker != NULL;
    if ((wish->options & FB_TRACK_BCAST) && wish->nprefixes == 0) {
        wish->prefixes = &every;
        wish->nprefixes = 1;
    }
    fb_status status = fb_tracking_begin(call->session, wish);
    if (status == FB_OK) {
        fb_resp_write_simple(call->out, "OK");
        return;
    }
    if (!was_on)
        fb_tracking_end(call->session);
    if (status == FB_BUSY)
        fb_call_error(call, PREFIXES, FB_PREFIXES_MAX, FB_PREFIXES_MAX_ALL);
    else
        fb_call_out_of_memory(call);
}

void fb_cmd_client_tracking(struct fb_call *call) {
    fb_bytes prefixes[FB_PREFIXES_MAX];
    struct fb_track_wish wish = {0};
    if (!read_wish(call, &wish, prefixes))
        return;
    if (fb_is_word(call->argv[2], "on")) {
        if (check_wish(call, &wish))
            begin(call, &wish);
    } else if (fb_is_word(call->argv[2], "off")) {
        fb_tracking_end(call->session);
        fb_resp_write_simple(call->out, "OK");
    } else {
        fb_call_syntax_error(call);
    }
}

/* ---- CLIENT CACHING --------------------------------------------------------------------------------------------- */

void fb_cmd_client_caching(struct fb_call *call) {
    unsigned options = options_of(call->session);
    bool is_yes = fb_is_word(call->argv[2], "yes");
    enum fb_error error = FB_ERROR_COUNT_;
    if (call->session->tracker == NULL)
        error = FB_ERROR_CACHING;
    else if (!is_yes && !fb_is_word(call->argv[2], "no"))
        error = FB_ERROR_SYNTAX;
    else if (is_yes && !(options & FB_TRACK_OPTIN))
        error = FB_ERROR_CACHING_YES;
    else if (!is_yes && !(options & FB_TRACK_OPTOUT))
        error = FB_ERROR_CACHING_NO;
    if (error != FB_ERROR_COUNT_) {
        fb_call_refuse(call, error);
        return;
    }
    call->session->caching.next = true;
    fb_resp_write_simple(call->out, "OK");
}

/* ---- looking ---------------------------------------------------------------------------------------------------- */

void fb_cmd_client_trackinginfo(struct fb_call *call) {
    const struct fb_session *session = call->session;
    const struct fb_tracker *tracker = session->tracker;
    unsigned options = options_of(session);
    const struct { bool is_set; const char *word; } flags[] = {
        {tracker == NULL, "off"},
        {tracker != NULL, "on"},
        {options & FB_TRACK_BCAST, "bcast"},
        {options & FB_TRACK_OPTIN, "optin"},
        {(options & FB_TRACK_OPTIN) && session->caching.next, "caching-yes"},
        {options & FB_TRACK_OPTOUT, "optout"},
        {(options & FB_TRACK_OPTOUT) && session->caching.next, "caching-no"},
        {options & FB_TRACK_NOLOOP, "noloop"},
        {tracker != NULL && atomic_load(&tracker->is_broken), "broken_redirect"},
    };
    size_t n = 0;
    fb_bytes prefix;
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        n += flags[i].is_set;
    fb_resp_write_map(call->out, 3);
    fb_resp_write_bulk(call->out, FB_STR("flags"));
    fb_resp_write_set(call->out, n);
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (flags[i].is_set)
            fb_resp_write_bulk(call->out, FB_STR(flags[i].word));
    fb_resp_write_bulk(call->out, FB_STR("redirect"));
    fb_cmd_client_getredir(call);
    fb_resp_write_bulk(call->out, FB_STR("prefixes"));
    fb_resp_write_array(call->out, tracker != NULL ? tracker->nprefixes : 0);
    for (size_t i = 0; fb_tracking_prefix(session, i, &prefix); i++)
        fb_resp_write_bulk(call->out, prefix);
}

/* −1: does not track; 0: redirects to nobody. */
void fb_cmd_client_getredir(struct fb_call *call) {
    const struct fb_tracker *tracker = call->session->tracker;
    fb_resp_write_integer(call->out, tracker == NULL ? -1 : (int64_t)atomic_load(&tracker->redirect));
}
