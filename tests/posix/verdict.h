#pragma once
/* What a case's processes leave for whoever runs it, in memory that they share. */
#include <stdatomic.h>

#define VERDICT_TEXT 512

enum verdict_kind {
	VERDICT_NONE,
	VERDICT_FAILED,
	VERDICT_SKIPPED,
};

struct verdict {
	_Atomic(int) kind; /* enum verdict_kind */
	char text[VERDICT_TEXT];
};

void verdict_use(struct verdict *of_case);
