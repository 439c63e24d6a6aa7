#pragma once
#include <stdbool.h>

/* What this kernel has to confine a process with. Apart from what uses it, as whoever only asks needs no libseccomp. */
struct support {
	int landlock; /* the ABI; 0: it has none, or has it switched off */
	bool seccomp; /* with filters that can kill a process */
};
struct support support_probe(void);
