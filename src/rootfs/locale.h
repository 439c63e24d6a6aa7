#pragma once
#include "base/cleanup.h"
#include "base/error.h"

#include <locale.h>

/* While libarchive is at work the thread's locale is "C". It converts names of PAX headers to the locale's character
 * set and composes accents on the way; in "C" it gives up on anything beyond ASCII and takes the bytes as they are,
 * which is what is wanted. */
struct locale_plain {
	locale_t plain, before;
};
MUST_USE int locale_enter_plain(struct locale_plain *locale); /* -ENOMEM */
void locale_leave_plain(struct locale_plain *locale);         /* nothing, if it was not entered */
#define auto_locale_plain CLEANUP(locale_leave_plain)
