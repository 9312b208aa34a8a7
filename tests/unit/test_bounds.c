/* Bounds of strangers and of all clients together: who is admitted from where, who may try a password, who has to go
 * when the buffers of all are too much.
 *
 * Admission and passwords are asked directly, with addresses that no test machine has; memory over real connections and
 * the double of the engine. No time is involved: the clock of the passwords is an argument. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "double_engine.h"
#include "served.h"
#include "server/bounds.h"

static struct sockaddr_storage address_of(const char *text) {
    struct sockaddr_storage address = {0};
    struct sockaddr_in *in = (struct sockaddr_in *)&address;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&address;
    if (inet_pton(AF_INET, text, &in->sin_addr) == 1)
        address.ss_family = AF_INET;
    else if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1)
        address.ss_family = AF_INET6;
    return address;
}

static const char *admit(const struct world *w, struct fb_arrival *arrival, const char *address) {
    struct sockaddr_storage a = address_of(address);
    return fb_bounds_admit(w->server, arrival, (const struct sockaddr *)&a);
}

static void begin(struct world *w, unsigned clients_max, const char *password) {
    struct fb_server_options options = defaults();
    options.live.clients_max = clients_max;
    options.password = password;
    start(w, &options);
}

static void strangers_of_one_address_are_counted(void **state) {
    (void)state;
    struct world w;
    struct fb_arrival far[FB_STRANGERS_MAX + 1], other = {0}, local = {0};
    begin(&w, 1000, "secret");
    for (int i = 0; i < FB_STRANGERS_MAX; i++) {
        far[i] = (struct fb_arrival){0};
        assert_null(admit(&w, &far[i], "192.0.2.1"));
    }
    far[FB_STRANGERS_MAX] = (struct fb_arrival){0};
    assert_string_equal(admit(&w, &far[FB_STRANGERS_MAX], "192.0.2.1"), "strangers of one address");
    assert_null(admit(&w, &other, "192.0.2.2"));
    fb_bounds_known(w.server, &far[0]); /* it has logged in */
    assert_null(admit(&w, &far[FB_STRANGERS_MAX], "192.0.2.1"));
    for (int i = 0; i < 2 * FB_STRANGERS_MAX; i++) {
        local = (struct fb_arrival){.is_unix = i % 2 == 0};
        assert_null(admit(&w, &local, i % 2 == 0 ? "" : i % 4 == 1 ? "127.0.0.5" : "::1"));
    }
    for (int i = 0; i <= FB_STRANGERS_MAX; i++)
        fb_bounds_leave(w.server, &far[i]);
    for (int i = 0; i < FB_STRANGERS_MAX; i++) /* all places are back */
        assert_null(admit(&w, &far[i], "192.0.2.1"));
    for (int i = 0; i < FB_STRANGERS_MAX; i++)
        fb_bounds_leave(w.server, &far[i]);
    stop(&w);
    begin(&w, 1000, NULL); /* without a password nobody is a stranger */
    for (int i = 0; i < 2 * FB_STRANGERS_MAX; i++)
        assert_null(admit(&w, &other, "192.0.2.1"));
    stop(&w);
}

static void one_customer_of_ipv6_is_one_address(void **state) {
    (void)state;
    struct world w;
    struct fb_arrival a = {0};
    begin(&w, 1000, "secret");
    for (int i = 0; i < FB_STRANGERS_MAX; i++)
        assert_null(admit(&w, &a, i % 2 == 0 ? "2001:db8:1:2::1" : "2001:db8:1:2:ffff::1"));
    assert_non_null(admit(&w, &a, "2001:db8:1:2:3::9"));
    assert_null(admit(&w, &a, "2001:db8:1:3::1"));
    stop(&w);
}

static void last_places_are_for_this_machine(void **state) {
    (void)state;
    static const struct { unsigned max, reserve; } rows[] = {{100, FB_RESERVE_MAX}, {8, 2}, {2, 0}};
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        struct world w;
        struct fb_arrival a = {0};
        begin(&w, rows[r].max, NULL);
        for (unsigned i = 0; i < rows[r].max - rows[r].reserve; i++)
            assert_null(admit(&w, &a, "192.0.2.1"));
        assert_string_equal(admit(&w, &a, "192.0.2.1"), "clients_max");
        for (unsigned i = 0; i < rows[r].reserve; i++)
            assert_null(admit(&w, &a, "127.0.0.1"));
        assert_string_equal(admit(&w, &a, "127.0.0.1"), "clients_max");
        assert_int_equal(atomic_load(&w.server->clients), rows[r].max); /* who is refused takes no place */
        stop(&w);
    }
}

static void handshakes_have_a_share_of_the_places(void **state) {
    (void)state;
    struct world w;
    struct fb_arrival a[101], plain = {0};
    begin(&w, 100, NULL);
    unsigned n = 0;
    for (;; n++) {
        a[n] = (struct fb_arrival){.is_tls = true};
        const char *reason = admit(&w, &a[n], "127.0.0.1");
        if (reason != NULL) {
            assert_string_equal(reason, "handshakes");
            break;
        }
    }
    assert_int_equal(n, 100 / FB_HANDSHAKES_SHARE + 1);
    assert_null(admit(&w, &plain, "127.0.0.1"));
    fb_bounds_handshaken(w.server, &a[0]);
    assert_null(admit(&w, &a[n], "127.0.0.1"));
    stop(&w);
}

