#pragma once
#include "wire/message.h"

/* Becoming the program of a session, in a child that was born in the machine's pid namespace. */
struct launch {
	const struct message_open *open;
	const struct message_config *config;
	int init_pidfd;
	unsigned number;
	int report;          /* gets the terminal's other side, if one is wanted, and errors */
	int in, out, errors; /* without a terminal; -1: /dev/null */
};

_Noreturn void launch(const struct launch *launch);
