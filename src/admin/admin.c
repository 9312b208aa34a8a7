/* Listening, and the few pages there are.
 *
 * A browser can be made to send requests here by any page it shows, but not to read the answers, unless a name of that
 * page's is made to mean this machine (DNS rebinding). So a request must name a host that is an address, "localhost", or
 * the host of the configuration. */
#include "admin/admin.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/address.h"
#include "base/err.h"
#include "base/mem.h"

enum { BACKLOG = 16, STACK_BYTES = 512 * 1024 };

struct fb_admin {
    struct fb_server *server;
    struct MHD_Daemon *daemon;
    unsigned port;
    char host[FB_HOST_MAX]; /* of the configuration */
};

static const char text_type[] = "text/plain; charset=utf-8",
                  metrics_type[] = "text/plain; version=0.0.4; charset=utf-8",
                  openmetrics_type[] = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/* ---- pages ------------------------------------------------------------------------------------------------------ */

/* An answer under way. */
struct answer {
    unsigned status;
    const char *type;
    fb_buf body;
};

typedef void page(struct fb_admin *admin, struct MHD_Connection *connection, struct answer *answer);

static void say(struct answer *answer, unsigned status, const char *text) {
    answer->status = status;
    (void)fb_buf_append(&answer->body, text, strlen(text));
}

/* That this is answered at all is what it says. It never asks a source: a process is not better for being killed
 * because its database is away. */
static void livez(struct fb_admin *admin, struct MHD_Connection *connection, struct answer *answer) {
    (void)admin, (void)connection;
    say(answer, MHD_HTTP_OK, "ok\n");
}

static void readyz(struct fb_admin *admin, struct MHD_Connection *connection, struct answer *answer) {
    fb_buf checks = FB_BUF_INIT;
    bool is_ready = fb_server_is_ready(admin->server, &checks);
    bool is_verbose =
        MHD_lookup_connection_value_n(connection, MHD_GET_ARGUMENT_KIND, "verbose", 7, NULL, NULL) == MHD_YES;
    if (is_verbose || !is_ready)
        (void)fb_buf_append(&answer->body, checks.data, checks.len);
    fb_buf_free(&checks);
    if (!is_ready)
        say(answer, MHD_HTTP_SERVICE_UNAVAILABLE, "readyz check failed\n");
    else
        say(answer, MHD_HTTP_OK, is_verbose ? "readyz check passed\n" : "ok\n");
}

static void metrics(struct fb_admin *admin, struct MHD_Connection *connection, struct answer *answer) {
    const char *accept = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT);
    bool is_openmetrics = accept != NULL && strstr(accept, "application/openmetrics-text") != NULL;
    answer->type = is_openmetrics ? openmetrics_type : metrics_type;
    answer->status = MHD_HTTP_OK;
    if (fb_server_print_metrics(admin->server, is_openmetrics, &answer->body) == FB_OK)
        return;
    answer->body.len = 0;
    answer->type = text_type;
    say(answer, MHD_HTTP_INTERNAL_SERVER_ERROR, "out of memory\n");
}

static void front(struct fb_admin *admin, struct MHD_Connection *connection, struct answer *answer) {
    (void)admin, (void)connection;
    say(answer, MHD_HTTP_OK, "forebay " FOREBAY_VERSION ": /livez /readyz /readyz?verbose /metrics\n");
}

static const struct { const char *path; page *page; } pages[] = {
    {"/", front}, {"/livez", livez}, {"/healthz", livez}, {"/readyz", readyz}, {"/metrics", metrics},
};

/* ---- requests --------------------------------------------------------------------------------------------------- */