static void wrong_passwords_of_one_address_are_counted(void **state) {
    (void)state;
    struct fb_bounds *bounds = fb_bounds_new();
    struct fb_arrival guesser = {.address = 17}, other = {.address = 17 + FB_GUESSER_SETS}, local = {.is_local = true};
    for (int i = 0; i < FB_ADDRESS_PASSWORDS_MAX; i++) {
        assert_true(fb_bounds_may_guess(bounds, &guesser, 100));
        fb_bounds_guessed(bounds, &guesser, 100);
        fb_bounds_guessed(bounds, &local, 100);
    }
    assert_false(fb_bounds_may_guess(bounds, &guesser, 100));
    assert_false(fb_bounds_may_guess(bounds, &guesser, 100 + FB_ADDRESS_SECONDS - 1));
    assert_true(fb_bounds_may_guess(bounds, &other, 100)); /* of the same set */
    assert_true(fb_bounds_may_guess(bounds, &local, 100));
    assert_true(fb_bounds_may_guess(bounds, &guesser, 100 + FB_ADDRESS_SECONDS));
    fb_bounds_guessed(bounds, &guesser, 100 + FB_ADDRESS_SECONDS); /* a new window */
    assert_true(fb_bounds_may_guess(bounds, &guesser, 100 + FB_ADDRESS_SECONDS));
    /* A flood of addresses takes no more memory, and locks nobody out who has not guessed. */
    for (uint64_t i = 0; i < 100000; i++) {
        struct fb_arrival one = {.address = 1000 + i};
        for (int k = 0; k < FB_ADDRESS_PASSWORDS_MAX; k++)
            fb_bounds_guessed(bounds, &one, 200);
        assert_false(fb_bounds_may_guess(bounds, &one, 200));
    }
    struct fb_arrival honest = {.address = 5};
    assert_true(fb_bounds_may_guess(bounds, &honest, 200));
    fb_bounds_free(bounds);
}

/* ---- memory of all clients together ----------------------------------------------------------------------------- */

static uint64_t evicted(const struct world *w) {
    struct fb_totals totals;
    fb_server_totals(w->server, &totals);
    return totals.over_memory;
}

/* Half a request each, the second longer than the first: together too much. */
static void biggest_goes_when_all_are_too_much(void **state) {
    (void)state;
    struct world w;
    struct fb_server_options options = defaults();
    options.live.client_memory_max = 2 << 20;
    start(&w, &options);
    char *half = calloc(1, 3 << 20);
    int bystander = dial(&w), small = dial(&w), big = dial(&w);
    exchange(bystander, "PING\r\n", "+PONG\r\n");
    say(small, "*3\r\n$3\r\nSET\r\n$3\r\ns:1\r\n$400000\r\n");
    say_bytes(small, half, 300000);
    exchange(bystander, "PING\r\n", "+PONG\r\n");
    say(big, "*3\r\n$3\r\nSET\r\n$3\r\ns:2\r\n$4000000\r\n");
    /* It is closed on the way: the rest is refused by a reset. */
    for (size_t sent = 0; sent < (3 << 20);) {
        ssize_t n = send(big, half + sent, (3 << 20) - sent, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        sent += (size_t)n;
    }
    assert_ends(big);
    assert_int_equal(evicted(&w), 1);
    say_bytes(small, half, 100000);
    say(small, "\r\n");
    hear(small, "+OK\r\n");
    exchange(bystander, "STRLEN s:1\r\n", ":400000\r\n");
    close(small);
    close(bystander);
    stop(&w);
    free(half);
}

/* What connections give back is counted as given back. */
static void weights_return_to_nothing(void **state) {
    (void)state;
    struct world w;
    struct fb_server_options options = defaults();
    start(&w, &options);
    char *half = calloc(1, 1 << 20);
    int bystander = dial(&w);
    for (int i = 0; i < 20; i++) {
        int fd = dial(&w);
        say(fd, "*2\r\n$4\r\nECHO\r\n$1048576\r\n");
        say_bytes(fd, half, 1 << 20);
        if (i % 2 == 0) {
            say(fd, "\r\n");
            hear(fd, "$1048576\r\n");
        }
        close(fd);
    }
    for (int i = 0; i < 1000000 && atomic_load(&w.server->clients) > 1; i++)
        exchange(bystander, "PING\r\n", "+PONG\r\n");
    assert_int_equal(atomic_load(&w.server->clients), 1);
    exchange(bystander, "PING\r\n", "+PONG\r\n");
    assert_in_range(atomic_load(&w.server->bounds->buffers), 0, 64 * 1024);
    close(bystander);
    stop(&w);
    free(half);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(strangers_of_one_address_are_counted),
        cmocka_unit_test(one_customer_of_ipv6_is_one_address),
        cmocka_unit_test(last_places_are_for_this_machine),
        cmocka_unit_test(handshakes_have_a_share_of_the_places),
        cmocka_unit_test(wrong_passwords_of_one_address_are_counted),
        cmocka_unit_test(biggest_goes_when_all_are_too_much),
        cmocka_unit_test(weights_return_to_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
