#pragma once
#include "cli/command.h"

/* When machines have come or gone: the block in /etc/hosts follows. Where it may not be written, a line on standard
 * error says with which command it would; nothing of that is a failure. */
void hosts_follow(struct cli *cli);
