/* Lives and decimal numbers as arguments. */
#include "server/life.h"

#include "base/clock.h"

const struct fb_life_unit *fb_life_unit(fb_bytes word) {
    static const struct fb_life_unit units[] = {
        {"ex", true, false}, {"px", false, false}, {"exat", true, true}, {"pxat", false, true}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (fb_is_word(word, units[i].word))
            return &units[i];
    return NULL;
}

bool fb_life_ms(const struct fb_life_unit *unit, int64_t number, int64_t *ret_ms) {
    int64_t ms = number, now_ms = fb_clock_wall_us() / 1000, end_ms;
    if (unit->is_seconds && __builtin_mul_overflow(ms, 1000, &ms))
        return false;
    if (unit->is_absolute) /* so long ago that it cannot be told is over, too */
        ms = ms < INT64_MIN + now_ms ? INT64_MIN : ms - now_ms;
    else if (__builtin_add_overflow(ms, now_ms, &end_ms)) /* Redis keeps the end, so it must fit */
        return false;
    *ret_ms = ms;
    return true;
}

bool fb_call_life(struct fb_call *call, const struct fb_life_unit *unit, fb_bytes text, int64_t *ret_ms) {
    int64_t number, ms;
    if (!fb_call_integer(call, text, &number))
        return false;
    if (number <= 0 || !fb_life_ms(unit, number, &ms)) {
        fb_call_error(call, EXPIRE_TIME, call->command->name);
        return false;
    }
    *ret_ms = ms > 0 ? ms : 1;
    return true;
}

static size_t count_digits(fb_bytes text, size_t from) {
    size_t i = from;
    while (i < text.len && text.data[i] >= '0' && text.data[i] <= '9')
        i++;
    return i - from;
}

static bool is_infinity(fb_bytes text) {
    if (text.len > 0 && (text.data[0] == '-' || text.data[0] == '+'))
        text = fb_bytes_of(text.data + 1, text.len - 1);
    return fb_is_word(text, "inf") || fb_is_word(text, "infinity");
}

bool fb_call_decimal(struct fb_call *call, fb_bytes text, enum fb_error infinite) {
    if (is_infinity(text)) {
        fb_call_refuse(call, infinite);
        return false;
    }
    size_t i = text.len > 0 && (text.data[0] == '-' || text.data[0] == '+');
    size_t whole = count_digits(text, i), fraction = 0;
    i += whole;
    if (i < text.len && text.data[i] == '.') {
        fraction = count_digits(text, i + 1);
        i += 1 + fraction;
    }
    bool is_number = whole + fraction > 0;
    if (is_number && i < text.len && (text.data[i] == 'e' || text.data[i] == 'E')) {
        i++;
        i += i < text.len && (text.data[i] == '-' || text.data[i] == '+');
        size_t exponent = count_digits(text, i);
        is_number = exponent > 0 && exponent <= 3;
        i += exponent;
    }
    if (is_number && i == text.len)
        return true;
    fb_call_error(call, FLOAT);
    return false;
}
