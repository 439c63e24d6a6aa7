#pragma once
#include <stdbool.h>

/* What counts as an image's init. One list, for the library, which refuses images that bring none where one is asked
 * for, and for the guest, which starts it. */

/* Where an init is looked for, in this order; NULL-terminated. */
extern const char *const init_places[];

/* Does an image's command, an absolute path, name an init rather than an application? */
bool init_is_named_by(const char *command);
