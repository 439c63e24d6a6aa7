#pragma once

#define MODULE_ORDER_MAX (256u << 10) /* bytes of the list */

/* Insert the modules that the initramfs brings, in their order. One that fails is logged: whether it was needed shows
 * when what it drives is looked for. */
void module_load_all(void);