/* Is it an address, which no name server can make up? */
static bool is_address(const char *host) {
    unsigned char address[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

/* "host", "host:port", "[v6]", "[v6]:port"; absent only in HTTP/1.0, which no browser speaks. */
static bool is_host_known(const struct fb_admin *admin, const char *header) {
    char text[FB_HOST_MAX + 8], host[FB_HOST_MAX];
    unsigned port;
    size_t len = header != NULL ? strlen(header) : 0;
    if (header == NULL)
        return true;
    if (len + 3 > sizeof text)
        return false;
    memcpy(text, header, len + 1);
    const char *bracket = strrchr(text, ']'), *colon = strrchr(text, ':');
    if (colon == NULL || (bracket != NULL && bracket > colon))
        memcpy(text + len, ":0", 3);
    return fb_address_split(text, host, &port) &&
           (is_address(host) || strcasecmp(host, "localhost") == 0 || strcasecmp(host, admin->host) == 0);
}

static void choose(struct fb_admin *admin, struct MHD_Connection *connection, const char *path, const char *method,
                   struct answer *answer) {
    bool is_read = strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
    size_t i = 0, n = sizeof pages / sizeof pages[0];
    while (i < n && strcmp(pages[i].path, path) != 0)
        i++;
    if (!is_host_known(admin, MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST)))
        say(answer, MHD_HTTP_MISDIRECTED_REQUEST, "this host is not known here: use the address, or localhost\n");
    else if (i == n)
        say(answer, MHD_HTTP_NOT_FOUND, "not found; there are /livez /readyz /readyz?verbose /metrics\n");
    else if (!is_read)
        say(answer, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
    else
        pages[i].page(admin, connection, answer);
}

static enum MHD_Result send_answer(struct MHD_Connection *connection, struct answer *answer) {
    static char empty[1];
    bool has_body = answer->body.len > 0;
    struct MHD_Response *response = MHD_create_response_from_buffer(
        answer->body.len, has_body ? answer->body.data : empty, MHD_RESPMEM_MUST_COPY);
    fb_buf_free(&answer->body);
    if (response == NULL)
        return MHD_NO;
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer->type);
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    (void)MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (answer->status == MHD_HTTP_METHOD_NOT_ALLOWED)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    enum MHD_Result result = MHD_queue_response(connection, answer->status, response);
    MHD_destroy_response(response);
    return result;
}

/* Called when the headers are there, for each piece of a body (which is not wanted), and at the end. */
static enum MHD_Result on_request(void *user, struct MHD_Connection *connection, const char *path, const char *method,
                                  const char *version, const char *body, size_t *body_size, void **state) {
    static int has_begun;
    (void)version, (void)body;
    if (*state == NULL) {
        *state = &has_begun;
        return MHD_YES;
    }
    if (*body_size > 0) {
        *body_size = 0;
        return MHD_YES;
    }
    struct answer answer = {.status = MHD_HTTP_OK, .type = text_type, .body = FB_BUF_INIT};
    choose(user, connection, path, method, &answer);
    return send_answer(connection, &answer);
}

/* ---- listening -------------------------------------------------------------------------------------------------- */

static fb_status open_socket(const struct addrinfo *info, const struct fb_admin_options *options, int *ret_fd,
                             fb_err *reterr) {
    int on = 1, fd;
    if (options->is_protected && !fb_address_is_loopback(info->ai_addr))
        return fb_fail(reterr, FB_CONFIG, "server.admin: %s can be reached from other machines, and whoever can reach it "
                       "sees every figure: use 127.0.0.1, or switch server.protected off", options->address);
    fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fb_fail(reterr, FB_SYSTEM, "cannot make a socket: %s", strerror(errno));
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, info->ai_addr, info->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0) {
        int number = errno;
        close(fd);
        return fb_fail(reterr, FB_SYSTEM, "server.admin: cannot listen on %s: %s", options->address, strerror(number));
    }
    *ret_fd = fd;
    return FB_OK;
}

static fb_status open_address(struct fb_admin *admin, const struct fb_admin_options *options, int *ret_fd,
                              fb_err *reterr) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list;
    unsigned port;
    if (!fb_address_split(options->address, admin->host, &port))
        return fb_fail(reterr, FB_INVALID, "server.admin: '%s' is no address: write 127.0.0.1:9380 or [::1]:9380",
                       options->address);
    int rc = getaddrinfo(admin->host, strrchr(options->address, ':') + 1, &hints, &list);
    if (rc != 0)
        return fb_fail(reterr, FB_INVALID, "server.admin: '%s': %s", options->address, gai_strerror(rc));
    fb_status status = open_socket(list, options, ret_fd, reterr);
    freeaddrinfo(list);
    return status;
}

fb_status fb_admin_start(struct fb_server *server, const struct fb_admin_options *options, struct fb_admin **ret_admin,
                         fb_err *reterr) {
    struct fb_admin *admin = fb_mem_calloc(1, sizeof *admin);
    int fd = -1;
    if (admin == NULL)
        return fb_fail(reterr, FB_NOMEM, "no memory for the admin listener");
    admin->server = server;
    fb_status status = open_address(admin, options, &fd, reterr);
    if (status != FB_OK) {
        fb_mem_free(admin);
        return status;
    }
    admin->port = fb_address_port(fd);
    admin->daemon = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_POLL, 0, NULL, NULL, on_request, admin,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)FB_ADMIN_CONNECTIONS_MAX,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)FB_ADMIN_REQUEST_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)FB_ADMIN_IDLE_S, MHD_OPTION_THREAD_STACK_SIZE, (size_t)STACK_BYTES, MHD_OPTION_END);
    if (admin->daemon == NULL) {
        close(fd);
        fb_mem_free(admin);
        return fb_fail(reterr, FB_SYSTEM, "server.admin: cannot start the threads of the admin listener");
    }
    *ret_admin = admin;
    return FB_OK;
}

unsigned fb_admin_port(const struct fb_admin *admin) { return admin->port; }

void fb_admin_stop(struct fb_admin *admin) {
    if (admin == NULL)
        return;
    MHD_stop_daemon(admin->daemon); /* closes the socket, too */
    fb_mem_free(admin);
}
