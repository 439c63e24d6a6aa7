#pragma once
#include "guest/guest.h"

/* Everything between CONFIG and the start of init; blocks. */
MUST_USE int boot_machine(struct guest *guest, struct annex_error **err);

/* Before each start of init: one that ends may have taken the interfaces down, as `reboot -i` of sysvinit does. */
void boot_network(struct guest *guest);

/* Whose machine it is; in the configuration's memory. */
struct account boot_account(const struct message_config *config);
