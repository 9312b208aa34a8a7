/* Numbers as text: exact parsing, and the shortest text that reads back as the same double.
 *
 * Nothing here depends on the locale of the process. */
#ifndef FB_ROWS_NUMBER_H
#define FB_ROWS_NUMBER_H

#include <stdbool.h>

#include <forebay/forebay.h>

enum {
    FB_NUMBER_TEXT_MAX = 32,     /* a formatted int64 or double with its NUL */
    FB_NUMBER_DIGITS_MAX = 1000, /* of a decimal number a client may send; more is no number but an attack */
};

/* The canonical decimal form of a 64-bit number: "42", "-1"; not "042", "+42", "-0", " 42". */
bool fb_number_int(fb_bytes text, int64_t *ret_value);
/* A decimal number as JSON writes it: -?int[.digits][e[+-]digits]. */
bool fb_number_is_decimal(fb_bytes text);
/* A decimal number as the nearest double; false when it is none or beyond the range of a double. */
bool fb_number_real(fb_bytes text, double *ret_value);
/* Does the double nearest to this decimal number print as the same number again? Then no digit is lost in it. */
bool fb_number_fits_real(fb_bytes text);
/* Text of a number; returns its length. Non-finite numbers are "Infinity", "-Infinity", "NaN". */
size_t fb_number_format_int(char out[FB_NUMBER_TEXT_MAX], int64_t value);
size_t fb_number_format_real(char out[FB_NUMBER_TEXT_MAX], double value);
/* a + b as decimal numbers, rounded once at the end: 0.1 and 0.2 give 0.3. False when the sum is not finite. */
bool fb_number_add_real(double a, fb_bytes b, double *ret_sum);

#endif
