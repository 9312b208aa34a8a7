/* Numbers as text.
 *
 * The C library formats and reads doubles correctly rounded but with the locale's decimal point, so each call runs
 * under the "C" locale of its own thread. */
#include "rows/number.h"

#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static locale_t c_locale;
static void make_locale(void) { c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0); }

/* glibc hands out its built-in "C" locale, so this cannot fail for want of memory. */
static locale_t enter_c_locale(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_locale);
    return uselocale(c_locale);
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool fb_number_int(fb_bytes text, int64_t *ret_value) {
    size_t at = text.len > 0 && text.data[0] == '-';
    bool negative = at == 1;
    size_t digits = text.len - at;
    if (digits == 0 || digits > 19 || (text.data[at] == '0' && text.len > 1))
        return false;
    int64_t value = 0;
    for (; at < text.len; at++) {
        if (!is_digit(text.data[at]))
            return false;
        int digit = text.data[at] - '0';
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, negative ? -digit : digit, &value))
            return false;
    }
    *ret_value = value;
    return true;
}

bool fb_number_is_decimal(fb_bytes text) {
    const char *p = text.data, *end = p + text.len;
    if (text.len > FB_NUMBER_DIGITS_MAX)
        return false;
    if (p < end && *p == '-')
        p++;
    if (p == end || !is_digit(*p))
        return false;
    if (*p++ != '0')
        while (p < end && is_digit(*p))
            p++;
    if (p < end && *p == '.') {
        if (++p == end || !is_digit(*p))
            return false;
        while (p < end && is_digit(*p))
            p++;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        if (++p < end && (*p == '+' || *p == '-'))
            p++;
        if (p == end || !is_digit(*p))
            return false;
        while (p < end && is_digit(*p))
            p++;
    }
    return p == end;
}

/* strtod wants a terminated string. `text` is a decimal number. */
static void terminate(fb_bytes text, char out[FB_NUMBER_DIGITS_MAX + 1]) {
    memcpy(out, text.data, text.len);
    out[text.len] = 0;
}

bool fb_number_real(fb_bytes text, double *ret_value) {
    char copy[FB_NUMBER_DIGITS_MAX + 1];
    if (!fb_number_is_decimal(text))
        return false;
    terminate(text, copy);
    locale_t old = enter_c_locale();
    double value = strtod(copy, NULL);
    uselocale(old);
    if (!isfinite(value))
        return false;
    *ret_value = value;
    return true;
}

size_t fb_number_format_int(char out[FB_NUMBER_TEXT_MAX], int64_t value) {
    return (size_t)snprintf(out, FB_NUMBER_TEXT_MAX, "%" PRId64, value);
}

size_t fb_number_format_real(char out[FB_NUMBER_TEXT_MAX], double value) {
    if (!isfinite(value))
        return (size_t)snprintf(out, FB_NUMBER_TEXT_MAX, "%s",
                                isnan(value) ? "NaN"
                                : value > 0  ? "Infinity"
                                             : "-Infinity");
    locale_t old = enter_c_locale();
    int n = 0;
    /* A number of up to 15 digits survives being a double, so printing 15 gives it back; 17 tell any two doubles apart.
     * Below the normal range a double holds fewer. */
    for (int digits = fabs(value) < DBL_MIN ? 1 : DBL_DIG; digits <= 17; digits++) {
        n = snprintf(out, FB_NUMBER_TEXT_MAX, "%.*g", digits, value);
        if (strtod(out, NULL) == value)
            break;
    }
    uselocale(old);
    return (size_t)n;
}

/* The significant digits of a decimal number without leading and trailing zeros, and the power of ten of the last one,
 * so that two texts of one number compare equal. */
struct decimal {
    char digits[FB_NUMBER_DIGITS_MAX];
    size_t n;
    int64_t exponent;
};

static void take_apart(fb_bytes text, struct decimal *out) {
    bool in_fraction = false;
    out->n = 0;
    out->exponent = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c == '.') {
            in_fraction = true;
        } else if (c == 'e' || c == 'E') {
            int64_t e = 0, sign = 1;
            for (i++; i < text.len; i++)
                if (text.data[i] == '-')
                    sign = -1;
                else if (text.data[i] != '+' && e < 100000000)
                    e = e * 10 + (text.data[i] - '0');
            out->exponent += sign * e;
        } else if (is_digit(c)) {
            if (out->n > 0 || c != '0')
                out->digits[out->n++] = c;
            out->exponent -= in_fraction;
        }
    }
    while (out->n > 0 && out->digits[out->n - 1] == '0') {
        out->n--;
        out->exponent++;
    }
    if (out->n == 0)
        out->exponent = 0;
}

bool fb_number_fits_real(fb_bytes text) {
    char printed[FB_NUMBER_TEXT_MAX];
    struct decimal given, kept;
    double value;
    if (!fb_number_real(text, &value))
        return false;
    take_apart(text, &given);
    take_apart(fb_bytes_of(printed, fb_number_format_real(printed, value)), &kept);
    return given.n == kept.n && given.exponent == kept.exponent && memcmp(given.digits, kept.digits, given.n) == 0;
}

bool fb_number_add_real(double a, fb_bytes b, double *ret_sum) {
    char left[FB_NUMBER_TEXT_MAX], right[FB_NUMBER_DIGITS_MAX + 1];
    if (!isfinite(a) || !fb_number_is_decimal(b))
        return false;
    fb_number_format_real(left, a);
    terminate(b, right);
    locale_t old = enter_c_locale();
    long double sum = strtold(left, NULL) + strtold(right, NULL);
    uselocale(old);
    double rounded = (double)sum;
    if (!isfinite(rounded))
        return false;
    *ret_sum = rounded;
    return true;
}
